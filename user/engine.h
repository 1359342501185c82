/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The native engine: the shared core over plain memory, under whatever clock the caller has. */
#ifndef SYNWAVE_ENGINE_H
#define SYNWAVE_ENGINE_H

#include "synwave/table.h"

struct engine {
	struct sw_conf conf;
	struct sw_set *set;
	struct sw_tags *tags;
	u64 *birth; /* number of the frame that began what lies in a way */
	u64 frames; /* fed so far */
	struct sw_stats stats;
	u64 last_ns; /* the latest time seen */
	u64 backwards; /* frames older than the one before */
	/* called for each connection that leaves the table, and by engine_finish for the rest */
	void (*gone)(void *ctx, const struct sw_conn *c, u64 birth, bool expired);
	void *ctx;
};

/* Rows of sw_conf from what the user asks for (entries). */
void conf_sizes(struct sw_conf *conf, u32 flows, u32 half_open);
/* Default timeouts, and a fresh random hash key. 0 or -errno. */
int conf_defaults(struct sw_conf *conf);

int engine_open(struct engine *e, u32 flows, u32 half_open);
void engine_close(struct engine *e);
/* One frame; `cap` bytes of `size` are there. `l3`: it begins with the IP header. */
void engine_frame(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now);
/* Reports what is still in the table, as it stands at the time of the last frame. */
void engine_finish(struct engine *e);

#endif
