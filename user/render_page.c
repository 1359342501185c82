// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The exporter's page: the numbers as tables. A browser without a script shows them as they are; page.js renews the
 * cells, each of which says in data-k which member of `stats --json` it shows, and draws charts above. */
#include <time.h>

#include "render.h"
#include "scrape.h"

#define NAME_(symbol, name, help) [SW_##symbol] = name,
static const char *const kind_name[SW_KIND_COUNT] = {SW_KINDS(NAME_)};
static const char *const book_name[SW_BOOK_COUNT] = {SW_BOOKS(NAME_)};
static const char *const event_name[SW_EVENT_COUNT] = {SW_EVENTS(NAME_)};
#define STATE_(symbol, name, word) [SW_##symbol] = name,
static const char *const state_name[SW_STATE_COUNT] = {SW_STATES(STATE_)};

/* Any bytes, as text of the page. */
static void text(FILE *out, const char *s)
{
	for (; *s; s++) {
		unsigned char c = *s;

		if (c < ' ' || c > '~' || strchr("&<>\"'", c))
			fprintf(out, c < ' ' || c > '~' ? "\\x%02x" : "&#%u;", c);
		else
			fputc(c, out);
	}
}

/* --- pieces of tables --- */

static void section(FILE *out, const char *id, const char *title)
{
	fprintf(out, "<section id=%1$s aria-labelledby=%1$s-title>\n<h2 id=%1$s-title>%2$s</h2>\n", id, title);
	fputs("<div class=tables>\n", out);
}

static void end_section(FILE *out)
{
	fputs("</div>\n</section>\n", out);
}

/* attr: " id=..." or so. The first column holds the rows' names. */
static void table(FILE *out, const char *attr, const char *caption, const char *const *column, u32 columns)
{
	fprintf(out, "<div class=scroll><table%s>\n<caption>%s</caption>\n<thead><tr>", attr, caption);
	for (u32 i = 0; i < columns; i++)
		fprintf(out, "<th scope=col>%s</th>", column[i]);
	fputs("</tr></thead>\n<tbody>\n", out);
}
#define TABLE(out, attr, caption, ...) \
	do { \
		static const char *const column_[] = {__VA_ARGS__}; \
		table(out, attr, caption, column_, SW_ARRAY_SIZE(column_)); \
	} while (0)
#define RATES " data-rates" /* page.js adds a column: per second */

static void end_table(FILE *out)
{
	fputs("</tbody></table></div>\n", out);
}

static void row(FILE *out, const char *name)
{
	fputs("<tr><th scope=row>", out);
	text(out, name);
	fputs("</th>", out);
}

/* "timed_out": timed out */
static void row_of_key(FILE *out, const char *key)
{
	char name[TEXT_SIZE];

	snprintf(name, sizeof(name), "%s", key);
	for (char *c = name; (c = strchr(c, '_'));)
		*c = ' ';
	row(out, name);
}

static void end_row(FILE *out)
{
	fputs("</tr>\n", out);
}

static void cell(FILE *out, const char *s)
{
	fputs("<td>", out);
	text(out, s);
	fputs("</td>", out);
}

/* path NULL: page.js renews the whole row */
static void number(FILE *out, const char *path, const char *key, u64 n)
{
	char buf[TEXT_SIZE];

	if (path)
		fprintf(out, "<td data-k=\"%s%s\">%s</td>", path, key, text_count(buf, n));
	else
		cell(out, text_count(buf, n));
}

static void key_row(FILE *out, const char *path, const char *key, u64 n)
{
	row_of_key(out, key);
	number(out, path, key, n);
	end_row(out);
}

static void named_row(FILE *out, const char *name, const char *key, u64 n)
{
	row(out, name);
	number(out, "", key, n);
	end_row(out);
}

/* 16.7us as people write it: a blank, and the letter that terminals are spared */
static void duration(FILE *out, u64 ns)
{
	char buf[TEXT_SIZE];
	size_t digits = strspn(text_duration(buf, ns), "0123456789.");
	const char *unit = buf + digits;

	if (strpbrk(unit, "0123456789"))
		fputs(buf, out);
	else
		fprintf(out, "%.*s&nbsp;%s", (int)digits, buf, !strcmp(unit, "us") ? "&micro;s" : unit);
}

/* --- sections --- */

static void services(FILE *out, const struct scrape *s)
{
	struct snapshot_service rest = snapshot_rest(&s->snap, SCRAPE_SERVICES);
	u32 listed = s->snap.services < SCRAPE_SERVICES ? s->snap.services : SCRAPE_SERVICES;
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	section(out, "services", "Services");
	TABLE(out, " id=service-table", "The busiest listeners since attach", "address and port", "SYN", "completed",
	      "refused", "half-open");
	for (u32 i = 0; i <= listed; i++) {
		const struct snapshot_service *v = i < listed ? &s->snap.service[i] : &rest;

		row(out, i < listed ? text_endpoint(name, text_addr(addr, v->key.addr), v->key.port) : "all others");
		number(out, NULL, NULL, v->count.syn);
		number(out, NULL, NULL, v->count.completed);
		number(out, NULL, NULL, v->count.refused);
		number(out, NULL, NULL, v->half_open);
		end_row(out);
	}
	end_table(out);
	end_section(out);
}

static void guard(FILE *out, const struct snapshot *m)
{
	static const char *const cookie[SW_COOKIE_COUNT] = {"cookies_sent", "cookies_valid", "cookies_invalid"};
	char title[64];
	u64 n;

	snprintf(title, sizeof(title), "Guard: <span data-k=guard.mode>%s</span>", guard_mode_name[m->guard.mode]);
	section(out, "guard", title);
	TABLE(out, RATES, "SYNs by verdict", "verdict", "SYNs");
	for (u32 act = 0; act < SW_ACT_COUNT; act++)
		key_row(out, "guard.", act_name[act], guard_act_sum(&m->count, act));
	end_table(out);
	TABLE(out, RATES, "SYNs by reason", "reason", "SYNs");
	for (u32 i = 0; i < SW_VERDICT_COUNT; i++)
		if (guard_reason_sum(&m->count, i, &n))
			key_row(out, "guard.by_reason.", verdict_word[i].reason, n);
	end_table(out);
	TABLE(out, RATES, "SYN cookies", "cookie", "SYNs or ACKs");
	for (u32 i = 0; i < SW_COOKIE_COUNT; i++)
		key_row(out, "guard.", cookie[i], m->count.cookie[i]);
	end_table(out);
	end_section(out);
}

static void books(FILE *out, const struct snapshot *m)
{
	const u64 *b = m->book, *e = m->count.event;

	TABLE(out, RATES, "Handshakes since attach", "outcome", "count");
	for (u32 i = SW_HS_STARTED; i < SW_TD_STARTED; i++)
		key_row(out, "handshakes.", book_name[i], b[i]);
	key_row(out, "handshakes.", event_name[SW_EV_SYN_REXMIT], e[SW_EV_SYN_REXMIT]);
	key_row(out, "handshakes.", event_name[SW_EV_SYNACK_REXMIT], e[SW_EV_SYNACK_REXMIT]);
	end_table(out);
	TABLE(out, RATES, "Teardowns since attach", "outcome", "count");
	for (u32 i = SW_TD_STARTED; i <= SW_TD_SIMULTANEOUS; i++)
		key_row(out, "teardowns.", book_name[i], b[i]);
	end_table(out);
	TABLE(out, RATES, "TCP segments since attach", "kind", "count");
	for (u32 i = 0; i < SW_KIND_COUNT; i++)
		key_row(out, "segments.", kind_name[i], m->count.kind[i]);
	end_table(out);
}

static void latency(FILE *out, const char *name, const char *key, const struct sw_hist *h)
{
	static const u32 permille[] = {500, 900, 990};

	row(out, name);
	number(out, key, ".count", h->count);
	for (u32 i = 0; i < SW_ARRAY_SIZE(permille); i++) {
		u64 ns = snapshot_quantile(h, permille[i]);

		fprintf(out, "<td data-k=\"%s\" data-permille=%u>", key, permille[i]);
		if (!h->count)
			fputc('-', out);
		else if (ns == ~0ULL)
			fputs("&gt;&nbsp;68&nbsp;s", out);
		else
			duration(out, ns);
		fputs("</td>", out);
	}
	end_row(out);
}

static void connections(FILE *out, const struct snapshot *m)
{
	char path[TEXT_SIZE];

	section(out, "counts", "Counts");
	TABLE(out, "", "Connections now", "connections", "count");
	named_row(out, "half-open", "half_open", m->half_open);
	named_row(out, "TIME_WAIT", "time_wait", m->time_wait);
	named_row(out, "TIME_WAIT, this host", "time_wait_local", m->time_wait_local);
	named_row(out, "handshakes in progress", "handshakes.in_progress", m->hs_in_progress);
	named_row(out, "teardowns in progress", "teardowns.in_progress", m->td_in_progress);
	end_table(out);
	books(out, m);
	TABLE(out, "", "Latency since attach", "interval", "samples", "p50", "p90", "p99");
	latency(out, "SYN to SYN-ACK", "latency.syn_synack", &m->count.syn_synack);
	latency(out, "SYN-ACK to ACK", "latency.synack_ack", &m->count.synack_ack);
	end_table(out);
	TABLE(out, "", "Endpoints by state", "state", "client", "server", "this host");
	for (u32 i = 0; i < SW_STATE_COUNT; i++) {
		row(out, state_name[i]);
		for (u32 role = 0; role < ROLE_COUNT; role++) {
			snprintf(path, sizeof(path), "states.%s.", snapshot_role_name[role]);
			number(out, path, state_name[i], m->state[role][i]);
		}
		end_row(out);
	}
	end_table(out);
	end_section(out);
}

static void instance(FILE *out, const struct snapshot *m)
{
	char path[TEXT_SIZE];

	section(out, "instance", "Instance");
	TABLE(out, "", "Tables", "table", "entries", "capacity", "evicted", "errors");
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		row_of_key(out, snapshot_table_name[i]);
		snprintf(path, sizeof(path), "tables.%u.", i);
		number(out, path, "entries", m->table[i].entries);
		number(out, path, "capacity", m->table[i].capacity);
		number(out, path, "evicted", m->table[i].evicted);
		number(out, path, "errors", m->table[i].errors);
		end_row(out);
	}
	end_table(out);
	TABLE(out, " id=interface-table", "Interfaces", "interface", "ingress", "egress");
	for (u32 i = 0; i < m->ifaces; i++) {
		const struct sw_iface *v = &m->iface[i].iface;
		char name[sizeof(v->name) + 1] = "";

		memcpy(name, v->name, sizeof(v->name));
		row(out, name);
		cell(out, hook_name(v->ingress));
		cell(out, hook_name(v->egress));
		end_row(out);
	}
	end_table(out);
	end_section(out);
}

static void when(FILE *out, const struct scrape *s)
{
	time_t t = s->snap.at_ns / SW_NS_PER_S;
	char date[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fprintf(out, "Read at <time id=when>%s</time>.", date);
}

void render_page(FILE *out, const struct scrape *s)
{
	fputs("<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>synwave</title>\n"
	      "<meta name=viewport content=\"width=device-width\">\n<link rel=icon href=icon.svg>\n"
	      "<link rel=stylesheet href=page.css>\n<script src=dygraph.js defer></script>\n"
	      "<script src=page.js type=module></script>\n</head>\n<body>\n<header>\n<h1>synwave</h1>\n"
	      "<p>TCP handshakes and teardowns seen on <b>",
	      out);
	text(out, s->uts.nodename);
	fputs("</b>. ", out);
	if (s->taken)
		when(out, s);
	fprintf(out, "</p>\n<p id=state role=status%s>", s->taken ? "" : " class=bad");
	if (!s->taken)
		text(out, s->why);
	fputs("</p>\n</header>\n<main>\n", out);
	if (s->taken) {
		services(out, s);
		guard(out, &s->snap);
		connections(out, &s->snap);
		instance(out, &s->snap);
	}
	fputs("</main>\n<footer>\n<p>synwave " SYNWAVE_VERSION ", kernel ", out);
	text(out, s->uts.release);
	fputs("</p>\n<nav aria-label=\"The same numbers\"><a href=metrics>metrics</a> <a "
	      "href=stats.json>stats.json</a> "
	      "<a href=healthz>healthz</a></nav>\n</footer>\n</body>\n</html>\n",
	      out);
}
