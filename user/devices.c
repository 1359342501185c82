// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "devices.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ATTRIBUTES (IFLA_MAX + 1)

static void sort_in(struct rtattr *a, int len, struct rtattr **to, u16 most)
{
	for (u16 i = 0; i <= most; i++)
		to[i] = NULL;
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) <= most)
			to[a->rta_type & NLA_TYPE_MASK] = a;
}

static void sort_nested(struct rtattr *a, struct rtattr **to, u16 most)
{
	sort_in(a ? RTA_DATA(a) : NULL, a ? (int)RTA_PAYLOAD(a) : 0, to, most);
}

static u32 number(const struct rtattr *a)
{
	u32 n = 0;

	if (a)
		memcpy(&n, RTA_DATA(a), RTA_PAYLOAD(a) < sizeof(n) ? RTA_PAYLOAD(a) : sizeof(n));
	return n;
}

static void word(const struct rtattr *a, char to[16])
{
	snprintf(to, 16, "%.*s", a ? (int)RTA_PAYLOAD(a) : 0, a ? (const char *)RTA_DATA(a) : "");
}

/* VRF, and ipvlan in mode l3s, change a packet's device behind all hooks, in the IP layer. */
static bool is_blind(const char *kind, struct rtattr *data)
{
	struct rtattr *a[IFLA_IPVLAN_MAX + 1];

	if (strcmp(kind, "ipvlan"))
		return !strcmp(kind, "vrf");
	sort_nested(data, a, IFLA_IPVLAN_MAX);
	return number(a[IFLA_IPVLAN_MODE]) == IPVLAN_MODE_L3S;
}

/* Their "link" is the other end. */
static bool is_pair(const char *kind)
{
	return !strcmp(kind, "veth") || !strcmp(kind, "netkit");
}

static void take(struct nlmsghdr *n, struct device *d)
{
	struct ifinfomsg *i = NLMSG_DATA(n);
	struct rtattr *a[ATTRIBUTES], *info[IFLA_INFO_MAX + 1], *xdp[IFLA_XDP_MAX + 1];

	sort_in(IFLA_RTA(i), (int)IFLA_PAYLOAD(n), a, ATTRIBUTES - 1);
	sort_nested(a[IFLA_LINKINFO], info, IFLA_INFO_MAX);
	sort_nested(a[IFLA_XDP], xdp, IFLA_XDP_MAX);
	*d = (struct device){.ifindex = i->ifi_index, .master = number(a[IFLA_MASTER])};
	for (int id = IFLA_XDP_PROG_ID; id <= IFLA_XDP_HW_PROG_ID && !d->xdp; id++)
		d->xdp = number(xdp[id]);
	word(a[IFLA_IFNAME], d->name);
	word(info[IFLA_INFO_KIND], d->kind);
	d->link = a[IFLA_LINK_NETNSID] || is_pair(d->kind) ? 0 : number(a[IFLA_LINK]);
	d->blind = is_blind(d->kind, info[IFLA_INFO_DATA]);
}

/* One message's devices behind the others. 0: more will come; 1: that was all. */
static int take_all(const char *message, ssize_t len, struct device **list, u32 *count)
{
	for (struct nlmsghdr *n = (void *)message; NLMSG_OK(n, len); n = NLMSG_NEXT(n, len)) {
		struct device *more;

		if (n->nlmsg_type == NLMSG_DONE)
			return 1;
		if (n->nlmsg_type != RTM_NEWLINK)
			return -EIO;
		more = realloc(*list, (*count + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		*list = more;
		take(n, &more[(*count)++]);
	}
	return 0;
}

struct device *devices_list(u32 *count)
{
	struct {
		struct nlmsghdr n;
		struct ifinfomsg i;
	} ask = {.n = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};
	struct timeval patience = {.tv_sec = 2};
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), end = s < 0 ? -errno : 0;
	static _Alignas(struct nlmsghdr) char message[65536];
	struct device *list = NULL;

	*count = 0;
	if (!end) {
		setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		end = send(s, &ask, sizeof(ask), 0) == sizeof(ask) ? 0 : -EIO;
	}
	while (!end) {
		ssize_t len = recv(s, message, sizeof(message), 0);

		end = len <= 0 ? -EIO : take_all(message, len, &list, count);
	}
	if (s >= 0)
		close(s);
	if (end == 1)
		return list;
	free(list);
	*count = 0;
	return NULL;
}

const struct device *devices_find(const struct device *d, u32 count, u32 ifindex)
{
	for (u32 i = 0; i < count; i++)
		if (d[i].ifindex == ifindex)
			return &d[i];
	return NULL;
}

bool device_is_above(const struct device *upper, const struct device *lower)
{
	return lower->master == upper->ifindex || upper->link == lower->ifindex;
}
