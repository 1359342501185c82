// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Random segments and broken frames through the programs and through the native core: same counts, same records. */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "../frames.h"
#include "engine.h"
#include "prog.h"
#include "synwave.skel.h"

#define FRAMES 60000

static u64 rnd_state = 42;

static u32 rnd(u32 below)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rnd_state >> 33) % below;
}

static void random_frame(struct frame *f)
{
	static const u8 flags[] = {SW_TCP_SYN, SW_TCP_SYN | SW_TCP_ACK, SW_TCP_ACK, SW_TCP_ACK, SW_TCP_FIN | SW_TCP_ACK,
				   SW_TCP_RST, SW_TCP_RST | SW_TCP_ACK};
	struct segment s = {
		.from = rnd(2), .flags = flags[rnd(20) ? rnd(5) : 5 + rnd(2)], .seq = 1 + rnd(4), .ack = 1 + rnd(4)};
	bool v6 = rnd(2);
	int tags = rnd(3);

	s.len = rnd(3) ? 0 : rnd(3);
	build_segment(f, &s, v6, tags);
	/* a few hosts more: the last byte of the source's or the destination's address */
	u32 ip = 14 + 4 * tags, addr = v6 ? ip + 23 : ip + 15;
	frame_data(f)[addr + (s.from ? (v6 ? 16 : 4) : 0)] += rnd(4) * 8;
	if (!rnd(10)) /* and now and then a broken one */
		frame_data(f)[rnd(f->len)] ^= 1 << rnd(8);
	if (!rnd(30))
		f->len = 14 + rnd(f->len - 14);
}

/* Times differ (two clocks), and hash keys are shared: everything else must be the same, byte for byte. */
static void forget_times(struct sw_conn *c)
{
	c->first_ns = c->changed_ns = c->rival_ns = 0;
	c->synack_ns = !!c->synack_ns;
	c->ack_ns = !!c->ack_ns;
	memset(c->seen_at, 0, sizeof(c->seen_at));
	c->rival_seen_at = 0;
	c->deadline = 0;
}

static bool way_differs(const struct sw_shelf *a, const struct sw_shelf *b, u32 way)
{
	struct sw_conn x, y;
	bool used = a->set->used >> way & 1;

	if (used != (b->set->used >> way & 1) || a->tags->tag[way] != b->tags->tag[way])
		return true;
	if (!used)
		return false;
	if (!sw_load(a, way, &x) || !sw_load(b, way, &y))
		return true;
	forget_times(&x);
	forget_times(&y);
	return memcmp(&x, &y, sizeof(x)) ||
	       memcmp(&a->ladders->way[way], &b->ladders->way[way], sizeof(a->ladders->way[way]));
}

static bool sets_differ_in(struct sw_shelf *a, struct sw_shelf *b)
{
	bool differ = a->set->version != b->set->version || a->set->kept != b->set->kept ||
		      a->set->closed != b->set->closed || memcmp(a->set->book, b->set->book, sizeof(a->set->book));

	for (u32 way = 0; way < SW_WAYS; way++)
		differ |= way_differs(a, b, way);
	return differ;
}

static void forget_spans(struct sw_ladders *l)
{
	for (int way = 0; way < SW_WAYS; way++)
		for (int i = 0; i < SW_RUNGS; i++)
			l->way[way].rung[i].at = l->way[way].rung[i].last = 0;
}

/* What the native engine told, beside what came through the kernel's ring. */
struct native_steps {
	struct sw_trace *told;
	u32 count;
};

static void on_step(void *ctx, const struct sw_trace *t)
{
	struct native_steps *n = ctx;

	n->told[n->count++] = *t;
}

static u32 steps_that_differ(struct native_steps *n, struct prog_reader *r)
{
	u32 heard = prog_heard(r), differ = heard > n->count ? heard - n->count : n->count - heard;

	for (u32 i = 0; i < n->count && i < heard; i++) {
		struct sw_trace *a = &n->told[i], *b = &r->got[i];

		a->ns = b->ns = b->ifindex = 0;
		a->changed_ns = !!a->changed_ns;
		b->changed_ns = !!b->changed_ns;
		differ += !!memcmp(a, b, sizeof(*a));
	}
	return differ;
}

/* The newest generation that a set has connections of; 0: no set has any. */
static u16 newest_generation(struct synwave_bpf *skel)
{
	static struct prog_set set;
	u16 newest = 0;

	for (u32 at = 0; at < skel->rodata->conf.sets; at++) {
		prog_set(skel, at, &set);
		if (set.tags.active && set.tags.generation > newest)
			newest = set.tags.generation;
	}
	return newest;
}

struct both {
	struct synwave_bpf *skel;
	struct engine native;
};

static u32 verdicts_that_differ(struct both *b, u16 *generation)
{
	u32 differ = 0;

	*generation = 0;
	for (int i = 0; i < FRAMES; i++) {
		struct frame f = {0};
		random_frame(&f);
		/* XDP_PASS always; natively with a clock that stands: nothing here may depend on it */
		differ += prog_run(bpf_program__fd(b->skel->progs.synwave_xdp), frame_data(&f), f.len) != 2;
		engine_frame(&b->native, frame_data(&f), f.len, f.len, false, 3600 * SW_NS_PER_S + i * 1000);
		if (!*generation)
			*generation = newest_generation(b->skel);
	}
	return differ;
}

static u32 counters_that_differ(struct both *b)
{
	const struct sw_stats *native = &b->native.stats;
	struct sw_stats st;
	u32 differ = 0;

	prog_stats(b->skel, &st);
	for (int i = 0; i < SW_KIND_COUNT; i++)
		differ += st.kind[i] != native->kind[i];
	for (int i = 0; i < SW_REASON_COUNT; i++)
		differ += st.ignored[i] != native->ignored[i];
	for (int i = 0; i < SW_EVENT_COUNT; i++) {
		differ += st.event[i] != native->event[i];
		if (st.event[i] != native->event[i])
			printf("# event %d: kernel %llu, native %llu\n", i, st.event[i], native->event[i]);
	}
	return differ;
}

static u32 sets_that_differ(struct both *b)
{
	static struct prog_set set;
	u32 differ = 0;

	for (u32 at = 0; at < b->native.conf.sets; at++) {
		struct sw_shelf native = engine_shelf(&b->native, at);

		prog_set(b->skel, at, &set);
		forget_spans(&set.ladders);
		forget_spans(&b->native.ladders[at]);
		differ += sets_differ_in(&set.shelf, &native);
	}
	return differ;
}

/* `heard`: somebody listens, which the short way for first SYNs leaves to the long one. False: a generation ended meanwhile,
 * so some of the kernel's plain segments were steps and natively none was; that cannot happen twice. */
static bool play_frames(bool heard)
{
	struct native_steps native = {.told = calloc(FRAMES, sizeof(*native.told))};
	struct both b = {.skel = prog_load(64, 64, PROG_XDP)};
	u32 verdicts, counters, sets, steps = 0;
	struct sw_filter all = {0};
	struct prog_reader reader;
	u16 generation;
	char line[160];
	bool ended;

	if (!b.skel || !native.told || engine_open(&b.native, 64, 64))
		abort();
	memcpy(&b.native.conf, (void *)&b.skel->rodata->conf, sizeof(b.native.conf));
	b.native.ctx = &native;
	if (heard) {
		prog_listen(&reader, b.skel, 3, 1 << 24, 3600, &all);
		b.native.told = on_step;
	}
	verdicts = verdicts_that_differ(&b, &generation);
	ended = newest_generation(b.skel) != generation;
	counters = counters_that_differ(&b);
	sets = sets_that_differ(&b);
	if (heard) {
		steps = steps_that_differ(&native, &reader);
		prog_deaf(&reader);
	}
	snprintf(line, sizeof(line), "%d random frames, kernel and native: %u verdicts, %u counters, %u sets differ",
		 FRAMES, verdicts, counters, sets);
	if (!ended)
		count_test(!verdicts && !counters && !sets, line);
	snprintf(line, sizeof(line), "and %u of %u steps that were told", steps, native.count);
	if (!ended && heard)
		count_test(!steps && native.count > 1000, line);
	free(native.told);
	engine_close(&b.native);
	synwave_bpf__destroy(b.skel);
	return !ended;
}

void test_random_frames(void)
{
	for (int heard = 1; heard >= 0; heard--) {
		bool whole = play_frames(heard);

		if (!whole)
			whole = play_frames(heard);
		if (!whole)
			count_test(false, "random frames: two generations of half a day ended within seconds");
	}
}
