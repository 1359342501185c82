// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The exporter's page: the numbers as tables, for a browser without a script. */
#include <time.h>

#include "render.h"
#include "scrape.h"

const char render_style[] =
	":root { color-scheme: light dark; --line: #8884; --soft: #888; }\n"
	"body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }\n"
	"h1 { font-size: 1.4rem; margin: 0; }\n"
	"h2 { font-size: 1.05rem; margin: 2rem 0 .4rem; }\n"
	"p.soft { color: var(--soft); margin: .2rem 0; }\n"
	"p.bad { border-left: .3rem solid #c33; padding: .4rem .8rem; }\n"
	"div { overflow-x: auto; }\n"
	"table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"
	"th, td { padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--line); text-align: right; }\n"
	"th { font-weight: 600; }\n"
	"th:first-child { text-align: left; font-weight: normal; min-width: 11rem; }\n"
	"thead th { color: var(--soft); font-weight: normal; }\n";

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

static void table(FILE *out, const char *title, const char *const *column, u32 columns)
{
	fprintf(out, "<h2>%s</h2>\n<div><table>\n<thead><tr><th scope=col></th>", title);
	for (u32 i = 0; i < columns; i++)
		fprintf(out, "<th scope=col>%s</th>", column[i]);
	fputs("</tr></thead>\n<tbody>\n", out);
}
#define TABLE(out, title, ...) \
	do { \
		static const char *const column_[] = {__VA_ARGS__}; \
		table(out, title, column_, SW_ARRAY_SIZE(column_)); \
	} while (0)

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

static void cell(FILE *out, const char *s)
{
	fputs("<td>", out);
	text(out, s);
	fputs("</td>", out);
}

static void count(FILE *out, u64 n)
{
	char buf[TEXT_SIZE];

	cell(out, text_count(buf, n));
}

static void counts(FILE *out, const char *name, const u64 *n, u32 columns)
{
	row(out, name);
	for (u32 i = 0; i < columns; i++)
		count(out, n[i]);
	fputs("</tr>\n", out);
}

static void page_now(FILE *out, const struct snapshot *m)
{
#define STATE_(symbol, name, word) name,
	static const char *const state[] = {SW_STATES(STATE_)};

	TABLE(out, "Now", "connections");
	counts(out, "half-open", &m->half_open, 1);
	counts(out, "TIME_WAIT", &m->time_wait, 1);
	counts(out, "TIME_WAIT, this host", &m->time_wait_local, 1);
	counts(out, "handshakes in progress", &m->hs_in_progress, 1);
	counts(out, "teardowns in progress", &m->td_in_progress, 1);
	end_table(out);
	TABLE(out, "Endpoints by state", "client", "server", "this host");
	for (u32 i = 0; i < SW_STATE_COUNT; i++)
		counts(out, state[i],
		       (u64[]){m->state[ROLE_CLIENT][i], m->state[ROLE_SERVER][i], m->state[ROLE_LOCAL][i]}, 3);
	end_table(out);
}

static void page_books(FILE *out, const struct snapshot *m)
{
	const u64 *b = m->book, *e = m->count.event;

	TABLE(out, "Handshakes since attach", "");
	counts(out, "started", &b[SW_HS_STARTED], 1);
	counts(out, "completed", &b[SW_HS_COMPLETED], 1);
	counts(out, "refused", &b[SW_HS_REFUSED], 1);
	counts(out, "reset", &b[SW_HS_RESET], 1);
	counts(out, "timed out", &b[SW_HS_TIMED_OUT], 1);
	counts(out, "evicted", &b[SW_HS_EVICTED], 1);
	counts(out, "SYNs sent again", &e[SW_EV_SYN_REXMIT], 1);
	counts(out, "SYN-ACKs sent again", &e[SW_EV_SYNACK_REXMIT], 1);
	end_table(out);
	TABLE(out, "Teardowns since attach", "");
	counts(out, "started", &b[SW_TD_STARTED], 1);
	counts(out, "completed", &b[SW_TD_COMPLETED], 1);
	counts(out, "by RST", &b[SW_TD_RESET], 1);
	counts(out, "timed out", &b[SW_TD_TIMED_OUT], 1);
	counts(out, "evicted", &b[SW_TD_EVICTED], 1);
	end_table(out);
}

static void latency(FILE *out, const char *name, const struct sw_hist *h)
{
	static const u32 permille[] = {500, 900, 990};
	char buf[TEXT_SIZE];

	row(out, name);
	count(out, h->count);
	for (u32 i = 0; i < SW_ARRAY_SIZE(permille); i++) {
		u64 ns = snapshot_quantile(h, permille[i]);

		cell(out, !h->count ? "-" : ns == ~0ULL ? "> 68 s" : text_duration(buf, ns));
	}
	fputs("</tr>\n", out);
}

static void service(FILE *out, const char *name, const struct snapshot_service *v)
{
	counts(out, name, (u64[]){v->count.syn, v->count.completed, v->count.refused, v->half_open}, 4);
}

static void page_services(FILE *out, const struct scrape *s)
{
	struct snapshot_service rest = snapshot_rest(&s->snap, SCRAPE_SERVICES);
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	TABLE(out, "Latency since attach", "samples", "median", "90 %", "99 %");
	latency(out, "SYN to SYN-ACK", &s->snap.count.syn_synack);
	latency(out, "SYN-ACK to ACK", &s->snap.count.synack_ack);
	end_table(out);
	TABLE(out, "Busiest services", "SYN", "completed", "refused", "half-open");
	for (u32 i = 0; i < s->snap.services && i < SCRAPE_SERVICES; i++) {
		const struct snapshot_service *v = &s->snap.service[i];

		service(out, text_endpoint(name, text_addr(addr, v->key.addr), v->key.port), v);
	}
	service(out, "all others", &rest);
	end_table(out);
}

static void page_machine(FILE *out, const struct snapshot *m)
{
	TABLE(out, "Tables", "entries", "capacity", "evicted", "errors");
	for (u32 i = 0; i < TABLE_COUNT; i++)
		counts(out, snapshot_table_name[i],
		       (u64[]){m->table[i].entries, m->table[i].capacity, m->table[i].evicted, m->table[i].errors}, 4);
	end_table(out);
	TABLE(out, "Interfaces", "ingress", "egress");
	for (u32 i = 0; i < m->ifaces; i++) {
		const struct sw_iface *v = &m->iface[i].iface;
		char name[sizeof(v->name) + 1] = "";

		memcpy(name, v->name, sizeof(v->name));
		row(out, name);
		cell(out, hook_name(v->ingress));
		cell(out, hook_name(v->egress));
		fputs("</tr>\n", out);
	}
	end_table(out);
}

static void page_when(FILE *out, const struct scrape *s)
{
	time_t t = s->snap.at_ns / SW_NS_PER_S;
	char when[32];
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
	fprintf(out, "<p class=soft>%s</p>\n", when);
}

void render_page(FILE *out, const struct scrape *s)
{
	fputs("<!DOCTYPE html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<title>synwave</title>\n"
	      "<meta name=viewport content=\"width=device-width\">\n<link rel=stylesheet href=style.css>\n</head>\n"
	      "<body>\n<h1>synwave</h1>\n<p class=soft>" SYNWAVE_VERSION ", kernel ",
	      out);
	text(out, s->uts.release);
	fputs(", on ", out);
	text(out, s->uts.nodename);
	fputs(". <a href=metrics>metrics</a> <a href=healthz>healthz</a></p>\n", out);
	if (s->taken) {
		page_when(out, s);
		page_now(out, &s->snap);
		page_books(out, &s->snap);
		page_services(out, s);
		page_machine(out, &s->snap);
	} else {
		fputs("<p class=bad>", out);
		text(out, s->why);
		fputs("</p>\n", out);
	}
	fputs("</body>\n</html>\n", out);
}
