/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A table under the clock of whoever feeds it: the shared core over plain memory ("native"), or the very programs that
 * attach loads, by BPF_PROG_TEST_RUN ("kernel"). The second keeps a mirror of the kernel's sets, so both report alike. */
#ifndef SYNWAVE_ENGINE_H
#define SYNWAVE_ENGINE_H

#include "engine_guard.h"
#include "synwave/first.h"

struct engine;
struct engine_driver {
	void (*frame)(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now);
	void (*finish)(struct engine *e); /* fetches tags and counters */
	void (*close)(struct engine *e);
	int (*guard)(struct engine *e, const struct ruleset *rs); /* 0 or -errno */
};

struct engine {
	const struct engine_driver *driver;
	void *own; /* the driver's */
	struct sw_conf conf;
	struct sw_set *set;
	struct sw_tags *tags;
	struct sw_live *live; /* conf.live_ways a set */
	struct sw_half *half; /* conf.half_ways */
	struct sw_ladders *ladders;
	u64 *birth; /* number of the frame that began what lies in a way */
	u64 frames; /* fed so far */
	struct sw_stats stats;
	u32 verdict; /* the guard's on the last frame, enum sw_verdict; SW_VERDICT_COUNT: none */
	struct engine_guard *guard; /* the native engine's; NULL: none */
	u64 last_ns; /* the latest time seen */
	u64 backwards; /* frames older than the one before */
	u64 errors; /* frames, or counters, that the kernel would not run or show */
	/* called for each connection that leaves the table, and by engine_finish for the rest */
	void (*gone)(void *ctx, const struct sw_conn *c, const struct sw_ladder *l, u64 birth);
	/* called for each step, after it; native only */
	void (*told)(void *ctx, const struct sw_trace *t);
	void *ctx;
};

/* A set and what lies beside it, as it was before a step. */
struct engine_before {
	struct sw_set set;
	struct sw_live live[SW_WAYS];
	struct sw_half half[SW_WAYS];
	struct sw_ladders ladders;
};
void engine_before(const struct engine *e, u32 at, struct engine_before *b);
/* The set, and what lies beside it. */
struct sw_shelf engine_shelf(const struct engine *e, u32 at);
/* The connection in a way of a set, into *c; false: there is none. */
bool engine_conn(const struct engine *e, u32 at, u32 way, struct sw_conn *c);

int engine_open(struct engine *e, u32 flows, u32 half_open);
/* The same in the kernel; on error one line in `why`. */
int engine_open_kernel(struct engine *e, u32 flows, u32 half_open, char *why, size_t room);
/* Before the first frame: the guard judges too, by the capture's clock; what it says is counted in stats.verdict and changes
 * nothing. `rs` must live as long as the engine. 0 or -errno. */
int engine_guard(struct engine *e, const struct ruleset *rs);
void engine_close(struct engine *e);
/* One frame; `cap` bytes of `size` are there. `l3`: it begins with the IP header. */
void engine_frame(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now);
/* For drivers: a step changed set `at`. */
void engine_stepped(struct engine *e, u32 at, u32 way, u32 came, u32 dropped, struct engine_before *before);
/* Reports what is still in the table, as it stands at the time of the last frame. */
void engine_finish(struct engine *e);

#endif
