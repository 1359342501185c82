// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XDP: in libxdp's dispatcher where the kernel lets it run, else alone by a BPF link. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hook.h"

static u32 mode_flags(u32 mode)
{
	return mode == SW_HOOK_XDP_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
}

static const char *mode_word(u32 mode)
{
	return mode == SW_HOOK_XDP_GENERIC ? "generic" : "native";
}

static enum program program_for(u32 mode)
{
	return mode == SW_HOOK_XDP_GENERIC ? PROG_XDP_GENERIC : PROG_XDP;
}

void xdp_name(u32 prog_id, char name[16])
{
	struct bpf_prog_info info = {};
	u32 size = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	snprintf(name, 16, "?");
	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.name[0])
		snprintf(name, 16, "%.15s", info.name);
	close(fd);
}

void xdp_look(struct hook *h, struct hooks *now)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	u32 id, chained[16];
	int n;

	if (bpf_xdp_query(h->key.ifindex, 0, &q) || q.attach_mode == XDP_ATTACHED_NONE)
		return;
	id = q.drv_prog_id ? q.drv_prog_id : q.skb_prog_id ? q.skb_prog_id : q.hw_prog_id;
	now->mode = q.skb_prog_id && !q.drv_prog_id ? SW_HOOK_XDP_GENERIC : SW_HOOK_XDP_NATIVE;
	if (now->have & 1 << PART_XDP_LINK && now->prog[PART_XDP_LINK] == id)
		return;
	if (instance_owns(h->in, id)) {
		now->have |= 1 << PART_XDP_BARE;
		now->prog[PART_XDP_BARE] = id;
		return;
	}
	now->alien = id;
	xdp_name(id, now->alien_name);
	if (strcmp(now->alien_name, "xdp_dispatcher"))
		return;
	now->dispatcher = true;
	now->unread = !chain_is_sound(id);
	if (now->unread)
		return;
	n = chain_look(h, now, chained, SW_ARRAY_SIZE(chained));
	if (!n)
		return;
	now->have |= 1 << PART_XDP_CHAIN;
	now->prog[PART_XDP_CHAIN] = chained[n - 1];
	if (now->alien == id) /* nobody else in it */
		now->alien = 0;
}

bool xdp_hidden(struct hook *h, const struct sw_iface *row)
{
	bool meant = row->ingress == SW_HOOK_XDP_NATIVE || row->ingress == SW_HOOK_XDP_GENERIC;
	struct hooks now;

	if (instance_sees_ids() || (row->ready && !(row->ready & SW_READY_CHANGE) && !meant))
		return false;
	hook_look(h, &now);
	return now.alien;
}

int xdp_settle(struct hook *h, const struct hooks *now)
{
	int err = now->have & 1 << PART_XDP_CHAIN ? chain_drop(h, now->prog[PART_XDP_CHAIN]) : 0;

	return err ? store_fail(&h->in->s, err, "%s: an older XDP program stays in libxdp's dispatcher: %s", h->name,
				strerror(-err))
		   : 0;
}

int xdp_drop(struct hook *h, const struct hooks *now, u32 parts)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int err;

	if (parts & 1 << PART_XDP_CHAIN)
		return chain_drop(h, 0);
	opts.old_prog_fd = bpf_prog_get_fd_by_id(now->prog[PART_XDP_BARE]);
	if (opts.old_prog_fd < 0)
		return opts.old_prog_fd;
	err = bpf_xdp_detach(h->key.ifindex, mode_flags(now->mode) | XDP_FLAGS_REPLACE, &opts);
	close(opts.old_prog_fd);
	return err;
}

static int put_bare(struct hook *h, const struct hooks *now, int fd)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int err;

	opts.old_prog_fd = bpf_prog_get_fd_by_id(now->prog[PART_XDP_BARE]);
	if (opts.old_prog_fd < 0)
		return opts.old_prog_fd;
	err = bpf_xdp_attach(h->key.ifindex, fd, mode_flags(now->mode) | XDP_FLAGS_REPLACE, &opts);
	close(opts.old_prog_fd);
	return err;
}

static int busy(struct hook *h, const struct hooks *now)
{
	if (!instance_sees_ids())
		return store_fail(
			&h->in->s, -EBUSY,
			"%s: XDP is taken by program id %u; joining it takes CAP_SYS_ADMIN: run as root, or use "
			"--mode tc",
			h->name, now->alien);
	return store_fail(&h->in->s, -EBUSY, "%s: XDP is taken by program %s (id %u), %s; detach it, or use --mode tc",
			  h->name, now->alien_name, now->alien,
			  !now->dispatcher ? "which was not attached through libxdp and cannot be chained"
			  : now->unread    ? "a dispatcher that the libxdp in synwave does not know"
					   : chain_fault());
}

static int put_first(struct hook *h, u32 mode, const struct hooks *now)
{
	int fd, err = 0;

	if (now->alien && !(now->dispatcher && !now->unread && chain_works()))
		return busy(h, now);
	if (now->alien && now->mode != mode)
		return store_fail(
			&h->in->s, -EBUSY,
			"%s: libxdp's dispatcher runs there in %s mode, with program %s (id %u): take the same mode",
			h->name, mode_word(now->mode), now->alien_name, now->alien);
	if (chain_works()) {
		err = chain_put(h, mode);
		if (!err)
			return 0;
		if (now->alien)
			return store_fail(&h->in->s, err, "%s: libxdp cannot add to the dispatcher there: %s", h->name,
					  chain_error(err));
	}
	snprintf(h->alone, sizeof(h->alone), "%s", chain_fault() ?: chain_error(err));
	fd = load_program(h->loader, program_for(mode));
	if (fd < 0)
		return fd;
	load_forget(); /* what was said of the dispatcher */
	err = link_put(h, PART_XDP_LINK, fd, mode_flags(mode));
	return err ? hook_refused(h, mode, fd, err) : 0;
}

/* Ours is there in the right mode already. */
static int put_again(struct hook *h, u32 mode, const struct hooks *now)
{
	int fd, err;

	if (now->have & 1 << PART_XDP_CHAIN) {
		err = chain_put(h, mode);
	} else {
		fd = load_program(h->loader, program_for(mode));
		if (fd < 0)
			return fd;
		load_forget();
		err = now->have & 1 << PART_XDP_LINK ? link_put(h, PART_XDP_LINK, fd, mode_flags(mode))
						     : put_bare(h, now, fd);
	}
	return err ? store_fail(&h->in->s, err, "%s: cannot replace the XDP program: %s", h->name, chain_error(err))
		   : 0;
}

/* None of ours is there: it was taken off, or never was. */
static int put_anew(struct hook *h, u32 mode)
{
	struct hooks now;

	hook_look(h, &now);
	return put_first(h, mode, &now);
}

/* The kernel has native or generic XDP on a device, not both: the old one goes first, for as short as can be. */
static int change_mode(struct hook *h, u32 mode, const struct hooks *now)
{
	char why[WHY_SIZE];
	int err = 0;

	if (!(now->have & 1 << PART_XDP_CHAIN))
		err = load_program(h->loader, program_for(mode));
	if (err >= 0)
		err = hook_drop(h, PART_XDP);
	if (err)
		return err;
	err = put_anew(h, mode);
	if (!err)
		return 0;
	memcpy(why, h->in->s.why, sizeof(why));
	if (put_anew(h, now->mode)) {
		char back[WHY_SIZE];

		memcpy(back, h->in->s.why, sizeof(back));
		return store_fail(&h->in->s, err, "%.240s; nor can the one that was there be put back: %.200s", why,
				  back);
	}
	return store_fail(&h->in->s, err, "%s", why);
}

int hook_xdp(struct hook *h, u32 mode)
{
	struct hooks now;

	load_forget();
	hook_look(h, &now);
	if (!(now.have & PART_XDP))
		return put_first(h, mode, &now);
	return now.mode == mode ? put_again(h, mode, &now) : change_mode(h, mode, &now);
}
