/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strokes on the screen: everything that top shows goes through these. */
#ifndef SYNWAVE_TOP_PAINT_H
#define SYNWAVE_TOP_PAINT_H

#include "top.h"

enum look { LOOK_PLAIN, LOOK_STRONG, LOOK_DIM, LOOK_HEAD, LOOK_LINE, LOOK_GOOD, LOOK_WARN, LOOK_BAD, LOOKS };

/* Once the terminal is taken: colours if it has them and NO_COLOR is not set; blocks if the locale is UTF-8. */
void paint_begin(void);
void paint_fade(bool faded); /* from now on everything is dim: the numbers are old */

/* At most `width` columns, what is too long is cut and marked. Bytes that are no plain ASCII become '?': names may come
 * from anybody. Returns the columns used. */
int paint_text(int y, int x, int width, enum look look, const char *text);
int paint_right(int y, int x, int width, enum look look, const char *text); /* at the right end of `width` */
int paint_middle(int y, int x, int width, enum look look, const char *text); /* cut in the middle: both ends tell */
void paint_fill(int y, enum look look); /* a whole line */
void paint_spark(int y, int x, const u8 *level, u32 columns);
void paint_bar(int y, int x, int width, double percent);
void paint_arrow(int y, int x, enum look look, bool down);

#endif
