// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steps: which segments are, what a ladder keeps of them, spans of time, and filters. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "../frames.h"
#include "engine.h"
#include "listen.h"
#include "tap.h"

void test_trace(void);

static void test_spans(void)
{
	u64 worst = 0, ns = 1;
	int wrong = 0;

	for (ns = 0; ns < 1 << 30; ns += 999983)
		wrong += sw_span_ns(sw_span(ns)) != ns;
	TEST(!wrong, "%d spans below a second are not exact", wrong);
	for (ns = 1 << 30; ns < 1ULL << 59; ns += ns / 7) {
		u64 back = sw_span_ns(sw_span(ns)), off = ns - back;
		wrong += back > ns;
		worst = off * 1000000 / ns > worst ? off * 1000000 / ns : worst;
	}
	TEST(!wrong && worst <= 1, "spans are off by %llu millionths", worst);
	TEST(sw_span(~0ULL) == SW_NEVER - 1 && sw_span(0x3fffffffULL * SW_NS_PER_S) < SW_NEVER,
	     "the longest span is no SW_NEVER");
	for (u64 a = 1, b = 2; b < 1ULL << 60; a = b, b += b / 3 + 1)
		wrong += sw_span_ns(sw_span(b)) < sw_span_ns(sw_span(a));
	TEST(!wrong, "%d spans out of order", wrong);
}

static void test_ring_size(void)
{
	static const u32 rows[][3] = {/* asked, page, ring */
				      {4096, 4096, 4096},
				      {4096, 16384, 16384},
				      {4096, 65536, 65536},
				      {LISTEN_BUFFER, 65536, LISTEN_BUFFER}};

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++)
		TEST(listen_ring(rows[i][0], rows[i][1]) == rows[i][2], "a ring of %u bytes, pages of %u: %u",
		     rows[i][0], rows[i][1], listen_ring(rows[i][0], rows[i][1]));
}

/* --- steps --------------------------------------------------------------------------------------------------------- */

struct heard {
	u32 count; /* since the connection's first segment */
	struct sw_trace last, step[32];
};

static void on_step(void *ctx, const struct sw_trace *t)
{
	struct heard *h = ctx;

	h->count = t->changed_ns ? h->count + 1 : 1;
	h->last = *t;
	if (h->count <= SW_ARRAY_SIZE(h->step))
		h->step[h->count - 1] = *t;
}

/* Was the segment of this rung told, with all that the rung says? */
static bool was_told(const struct heard *h, const struct sw_conn *c, const struct sw_rung *r)
{
	for (u32 i = 0; i < h->count && i < SW_ARRAY_SIZE(h->step); i++) {
		const struct sw_trace *t = &h->step[i];

		if (t->seq == r->seq && t->ack == r->ack && t->window == r->window && t->len == r->len &&
		    t->flags == r->flags && t->from == r->from && (t->state[0] | t->state[1] << 4) == r->states &&
		    t->ns == c->first_ns + sw_span_ns(r->at))
			return true;
	}
	return false;
}

static const struct sw_conn *the_one(const struct engine *e, const struct sw_ladder **l)
{
	static struct sw_conn c;

	for (u32 at = 0; at < e->conf.sets; at++)
		for (u32 way = 0; way < SW_WAYS; way++)
			if (engine_conn(e, at, way, &c)) {
				*l = &e->ladders[at].way[way];
				return &c;
			}
	return NULL;
}

static void feed(struct engine *e, const struct segment *s, u64 now)
{
	static u8 n;
	struct frame f = {0};

	build_segment(&f, s, false, 0);
	frame_data(&f)[14 + 20 + 15] = n++; /* no two windows alike */
	engine_frame(e, frame_data(&f), f.len, f.len, false, now);
}

/* What the ladder holds is what was told, no more and no less. */
static void test_told(const struct exchange *x)
{
	u64 now = 3600 * SW_NS_PER_S;
	const struct sw_ladder *l;
	const struct sw_conn *c;
	struct heard heard = {0};
	struct engine e;
	u32 held = 0;

	if (engine_open(&e, 64, 64))
		abort();
	e.told = on_step;
	e.ctx = &heard;
	for (const struct segment *s = x->segment; s->from != END_OF_LIST; s++)
		feed(&e, s, now += 1000000);
	c = the_one(&e, &l);
	if (c && !(x->events & 1ULL << SW_EV_SYN_RIVAL)) {
		struct sw_rung rung[SW_RUNGS];
		u32 count = sw_rungs(rung, c, l);
		held = c->left_out;
		for (u32 i = 0; i < count; i++) {
			held += 1 + rung[i].again;
			TEST(was_told(&heard, c, &rung[i]), "%s: rung %u of %u says something else", x->name, i, count);
		}
		TEST(held == heard.count, "%s: %u steps in the ladder, %u told", x->name, held, heard.count);
		TEST(heard.last.state[0] == c->end[0].state && heard.last.state[1] == c->end[1].state,
		     "%s: states of the last step", x->name);
	}
	if (!c) /* a RST of nobody */
		TEST(heard.count == 1 && heard.last.state[0] == SW_STATE_COUNT &&
			     heard.last.events == 1ULL << SW_EV_RST_UNKNOWN,
		     "%s: %u steps", x->name, heard.count);
	engine_close(&e);
}

/* More than there is room for: the handshake stays, the end is there, what lies between is counted. */
static void test_left_out(void)
{
	static const struct segment open[] = {{0, SW_TCP_SYN, 1000, 0, 0, 0},
					      {1, SW_TCP_SYN | SW_TCP_ACK, 5000, 1001, 0, 0},
					      {0, SW_TCP_ACK, 1001, 5001, 0, 0}},
				    close[] = {{0, SW_TCP_FIN | SW_TCP_ACK, 1001, 5001, 0, 0},
					       {1, SW_TCP_ACK, 5001, 1002, 0, 0},
					       {1, SW_TCP_FIN | SW_TCP_ACK, 5001, 1002, 0, 0},
					       {0, SW_TCP_ACK, 1002, 5002, 0, 0}};
	const struct sw_ladder *l;
	const struct sw_conn *c;
	u64 now = 3600 * SW_NS_PER_S;
	char text[LADDER_TEXT];
	struct engine e;

	if (engine_open(&e, 64, 64))
		abort();
	for (u32 i = 0; i < SW_ARRAY_SIZE(open); i++)
		feed(&e, &open[i], now += 1000);
	for (u32 i = 0; i < 300; i++) /* SYNs of somebody else */
		feed(&e, &(struct segment){0, SW_TCP_SYN, 70000 + i, 0, 0, 0}, now += 1000);
	c = the_one(&e, &l);
	TEST(c->rungs == SW_RUNGS && c->left_out == 255, "%u rungs, %u left out", c->rungs, c->left_out);
	for (u32 i = 0; i < SW_ARRAY_SIZE(close); i++)
		feed(&e, &close[i], now += 1000);
	c = the_one(&e, &l);
	const char *ladder = exchange_ladder(text, c, l);
	TEST(ladder && !strcmp(ladder, "C:S V:SA C:A C:S C:FA V:A V:FA C:A +255"), "ladder: %s", ladder);
	TEST(sw_span_ns(l->rung[7].at) == now - c->first_ns, "time of the last");
	engine_close(&e);
}

/* The same segment at two hooks, as on a router or the loopback device, is one step; seen again at the first it is two. */
static void test_copies(void)
{
	static const u8 flags[] = {
		SW_TCP_SYN, SW_TCP_SYN | SW_TCP_ACK, SW_TCP_ACK, SW_TCP_FIN | SW_TCP_ACK, SW_TCP_FIN | SW_TCP_ACK,
		SW_TCP_ACK};
	static const u32 seq[] = {1000, 5000, 1001, 1001, 5001, 1002}, ack[] = {0, 1001, 5001, 5001, 1002, 5002};
	struct sw_packet p = {.wscale = SW_WSCALE_NONE, .window = 1000};
	struct sw_set set = {0};
	struct sw_tags tags = {0};
	struct sw_ladders ladders = {0};
	struct sw_live live[20] = {0};
	struct sw_half half[10] = {0};
	struct sw_conf conf = {.sets = 1, .live_ways = 20, .half_ways = 10, .ladder = 1};
	struct sw_shelf shelf = {&conf, &tags, &set, live, half, &ladders};
	struct sw_conn c;
	u32 told = 0, again = 0;

	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		conf.timeout[i] = 100 * SW_NS_PER_S;
	p.key.addr[1][3] = p.key.port[1] = 1;
	p.key.port[0] = 40000;
	for (u32 i = 0; i < 4 * SW_ARRAY_SIZE(flags); i++) {
		struct sw_step step = {.listen = 1};
		struct sw_trace trace;
		u32 n = i / 4;

		p.from = n == 1 || n == 4;
		p.flags = flags[n];
		p.seq = seq[n];
		p.ack = ack[n];
		p.kind = sw_kind_of(p.flags, 0);
		p.seen_at = 2 + (i & 1); /* there, here; and so once more */
		if (!sw_quiet(&tags, 7, &p, p.generation))
			sw_table_step(&shelf, 7, &p, SW_NS_PER_S + i, &step, &c, &trace);
		told += step.told && i % 4 < 2;
		again += step.told && i % 4 >= 2;
	}
	TEST(told == SW_ARRAY_SIZE(flags), "%u steps of %zu segments at two hooks", told, SW_ARRAY_SIZE(flags));
	TEST(again == 4, "%u of the 4 that are steps again, sent again", again); /* not the ACKs */
	TEST(live[0].rungs == 6 && ladders.way[0].rung[0].again == 1 && !ladders.way[0].rung[2].again, "%u rungs",
	     live[0].rungs);
}

/* --- filters ------------------------------------------------------------------------------------------------------- */

/* versions differ on braces in macros */
/* clang-format off */
#define V4(a, b, c, d) {0, 0, __cpu_to_be32(0xffff), __cpu_to_be32((a) << 24 | (b) << 16 | (c) << 8 | (d))}
#define ANY4(bits)     {~0u, ~0u, ~0u, __cpu_to_be32((u32)(~0ULL << (32 - (bits))))}
/* clang-format on */

static void test_filters(void)
{
	static const struct sw_trace e = {
		.key = {.addr = {V4(10, 9, 0, 1), V4(192, 0, 2, 7)}, .port = {80, 40000}},
		.events = 1ULL << SW_EV_REFUSED | 1ULL << SW_EV_RST,
		.kind = SW_KIND_RST,
		.state = {SW_CLOSED, SW_CLOSED},
		.ifindex = 3,
		.netns = 77,
	};
	static const struct {
		struct sw_filter f;
		bool passes;
	} rows[] = {
		{{.port = 0}, true},
		{{.port = 80}, true},
		{{.port = 40000}, true},
		{{.port = 443}, false},
		{{.addr = V4(10, 9, 0, 1), .mask = ANY4(32)}, true},
		{{.addr = V4(192, 0, 2, 0), .mask = ANY4(24)}, true},
		{{.addr = V4(192, 0, 3, 0), .mask = ANY4(24)}, false},
		{{.addr = V4(0, 0, 0, 0), .mask = ANY4(0)}, true}, /* any IPv4 */
		{{.addr = {__cpu_to_be32(0x20010db8)}, .mask = {~0u}}, false},
		{{.events = 1ULL << SW_EV_REFUSED}, true},
		{{.events = 1ULL << SW_EV_REFUSED | 1ULL << SW_EV_COMPLETED}, true},
		{{.events = 1ULL << SW_EV_COMPLETED}, false},
		{{.states = 1 << SW_CLOSED}, true},
		{{.states = 1 << SW_TIME_WAIT | 1 << SW_LISTEN}, false},
		{{.kinds = 1 << SW_KIND_RST | 1 << SW_KIND_SYN}, true},
		{{.kinds = 1 << SW_KIND_SYN}, false},
		{{.ifindex = 3, .netns = 77}, true},
		{{.ifindex = 3, .netns = 78}, false},
		{{.ifindex = 4, .netns = 77}, false},
		{{.port = 80, .kinds = 1 << SW_KIND_RST, .events = 1ULL << SW_EV_RST}, true},
		{{.port = 80, .kinds = 1 << SW_KIND_SYN, .events = 1ULL << SW_EV_RST}, false},
	};
	struct sw_trace stray = e;

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++)
		TEST(sw_filter_passes(&rows[i].f, &e) == rows[i].passes, "filter %zu", i);
	stray.state[0] = stray.state[1] = SW_STATE_COUNT;
	TEST(!sw_filter_passes(&(struct sw_filter){.states = (1 << SW_STATE_COUNT) - 1}, &stray),
	     "no state fits a segment of no connection");
}

void test_trace(void)
{
	test_spans();
	test_ring_size();
	for (int i = 0; i < exchange_count; i++)
		test_told(&exchanges[i]);
	test_left_out();
	test_copies();
	test_filters();
}
