/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lower half of the screen. */
#ifndef SYNWAVE_TOP_PANE_H
#define SYNWAVE_TOP_PANE_H

#include "top.h"

void pane_draw(const struct top_screen *s, int y, int end); /* lines y to end - 1; says in the view what fits */
void pane_draw_foot(const struct top_view *v); /* the last line: keys, or what is being typed */
void pane_draw_help(void); /* the whole screen */

#endif
