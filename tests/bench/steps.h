/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whole connections, segment by segment: what the driver and its loader agree on. */
#ifndef SYNWAVE_BENCH_STEPS_H
#define SYNWAVE_BENCH_STEPS_H

#include "synwave/types.h"

#define BENCH_STEPS 9
#define AT_ONCE     1024 /* connections under way */

struct lives {
	u64 ns[BENCH_STEPS]; /* what the segments of each step took, the step under way not yet */
	u64 since, step;
};

#endif
