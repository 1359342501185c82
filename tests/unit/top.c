// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What `synwave top` remembers and shows, without a terminal: rates, gaps, sparklines, order, filter, keys. */
#include <arpa/inet.h>
#include <curses.h>
#include <math.h>
#include <stdlib.h>

#include "tap.h"
#include "top.h"

void test_top(void);

#define SECOND SW_NS_PER_S

/* A reading at `now_s` of the instance `created`; the test fills in what it is about. */
static struct top_reading *reading(struct top_model *t, u64 created, double now_s)
{
	struct top_reading *r = top_blank(t);

	r->snap.created_ns = created;
	r->snap.now_ns = now_s * 1e9;
	r->snap.service = calloc(SW_SERVICES, sizeof(*r->snap.service));
	return r;
}

static void add_service(struct top_reading *r, const char *addr, u16 port, u64 syn, u64 half_open)
{
	struct snapshot_service *s = &r->snap.service[r->snap.services++];

	if (!words_addr(addr, s->key.addr, NULL))
		abort();
	s->key.port = port;
	s->count.syn = syn;
	s->half_open = half_open;
}

static void add_source(struct top_reading *r, const char *addr, u32 prefix, u64 count, u64 error)
{
	struct sw_top_entry *e = &r->source[r->sources++];

	if (!words_addr(addr, e->addr, NULL))
		abort();
	e->prefix = prefix;
	e->count = count;
	e->error = error;
	e->last_ns = r->snap.now_ns;
}

/* With a history: what is asked about `line`, `ago` readings back. */
static bool is(const struct top_model *t, enum top_line line, u32 ago, double want)
{
	double got = top_past(t, line, ago);

	return isnan(want) ? isnan(got) : fabs(got - want) < 1e-9;
}

static void test_rates(struct top_model *t)
{
	struct top_reading *r = reading(t, 1, 10);

	TEST(is(t, TOP_SYN, 0, NAN), "nothing is known before the first reading");
	r->snap.count.kind[SW_KIND_SYN] = 1000;
	r->snap.half_open = 7;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, NAN) && is(t, TOP_HALF_OPEN, 0, 7), "one reading: gauges, no rates");

	r = reading(t, 1, 12.5);
	r->snap.count.kind[SW_KIND_SYN] = 1500;
	r->snap.book[SW_HS_REFUSED] = 10;
	r->snap.book[SW_HS_EVICTED] = 40;
	r->snap.book[SW_TD_COMPLETED] = 5;
	r->snap.book[SW_TD_RESET] = 20;
	r->snap.count.verdict[SW_V_DROP_DENY] = 3;
	r->snap.count.verdict[SW_V_DROP_SOURCE] = 2;
	r->snap.count.ignored[SW_OK] = 1000000;
	r->snap.count.ignored[SW_NOT_TCP] = 25;
	r->snap.count.syn_synack.bucket[0] = 4;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, 200), "500 SYNs in 2.5 s");
	TEST(is(t, TOP_FAILURES, 0, 20) && is(t, TOP_TEARDOWNS, 0, 10), "failures and teardowns are sums");
	TEST(is(t, TOP_DROPPED, 0, 2) && is(t, TOP_IGNORED, 0, 10), "verdicts and frames not judged are sums");
	TEST(t->syn_synack.count == 4, "latencies of the time in between");
	TEST(is(t, TOP_SYN, 1, NAN) && is(t, TOP_HALF_OPEN, 1, 7), "what was before is remembered");

	r = reading(t, 1, 13.5);
	r->snap.count.kind[SW_KIND_SYN] = 1499;
	r->snap.count.syn_synack.bucket[0] = 4;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, 0), "a counter that seems to go back has not moved");
	TEST(t->syn_synack.count == 0, "no latency since");
}

static void test_gaps(struct top_model *t)
{
	struct top_reading *r;

	top_miss(t);
	TEST(is(t, TOP_SYN, 0, NAN) && is(t, TOP_HALF_OPEN, 0, NAN), "a miss is a gap");
	TEST(t->now && t->now->snap.count.kind[SW_KIND_SYN] == 1499, "the last numbers stay");
	top_blank(t); /* tried, and failed again */
	top_miss(t);
	r = reading(t, 1, 20);
	r->snap.count.kind[SW_KIND_SYN] = 9000;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, NAN), "no rate over a gap");
	r = reading(t, 1, 21);
	r->snap.count.kind[SW_KIND_SYN] = 9001;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, 1), "rates go on after it");

	r = reading(t, 2, 22);
	r->snap.count.kind[SW_KIND_SYN] = 9100;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, NAN), "another instance counts anew");
	r = reading(t, 2, 22);
	r->snap.count.kind[SW_KIND_SYN] = 9100;
	top_add(t);
	TEST(is(t, TOP_SYN, 0, NAN), "no rate between readings of the same instant");
}

static bool levels(const struct top_model *t, u32 columns, const char *want)
{
	u8 level[TOP_HISTORY];
	bool same = true;

	top_spark(t, TOP_HALF_OPEN, level, columns);
	for (u32 i = 0; i < columns; i++)
		same &= level[i] == want[i] - '0';
	return same;
}

static void gauge(struct top_model *t, u64 value)
{
	reading(t, 1, 1)->snap.half_open = value;
	top_add(t);
}

static void test_sparks(struct top_model *t)
{
	TEST(levels(t, 3, "000"), "no reading, no spark");
	gauge(t, 0);
	TEST(levels(t, 3, "001"), "zero is not nothing");
	gauge(t, 1);
	gauge(t, 700);
	TEST(levels(t, 3, "128"), "one is seen beside many");
	gauge(t, 350);
	TEST(levels(t, 4, "1285"), "half as high");
	top_miss(t);
	gauge(t, 100);
	TEST(levels(t, 6, "128503"), "a gap");
	TEST(levels(t, 1, "8") && levels(t, 2, "08"), "scaled by what is shown");
	for (u32 i = 0; i < 3 * TOP_HISTORY; i++)
		gauge(t, i % TOP_HISTORY);
	TEST(is(t, TOP_HALF_OPEN, TOP_HISTORY - 1, 0) && is(t, TOP_HALF_OPEN, TOP_HISTORY, NAN), "the ring is full");
	TEST(is(t, TOP_HALF_OPEN, 0, TOP_HISTORY - 1), "the last reading");
}

/* The names of the rows, in order. */
static bool rows(const struct top_model *t, const struct top_view *v, const char *want)
{
	char got[1024] = "";
	struct top_rows r;

	if (top_rows(&r, t, v))
		abort();
	top_sort(&r, v);
	for (u32 i = 0; i < r.rows; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "", r.row[i].name);
	free(r.row);
	if (strcmp(got, want))
		printf("rows: %s\nnot:  %s\n", got, want);
	return !strcmp(got, want);
}

static struct top_view view(enum top_pane pane)
{
	struct top_view v;

	top_view_init(&v, 1);
	v.pane = pane;
	v.width = 132;
	return v;
}

static void two_readings(struct top_model *t)
{
	struct top_reading *r = reading(t, 1, 1);

	add_service(r, "10.0.0.2", 80, 1000, 0);
	add_service(r, "10.0.0.10", 443, 100, 0);
	add_source(r, "192.0.2.1", 32, 50, 0);
	add_source(r, "198.51.100.0", 24, 20, 0);
	top_add(t);
	r = reading(t, 1, 3);
	add_service(r, "10.0.0.2", 80, 1010, 1);
	add_service(r, "10.0.0.10", 443, 200, 0);
	add_service(r, "2001:db8::1", 443, 60, 9);
	r->snap.count.other.syn = 5000;
	add_source(r, "192.0.2.1", 32, 50, 0);
	add_source(r, "203.0.113.7", SW_TOP_DENIED, 48, 40);
	add_source(r, "198.51.100.0", 24, 30, 0);
	r->snap.table[TABLE_FLOWS].capacity = 200;
	r->snap.table[TABLE_FLOWS].entries = 50;
	top_add(t);
}

static void test_order(struct top_model *t)
{
	struct top_view v = view(TOP_PANE_SERVICES);

	two_readings(t);
	TEST(rows(t, &v, "10.0.0.10:443 [2001:db8::1]:443 10.0.0.2:80 (others)"), "by SYN/s: 50, 30, 5");
	top_key(&v, 'r');
	TEST(rows(t, &v, "10.0.0.2:80 [2001:db8::1]:443 10.0.0.10:443 (others)"), "reversed; the others stay last");
	top_key(&v, 's');
	TEST(rows(t, &v, "10.0.0.2:80 10.0.0.10:443 [2001:db8::1]:443 (others)"), "by SYNs");
	top_key(&v, 's');
	TEST(rows(t, &v, "[2001:db8::1]:443 10.0.0.2:80 10.0.0.10:443 (others)"), "by half-open");
	for (int i = 0; i < 3; i++)
		top_key(&v, 'S');
	TEST(v.of[v.pane].sort == 0 && rows(t, &v, "10.0.0.2:80 10.0.0.10:443 [2001:db8::1]:443 (others)"),
	     "by address, as a number");
	top_key(&v, 'S');
	TEST(v.of[v.pane].sort == top_pane[v.pane].columns - 1, "round to the last column");
	v.width = 80;
	top_key(&v, 'S');
	TEST(top_shown(&v, v.of[v.pane].sort), "columns that are not shown do not sort");
	top_key(&v, '\t');
	TEST(rows(t, &v, "198.51.100.0/24 203.0.113.7 192.0.2.1/32"),
	     "sources by SYN/s: 5, 4 of 8 that are its own, 0");
	top_key(&v, KEY_RIGHT);
	TEST(rows(t, &v, "flows half_open services"), "tables");
	top_key(&v, '\t');
	TEST(v.pane == TOP_PANE_SERVICES, "round to the services");
	top_key(&v, KEY_BTAB);
	TEST(v.pane == TOP_PANE_TABLES, "and back");
}

static void test_values(struct top_model *t)
{
	struct top_view v = view(TOP_PANE_TABLES);
	struct top_rows r;

	if (top_rows(&r, t, &v))
		abort();
	TEST(r.row[0].value[3] == 25, "50 of 200 are in use");
	free(r.row);
	top_blank(t); /* and nothing could be read */
	top_miss(t);
	v = view(TOP_PANE_SERVICES);
	if (top_rows(&r, t, &v))
		abort();
	top_sort(&r, &v);
	TEST(isnan(r.row[0].value[1]) && !isnan(r.row[0].value[2]), "after a miss, no rates");
	free(r.row);
}

static void type(struct top_view *v, const char *keys)
{
	while (*keys)
		top_key(v, *keys++);
}

static void test_filter(struct top_model *t)
{
	struct top_view v = view(TOP_PANE_SERVICES);

	type(&v, "/443q");
	TEST(!v.quit && !strcmp(v.filter, "443q"), "letters are no commands while a filter is typed");
	top_key(&v, KEY_BACKSPACE);
	TEST(rows(t, &v, "10.0.0.10:443 [2001:db8::1]:443"), "those of a port; the others have none");
	type(&v, "\r");
	TEST(!v.typing && !strcmp(v.filter, "443"), "Enter keeps it");
	type(&v, "/\x15"
		 "DB8");
	TEST(rows(t, &v, "[2001:db8::1]:443"), "capitals are as good");
	type(&v, "\x1b");
	TEST(!v.typing && !*v.filter && rows(t, &v, "10.0.0.10:443 [2001:db8::1]:443 10.0.0.2:80 (others)"),
	     "Esc takes it back");
	type(&v, "/");
	for (int i = 0; i < 100; i++)
		top_key(&v, i % 2 ? 'x' : KEY_F(1));
	type(&v, "\x1b[\r");
	TEST(!v.typing && strlen(v.filter) < TOP_FILTER, "no more than there is room for, no key without a letter");
	type(&v, "/\x15zz\r");
	TEST(rows(t, &v, ""), "nothing has these");
	type(&v, "\x1b");
	TEST(!*v.filter, "Esc afterwards as well");
	type(&v, "\t/192\r");
	TEST(rows(t, &v, "192.0.2.1/32"), "sources");
}

static void test_keys(void)
{
	struct top_view v = view(TOP_PANE_SERVICES);

	v.rows = 25;
	v.page = 10;
	top_key(&v, KEY_UP);
	TEST(v.of[0].first == 0, "not above the first");
	top_key(&v, KEY_DOWN);
	top_key(&v, KEY_NPAGE);
	TEST(v.of[0].first == 11, "a line and a page");
	top_key(&v, KEY_NPAGE);
	TEST(v.of[0].first == 15, "not below the last");
	top_key(&v, KEY_HOME);
	TEST(v.of[0].first == 0, "home");
	top_key(&v, KEY_END);
	TEST(v.of[0].first == 15, "end");
	v.page = 30;
	top_clamp(&v);
	TEST(v.of[0].first == 0, "a higher screen shows them all");
	for (int i = 0; i < 20; i++)
		top_key(&v, '+');
	TEST(v.every == 60, "slow");
	for (int i = 0; i < 20; i++)
		top_key(&v, '-');
	TEST(v.every == 0.1, "fast");
	v.every = 3;
	top_key(&v, '+');
	TEST(v.every == 5, "from 3 s up");
	v.every = 3;
	top_key(&v, '-');
	TEST(v.every == 2, "from 3 s down");
	v.every = 3600;
	top_key(&v, '+');
	TEST(v.every == 3600, "longer than any step");
	top_key(&v, '-');
	TEST(v.every == 60, "and down");
	type(&v, "?q");
	TEST(!v.help && !v.quit, "any key ends the help, and does nothing else");
	type(&v, "p");
	TEST(v.paused, "pause");
	type(&v, "p");
	TEST(!v.paused, "and on");
	top_key(&v, 0);
	top_key(&v, -1);
	TEST(!v.quit && v.of[0].sort == 1, "no key");
	type(&v, "q");
	TEST(v.quit, "quit");
}

static void test_text(void)
{
	static const struct {
		u64 n;
		int width;
		const char *want;
	} row[] = {
		{0, 5, "0"},
		{99999, 6, "99,999"},
		{99999, 5, "100k"},
		{1234567, 9, "1,234,567"},
		{1234567, 8, "1.23M"},
		{999499999, 5, "999M"},
		{999999999, 5, "1.00G"},
		{~0ULL, 10, "18.4E"},
		{12345678901ULL, 10, "12.3G"},
	};
	char text[TEXT_SIZE];

	for (size_t i = 0; i < SW_ARRAY_SIZE(row); i++)
		TEST(!strcmp(text_count_in(text, row[i].n, row[i].width), row[i].want), "%llu in %d columns: %s",
		     row[i].n, row[i].width, text);
	TEST(!strcmp(text_rate(text, 0), "0") && !strcmp(text_rate(text, 0.25), "0.2") &&
		     !strcmp(text_rate(text, 99.94), "99.9") && !strcmp(text_rate(text, 99.96), "100") &&
		     !strcmp(text_rate(text, 12345.6), "12,346"),
	     "rates");
}

/* A model of its own each. */
static void with_model(void (*test[])(struct top_model *), u32 tests)
{
	struct top_model *t = calloc(1, sizeof(*t));

	for (u32 i = 0; t && i < tests; i++)
		test[i](t);
	top_free(t);
	free(t);
}

void test_top(void)
{
	with_model((void (*[])(struct top_model *)){test_rates, test_gaps}, 2);
	with_model((void (*[])(struct top_model *)){test_sparks}, 1);
	with_model((void (*[])(struct top_model *)){test_order, test_filter, test_values}, 3);
	test_keys();
	test_text();
}
