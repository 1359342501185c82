// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table of metrics, and how each row gets its numbers. */
#include "metrics.h"

#include "render.h"

#define NAME_(symbol, name, help) [SW_##symbol] = name,
static const char *const kind_word[SW_KIND_COUNT] = {SW_KINDS(NAME_)};
static const char *const reason_word[SW_REASON_COUNT] = {SW_REASONS(NAME_)};
static const char *const book_word[SW_BOOK_COUNT] = {SW_BOOKS(NAME_)};
static const char *const event_word[SW_EVENT_COUNT] = {SW_EVENTS(NAME_)};
#define NODE_EXPORTER_(symbol, name, word) [SW_##symbol] = word,
static const char *const state_word[SW_STATE_COUNT] = {SW_STATES(NODE_EXPORTER_)};

#define COOKIE_(symbol, name, help) name,
static const char *const cookie_word[SW_COOKIE_COUNT] = {SW_COOKIES(COOKIE_)};
/* What stopped an entry from getting its place: the set had no protected way left; the array could not be read; the
 * hash map was full. */
static const char *const table_errno[TABLE_COUNT] = {"ENOSPC", "ENOENT", "E2BIG"};
static u64 number_at(const void *base, size_t at)
{
	return *(const u64 *)((const char *)base + at);
}

static void get_number(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	to->number(to, m, NULL, 0, number_at(s, m->at));
}

static void get_words(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 i = 0; i < m->words; i++) {
		struct label label = {m->label, m->word[i]};

		to->number(to, m, &label, 1, number_at(s, m->at + i * m->stride));
	}
}

static void get_hist(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	to->hist(to, m, (const struct sw_hist *)((const char *)s + m->at));
}

static void get_build(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	struct label label[] = {{"version", SYNWAVE_VERSION}, {"kernel", s->uts.release}};

	to->number(to, m, label, 2, 1);
}

/* Two network namespaces may have an interface of the same name: one series, not the same twice. */
static bool said_before(const struct snapshot *snap, u32 i)
{
	const struct sw_iface *v = &snap->iface[i].iface;

	for (u32 k = 0; k < i; k++) {
		const struct sw_iface *w = &snap->iface[k].iface;

		if (!strncmp(v->name, w->name, sizeof(v->name)) && v->ingress == w->ingress && v->egress == w->egress)
			return true;
	}
	return false;
}

static void get_attach(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 i = 0; i < s->snap.ifaces; i++) {
		const struct sw_iface *v = &s->snap.iface[i].iface;
		char name[sizeof(v->name) + 1] = "";

		memcpy(name, v->name, sizeof(v->name));
		struct label label[] = {
			{"interface", name}, {"ingress", hook_name(v->ingress)}, {"egress", hook_name(v->egress)}};

		if (!said_before(&s->snap, i))
			to->number(to, m, label, 3, 1);
	}
}

static void get_connections(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 role = 0; role < ROLE_COUNT; role++)
		for (u32 i = 0; i < SW_STATE_COUNT; i++) {
			struct label label[] = {{"role", snapshot_role_name[role]}, {"state", state_word[i]}};

			to->number(to, m, label, 2, s->snap.state[role][i]);
		}
}

/* at: in struct snapshot_service; stride: where the rest lies, in struct scrape */
static void get_services(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	struct label label = {"service", "other"};
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	to->number(to, m, &label, 1, number_at(s, m->stride));
	label.value = name;
	for (u32 i = 0; i < s->snap.services && i < SCRAPE_SERVICES; i++) {
		const struct snapshot_service *v = &s->snap.service[i];

		text_endpoint(name, text_addr(addr, v->key.addr), v->key.port);
		to->number(to, m, &label, 1, number_at(v, m->at));
	}
}

static void get_table_errors(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		struct label label[] = {{"table", snapshot_table_name[i]}, {"errno", table_errno[i]}};

		to->number(to, m, label, 2, s->snap.table[i].errors);
	}
}

static void get_guard_mode(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 i = 0; i < SW_GUARD_MODES; i++) {
		struct label label = {"mode", guard_mode_name[i]};

		to->number(to, m, &label, 1, i == s->snap.guard.mode);
	}
}

static void get_guard_syn(const struct metric *m, const struct scrape *s, struct metric_sink *to)
{
	for (u32 i = 0; i < SW_VERDICT_COUNT; i++) {
		struct label label[] = {{"verdict", verdict_word[i].verdict}, {"reason", verdict_word[i].reason}};

		to->number(to, m, label, 2, s->snap.count.verdict[i]);
	}
}

#define HERE(field) offsetof(struct scrape, field)
#define ONE(field)  .get = get_number, .series = 1, .at = HERE(field)
#define HIST(field) .get = get_hist, .series = METRIC_LE + 2, .labels = "le", .at = HERE(field)
/* words from..last of a list, numbers from the array of the same order */
#define WORDS(name_, list, from, last, field) \
	.get = get_words, .series = (last) - (from) + 1, .label = name_, .word = (list) + (from), \
	.words = (last) - (from) + 1, .at = HERE(field[from]), .stride = sizeof(u64)
#define TABLES(field) \
	.get = get_words, .series = TABLE_COUNT, .label = "table", .word = snapshot_table_name, .words = TABLE_COUNT, \
	.at = HERE(snap.table[0].field), .stride = sizeof(struct snapshot_table)
#define SERVICES(field, rest) \
	.get = get_services, .series = SCRAPE_SERVICES + 1, .labels = "service (the busiest, and other)", \
	.at = offsetof(struct snapshot_service, field), .stride = HERE(rest)

const struct metric metrics[] = {
	{"synwave_build_info", METRIC_INFO, "", "Version of this exporter, and the kernel that it runs on.",
	 .get = get_build, .series = 1, .labels = "version, kernel"},
	{"synwave_attach_info", METRIC_INFO, "", "Interfaces observed, and the hooks really in use.", .get = get_attach,
	 .series = SW_IFACES, .labels = "interface, ingress, egress"},
	{"synwave_scrape_duration_seconds", METRIC_GAUGE, "seconds", "Time that reading the tables took.",
	 ONE(took_ns)},

	{"synwave_connections", METRIC_GAUGE, "",
	 "Endpoints by role and TCP state now; local are those of them that are this host.", .get = get_connections,
	 .series = ROLE_COUNT * SW_STATE_COUNT,
	 .labels = "role=\"client|server|local\", state (node_exporter's words)"},
	{"synwave_half_open_connections", METRIC_GAUGE, "", "Connections whose server is in SYN_RCVD.",
	 ONE(snap.half_open)},
	{"synwave_time_wait_connections", METRIC_GAUGE, "", "Endpoints in TIME_WAIT, 2 MSL not over.",
	 ONE(snap.time_wait)},

	{"synwave_segments_total", METRIC_COUNTER, "", "TCP segments seen, by kind.",
	 WORDS("kind", kind_word, 0, SW_KIND_COUNT - 1, snap.count.kind)},
	{"synwave_ignored_frames_total", METRIC_COUNTER, "", "Frames passed on without being judged, by reason.",
	 WORDS("reason", reason_word, SW_OK + 1, SW_REASON_COUNT - 1, snap.count.ignored)},

	{"synwave_handshakes_started_total", METRIC_COUNTER, "",
	 "Handshakes seen to begin: at every moment the sum of completed, failed and in progress.",
	 ONE(snap.book[SW_HS_STARTED])},
	{"synwave_handshakes_completed_total", METRIC_COUNTER, "", "Handshakes whose last ACK was seen.",
	 ONE(snap.book[SW_HS_COMPLETED])},
	{"synwave_handshakes_failed_total", METRIC_COUNTER, "", "Handshakes that did not complete, by reason.",
	 WORDS("reason", book_word, SW_HS_REFUSED, SW_HS_RESET, snap.book)},
	{"synwave_handshakes_in_progress", METRIC_GAUGE, "", "Handshakes under way.", ONE(snap.hs_in_progress)},
	{"synwave_syn_retransmits_total", METRIC_COUNTER, "", "SYNs sent again.",
	 ONE(snap.count.event[SW_EV_SYN_REXMIT])},
	{"synwave_synack_retransmits_total", METRIC_COUNTER, "", "SYN-ACKs sent again.",
	 ONE(snap.count.event[SW_EV_SYNACK_REXMIT])},

	{"synwave_teardowns_started_total", METRIC_COUNTER, "",
	 "Teardowns seen to begin: first FIN, or RST of a completed connection.", ONE(snap.book[SW_TD_STARTED])},
	{"synwave_teardowns_completed_total", METRIC_COUNTER, "", "Teardowns that ended, by their kind.",
	 WORDS("kind", event_word, SW_EV_CLOSE_FOUR_WAY, SW_EV_CLOSE_RESET, snap.count.event)},
	{"synwave_teardowns_failed_total", METRIC_COUNTER, "", "Teardowns that never ended, by reason.",
	 WORDS("reason", book_word, SW_TD_TIMED_OUT, SW_TD_EVICTED, snap.book)},
	{"synwave_teardowns_in_progress", METRIC_GAUGE, "", "Teardowns under way.", ONE(snap.td_in_progress)},

	{"synwave_syn_synack_seconds", METRIC_HISTOGRAM, "seconds",
	 "From the SYN to its SYN-ACK, neither of them sent twice.", HIST(snap.count.syn_synack)},
	{"synwave_synack_ack_seconds", METRIC_HISTOGRAM, "seconds",
	 "From the SYN-ACK to the ACK that completed the handshake.", HIST(snap.count.synack_ack)},

	{"synwave_service_syn_total", METRIC_COUNTER, "",
	 "SYNs that began a connection to a listening address and port.", SERVICES(count.syn, other_syn)},
	{"synwave_service_half_open", METRIC_GAUGE, "", "Half-open connections of a listening address and port.",
	 SERVICES(half_open, other_half_open)},

	{"synwave_guard_mode", METRIC_GAUGE, "", "1 for the mode that the guard is in.", .get = get_guard_mode,
	 .series = SW_GUARD_MODES, .labels = "mode=\"off|dry-run|enforce\""},
	{"synwave_guard_syn_total", METRIC_COUNTER, "", "SYNs that the guard judged.", .get = get_guard_syn,
	 .series = SW_VERDICT_COUNT,
	 .labels = "verdict=\"pass|drop|challenge|would_drop|would_challenge\", "
		   "reason (see `synwave guard`, docs/guard.md)"},
	{"synwave_guard_cookies_total", METRIC_COUNTER, "", "SYN cookies of the guard.",
	 WORDS("result", cookie_word, SW_COOKIE_SENT, SW_COOKIE_INVALID, snap.count.cookie)},

	{"synwave_table_entries", METRIC_GAUGE, "", "Entries in a table.", TABLES(entries)},
	{"synwave_table_capacity", METRIC_GAUGE, "", "Entries that a table has room for.", TABLES(capacity)},
	{"synwave_table_evictions_total", METRIC_COUNTER, "", "Living entries replaced because a table was full.",
	 TABLES(evicted)},
	{"synwave_table_errors_total", METRIC_COUNTER, "", "Entries that did not get the place meant for them.",
	 .get = get_table_errors, .series = TABLE_COUNT,
	 .labels = "table, errno (flows: ENOSPC, half_open: ENOENT, services: E2BIG)"},
	{"synwave_table_sets_changing", METRIC_GAUGE, "",
	 "Sets of connections that changed faster than they could be read: gauges lack what was being written in them.",
	 ONE(snap.sets_changing)},
	{"synwave_events_lost_total", METRIC_COUNTER, "", "Events that readers of trace did not get.",
	 ONE(snap.events_lost)},
};
const u32 metric_count = SW_ARRAY_SIZE(metrics);
