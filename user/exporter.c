// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "exporter.h"

#include <string.h>

#include "assets.h"
#include "render.h"
#include "scrape.h"

#define REUSE_NS 250000000 /* many who ask at once are shown one reading */
/* Pages ask each second: however many are open, they have the tables read about once a second, and, where that takes
 * long, for no more than a tenth of the time. */
#define PAGE_REUSE_NS 900000000
#define PAGE_SHARE    10

/* Prometheus sends both, OpenMetrics with the higher weight; a browser sends neither. */
static bool wants_openmetrics(const char *accept)
{
	int open = http_quality(accept, "application/openmetrics-text"), text = http_quality(accept, "text/plain");

	return open > 0 && open >= text;
}

static void unavailable(const struct scrape *s, struct http_reply *r)
{
	r->status = 503;
	fprintf(r->body, "%s\n", s->why);
}

static void answer_metrics(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	bool open = wants_openmetrics(q->accept);

	if (scrape_take(s, REUSE_NS)) {
		unavailable(s, r);
		return;
	}
	r->type = open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
	render_prom(r->body, s, open);
}

static void answer_health(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	(void)q;
	if (scrape_health(s))
		unavailable(s, r);
	else
		fputs("ok\n", r->body);
}

static int take_for_page(struct scrape *s)
{
	u64 slow = s->took_ns * PAGE_SHARE;

	return scrape_take(s, slow > PAGE_REUSE_NS ? slow : PAGE_REUSE_NS);
}

static void answer_page(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	(void)q;
	if (take_for_page(s))
		r->status = 503;
	r->type = "text/html; charset=utf-8";
	render_page(r->body, s);
}

static void answer_stats(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	struct json *j;

	(void)q;
	if (take_for_page(s)) {
		unavailable(s, r);
		return;
	}
	r->type = "application/json";
	j = json_open(r->body);
	render_stats_json(j, &s->snap, SNAPSHOT_SERVICES);
	json_close(j);
}

static void answer_asset(const struct asset *a, struct http_reply *r)
{
	r->type = a->type;
	r->gzipped = true;
	snprintf(r->tag, sizeof(r->tag), "W/\"%08x\"", asset_crc(a));
	fwrite(a->begin, 1, a->end - a->begin, r->body);
}

void exporter_answer(void *ctx, const struct http_request *q, struct http_reply *r)
{
	static const struct {
		const char *path;
		void (*answer)(struct scrape *s, const struct http_request *q, struct http_reply *r);
	} routes[] = {
		{"/metrics", answer_metrics},
		{"/healthz", answer_health},
		{"/", answer_page},
		{"/stats.json", answer_stats},
	};
	const struct asset *asset = asset_find(q->path);

	for (size_t i = 0; i < SW_ARRAY_SIZE(routes); i++)
		if (!strcmp(q->path, routes[i].path)) {
			routes[i].answer(ctx, q, r);
			return;
		}
	if (asset) {
		answer_asset(asset, r);
		return;
	}
	r->status = 404;
	fputs("no such page; there are /, /stats.json, /metrics and /healthz\n", r->body);
}
