// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading a table whose writer never rests. The maps are an engine's arrays, and between any two readings of them it takes
 * some segments more: no reading fails, no total is wrong, no counter goes back. */
#include <bpf/bpf.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../frames.h"
#include "conf.h"
#include "engine.h"
#include "snapshot.h"
#include "tap.h"

void test_walk(void);

#define READINGS 100
#define MS       1000000ULL
#define TIMEOUT  (40 * MS)

enum { FD_TAGS = 1000, FD_SETS, FD_LIVE, FD_HALF, FD_LADDERS };

static struct {
	struct engine e;
	u64 now;
	u32 steps; /* of the writer, between two readings of a map */
	u32 chance; /* not 0: once in so many readings, that many at most */
	u64 random;
	u32 ports; /* that it uses */
	u32 port, segment;
	u64 lookups;
} w;

/* Connections that open and close, each from another port; most of them stay half-open, and time out (all close where the
 * writer pauses: half-open ones would never leave a way free). */
static void step(void)
{
	static const struct {
		u8 from, flags;
		u32 seq, ack;
	} life[] = {{SW_CLIENT, SW_TCP_SYN, 1, 0},
		    {SW_SERVER, SW_TCP_SYN | SW_TCP_ACK, 9, 2},
		    {SW_CLIENT, SW_TCP_ACK, 2, 10},
		    {SW_CLIENT, SW_TCP_ACK | SW_TCP_FIN, 2, 10},
		    {SW_SERVER, SW_TCP_ACK | SW_TCP_FIN, 10, 3},
		    {SW_CLIENT, SW_TCP_ACK, 3, 11}};
	bool client = life[w.segment].from == SW_CLIENT;
	u16 port = 1024 + w.port % w.ports;
	struct frame f = {0};

	build_between(&f, client ? "192.0.2.1" : "192.0.2.2", client ? port : 80, client ? "192.0.2.2" : "192.0.2.1",
		      client ? 80 : port, life[w.segment].flags, life[w.segment].seq + w.port, life[w.segment].ack);
	w.now += MS;
	engine_frame(&w.e, frame_data(&f), f.len, f.len, false, w.now);
	if (++w.segment == (w.chance || w.port % 4 == 1 ? SW_ARRAY_SIZE(life) : 1 + w.port % 2)) {
		w.segment = 0;
		w.port++;
	}
}

/* --- the kernel's side: these take the place of libbpf's ------------------------------------------------------------ */

static u32 steps_now(void)
{
	if (!w.chance)
		return w.steps;
	w.random = w.random * 6364136223846793005ULL + 1442695040888963407ULL;
	return w.random >> 33 & (w.chance - 1) ? 0 : (w.random >> 50) % (w.steps + 1);
}

static int look_up(int fd, u32 at, void *value)
{
	const struct sw_conf *c = &w.e.conf;
	const struct {
		const void *from;
		size_t size;
	} map[] = {{w.e.tags, sizeof(*w.e.tags)},
		   {w.e.set, sizeof(*w.e.set)},
		   {w.e.live, c->live_ways * sizeof(*w.e.live)},
		   {w.e.half, c->half_ways * sizeof(*w.e.half)},
		   {w.e.ladders, sizeof(*w.e.ladders)}};

	for (u32 i = steps_now(); i; i--)
		step();
	w.lookups++;
	memcpy(value, (const char *)map[fd - FD_TAGS].from + at * map[fd - FD_TAGS].size, map[fd - FD_TAGS].size);
	return 0;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	return look_up(fd, *(const u32 *)key, value);
}

int bpf_map_lookup_elem_flags(int fd, const void *key, void *value, __u64 flags)
{
	return flags == BPF_F_LOCK && fd == FD_SETS ? look_up(fd, *(const u32 *)key, value) : -EINVAL;
}

int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	static const size_t size[] = {sizeof(struct sw_tags), sizeof(struct sw_set)};
	u32 from = in ? *(u32 *)in : 0;
	size_t one = fd == FD_LIVE   ? w.e.conf.live_ways * sizeof(struct sw_live)
		     : fd == FD_HALF ? w.e.conf.half_ways * sizeof(struct sw_half)
				     : size[fd - FD_TAGS];

	(void)keys, (void)opts;
	for (u32 i = 0; i < *count; i++)
		look_up(fd, from + i, (char *)values + i * one);
	*(u32 *)out = from + *count;
	return 0;
}

/* --------------------------------------------------------------------------------------------------------------------- */

static void begin(struct store *s, u32 flows, u32 ports)
{
	memset(&w, 0, sizeof(w));
	if (engine_open(&w.e, flows, 1))
		abort();
	conf_defaults(&w.e.conf);
	w.e.conf.ladder = 1;
	for (u32 i = 0; i < SW_TIMEOUT_COUNT; i++)
		w.e.conf.timeout[i] = i == SW_T_INFER ? 0 : TIMEOUT;
	w.now = 1000 * MS;
	w.ports = ports;
	*s = (struct store){.dir = "test", .info.conf = w.e.conf};
	s->fd.tags = FD_TAGS;
	s->fd.sets = FD_SETS;
	s->fd.live = FD_LIVE;
	s->fd.half = FD_HALF;
	s->fd.ladders = FD_LADDERS;
}

struct seen {
	u64 changing, failed, unlawful, off, listed;
};

/* What it is at this moment. */
static void truth(struct snapshot *m, u64 now)
{
	static struct snapshot_service none;

	*m = (struct snapshot){.service = &none, .now_ns = now};
	for (u32 at = 0; at < w.e.conf.sets; at++) {
		struct sw_shelf f = engine_shelf(&w.e, at);

		snapshot_add_set(m, &f, 0);
	}
}

static void check_totals(struct seen *seen, const struct snapshot *m, const struct snapshot *from,
			 const struct snapshot *to)
{
	const u64 *b = m->book;

	seen->unlawful += b[SW_HS_STARTED] != b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] +
						      b[SW_HS_TIMED_OUT] + b[SW_HS_EVICTED] + m->hs_in_progress;
	seen->unlawful += b[SW_TD_STARTED] != b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] +
						      b[SW_TD_EVICTED] + m->td_in_progress;
	for (u32 i = 0; i < SW_BOOK_COUNT; i++) /* so none can go back from one reading to the next */
		seen->off += b[i] < from->book[i] || b[i] > to->book[i];
	seen->changing += m->sets_changing;
	for (u32 role = 0; role < 2; role++)
		for (u32 state = 0; state < SW_STATE_COUNT; state++)
			seen->listed += m->state[role][state];
}

/* All of it again and again, by a writer that takes `steps` segments between any two readings. */
static struct seen read_all(u32 steps, u32 ports)
{
	struct snapshot m, from, to;
	struct seen seen = {0};
	struct store s;

	begin(&s, 1, ports);
	for (u32 i = 0; i < READINGS; i++) {
		u64 now;

		for (u32 k = 0; k < 20; k++) /* so that there is something to read, also where the writer is slow */
			step();
		now = w.now;
		truth(&from, now);
		m = (struct snapshot){.service = from.service, .now_ns = now};
		w.steps = steps;
		seen.failed += store_walk(&s, now, snapshot_add_set, &m) != 0;
		w.steps = 0;
		truth(&to, now);
		check_totals(&seen, &m, &from, &to);
	}
	TEST(to.book[SW_TD_STARTED] && (to.book[SW_HS_TIMED_OUT] || ports == 1),
	     "walk: the writer made nothing of that kind");
	engine_close(&w.e);
	return seen;
}

static int count_strangers(void *ctx, const struct sw_shelf *f, u32 doubt)
{
	u32 *strangers = ctx;
	struct sw_conn c;

	for (u32 way = 0; way < SW_WAYS; way++)
		if (f->set->used >> way & 1 & ~(doubt >> way) && sw_load(f, way, &c))
			*strangers += (f->tags->tag[way] & SW_TAG) != sw_tag_of(sw_hash(f->conf, &c.key));
	return 0;
}

/* A writer that runs now and then, as on the only CPU: an entry that came after its tag was read, and left before that was
 * read again, is the same in both readings. */
static void read_between_pauses(void)
{
	u32 strangers = 0, failed = 0;
	struct store s;

	for (u32 i = 0; i < 2000; i++) {
		begin(&s, 10, 200); /* in a table with room: a full one gives the next a way that another leaves */
		w.random = i;
		w.steps = 12;
		w.chance = 4;
		for (u32 k = 0; k < 3; k++)
			failed += store_walk(&s, w.now, count_strangers, &strangers) != 0;
		engine_close(&w.e);
	}
	TEST(!failed && !strangers, "walk, between pauses: %u failed, %u entries under the tag of another", failed,
	     strangers);
}

/* One connection, found again and again. */
static void find(u32 steps, u32 ports)
{
	u32 found = 0, failed = 0;
	struct sw_packet p = {.key.port = {1024, 80}};
	struct store_conn c;
	struct store s;

	begin(&s, 1, ports);
	for (u32 i = 0; i < 2; i++) {
		p.key.addr[i][2] = SW_V4_WORD;
		p.key.addr[i][3] = htonl(0xc0000201 + i);
	}
	sw_key_order(&p);
	for (u32 i = 0; i < READINGS; i++) {
		int err;

		step();
		w.steps = steps;
		err = store_find(&s, &p.key, &c);
		w.steps = 0;
		found += !err;
		failed += err && err != -ENOENT;
	}
	TEST(!failed && found > READINGS / 4, "find, %u segments meanwhile: %u of %u found, %u failed", steps, found,
	     READINGS, failed);
	engine_close(&w.e);
}

void test_walk(void)
{
	static const struct {
		u32 steps, ports;
	} row[] = {{0, 200}, {1, 200}, {1, 1}, {3, 200}, {20, 200}, {20, 1}};

	for (size_t i = 0; i < SW_ARRAY_SIZE(row); i++) {
		struct seen seen = read_all(row[i].steps, row[i].ports);

		TEST(!seen.failed, "walk, %u segments meanwhile: %llu readings failed", row[i].steps, seen.failed);
		TEST(!seen.unlawful, "walk, %u segments meanwhile, %u ports: %llu totals are wrong", row[i].steps,
		     row[i].ports, seen.unlawful);
		TEST(!seen.off, "walk, %u segments meanwhile, %u ports: %llu counters are of no moment in between",
		     row[i].steps, row[i].ports, seen.off);
		TEST(row[i].steps ? seen.changing || row[i].steps < 20 : !seen.changing,
		     "walk, %u segments meanwhile, %u ports: %llu sets in doubt", row[i].steps, row[i].ports,
		     seen.changing);
		TEST(seen.listed || row[i].steps > 3 || row[i].ports == 1,
		     "walk, %u segments meanwhile: nothing is listed", row[i].steps);
	}
	read_between_pauses();
	for (u32 steps = 0; steps < 2; steps++)
		find(steps, 1);
}
