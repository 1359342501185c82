/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an instance or a replay is made with when nobody says otherwise. */
#ifndef SYNWAVE_CONF_H
#define SYNWAVE_CONF_H

#include "synwave/table.h"

#define CONF_FLOWS     262144 /* --flows */
#define CONF_HALF_OPEN 65536 /* --half-open */

extern const u16 conf_live_load[SW_WAYS + 1], conf_half_load[SW_WAYS + 1]; /* conf.c */

/* Rows of sw_conf from what the user asks for (entries). */
void conf_sizes(struct sw_conf *conf, u32 flows, u32 half_open);
/* Bytes of the tables for connections, ladders left out; and of a place in them, its share of its set included, rounded up. */
u64 conf_memory(const struct sw_conf *conf);
u64 conf_ladder_memory(const struct sw_conf *conf); /* of the ladders alone; 0: none are kept */
u32 conf_place(size_t entry);
/* Default timeouts, and a fresh random hash key. 0 or -errno. */
int conf_defaults(struct sw_conf *conf);
/* After a change of timeouts: how long a generation lasts (struct sw_tags), a quarter of the shortest that data renew. */
void conf_generation(struct sw_conf *conf);

#endif
