// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The screen: who and when, numbers with their past, latencies, how full the tables are; the lists are top_pane.c's. */
#include <curses.h>
#include <math.h>

#include "top_paint.h"
#include "top_pane.h"

#define GAP         2 /* between the two columns of numbers */
#define LABEL_WIDTH 15
#define VALUE_WIDTH 10

static void clock_text(char text[TEXT_SIZE], u64 ns)
{
	text_clock(text, ns, false)[strlen("12:34:56")] = 0;
}

#define IFACES_MAX 256

/* "eth0 xdp-native/tcx, eth1 tcx/tcx +3": as many as `room` columns hold. The first one is there in any case. */
static void iface_text(char text[IFACES_MAX], u32 room, const struct snapshot *m)
{
	u32 len = snprintf(text, IFACES_MAX, m->ifaces ? "" : "no interface attached");

	if (room > IFACES_MAX - 1)
		room = IFACES_MAX - 1;
	for (u32 i = 0; i < m->ifaces; i++) {
		const struct sw_iface *v = &m->iface[i].iface;
		char one[64];
		u32 more = snprintf(one, sizeof(one), "%s%.15s %s/%s", i ? ", " : "", v->name, hook_name(v->ingress),
				    hook_name(v->egress));
		u32 rest = i + 1 < m->ifaces ? strlen(" +255") : 0; /* for those that do not fit */

		if (i && len + more + rest > room) {
			snprintf(text + len, IFACES_MAX - len, " +%u", m->ifaces - i);
			return;
		}
		len += snprintf(text + len, IFACES_MAX - len, "%s", one);
	}
}

static void draw_header(const struct top_screen *s)
{
	static const enum look mode_look[SW_GUARD_MODES] = {
		[SW_GUARD_OFF] = LOOK_PLAIN, [SW_GUARD_DRY_RUN] = LOOK_WARN, [SW_GUARD_ENFORCE] = LOOK_GOOD};
	const struct snapshot *m = &s->model->now->snap;
	char when[TEXT_SIZE], right[TEXT_SIZE + 32], ifaces[IFACES_MAX];
	int x = paint_text(0, 0, COLS, LOOK_STRONG, "synwave") + GAP, room;
	u32 mode = m->guard.mode < SW_GUARD_MODES ? m->guard.mode : SW_GUARD_OFF;

	clock_text(when, m->at_ns);
	snprintf(right, sizeof(right), "every %gs  %s", s->view->every, when);
	room = COLS - x - (int)(strlen(right) + strlen("guard ") + strlen(guard_mode_name[mode])) - 2 * GAP;
	if (room > 8) {
		iface_text(ifaces, room, m);
		x += paint_text(0, x, room, LOOK_PLAIN, ifaces) + GAP;
	}
	x += paint_text(0, x, COLS - x, LOOK_PLAIN, "guard ");
	paint_text(0, x, COLS - x, mode_look[mode], guard_mode_name[mode]);
	paint_right(0, 0, COLS, LOOK_PLAIN, right);
}

static char *line_text(char text[TEXT_SIZE], const struct top_model *t, enum top_line line)
{
	double value = top_past(t, line, 0);

	if (isnan(value))
		snprintf(text, TEXT_SIZE, "-");
	else if (line < TOP_FIRST_RATE || value >= 1e6)
		text_count_in(text, value, VALUE_WIDTH);
	else
		text_rate(text, value);
	return text;
}

/* What there is to say: nothing can be read, paused, or what else passes by. */
static void draw_state(const struct top_screen *s)
{
	const struct top_model *t = s->model;
	char text[WHY_SIZE + 64], when[TEXT_SIZE], segments[TEXT_SIZE], ignored[TEXT_SIZE], changing[40] = "";
	u64 age = since_count(t->now->snap.at_ns, t->now->snap.created_ns);

	if (s->why) {
		clock_text(when, s->since_ns);
		snprintf(text, sizeof(text), "no reading since %s, waiting: %s", when, s->why);
		paint_text(1, 0, COLS, LOOK_BAD, text);
	} else if (s->view->paused) {
		paint_text(1, 0, COLS, LOOK_WARN, "PAUSED, p goes on");
	} else {
		if (t->now->snap.sets_changing)
			snprintf(changing, sizeof(changing), "   sets changing %llu", t->now->snap.sets_changing);
		snprintf(text, sizeof(text), "up %s   %s %s   %s %s%s", text_duration(when, age),
			 top_label[TOP_SEGMENTS], line_text(segments, t, TOP_SEGMENTS), top_label[TOP_IGNORED],
			 line_text(ignored, t, TOP_IGNORED), changing);
		paint_text(1, 0, COLS, LOOK_DIM, text);
	}
}

static enum look line_look(const struct top_model *t, enum top_line line)
{
	static const enum look above_zero[TOP_LINES] = {
		[TOP_FAILURES] = LOOK_WARN,   [TOP_DROPPED] = LOOK_BAD,          [TOP_CHALLENGED] = LOOK_WARN,
		[TOP_WOULD_DROP] = LOOK_WARN, [TOP_WOULD_CHALLENGE] = LOOK_WARN,
	};

	return above_zero[line] && top_past(t, line, 0) > 0 ? above_zero[line] : LOOK_STRONG;
}

/* "half-open   1,234 ▁▂▃" */
static void draw_line(const struct top_model *t, enum top_line line, int y, int x, int width)
{
	int spark = width - LABEL_WIDTH - VALUE_WIDTH - 1;
	u8 level[TOP_HISTORY];
	char text[TEXT_SIZE];

	if (spark > TOP_HISTORY)
		spark = TOP_HISTORY;
	paint_text(y, x, LABEL_WIDTH, LOOK_PLAIN, top_label[line]);
	paint_right(y, x + LABEL_WIDTH, VALUE_WIDTH, line_look(t, line), line_text(text, t, line));
	if (spark <= 0)
		return;
	top_spark(t, line, level, spark);
	paint_spark(y, x + width - spark, level, spark);
}

static int draw_lines(const struct top_model *t, int y, const enum top_line (*line)[2], u32 lines)
{
	int width = (COLS - GAP) / 2;

	for (u32 i = 0; i < lines; i++, y++)
		for (int side = 0; side < 2; side++)
			draw_line(t, line[i][side], y, side * (COLS - width), width);
	return y;
}

static void draw_latency(const struct sw_hist *h, const char *label, int y, int x, int width)
{
	char half[TEXT_SIZE], most[TEXT_SIZE], text[2 * TEXT_SIZE + 16];

	text_quantile(half, h, 500);
	snprintf(text, sizeof(text), "p50 %6s  p99 %6s", half, text_quantile(most, h, 990));
	if ((int)strlen(text) > width - LABEL_WIDTH)
		snprintf(text, sizeof(text), "p50 %6s", half);
	paint_text(y, x, LABEL_WIDTH, LOOK_PLAIN, label);
	paint_text(y, x + LABEL_WIDTH, width - LABEL_WIDTH, LOOK_STRONG, text);
}

#define BAR_MAX 24
static void draw_tables(const struct snapshot *m, int y)
{
	int x, bar, words = 0;

	for (u32 i = 0; i < TABLE_COUNT; i++)
		words += strlen(snapshot_table_name[i]) + strlen(" [] 12.3%") + GAP;
	x = paint_text(y, 0, COLS, LOOK_PLAIN, "in use") + GAP;
	bar = (COLS - x - words + GAP) / TABLE_COUNT;
	if (bar > BAR_MAX)
		bar = BAR_MAX;
	for (u32 i = 0; i < TABLE_COUNT; i++) {
		const struct snapshot_table *n = &m->table[i];
		double percent = n->capacity ? 100.0 * n->entries / n->capacity : 0;
		char text[16];

		x += paint_text(y, x, COLS - x, LOOK_PLAIN, snapshot_table_name[i]) + 1;
		x += paint_text(y, x, 1, LOOK_PLAIN, "[");
		paint_bar(y, x, bar, percent);
		x += bar;
		x += paint_text(y, x, 1, LOOK_PLAIN, "]");
		snprintf(text, sizeof(text), percent < 99.95 ? "%.1f%%" : "%.0f%%", percent);
		x += paint_right(y, x, 6, LOOK_STRONG, text) + (6 - (int)strlen(text)) + GAP;
	}
}

static void draw_all(const struct top_screen *s)
{
	static const enum top_line always[][2] = {{TOP_HALF_OPEN, TOP_SYN},
						  {TOP_ESTABLISHED, TOP_HANDSHAKES},
						  {TOP_TIME_WAIT, TOP_TEARDOWNS},
						  {TOP_TIME_WAIT_HERE, TOP_FAILURES}};
	static const enum top_line guard[SW_GUARD_MODES][2][2] = {
		[SW_GUARD_DRY_RUN] = {{TOP_PASSED, TOP_WOULD_DROP}, {TOP_COOKIES, TOP_WOULD_CHALLENGE}},
		[SW_GUARD_ENFORCE] = {{TOP_PASSED, TOP_DROPPED}, {TOP_COOKIES, TOP_CHALLENGED}}};
	const struct top_model *t = s->model;
	const struct snapshot *m = &t->now->snap;
	int y = 2, half = (COLS - GAP) / 2;

	draw_header(s);
	draw_state(s);
	paint_fade(s->why != NULL);
	y = draw_lines(t, y, always, SW_ARRAY_SIZE(always));
	if (m->guard.mode == SW_GUARD_DRY_RUN || m->guard.mode == SW_GUARD_ENFORCE)
		y = draw_lines(t, y, guard[m->guard.mode], 2);
	draw_latency(&t->syn_synack, "SYN to SYN-ACK", y, 0, half);
	draw_latency(&t->synack_ack, "SYN-ACK to ACK", y++, COLS - half, half);
	draw_tables(m, y++);
	pane_draw(s, y + 1, LINES - 1);
	paint_fade(false);
	pane_draw_foot(s->view);
}

static void draw_too_small(void)
{
	char text[64];

	snprintf(text, sizeof(text), "%dx%d is too small", COLS, LINES);
	paint_text(0, 0, COLS, LOOK_STRONG, text);
	snprintf(text, sizeof(text), "top needs %dx%d", TOP_MIN_COLUMNS, TOP_MIN_LINES);
	paint_text(1, 0, COLS, LOOK_PLAIN, text);
	paint_text(2, 0, COLS, LOOK_PLAIN, "q quits");
}

void top_draw(const struct top_screen *s)
{
	erase();
	if (COLS < TOP_MIN_COLUMNS || LINES < TOP_MIN_LINES)
		draw_too_small();
	else if (s->view->help)
		pane_draw_help();
	else
		draw_all(s);
	wnoutrefresh(stdscr);
	doupdate();
}
