/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `show` and `replay ... show` share. */
#ifndef SYNWAVE_SHOW_H
#define SYNWAVE_SHOW_H

#include "cmd.h"
#include "ladder.h"
#include "store.h"

struct show_want {
	struct sw_key key;
	bool first_hi; /* who was named first is endpoint 1 of the key */
};

/* Two endpoints as typed. False, with a line in `why`. */
bool show_key(const char *client, const char *server, struct show_want *w, char why[WHY_SIZE]);

/* Text or JSON on standard output; with `svg`, a picture into that file instead of the text. An exit code. */
int show_ladder(const struct ladder *l, const char *svg, const struct global *g);

#endif
