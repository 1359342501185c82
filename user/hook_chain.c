// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* libxdp's dispatcher: whether it runs here, what hangs in it, and our program in it. */
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
#include <xdp/prog_dispatcher.h>

#include "hook.h"

#define LIBXDP_DIR "/sys/fs/bpf/xdp"
#define RUN_PRIO   5 /* before filters (10 and up): what they drop was on the wire */

/* libxdp's own test of what its dispatcher needs; in the static library, though in no header. */
extern int libxdp_check_kern_compat(void) __attribute__((weak));

static bool kernel_runs_it(void)
{
	struct stat st;
	bool had = !stat(LIBXDP_DIR, &st), works;

	works = !libxdp_check_kern_compat || !libxdp_check_kern_compat();
	if (!works && !had)
		rmdir(LIBXDP_DIR); /* the test leaves it behind */
	return works;
}

const char *chain_fault(void)
{
	static const char *why;
	static bool known;
	const char *skip = secure_getenv("LIBXDP_SKIP_DISPATCHER");

	if (known)
		return why;
	known = true;
	if (skip && !strcmp(skip, "1"))
		why = "LIBXDP_SKIP_DISPATCHER=1 says so";
	else if (!instance_sees_ids())
		why = "libxdp's dispatcher takes CAP_SYS_ADMIN";
	else if (!kernel_runs_it())
		why = "this kernel does not run libxdp's dispatcher";
	return why;
}

bool chain_works(void)
{
	return !chain_fault();
}

const char *chain_why(const struct sw_iface *i)
{
	if (i->ingress != SW_HOOK_XDP_NATIVE && i->ingress != SW_HOOK_XDP_GENERIC)
		return NULL;
	if (i->chained == SW_CHAINED_PAD)
		return "the dispatcher takes no program that moves packets, so a cookie keeps the length of its SYN";
	return i->chained ? NULL : chain_fault() ?: "it was attached so; `detach`, then `attach` tries libxdp's dispatcher";
}

/* The least that a configuration has which says how long it is: from version 2 on. */
#define CONFIG_LEAST \
	(offsetof(struct xdp_dispatcher_config, program_flags) + \
	 sizeof(((struct xdp_dispatcher_config *)0)->program_flags))

/* libxdp before 1.6.3 believes what the configuration of a dispatcher says of itself, and reads beyond its end. It is asked
 * about none but those that it reads within bounds, and of no version that it does not know. */
bool chain_is_sound(u32 prog_id)
{
	struct bpf_map_info map = {};
	u32 map_id = 0, zero = 0, size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info prog = {.nr_map_ids = 1, .map_ids = (u64)(unsigned long)&map_id};
	union {
		struct xdp_dispatcher_config config;
		char room[4096];
	} value;
	int fd = bpf_prog_get_fd_by_id(prog_id), err;
	bool sound = false;

	if (fd < 0)
		return false;
	err = bpf_obj_get_info_by_fd(fd, &prog, &size);
	close(fd);
	fd = err || prog.nr_map_ids != 1 ? -1 : bpf_map_get_fd_by_id(map_id);
	if (fd < 0)
		return false;
	size = sizeof(map);
	if (!bpf_obj_get_info_by_fd(fd, &map, &size) && map.type == BPF_MAP_TYPE_ARRAY &&
	    map.key_size == sizeof(zero) && map.value_size >= CONFIG_LEAST && map.value_size <= sizeof(value) &&
	    !bpf_map_lookup_elem(fd, &zero, &value))
		sound = value.config.magic == XDP_DISPATCHER_MAGIC && value.config.dispatcher_version >= 2 &&
			value.config.dispatcher_version <= XDP_DISPATCHER_VERSION &&
			value.config.num_progs_enabled <= MAX_DISPATCHER_ACTIONS;
	close(fd);
	return sound;
}

/* Goes through a dispatcher's programs; the ids of ours, and what else is there. */
int chain_look(struct hook *h, struct hooks *now, u32 *ours, int room)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex(h->key.ifindex);
	struct xdp_program *p = NULL;
	char name[16];
	int n = 0;

	if (libxdp_get_error(mp) || !mp)
		return 0;
	while (!xdp_multiprog__is_legacy(mp) && (p = xdp_multiprog__next_prog(p, mp))) {
		u32 id = xdp_program__id(p);

		xdp_name(id, name);
		if (!instance_owns(h->in, id)) {
			now->alien = id;
			memcpy(now->alien_name, name, sizeof(name));
		} else if (n < room) {
			ours[n++] = id;
			now->padded = !strcmp(name, program_name[PROG_XDP_PAD]);
		}
	}
	xdp_multiprog__close(mp);
	return n;
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

int chain_drop(struct hook *h, u32 keep)
{
	struct hooks now = {};
	u32 ours[16];
	int n = chain_look(h, &now, ours, SW_ARRAY_SIZE(ours)), err = 0;

	for (int i = 0; i < n; i++) {
		int one = ours[i] != keep ? drop_one(h, ours[i]) : 0;

		if (one && !hook_is_gone(one) && !err)
			err = one;
	}
	return err;
}

/* Into the dispatcher; an older one of ours leaves it afterwards. */
static int put_one(struct hook *h, u32 mode, enum program program)
{
	struct synwave_bpf *skel = load_open(h->loader, program);
	enum xdp_attach_mode how = mode == SW_HOOK_XDP_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	struct xdp_program *p;
	int err;

	if (!skel)
		return -EINVAL;
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = load_object(skel), .prog_name = program_name[program]);
	p = xdp_program__create(&opts);
	err = libxdp_get_error(p);
	if (!err) {
		xdp_program__set_run_prio(p, RUN_PRIO);
		err = xdp_program__attach(p, h->key.ifindex, how, 0);
		if (!err) {
			err = chain_drop(h, xdp_program__id(p));
			if (err) /* two would count each segment twice; the caller's error says it */
				xdp_program__detach(p, h->key.ifindex, how, 0);
		}
		xdp_program__close(p);
	}
	load_destroy(skel);
	return err;
}

int chain_put(struct hook *h, u32 mode)
{
	bool generic = mode == SW_HOOK_XDP_GENERIC;
	int err = put_one(h, mode, generic ? PROG_XDP_GENERIC : PROG_XDP);

	/* A dispatcher's stubs that move no packet (libxdp before 1.5.5) take no program that does, since Linux 6.13 and
	 * 6.12's stable releases. */
	return err && load_refusal() ? put_one(h, mode, generic ? PROG_XDP_PAD_GENERIC : PROG_XDP_PAD) : err;
}

const char *chain_error(int err)
{
	return load_refusal() ?: *load_last() ? load_last() : strerror(-err);
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

void chain_sweep(struct instance *in, u32 ifindex)
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
