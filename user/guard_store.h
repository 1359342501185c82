/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard's rules, in the maps of an instance. */
#ifndef SYNWAVE_GUARD_STORE_H
#define SYNWAVE_GUARD_STORE_H

#include "ruleset.h"
#include "store.h"

/* Both return 0 or -errno with s->why. */
int guard_read(struct store *s, struct ruleset *rs); /* what is in force; to be freed */
/* Puts them in force, all at once: written beside the old ones, then turned over. Under the instance's lock. What sources and
 * services have used up stays used up. */
int guard_write(struct store *s, const struct ruleset *rs);

/* Who is limited most, the heaviest first: at most `room`; how many, or -errno. `count` as in struct sw_top_entry. */
int guard_top(struct store *s, struct sw_top_entry *top, u32 room);
/* Sources that are remembered as verified; -errno. */
int guard_verified(struct store *s, const struct sw_guard_rules *r, u64 now);

#endif
