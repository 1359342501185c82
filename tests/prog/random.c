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

/* `heard`: somebody listens, which the short way for first SYNs leaves to the long one. */
static void play_frames(bool heard)
{
	struct native_steps native = {.told = calloc(FRAMES, sizeof(*native.told))};
	struct sw_filter all = {0};
	struct prog_reader reader;
	struct synwave_bpf *skel = prog_load(64, 64);
	u32 frames_differ = 0, sets_differ = 0, counts_differ = 0;
	struct sw_stats st;
	struct engine e;
	char line[160];

	if (!skel || !native.told || engine_open(&e, 64, 64))
		abort();
	memcpy(&e.conf, (void *)&skel->rodata->conf, sizeof(e.conf));
	if (heard) {
		prog_listen(&reader, skel, 3, 1 << 24, 3600, &all);
		e.told = on_step;
	}
	e.ctx = &native;
	for (int i = 0; i < FRAMES; i++) {
		struct frame f = {0};
		random_frame(&f);
		/* XDP_PASS always; natively with a clock that stands: nothing here may depend on it */
		frames_differ += prog_run(bpf_program__fd(skel->progs.synwave_xdp), frame_data(&f), f.len) != 2;
		engine_frame(&e, frame_data(&f), f.len, f.len, false, 3600 * SW_NS_PER_S + i * 1000);
	}
	prog_stats(skel, &st);
	for (int i = 0; i < SW_KIND_COUNT; i++)
		counts_differ += st.kind[i] != e.stats.kind[i];
	for (int i = 0; i < SW_REASON_COUNT; i++)
		counts_differ += st.ignored[i] != e.stats.ignored[i];
	for (int i = 0; i < SW_EVENT_COUNT; i++) {
		counts_differ += st.event[i] != e.stats.event[i];
		if (st.event[i] != e.stats.event[i])
			printf("# event %d: kernel %llu, native %llu\n", i, st.event[i], e.stats.event[i]);
	}
	for (u32 at = 0; at < e.conf.sets; at++) {
		static struct prog_set set;
		struct sw_shelf native_shelf = engine_shelf(&e, at);
		prog_set(skel, at, &set);
		forget_spans(&set.ladders);
		forget_spans(&e.ladders[at]);
		sets_differ += sets_differ_in(&set.shelf, &native_shelf);
	}
	snprintf(line, sizeof(line), "%d random frames, kernel and native: %u verdicts, %u counters, %u sets differ",
		 FRAMES, frames_differ, counts_differ, sets_differ);
	count_test(!frames_differ && !counts_differ && !sets_differ, line);
	if (heard) {
		counts_differ = steps_that_differ(&native, &reader);
		snprintf(line, sizeof(line), "and %u of %u steps that were told", counts_differ, native.count);
		count_test(!counts_differ && native.count > 1000, line);
		prog_deaf(&reader);
	}
	free(native.told);
	engine_close(&e);
	synwave_bpf__destroy(skel);
}

void test_random_frames(void)
{
	play_frames(true);
	play_frames(false);
}
