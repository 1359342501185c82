// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "top_pane.h"

#include <curses.h>
#include <math.h>
#include <stdlib.h>

#include "top_paint.h"

#define HELP_AT 18
#define WIDEN   4 /* columns that a wide screen gives to each column at most */

/* How wide the columns are on this screen. */
struct layout {
	u32 width[TOP_COLUMNS]; /* 0: not shown */
};

/* Names before numbers: where they are long, the columns that a narrower screen would lack make room. */
static void fit(struct layout *l, struct top_view *v, const struct top_rows *r)
{
	const struct top_pane_info *p = &top_pane[v->pane];
	u32 longest = p->column[0].width, used = 0, shown = 0, spare;

	for (u32 i = 0; i < r->rows; i++)
		if (strlen(r->row[i].name) > longest)
			longest = strlen(r->row[i].name);
	v->width = COLS - (longest - p->column[0].width);
	if (v->width < TOP_MIN_COLUMNS)
		v->width = TOP_MIN_COLUMNS;
	memset(l, 0, sizeof(*l));
	for (u32 i = 1; i < p->columns; i++)
		if (top_shown(v, i)) {
			l->width[i] = p->column[i].width;
			used += l->width[i];
			shown++;
		}
	l->width[0] = longest < COLS - used ? longest : COLS - used;
	spare = shown ? (COLS - used - l->width[0]) / shown : 0;
	for (u32 i = 1; i < p->columns; i++)
		if (l->width[i])
			l->width[i] += spare < WIDEN ? spare : WIDEN;
}

static char *value_text(char text[TEXT_SIZE], enum top_kind kind, double value, u32 width)
{
	if (isnan(value))
		snprintf(text, TEXT_SIZE, "-");
	else if (kind == TOP_PERCENT)
		snprintf(text, TEXT_SIZE, "%.1f%%", value);
	else if (kind == TOP_AGE)
		text_duration(text, value);
	else if (kind == TOP_REASON)
		snprintf(text, TEXT_SIZE, "%s", verdict_word[value ? SW_V_DROP_DENY : SW_V_DROP_SOURCE].reason);
	else if (kind == TOP_RATE && value < 1e6)
		text_rate(text, value);
	else
		text_count_in(text, value, width - 1);
	return text;
}

static void draw_row(const struct layout *l, const struct top_pane_info *p, const struct top_row *row, int y)
{
	char text[TEXT_SIZE];
	int x = l->width[0];

	paint_middle(y, 0, l->width[0], LOOK_PLAIN, row->name);
	for (u32 i = 1; i < p->columns; i++) {
		if (!l->width[i])
			continue;
		paint_right(y, x, l->width[i], LOOK_PLAIN,
			    value_text(text, p->column[i].kind, row->value[i], l->width[i]));
		x += l->width[i];
	}
}

static void draw_titles(const struct layout *l, const struct top_view *v, int y)
{
	const struct top_pane_info *p = &top_pane[v->pane];
	int x = 0;

	paint_fill(y, LOOK_HEAD);
	for (u32 i = 0; i < p->columns; i++) {
		const char *title = p->column[i].title;
		int len = strlen(title), at = i ? x + (int)l->width[i] - len : 0;

		if (!l->width[i])
			continue;
		paint_text(y, at, len, LOOK_HEAD, title);
		if (v->of[v->pane].sort == i)
			paint_arrow(y, i ? at - 1 : len, LOOK_HEAD, top_descends(v));
		x += l->width[i];
	}
}

/* " services   sources   tables         /443: 20 of 30, row 1-9 of 20" */
static void draw_tabs(const struct top_view *v, const struct top_rows *r, int y)
{
	u32 first = v->of[v->pane].first, last = first + v->page < r->rows ? first + v->page : r->rows;
	char text[TOP_FILTER + 64] = "", total[TEXT_SIZE];
	int x = 0;

	for (u32 i = 0; i < TOP_PANES; i++) {
		snprintf(text, sizeof(text), " %s ", top_pane[i].name);
		x += paint_text(y, x, COLS - x, i == v->pane ? LOOK_HEAD : LOOK_PLAIN, text) + 1;
	}
	*text = 0;
	if (*v->filter)
		snprintf(text, sizeof(text), "/%s: %u of %s", v->filter, r->rows,
			 text_count(total, r->rows + r->hidden));
	if (last - first < r->rows)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%srow %u-%u of %s", *text ? ", " : "",
			 first + 1, last, text_count(total, r->rows));
	paint_right(y, x, COLS - x, *v->filter ? LOOK_WARN : LOOK_PLAIN, text);
}

void pane_draw(const struct top_screen *s, int y, int end)
{
	struct top_view *v = s->view;
	struct layout l;
	struct top_rows r;
	bool no_room = top_rows(&r, s->model, v);

	fit(&l, v, &r);
	if (!top_shown(v, v->of[v->pane].sort))
		v->of[v->pane].sort = top_pane[v->pane].sort;
	top_sort(&r, v);
	v->rows = r.rows;
	v->page = end > y + 2 ? end - y - 2 : 0;
	top_clamp(v);
	draw_tabs(v, &r, y++);
	draw_titles(&l, v, y++);
	for (u32 i = v->of[v->pane].first; i < r.rows && y < end; i++)
		draw_row(&l, &top_pane[v->pane], &r.row[i], y++);
	if (!r.rows && y < end)
		paint_text(y, 2, COLS - 2, LOOK_DIM,
			   no_room    ? "out of memory"
			   : r.hidden ? "no row has the filter's letters"
				      : top_pane[v->pane].none);
	free(r.row);
}

void pane_draw_foot(const struct top_view *v)
{
	int y = LINES - 1, x = 0;

	if (v->typing) {
		x = paint_text(y, 0, COLS, LOOK_STRONG, "filter: ");
		x += paint_text(y, x, COLS - x, LOOK_PLAIN, v->filter);
		paint_text(y, x, 1, LOOK_HEAD, " ");
		paint_right(y, x + 2, COLS - x - 2, LOOK_DIM, "Enter keeps it, Esc takes it back");
		return;
	}
	for (u32 i = 0; i < top_keys_count; i++) {
		const struct top_key_info *k = &top_keys[i];

		if (!k->brief || x + (int)(strlen(k->word) + strlen(k->brief)) + 1 > COLS)
			continue;
		x += paint_text(y, x, COLS - x, LOOK_STRONG, k->word) + 1;
		x += paint_text(y, x, COLS - x, LOOK_PLAIN, k->brief) + 2;
	}
}

static int draw_meaning(int y, const char *word, const char *help)
{
	if (!help || y >= LINES - 1)
		return y;
	paint_text(y, 1, HELP_AT - 2, LOOK_STRONG, word);
	paint_text(y, HELP_AT, COLS - HELP_AT, LOOK_PLAIN, help);
	return y + 1;
}

void pane_draw_help(void)
{
	int y = 1;

	paint_text(0, 0, COLS, LOOK_STRONG, "synwave top");
	for (u32 i = 0; i < top_keys_count; i++)
		y = draw_meaning(y, top_keys[i].word, top_keys[i].help);
	y++;
	for (u32 i = 0; i < TOP_LINES; i++)
		y = draw_meaning(y, top_label[i], top_meaning[i]);
	for (u32 i = 0; i < TOP_PANES; i++)
		for (u32 k = 0; k < top_pane[i].columns; k++)
			y = draw_meaning(y, top_pane[i].column[k].title, top_pane[i].column[k].help);
	paint_text(LINES - 1, 0, COLS, LOOK_STRONG, "any key goes back");
}
