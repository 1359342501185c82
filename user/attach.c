// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "attach.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "netns.h"

static u64 realtime(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * SW_NS_PER_S + now.tv_nsec;
}

void iface_describe(const struct hooks *now, struct sw_iface *iface)
{
	iface->ingress = iface->egress = SW_HOOK_NONE;
	iface->ingress_id = iface->egress_id = iface->chained = 0;
	for (enum part p = PART_XDP_LINK; p <= PART_XDP_BARE; p++)
		if (now->have & 1 << p) {
			iface->ingress = now->mode;
			iface->ingress_id = now->prog[p];
			iface->chained = p != PART_XDP_CHAIN ? 0 : now->padded ? SW_CHAINED_PAD : SW_CHAINED;
		}
	if (!iface->ingress && now->have & 1 << PART_TCX_IN) {
		iface->ingress = SW_HOOK_TCX;
		iface->ingress_id = now->link[PART_TCX_IN];
	} else if (!iface->ingress && now->have & 1 << PART_CLSACT_IN) {
		iface->ingress = SW_HOOK_CLSACT;
		iface->ingress_id = now->prog[PART_CLSACT_IN];
	}
	if (now->have & 1 << PART_TCX_OUT) {
		iface->egress = SW_HOOK_TCX;
		iface->egress_id = now->link[PART_TCX_OUT];
	} else if (now->have & 1 << PART_CLSACT_OUT) {
		iface->egress = SW_HOOK_CLSACT;
		iface->egress_id = now->prog[PART_CLSACT_OUT];
	}
}

/* What hung elsewhere on this interface goes once the new program is in place. Does it not go, the new one does: two of
 * them would see each segment twice. */
static int drop_former(struct hook *h, u32 former, u32 new)
{
	char why[WHY_SIZE];
	struct hooks now;
	int err = hook_drop(h, former);

	if (!err)
		return 0;
	memcpy(why, h->in->s.why, sizeof(why));
	hook_look(h, &now);
	if (now.have & former && hook_drop(h, new))
		return store_fail(&h->in->s, err, "%.440s; each segment is seen twice till then", why);
	return store_fail(&h->in->s, err, "%s", why);
}

static int put_tc(struct hook *h)
{
	int err = hook_tc(h, false);

	return err ? err : drop_former(h, PART_XDP, PART_IN & ~PART_XDP);
}

static int put_xdp(struct hook *h, u32 mode)
{
	int err = hook_xdp(h, mode);

	return err ? err : drop_former(h, PART_IN & ~PART_XDP, PART_XDP);
}

static int put_native(struct hook *h)
{
	char say[WHY_SIZE];

	if (nic_judge(&h->nic, NIC_BLIND, say))
		return store_fail(&h->in->s, -EOPNOTSUPP, "%s: %.400s: use --mode generic or tc", h->name, say);
	return put_xdp(h, SW_HOOK_XDP_NATIVE);
}

static int put_auto(struct hook *h)
{
	char *why = h->in->s.why, say[WHY_SIZE];
	size_t len = 0;
	int err;

	if (h->l3) {
		snprintf(h->note, sizeof(h->note), "%s: auto took tc: no Ethernet header, so XDP has nothing to read",
			 h->name);
		return put_tc(h);
	}
	if (nic_judge(&h->nic, NIC_AVOID, say)) {
		store_fail(&h->in->s, 0, "%s: %.400s", h->name, say);
	} else if (!put_xdp(h, SW_HOOK_XDP_NATIVE)) {
		snprintf(h->note, sizeof(h->note), "%s: auto took native, the fastest", h->name);
		return 0;
	}
	len = snprintf(h->note, sizeof(h->note), "%s", why);
	err = put_xdp(h, SW_HOOK_XDP_GENERIC);
	if (!err) {
		snprintf(h->note + len, sizeof(h->note) - len, "; auto took generic");
		return 0;
	}
	if (strcmp(why, h->note)) /* often the same reason twice */
		len += snprintf(h->note + len, sizeof(h->note) - len, "; %.160s", why);
	if (len < sizeof(h->note))
		snprintf(h->note + len, sizeof(h->note) - len, "; auto took tc");
	return put_tc(h);
}

static int put_ingress(struct hook *h, enum mode mode, const struct hooks *before)
{
	if (mode == MODE_KEEP && before->have & PART_XDP)
		mode = before->mode == SW_HOOK_XDP_GENERIC ? MODE_GENERIC : MODE_NATIVE;
	else if (mode == MODE_KEEP && before->have & PART_IN)
		mode = MODE_TC;
	if (h->l3 && (mode == MODE_NATIVE || mode == MODE_GENERIC))
		return store_fail(&h->in->s, -EOPNOTSUPP,
				  "%s has no Ethernet header, XDP has nothing to read there: use --mode tc", h->name);
	switch (mode) {
	case MODE_NATIVE:
		return put_native(h);
	case MODE_GENERIC:
		return put_xdp(h, SW_HOOK_XDP_GENERIC);
	case MODE_TC:
		return put_tc(h);
	default:
		return put_auto(h);
	}
}

static int put_egress(struct hook *h, bool one_way)
{
	return one_way ? hook_drop(h, PART_OUT) : hook_tc(h, true);
}

/* Verifying takes seconds: before anything is attached, so that both directions begin together. */
static int load_first(struct hook *h, enum mode mode, bool one_way)
{
	int fd = 0;

	if (!one_way)
		fd = load_program(h->loader, h->l3 ? PROG_OUT_L3 : PROG_OUT);
	if (fd >= 0 && (mode == MODE_TC || h->l3))
		fd = load_program(h->loader, h->l3 ? PROG_IN_L3 : PROG_IN);
	return fd < 0 ? fd : 0;
}

static int hidden(struct hook *h)
{
	return store_fail(
		&h->in->s, -EPERM,
		"%s: whether the XDP program there is ours (root's, in libxdp's dispatcher?) takes CAP_SYS_ADMIN to "
		"tell: run as root",
		h->name);
}

struct hook iface_hook(struct instance *in, const struct registry_row *row)
{
	struct hook h = {.in = in, .key = row->key};

	h.qdisc = row->iface.ready ? row->iface.ready & SW_READY_QDISC : row->iface.chained == SW_UNREADY_QDISC;
	memcpy(h.name, row->iface.name, sizeof(h.name));
	return h;
}

/* The interface was moved here from another network namespace, and what we attached there came along: it goes, or
 * each segment would be seen twice. */
static int forget_former(struct hook *h)
{
	struct registry_row *rows;
	u32 n = registry_list(h->in, &rows);
	int err = 0;

	for (u32 i = 0; i < n && !err; i++) {
		struct hook former = iface_hook(h->in, &rows[i]);

		if (rows[i].key.netns != h->key.netns && hook_same_device(h, &former))
			err = iface_detach(h->in, &rows[i]);
	}
	free(rows);
	return err;
}

/* The least number that no other interface of the instance has. Under the lock. */
static u32 free_attachment(struct instance *in)
{
	struct registry_row *rows;
	u32 n = registry_list(in, &rows), number = 1;

	for (u32 i = 0; i < n; i++)
		if (rows[i].iface.attachment == number) {
			number++;
			i = ~0u; /* from the beginning */
		}
	free(rows);
	return number;
}

/* With one interface alone no SYN can be seen twice, and the guard need not look whether it was. */
static void count_attachments(struct instance *in)
{
	struct registry_row *rows;
	u32 n = registry_list(in, &rows), zero = 0;
	struct sw_guard g;

	free(rows);
	if (bpf_map_lookup_elem(in->s.fd.guard, &zero, &g))
		return;
	g.attachments = n;
	bpf_map_update_elem(in->s.fd.guard, &zero, &g, BPF_ANY);
}

/* A first attach failed: nothing of it stays. What cannot be taken off stays in the registry, for a later command. */
static int give_up(struct hook *h, int err)
{
	char why[WHY_SIZE];

	memcpy(why, h->in->s.why, sizeof(why));
	if (hook_drop(h, ALL_PARTS)) {
		char left[WHY_SIZE];

		memcpy(left, h->in->s.why, sizeof(left));
		return store_fail(&h->in->s, err, "%.300s; and %.200s", why, left);
	}
	registry_delete(h->in, &h->key);
	count_attachments(h->in);
	return store_fail(&h->in->s, err, "%s", why);
}

int iface_attach(struct hook *h, enum mode mode, bool one_way, bool *had)
{
	struct sw_iface was = {}, row = {.since_ns = realtime()};
	char why[WHY_SIZE];
	struct hooks now;
	int err;

	if (!registry_get(h->in, &h->key, &was) && xdp_hidden(h, &was))
		return hidden(h);
	*had = was.ready;
	if (*had) {
		row = was;
		row.ready |= SW_READY_CHANGE;
		h->qdisc = was.ready & SW_READY_QDISC;
	}
	memcpy(row.name, h->name, sizeof(row.name));
	if (!row.attachment)
		row.attachment = free_attachment(h->in);
	memcpy(row.mac, h->mac, sizeof(row.mac));
	load_for(h->loader, row.attachment, h->mac, nic_judge(&h->nic, NIC_NO_TX, NULL));
	err = load_first(h, mode, one_way);
	if (!err)
		err = registry_put(h->in, &h->key, &row);
	if (err)
		return err;
	count_attachments(h->in);
	err = forget_former(h);
	hook_look(h, &now);
	h->nic.native = now.mode == SW_HOOK_XDP_NATIVE;
	if (!err)
		err = put_ingress(h, mode, &now);
	if (!err)
		err = put_egress(h, one_way);
	if (err && !*had)
		return give_up(h, err);
	memcpy(why, h->in->s.why, sizeof(why));
	hook_look(h, &now);
	iface_describe(&now, &row);
	row.ready = SW_READY_YES | (h->qdisc ? SW_READY_QDISC : 0);
	if (registry_put(h->in, &h->key, &row) && !err)
		return -EIO;
	return err ? store_fail(&h->in->s, err, "%s", why) : 0;
}

/* libxdp's pins carry the index alone: with another namespace's interface of that index they may be its. */
void iface_sweep_dispatchers(struct instance *in, const struct sw_iface_key *key)
{
	struct registry_row *rows;
	u32 n = registry_list(in, &rows);
	bool shared = false;

	for (u32 i = 0; i < n; i++)
		shared |= rows[i].key.ifindex == key->ifindex && rows[i].key.netns != key->netns;
	free(rows);
	if (!shared)
		chain_sweep(in, key->ifindex);
}

/* Called where the interface is. 0: whether it went, `err` says. */
struct dropping {
	struct hook *h;
	int err;
};
static int drop_here(void *ctx)
{
	struct dropping *d = ctx;
	char name[IF_NAMESIZE];

	if (if_indextoname(d->h->key.ifindex, name))
		d->err = hook_drop(d->h, ALL_PARTS);
	iface_sweep_dispatchers(d->h->in, &d->h->key);
	return 0;
}

/* The pinned ones: also dead ones, also in another namespace. */
static int drop_links(struct hook *h)
{
	int err = 0;

	for (enum part p = 0; p < PART_COUNT; p++) {
		int one = p == PART_XDP_LINK || p == PART_TCX_IN || p == PART_TCX_OUT ? link_drop(h, p) : 0;

		if (one && !err)
			err = store_fail(&h->in->s, one,
					 "%s: cannot take off its pinned link: %s; it runs on until a "
					 "detach can",
					 h->name, strerror(-one));
	}
	return err;
}

int iface_detach(struct instance *in, const struct registry_row *row)
{
	bool inside = row->iface.chained || !row->iface.ready || row->iface.ingress == SW_HOOK_CLSACT ||
		      row->iface.egress == SW_HOOK_CLSACT;
	enum iface_state state = iface_state(in, row, NULL);
	struct hook h = iface_hook(in, row);
	struct dropping here = {.h = &h};
	int err;

	if (row->key.netns == in->netns && xdp_hidden(&h, &row->iface))
		return hidden(&h);
	if (row->key.netns == in->netns) {
		drop_here(&here);
	} else if (state == IFACE_GONE) {
		iface_sweep_dispatchers(in, &row->key);
	} else if (inside) { /* not by a link: only to be removed from within */
		err = netns_call(row->key.netns, drop_here, &here);
		if (err)
			return store_fail(
				&in->s, err,
				"%s in network namespace %llu cannot be reached (%s): its programs stay until "
				"`nsenter --net=... synwave --pin %s detach %s` runs there",
				h.name, (unsigned long long)row->key.netns, strerror(-err), in->s.dir, h.name);
	}
	err = here.err ? here.err : drop_links(&h);
	if (err)
		return err;
	err = registry_delete(in, &row->key);
	count_attachments(in);
	return err;
}

static bool any_link(struct instance *in, const struct registry_row *row)
{
	struct hook h = iface_hook(in, row);
	bool any = false;

	for (enum part p = 0; p < PART_COUNT; p++) {
		int fd = p == PART_XDP_LINK || p == PART_TCX_IN || p == PART_TCX_OUT ? link_open(&h, p) : -1;
		if (fd >= 0) {
			any = true;
			close(fd);
		}
	}
	return any;
}

static bool program_lives(u32 id)
{
	int fd = id ? bpf_prog_get_fd_by_id(id) : -1;

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EPERM; /* who may not ask takes nothing away */
}

static enum iface_state state_elsewhere(struct instance *in, const struct registry_row *row)
{
	bool linked = row->iface.egress == SW_HOOK_TCX || row->iface.ingress == SW_HOOK_TCX;
	int fd;

	if (any_link(in, row))
		return IFACE_ELSEWHERE;
	if (linked) /* its link died with it */
		return IFACE_GONE;
	fd = netns_find(row->key.netns);
	if (fd < 0)
		return program_lives(row->iface.ingress_id) && !row->iface.chained ? IFACE_ELSEWHERE : IFACE_GONE;
	close(fd);
	return IFACE_ELSEWHERE;
}

enum iface_state iface_state(struct instance *in, const struct registry_row *row, struct hooks *now)
{
	struct hook h = iface_hook(in, row);
	char name[IF_NAMESIZE];
	struct hooks found;

	if (row->key.netns != in->netns)
		return state_elsewhere(in, row);
	if (!if_indextoname(row->key.ifindex, name)) /* deleted, or moved to another namespace */
		return any_link(in, row) ? IFACE_ELSEWHERE : IFACE_GONE;
	hook_look(&h, &found);
	if (now)
		*now = found;
	if (!found.have && strcmp(name, row->iface.name)) /* the index is another's now */
		return IFACE_GONE;
	if (!row->iface.ready || !(found.have & PART_IN) || (row->iface.egress && !(found.have & PART_OUT)))
		return IFACE_INCOMPLETE;
	return IFACE_UP;
}
