/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `export` says: one row a metric. The text formats, the manual and the tests derive from the table. */
#ifndef SYNWAVE_METRICS_H
#define SYNWAVE_METRICS_H

#include "scrape.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_INFO };

struct metric;
struct label {
	const char *name, *value; /* the value as it is: a sink escapes */
};

/* Where the samples go. Numbers are whole; those of a metric in seconds are nanoseconds. */
struct metric_sink {
	void (*number)(struct metric_sink *to, const struct metric *m, const struct label *label, u32 labels, u64 n);
	void (*hist)(struct metric_sink *to, const struct metric *m, const struct sw_hist *h);
};

struct metric {
	const char *name;
	enum metric_type type;
	const char *unit; /* "" or the name's */
	const char *help;
	void (*get)(const struct metric *m, const struct scrape *s, struct metric_sink *to);
	u32 series; /* at most */
	const char *labels; /* for the manual, unless `label` and `word` say it */
	/* for `get` */
	const char *label;
	const char *const *word; /* a value of the label each ... */
	u32 words;
	size_t at; /* ... and where its number lies, in struct scrape ... */
	size_t stride; /* ... and the next one's */
};

extern const struct metric metrics[];
extern const u32 metric_count;

/* Buckets of a histogram: every 4th bound of the kernel's (2 an octave, 1.024 us to 68.7 s), and +Inf. */
#define METRIC_LE_STEP 4
#define METRIC_LE      ((SW_HIST_BUCKETS - 2) / METRIC_LE_STEP + 2)

#endif
