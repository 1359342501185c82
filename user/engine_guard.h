/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard of the native engine: the core's judgement over memory of this process. */
#ifndef SYNWAVE_ENGINE_GUARD_H
#define SYNWAVE_ENGINE_GUARD_H

#include "ruleset.h"
#include "synwave/parse.h"

struct engine_guard;

/* `rs` stays the caller's and must live as long. NULL: no memory. */
struct engine_guard *engine_guard_open(const struct sw_conf *conf, const struct ruleset *rs);
void engine_guard_close(struct engine_guard *g);
/* A SYN: enum sw_verdict, `would` in a dry run; SW_VERDICT_COUNT: the guard is off. */
u32 engine_guard_judge(struct engine_guard *g, const struct sw_packet *p, u64 now);
/* Its sender completed a handshake and proved its address. */
void engine_guard_proved(struct engine_guard *g, const struct sw_packet *p, u64 now);

#endif
