// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `stats` for people: one snapshot, and with the one before it what happened in between. */
#include "render.h"
#include "since.h"
#include "synwave/hist.h"

#define NAME_(symbol, name, help) [SW_##symbol] = name,
static const char *const kind_name[SW_KIND_COUNT] = {SW_KINDS(NAME_)};
static const char *const reason_name[SW_REASON_COUNT] = {SW_REASONS(NAME_)};
static const char *const event_name[SW_EVENT_COUNT] = {SW_EVENTS(NAME_)};
static const char *const cookie_name[SW_COOKIE_COUNT] = {SW_COOKIES(NAME_)};

struct page {
	FILE *out;
	const struct snapshot *m, *before; /* before NULL: no rates */
	double seconds; /* between them */
	int label; /* width of the first column */
};

#define CELL " %13s"
#define RATE " %11s"

static void cell(const struct page *p, u64 n)
{
	char text[TEXT_SIZE];

	fprintf(p->out, CELL, text_count(text, n));
}

static void rate(const struct page *p, u64 n, u64 was)
{
	char text[TEXT_SIZE];

	fprintf(p->out, " %9s/s", text_rate(text, since_count(n, was) / p->seconds));
}

static void counter(const struct page *p, u64 n, u64 was)
{
	cell(p, n);
	if (p->before)
		rate(p, n, was);
}

/* Columns of counters leave room for their rates. */
static void heading(const struct page *p, const char *title, const char *const *column, u32 columns, u32 counters)
{
	fprintf(p->out, "\n%-*s", p->label, title);
	for (u32 i = 0; i < columns; i++) {
		if (p->before && i && i <= counters)
			fprintf(p->out, RATE, "");
		fprintf(p->out, CELL, column[i]);
	}
	fputc('\n', p->out);
}

static void text_ifaces(const struct page *p)
{
	char name[TEXT_SIZE];

	if (!p->m->ifaces)
		fputs("no interface attached\n", p->out);
	for (u32 i = 0; i < p->m->ifaces; i++) {
		const struct snapshot_iface *v = &p->m->iface[i];

		fprintf(p->out, "%-*s in %s, out %s\n", p->label, text_name(name, sizeof(name), v->iface.name),
			hook_name(v->iface.ingress), hook_name(v->iface.egress));
	}
}

static void text_now(const struct page *p)
{
	const struct snapshot *m = p->m;
	char a[TEXT_SIZE], b[TEXT_SIZE], c[TEXT_SIZE];

	heading(p, "connections now", snapshot_role_name, ROLE_COUNT, 0);
	for (u32 state = 0; state < SW_STATE_COUNT; state++) {
		if (!m->state[ROLE_CLIENT][state] && !m->state[ROLE_SERVER][state])
			continue;
		fprintf(p->out, "  %-16s", sw_state_name[state]);
		for (u32 role = 0; role < ROLE_COUNT; role++)
			cell(p, m->state[role][state]);
		fputc('\n', p->out);
	}
	fprintf(p->out, "  half-open %s, TIME_WAIT %s (%s on this host)\n", text_count(a, m->half_open),
		text_count(b, m->time_wait), text_count(c, m->time_wait_local));
}

static void text_books(const struct page *p)
{
	static const char *const column[] = {"handshakes", "teardowns"};
	static const struct {
		const char *name;
		enum sw_book hs, td; /* SW_BOOK_COUNT: has none */
	} row[] = {
		{"started", SW_HS_STARTED, SW_TD_STARTED},       {"completed", SW_HS_COMPLETED, SW_TD_COMPLETED},
		{"refused", SW_HS_REFUSED, SW_BOOK_COUNT},       {"reset", SW_HS_RESET, SW_TD_RESET},
		{"timed out", SW_HS_TIMED_OUT, SW_TD_TIMED_OUT}, {"evicted", SW_HS_EVICTED, SW_TD_EVICTED},
	};
	const u64 *n = p->m->book, *was = p->before ? p->before->book : n;

	heading(p, "since attach", column, 2, 2);
	for (u32 i = 0; i < SW_ARRAY_SIZE(row); i++) {
		fprintf(p->out, "  %-16s", row[i].name);
		counter(p, n[row[i].hs], was[row[i].hs]);
		if (row[i].td != SW_BOOK_COUNT)
			counter(p, n[row[i].td], was[row[i].td]);
		else
			fprintf(p->out, CELL, "-");
		fputc('\n', p->out);
	}
	fputs("  in progress     ", p->out);
	cell(p, p->m->hs_in_progress);
	if (p->before)
		fprintf(p->out, RATE, "");
	cell(p, p->m->td_in_progress);
	fputc('\n', p->out);
}

#define LINE_WIDTH 100

/* "title name n, name n, ...": those of `which` that are not zero. */
static void text_list(const struct page *p, const char *title, const char *const *name, const u64 *n, u64 which)
{
	char item[2 * TEXT_SIZE], number[TEXT_SIZE];
	int at = 0;

	for (u32 i = 0; i < 64 && which >> i; i++) {
		if (!(which >> i & 1) || !n[i])
			continue;
		int len = snprintf(item, sizeof(item), " %s %s", name[i], text_count(number, n[i]));

		if (at && at + len < LINE_WIDTH) {
			fputc(',', p->out);
			at++;
		} else {
			fprintf(p->out, "%s  %-16s", at ? ",\n" : "", at ? "" : title);
			at = 18;
		}
		fputs(item, p->out);
		at += len;
	}
	if (at)
		fputc('\n', p->out);
}

#define BIT(symbol) (1ULL << SW_EV_##symbol)
#define CLOSES      (BIT(CLOSE_FOUR_WAY) | BIT(CLOSE_THREE_WAY) | BIT(CLOSE_SIMULTANEOUS) | BIT(CLOSE_RESET))
#define FREED       (BIT(FREED_EXPIRED) | BIT(FREED_CLOSED))
#define TABLE       (FREED | BIT(EVICT_HALF_OPEN) | BIT(EVICT_OPEN) | BIT(UNPROTECTED))
#define BOOKED      (BIT(SYN_NEW) | BIT(SYNACK_NEW) | BIT(COMPLETED) | BIT(REFUSED)) /* the books say it better */

static void text_lists(const struct page *p)
{
	static const char *const lost[] = {"events_lost"}, *const changing[] = {"sets_changing"};
	const u64 *event = p->m->count.event;
	u64 events = (1ULL << SW_EVENT_COUNT) - 1, reasons = (1ULL << SW_REASON_COUNT) - 1;

	text_list(p, "closed by", event_name, event, CLOSES);
	text_list(p, "also seen", event_name, event, events & ~(CLOSES | TABLE | BOOKED));
	text_list(p, "entries", event_name, event, TABLE);
	text_list(p, "reading", changing, &p->m->sets_changing, 1);
	text_list(p, "traces", lost, &p->m->events_lost, 1);
	text_list(p, "not judged", reason_name, p->m->count.ignored, reasons & ~(1ULL << SW_OK));
}

static void text_segments(const struct page *p)
{
	static const char *const column[] = {"seen"};
	const u64 *n = p->m->count.kind, *was = p->before ? p->before->count.kind : n;

	heading(p, "segments", column, 1, 1);
	for (u32 i = 0; i < SW_KIND_COUNT; i++) {
		fprintf(p->out, "  %-16s", kind_name[i]);
		counter(p, n[i], was[i]);
		fputc('\n', p->out);
	}
}

char *text_quantile(char buf[TEXT_SIZE], const struct sw_hist *h, u32 permille)
{
	u64 ns = snapshot_quantile(h, permille);

	if (h->count && ns != ~0ULL)
		return text_duration(buf, ns);
	return strcpy(buf, h->count ? "> 68s" : "-");
}

static void text_hist(const struct page *p, const char *name, const struct sw_hist *n, const struct sw_hist *was)
{
	static const u32 permille[] = {500, 900, 990};
	struct sw_hist h;
	char text[TEXT_SIZE];

	since_hist(&h, n, was);
	fprintf(p->out, "  %-16s", name);
	cell(p, h.count);
	fprintf(p->out, CELL, h.count ? text_duration(text, h.sum_ns / h.count) : "-");
	for (u32 i = 0; i < SW_ARRAY_SIZE(permille); i++)
		fprintf(p->out, CELL, text_quantile(text, &h, permille[i]));
	fputc('\n', p->out);
}

static void text_latency(const struct page *p)
{
	static const char *const column[] = {"samples", "mean", "p50", "p90", "p99"};
	const struct sw_stats *n = &p->m->count, *was = p->before ? &p->before->count : NULL;
	char text[TEXT_SIZE], title[2 * TEXT_SIZE] = "latency";

	if (was)
		snprintf(title, sizeof(title), "latency, last %s", text_duration(text, p->seconds * 1e9));
	heading(p, title, column, SW_ARRAY_SIZE(column), 0);
	text_hist(p, "SYN to SYN-ACK", &n->syn_synack, was ? &was->syn_synack : NULL);
	text_hist(p, "SYN-ACK to ACK", &n->synack_ack, was ? &was->synack_ack : NULL);
}

static u64 syn_before(const struct page *p, const struct sw_service_key *key)
{
	const struct snapshot_service *was = since_service(p->before->service, p->before->services, key);

	return was ? was->count.syn : 0;
}

/* 99 of 100 SYNs were answered, and answers acknowledged, within this. */
static void text_p99(const struct page *p, const struct snapshot_service *v)
{
	const struct sw_timed *t = v->key.port ? snapshot_timed(p->m, &v->key) : NULL;

	for (int i = 0; i < 2; i++) {
		u64 ns = t ? snapshot_quantile(i ? &t->synack_ack : &t->syn_synack, 990) : 0;
		char text[TEXT_SIZE];

		fprintf(p->out, CELL, !ns ? "-" : ns == ~0ULL ? "> 68s" : text_duration(text, ns));
	}
}

static void text_service(const struct page *p, const struct snapshot_service *v, u64 was, const char *name)
{
	fprintf(p->out, "  %-*s", p->label - 2, name);
	counter(p, v->count.syn, was);
	cell(p, v->count.completed);
	cell(p, v->half_open);
	cell(p, v->count.refused);
	text_p99(p, v);
	fputc('\n', p->out);
}

static void text_services(struct page p, u32 most)
{
	static const char *const column[] = {"SYN", "completed", "half-open", "refused", "SYN-ACK p99", "ACK p99"};
	struct snapshot_service rest = snapshot_rest(p.m, most);
	u32 n = p.m->services < most ? p.m->services : most;
	char name[TEXT_SIZE];

	for (u32 i = 0; i < n; i++) {
		int width = strlen(text_listener(name, &p.m->service[i].key)) + 2;

		if (width > p.label)
			p.label = width;
	}
	heading(&p, "services", column, SW_ARRAY_SIZE(column), 1);
	for (u32 i = 0; i < n; i++) {
		const struct snapshot_service *v = &p.m->service[i];

		text_service(&p, v, p.before ? syn_before(&p, &v->key) : 0, text_listener(name, &v->key));
	}
	if (rest.count.syn || rest.count.completed || rest.half_open || rest.count.refused)
		text_service(&p, &rest, p.before ? snapshot_rest(p.before, most).count.syn : 0, "(others)");
}

/* Only where there is a guard, or was one. */
static void text_guard(const struct page *p)
{
	static const char *const column[] = {"SYNs"};
	const struct sw_stats *n = &p->m->count, *was = p->before ? &p->before->count : n;
	char title[TEXT_SIZE], name[2 * TEXT_SIZE];
	u64 judged = 0;

	for (u32 i = 0; i < SW_VERDICT_COUNT; i++)
		judged += n->verdict[i];
	if (p->m->guard.mode == SW_GUARD_OFF && !judged)
		return;
	snprintf(title, sizeof(title), "guard: %s", guard_mode_name[p->m->guard.mode]);
	heading(p, title, column, 1, 1);
	for (u32 i = 0; i < SW_VERDICT_COUNT; i++) {
		if (!n->verdict[i])
			continue;
		snprintf(name, sizeof(name), "%s, %s", verdict_word[i].verdict, verdict_word[i].reason);
		fprintf(p->out, "  %-24s", name);
		counter(p, n->verdict[i], was->verdict[i]);
		fputc('\n', p->out);
	}
	text_list(p, "cookies", cookie_name, n->cookie, (1ULL << SW_COOKIE_COUNT) - 1);
}

static void text_tables(const struct page *p)
{
	static const char *const column[] = {"entries", "capacity", "in use", "evicted", "errors"};
	char percent[TEXT_SIZE];

	heading(p, "tables", column, SW_ARRAY_SIZE(column), 0);
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		const struct snapshot_table *t = &p->m->table[i];

		snprintf(percent, sizeof(percent), "%.1f%%", t->capacity ? 100.0 * t->entries / t->capacity : 0);
		fprintf(p->out, "  %-16s", snapshot_table_name[i]);
		cell(p, t->entries);
		cell(p, t->capacity);
		fprintf(p->out, CELL, percent);
		cell(p, t->evicted);
		cell(p, t->errors);
		fputc('\n', p->out);
	}
}

void render_stats_text(FILE *out, const struct snapshot *m, const struct snapshot *before, u32 services)
{
	struct page p = {.out = out, .m = m, .before = before, .label = 18};

	if (before)
		p.seconds = since_seconds(m, before);
	text_ifaces(&p);
	text_now(&p);
	text_books(&p);
	text_lists(&p);
	text_segments(&p);
	text_latency(&p);
	text_services(p, services);
	text_guard(&p);
	text_tables(&p);
}
