/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Formats. One walk over the neutral model each; only these files know how JSON or a table looks. */
#ifndef SYNWAVE_RENDER_H
#define SYNWAVE_RENDER_H

#include <stdio.h>

#include "record.h"
#include "ruleset.h"
#include "words.h"
#include "term.h"

/* JSON through yajl, straight to a stream. Short names: the callers read as the document they write. */
struct json;
struct json *json_open(FILE *out);
void json_close(struct json *j);
void json_line(struct json *j); /* ends the line; the next object begins a new one */
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s); /* NULL: null */
void json_num(struct json *j, long long n);
void json_bool(struct json *j, bool b);
void json_null(struct json *j);
void json_obj(struct json *j);
void json_end_obj(struct json *j);
void json_arr(struct json *j);
void json_end_arr(struct json *j);
void json_kn(struct json *j, const char *key, long long n); /* "key": n */
void json_kn_if(struct json *j, const char *key, bool known, long long n); /* "key": n or null */
void json_kb_if(struct json *j, const char *key, bool known, bool b);
void json_ks(struct json *j, const char *key, const char *s); /* "key": "s" or null */

/* One connection, one line. */
void render_record_json(struct json *j, const struct record *r);
void json_record(struct json *j, const struct record *r); /* its keys, in an object that is open */
void json_flags(struct json *j, u8 flags); /* "flags": ["SYN","ACK"] */

/* A table of connections. The first lines are held back to learn how wide addresses are; the rest streams. */
#define RECORD_HOLD 128
struct record_table {
	FILE *out;
	u64 now_ns; /* since the epoch: ages are counted up to it */
	bool begun;
	int width[2];
	u32 held;
	struct record hold[RECORD_HOLD];
};
void render_table_begin(struct record_table *t, FILE *out, u64 now_ns);
void render_table_add(struct record_table *t, const struct record *r);
void render_table_end(struct record_table *t);

/* One step of a handshake or teardown, one line; time between is counted from the connection's previous step. */
struct trace_line {
	const struct sw_trace *t;
	u64 epoch_ns;
	u64 before_ns; /* clock of the table; 0: it is the first */
	const char *iface;
};
struct trace_text {
	FILE *out;
	struct term term;
	int width[2]; /* of endpoints: grows */
};
void render_trace_begin(struct trace_text *x, FILE *out, struct term term);
void render_trace_line(struct trace_text *x, const struct trace_line *l);
void render_trace_json(struct json *j, const struct trace_line *l);

/* One connection as a ladder. */
struct ladder;
void render_ladder_text(FILE *out, const struct term *term, const struct ladder *l);
void render_ladder_svg(FILE *out, const struct ladder *l);
void render_ladder_json(struct json *j, const struct ladder *l);

/* What was counted, as one JSON object or as text. With `before`: rates since then, latencies of that time only. */
struct snapshot;
void render_stats_json(struct json *j, const struct snapshot *m, u32 services);
void render_stats_text(FILE *out, const struct snapshot *m, const struct snapshot *before, u32 services);

/* `guard show`. */
#define GUARD_TOP 20
struct guard_view {
	struct ruleset rules;
	struct sw_stats count;
	struct sw_top_entry top[GUARD_TOP];
	int tops, verified;
	u64 now_ns; /* clock of the table */
};
void render_guard_json(struct json *j, const struct guard_view *v);
void render_guard_verdicts(FILE *out, const struct sw_stats *c); /* a line each that is not 0 */
void render_guard_text(FILE *out, const struct guard_view *v);
struct verdict_word {
	const char *verdict, *reason;
};
extern const struct verdict_word verdict_word[SW_VERDICT_COUNT];
extern const char *const act_name[SW_ACT_COUNT];
u64 guard_act_sum(const struct sw_stats *c, u32 act); /* of all reasons */
/* Of all verdicts with the reason of row `i`; false: an earlier row has the same reason. */
bool guard_reason_sum(const struct sw_stats *c, u32 i, u64 *n);
/* The guard's counters: `guard` of stats --json. */
void render_guard_counts(struct json *j, u32 mode, const struct sw_stats *count);

/* Prometheus text 0.0.4, or OpenMetrics 1.0; docs/metrics.md; a page for people, with the reason if there are no
 * numbers. */
struct scrape;
void render_prom(FILE *out, const struct scrape *s, bool openmetrics);
void render_metrics_manual(FILE *out);
void render_page(FILE *out, const struct scrape *s);

/* Pieces of text. The buffer comes back, for use as an argument. */
#define TEXT_SIZE 64
/* A name that others chose, an interface's first of all: printable ASCII as it is, any other byte as \xNN, which no terminal
 * obeys. TEXT_SIZE holds every interface name; what does not fit is left out. */
char *text_name(char *buf, size_t size, const char *name);
char *text_addr(char buf[TEXT_SIZE], const u32 addr[4]); /* as in sw_key: IPv4 may be mapped */
char *text_endpoint(char buf[TEXT_SIZE], const char *addr, u16 port); /* 192.0.2.1:80, [2001:db8::1]:80 */
char *text_listener(char buf[TEXT_SIZE], const struct sw_service_key *key); /* the same, of a service */
char *text_source(char buf[TEXT_SIZE + 8], const struct sw_top_entry *e); /* 192.0.2.0/24; denied: the address alone */
char *text_quantile(char buf[TEXT_SIZE], const struct sw_hist *h, u32 permille); /* a duration; - without samples */
char *text_duration(char buf[TEXT_SIZE], u64 ns); /* three digits or two units: 412us, 1.24ms, 3m05s */
char *text_delta(char buf[TEXT_SIZE], u64 ns); /* the same after a + */
char *text_count(char buf[TEXT_SIZE], u64 n); /* 1,234,567 */
char *text_clock(char buf[TEXT_SIZE], u64 ns, bool date); /* local time to the microsecond */
char *text_flags(char buf[TEXT_SIZE], u8 flags); /* SYN+ACK; "none" */
char *text_options(char *buf, size_t size, const struct record_end *e); /* mss 1460, wscale 7; may be empty */
char *text_count_in(char buf[TEXT_SIZE], u64 n, int width); /* in at most `width` >= 5 columns: 1,234,567 or 1.23M */
char *text_rate(char buf[TEXT_SIZE], double per_s); /* 12.3 or 1,234 */

#endif
