// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The lower pane's lists: a table says which columns there are, a function a list fills them. */
#include "top.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define ALWAYS 0

enum {
	SERVICE_NAME,
	SERVICE_SYN_RATE,
	SERVICE_SYN,
	SERVICE_HALF_OPEN,
	SERVICE_COMPLETED,
	SERVICE_REFUSED,
	SERVICE_COMPLETED_RATE,
	SERVICE_LIMITED_RATE,
	SERVICE_COLUMNS
};
static const struct top_column service_column[] = {
	[SERVICE_NAME] = {"ADDRESS", TOP_NAME, 21, ALWAYS, NULL},
	[SERVICE_SYN_RATE] = {"SYN/s", TOP_RATE, 9, ALWAYS, NULL},
	[SERVICE_SYN] = {"SYN", TOP_COUNT, 11, ALWAYS, NULL},
	[SERVICE_HALF_OPEN] = {"HALF-OPEN", TOP_COUNT, 11, ALWAYS, NULL},
	[SERVICE_COMPLETED] = {"COMPLETED", TOP_COUNT, 11, 72, NULL},
	[SERVICE_REFUSED] = {"REFUSED", TOP_COUNT, 9, 80, NULL},
	[SERVICE_COMPLETED_RATE] = {"COMPL./s", TOP_RATE, 10, 100, NULL},
	[SERVICE_LIMITED_RATE] = {"LIMITED/s", TOP_RATE, 11, 112, "SYNs over a limit (112 columns or more)"},
};

enum { SOURCE_NAME, SOURCE_SYN_RATE, SOURCE_SYN, SOURCE_ERROR, SOURCE_AGE, SOURCE_REASON, SOURCE_COLUMNS };
static const struct top_column source_column[] = {
	[SOURCE_NAME] = {"SOURCE", TOP_NAME, 21, ALWAYS, NULL},
	[SOURCE_SYN_RATE] = {"SYN/s", TOP_RATE, 9, ALWAYS, NULL},
	[SOURCE_SYN] = {"SYN", TOP_COUNT, 11, ALWAYS, NULL},
	[SOURCE_ERROR] = {"AT MOST OFF", TOP_COUNT, 13, 80, "by so many the count may be too high"},
	[SOURCE_AGE] = {"LAST", TOP_AGE, 7, ALWAYS, NULL},
	[SOURCE_REASON] = {"REASON", TOP_REASON, 8, 72, NULL},
};

enum {
	TABLE_NAME,
	TABLE_ENTRIES,
	TABLE_CAPACITY,
	TABLE_FILL,
	TABLE_EVICTED,
	TABLE_EVICTED_RATE,
	TABLE_ERRORS,
	TABLE_COLUMNS
};
static const struct top_column table_column[] = {
	[TABLE_NAME] = {"TABLE", TOP_NAME, 9, ALWAYS, NULL},
	[TABLE_ENTRIES] = {"ENTRIES", TOP_COUNT, 11, ALWAYS, NULL},
	[TABLE_CAPACITY] = {"CAPACITY", TOP_COUNT, 11, ALWAYS, NULL},
	[TABLE_FILL] = {"IN USE", TOP_PERCENT, 8, ALWAYS, NULL},
	[TABLE_EVICTED] = {"EVICTED", TOP_COUNT, 11, ALWAYS, NULL},
	[TABLE_EVICTED_RATE] = {"EVICTED/s", TOP_RATE, 11, 72, NULL},
	[TABLE_ERRORS] = {"ERRORS", TOP_COUNT, 9, 80, NULL},
};

const struct top_pane_info top_pane[TOP_PANES] = {
	[TOP_PANE_SERVICES] = {"services", "no service was seen yet", service_column, SERVICE_COLUMNS,
			       SERVICE_SYN_RATE},
	[TOP_PANE_SOURCES] = {"sources", "no source was over a limit or denied", source_column, SOURCE_COLUMNS,
			      SOURCE_SYN_RATE},
	[TOP_PANE_TABLES] = {"tables", "no table has that name", table_column, TABLE_COLUMNS, TABLE_NAME},
};

void top_view_init(struct top_view *v, double every)
{
	memset(v, 0, sizeof(*v));
	v->every = every;
	for (u32 i = 0; i < TOP_PANES; i++)
		v->of[i].sort = top_pane[i].sort;
}

/* Takes the row that was just written, if the filter lets it pass. */
static void take(struct top_rows *r, const struct top_view *v)
{
	struct top_row *row = &r->row[r->rows];

	row->order = r->rows;
	if (!*v->filter || (!row->rest && strcasestr(row->name, v->filter)))
		r->rows++;
	else
		r->hidden++;
}

static u64 limited(const struct snapshot_service *s)
{
	u64 n = 0;

	for (u32 act = SW_ACT_DROP; act < SW_ACT_COUNT; act++)
		n += s->act[act];
	return n;
}

/* was: NULL if nothing is known of before; seconds: 0 then. */
static void service_values(struct top_row *row, const struct snapshot_service *s, const struct snapshot_service *was,
			   double seconds)
{
	static const struct snapshot_service none;
	const struct sw_service *n = &s->count, *w = was ? &was->count : &none.count;

	row->value[SERVICE_SYN_RATE] = seconds ? since_count(n->syn, w->syn) / seconds : NAN;
	row->value[SERVICE_SYN] = n->syn;
	row->value[SERVICE_HALF_OPEN] = s->half_open;
	row->value[SERVICE_COMPLETED] = n->completed;
	row->value[SERVICE_REFUSED] = n->refused;
	row->value[SERVICE_COMPLETED_RATE] = seconds ? since_count(n->completed, w->completed) / seconds : NAN;
	row->value[SERVICE_LIMITED_RATE] =
		seconds ? since_count(limited(s), limited(was ? was : &none)) / seconds : NAN;
}

static void services(struct top_rows *r, const struct top_model *t, const struct top_view *v)
{
	const struct snapshot *now = &t->now->snap, *before = t->before ? &t->before->snap : NULL;
	double seconds = before ? t->seconds : 0;
	struct snapshot_service rest = snapshot_rest(now, now->services), rest_was;

	for (u32 i = 0; i < now->services; i++) {
		const struct snapshot_service *s = &now->service[i];
		struct top_row *row = &r->row[r->rows];
		u16 port = htons(s->key.port);

		memset(row, 0, sizeof(*row));
		text_listener(row->name, &s->key);
		memcpy(row->key, s->key.addr, sizeof(s->key.addr));
		memcpy(row->key + sizeof(s->key.addr), &port, sizeof(port));
		service_values(row, s, before ? since_service(before->service, before->services, &s->key) : NULL,
			       seconds);
		take(r, v);
	}
	if (!rest.count.syn && !rest.half_open)
		return;
	struct top_row *row = &r->row[r->rows];
	*row = (struct top_row){.name = "(others)", .rest = true};
	if (before)
		rest_was = snapshot_rest(before, before->services);
	service_values(row, &rest, before ? &rest_was : NULL, seconds);
	take(r, v);
}

static const struct sw_top_entry *find_source(const struct top_reading *in, const struct sw_top_entry *e)
{
	for (u32 i = 0; in && i < in->sources; i++)
		if (!memcmp(in->source[i].addr, e->addr, sizeof(e->addr)) && in->source[i].prefix == e->prefix)
			return &in->source[i];
	return NULL;
}

/* A source that took another's place inherits its count, as `error`: what is its own is what both differ by. */
static u64 own_count(const struct sw_top_entry *e)
{
	return e ? since_count(e->count, e->error) : 0;
}

static void sources(struct top_rows *r, const struct top_model *t, const struct top_view *v)
{
	for (u32 i = 0; i < t->now->sources; i++) {
		const struct sw_top_entry *e = &t->now->source[i];
		struct top_row *row = &r->row[r->rows];

		memset(row, 0, sizeof(*row));
		text_source(row->name, e);
		memcpy(row->key, e->addr, sizeof(e->addr));
		row->key[sizeof(e->addr)] = e->prefix;
		row->value[SOURCE_SYN_RATE] =
			t->before ? since_count(own_count(e), own_count(find_source(t->before, e))) / t->seconds : NAN;
		row->value[SOURCE_SYN] = e->count;
		row->value[SOURCE_ERROR] = e->error;
		row->value[SOURCE_AGE] = since_count(t->now->snap.now_ns, e->last_ns);
		row->value[SOURCE_REASON] = e->prefix == SW_TOP_DENIED;
		take(r, v);
	}
}

static void tables(struct top_rows *r, const struct top_model *t, const struct top_view *v)
{
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		const struct snapshot_table *n = &t->now->snap.table[i];
		struct top_row *row = &r->row[r->rows];

		memset(row, 0, sizeof(*row));
		snprintf(row->name, sizeof(row->name), "%s", snapshot_table_name[i]);
		snprintf((char *)row->key, sizeof(row->key), "%s", snapshot_table_name[i]);
		row->value[TABLE_ENTRIES] = n->entries;
		row->value[TABLE_CAPACITY] = n->capacity;
		row->value[TABLE_FILL] = n->capacity ? 100.0 * n->entries / n->capacity : 0;
		row->value[TABLE_EVICTED] = n->evicted;
		row->value[TABLE_EVICTED_RATE] =
			t->before ? since_count(n->evicted, t->before->snap.table[i].evicted) / t->seconds : NAN;
		row->value[TABLE_ERRORS] = n->errors;
		take(r, v);
	}
}

bool top_shown(const struct top_view *v, u32 column)
{
	return column < top_pane[v->pane].columns && top_pane[v->pane].column[column].from <= v->width;
}

bool top_descends(const struct top_view *v)
{
	enum top_kind kind = top_pane[v->pane].column[v->of[v->pane].sort].kind;

	return (kind == TOP_COUNT || kind == TOP_RATE || kind == TOP_PERCENT) != v->of[v->pane].reverse;
}

struct order {
	u32 column;
	bool descends, named;
};

static int compare(const void *a, const void *b, void *ctx)
{
	const struct top_row *x = a, *y = b;
	const struct order *o = ctx;
	/* what is not known is less than nothing */
	double p = isnan(x->value[o->column]) ? -1 : x->value[o->column];
	double q = isnan(y->value[o->column]) ? -1 : y->value[o->column];
	int by = o->named ? memcmp(x->key, y->key, sizeof(x->key)) : p < q ? -1 : p > q;

	if (x->rest != y->rest)
		return x->rest ? 1 : -1;
	if (by)
		return o->descends ? -by : by;
	return x->order < y->order ? -1 : x->order > y->order;
}

int top_rows(struct top_rows *r, const struct top_model *t, const struct top_view *v)
{
	static void (*const fill[TOP_PANES])(struct top_rows *, const struct top_model *, const struct top_view *) = {
		[TOP_PANE_SERVICES] = services, [TOP_PANE_SOURCES] = sources, [TOP_PANE_TABLES] = tables};

	memset(r, 0, sizeof(*r));
	if (!t->now)
		return 0;
	/* any list, and "(others)" */
	r->row = malloc((SW_SERVICES + TOP_SOURCES + 1) * sizeof(*r->row));
	if (!r->row)
		return -ENOMEM;
	fill[v->pane](r, t, v);
	return 0;
}

void top_sort(struct top_rows *r, const struct top_view *v)
{
	u32 sort = v->of[v->pane].sort;
	struct order o = {sort, top_descends(v), top_pane[v->pane].column[sort].kind == TOP_NAME};

	if (r->rows)
		qsort_r(r->row, r->rows, sizeof(*r->row), compare, &o);
}
