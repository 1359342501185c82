// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc before TCX (Linux 6.6): a filter at a handle of our own under clsact. */
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "hook.h"

#define PRIORITY 7 /* early: a filter that ends the chain must not blind us */

static struct bpf_tc_hook hook_of(const struct hook *h, int points)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook), .ifindex = h->key.ifindex, .attach_point = points};
}

/* The id of our map tells two instances on one interface apart. */
#define TC_OPTS(h, opts) LIBBPF_OPTS(bpf_tc_opts, opts, .handle = (h)->in->meta_id, .priority = PRIORITY)

struct answer {
	union {
		struct nlmsghdr n;
		char room[16384];
	};
};

/* The kernel's first answer about this interface; its type, 0: none in time. */
static u16 ask(const struct hook *h, u16 type, u16 flags, struct tcmsg about, struct answer *got)
{
	struct {
		struct nlmsghdr n;
		struct tcmsg t;
	} ask = {.n = {.nlmsg_len = sizeof(ask), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags}, .t = about};
	struct timeval patience = {.tv_sec = 2};
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t len = -1;

	if (s < 0)
		return 0;
	ask.t.tcm_ifindex = h->key.ifindex;
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(s, &ask, sizeof(ask), 0) == sizeof(ask))
		len = recv(s, got, sizeof(*got), 0);
	close(s);
	if (len < (ssize_t)sizeof(got->n) || got->n.nlmsg_len > len)
		return 0;
	return got->n.nlmsg_type;
}

static const struct rtattr *find(const struct rtattr *a, int len, u16 type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

/* As libbpf names the filter of one of our programs: all there is to go by for who may not ask for programs by id. */
static bool has_our_name(const struct hook *h, bool out, u32 prog_id)
{
	struct tcmsg about = {
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, out ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS),
		.tcm_handle = h->in->meta_id,
		.tcm_info = TC_H_MAKE(PRIORITY << 16, htons(ETH_P_ALL)),
	};
	const struct rtattr *options, *name = NULL;
	struct answer got;
	char ours[64];

	if (ask(h, RTM_GETTFILTER, 0, about, &got) != RTM_NEWTFILTER)
		return false;
	options = find((void *)((char *)NLMSG_DATA(&got.n) + NLMSG_ALIGN(sizeof(about))),
		       (int)NLMSG_PAYLOAD(&got.n, sizeof(about)), TCA_OPTIONS);
	if (options)
		name = find(RTA_DATA(options), (int)RTA_PAYLOAD(options), TCA_BPF_NAME);
	for (enum program p = 0; name && p < PROG_COUNT; p++) {
		snprintf(ours, sizeof(ours), "%s:[%u]", program_name[p], prog_id);
		if (RTA_PAYLOAD(name) == strlen(ours) + 1 && !memcmp(RTA_DATA(name), ours, strlen(ours)))
			return true;
	}
	return false;
}

u32 clsact_prog(struct hook *h, bool out)
{
	struct bpf_tc_hook tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	TC_OPTS(h, opts);

	if (!h->in->meta_id || bpf_tc_query(&tc, &opts))
		return 0;
	if (instance_owns(h->in, opts.prog_id))
		return opts.prog_id;
	return !instance_sees_ids() && has_our_name(h, out, opts.prog_id) ? opts.prog_id : 0;
}

/* In doubt, yes. */
static bool has_filters(const struct hook *h, u32 minor)
{
	struct tcmsg about = {.tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor)};
	struct answer got;

	return ask(h, RTM_GETTFILTER, NLM_F_DUMP, about, &got) != NLMSG_DONE;
}

static bool has_qdisc(const struct hook *h)
{
	struct tcmsg about = {.tcm_parent = TC_H_CLSACT};
	struct answer got;
	u16 type = ask(h, RTM_GETQDISC, NLM_F_ACK | NLM_F_ECHO, about, &got);

	return type == RTM_NEWQDISC || !type; /* a mere ack: there was one, once */
}

/* Known to the registry beforehand: were we killed after, the next command would find a qdisc and no owner. */
static void qdisc_promise(struct hook *h)
{
	struct sw_iface row;

	h->qdisc = true;
	if (registry_get(h->in, &h->key, &row))
		return;
	if (row.ready)
		row.ready |= SW_READY_QDISC;
	else
		row.chained = SW_UNREADY_QDISC;
	registry_put(h->in, &h->key, &row);
}

int clsact_put(struct hook *h, bool out, int prog_fd)
{
	struct bpf_tc_hook tc = hook_of(h, BPF_TC_INGRESS | BPF_TC_EGRESS);
	TC_OPTS(h, opts);
	int err;

	if (!has_qdisc(h))
		qdisc_promise(h);
	err = bpf_tc_hook_create(&tc);
	if (err && err != -EEXIST)
		return err;
	opts.prog_fd = prog_fd;
	opts.flags = clsact_prog(h, out) ? BPF_TC_F_REPLACE : 0;
	tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	return bpf_tc_attach(&tc, &opts);
}

int clsact_drop(struct hook *h, bool out)
{
	struct bpf_tc_hook tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	TC_OPTS(h, opts);

	return clsact_prog(h, out) ? bpf_tc_detach(&tc, &opts) : 0;
}

int clsact_tidy(struct hook *h)
{
	struct bpf_tc_hook tc = hook_of(h, BPF_TC_INGRESS | BPF_TC_EGRESS);

	if (!h->qdisc || !has_qdisc(h) || has_filters(h, TC_H_MIN_INGRESS) || has_filters(h, TC_H_MIN_EGRESS))
		return 0;
	return bpf_tc_hook_destroy(&tc);
}
