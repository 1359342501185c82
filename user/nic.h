/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of network drivers, against XDP in the driver: one table, judged by what an interface says of itself. */
#ifndef SYNWAVE_NIC_H
#define SYNWAVE_NIC_H

#include "synwave/types.h"

struct nic {
	char driver[32];
	u32 mtu, page; /* bytes */
	u32 queues, most_queues; /* to send from: in use without XDP, and all that there are; 0: not known */
	u32 cpus; /* that the kernel keeps room for */
	u64 virtio; /* feature bits that were agreed on; 0: not known */
	bool native; /* an XDP program, whosever, is in the driver already */
};

/* What is the matter with native XDP there. `auto` takes another mode for each of these but NIC_SLOW and NIC_REFUSES. */
enum nic_matter {
	NIC_BLIND = 1, /* it is attached and sees nothing: refused */
	NIC_NO_TX = 2, /* what it sends back ends the kernel: no cookies */
	NIC_LOSES = 4, /* frames are lost after the attach */
	NIC_SLOW = 8,
	NIC_REFUSES = 16, /* the driver itself refuses: why */
	NIC_AVOID = NIC_BLIND | NIC_NO_TX | NIC_LOSES,
	NIC_TELL = NIC_NO_TX | NIC_LOSES | NIC_SLOW
};

/* What the interface of this network namespace says of itself. */
void nic_look(struct nic *n, const char *name);

/* The first thing in the table that holds and is one of `matters` (bits): what it is; 0: nothing. `say`, NULL or of WHY_SIZE
 * bytes: it in words, without the interface's name. */
enum nic_matter nic_judge(const struct nic *n, u32 matters, char *say);

#endif
