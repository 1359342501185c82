// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc before TCX (Linux 6.6): a filter at a handle of our own under clsact. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hook.h"

#define PRIORITY 7 /* early: a filter that ends the chain must not blind us */

static struct bpf_tc_hook hook_of(const struct hook *h, int points)
{
	return (struct bpf_tc_hook){.sz = sizeof(struct bpf_tc_hook), .ifindex = h->key.ifindex, .attach_point = points};
}

/* The id of our map tells two instances on one interface apart. */
#define TC_OPTS(h, opts) LIBBPF_OPTS(bpf_tc_opts, opts, .handle = (h)->in->meta_id, .priority = PRIORITY)

u32 clsact_prog(struct hook *h, bool out)
{
	struct bpf_tc_hook tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	TC_OPTS(h, opts);

	if (!h->in->meta_id || bpf_tc_query(&tc, &opts))
		return 0;
	return instance_owns(h->in, opts.prog_id) ? opts.prog_id : 0;
}

int clsact_put(struct hook *h, bool out, int prog_fd)
{
	struct bpf_tc_hook tc = hook_of(h, BPF_TC_INGRESS | BPF_TC_EGRESS);
	TC_OPTS(h, opts);
	int err = bpf_tc_hook_create(&tc);

	if (err && err != -EEXIST)
		return err;
	h->qdisc |= !err;
	opts.prog_fd = prog_fd;
	opts.flags = clsact_prog(h, out) ? BPF_TC_F_REPLACE : 0;
	tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	return bpf_tc_attach(&tc, &opts);
}

/* Whether any filter is left there; in doubt, yes. */
static bool has_filters(const struct hook *h, u32 parent)
{
	struct {
		struct nlmsghdr n;
		struct tcmsg t;
	} ask = {
		.n = {.nlmsg_len = sizeof(ask), .nlmsg_type = RTM_GETTFILTER, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.t = {.tcm_ifindex = h->key.ifindex, .tcm_parent = parent},
	};
	char buf[16384] __attribute__((aligned(4)));
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t len = -1;

	if (s < 0)
		return true;
	if (send(s, &ask, sizeof(ask), 0) == sizeof(ask))
		len = recv(s, buf, sizeof(buf), 0);
	close(s);
	return len < (ssize_t)sizeof(struct nlmsghdr) || ((struct nlmsghdr *)buf)->nlmsg_type != NLMSG_DONE;
}

void clsact_drop(struct hook *h, bool out)
{
	struct bpf_tc_hook tc = hook_of(h, out ? BPF_TC_EGRESS : BPF_TC_INGRESS);
	TC_OPTS(h, opts);

	if (!clsact_prog(h, out))
		return;
	bpf_tc_detach(&tc, &opts);
	if (!h->qdisc || has_filters(h, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)) ||
	    has_filters(h, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)))
		return;
	tc = hook_of(h, BPF_TC_INGRESS | BPF_TC_EGRESS);
	bpf_tc_hook_destroy(&tc);
}
