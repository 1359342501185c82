// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The shared core, natively: every row of the frame table and every exchange, v4 and v6, tagged and not. */
#include <stdlib.h>

#include "../frames.h"
#include "conf.h"
#include "engine.h"
#include "record.h"
#include "tap.h"

void test_table(void);
void test_hist(void);
void test_cells(void);
void test_model(void);
void test_guard(void);
void test_trace(void);
void test_names(void);
void test_keys(void);
void test_walk(void);
void test_realtime(void);
void test_nic(void);
void test_top(void);
void test_json(void);
void test_trust(void);
void test_host(void);
void count_test(bool ok, const char *what);

/* for the files that do not count themselves */
void count_test(bool ok, const char *what)
{
	TEST(ok, "%s", what);
}

static void test_frames(void)
{
	for (int i = 0; i < frame_count; i++) {
		const struct frame_row *row = &frame_rows[i];
		struct sw_packet p = {0};
		struct frame f = {0};

		row->build(&f);
		/* a copy of exactly its size: a read beyond it is a crash under ASan */
		u8 *copy = malloc(f.len + FRAME_PAD);
		memcpy(copy + FRAME_PAD, frame_data(&f), f.len);
		enum sw_reason why = sw_parse(copy + FRAME_PAD, copy + FRAME_PAD + f.len, f.len, row->l3, &p);
		TEST(why == row->reason, "frame %s: reason %d, not %d", row->name, why, row->reason);
		if (!why)
			TEST(p.kind == row->kind, "frame %s: kind %d, not %d", row->name, p.kind, row->kind);
		free(copy);
	}
}

/* Cut at every byte, a frame is judged or refused, never read beyond its end (ASan watches). */
static void test_cuts(void)
{
	for (int i = 0; i < frame_count; i++) {
		struct frame f = {0};
		int odd = 0;

		frame_rows[i].build(&f);
		for (u32 cut = 0; cut < f.len; cut++) {
			struct sw_packet p = {0};
			u8 *copy = malloc(cut + FRAME_PAD);
			memcpy(copy + FRAME_PAD, frame_data(&f), cut);
			enum sw_reason why =
				sw_parse(copy + FRAME_PAD, copy + FRAME_PAD + cut, f.len, frame_rows[i].l3, &p);
			/* what is cut is truncated, or as bad as before */
			odd += why != SW_TRUNCATED && why != frame_rows[i].reason && why != SW_NOT_IP && why != SW_OK;
			free(copy);
		}
		TEST(!odd, "frame %s: %d cuts judged otherwise", frame_rows[i].name, odd);
	}
}

static const char *const flag_words[][2] = {{"simopen"}, {"simclose"}, {"reset"}};
static const u32 flag_bits[] = {SW_C_SIMOPEN, SW_C_SIMCLOSE, SW_C_RESET};

static void check_conn(const struct exchange *x, const struct sw_conn *c, const struct sw_ladder *l)
{
	char line[LADDER_TEXT];
	const char *ladder = exchange_ladder(line, c, l);

	TEST(c->end[SW_CLIENT].state == x->client && c->end[SW_SERVER].state == x->server, "%s: %s %s", x->name,
	     sw_state_name[c->end[SW_CLIENT].state], sw_state_name[c->end[SW_SERVER].state]);
	TEST(!strcmp(conn_state(c), x->conn_state), "%s: %s, not %s", x->name, conn_state(c), x->conn_state);
	TEST(ladder && (!x->ladder || !strcmp(ladder, x->ladder)), "%s: ladder %s, not %s", x->name, ladder ?: "broken",
	     x->ladder ?: "a whole one");
	for (size_t i = 0; i < SW_ARRAY_SIZE(flag_bits); i++) {
		bool want = x->more && strstr(x->more, flag_words[i][0]);
		TEST(!!(c->flags & flag_bits[i]) == want, "%s: %s", x->name, flag_words[i][0]);
	}
}

static void run_exchange(const struct exchange *x, bool v6, int tags)
{
	struct engine e;
	u64 now = 3600 * SW_NS_PER_S, book[SW_BOOK_COUNT] = {0};
	int found = 0;

	if (engine_open(&e, 64, 64))
		abort();
	conf_defaults(&e.conf);
	e.conf.timeout[SW_T_INFER] = 0;
	for (const struct segment *s = x->segment; s->from != END_OF_LIST; s++) {
		struct frame f = {0};
		build_segment(&f, s, v6, tags);
		now += s->after_ms * 1000000ULL;
		engine_frame(&e, frame_data(&f), f.len, f.len, false, now);
	}
	struct sw_key key = test_key(v6);
	for (u32 at = 0; at < e.conf.sets; at++) {
		for (int b = 0; b < SW_BOOK_COUNT; b++)
			book[b] += e.set[at].book[b];
		struct sw_conn c;
		for (u32 way = 0; way < SW_WAYS; way++)
			if (engine_conn(&e, at, way, &c) && sw_same_key(&c.key, &key)) {
				found++;
				check_conn(x, &c, &e.ladders[at].way[way]);
			}
	}
	TEST(found == x->connections, "%s: %d connections", x->name, found);
	for (int b = 0; b < SW_BOOK_COUNT; b++)
		TEST(book[b] == x->book[b], "%s: book %d is %llu, not %u", x->name, b, book[b], x->book[b]);
	for (int i = 0; i < SW_EVENT_COUNT; i++)
		TEST(!!e.stats.event[i] == !!(x->events >> i & 1), "%s: event %d: %llu", x->name, i, e.stats.event[i]);
	engine_close(&e);
}

int main(void)
{
	test_frames();
	test_cuts();
	for (int i = 0; i < exchange_count; i++) {
		run_exchange(&exchanges[i], false, 0);
		run_exchange(&exchanges[i], true, 2);
	}
	test_table();
	test_hist();
	test_cells();
	test_guard();
	test_top();
	test_json();
	test_trust();
	test_host();
	test_model();
	test_trace();
	test_names();
	test_keys();
	test_walk();
	test_realtime();
	test_nic();
	return tap_end("unit");
}
