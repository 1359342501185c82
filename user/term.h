/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an output can show: strokes and colours. */
#ifndef SYNWAVE_TERM_H
#define SYNWAVE_TERM_H

#include <stdbool.h>

#include "synwave/abi.h"

enum colour { PLAIN, DIM, BOLD, OPENS, CLOSES, RESETS, AGAIN, COLOURS };

struct term {
	bool utf8; /* the locale's character set */
	bool colour; /* a terminal, and neither NO_COLOR nor TERM=dumb */
};

struct term term_of(int fd); /* where the output goes */
/* The sequence that begins a colour; PLAIN ends it. Empty without colours. */
const char *term_colour(const struct term *t, enum colour c);
enum colour term_segment(u8 flags); /* of a segment, by its SW_TCP_* */

#endif
