// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "instance.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf.h"
#include "load.h"
#include "netns.h"
#include "share.h"

static bool is_map(int fd)
{
	char link[64], to[64];
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, to, sizeof(to) - 1);
	to[len < 0 ? 0 : len] = 0;
	return strstr(to, "bpf-map");
}

/* Any version's maps are pinned by their own names. What another put in their place has another one: a program of his
 * that uses it is not ours. */
static bool named_so(const struct bpf_map_info *info, const char *name)
{
	return !strncmp(info->name, name, sizeof(info->name) - 1);
}

static void learn_map(struct instance *in, const char *path, const char *name)
{
	struct bpf_map_info info = {};
	u32 size = sizeof(info);
	int fd = bpf_obj_get(path);

	if (fd < 0)
		return;
	if (is_map(fd) && !bpf_obj_get_info_by_fd(fd, &info, &size)) {
		if (in->map_ids < INSTANCE_MAP_IDS && named_so(&info, name))
			in->map_id[in->map_ids++] = info.id;
		if (!strcmp(name, "meta"))
			in->meta_id = info.id;
	}
	close(fd);
}

/* Calls `each` for the entries of a directory; a missing directory has none. */
typedef void each_entry(struct instance *in, const char *path, const char *name);
static void walk(struct instance *in, const char *dir, each_entry *each)
{
	char path[sizeof(in->s.dir) + 300];
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		each(in, path, e->d_name);
	}
	if (d)
		closedir(d);
}

static void learn_maps(struct instance *in)
{
	in->map_ids = 0;
	in->meta_id = 0;
	walk(in, in->s.dir, learn_map);
}

bool instance_owns(const struct instance *in, u32 prog_id)
{
	u32 ids[64], size = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = SW_ARRAY_SIZE(ids), .map_ids = (u64)(unsigned long)ids};
	int fd = bpf_prog_get_fd_by_id(prog_id);
	bool ours = false;

	if (fd < 0)
		return false;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size))
		for (u32 i = 0; i < info.nr_map_ids && i < SW_ARRAY_SIZE(ids); i++)
			for (u32 j = 0; j < in->map_ids; j++)
				ours |= ids[i] == in->map_id[j];
	close(fd);
	return ours;
}

bool instance_sees_ids(void)
{
	int fd = bpf_prog_get_fd_by_id(0); /* nobody has it; the right is asked first */

	if (fd >= 0)
		close(fd);
	return fd != -EPERM;
}

#define SPARE 64 /* files: more than the maps and what is open beside them at a time, but for an attach */

/* Who cannot open files sees nothing of what is there, takes it for gone, and cleans it up. */
static int spare_files(struct instance *in)
{
	int fd[SPARE], n, err = 0;

	for (n = 0; n < SPARE && !err; n++) {
		fd[n] = open("/", O_PATH | O_CLOEXEC);
		err = fd[n] < 0 ? -errno : 0;
	}
	while (n--)
		if (fd[n] >= 0)
			close(fd[n]);
	return err ? store_fail(&in->s, err, "cannot open the %d files that may be needed for %s: %s; see `ulimit -n`",
				SPARE, in->s.dir, strerror(-err))
		   : 0;
}

int instance_open(struct instance *in)
{
	char dir[sizeof(in->s.dir)];
	int err = spare_files(in);

	if (err)
		return err;
	snprintf(dir, sizeof(dir), "%s", in->s.dir);
	err = store_open_to_change(&in->s, dir);
	learn_maps(in);
	return err == -EAGAIN ? -ENOENT : err; /* no complete meta: leftovers */
}

static int write_meta(struct instance *in)
{
	u32 zero = 0;
	int err = bpf_map_update_elem(in->s.fd.meta, &zero, &in->s.info, BPF_ANY);

	return err ? store_fail(&in->s, err, "cannot write %s/meta: %s", in->s.dir, strerror(-err)) : 0;
}

static void take_timeouts(struct sw_conf *conf, const struct wish *w)
{
	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		if (w->timeout_set[i])
			conf->timeout[i] = w->timeout[i];
}

static int fill_meta(struct instance *in, const struct wish *w)
{
	struct sw_meta *m = &in->s.info;
	struct timespec now;
	int err;

	memset(m, 0, sizeof(*m));
	clock_gettime(CLOCK_REALTIME, &now);
	m->magic = SW_MAGIC;
	m->layout = SW_LAYOUT;
	m->conn_size = sizeof(struct sw_live);
	m->flows = w->flows ? w->flows : CONF_FLOWS;
	m->half_open = w->half_open ? w->half_open : CONF_HALF_OPEN;
	m->created_ns = now.tv_sec * SW_NS_PER_S + now.tv_nsec;
	snprintf(m->version, sizeof(m->version), "%s", SYNWAVE_VERSION);
	conf_sizes(&m->conf, m->flows, m->half_open);
	err = conf_defaults(&m->conf);
	if (err)
		return store_fail(&in->s, err, "no random numbers for the hash key: %s", strerror(-err));
	m->conf.one_way = w->one_way > 0;
	m->conf.ladder = !w->no_ladder;
	if (m->conf.one_way)
		m->conf.timeout[SW_T_INFER] = 0; /* no SYN-ACK will ever be seen: nothing to wait for */
	take_timeouts(&m->conf, w);
	conf_generation(&m->conf);
	return 0;
}

static int pin(struct instance *in, int fd, const char *name)
{
	char path[sizeof(in->s.dir) + 32];
	int err;

	snprintf(path, sizeof(path), "%s/%s", in->s.dir, name);
	err = bpf_obj_pin(fd, path);
	return err ? store_fail(&in->s, err, "cannot pin %s: %s", path, strerror(-err)) : 0;
}

int instance_create(struct instance *in, const struct wish *wish)
{
	int err = fill_meta(in, wish);

	if (!err)
		err = load_maps(&in->s);
	if (!err)
		err = write_meta(in);
#define PIN_(field, name) \
	if (!err && in->s.fd.field != in->s.fd.meta) \
		err = pin(in, in->s.fd.field, name);
	STORE_MAPS(PIN_)
#undef PIN_
	if (!err)
		err = pin(in, in->s.fd.meta, "meta");
	in->fresh = true;
	learn_maps(in);
	return err;
}

int instance_adapt(struct instance *in, const struct wish *w, bool *changed)
{
	const struct sw_meta *m = &in->s.info;
	struct sw_conf before = m->conf;

#define FIXED "; it stays so while the instance lives (`synwave detach --all` first, which ends its counters)"
	if (w->flows && w->flows != m->flows)
		return store_fail(&in->s, -EINVAL, "%s runs with --flows %u" FIXED, in->s.dir, m->flows);
	if (w->half_open && w->half_open != m->half_open)
		return store_fail(&in->s, -EINVAL, "%s runs with --half-open %u" FIXED, in->s.dir, m->half_open);
	if (w->one_way > 0 && !m->conf.one_way)
		return store_fail(&in->s, -EINVAL, "%s runs without --ingress-only" FIXED, in->s.dir);
	if (w->no_ladder && m->conf.ladder)
		return store_fail(&in->s, -EINVAL, "%s runs without --no-ladder" FIXED, in->s.dir);
	take_timeouts(&in->s.info.conf, w);
	conf_generation(&in->s.info.conf);
	*changed = memcmp(&before, &in->s.info.conf, sizeof(before));
	if (!*changed && !strcmp(m->version, SYNWAVE_VERSION))
		return 0;
	snprintf(in->s.info.version, sizeof(in->s.info.version), "%s", SYNWAVE_VERSION);
	return write_meta(in);
}

static void remove_entry(struct instance *in, const char *path, const char *name)
{
	(void)in, (void)name;
	unlink(path);
}

static void remove_link(struct instance *in, const char *path, const char *name)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		bpf_link_detach(fd); /* now, not when the kernel gets round to freeing it */
		close(fd);
	}
	remove_entry(in, path, name);
}

/* Without a meta of ours, only names that an attach makes. */
static void remove_known(struct instance *in, const char *path, const char *name)
{
#define KNOWN_(field, map) \
	if (!strcmp(name, map)) \
		unlink(path);
	STORE_MAPS(KNOWN_)
#undef KNOWN_
	(void)in;
}

bool instance_is_ours(const struct instance *in)
{
	char path[sizeof(in->s.dir) + 32], value[4096];
	struct bpf_map_info info = {};
	u32 size = sizeof(info), zero = 0;
	u64 magic = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/meta", in->s.dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	if (!bpf_obj_get_info_by_fd(fd, &info, &size) && info.value_size <= sizeof(value) &&
	    info.type == BPF_MAP_TYPE_ARRAY && !bpf_map_lookup_elem(fd, &zero, value))
		memcpy(&magic, value, sizeof(magic));
	close(fd);
	return magic == SW_MAGIC;
}

int instance_clear(struct instance *in)
{
	char path[sizeof(in->s.dir) + 32];
	bool ours = instance_is_ours(in);

	if (in->meta_id && !ours)
		return store_fail(&in->s, -EPROTO,
				  "%s/meta is not synwave's, so nothing was removed there: take it away by hand "
				  "(rm), then run `synwave detach --all`, or choose another --pin directory",
				  in->s.dir);
	snprintf(path, sizeof(path), "%s/links", in->s.dir);
	walk(in, path, remove_link);
	rmdir(path);
	snprintf(path, sizeof(path), "%s/meta", in->s.dir);
	unlink(path);
	walk(in, in->s.dir, ours ? remove_entry : remove_known); /* ours: whatever version made it */
	return 0;
}

int instance_remove(struct instance *in)
{
	int err = instance_clear(in);

	if (err)
		return err;
	share_end(in);
	if (!rmdir(in->s.dir) || errno == ENOENT)
		return 0;
	return store_fail(&in->s, -errno, "cannot remove %s: %s; what is left there is not synwave's", in->s.dir,
			  strerror(errno));
}

void instance_close(struct instance *in)
{
	store_close(&in->s);
	if (in->lock >= 0)
		close(in->lock);
	in->lock = -1;
}

int registry_get(struct instance *in, const struct sw_iface_key *key, struct sw_iface *iface)
{
	return bpf_map_lookup_elem(in->s.fd.ifaces, key, iface);
}

int registry_put(struct instance *in, const struct sw_iface_key *key, const struct sw_iface *iface)
{
	int err = bpf_map_update_elem(in->s.fd.ifaces, key, iface, BPF_ANY);

	if (err == -E2BIG)
		return store_fail(&in->s, err, "%s: the instance has its %d interfaces; take another --pin directory",
				  iface->name, SW_IFACES);
	return err ? store_fail(&in->s, err, "%s: cannot write %s/ifaces: %s", iface->name, in->s.dir, strerror(-err))
		   : 0;
}

int registry_delete(struct instance *in, const struct sw_iface_key *key)
{
	return bpf_map_delete_elem(in->s.fd.ifaces, key);
}

u32 registry_list(struct instance *in, struct registry_row **rows)
{
	struct sw_iface_key key, *last = NULL;
	u32 n = 0;

	*rows = calloc(SW_IFACES, sizeof(**rows));
	if (!*rows || in->s.fd.ifaces < 0)
		return 0;
	/* under the lock nobody else writes: the order is stable */
	while (n < SW_IFACES && !bpf_map_get_next_key(in->s.fd.ifaces, last, &key)) {
		(*rows)[n].key = key;
		if (!registry_get(in, &key, &(*rows)[n].iface))
			n++;
		last = &key;
	}
	return n;
}
