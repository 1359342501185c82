/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happened between two snapshots. */
#ifndef SYNWAVE_SINCE_H
#define SYNWAVE_SINCE_H

#include "snapshot.h"

/* `before` may be NULL. Another instance counts anew, and a reading of the same instant says nothing: false. */
bool since_valid(const struct snapshot *now, const struct snapshot *before);
double since_seconds(const struct snapshot *now, const struct snapshot *before);

/* How much a counter grew; 0 if it seems to have gone back, for CPUs write while it is read. */
u64 since_count(u64 n, u64 was);

/* The samples taken since `was`; all of them if that is NULL. */
void since_hist(struct sw_hist *h, const struct sw_hist *n, const struct sw_hist *was);

/* The service of that key in a list, or NULL. */
const struct snapshot_service *since_service(const struct snapshot_service *list, u32 count,
					     const struct sw_service_key *key);

#endif
