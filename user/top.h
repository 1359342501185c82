/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live view. top_model.c: readings and what is remembered of them; top_rows.c: the lists of the lower pane, sorted
 * and filtered; top_keys.c: what keys do to the view; top_draw.c and top_pane.c: the screen, with the strokes of
 * top_paint.c; top_term.c: the terminal.
 * Model, rows and keys know no screen. */
#ifndef SYNWAVE_TOP_H
#define SYNWAVE_TOP_H

#include "render.h"
#include "since.h"

/* --- model --------------------------------------------------------------------------------------------------------- */
#define TOP_HISTORY 512 /* readings remembered: the widest sparkline */
#define TOP_SOURCES 1024

struct top_reading {
	struct snapshot snap;
	struct sw_top_entry source[TOP_SOURCES]; /* the heaviest first */
	u32 sources;
};

/* Numbers of the upper half that have a past: gauges, and rates per second. X(symbol, label, help or NULL) */
#define TOP_GAUGES(X) \
	X(HALF_OPEN, "half-open", "connections whose server is in SYN_RCVD") \
	X(ESTABLISHED, "established", "connections whose server is ESTABLISHED") \
	X(TIME_WAIT, "TIME_WAIT", "ends in TIME_WAIT, 2 MSL not over") \
	X(TIME_WAIT_HERE, "  on this host", "those of them that are this host")
#define TOP_RATES(X) \
	X(SYN, "SYN/s", "SYNs seen, also those sent again") \
	X(HANDSHAKES, "handshakes/s", NULL) \
	X(TEARDOWNS, "teardowns/s", "ended by both FINs, or by RST") \
	X(FAILURES, "failures/s", "handshakes refused, reset, timed out, evicted") \
	X(PASSED, "guard passed/s", NULL) \
	X(DROPPED, "guard dropped/s", NULL) \
	X(CHALLENGED, "challenged/s", "SYNs that the guard answered with a cookie") \
	X(COOKIES, "valid cookies/s", NULL) \
	X(WOULD_DROP, "would drop/s", NULL) \
	X(WOULD_CHALLENGE, "would chall./s", NULL) \
	X(SEGMENTS, "segments/s", NULL) \
	X(IGNORED, "not judged/s", "frames that are not TCP, broken, ...")

#define TOP_ENUM_(symbol, label, help) TOP_##symbol,
enum top_line { TOP_GAUGES(TOP_ENUM_) TOP_RATES(TOP_ENUM_) TOP_LINES };
#define TOP_FIRST_RATE TOP_SYN
extern const char *const top_label[TOP_LINES];
extern const char *const top_meaning[TOP_LINES];

struct top_model {
	struct top_reading reading[2];
	struct top_reading *now; /* the last one; NULL: there was none */
	struct top_reading *before; /* for rates: NULL after another instance or a miss */
	bool missed; /* nothing could be read since */
	double seconds; /* between them */
	double past[TOP_LINES][TOP_HISTORY]; /* a ring; NAN: not known */
	u64 readings; /* that were put into it */
	struct sw_hist syn_synack, synack_ack; /* of the time in between */
};

/* A place for the next reading, all zero. It is shown after top_add; until then it may be used again. */
struct top_reading *top_blank(struct top_model *t);
void top_add(struct top_model *t);
void top_miss(struct top_model *t); /* there was no reading: a gap */
void top_free(struct top_model *t);

/* `ago` readings before the last; NAN: not known. */
double top_past(const struct top_model *t, enum top_line line, u32 ago);

/* Heights of the last `columns` readings, oldest first, by the highest of them: 0 not known, 1 zero, 2 to 8. */
#define TOP_LEVELS 9
void top_spark(const struct top_model *t, enum top_line line, u8 *level, u32 columns);

/* --- rows ---------------------------------------------------------------------------------------------------------- */
enum top_pane { TOP_PANE_SERVICES, TOP_PANE_SOURCES, TOP_PANE_TABLES, TOP_PANES };
enum top_kind { TOP_NAME, TOP_COUNT, TOP_RATE, TOP_PERCENT, TOP_AGE, TOP_REASON };

struct top_column {
	const char *title;
	enum top_kind kind;
	u32 width;
	u32 from; /* columns of the screen that it takes to be shown */
	const char *help; /* NULL: the title says it */
};
#define TOP_COLUMNS 8
struct top_pane_info {
	const char *name;
	const char *none; /* when there is no row */
	const struct top_column *column; /* [0] is the name, as wide as there is room */
	u32 columns;
	u32 sort; /* the column at first */
};
extern const struct top_pane_info top_pane[TOP_PANES];

struct top_row {
	char name[TEXT_SIZE + 8];
	u8 key[20]; /* in the order of names: memcmp */
	bool rest; /* what has no row of its own: the last one, whatever the order */
	u32 order; /* as it came: the busiest first */
	double value[TOP_COLUMNS]; /* NAN: not known */
};
struct top_rows {
	struct top_row *row;
	u32 rows;
	u32 hidden; /* by the filter */
};

/* --- view ---------------------------------------------------------------------------------------------------------- */
#define TOP_FILTER 48
struct top_view {
	enum top_pane pane;
	struct {
		u32 sort; /* column */
		bool reverse;
		u32 first; /* row at the top */
	} of[TOP_PANES];
	char filter[TOP_FILTER]; /* part of a name; "": all */
	bool typing; /* the filter */
	bool paused, help, quit;
	double every; /* seconds */
	u32 width; /* of the screen: a column that is not shown does not sort */
	u32 rows, page; /* of the pane: how many there are, and how many of them fit */
};
void top_view_init(struct top_view *v, double every);

/* The rows of the view's pane, as they come; -ENOMEM. To be freed with free(r->row). */
int top_rows(struct top_rows *r, const struct top_model *t, const struct top_view *v);
void top_sort(struct top_rows *r, const struct top_view *v);
/* Numbers from the highest on, names and ages from the lowest; `reverse` turns that round. */
bool top_descends(const struct top_view *v);
bool top_shown(const struct top_view *v, u32 column);

void top_key(struct top_view *v, int key); /* as ncurses names it */
void top_clamp(struct top_view *v); /* scrolled no further than there are rows */
struct top_key_info {
	int key[2];
	void (*act)(struct top_view *v, int arg);
	int arg;
	const char *word, *brief, *help;
};
extern const struct top_key_info top_keys[];
extern const u32 top_keys_count;

/* --- screen -------------------------------------------------------------------------------------------------------- */
struct top_screen {
	const struct top_model *model;
	struct top_view *view;
	const char *why; /* nothing can be read: one line; NULL */
	u64 since_ns; /* ... since then, since the epoch */
};
void top_draw(const struct top_screen *s);

#define TOP_MIN_COLUMNS 64
#define TOP_MIN_LINES   18

/* Whether a screen can be shown: 0, or -1 with one line in `why`. */
int top_term_check(char *why, size_t size);
/* The same, and takes the terminal. From then on signals arrive in top_term_key alone, and top_term_close puts the
 * terminal back as it was. */
int top_term_open(char *why, size_t size);
void top_term_close(void);
bool top_term_ended(void); /* a signal came, or the terminal is gone */
/* The next key, or -1: at `until` (store_now; 0: whenever), after a signal, or when the screen has another size. */
int top_term_key(u64 until);

#endif
