// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One interface: what it is, its pinned links, and the parts put together. */
#include "hook.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* linux/bpf.h of kernels from 6.6 on has these; older headers do not */
#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define TCX_BEFORE  8 /* BPF_F_BEFORE: a program that ends the chain must not blind us */

static const struct {
	const char *suffix;
	int type;
	u32 flags;
} links[PART_COUNT] = {
	[PART_XDP_LINK] = {"xdp", BPF_XDP, 0},
	[PART_TCX_IN] = {"in", TCX_INGRESS, TCX_BEFORE},
	[PART_TCX_OUT] = {"out", TCX_EGRESS, TCX_BEFORE},
};

#define ARPHRD_RAWIP  519 /* not in glibc's header */
#define ARPHRD_IP6GRE 823

/* Which program reads frames of this link type: 0 with h->l3 set, or -EOPNOTSUPP. */
static int judge_link_type(struct hook *h, unsigned int type)
{
	switch (type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return 0;
	case ARPHRD_NONE: /* tun, wireguard, xfrm */
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_IPGRE:
	case ARPHRD_IP6GRE:
		h->l3 = true;
		return 0;
	}
	return store_fail(
		&h->in->s, -EOPNOTSUPP,
		"%s: its link type %u (ARPHRD) is neither Ethernet nor bare IP: attach to the device beneath it",
		h->name, type);
}

bool hook_mac(const char *name, u8 mac[6])
{
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {};
	bool has = false;

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%.15s", name);
	if (s >= 0)
		has = !ioctl(s, SIOCGIFHWADDR, &req) && req.ifr_hwaddr.sa_family == ARPHRD_ETHER;
	memcpy(mac, req.ifr_hwaddr.sa_data, 6);
	if (s >= 0)
		close(s);
	return has;
}

int hook_init(struct hook *h, struct instance *in, struct loader *l, const char *name)
{
	struct ifreq req = {};
	int s, err;

	memset(h, 0, sizeof(*h));
	h->in = in;
	h->loader = l;
	if (strlen(name) >= sizeof(h->name))
		return store_fail(&in->s, -ENODEV, "%.40s: no such interface here (names have at most 15 letters)",
				  name);
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->key.netns = in->netns;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return store_fail(&in->s, -errno, "%s: cannot ask for its link type: %s", name, strerror(errno));
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	err = ioctl(s, SIOCGIFINDEX, &req) ? -errno : 0; /* if_nametoindex() loses the reason */
	h->key.ifindex = req.ifr_ifindex;
	if (!err && ioctl(s, SIOCGIFHWADDR, &req))
		err = -errno;
	if (err == -ENODEV)
		store_fail(&in->s, err, "%s: no such interface in this network namespace (see `ip link`)", name);
	else if (err)
		store_fail(&in->s, err, "%s: cannot ask for its link type: %s", name, strerror(-err));
	else
		err = judge_link_type(h, req.ifr_hwaddr.sa_family);
	if (!err && !h->l3)
		memcpy(h->mac, req.ifr_hwaddr.sa_data, sizeof(h->mac));
	close(s);
	if (!err)
		nic_look(&h->nic, name);
	return err ? err : hook_refuse_blind(h);
}

void link_path(const struct instance *in, const struct sw_iface_key *key, enum part p, char *path, size_t size)
{
	snprintf(path, size, "%s/links/%llu-%u-%s", in->s.dir, (unsigned long long)key->netns, key->ifindex,
		 links[p].suffix);
}

u32 link_ifindex(int fd, u32 *link_id, u32 *prog_id)
{
	struct bpf_link_info info = {};
	u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return 0;
	*link_id = info.id;
	*prog_id = info.prog_id;
	return info.xdp.ifindex; /* TCX has it in the same place */
}

int link_open(const struct hook *h, enum part p)
{
	char path[sizeof(h->in->s.dir) + 64];
	u32 link, prog;
	int fd;

	link_path(h->in, &h->key, p, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd >= 0 && !link_ifindex(fd, &link, &prog)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

int link_put(struct hook *h, enum part p, int prog_fd, u32 flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags | links[p].flags);
	char path[sizeof(h->in->s.dir) + 64];
	int fd = link_open(h, p), err = 0;

	if (fd >= 0) {
		err = bpf_link_update(fd, prog_fd, NULL);
		close(fd);
		return err;
	}
	fd = bpf_link_create(prog_fd, h->key.ifindex, links[p].type, &opts);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "%s/links", h->in->s.dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		err = -errno;
	link_path(h->in, &h->key, p, path, sizeof(path));
	unlink(path); /* a dead link: its device is gone, the index in use again */
	if (!err)
		err = bpf_obj_pin(fd, path);
	close(fd); /* not pinned: the kernel takes the program off */
	return err;
}

int link_drop(const struct hook *h, enum part p)
{
	char path[sizeof(h->in->s.dir) + 64];
	int fd, err = 0;

	link_path(h->in, &h->key, p, path, sizeof(path));
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		err = bpf_link_detach(fd); /* now, not when the kernel gets round to freeing it */
		close(fd);
	}
	if (!unlink(path) || errno == ENOENT)
		return 0; /* nobody holds it any more: also if it could not be detached, it goes */
	return err ? err : -errno;
}

/* A program's id does not tell it from the same one on another interface, its index alone not from one in another
 * network namespace. */
static bool runs_on(u32 ifindex, enum part p, u32 prog)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	u32 id[64], count = SW_ARRAY_SIZE(id);
	bool any = false;

	if (p == PART_XDP_LINK)
		return !bpf_xdp_query(ifindex, 0, &q) && (q.drv_prog_id == prog || q.skb_prog_id == prog);
	if (bpf_prog_query(ifindex, links[p].type, 0, NULL, id, &count))
		return false;
	for (u32 i = 0; i < count; i++)
		any |= id[i] == prog;
	return any;
}

bool hook_same_device(const struct hook *h, const struct hook *former)
{
	bool same = false;
	u32 link = 0, prog = 0;

	for (enum part p = 0; p < PART_COUNT; p++) {
		int fd = links[p].suffix ? link_open(former, p) : -1;

		if (fd < 0)
			continue;
		same |= link_ifindex(fd, &link, &prog) == h->key.ifindex && runs_on(h->key.ifindex, p, prog);
		close(fd);
	}
	return same;
}

static void look_link(struct hook *h, struct hooks *now, enum part p)
{
	int fd = link_open(h, p);

	if (fd < 0)
		return;
	now->have |= 1 << p;
	link_ifindex(fd, &now->link[p], &now->prog[p]);
	close(fd);
}

static void look_clsact(struct hook *h, struct hooks *now, enum part p)
{
	now->prog[p] = clsact_prog(h, p == PART_CLSACT_OUT);
	if (now->prog[p])
		now->have |= 1 << p;
}

void hook_look(struct hook *h, struct hooks *now)
{
	memset(now, 0, sizeof(*now));
	look_link(h, now, PART_XDP_LINK);
	look_link(h, now, PART_TCX_IN);
	look_link(h, now, PART_TCX_OUT);
	xdp_look(h, now);
	look_clsact(h, now, PART_CLSACT_IN);
	look_clsact(h, now, PART_CLSACT_OUT);
}

static int drop_part(struct hook *h, const struct hooks *now, enum part p)
{
	switch (p) {
	case PART_XDP_CHAIN:
	case PART_XDP_BARE:
		return xdp_drop(h, now, 1 << p);
	case PART_CLSACT_IN:
	case PART_CLSACT_OUT:
		return clsact_drop(h, p == PART_CLSACT_OUT);
	default:
		return link_drop(h, p);
	}
}

int hook_drop(struct hook *h, u32 parts)
{
	static const char *const name[PART_COUNT] = {"the XDP program's link",
						     "the XDP program in libxdp's dispatcher",
						     "the XDP program",
						     "the link of the ingress program",
						     "the link of the egress program",
						     "the ingress filter",
						     "the egress filter"};
	struct hooks now;
	int err = 0, one;

	hook_look(h, &now);
	for (enum part p = 0; p < PART_COUNT; p++) {
		one = parts & now.have & 1 << p ? drop_part(h, &now, p) : 0;
		if (one && !hook_is_gone(one) && !err)
			err = store_fail(&h->in->s, one, "%s: cannot take off %s: %s; it runs on until a detach can",
					 h->name, name[p], strerror(-one));
	}
	one = clsact_tidy(h);
	if (one && !hook_is_gone(one) && !err)
		err = store_fail(&h->in->s, one, "%s: cannot take off its clsact qdisc: %s", h->name, strerror(-one));
	return err;
}

bool tcx_works(u32 ifindex)
{
	u32 count = 0;

	return bpf_prog_query(ifindex, TCX_INGRESS, 0, NULL, NULL, &count) != -EINVAL;
}

int hook_tc(struct hook *h, bool out)
{
	enum program p = h->l3 ? (out ? PROG_OUT_L3 : PROG_IN_L3) : out ? PROG_OUT : PROG_IN;
	int fd = load_program(h->loader, p), err;
	bool tcx = tcx_works(h->key.ifindex);

	if (fd < 0)
		return fd;
	err = tcx ? link_put(h, out ? PART_TCX_OUT : PART_TCX_IN, fd, 0) : clsact_put(h, out, fd);
	return err ? store_fail(&h->in->s, err, "%s: cannot attach to tc %s by %s: %s %s", h->name,
				out ? "egress" : "ingress", tcx ? "TCX" : "clsact", strerror(-err), load_last())
		   : 0;
}
