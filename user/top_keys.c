// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What keys do: one table, from which the help is made as well. */
#include "top.h"

#include <ctype.h>
#include <curses.h>

#define ESC     27
#define CTRL(c) (0x1f & (c))

static void quit(struct top_view *v, int arg)
{
	(void)arg;
	v->quit = true;
}

static void help(struct top_view *v, int arg)
{
	(void)arg;
	v->help = !v->help;
}

static void sort(struct top_view *v, int step)
{
	u32 columns = top_pane[v->pane].columns, at = v->of[v->pane].sort;

	do
		at = (at + columns + step) % columns;
	while (!top_shown(v, at));
	v->of[v->pane].sort = at;
	v->of[v->pane].reverse = false;
}

static void reverse(struct top_view *v, int arg)
{
	(void)arg;
	v->of[v->pane].reverse = !v->of[v->pane].reverse;
}

static void set_filter(struct top_view *v, int arg)
{
	(void)arg;
	v->typing = true;
}

static void clear_filter(struct top_view *v, int arg)
{
	(void)arg;
	memset(v->filter, 0, sizeof(v->filter));
}

static void halt(struct top_view *v, int arg)
{
	(void)arg;
	v->paused = !v->paused;
}

static void interval(struct top_view *v, int step)
{
	static const double seconds[] = {0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60};
	int count = SW_ARRAY_SIZE(seconds), at = 0;

	while (at < count && seconds[at] < v->every)
		at++; /* the first one that is not shorter */
	at += step > 0 ? at < count && seconds[at] == v->every : -1;
	if (at >= 0 && at < count)
		v->every = seconds[at];
}

static void pane(struct top_view *v, int step)
{
	v->pane = (v->pane + TOP_PANES + step) % TOP_PANES;
}

static u32 last_first(const struct top_view *v)
{
	return v->rows > v->page ? v->rows - v->page : 0;
}

static void scroll_by(struct top_view *v, s64 lines)
{
	s64 to = v->of[v->pane].first + lines;

	v->of[v->pane].first = to < 0 ? 0 : to > last_first(v) ? last_first(v) : to;
}

void top_clamp(struct top_view *v)
{
	scroll_by(v, 0);
}

static void line(struct top_view *v, int step)
{
	scroll_by(v, step);
}

static void page(struct top_view *v, int step)
{
	scroll_by(v, step * (s64)v->page);
}

static void end(struct top_view *v, int step)
{
	scroll_by(v, step * (s64)v->rows);
}

/* `word` NULL: the row above says it. `brief`: for the line at the bottom, the most needed first. */
const struct top_key_info top_keys[] = {
	{{'q', 'Q'}, quit, 0, "q", "quit", "leave"},
	{{'?', 'h'}, help, 0, "?", "help", "this help"},
	{{'\t', KEY_RIGHT}, pane, 1, "Tab", "list", "next list: services, sources limited, tables"},
	{{KEY_BTAB, KEY_LEFT}, pane, -1, NULL, NULL, NULL},
	{{'s'}, sort, 1, "s S", "sort", "sort by the next column, the one before"},
	{{'S'}, sort, -1, NULL, NULL, NULL},
	{{'r'}, reverse, 0, "r", "reverse", "turn the order round"},
	{{'/'}, set_filter, 0, "/", "filter", "show what has these letters; Esc shows all"},
	{{ESC}, clear_filter, 0, NULL, NULL, NULL},
	{{'p', ' '}, halt, 0, "p", "pause", "pause: nothing is read till p is pressed again"},
	{{'+', '='}, interval, 1, "+ -", "interval", "read less often, more often"},
	{{'-'}, interval, -1, NULL, NULL, NULL},
	{{KEY_UP, 'k'}, line, -1, "arrows", NULL, "scroll; also PgUp, PgDn, Home, End"},
	{{KEY_DOWN, 'j'}, line, 1, NULL, NULL, NULL},
	{{KEY_PPAGE}, page, -1, NULL, NULL, NULL},
	{{KEY_NPAGE}, page, 1, NULL, NULL, NULL},
	{{KEY_HOME, 'g'}, end, -1, NULL, NULL, NULL},
	{{KEY_END, 'G'}, end, 1, NULL, NULL, NULL},
};
const u32 top_keys_count = SW_ARRAY_SIZE(top_keys);

static void type(struct top_view *v, int key)
{
	size_t len = strlen(v->filter);

	if (key == ESC || key == CTRL('u'))
		clear_filter(v, 0);
	else if ((key == KEY_BACKSPACE || key == CTRL('h') || key == 127) && len)
		v->filter[len - 1] = 0;
	else if (key > ' ' && key < 127 && len < TOP_FILTER - 1)
		v->filter[len] = (char)key; /* what follows is 0 */
	v->typing = key != ESC && key != '\n' && key != '\r' && key != KEY_ENTER;
}

static void pressed(struct top_view *v, int key)
{
	for (u32 i = 0; i < top_keys_count; i++)
		for (u32 k = 0; k < SW_ARRAY_SIZE(top_keys[i].key); k++)
			if (top_keys[i].key[k] == key)
				top_keys[i].act(v, top_keys[i].arg);
}

void top_key(struct top_view *v, int key)
{
	if (key <= 0)
		return;
	if (v->help) /* any key ends it */
		v->help = false;
	else if (v->typing)
		type(v, key);
	else
		pressed(v, key);
}
