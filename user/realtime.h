/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether the programs have a CPU to themselves while they run. They work in per-CPU memory, and on PREEMPT_RT one may
 * interrupt another on its CPU, unless softirqs exclude each other: they did until Linux 6.18 and 6.12.57, since then
 * only with CONFIG_PREEMPT_RT_NEEDS_BH_LOCK. */
#ifndef SYNWAVE_REALTIME_H
#define SYNWAVE_REALTIME_H

#include <stdbool.h>
#include <stddef.h>

struct realtime_facts {
	const char *release, *version; /* uname -r, uname -v */
	bool flag; /* /sys/kernel/realtime says 1 */
	struct realtime_config {
		bool realtime; /* CONFIG_PREEMPT_RT=y: else it is no such kernel's, or none was found */
		bool lock; /* CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y ... */
		bool no_lock; /* ... is not set; neither: this kernel does not know it */
	} config;
};
void realtime_config_line(struct realtime_config *c, const char *line); /* of a kernel's configuration */
bool realtime_judge(const struct realtime_facts *f); /* they have it to themselves */

/* The same, of this kernel. */
bool realtime_fits(void);
/* False, and why: attach is not to be. */
bool realtime_check(char *why, size_t size);

#endif
