// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XDP: in libxdp's dispatcher where the kernel lets it run, else alone by a BPF link. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "hook.h"

#define LIBXDP_DIR "/sys/fs/bpf/xdp"
#define RUN_PRIO   5 /* before filters (10 and up): what they drop was on the wire */

/* libxdp's own test of what its dispatcher needs; in the static library, though in no header. */
extern int libxdp_check_kern_compat(void) __attribute__((weak));

static bool dispatcher_works(void)
{
	struct stat st;
	bool had = !stat(LIBXDP_DIR, &st), works;
	const char *skip = secure_getenv("LIBXDP_SKIP_DISPATCHER");

	if (skip && !strcmp(skip, "1"))
		return false;
	if (!instance_sees_ids())
		return false;
	works = !libxdp_check_kern_compat || !libxdp_check_kern_compat();
	if (!works && !had)
		rmdir(LIBXDP_DIR); /* the test leaves it behind */
	return works;
}

bool xdp_dispatcher_works(void)
{
	static int known = -1;

	if (known < 0)
		known = dispatcher_works();
	return known;
}

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

static void name_of(u32 prog_id, char name[16])
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

/* Goes through a dispatcher's programs; the ids of ours, and what else is there. */
static int look_chain(struct hook *h, struct hooks *now, u32 *ours, int room)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(h->key.ifindex);
	struct xdp_program *p = NULL;
	int n = 0;

	if (libxdp_get_error(mp) || !mp)
		return 0;
	while (!xdp_multiprog__is_legacy(mp) && (p = xdp_multiprog__next_prog(p, mp))) {
		u32 id = xdp_program__id(p);
		if (instance_owns(h->in, id)) {
			if (n < room)
				ours[n++] = id;
		} else {
			now->alien = id;
			name_of(id, now->alien_name);
		}
	}
	xdp_multiprog__close(mp);
	return n;
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
	name_of(id, now->alien_name);
	if (strcmp(now->alien_name, "xdp_dispatcher"))
		return;
	now->dispatcher = true;
	n = look_chain(h, now, chained, SW_ARRAY_SIZE(chained));
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

/* One program out of the dispatcher. */
static int drop_one(struct hook *h, u32 id)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(h->key.ifindex);
	struct xdp_program *p = xdp_program__from_id(id);
	int err = mp ? libxdp_get_error(mp) : 0;

	if (!err)
		err = libxdp_get_error(p);
	if (!err && mp) /* no dispatcher any more: nothing in it */
		err = xdp_program__detach(p, h->key.ifindex, xdp_multiprog__attach_mode(mp), 0);
	if (!libxdp_get_error(p))
		xdp_program__close(p);
	if (mp && !libxdp_get_error(mp))
		xdp_multiprog__close(mp);
	return err;
}

/* Takes ours out of the dispatcher, but for `keep`. */
static int drop_chained(struct hook *h, u32 keep)
{
	struct hooks now = {};
	u32 ours[16];
	int n = look_chain(h, &now, ours, SW_ARRAY_SIZE(ours)), err = 0;

	for (int i = 0; i < n; i++) {
		int one = ours[i] != keep ? drop_one(h, ours[i]) : 0;

		if (one && !hook_is_gone(one) && !err)
			err = one;
	}
	return err;
}

int xdp_settle(struct hook *h, const struct hooks *now)
{
	int err = now->have & 1 << PART_XDP_CHAIN ? drop_chained(h, now->prog[PART_XDP_CHAIN]) : 0;

	return err ? store_fail(&h->in->s, err, "%s: an older XDP program stays in libxdp's dispatcher: %s", h->name,
				strerror(-err))
		   : 0;
}

int xdp_drop(struct hook *h, const struct hooks *now, u32 parts)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts);
	int err;

	if (parts & 1 << PART_XDP_CHAIN)
		return drop_chained(h, 0);
	opts.old_prog_fd = bpf_prog_get_fd_by_id(now->prog[PART_XDP_BARE]);
	if (opts.old_prog_fd < 0)
		return opts.old_prog_fd;
	err = bpf_xdp_detach(h->key.ifindex, mode_flags(now->mode) | XDP_FLAGS_REPLACE, &opts);
	close(opts.old_prog_fd);
	return err;
}

/* Into the dispatcher; an older one of ours leaves it afterwards. */
static int put_chained(struct hook *h, u32 mode)
{
	struct synwave_bpf *skel = load_open(h->loader, program_for(mode));
	enum xdp_attach_mode how = mode == SW_HOOK_XDP_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	struct xdp_program *p;
	int err;

	if (!skel)
		return -EINVAL;
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = load_object(skel), .prog_name = program_name[PROG_XDP]);
	p = xdp_program__create(&opts);
	err = libxdp_get_error(p);
	if (!err) {
		xdp_program__set_run_prio(p, RUN_PRIO);
		err = xdp_program__attach(p, h->key.ifindex, how, 0);
		if (!err) {
			err = drop_chained(h, xdp_program__id(p));
			if (err) /* two would count each segment twice; the caller's error says it */
				xdp_program__detach(p, h->key.ifindex, how, 0);
		}
		xdp_program__close(p);
	}
	load_destroy(skel);
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
			  now->dispatcher ? "and this kernel does not let libxdp's dispatcher be joined"
					  : "which was not attached through libxdp and cannot be chained");
}

static int put_first(struct hook *h, u32 mode, const struct hooks *now)
{
	int fd, err;

	if (now->alien && !(now->dispatcher && xdp_dispatcher_works()))
		return busy(h, now);
	if (now->alien && now->mode != mode)
		return store_fail(
			&h->in->s, -EBUSY,
			"%s: libxdp's dispatcher runs there in %s mode, with program %s (id %u): take the same mode",
			h->name, mode_word(now->mode), now->alien_name, now->alien);
	if (xdp_dispatcher_works()) {
		err = put_chained(h, mode);
		if (!err)
			return 0;
		if (now->alien)
			return store_fail(&h->in->s, err, "%s: libxdp cannot add to the dispatcher there: %s", h->name,
					  load_verdict(err));
	}
	fd = load_program(h->loader, program_for(mode));
	if (fd < 0)
		return fd;
	err = link_put(h, PART_XDP_LINK, fd, mode_flags(mode));
	return err ? hook_refused(h, mode, fd, err) : 0;
}

/* Ours is there in the right mode already. */
static int put_again(struct hook *h, u32 mode, const struct hooks *now)
{
	int fd, err;

	if (now->have & 1 << PART_XDP_CHAIN) {
		err = put_chained(h, mode);
	} else {
		fd = load_program(h->loader, program_for(mode));
		if (fd < 0)
			return fd;
		err = now->have & 1 << PART_XDP_LINK ? link_put(h, PART_XDP_LINK, fd, mode_flags(mode))
						     : put_bare(h, now, fd);
	}
	return err ? store_fail(&h->in->s, err, "%s: cannot replace the XDP program: %s %s", h->name, strerror(-err),
				load_last())
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

/* The program behind a pin of libxdp's: the program itself, or the link that holds it in its dispatcher. */
static u32 pinned_prog(const char *path, bool link)
{
	struct bpf_prog_info prog = {};
	struct bpf_link_info info = {};
	u32 size = link ? sizeof(info) : sizeof(prog);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return 0;
	bpf_obj_get_info_by_fd(fd, link ? (void *)&info : &prog, &size);
	close(fd);
	return link ? info.prog_id : prog.id;
}

/* Unpins ours from a dispatcher that is attached no more; the directory stays if others are in it. */
static void sweep_dir(struct instance *in, const char *dir)
{
	char path[600];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		bool link = strstr(e->d_name, "-link");

		if (!link && !strstr(e->d_name, "-prog"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (instance_owns(in, pinned_prog(path, link)))
			unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void sweep_entry(struct instance *in, const char *name, u32 ifindex, const struct bpf_xdp_query_opts *q)
{
	unsigned int index, prog;
	char path[300];

	snprintf(path, sizeof(path), LIBXDP_DIR "/%s", name);
	if (!strncmp(name, "prog-test-link-", 15)) /* libxdp holds its lock while it has one of these */
		unlink(path);
	if (sscanf(name, "dispatch-%u-%u", &index, &prog) == 2 && index == ifindex && prog != q->drv_prog_id &&
	    prog != q->skb_prog_id)
		sweep_dir(in, path);
}

void xdp_sweep(struct instance *in, u32 ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	DIR *d = opendir(LIBXDP_DIR);
	struct dirent *e;

	if (!d)
		return;
	if (!flock(dirfd(d), LOCK_EX)) {
		bpf_xdp_query(ifindex, 0, &q);
		while ((e = readdir(d)))
			if (e->d_name[0] != '.')
				sweep_entry(in, e->d_name, ifindex, &q);
	}
	rmdir(LIBXDP_DIR); /* only if nobody has anything there */
	closedir(d);
}
