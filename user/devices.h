/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The devices of this network namespace: which lie above which, and which have an XDP program. Of rtnetlink: sysfs
 * shows those of the namespace in which it was mounted. */
#ifndef SYNWAVE_DEVICES_H
#define SYNWAVE_DEVICES_H

#include "synwave/types.h"

struct device {
	u32 ifindex;
	u32 master; /* ifindex of the bond, bridge, VRF, ... that it is in; 0: none */
	u32 link; /* ifindex of the one beneath (VLAN, macvlan, ...); 0: none, or in another network namespace */
	u32 xdp; /* id of its XDP program, 0: none */
	bool blind; /* frames pass the hooks of the devices beneath, never its own */
	char name[16];
	char kind[16]; /* as in `ip link add type KIND`; empty: hardware */
};

/* A copy, to be freed, NULL if it cannot be had. */
struct device *devices_list(u32 *count);
const struct device *devices_find(const struct device *d, u32 count, u32 ifindex);
bool device_is_above(const struct device *upper, const struct device *lower);

#endif
