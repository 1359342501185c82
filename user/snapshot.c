// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "synwave/hist.h"
#include "synwave/table.h"

const char *const snapshot_table_name[TABLE_COUNT] = {"flows", "half_open", "services"};
const char *const snapshot_role_name[ROLE_COUNT] = {"client", "server", "local"};

const char *hook_name(u32 hook)
{
	static const char *const name[SW_HOOK_COUNT] = {
		[SW_HOOK_NONE] = "none", [SW_HOOK_XDP_NATIVE] = "xdp-native", [SW_HOOK_XDP_GENERIC] = "xdp-generic",
		[SW_HOOK_TCX] = "tcx",   [SW_HOOK_CLSACT] = "clsact",
	};

	return hook < SW_HOOK_COUNT ? name[hook] : "unknown";
}

int snapshot_add_service(void *ctx, const struct sw_service_key *key, const struct sw_service *count)
{
	struct snapshot *m = ctx;

	if (m->services >= SW_SERVICES)
		return 0;
	m->service[m->services++] = (struct snapshot_service){.key = *key, .count = *count};
	return 0;
}

static int add_iface(void *ctx, const struct sw_iface_key *key, const struct sw_iface *iface)
{
	struct snapshot *m = ctx;

	if (m->ifaces < SW_IFACES && iface->ready)
		m->iface[m->ifaces++] = (struct snapshot_iface){*key, *iface};
	return 0;
}

static int by_iface(const void *a, const void *b)
{
	const struct sw_iface_key *x = &((const struct snapshot_iface *)a)->key;
	const struct sw_iface_key *y = &((const struct snapshot_iface *)b)->key;

	if (x->netns != y->netns)
		return x->netns < y->netns ? -1 : 1;
	return x->ifindex < y->ifindex ? -1 : x->ifindex > y->ifindex;
}

static int by_key(const void *a, const void *b)
{
	const struct snapshot_service *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static int by_syn(const void *a, const void *b)
{
	const struct sw_service *x = &((const struct snapshot_service *)a)->count;
	const struct sw_service *y = &((const struct snapshot_service *)b)->count;

	if (x->syn != y->syn)
		return x->syn < y->syn ? 1 : -1;
	if (x->synack != y->synack)
		return x->synack < y->synack ? 1 : -1;
	return by_key(a, b);
}

void snapshot_sort_keys(struct snapshot *m)
{
	qsort(m->service, m->services, sizeof(*m->service), by_key);
}

static struct snapshot_service *find_service(const struct snapshot *m, const u32 addr[4], u16 port)
{
	struct snapshot_service want = {.key.port = port};

	memcpy(want.key.addr, addr, sizeof(want.key.addr));
	return bsearch(&want, m->service, m->services, sizeof(want), by_key);
}

static void add_acts(struct snapshot *m, const struct sw_acts *acts)
{
	for (u32 i = 0; i < SW_ACT_SETS * SW_ACT_WAYS; i++) {
		const struct sw_act_entry *e = &acts->entry[i / SW_ACT_WAYS][i % SW_ACT_WAYS];
		struct snapshot_service *v = e->port ? find_service(m, e->addr, e->port) : NULL;

		for (u32 act = 0; act < SW_ACT_COUNT; act++)
			(v ? v->act : m->act_other)[act] += e->act[act];
	}
}

static int take_acts(struct snapshot *m, struct store *s)
{
	struct sw_acts *all;
	int cpus = store_acts(s, &all);

	for (int cpu = 0; cpu < cpus; cpu++)
		add_acts(m, &all[cpu]);
	free(all);
	return cpus < 0 ? cpus : 0;
}

const struct sw_timed *snapshot_timed(const struct snapshot *m, const struct sw_service_key *key)
{
	for (u32 i = 0; i < m->timeds; i++)
		if (m->timed[i].port == key->port && !memcmp(m->timed[i].addr, key->addr, sizeof(key->addr)))
			return &m->timed[i];
	return NULL;
}

static void add_hist(struct sw_hist *to, const struct sw_hist *from)
{
	to->sum_ns += from->sum_ns;
	for (u32 i = 0; i < SW_HIST_BUCKETS; i++) {
		to->bucket[i] += from->bucket[i];
		to->count += from->bucket[i];
	}
}

/* One a service, where the CPUs had one each. */
static int take_timed(struct snapshot *m, struct store *s)
{
	int n = store_timed(s, &m->timed);

	for (int i = 0; i < n; i++) {
		struct sw_timed one = m->timed[i], *to;
		struct sw_service_key key = {.port = one.port};

		if (!one.port)
			continue;
		memcpy(key.addr, one.addr, sizeof(key.addr));
		to = (struct sw_timed *)snapshot_timed(m, &key);
		if (!to) {
			to = &m->timed[m->timeds++];
			*to = (struct sw_timed){.port = one.port};
			memcpy(to->addr, one.addr, sizeof(to->addr));
		}
		add_hist(&to->syn_synack, &one.syn_synack);
		add_hist(&to->synack_ack, &one.synack_ack);
	}
	return n < 0 ? n : 0;
}

static void count_half_open(struct snapshot *m, const struct sw_conn *c)
{
	u32 side = c->flags & SW_C_CLIENT_HI ? 0 : 1;
	struct snapshot_service *found = find_service(m, c->key.addr[side], c->key.port[side]);

	if (found)
		found->half_open++;
	else
		m->half_open_other++;
	m->half_open++;
}

static void count_living(struct snapshot *m, const struct sw_conn *c)
{
	static const u32 local[2] = {SW_C_CLIENT_LOCAL, SW_C_SERVER_LOCAL};

	for (u32 role = 0; role < 2; role++) {
		u32 state = c->end[role].state;

		if (state >= SW_STATE_COUNT)
			continue;
		m->state[role][state]++;
		if (c->flags & local[role])
			m->state[ROLE_LOCAL][state]++;
	}
	if (c->end[SW_SERVER].state == SW_SYN_RCVD)
		count_half_open(m, c);
}

/* Handshakes and teardowns of one set: in progress, and over without being written down. */
struct open {
	u64 hs, td, hs_over, td_over;
};

/* The set's own totals say how many are in progress, whatever becomes of the entries. */
static void open_by_book(struct open *o, const u64 *book)
{
	o->hs = book[SW_HS_STARTED] - book[SW_HS_COMPLETED] - book[SW_HS_REFUSED] - book[SW_HS_EVICTED] -
		book[SW_HS_TIMED_OUT] - book[SW_HS_RESET] - o->hs_over;
	o->td = book[SW_TD_STARTED] - book[SW_TD_COMPLETED] - book[SW_TD_RESET] - book[SW_TD_TIMED_OUT] -
		book[SW_TD_EVICTED] - o->td_over;
}

int snapshot_add_set(void *ctx, const struct sw_shelf *f, u32 doubt)
{
	const struct sw_set *set = f->set;
	struct snapshot *m = ctx;
	struct open open = {};
	u32 tick = sw_tick(m->now_ns), live = (1u << f->conf->live_ways) - 1;
	struct sw_conn conn, *c = &conn;

	for (u32 i = 0; i < SW_BOOK_COUNT; i++)
		m->book[i] += set->book[i];
	m->table[TABLE_FLOWS].entries += sw_bits(set->used & live);
	m->table[TABLE_HALF_OPEN].entries += sw_bits(set->used & ~live);
	for (u32 left = set->used & SW_ALL_WAYS & ~doubt; left; left &= left - 1) {
		u32 way = sw_lowest(left), hs, td;

		if (!sw_load(f, way, c))
			continue;
		hs = !!(c->flags & SW_C_HS_OPEN);
		td = !!(c->flags & SW_C_TD_OPEN);
		if (!sw_expired(c, tick)) {
			count_living(m, c);
			open.hs += hs;
			open.td += td;
		} else { /* nobody has come by to write it down */
			open.hs_over += hs;
			open.td_over += td;
		}
	}
	if (doubt)
		open_by_book(&open, set->book);
	m->sets_changing += !!doubt;
	m->hs_in_progress += open.hs;
	m->td_in_progress += open.td;
	m->book[SW_HS_TIMED_OUT] += open.hs_over;
	m->book[SW_TD_TIMED_OUT] += open.td_over;
	return 0;
}

static void finish_hist(struct sw_hist *h)
{
	/* read while CPUs write: the buckets are what was counted */
	h->count = 0;
	for (u32 i = 0; i < SW_HIST_BUCKETS; i++)
		h->count += h->bucket[i];
}

/* Who lost what. What is evicted alive (half-open, one-sided, or completed in a full set) was not kept, and counts as
 * half_open's: flows.evicted stays 0 by construction, and that a set had no room for a flow is flows' error. */
static void finish_tables(struct snapshot *m, const struct sw_conf *conf)
{
	struct snapshot_table *t = m->table;
	const u64 *event = m->count.event;

	t[TABLE_FLOWS].capacity = (u64)conf->sets * conf->live_ways;
	t[TABLE_FLOWS].errors = event[SW_EV_UNPROTECTED];
	t[TABLE_HALF_OPEN].capacity = (u64)conf->sets * conf->half_ways;
	t[TABLE_HALF_OPEN].evicted = event[SW_EV_EVICT_HALF_OPEN] + event[SW_EV_EVICT_OPEN];
	t[TABLE_HALF_OPEN].errors = m->count.ignored[SW_NO_TABLE]; /* every connection begins here */
	t[TABLE_SERVICES].entries = m->services;
	t[TABLE_SERVICES].capacity = SW_SERVICES;
	t[TABLE_SERVICES].errors = m->count.services_full;
}

void snapshot_finish(struct snapshot *m, const struct sw_conf *conf)
{
	/* a SYN may be taken off `other` on one CPU before its count on another was read */
	if ((s64)m->count.other.syn < 0)
		m->count.other.syn = 0;
	for (u32 act = 0; act < SW_ACT_COUNT; act++)
		m->act_other[act] += m->count.other_act[act];
	finish_hist(&m->count.syn_synack);
	finish_hist(&m->count.synack_ack);
	finish_tables(m, conf);
	m->time_wait = m->state[ROLE_CLIENT][SW_TIME_WAIT] + m->state[ROLE_SERVER][SW_TIME_WAIT];
	m->time_wait_local = m->state[ROLE_LOCAL][SW_TIME_WAIT];
	qsort(m->service, m->services, sizeof(*m->service), by_syn);
}

int snapshot_take(struct snapshot *m, struct store *s)
{
	u64 gen;
	int err;

	memset(m, 0, sizeof(*m));
	m->service = malloc(SW_SERVICES * sizeof(*m->service));
	m->iface = malloc(SW_IFACES * sizeof(*m->iface));
	if (!m->service || !m->iface)
		return store_fail(s, -ENOMEM, "out of memory");
	m->created_ns = s->info.created_ns;
	err = store_guard(s, &m->guard, &gen);
	if (!err)
		err = store_ifaces(s, add_iface, m);
	if (!err)
		err = store_services(s, snapshot_add_service, m);
	if (err)
		return err;
	qsort(m->iface, m->ifaces, sizeof(*m->iface), by_iface);
	snapshot_sort_keys(m);
	err = take_acts(m, s);
	if (!err)
		err = take_timed(m, s);
	if (err)
		return err;
	m->now_ns = store_now();
	m->at_ns = m->now_ns + s->epoch_ns;
	err = store_walk(s, m->now_ns, snapshot_add_set, m);
	if (!err)
		err = store_stats(s, &m->count);
	if (!err)
		err = store_readers(s, &m->events_lost, &m->traces);
	if (!err)
		snapshot_finish(m, &s->info.conf);
	return err;
}

void snapshot_free(struct snapshot *m)
{
	free(m->service);
	free(m->iface);
	free(m->timed);
	m->timed = NULL;
	m->timeds = 0;
	m->service = NULL;
	m->iface = NULL;
	m->services = m->ifaces = 0;
}

struct snapshot_service snapshot_rest(const struct snapshot *m, u32 from)
{
	struct snapshot_service rest = {.count = m->count.other, .half_open = m->half_open_other};

	memcpy(rest.act, m->act_other, sizeof(rest.act));

	for (u32 i = from; i < m->services; i++) {
		const struct snapshot_service *v = &m->service[i];

		rest.count.syn += v->count.syn;
		rest.count.synack += v->count.synack;
		rest.count.completed += v->count.completed;
		rest.count.refused += v->count.refused;
		rest.half_open += v->half_open;
		for (u32 act = 0; act < SW_ACT_COUNT; act++)
			rest.act[act] += v->act[act];
	}
	return rest;
}

u64 snapshot_quantile(const struct sw_hist *h, u32 permille)
{
	u64 rank = (h->count * permille + 999) / 1000, below = 0;
	u32 i;

	if (!h->count)
		return 0;
	if (!rank)
		rank = 1;
	for (i = 0; i < SW_HIST_BUCKETS - 1; below += h->bucket[i++])
		if (below + h->bucket[i] >= rank)
			break;
	if (i == SW_HIST_BUCKETS - 1)
		return ~0ULL;
	u64 from = i ? sw_hist_upper(i - 1) : 0, to = sw_hist_upper(i);
	/* as if the samples of a bucket were spread evenly */
	return from + (double)(to - from) * (rank - below) / h->bucket[i];
}
