/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which services the programs saw answered by this host itself: those that the guard may answer for. */
#ifndef SYNWAVE_USER_LOCAL_H
#define SYNWAVE_USER_LOCAL_H

#include "store.h"

/* Whether the service was seen to be answered in one of `count` network namespaces. */
bool local_service(struct store *s, const struct sw_service_key *service, const u64 *netns, u32 count);

#endif
