/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard of the native engine: the core's judgement over memory of this process. */
#ifndef SYNWAVE_ENGINE_GUARD_H
#define SYNWAVE_ENGINE_GUARD_H

#include "ruleset.h"
#include "synwave/table.h"

struct engine_guard;

/* `rs` stays the caller's and must live as long. NULL: no memory. */
struct engine_guard *engine_guard_open(const struct sw_conf *conf, const struct ruleset *rs);
void engine_guard_close(struct engine_guard *g);
/* A SYN on a connection of which the table knows that much: enum sw_verdict, `would` in a dry run; SW_VERDICT_COUNT: the guard
 * is off. */
u32 engine_guard_judge(struct engine_guard *g, const struct sw_packet *p, enum sw_known known, u64 now);
/* A frame whose headers the parser did not read to the end, and why: the same. */
u32 engine_guard_unread(struct engine_guard *g, enum sw_reason why);
/* The client of the segment's connection proved its address; `server`: which end of the key is the server's. */
void engine_guard_verified(struct engine_guard *g, const struct sw_packet *p, u32 server, u64 now);

#endif
