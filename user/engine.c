// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

#include "conf.h"
#include "synwave/hist.h"

#define FOREVER_NS (365 * 86400 * SW_NS_PER_S) /* deadlines reach half of 2^32 ticks, 417 days */

static const struct engine_driver native;

int engine_open(struct engine *e, u32 flows, u32 half_open)
{
	int err;

	memset(e, 0, sizeof(*e));
	e->driver = &native;
	conf_sizes(&e->conf, flows, half_open);
	err = conf_defaults(&e->conf);
	/* A capture says all there is to say: nothing is given up while there is room, and nothing is waited for. */
	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		e->conf.timeout[i] = FOREVER_NS;
	e->conf.timeout[SW_T_INFER] = 0;
	conf_generation(&e->conf);
	e->conf.both_ways = 1;
	e->conf.ladder = 1;
	e->set = calloc(e->conf.sets, sizeof(*e->set));
	e->tags = aligned_alloc(64, (size_t)e->conf.sets * sizeof(*e->tags));
	e->live = calloc((size_t)e->conf.sets * e->conf.live_ways, sizeof(*e->live));
	e->half = calloc((size_t)e->conf.sets * e->conf.half_ways, sizeof(*e->half));
	e->ladders = calloc(e->conf.sets, sizeof(*e->ladders));
	e->birth = calloc((size_t)e->conf.sets * SW_WAYS, sizeof(*e->birth));
	if (!err && (!e->set || !e->tags || !e->live || !e->half || !e->ladders || !e->birth))
		err = -ENOMEM;
	if (err)
		engine_close(e);
	else
		memset(e->tags, 0, (size_t)e->conf.sets * sizeof(*e->tags));
	return err;
}

void engine_close(struct engine *e)
{
	if (e->driver && e->driver->close)
		e->driver->close(e);
	engine_guard_close(e->guard);
	e->guard = NULL;
	free(e->set);
	free(e->tags);
	free(e->live);
	free(e->half);
	free(e->ladders);
	free(e->birth);
	e->set = NULL;
	e->tags = NULL;
	e->live = NULL;
	e->half = NULL;
	e->ladders = NULL;
	e->birth = NULL;
}

struct sw_shelf engine_shelf(const struct engine *e, u32 at)
{
	return (struct sw_shelf){
		.conf = &e->conf,
		.tags = &e->tags[at],
		.set = &e->set[at],
		.live = &e->live[(size_t)at * e->conf.live_ways],
		.half = &e->half[(size_t)at * e->conf.half_ways],
		.ladders = &e->ladders[at],
	};
}

bool engine_conn(const struct engine *e, u32 at, u32 way, struct sw_conn *c)
{
	struct sw_shelf f = engine_shelf(e, at);

	return f.set->used >> way & 1 && sw_load(&f, way, c);
}

void engine_before(const struct engine *e, u32 at, struct engine_before *b)
{
	struct sw_shelf f = engine_shelf(e, at);

	memcpy(&b->set, f.set, sizeof(b->set));
	memcpy(b->live, f.live, e->conf.live_ways * sizeof(*f.live));
	memcpy(b->half, f.half, e->conf.half_ways * sizeof(*f.half));
	memcpy(&b->ladders, &e->ladders[at], sizeof(b->ladders));
}

void engine_stepped(struct engine *e, u32 at, u32 way, u32 came, u32 dropped, struct engine_before *before)
{
	u64 *birth = &e->birth[(size_t)at * SW_WAYS];
	struct sw_shelf f = {.conf = &e->conf, .set = &before->set, .live = before->live, .half = before->half};
	bool stayed = came < SW_WAYS && !(dropped >> came & 1);
	struct sw_conn c;

	for (u32 w = 0; w < SW_WAYS; w++)
		if (dropped >> w & 1 && e->gone && sw_load(&f, w, &c))
			e->gone(e->ctx, &c, &before->ladders.way[w], birth[w]);
	if (way < SW_WAYS)
		birth[way] = stayed ? birth[came] : e->frames;
}

/* The guard's verdict on the last frame. */
static void engine_verdict(struct engine *e, u32 verdict)
{
	e->verdict = verdict;
	if (verdict < SW_VERDICT_COUNT)
		e->stats.verdict[verdict]++;
}

static void engine_track(struct engine *e, const struct sw_packet *p, u64 now)
{
	u32 hash = sw_hash_of(&e->conf, p), at = sw_set_of(hash, e->conf.sets);
	struct sw_step step = {.listen = !!e->told};
	struct sw_shelf f = engine_shelf(e, at);
	struct engine_before before;
	struct sw_trace trace = {0};
	struct sw_conn c;

	if (sw_quiet(&e->tags[at], sw_tag_of(hash), p, p->generation))
		return;
	if (e->guard && p->kind == SW_KIND_SYN)
		engine_verdict(e, engine_guard_judge(e->guard, p, sw_known(&f, sw_tag_of(hash), &p->key), now));
	engine_before(e, at, &before);
	if (step.listen || !sw_table_first(&f, sw_tag_of(hash), p, now, &step))
		sw_table_step(&f, sw_tag_of(hash), p, now, &step, &c, &trace);
	engine_stepped(e, at, step.way, step.came, step.dropped, &before);
	if (step.told)
		e->told(e->ctx, &trace);
	for (u32 i = 0; i < SW_EVENT_COUNT; i++)
		e->stats.event[i] += step.events >> i & 1;
	sw_hist_add(&e->stats.syn_synack, step.syn_synack_ns);
	sw_hist_add(&e->stats.synack_ack, step.synack_ack_ns);
	if (e->guard && step.verified)
		engine_guard_verified(e->guard, p, step.server, now);
}

/* What the parser did not read to the end: may it hold a SYN? */
static void engine_unparsed(struct engine *e, const struct sw_packet *p, enum sw_reason why, u64 now)
{
	if (!e->guard)
		return;
	if (why == SW_SELF && p->kind == SW_KIND_SYN)
		engine_verdict(e, engine_guard_judge(e->guard, p, SW_KNOWN_NOT, now));
	else
		engine_verdict(e, engine_guard_unread(e->guard, why));
}

static void native_frame(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now)
{
	struct sw_packet p = {0};
	u8 options[SW_OPTIONS_ROOM] = {0};
	enum sw_reason why = sw_parse((void *)frame, (void *)(frame + cap), size, l3, &p);

	if (why == SW_OK || why == SW_BAD_FLAGS)
		e->stats.kind[p.kind]++;
	if (why) {
		e->stats.ignored[why]++;
		engine_unparsed(e, &p, why, now);
		return;
	}
	p.generation = now / e->conf.generation_ns;
	if (p.cut && p.kind != SW_KIND_SYN && e->guard)
		engine_verdict(e, engine_guard_unread(e->guard, SW_CUT));
	if (p.options_size && p.options_at < cap) {
		u32 there = cap - p.options_at, want = p.options_size;
		p.options_size = there < want ? there : want;
		memcpy(options, frame + p.options_at, p.options_size);
		sw_parse_options(options, &p);
	}
	engine_track(e, &p, now);
}

static int native_guard(struct engine *e, const struct ruleset *rs)
{
	engine_guard_close(e->guard);
	e->guard = engine_guard_open(&e->conf, rs);
	return e->guard ? 0 : -ENOMEM;
}

static const struct engine_driver native = {.frame = native_frame, .guard = native_guard};

int engine_guard(struct engine *e, const struct ruleset *rs)
{
	return e->driver->guard(e, rs);
}

void engine_frame(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now)
{
	e->frames++;
	e->verdict = SW_VERDICT_COUNT;
	if (now < e->last_ns)
		e->backwards++;
	else
		e->last_ns = now;
	e->driver->frame(e, frame, cap, size, l3, now);
}

void engine_finish(struct engine *e)
{
	if (e->driver->finish)
		e->driver->finish(e);
	for (u32 at = 0; at < e->conf.sets; at++) {
		struct sw_conn c;

		for (u32 way = 0; way < SW_WAYS; way++)
			if (engine_conn(e, at, way, &c))
				e->gone(e->ctx, &c, &e->ladders[at].way[way], e->birth[(size_t)at * SW_WAYS + way]);
	}
}
