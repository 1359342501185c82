/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What `trace` is to show: words KEY=VALUE into a struct sw_filter. */
#ifndef SYNWAVE_FILTER_H
#define SYNWAVE_FILTER_H

#include "store.h"

struct filter_words {
	struct sw_filter filter;
	const char *iface; /* a name, to be looked up in the instance; NULL: any */
};

/* One word. False, with a line in `why`, when it is none. Lists and repetitions of state, event and kind add up; of the
 * others there is one each. */
bool filter_word(struct filter_words *f, const char *word, char why[WHY_SIZE]);

/* Finds the interface: of `netns` first, else the only one of that name. 0 or -errno with s->why. */
int filter_iface(struct filter_words *f, struct store *s, u64 netns);

#endif
