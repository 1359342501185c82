// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `stats`: one snapshot as a JSON object; render_stats_text.c: the same as text. */
#include "render.h"
#include "snapshot.h"
#include "synwave/hist.h"

#define NAME_(symbol, name, help) [SW_##symbol] = name,
static const char *const kind_name[SW_KIND_COUNT] = {SW_KINDS(NAME_)};
static const char *const reason_name[SW_REASON_COUNT] = {SW_REASONS(NAME_)};
static const char *const book_name[SW_BOOK_COUNT] = {SW_BOOKS(NAME_)};
static const char *const event_name[SW_EVENT_COUNT] = {SW_EVENTS(NAME_)};

/* The order of the contract. */
static const u8 kind_order[] = {SW_KIND_SYN, SW_KIND_SYN_ACK, SW_KIND_ACK,  SW_KIND_FIN,
				SW_KIND_RST, SW_KIND_DATA,    SW_KIND_OTHER};
_Static_assert(sizeof(kind_order) == SW_KIND_COUNT, "every kind has a place");

static void json_ifaces(struct json *j, const struct snapshot *m)
{
	json_key(j, "interfaces");
	json_arr(j);
	for (u32 i = 0; i < m->ifaces; i++) {
		const struct snapshot_iface *v = &m->iface[i];

		json_obj(j);
		json_ks(j, "name", v->iface.name);
		json_kn(j, "ifindex", v->key.ifindex);
		json_ks(j, "ingress", hook_name(v->iface.ingress));
		json_ks(j, "egress", hook_name(v->iface.egress));
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void json_counts(struct json *j, const char *key, const char *const *name, const u64 *n, u32 from, u32 to)
{
	json_key(j, key);
	json_obj(j);
	for (u32 i = from; i < to; i++)
		json_kn(j, name[i], n[i]);
	json_end_obj(j);
}

static void json_states(struct json *j, const struct snapshot *m)
{
	json_key(j, "states");
	json_obj(j);
	for (u32 role = 0; role < ROLE_COUNT; role++)
		json_counts(j, snapshot_role_name[role], sw_state_name, m->state[role], 0, SW_STATE_COUNT);
	json_end_obj(j);
}

static void json_segments(struct json *j, const struct snapshot *m)
{
	json_key(j, "segments");
	json_obj(j);
	for (u32 i = 0; i < SW_KIND_COUNT; i++)
		json_kn(j, kind_name[kind_order[i]], m->count.kind[kind_order[i]]);
	json_end_obj(j);
}

static void json_event(struct json *j, const struct snapshot *m, enum sw_event e)
{
	json_kn(j, event_name[e], m->count.event[e]);
}

static void json_books(struct json *j, const struct snapshot *m)
{
	json_key(j, "handshakes");
	json_obj(j);
	for (u32 i = SW_HS_STARTED; i < SW_TD_STARTED; i++)
		json_kn(j, book_name[i], m->book[i]);
	json_kn(j, "in_progress", m->hs_in_progress);
	json_event(j, m, SW_EV_SYN_REXMIT);
	json_event(j, m, SW_EV_SYNACK_REXMIT);
	json_end_obj(j);

	json_key(j, "teardowns");
	json_obj(j);
	for (u32 i = SW_TD_STARTED; i <= SW_TD_EVICTED; i++)
		json_kn(j, book_name[i], m->book[i]);
	json_kn(j, "in_progress", m->td_in_progress);
	json_kn(j, book_name[SW_TD_SIMULTANEOUS], m->book[SW_TD_SIMULTANEOUS]);
	json_event(j, m, SW_EV_CLOSE_FOUR_WAY);
	json_event(j, m, SW_EV_CLOSE_THREE_WAY);
	json_end_obj(j);
}

static void json_hist(struct json *j, const char *key, const struct sw_hist *h)
{
	json_key(j, key);
	json_obj(j);
	json_kn(j, "count", h->count);
	json_kn(j, "sum_ns", h->sum_ns);
	json_key(j, "buckets");
	json_arr(j);
	for (u32 i = 0; i < SW_HIST_BUCKETS; i++) {
		if (!h->bucket[i])
			continue;
		json_arr(j);
		if (i == SW_HIST_BUCKETS - 1)
			json_null(j); /* no upper bound */
		else
			json_num(j, sw_hist_upper(i));
		json_num(j, h->bucket[i]);
		json_end_arr(j);
	}
	json_end_arr(j);
	json_end_obj(j);
}

static void json_service_counts(struct json *j, const struct snapshot_service *v)
{
	json_kn(j, "syn", v->count.syn);
	json_kn(j, "completed", v->count.completed);
	json_kn(j, "half_open", v->half_open);
	json_kn(j, "refused", v->count.refused);
	json_counts(j, "guard", act_name, v->act, 0, SW_ACT_COUNT);
}

static void json_quantiles(struct json *j, const char *key, const struct sw_hist *h)
{
	static const struct {
		const char *key;
		u32 permille;
	} row[] = {{"p50_ns", 500}, {"p90_ns", 900}, {"p99_ns", 990}};

	json_key(j, key);
	json_obj(j);
	json_kn(j, "count", h->count);
	json_kn(j, "sum_ns", h->sum_ns);
	for (u32 i = 0; i < SW_ARRAY_SIZE(row); i++) {
		u64 ns = snapshot_quantile(h, row[i].permille);

		json_key(j, row[i].key);
		if (!h->count || ns == ~0ULL)
			json_null(j);
		else
			json_num(j, ns);
	}
	json_end_obj(j);
}

static void json_times(struct json *j, const struct sw_timed *t)
{
	json_key(j, "latency");
	if (!t) {
		json_null(j);
		return;
	}
	json_obj(j);
	json_quantiles(j, "syn_synack", &t->syn_synack);
	json_quantiles(j, "synack_ack", &t->synack_ack);
	json_end_obj(j);
}

static void json_services(struct json *j, const struct snapshot *m, u32 most)
{
	char addr[TEXT_SIZE];

	json_key(j, "services");
	json_arr(j);
	for (u32 i = 0; i < m->services && i < most; i++) {
		const struct snapshot_service *v = &m->service[i];

		json_obj(j);
		json_ks(j, "addr", text_addr(addr, v->key.addr));
		json_kn(j, "port", v->key.port);
		json_service_counts(j, v);
		json_times(j, snapshot_timed(m, &v->key));
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void json_guard(struct json *j, const struct snapshot *m)
{
	json_key(j, "guard");
	json_obj(j);
	render_guard_counts(j, m->guard.mode, &m->count);
	json_end_obj(j);
}

static void json_tables(struct json *j, const struct snapshot *m)
{
	json_key(j, "tables");
	json_arr(j);
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		json_obj(j);
		json_ks(j, "name", snapshot_table_name[i]);
		json_kn(j, "entries", m->table[i].entries);
		json_kn(j, "capacity", m->table[i].capacity);
		json_kn(j, "evicted", m->table[i].evicted);
		json_kn(j, "errors", m->table[i].errors);
		json_end_obj(j);
	}
	json_end_arr(j);
}

void render_stats_json(struct json *j, const struct snapshot *m, u32 services)
{
	struct snapshot_service rest = snapshot_rest(m, services);

	json_obj(j);
	json_ifaces(j, m);
	json_kn(j, "half_open", m->half_open);
	json_kn(j, "time_wait", m->time_wait);
	json_kn(j, "time_wait_local", m->time_wait_local);
	json_states(j, m);
	json_segments(j, m);
	json_books(j, m);
	json_key(j, "latency");
	json_obj(j);
	json_hist(j, "syn_synack", &m->count.syn_synack);
	json_hist(j, "synack_ack", &m->count.synack_ack);
	json_end_obj(j);
	json_services(j, m, services);
	json_guard(j, m);
	json_counts(j, "ignored", reason_name, m->count.ignored, SW_OK + 1, SW_REASON_COUNT);
	json_tables(j, m);
	json_kn(j, "sets_changing", m->sets_changing);
	json_kn(j, "events_lost", m->events_lost);
	json_counts(j, "events", event_name, m->count.event, 0, SW_EVENT_COUNT);
	json_key(j, "services_other");
	json_obj(j);
	json_service_counts(j, &rest);
	json_end_obj(j);
	json_kn(j, "services_full", m->count.services_full);
	json_kn(j, "at_ns", m->at_ns);
	json_kn(j, "monotonic_ns", m->now_ns);
	json_kn(j, "created_ns", m->created_ns);
	json_end_obj(j);
	json_line(j);
}
