// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table: quotas, victims, expiry, and the two laws under pressure. */
#include <math.h>
#include <stdlib.h>

#include "conf.h"
#include "engine.h"
#include "synwave/hist.h"
#include "tap.h"

void test_table(void);
void test_hist(void);

static u64 rnd_state = 1;

static u32 rnd(void)
{
	rnd_state = rnd_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return rnd_state >> 33;
}

struct sums {
	u64 book[SW_BOOK_COUNT];
	u64 hs_open, td_open, kept, half, established;
	bool sane;
};

static void sum_up(const struct engine *e, struct sums *t)
{
	memset(t, 0, sizeof(*t));
	t->sane = true;
	for (u32 at = 0; at < e->conf.sets; at++) {
		const struct sw_set *s = &e->set[at];
		for (int b = 0; b < SW_BOOK_COUNT; b++)
			t->book[b] += s->book[b];
		u32 live = (1u << e->conf.live_ways) - 1;
		t->kept += sw_bits(s->kept);
		t->half += sw_bits(s->used & ~live);
		t->sane &= !(s->kept & ~(s->used & live)) && !(s->closed & ~s->used) && !(s->kept & s->closed) &&
			   sw_bits(s->kept) + SW_LOOSE <= e->conf.live_ways;
		for (u32 w = 0; w < SW_WAYS; w++) {
			struct sw_conn conn, *c = &conn;
			if (!engine_conn(e, at, w, c)) {
				t->sane &= !e->tags[at].tag[w];
				continue;
			}
			t->sane &= sw_fits_half(c) == (w >= e->conf.live_ways);
			t->sane &= e->tags[at].tag[w] != 0;
			t->hs_open += !!(c->flags & SW_C_HS_OPEN);
			t->td_open += !!(c->flags & SW_C_TD_OPEN);
			t->established += c->end[0].state == SW_ESTABLISHED && c->end[1].state == SW_ESTABLISHED;
		}
	}
}

static bool laws(const struct sums *t)
{
	const u64 *b = t->book;

	return b[SW_HS_STARTED] == b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] + b[SW_HS_TIMED_OUT] +
					   b[SW_HS_EVICTED] + t->hs_open &&
	       b[SW_TD_STARTED] ==
		       b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] + b[SW_TD_EVICTED] + t->td_open;
}

static bool short_way = true; /* for first SYNs, as everywhere else */

static void feed(struct engine *e, const struct sw_packet *segment, u64 now)
{
	struct sw_packet packet = *segment, *p = &packet;
	u32 hash = sw_hash_of(&e->conf, p), at = sw_set_of(hash, e->conf.sets);
	struct sw_shelf f = engine_shelf(e, at);
	struct sw_trace trace;
	struct sw_conn c;
	struct sw_step step = {.cookie = p->kind == SW_KIND_ACK && !((p->seq + p->ack + now / 1000000) & 15)};

	p->generation = now / e->conf.generation_ns;
	if (sw_quiet(&e->tags[at], sw_tag_of(hash), p, p->generation))
		return;
	if (!short_way || !sw_table_first(&f, sw_tag_of(hash), p, now, &step))
		sw_table_step(&f, sw_tag_of(hash), p, now, &step, &c, &trace);
	for (int i = 0; i < SW_EVENT_COUNT; i++)
		e->stats.event[i] += step.events >> i & 1;
}

static int family; /* of the clients; 0: of both */

static struct sw_packet packet(u32 n, bool server, u8 flags, u32 seq, u32 ack)
{
	struct sw_packet p = {.from = server, .flags = flags, .seq = seq, .ack = ack, .window = 1000};

	/* every other client speaks IPv6 unless all are to be of one family */
	p.v6 = family ? family == 6 : !(n & 1);
	if (!p.v6)
		p.key.addr[0][2] = p.key.addr[1][2] = SW_V4_WORD;
	p.key.addr[0][3] = n;
	p.key.addr[1][3] = 1;
	p.key.port[0] = 40000;
	p.key.port[1] = 80;
	p.wscale = SW_WSCALE_NONE;
	p.kind = sw_kind_of(flags, 0);
	return p;
}

static void establish(struct engine *e, u32 n, u64 now)
{
	struct sw_packet p = packet(n, false, SW_TCP_SYN, 1, 0);

	feed(e, &p, now);
	p = packet(n, true, SW_TCP_SYN | SW_TCP_ACK, 9, 2);
	feed(e, &p, now);
	p = packet(n, false, SW_TCP_ACK, 2, 10);
	feed(e, &p, now);
}

/* As many connections as were asked for find a place, and a flood ten times the table takes none of it. */
static void test_flood(int version)
{
	enum { FLOWS = 4096, HALF = 1024 };
	u64 now = 1000 * SW_NS_PER_S;
	struct engine e;
	struct sums t;

	if (engine_open(&e, FLOWS, HALF))
		abort();
	conf_defaults(&e.conf);
	family = version;
	for (u32 i = 0; i < FLOWS; i++)
		establish(&e, i + 2, now);
	sum_up(&e, &t);
	TEST(t.kept >= FLOWS * 98 / 100, "of %d connections %llu are kept", FLOWS, t.kept);
	u64 kept = t.kept;
	for (u32 i = 0; i < 10 * (FLOWS + HALF); i++) {
		struct sw_packet p = packet(0x80000000 + i, false, SW_TCP_SYN, i, 0);
		feed(&e, &p, now + i * 1000);
	}
	sum_up(&e, &t);
	TEST(t.kept == kept, "a flood took %llu of %llu", kept - t.kept, kept);
	TEST(version == 6 || t.half >= HALF, "half-open class holds %llu of %d", t.half, HALF);
	TEST(t.book[SW_HS_EVICTED] > 0, "evictions are counted");
	TEST(t.half <= (u64)e.conf.sets * e.conf.half_ways, "the half-open class keeps to its ways");
	TEST(t.sane, "bitmaps, tags and quotas agree");
	TEST(laws(&t), "the laws hold");
	family = 0;
	engine_close(&e);
}

static bool same_tables(const struct engine *a, const struct engine *b)
{
	u64 sets = a->conf.sets;

	return !memcmp(a->tags, b->tags, sets * sizeof(*a->tags)) && !memcmp(a->set, b->set, sets * sizeof(*a->set)) &&
	       !memcmp(a->live, b->live, sets * a->conf.live_ways * sizeof(*a->live)) &&
	       !memcmp(a->half, b->half, sets * a->conf.half_ways * sizeof(*a->half)) &&
	       !memcmp(&a->stats, &b->stats, sizeof(a->stats));
}

/* The short way for first SYNs leaves the same bytes as the long one. */
static void test_short_way(void)
{
	static const u8 flags[] = {SW_TCP_SYN, SW_TCP_SYN | SW_TCP_ECE | SW_TCP_CWR, SW_TCP_SYN | SW_TCP_ACK,
				   SW_TCP_ACK};
	u64 now = 1000 * SW_NS_PER_S;
	struct engine a, b;
	int differ = 0;

	if (engine_open(&a, 64, 64) || engine_open(&b, 64, 64))
		abort();
	conf_defaults(&a.conf);
	b.conf = a.conf;
	for (int i = 0; i < 100000; i++) {
		struct sw_packet p =
			packet(2 + rnd() % 2000, rnd() % 4 == 3, flags[rnd() % 4], 1 + rnd() % 4, 1 + rnd() % 4);
		p.len = rnd() % 8 ? 0 : rnd() % 70000;
		p.local = rnd() % 2;
		p.mss = rnd();
		p.options = rnd() % 2 ? SW_E_MSS | SW_E_TS : 0;
		p.seen_at = rnd() % 2;
		now += (u64)(rnd() % 1000 ? rnd() % 1000 : rnd() % 90000) * 1000000;
		feed(&a, &p, now);
		short_way = false;
		feed(&b, &p, now);
		short_way = true;
		differ += i % 101 == 0 && !same_tables(&a, &b);
	}
	TEST(!differ && same_tables(&a, &b), "the short way left other tables %d times", differ);
	engine_close(&a);
	engine_close(&b);
}

/* Clients in a row (addresses, then ports) fill the sets as evenly as any others, whatever the key. */
static void test_spread(void)
{
	enum { SETS = 256, KEYS = 200, PER_SET = 16 };
	int uneven = 0, differ = 0;

	for (int round = 0; round < KEYS; round++) {
		struct sw_conf conf = {.sets = SETS};
		u32 load[SETS] = {0}, worst = 0;

		conf_defaults(&conf);
		for (u32 i = 0; i < SETS * PER_SET; i++) {
			struct sw_packet p = packet(round & 1 ? 7 : i, false, SW_TCP_SYN, 1, 0);
			p.key.port[0] += round & 1 ? i : 0;
			u32 *n = &load[sw_set_of(sw_hash_of(&conf, &p), SETS)];

			differ += sw_hash(&conf, &p.key) != sw_hash_of(&conf, &p);
			worst = ++*n > worst ? *n : worst;
		}
		/* Poisson of mean 16: beyond 44 once in ten million sets */
		uneven += worst > 44;
	}
	TEST(!differ, "IPv4's way to the hash leads elsewhere %d times", differ);
	TEST(!uneven, "clients in a row crowd a set with %d of %d keys", uneven, KEYS);
}

/* Random segments of few connections, time running: nothing must break the laws. */
static void test_random(void)
{
	static const u8 flags[] = {SW_TCP_SYN, SW_TCP_SYN | SW_TCP_ACK, SW_TCP_ACK, SW_TCP_FIN | SW_TCP_ACK,
				   SW_TCP_RST, SW_TCP_RST | SW_TCP_ACK};
	u64 now = 1000 * SW_NS_PER_S;
	struct engine e;
	struct sums t;
	int broken = 0;

	if (engine_open(&e, 64, 32))
		abort();
	conf_defaults(&e.conf);
	memset(e.conf.hash_key, 0x5a, sizeof(e.conf.hash_key)); /* the same run each time */
	for (int i = 0; i < 400000; i++) {
		struct sw_packet p = packet(2 + rnd() % 300, rnd() % 2, flags[rnd() % 16 ? rnd() % 4 : 4 + rnd() % 2],
					    1 + rnd() % 4, 1 + rnd() % 4);
		p.len = rnd() % 8 ? 0 : rnd() % 3;
		p.kind = sw_kind_of(p.flags, p.len);
		p.seen_at = rnd() % 2;
		now += (u64)(rnd() % 1000 ? rnd() % 1000 : rnd() % 90000) * 1000000;
		feed(&e, &p, now);
		if (i % 97)
			continue;
		sum_up(&e, &t);
		broken += !laws(&t) || !t.sane;
	}
	TEST(!broken, "random segments broke the laws %d times", broken);
	for (int i = 0; i < SW_EVENT_COUNT; i++)
		if (i != SW_EV_UNPROTECTED && i != SW_EV_CLOSE_FOUR_WAY)
			TEST(e.stats.event[i], "random segments never met event %d", i);
	engine_close(&e);
}

/* A busy connection outlives its deadline, a silent one does not. */
static void test_second_chance(void)
{
	u64 now = 1000 * SW_NS_PER_S, day = 86400 * SW_NS_PER_S;
	struct sw_packet data = packet(2, false, SW_TCP_ACK, 2, 10);
	struct engine e;
	struct sums t;

	if (engine_open(&e, 24, 6))
		abort();
	conf_defaults(&e.conf);
	establish(&e, 2, now);
	establish(&e, 3, now);
	feed(&e, &data, now + day);
	family = 6;
	for (u32 i = 0; i < 100; i++) { /* inserts among the large ways turn the hand */
		struct sw_packet p = packet(1000 + i, false, SW_TCP_SYN, i, 0);
		feed(&e, &p, now + 6 * day);
	}
	family = 0;
	sum_up(&e, &t);
	TEST(t.established == 1, "%llu connections are left", t.established);
	engine_close(&e);
}

/* One direction alone takes the fast way at once; the first segment of the other, however late, does not. */
static void test_late_direction(void)
{
	u64 now = 1000 * SW_NS_PER_S;
	struct sw_packet first = packet(2, false, SW_TCP_ACK, 1, 1), back = packet(2, true, SW_TCP_ACK, 1, 1);
	struct engine e;
	struct sums t;

	if (engine_open(&e, 24, 6))
		abort();
	conf_defaults(&e.conf);
	first.generation = back.generation = now / e.conf.generation_ns;
	u32 hash = sw_hash(&e.conf, &first.key);
	struct sw_tags *tags = &e.tags[sw_set_of(hash, e.conf.sets)];
	feed(&e, &first, now);
	TEST(sw_quiet(tags, sw_tag_of(hash), &first, first.generation), "the visible direction takes the slow way");
	TEST(!sw_quiet(tags, sw_tag_of(hash), &back, back.generation), "the other direction is not noticed");
	feed(&e, &back, now + 1000);
	sum_up(&e, &t);
	TEST(t.kept == 1 && t.established == 1, "seen from both sides, it is not kept");
	TEST(sw_quiet(tags, sw_tag_of(hash), &first, first.generation) &&
		     sw_quiet(tags, sw_tag_of(hash), &back, back.generation),
	     "it does not come to rest");
	engine_close(&e);
}

static void test_match(void)
{
	struct sw_tags t;
	int wrong = 0;

	for (int round = 0; round < 20000; round++) {
		u16 tag = 1 + rnd() % 3;
		u32 want = 0, wait[2] = {0}, waiting;
		for (int i = 0; i < SW_WAYS; i++) {
			u16 print = rnd() % 4;
			t.tag[i] = print ? print | (rnd() % 4) << 14 : 0;
			want |= (u32)(print == tag) << SW_SEAT(i);
			wait[0] |= (u32)(print == tag && t.tag[i] & SW_WAIT_LO) << SW_SEAT(i);
			wait[1] |= (u32)(print == tag && t.tag[i] & SW_WAIT_HI) << SW_SEAT(i);
		}
		t.active = rnd();
		for (u32 from = 0; from < 2; from++)
			wrong += sw_match(&t, tag, from, &waiting) != want || waiting != wait[from];
	}
	TEST(!wrong, "tags matched wrongly %d times", wrong);
	for (u32 i = 0; i < 32; i++)
		TEST(sw_lowest(1u << i | (i < 31 ? 1u << 31 : 0)) == i, "lowest bit %u", i);
	for (int i = 0; i < 1000; i++) {
		u32 m = rnd() ^ rnd() << 15;
		TEST(sw_bits(m) == (u32)__builtin_popcount(m), "bits of %x", m);
	}
}

/* Sizes: what is asked for fits on average, both classes have their minimum. */
static void test_sizes(void)
{
	static const u32 ask[][2] = {{262144, 65536}, {1, 1},          {64, 16},
				     {1000000, 1000}, {1000, 1000000}, {16000000, 4000000}};

	for (size_t i = 0; i < SW_ARRAY_SIZE(ask); i++) {
		struct sw_conf c = {0};
		conf_sizes(&c, ask[i][0], ask[i][1]);
		TEST((u64)c.sets * (c.live_ways - SW_LOOSE) >= ask[i][0] && (u64)c.sets * c.half_ways >= ask[i][1],
		     "%u flows and %u half-open fit into %u sets", ask[i][0], ask[i][1], c.sets);
		TEST(c.live_ways > SW_LOOSE && c.half_ways && c.live_ways + c.half_ways == SW_WAYS, "ways of %u, %u",
		     ask[i][0], ask[i][1]);
	}
}

/* Of `mean` connections in a set on average, those that find none of its ways, as a share. */
static double lost(double mean, u32 ways)
{
	double p = exp(-mean), sum = 0;

	for (u32 x = 0; x < ways + 200; p *= mean / ++x)
		sum += x > ways ? (x - ways) * p : 0;
	return sum / mean;
}

static void test_loads(void)
{
	for (u32 ways = 2; ways <= 28; ways++) {
		double live = lost(conf_live_load[ways] / 100.0, ways), half = lost(conf_half_load[ways] / 100.0, ways);
		TEST(live <= 0.005 && half <= 0.02, "of %u ways %g and %g are lost", ways, live, half);
		live = lost((conf_live_load[ways] + 1) / 100.0, ways);
		half = lost((conf_half_load[ways] + 1) / 100.0, ways);
		TEST(live > 0.005 && half > 0.02, "%u ways hold more", ways);
	}
}

void test_table(void)
{
	test_match();
	test_sizes();
	test_loads();
	test_spread();
	test_flood(4);
	test_flood(6);
	test_random();
	test_second_chance();
	test_late_direction();
	test_short_way();
}

void test_hist(void)
{
	u32 wrong = 0;

	for (u32 i = 0; i + 1 < SW_HIST_BUCKETS; i++) {
		u64 upper = sw_hist_upper(i);
		wrong += sw_hist_index(upper - 1) != i || sw_hist_index(upper) != i + 1;
	}
	TEST(!wrong, "%u buckets of the histogram do not meet", wrong);
	TEST(sw_hist_index(0) == 0 && sw_hist_index(~0ULL) == SW_HIST_BUCKETS - 1, "ends of the histogram");
	TEST(sw_hist_upper(SW_HIST_BUCKETS - 2) == 1ULL << (SW_HIST_SHIFT + SW_HIST_OCTAVES), "the last bound");
}
