// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An instance's maps, opened: each must be there, and look as this version thinks it does. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mounts.h"
#include "store.h"

/* How a map of the instance must look; entries 0: not judged. */
struct shape {
	const char *name;
	enum bpf_map_type type;
	size_t fd, key, value, entries;
};

static char *pin_path(char path[PATH_MAX], const struct store *s, const char *name)
{
	snprintf(path, PATH_MAX, "%s/%s", s->dir, name);
	return path;
}

static int open_pin(struct store *s, const char *name)
{
	LIBBPF_OPTS(bpf_obj_get_opts, opts, .file_flags = s->change ? 0 : BPF_F_RDONLY);
	char path[PATH_MAX];

	return bpf_obj_get_opts(pin_path(path, s, name), &opts);
}

static int open_failed(struct store *s, const char *name, int err)
{
	char path[PATH_MAX];

	if (err == -ENOENT) /* not for the caller to take for "nothing there" */
		return store_fail(s, -ESTALE, "%s/%s is missing: run `synwave attach` again, or `synwave detach --all`",
				  s->dir, name);
	if (err == -EACCES && !access(pin_path(path, s, name), s->change ? R_OK | W_OK : R_OK))
		return store_fail(s, err, "%s is no BPF map: --pin takes a directory of a BPF file system", path);
	if (err == -EPERM || err == -ENOSYS)
		return store_fail(s, err,
				  "may not open %s/%s: %s; run as root, or with CAP_BPF; in a container, its "
				  "seccomp profile must allow bpf(2)",
				  s->dir, name, strerror(-err));
	if (err == -EACCES)
		return store_fail(s, err, "may not open %s/%s: %s; run as root%s", s->dir, name, strerror(-err),
				  s->change ? "" : ", or as a member of the group that `synwave attach --group` named");
	return store_fail(s, err, "cannot open %s/%s: %s", s->dir, name, strerror(-err));
}

#define OTHER_LAYOUT "run `synwave detach --all`, then attach again; its counters start anew"

/* Magic and layout stand first in any version's meta; what follows may have another size. */
static int read_meta(struct store *s)
{
	struct bpf_map_info info = {};
	u32 size = sizeof(info), zero = 0;
	struct sw_meta *meta;
	int err = bpf_obj_get_info_by_fd(s->fd.meta, &info, &size);

	if (err)
		return store_fail(s, err, "cannot ask for the size of %s/meta: %s", s->dir, strerror(-err));
	if (info.type != BPF_MAP_TYPE_ARRAY || info.key_size != sizeof(u32))
		return store_fail(s, -EPROTO, "%s/meta is not synwave's: choose another --pin directory", s->dir);
	meta = calloc(1, info.value_size > sizeof(*meta) ? info.value_size : sizeof(*meta));
	if (!meta)
		return store_fail(s, -ENOMEM, "out of memory");
	err = bpf_map_lookup_elem(s->fd.meta, &zero, meta);
	s->info = *meta;
	free(meta);
	if (err)
		return store_fail(s, err, "cannot read %s/meta: %s", s->dir, strerror(-err));
	if (!s->info.magic)
		return store_fail(s, -EAGAIN,
				  "an attach at %s is under way or was cut short: run `synwave attach` again", s->dir);
	if (s->info.magic != SW_MAGIC)
		return store_fail(s, -EPROTO, "%s/meta is not synwave's: choose another --pin directory", s->dir);
	if (s->info.layout != SW_LAYOUT)
		return store_fail(s, -EPROTO,
				  "the maps at %s have layout %u, this synwave reads layout %u: " OTHER_LAYOUT, s->dir,
				  s->info.layout, SW_LAYOUT);
	if (info.value_size != sizeof(s->info) || s->info.conn_size != sizeof(struct sw_live) ||
	    s->info.conf.live_ways >= SW_WAYS || s->info.conf.live_ways + s->info.conf.half_ways != SW_WAYS)
		return store_fail(s, -EPROTO,
				  "the maps at %s have layout %u with connections of %u bytes, this synwave reads "
				  "layout %u with %zu: " OTHER_LAYOUT,
				  s->dir, s->info.layout, s->info.conn_size, SW_LAYOUT, sizeof(struct sw_live));
	return 0;
}

/* A value larger than we think would be written past our buffers. */
static int check_shape(struct store *s, const struct shape *shape)
{
	struct bpf_map_info info = {};
	u32 size = sizeof(info);
	int fd = *(int *)((char *)s + shape->fd);
	int err = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (err)
		return store_fail(s, err, "cannot ask for the size of %s/%s: %s", s->dir, shape->name, strerror(-err));
	if (info.value_size != shape->value || (shape->entries && info.max_entries != shape->entries))
		return store_fail(
			s, -EPROTO,
			"%s/%s holds %u values of %u bytes, this synwave (layout %u) reads %zu of %zu: " OTHER_LAYOUT,
			s->dir, shape->name, info.max_entries, info.value_size, SW_LAYOUT,
			shape->entries ? shape->entries : info.max_entries, shape->value);
	if (info.type != shape->type || info.key_size != shape->key)
		return store_fail(s, -EPROTO, "%s/%s is a map of another kind than synwave's: " OTHER_LAYOUT, s->dir,
				  shape->name);
	return 0;
}

static int check_shapes(struct store *s)
{
#define FD_(field) offsetof(struct store, fd.field)
	const struct shape shape[] = {
		{"tags", BPF_MAP_TYPE_ARRAY, FD_(tags), sizeof(u32), sizeof(struct sw_tags), s->info.conf.sets},
		{"sets", BPF_MAP_TYPE_ARRAY, FD_(sets), sizeof(u32), sizeof(struct sw_set), s->info.conf.sets},
		{"live", BPF_MAP_TYPE_ARRAY, FD_(live), sizeof(u32), s->info.conf.live_ways * sizeof(struct sw_live),
		 s->info.conf.sets},
		{"half", BPF_MAP_TYPE_ARRAY, FD_(half), sizeof(u32), s->info.conf.half_ways * sizeof(struct sw_half),
		 s->info.conf.sets},
		{"stats", BPF_MAP_TYPE_PERCPU_ARRAY, FD_(stats), sizeof(u32), sizeof(struct sw_stats), 1},
		{"services", BPF_MAP_TYPE_PERCPU_HASH, FD_(services), sizeof(struct sw_service_key),
		 sizeof(struct sw_service), 0},
		{"timed", BPF_MAP_TYPE_PERCPU_ARRAY, FD_(timed), sizeof(u32), sizeof(struct sw_timed),
		 SW_TIMED_SETS * SW_TIMED_WAYS},
		{"ifaces", BPF_MAP_TYPE_HASH, FD_(ifaces), sizeof(struct sw_iface_key), sizeof(struct sw_iface), 0},
		{"guard", BPF_MAP_TYPE_ARRAY, FD_(guard), sizeof(u32), sizeof(struct sw_guard), 1},
		{"guard_rules", BPF_MAP_TYPE_ARRAY, FD_(guard_rules), sizeof(u32), sizeof(struct sw_guard_rules), 2},
		{"guard_lists", BPF_MAP_TYPE_LPM_TRIE, FD_(guard_lists), sizeof(struct sw_list_key),
		 sizeof(struct sw_list_value), 0},
		{"guard_limits", BPF_MAP_TYPE_HASH, FD_(guard_limits), sizeof(struct sw_limit_key),
		 sizeof(struct sw_limit_value), 0},
		{"guard_cells", BPF_MAP_TYPE_ARRAY, FD_(guard_cells), sizeof(u32), sizeof(u64), SW_GUARD_ALL_CELLS},
		{"guard_verified", BPF_MAP_TYPE_ARRAY, FD_(guard_verified), sizeof(u32), sizeof(struct sw_verified),
		 SW_VERIFIED_SETS},
		{"guard_top", BPF_MAP_TYPE_PERCPU_ARRAY, FD_(guard_top), sizeof(u32), sizeof(struct sw_top), 1},
		{"guard_acts", BPF_MAP_TYPE_PERCPU_ARRAY, FD_(guard_acts), sizeof(u32), sizeof(struct sw_acts), 1},
		{"ladders", BPF_MAP_TYPE_ARRAY, FD_(ladders), sizeof(u32), sizeof(struct sw_ladders),
		 s->info.conf.ladder ? s->info.conf.sets : 1},
		{"readers", BPF_MAP_TYPE_ARRAY, FD_(readers), sizeof(u32), sizeof(struct sw_readers), 1},
		{"rings", BPF_MAP_TYPE_ARRAY_OF_MAPS, FD_(rings), sizeof(u32), sizeof(u32), SW_READERS},
	};
	int err = 0;

	for (size_t i = 0; i < SW_ARRAY_SIZE(shape) && !err; i++)
		err = check_shape(s, &shape[i]);
	return err;
}

static bool has_links(const struct store *s)
{
	char path[PATH_MAX];
	struct dirent *e;
	bool any = false;
	DIR *d = opendir(pin_path(path, s, "links"));

	while (d && !any && (e = readdir(d)))
		any = e->d_name[0] != '.';
	if (d)
		closedir(d);
	return any;
}

static int nothing_attached(struct store *s)
{
	const char *hint = mounts_hint(s->dir);

	return store_fail(s, -ENOENT, "nothing is attached at %s%s", s->dir, *hint ? hint : " (synwave attach IFACE)");
}

/* meta is pinned last and removed first: without it there are leftovers at most. It is judged before the other maps are
 * asked for: another layout may have others. */
static int open_meta(struct store *s)
{
	s->fd.meta = open_pin(s, "meta");
	/* no command leaves links without meta, or meta without the others: somebody's hand did */
	if (s->fd.meta == -ENOENT && has_links(s))
		return open_failed(s, "meta", s->fd.meta);
	if (s->fd.meta == -ENOENT || s->fd.meta == -ENOTDIR)
		return nothing_attached(s);
	if (s->fd.meta < 0)
		return open_failed(s, "meta", s->fd.meta);
	return read_meta(s);
}

static int open_others(struct store *s)
{
#define OPEN_(field, name) \
	if (s->fd.field < 0) \
		s->fd.field = open_pin(s, name); \
	if (s->fd.field < 0) \
		return open_failed(s, name, s->fd.field);
	STORE_MAPS(OPEN_)
#undef OPEN_
	return 0;
}

static u64 pin_inode(const struct store *s)
{
	char path[PATH_MAX];
	struct stat st;

	return stat(pin_path(path, s, "meta"), &st) ? 0 : st.st_ino;
}

bool store_is_there(const struct store *s)
{
	return pin_inode(s) == s->pin;
}

static int open_all(struct store *s, const char *dir, bool change)
{
	int err;

	memset(s, 0, sizeof(*s));
	s->change = change;
#define CLOSED_(field, name) s->fd.field = -1;
	STORE_MAPS(CLOSED_)
#undef CLOSED_
	if (snprintf(s->dir, sizeof(s->dir), "%s", dir) >= (int)sizeof(s->dir))
		return store_fail(s, -ENAMETOOLONG, "pin directory %.40s...: name too long", dir);
	s->epoch_ns = store_epoch();
	err = open_meta(s);
	s->pin = pin_inode(s);
	if (!err)
		err = open_others(s);
	if (!err)
		err = check_shapes(s);
	if (err)
		store_close(s);
	return err;
}

int store_open(struct store *s, const char *dir)
{
	return open_all(s, dir, false);
}

int store_open_to_change(struct store *s, const char *dir)
{
	return open_all(s, dir, true);
}

void store_close(struct store *s)
{
#define CLOSE_(field, name) \
	if (s->fd.field >= 0) \
		close(s->fd.field); \
	s->fd.field = -1;
	STORE_MAPS(CLOSE_)
#undef CLOSE_
}
