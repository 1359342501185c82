// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nic.h"

#include <bpf/libbpf.h>
#include <glob.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "store.h"

/* --- what is known: from the drivers' source, and seen by `make nic` ------------------------------------------------- */

/* linux/virtio_net.h */
enum { F_MTU = 3, F_TSO4 = 7, F_TSO6, F_ECN, F_UFO, F_MRG_RXBUF = 15, F_USO4 = 54, F_USO6 };

static bool has(const struct nic *n, int feature)
{
	return n->virtio >> feature & 1;
}

/* receive_big(): chains of pages, unless the device can merge buffers. */
static bool no_way_in(const struct nic *n)
{
	bool big = has(n, F_TSO4) || has(n, F_TSO6) || has(n, F_ECN) || has(n, F_UFO) ||
		   (has(n, F_USO4) && has(n, F_USO6)) || (has(n, F_MTU) && n->mtu > 1500);

	return n->virtio && !has(n, F_MRG_RXBUF) && big;
}

/* virtnet_xdp_get_sq(): with more queues than CPUs it takes one behind them, also where virtnet_xdp_set() got none. */
static bool no_way_out(const struct nic *n)
{
	return n->queues > n->cpus && n->queues + n->cpus > n->most_queues;
}

/* mergeable_xdp_get_buf(): what lies in buffers from before is moved into a page with headroom, or dropped. */
static bool no_headroom_yet(const struct nic *n)
{
	return !n->native;
}

#define ROOM (256 + 320) /* in a page next to a frame: XDP's headroom, and struct skb_shared_info behind it */
#define ETH  14
#define VLAN 4
#define FCS  4
#define VNET 12 /* virtio's own header */

/* A frame over several buffers: none may be longer than a page, and they are up to twice as long as a usual frame. */
static u32 small_enough(const struct nic *n)
{
	return n->page / 2 - ETH - VLAN - VNET;
}

/* vmxnet3_xdp_set() */
static u32 fits_in_page(const struct nic *n)
{
	return n->page - ROOM - ETH - 2 * VLAN - FCS;
}

static const struct quirk {
	const char *driver;
	enum nic_matter matter;
	u32 (*most)(const struct nic *n); /* the largest MTU without it; NULL: whatever the MTU is */
	bool (*holds)(const struct nic *n); /* and this, unless NULL */
	const char *words;
} quirk[] = {
	{"virtio_net", NIC_BLIND, NULL, no_way_in, "without mergeable buffers (mrg_rxbuf) shows native XDP no frames"},
	{"virtio_net", NIC_NO_TX, NULL, no_way_out,
	 "has no queue to send cookies from in native XDP, the kernel would crash: none are sent in that mode"},
	{"virtio_net", NIC_LOSES, small_enough, no_headroom_yet,
	 "loses frames after native XDP is attached: those that come into buffers from before"},
	{"vmxnet3", NIC_REFUSES, fits_in_page, NULL, "takes no native XDP"},
	{"veth", NIC_SLOW, NULL, NULL,
	 "ends segmentation offload under native XDP (measured: 26 to 5 Gbit/s of bulk TCP); --mode tc does not"},
};

static bool is(const struct quirk *q, const struct nic *n)
{
	return !strcmp(q->driver, n->driver) && (!q->most || n->mtu > q->most(n)) && (!q->holds || q->holds(n));
}

enum nic_matter nic_judge(const struct nic *n, u32 matters, char *say)
{
	const struct quirk *q = quirk;
	char which[64] = "";

	while (q < quirk + SW_ARRAY_SIZE(quirk) && !(q->matter & matters && is(q, n)))
		q++;
	if (q == quirk + SW_ARRAY_SIZE(quirk))
		return 0;
	if (q->most)
		snprintf(which, sizeof(which), " at an MTU of %u (over %u)", n->mtu, q->most(n));
	else if (q->matter == NIC_NO_TX)
		snprintf(which, sizeof(which), " with %u channels on %u CPUs", n->queues, n->cpus);
	if (say)
		snprintf(say, WHY_SIZE, "driver %s%s %s", n->driver, which, q->words);
	return q->matter;
}

/* --- what an interface says of itself -------------------------------------------------------------------------------- */

static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	bool got = f && fgets(line, size, f);

	if (f)
		fclose(f);
	if (got)
		line[strcspn(line, "\n")] = 0;
	return got;
}

static size_t count(const char *pattern)
{
	glob_t g;
	size_t n = glob(pattern, GLOB_NOSORT, NULL, &g) ? 0 : g.gl_pathc;

	globfree(&g);
	return n;
}

/* Queues that the network stack sends from: XDP's own are not among them, as they are among the channels. /sys may be another
 * network namespace's, in which an interface of this name and number has another address. */
static u32 stack_queues(const char *name, u32 ifindex, const u8 *mac)
{
	char path[128], line[64], want[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/ifindex", name);
	snprintf(want, sizeof(want), "%u", ifindex);
	if (!read_line(path, line, sizeof(line)) || strcmp(line, want))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s/address", name);
	snprintf(want, sizeof(want), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (!read_line(path, line, sizeof(line)) || strcmp(line, want))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/tx-*", name);
	return count(path);
}

/* A digit a feature, by the bus's name of the device: that is no matter of network namespaces. */
static u64 virtio_features(const char *bus_info)
{
	char path[128], line[128] = "";
	u64 bits = 0;
	glob_t g;

	snprintf(path, sizeof(path), "/sys/bus/*/devices/%s/virtio*/features", bus_info);
	if (!glob(path, GLOB_NOSORT, NULL, &g) && read_line(g.gl_pathv[0], line, sizeof(line)))
		for (int i = 0; i < 64 && line[i]; i++)
			bits |= (u64)(line[i] == '1') << i;
	globfree(&g);
	return bits;
}

void nic_look(struct nic *n, const char *name)
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), cpus = libbpf_num_possible_cpus();
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq req = {};
	u32 ifindex;

	memset(n, 0, sizeof(*n));
	snprintf(n->driver, sizeof(n->driver), "(nameless)");
	n->page = sysconf(_SC_PAGESIZE);
	n->cpus = cpus > 0 ? cpus : 1;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.15s", name);
	if (s < 0)
		return;
	if (!ioctl(s, SIOCGIFMTU, &req))
		n->mtu = req.ifr_mtu;
	ifindex = ioctl(s, SIOCGIFINDEX, &req) ? 0 : req.ifr_ifindex;
	req.ifr_data = (void *)&info;
	if (!ioctl(s, SIOCETHTOOL, &req))
		snprintf(n->driver, sizeof(n->driver), "%.31s", info.driver);
	req.ifr_data = (void *)&channels;
	if (!ioctl(s, SIOCETHTOOL, &req)) {
		n->queues = channels.combined_count;
		n->most_queues = channels.max_combined;
	}
	if (!strcmp(n->driver, "virtio_net"))
		n->virtio = virtio_features(info.bus_info);
	if (n->most_queues > 1 && !ioctl(s, SIOCGIFHWADDR, &req)) {
		u32 queues = stack_queues(name, ifindex, (u8 *)req.ifr_hwaddr.sa_data);
		if (queues)
			n->queues = queues;
	}
	close(s);
}
