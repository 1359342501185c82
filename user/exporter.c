// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "exporter.h"

#include <string.h>

#include "render.h"
#include "scrape.h"

#define REUSE_NS 250000000 /* many who ask at once are shown one reading */

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

static void answer_page(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	(void)q;
	if (scrape_take(s, REUSE_NS))
		r->status = 503;
	r->type = "text/html; charset=utf-8";
	render_page(r->body, s);
}

static void answer_style(struct scrape *s, const struct http_request *q, struct http_reply *r)
{
	(void)s, (void)q;
	r->type = "text/css; charset=utf-8";
	fputs(render_style, r->body);
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
		{"/style.css", answer_style},
	};

	for (size_t i = 0; i < SW_ARRAY_SIZE(routes); i++)
		if (!strcmp(q->path, routes[i].path)) {
			routes[i].answer(ctx, q, r);
			return;
		}
	r->status = 404;
	fputs("no such page; there are /, /metrics and /healthz\n", r->body);
}
