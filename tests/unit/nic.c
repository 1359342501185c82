// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is known of network drivers: what of it holds for an interface, and in which words. */
#include "nic.h"

#include <string.h>

#include "store.h"
#include "tap.h"

void test_nic(void);

#define MERGE (1ull << 15)
#define TSO4  (1ull << 7)
#define USO   (1ull << 54)
#define MTU   (1ull << 3)

static const struct {
	struct nic nic;
	u32 all; /* every matter that holds */
	const char *words; /* in them is this */
} row[] = {
	/* buffers that were laid out before the attach may be longer than a page: 4096 / 2 - 12 - 18 */
	{{"virtio_net", 1500, 4096, 1, 1, 2, MERGE | TSO4, false}, 0, NULL},
	{{"virtio_net", 2018, 4096, 1, 1, 2, MERGE, false}, 0, NULL},
	{{"virtio_net", 2019, 4096, 1, 1, 2, MERGE, false}, NIC_LOSES, "MTU of 2019 (over 2018)"},
	{{"virtio_net", 9000, 4096, 1, 1, 2, MERGE, false}, NIC_LOSES, "MTU of 9000 (over 2018)"},
	{{"virtio_net", 9000, 4096, 1, 1, 2, 0, false}, NIC_LOSES, "loses"},
	{{"virtio_net", 9000, 4096, 1, 1, 2, MERGE, true}, 0, NULL}, /* those after it have */
	{{"virtio_net", 8162, 16384, 1, 1, 2, MERGE, false}, 0, NULL},
	{{"virtio_net", 8163, 16384, 1, 1, 2, MERGE, false}, NIC_LOSES, "over 8162"},
	/* more queues than CPUs, and not one more for each CPU */
	{{"virtio_net", 1500, 4096, 2, 4, 2, MERGE, false}, 0, NULL},
	{{"virtio_net", 1500, 4096, 2, 2, 2, MERGE, false}, 0, NULL}, /* shared, with a lock */
	{{"virtio_net", 1500, 4096, 3, 4, 2, MERGE, false}, NIC_NO_TX, "3 channels on 2 CPUs"},
	{{"virtio_net", 1500, 4096, 4, 4, 2, MERGE, true}, NIC_NO_TX, "4 channels on 2 CPUs"},
	{{"virtio_net", 1500, 4096, 3, 5, 2, MERGE, false}, 0, NULL},
	{{"virtio_net", 1500, 4096, 0, 0, 2, MERGE, false}, 0, NULL},
	{{"virtio_net", 9000, 4096, 4, 4, 2, MERGE, false}, NIC_NO_TX | NIC_LOSES, NULL},
	/* big buffers: that way in knows no XDP */
	{{"virtio_net", 1500, 4096, 1, 1, 2, TSO4, false}, NIC_BLIND, "no frames"},
	{{"virtio_net", 1500, 4096, 1, 1, 2, 1ull << 10, true}, NIC_BLIND, "no frames"},
	{{"virtio_net", 1500, 4096, 1, 1, 2, USO, false}, 0, NULL}, /* takes its fellow */
	{{"virtio_net", 1500, 4096, 1, 1, 2, USO | 1ull << 55, false}, NIC_BLIND, NULL},
	{{"virtio_net", 1500, 4096, 1, 1, 2, MTU, false}, 0, NULL},
	{{"virtio_net", 2000, 4096, 1, 1, 2, MTU, false}, NIC_BLIND, NULL},
	/* 4096 - 576 - 26 */
	{{"vmxnet3", 3494, 4096, 2, 2, 2, 0, false}, 0, NULL},
	{{"vmxnet3", 3495, 4096, 2, 2, 2, 0, false}, NIC_REFUSES, "MTU of 3495 (over 3494)"},
	{{"veth", 1500, 4096, 8, 8, 2, 0, false}, NIC_SLOW, "segmentation offload"},
	{{"e1000e", 9000, 4096, 1, 1, 2, 0, false}, 0, NULL},
	{{"", 65535, 4096, 9, 9, 2, 0, false}, 0, NULL},
};

void test_nic(void)
{
	char say[WHY_SIZE];

	for (size_t i = 0; i < SW_ARRAY_SIZE(row); i++) {
		const struct nic *n = &row[i].nic;
		u32 all = 0;

		for (u32 one = NIC_BLIND; one <= NIC_REFUSES; one <<= 1)
			all |= nic_judge(n, one, NULL);
		TEST(all == row[i].all, "nic, row %zu: %s: %x, not %x", i, n->driver, all, row[i].all);
		say[0] = 0;
		nic_judge(n, ~0u, say);
		TEST(!row[i].all == !say[0] && (!row[i].words || strstr(say, row[i].words)),
		     "nic, row %zu: %s: says %s", i, n->driver, say);
	}
}
