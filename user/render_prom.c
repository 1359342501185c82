// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Prometheus text 0.0.4, OpenMetrics 1.0, and the manual of the metrics: three walks over one table. */
#include "metrics.h"
#include "render.h"
#include "synwave/hist.h"

struct prom {
	struct metric_sink sink;
	FILE *out;
	bool openmetrics;
};

/* Label values and, in OpenMetrics, help. Interface names may hold any byte; the formats want UTF-8. */
static void escaped(FILE *out, const char *text, bool quotes)
{
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '\\')
			fputs("\\\\", out);
		else if (c == '"' && quotes)
			fputs("\\\"", out);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c < ' ' || c > '~')
			fprintf(out, "\\\\x%02x", c);
		else
			fputc(c, out);
	}
}

/* How much of the name: in OpenMetrics, a family is named without the suffix. */
static int family(const struct prom *p, const struct metric *m)
{
	int len = strlen(m->name);

	if (p->openmetrics && m->type == METRIC_COUNTER)
		len -= sizeof("_total") - 1;
	if (p->openmetrics && m->type == METRIC_INFO)
		len -= sizeof("_info") - 1;
	return len;
}

static void head(const struct prom *p, const struct metric *m)
{
	static const char *const type[] = {"gauge", "counter", "histogram", "info"};
	int len = family(p, m);

	fprintf(p->out, "# HELP %.*s ", len, m->name);
	escaped(p->out, m->help, p->openmetrics);
	fprintf(p->out, "\n# TYPE %.*s %s\n", len, m->name,
		m->type == METRIC_INFO && !p->openmetrics ? "gauge" : type[m->type]);
	if (p->openmetrics && *m->unit)
		fprintf(p->out, "# UNIT %.*s %s\n", len, m->name, m->unit);
}

static void value(FILE *out, const struct metric *m, u64 n)
{
	if (*m->unit) /* seconds */
		fprintf(out, " %llu.%09llu\n", n / SW_NS_PER_S, n % SW_NS_PER_S);
	else
		fprintf(out, " %llu\n", n);
}

static void number(struct metric_sink *to, const struct metric *m, const struct label *label, u32 labels, u64 n)
{
	const struct prom *p = (const struct prom *)to;

	fputs(m->name, p->out);
	for (u32 i = 0; i < labels; i++) {
		fprintf(p->out, "%c%s=\"", i ? ',' : '{', label[i].name);
		escaped(p->out, label[i].value, true);
		fputc('"', p->out);
	}
	if (labels)
		fputc('}', p->out);
	value(p->out, m, n);
}

static void hist(struct metric_sink *to, const struct metric *m, const struct sw_hist *h)
{
	const struct prom *p = (const struct prom *)to;
	u64 below = 0;

	for (u32 i = 0; i < SW_HIST_BUCKETS - 1; i++) {
		below += h->bucket[i];
		if (i % METRIC_LE_STEP == 0) /* 15 digits: exact, and never a whole number */
			fprintf(p->out, "%s_bucket{le=\"%.15g\"} %llu\n", m->name, sw_hist_upper(i) / 1e9, below);
	}
	fprintf(p->out, "%s_bucket{le=\"+Inf\"} %llu\n", m->name, below + h->bucket[SW_HIST_BUCKETS - 1]);
	fprintf(p->out, "%s_sum", m->name);
	value(p->out, m, h->sum_ns);
	fprintf(p->out, "%s_count %llu\n", m->name, below + h->bucket[SW_HIST_BUCKETS - 1]);
}

void render_prom(FILE *out, const struct scrape *s, bool openmetrics)
{
	struct prom p = {.sink = {number, hist}, .out = out, .openmetrics = openmetrics};

	for (u32 i = 0; i < metric_count; i++) {
		head(&p, &metrics[i]);
		metrics[i].get(&metrics[i], s, &p.sink);
	}
	if (openmetrics)
		fputs("# EOF\n", out);
}

static void describe_labels(FILE *out, const struct metric *m)
{
	if (m->labels)
		for (const char *c = m->labels; *c; c++)
			fprintf(out, *c == '|' ? "\\|" : "%c", *c); /* a table's cell */
	for (u32 i = 0; !m->labels && i < m->words; i++)
		fprintf(out, "%s%s%s", i ? "\\|" : m->label, i ? "" : "=\"", m->word[i]);
	if (!m->labels && m->words)
		fputc('"', out);
}

void render_metrics_manual(FILE *out)
{
	static const char *const type[] = {"gauge", "counter", "histogram", "info"};
	u32 sum = 0, attach = 0;

	fputs("# Metrics\n\nWritten by `make docs` from the table in user/metrics.c; do not edit.\n\n"
	      "| name | type | labels | series at most | what |\n| --- | --- | --- | --- | --- |\n",
	      out);
	for (u32 i = 0; i < metric_count; i++) {
		const struct metric *m = &metrics[i];

		fprintf(out, "| `%s` | %s%s%s | ", m->name, type[m->type], *m->unit ? ", " : "", m->unit);
		describe_labels(out, m);
		fprintf(out, " | %u | %s |\n", m->series, m->help);
		sum += m->series;
		attach += m->series == SW_IFACES ? m->series : 0;
	}
	fprintf(out,
		"\n## How many series\n\n"
		"At most %u: %u and one an interface, of which an instance holds up to %u. No address of a client is "
		"ever a "
		"label.\n",
		sum, sum - attach, attach);
	fprintf(out,
		"\n## Notes\n\n"
		"- Formats: Prometheus text 0.0.4; OpenMetrics 1.0 when the `Accept` header (or `--openmetrics`) asks "
		"for "
		"it. There a counter's family is named without `_total`, an info's without `_info`; samples are the "
		"same.\n"
		"- Histograms: %u buckets, every %uth bound of the %u that the kernel counts in: two an octave from "
		"%.15g s "
		"to %.15g s, and `+Inf`. A sample that lies exactly on a bound counts above it.\n"
		"- Services: the %u with the most SYNs, and `service=\"other\"` for the rest and for ports that never "
		"answered. "
		"With `--listen`, `other` counts on when a service enters or leaves the %u: what happened while a "
		"service "
		"was in `other` stays there. Standard output and `--textfile` remember nothing: there `other` may go "
		"back.\n"
		"- `--listen` answers for IP addresses, `localhost` and the names of `--host`; a target by another "
		"name gets "
		"421 (docs/deploy.md).\n"
		"- A counter goes back to 0 when the last interface is detached and one is attached again.\n"
		"- `handshakes_started_total` = `handshakes_completed_total` + all `handshakes_failed_total` + "
		"`handshakes_in_progress`, in every scrape. Of teardowns, those by RST are counted as completed, "
		"`kind=\"reset\"`.\n"
		"- With nothing attached there are no metrics: 503 and the reason, so that `up` is 0.\n",
		METRIC_LE, METRIC_LE_STEP, SW_HIST_BUCKETS, sw_hist_upper(0) / 1e9,
		sw_hist_upper(SW_HIST_BUCKETS - 2) / 1e9, SCRAPE_SERVICES, SCRAPE_SERVICES);
}
