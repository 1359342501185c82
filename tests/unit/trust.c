// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a frame that came in proves: nothing of what the other end said. Random segments that all come in by one hook, and
 * the few exchanges that do prove a connection. */
#include <stdio.h>
#include <stdlib.h>

#include "../frames.h"
#include "conf.h"
#include "engine.h"
#include "tap.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* rows say what differs from 0 */

void test_trust(void);

static u64 seed = 0x9e3779b97f4a7c15ULL;
static u32 rnd(u32 below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 32) % below;
}

struct trust {
	struct engine e;
	u64 now;
	u32 verified, answered, proved, asked;
	bool forwards; /* this host is a router */
};

static void begin(struct trust *t, bool one_way)
{
	memset(t, 0, sizeof(*t));
	if (engine_open(&t->e, 64, 32))
		abort();
	conf_defaults(&t->e.conf);
	t->e.conf.both_ways = 0;
	t->e.conf.one_way = one_way;
	t->now = 1000 * SW_NS_PER_S;
}

/* The segment against its set; what it made the table believe is counted. */
static void feed(struct trust *t, struct sw_packet p)
{
	struct engine *e = &t->e;
	u32 hash = sw_hash_of(&e->conf, &p), at = sw_set_of(hash, e->conf.sets);
	struct sw_shelf f = engine_shelf(e, at);
	struct sw_step step = {0};
	struct sw_trace trace;
	struct sw_conn c;

	p.generation = t->now / e->conf.generation_ns;
	if (sw_quiet(&e->tags[at], sw_tag_of(hash), &p, p.generation))
		return;
	if (!sw_table_first(&f, sw_tag_of(hash), &p, t->now, &step))
		sw_table_step(&f, sw_tag_of(hash), &p, t->now, &step, &c, &trace);
	t->verified += step.verified;
	t->answered += step.answered;
	t->asked += !!step.ask;
	/* the shell asks the kernel, and hears that the segment is forwarded */
	if (step.ask == SW_ASK_SOCKET_OR_ROUTE && t->forwards) {
		step.verified = 0;
		t->proved += sw_table_proved(&f, sw_tag_of(hash), &p, t->now, &step, &c);
		t->verified += step.verified;
	}
}

/* Entries that are protected, or said to be proved. */
static u32 believed(const struct trust *t)
{
	struct sw_conn c;
	u32 n = 0;

	for (u32 at = 0; at < t->e.conf.sets; at++) {
		n += sw_bits(t->e.set[at].kept);
		for (u32 way = 0; way < SW_WAYS; way++)
			n += engine_conn(&t->e, at, way, &c) && c.flags & SW_C_PROVED;
	}
	return n;
}

static struct sw_packet segment(u32 n, bool server, u8 flags, u32 seq, u32 ack, u16 len)
{
	struct sw_packet p = {.from = server, .flags = flags, .seq = seq, .ack = ack, .len = len, .window = 1000};

	p.v6 = n & 1;
	if (!p.v6)
		p.key.addr[0][2] = p.key.addr[1][2] = SW_V4_WORD;
	p.key.addr[0][3] = n + 2;
	p.key.addr[1][3] = 1;
	p.key.port[0] = 40000;
	p.key.port[1] = 80;
	p.wscale = SW_WSCALE_NONE;
	p.kind = sw_kind_of(flags, len);
	return p;
}

/* Numbers so small that an attacker who guesses is right all the time, and all that he sends comes in by one interface. */
static void test_random_frames(bool one_way)
{
	static const u8 flags[] = {SW_TCP_SYN, SW_TCP_SYN | SW_TCP_ACK, SW_TCP_ACK, SW_TCP_FIN | SW_TCP_ACK,
				   SW_TCP_RST};
	u32 wrong = 0;
	struct trust t;

	begin(&t, one_way);
	for (int i = 0; i < 300000; i++) {
		struct sw_packet p =
			segment(rnd(100), rnd(2), flags[rnd(16) ? rnd(4) : 4], 1 + rnd(4), 1 + rnd(4), rnd(3));

		p.seen_at = 1 << 1;
		t.now += (u64)(rnd(1000) ? rnd(50) : rnd(90000)) * 1000000;
		feed(&t, p);
		wrong += i % 101 == 0 && believed(&t);
	}
	TEST(!wrong && !believed(&t), "one side alone made %u entries that are believed", believed(&t));
	TEST(!t.verified && !t.answered, "one side alone: %u sources verified, %u answers", t.verified, t.answered);
	TEST(one_way ? t.asked > 1000 : !t.asked, "one side alone: the kernel was asked %u times", t.asked);
	engine_close(&t.e);
}

/* Who sent a segment and where it was seen. */
enum seen { OUTSIDE, FORGED, OURS, OURS_NO_SOCKET, FORWARDED, HAIRPIN, OTHER_SIDE };
static void place(struct sw_packet *p, enum seen seen)
{
	bool egress = seen >= OURS && seen <= HAIRPIN;

	p->seen_at = (seen == OTHER_SIDE ? 2 : 1) << 1 | egress;
	p->local = seen == OURS || seen == OURS_NO_SOCKET;
	p->socket = seen == OURS;
	p->inside = egress && seen != HAIRPIN;
}

static const struct {
	const char *name;
	struct {
		enum seen seen;
		bool server;
		u8 flags;
		u32 seq, ack;
		u16 len;
	} segment[6];
	bool one_way, proved, verified, forwards;
} rows[] = {
/* versions differ on braces in macros */
/* clang-format off */
#define C(seen, flags, seq, ack, len) {seen, false, flags, seq, ack, len}
#define V(seen, flags, seq, ack, len) {seen, true, flags, seq, ack, len}
/* clang-format on */
#define S  SW_TCP_SYN
#define SA (SW_TCP_SYN | SW_TCP_ACK)
#define A  SW_TCP_ACK
#define FA (SW_TCP_FIN | SW_TCP_ACK)
#define R  SW_TCP_RST
#define RA (SW_TCP_RST | SW_TCP_ACK)
	{"handshake with this host",
	 {C(OUTSIDE, S, 1, 0, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .proved = true,
	 .verified = true},
	{"handshake of this host's client",
	 {C(OURS, S, 1, 0, 0), V(OUTSIDE, SA, 9, 2, 0), C(OURS, A, 2, 10, 0)},
	 .proved = true},
	{"handshake through this host",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORWARDED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .proved = true,
	 .verified = true},
	{"the answer came in by the other interface and left by ours",
	 {C(OUTSIDE, S, 1, 0, 0), V(OTHER_SIDE, SA, 9, 2, 0), V(FORWARDED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .proved = true,
	 .verified = true},
	{"out and in by one interface", {C(OUTSIDE, S, 1, 0, 0), V(HAIRPIN, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)}},
	{"out and in by one device with two tags: seen to come in first",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORGED, SA, 9, 2, 0), V(FORWARDED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)}},
	{"SYN-ACK and ACK from outside", {V(FORGED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)}},
	{"all three from outside", {C(OUTSIDE, S, 1, 0, 0), V(FORGED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)}},
	{"a forged answer before the real one; the ACK is for the forged",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORGED, SA, 77, 2, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), C(OUTSIDE, A, 2, 78, 0)}},
	{"a forged answer before the real one; the ACK is for the real one",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORGED, SA, 77, 2, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .proved = true,
	 .verified = true},
	{"a forged answer after the real one; the ACK is for the forged",
	 {C(OUTSIDE, S, 1, 0, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), V(FORGED, SA, 77, 2, 0), C(OUTSIDE, A, 2, 78, 0)}},
	{"forged data of the server say that the ACK came",
	 {C(OUTSIDE, S, 1, 0, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), V(FORGED, A, 10, 50, 5), C(OUTSIDE, A, 50, 15, 0)}},
	{"forged data of the server stretch what may be acknowledged",
	 {C(OUTSIDE, S, 1, 0, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), V(FORGED, A, 10, 2, 500), C(OUTSIDE, A, 2, 400, 0)}},
	{"a forged ACK, the kernel's RST",
	 {C(OUTSIDE, A, 5, 6, 0), V(OURS_NO_SOCKET, R, 6, 0, 0), C(OUTSIDE, A, 5, 6, 0)}},
	{"a forged FIN, the kernel's RST",
	 {C(OUTSIDE, FA, 5, 6, 0), V(OURS_NO_SOCKET, R, 6, 0, 0), C(OUTSIDE, FA, 5, 6, 0)}},
	{"an ACK of no socket past its handshake",
	 {C(OUTSIDE, A, 5, 6, 0), V(OURS_NO_SOCKET, A, 9, 2, 0), C(OUTSIDE, A, 5, 6, 0)}},
	{"met in the middle, the client first",
	 {C(OUTSIDE, A, 5, 6, 7), V(OURS, A, 6, 12, 0)},
	 .proved = true,
	 .verified = true},
	{"met in the middle, the server first",
	 {V(OURS, A, 6, 12, 0), C(OUTSIDE, A, 12, 6, 7)},
	 .proved = true,
	 .verified = true},
	{"met in the middle, forwarded data",
	 {C(OUTSIDE, A, 5, 6, 7), V(FORWARDED, A, 6, 12, 9)},
	 .proved = true,
	 .verified = true},
	{"met in the middle, a forwarded ACK may answer what was forged",
	 {C(OUTSIDE, A, 5, 6, 7), V(FORWARDED, A, 6, 12, 0)}},
	{"one way, a router: through two interfaces",
	 {C(OUTSIDE, S, 1, 0, 0), V(OTHER_SIDE, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .one_way = true,
	 .forwards = true,
	 .proved = true,
	 .verified = true},
	{"one way, a host with two uplinks: forged at both",
	 {C(OUTSIDE, S, 1, 0, 0), V(OTHER_SIDE, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .one_way = true},
	{"answered, refused by a forger, and answered by him",
	 {C(OUTSIDE, S, 1, 0, 0), V(OURS_NO_SOCKET, SA, 9, 2, 0), V(FORGED, RA, 10, 2, 0), V(FORGED, SA, 77, 2, 0),
	  C(OUTSIDE, A, 2, 78, 0)}},
	{"forwarded, refused by a forger, and answered by him",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORWARDED, SA, 9, 2, 0), V(FORGED, RA, 10, 2, 0), V(FORGED, SA, 77, 2, 0),
	  C(OUTSIDE, A, 2, 78, 0)}},
	{"a forged segment, forwarded; the other host's RST",
	 {C(OUTSIDE, FA, 5, 6, 0), C(FORWARDED, FA, 5, 6, 0), V(OTHER_SIDE, RA, 6, 6, 0), V(FORWARDED, RA, 6, 6, 0),
	  C(OUTSIDE, FA, 5, 6, 0)}},
	{"the same, seen at the inner interface alone",
	 {C(FORWARDED, A, 5, 6, 9), V(OUTSIDE, R, 6, 0, 0), C(FORWARDED, A, 5, 6, 9)}},
	{"both ends on this host", {C(OURS, S, 1, 0, 0), V(OURS, SA, 9, 2, 0), C(OURS, A, 2, 10, 0)}, .proved = true},
	{"one way: all from one side",
	 {C(OUTSIDE, S, 1, 0, 0), V(FORGED, SA, 9, 2, 0), C(OUTSIDE, A, 2, 10, 0)},
	 .one_way = true},
#undef C
#undef V
};

static void test_rows(void)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++)
		for (u32 n = 0; n < 2; n++) { /* IPv4, IPv6 */
			struct trust t;

			begin(&t, rows[i].one_way);
			t.forwards = rows[i].forwards;
			for (size_t k = 0; k < SW_ARRAY_SIZE(rows[i].segment) && rows[i].segment[k].flags; k++) {
				struct sw_packet p =
					segment(n, rows[i].segment[k].server, rows[i].segment[k].flags,
						rows[i].segment[k].seq, rows[i].segment[k].ack, rows[i].segment[k].len);

				place(&p, rows[i].segment[k].seen);
				t.now += 20000000; /* nothing more to be waited for */
				feed(&t, p);
			}
			TEST(!!believed(&t) == rows[i].proved, "%s: %s", rows[i].name,
			     rows[i].proved ? "not believed" : "believed");
			TEST(!!t.verified == rows[i].verified, "%s: its client is %sverified", rows[i].name,
			     rows[i].verified ? "not " : "");
			engine_close(&t.e);
		}
}

/* A living connection, and a SYN and its answer forged from outside. */
static void test_replaced(void)
{
	struct trust t;
	struct sw_packet p;

	begin(&t, false);
	for (size_t k = 0; k < 3; k++) {
		p = segment(0, rows[0].segment[k].server, rows[0].segment[k].flags, rows[0].segment[k].seq,
			    rows[0].segment[k].ack, 0);
		place(&p, rows[0].segment[k].seen);
		feed(&t, p);
	}
	p = segment(0, false, SW_TCP_SYN, 700, 0, 0);
	place(&p, OUTSIDE);
	feed(&t, p);
	p = segment(0, true, SW_TCP_SYN | SW_TCP_ACK, 900, 701, 0);
	place(&p, FORGED);
	feed(&t, p);
	TEST(believed(&t), "a forged SYN and SYN-ACK took a living connection");
	place(&p, OURS_NO_SOCKET);
	feed(&t, p);
	TEST(!believed(&t), "the host's own answer to a new SYN did not replace the old connection");
	engine_close(&t.e);
}

/* A client of this host uses its port again: its SYN left, so the answer that came in is believed. */
static void test_reused(void)
{
	static const struct {
		enum seen seen;
		bool server;
		u8 flags;
		u32 seq, ack;
	} segments[] = {{OURS, false, SW_TCP_SYN, 1, 0},
			{OUTSIDE, true, SW_TCP_SYN | SW_TCP_ACK, 9, 2},
			{OURS, false, SW_TCP_ACK, 2, 10},
			{OURS_NO_SOCKET, false, SW_TCP_SYN, 700, 0},
			{OUTSIDE, true, SW_TCP_SYN | SW_TCP_ACK, 900, 701},
			{OURS, false, SW_TCP_ACK, 701, 901}};
	struct trust t;
	struct sw_conn c;
	u32 fresh = 0;

	begin(&t, false);
	for (size_t k = 0; k < SW_ARRAY_SIZE(segments); k++) {
		struct sw_packet p =
			segment(0, segments[k].server, segments[k].flags, segments[k].seq, segments[k].ack, 0);
		place(&p, segments[k].seen);
		feed(&t, p);
	}
	for (u32 at = 0; at < t.e.conf.sets; at++)
		for (u32 way = 0; way < SW_WAYS; way++)
			fresh += engine_conn(&t.e, at, way, &c) && c.end[SW_CLIENT].isn == 700 && c.flags & SW_C_PROVED;
	TEST(fresh == 1, "the new connection of this host's client is not there");
	engine_close(&t.e);
}

/* Data keep a connection; silence ends it, however active it was before. */
static void test_silence(void)
{
	struct sw_packet data = segment(0, false, SW_TCP_ACK, 2, 10, 1);
	struct trust t;

	begin(&t, false);
	for (size_t k = 0; k < 3; k++) {
		struct sw_packet p = segment(0, rows[0].segment[k].server, rows[0].segment[k].flags,
					     rows[0].segment[k].seq, rows[0].segment[k].ack, 0);
		place(&p, rows[0].segment[k].seen);
		feed(&t, p);
	}
	place(&data, OUTSIDE);
	for (int hour = 0; hour < 24 * 30; hour += 2) { /* a keepalive in two hours, for a month */
		t.now += 7200 * SW_NS_PER_S;
		feed(&t, data);
	}
	TEST(t.e.stats.event[SW_EV_MIDSTREAM] == 0 && believed(&t), "keepalives did not keep it");
	t.now += t.e.conf.timeout[SW_T_ESTABLISHED] + t.e.conf.generation_ns + (1 << SW_TICK);
	struct sw_conn c;
	u32 living = 0;
	for (u32 at = 0; at < t.e.conf.sets; at++)
		for (u32 way = 0; way < SW_WAYS; way++)
			living += engine_conn(&t.e, at, way, &c) && !sw_expired(&c, sw_tick(t.now));
	TEST(!living, "silence did not end it");
	engine_close(&t.e);
}

void test_trust(void)
{
	test_random_frames(false);
	test_random_frames(true);
	test_rows();
	test_replaced();
	test_reused();
	test_silence();
}
