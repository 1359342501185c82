// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "top_paint.h"

#include <curses.h>
#include <stdlib.h>
#include <unistd.h>

#include "term.h"

struct glyphs {
	const char *spark[TOP_LEVELS], *bar[9], *cut, *up, *down;
};
static const struct glyphs blocks = {
	{" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"}, {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"}, "…", "▴", "▾"};
static const struct glyphs ascii = {
	{" ", "_", ".", ":", "-", "=", "+", "*", "#"}, {" ", " ", " ", " ", "#", "#", "#", "#", "#"}, "~", "+", "-"};

static const struct glyphs *glyph = &ascii;
static attr_t look_attr[LOOKS];
static bool faded;

void paint_begin(void)
{
	static const struct {
		attr_t attr;
		short color;
	} looks[LOOKS] = {
		[LOOK_PLAIN] = {A_NORMAL, -1},
		[LOOK_STRONG] = {A_BOLD, -1},
		[LOOK_DIM] = {A_DIM, -1},
		[LOOK_HEAD] = {A_REVERSE, -1},
		[LOOK_LINE] = {A_NORMAL, COLOR_CYAN},
		[LOOK_GOOD] = {A_BOLD, COLOR_GREEN},
		[LOOK_WARN] = {A_BOLD, COLOR_YELLOW},
		[LOOK_BAD] = {A_BOLD, COLOR_RED},
	};
	const char *kind = getenv("TERM");
	struct term term = term_of(STDOUT_FILENO);
	bool color = term.colour && has_colors() && start_color() == OK && use_default_colors() == OK;

	for (short i = 0; i < (short)LOOKS; i++) {
		look_attr[i] = looks[i].attr;
		if (color && looks[i].color >= 0 && init_pair(i, looks[i].color, -1) == OK)
			look_attr[i] |= COLOR_PAIR(i);
	}
	/* the console's fonts have no eighths */
	if (term.utf8 && !(kind && !strncmp(kind, "linux", 5)))
		glyph = &blocks;
}

void paint_fade(bool fade)
{
	faded = fade;
}

static void begin(int y, int x, enum look look)
{
	move(y, x);
	attrset(faded && look != LOOK_HEAD ? A_DIM : look_attr[look]);
}

static void bytes(const char *text, int count)
{
	for (int i = 0; i < count; i++)
		addch(text[i] >= ' ' && text[i] < 127 ? (chtype)text[i] : '?');
}

int paint_text(int y, int x, int width, enum look look, const char *text)
{
	int len = strlen(text);

	if (width <= 0)
		return 0;
	begin(y, x, look);
	if (len <= width) {
		bytes(text, len);
		return len;
	}
	bytes(text, width - 1);
	addstr(glyph->cut);
	return width;
}

int paint_right(int y, int x, int width, enum look look, const char *text)
{
	int len = strlen(text);

	return paint_text(y, len < width ? x + width - len : x, width, look, text);
}

int paint_middle(int y, int x, int width, enum look look, const char *text)
{
	int len = strlen(text), head = width / 2, tail = width - head - 1;

	if (len <= width || width < 3)
		return paint_text(y, x, width, look, text);
	begin(y, x, look);
	bytes(text, head);
	addstr(glyph->cut);
	bytes(text + len - tail, tail);
	return width;
}

void paint_fill(int y, enum look look)
{
	begin(y, 0, look);
	for (int i = 0; i < COLS; i++)
		addch(' ');
}

void paint_spark(int y, int x, const u8 *level, u32 columns)
{
	begin(y, x, LOOK_LINE);
	for (u32 i = 0; i < columns; i++)
		addstr(glyph->spark[level[i] < TOP_LEVELS ? level[i] : 0]);
}

void paint_bar(int y, int x, int width, double percent)
{
	int eighths = ((int)(percent * width * 16 / 100) + 1) / 2;

	if (percent > 0 && eighths < 1)
		eighths = 1;
	if (eighths > width * 8)
		eighths = width * 8;
	begin(y, x, percent >= 90 ? LOOK_BAD : percent >= 70 ? LOOK_WARN : LOOK_LINE);
	for (int i = 0; i < width; i++, eighths -= 8)
		addstr(glyph->bar[eighths >= 8 ? 8 : eighths > 0 ? eighths : 0]);
}

void paint_arrow(int y, int x, enum look look, bool down)
{
	begin(y, x, look);
	addstr(down ? glyph->down : glyph->up);
}
