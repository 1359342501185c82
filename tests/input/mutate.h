/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shared by the mutating driver and who loads it. */
#ifndef SYNWAVE_TEST_MUTATE_H
#define SYNWAVE_TEST_MUTATE_H

#include "synwave/types.h"

#define MUTATE_ROOM      256 /* a power of two */
#define MUTATE_TEMPLATES 128
#define MUTATE_NO_CALL   1000 /* instead of a verdict: the program under test was not reached */

struct mutate_template {
	u32 len;
	u8 bytes[MUTATE_ROOM];
};

struct mutate_result {
	u64 runs; /* of the program under test */
	u64 others; /* that said something else than it should */
	u64 unmade; /* frames that could not be laid out */
	s32 first; /* what the first of them got ... */
	u32 first_len; /* ... and the frame; 0: there was none */
	u8 bytes[MUTATE_ROOM];
};

#endif
