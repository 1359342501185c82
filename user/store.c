// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The only door to the kernel's maps. */
#include "store.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "percpu.h"

int store_fail(struct store *s, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return err;
}

static u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

u64 store_now(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

/* The tightest of some readings: this process may be interrupted between two of them. */
u64 store_epoch(void)
{
	u64 best = ~0ULL, epoch = 0;

	for (int i = 0; i < 5; i++) {
		u64 before = store_now(), real = clock_ns(CLOCK_REALTIME), took = store_now() - before;

		if (took < best) {
			best = took;
			epoch = real - (before + took / 2);
		}
	}
	return epoch;
}

/* How a map of the instance must look; entries 0: not judged. */
struct shape {
	const char *name;
	size_t fd, value, entries;
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
	if (info.value_size != sizeof(s->info) || s->info.conn_size != sizeof(struct sw_live))
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
	return 0;
}

static int check_shapes(struct store *s)
{
#define FD_(field) offsetof(struct store, fd.field)
	const struct shape shape[] = {
		{"tags", FD_(tags), sizeof(struct sw_tags), s->info.conf.sets},
		{"sets", FD_(sets), sizeof(struct sw_set), s->info.conf.sets},
		{"live", FD_(live), s->info.conf.live_ways * sizeof(struct sw_live), s->info.conf.sets},
		{"half", FD_(half), s->info.conf.half_ways * sizeof(struct sw_half), s->info.conf.sets},
		{"stats", FD_(stats), sizeof(struct sw_stats), 1},
		{"services", FD_(services), sizeof(struct sw_service), 0},
		{"timed", FD_(timed), sizeof(struct sw_timed), SW_TIMED_SETS * SW_TIMED_WAYS},
		{"ifaces", FD_(ifaces), sizeof(struct sw_iface), 0},
		{"guard", FD_(guard), sizeof(struct sw_guard), 1},
		{"guard_rules", FD_(guard_rules), sizeof(struct sw_guard_rules), 2},
		{"guard_lists", FD_(guard_lists), sizeof(struct sw_list_value), 0},
		{"guard_limits", FD_(guard_limits), sizeof(struct sw_limit_value), 0},
		{"guard_cells", FD_(guard_cells), sizeof(u64), SW_GUARD_ALL_CELLS},
		{"guard_verified", FD_(guard_verified), sizeof(struct sw_verified), SW_VERIFIED_SETS},
		{"guard_top", FD_(guard_top), sizeof(struct sw_top), 1},
		{"guard_acts", FD_(guard_acts), sizeof(struct sw_acts), 1},
		{"ladders", FD_(ladders), sizeof(struct sw_ladders), s->info.conf.ladder ? s->info.conf.sets : 1},
		{"readers", FD_(readers), sizeof(struct sw_readers), 1},
		{"rings", FD_(rings), sizeof(u32), SW_READERS},
	};
	int err = 0;

	for (size_t i = 0; i < SW_ARRAY_SIZE(shape) && !err; i++)
		err = check_shape(s, &shape[i]);
	return err;
}

/* meta is pinned last and removed first: without it there are leftovers at most. It is judged before the other maps are
 * asked for: another layout may have others. */
static int open_meta(struct store *s)
{
	s->fd.meta = open_pin(s, "meta");
	if (s->fd.meta == -ENOENT || s->fd.meta == -ENOTDIR)
		return store_fail(s, -ENOENT, "nothing is attached at %s (synwave attach IFACE)", s->dir);
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

_Static_assert(sizeof(struct sw_stats) % sizeof(u64) == 0, "counters only");
_Static_assert(sizeof(struct sw_service) % sizeof(u64) == 0, "counters only");

int store_guard(struct store *s, struct sw_guard_rules *rules, u64 *gen)
{
	struct sw_guard g;
	u32 zero = 0, at;
	int err = bpf_map_lookup_elem(s->fd.guard, &zero, &g);

	if (err)
		return store_fail(s, err, "cannot read %s/guard: %s", s->dir, strerror(-err));
	*gen = g.gen;
	at = g.gen & 1;
	err = bpf_map_lookup_elem(s->fd.guard_rules, &at, rules);
	if (err)
		return store_fail(s, err, "cannot read %s/guard_rules: %s", s->dir, strerror(-err));
	if (rules->mode >= SW_GUARD_MODES || rules->rows > SW_GUARD_ROWS)
		return store_fail(s, -EPROTO,
				  "%s/guard_rules: not understood; `synwave guard apply FILE` writes it anew", s->dir);
	return 0;
}

int store_stats(struct store *s, struct sw_stats *sum)
{
	u32 zero = 0;
	int err = percpu_read(s->fd.stats, &zero, sum, sizeof(*sum));

	return err ? store_fail(s, err, "cannot read %s/stats: %s", s->dir, strerror(-err)) : 0;
}

int store_timed(struct store *s, struct sw_timed **all)
{
	u32 places = SW_TIMED_SETS * SW_TIMED_WAYS, n = 0;
	int cpus = libbpf_num_possible_cpus(), err = 0;

	*all = cpus < 0 ? NULL : calloc(cpus * places, sizeof(**all));
	if (!*all)
		return store_fail(s, -ENOMEM, "out of memory");
	for (u32 at = 0; at < places && !err; at++) {
		u32 used = 0;

		err = bpf_map_lookup_elem(s->fd.timed, &at, *all + n);
		for (int cpu = 0; cpu < cpus; cpu++)
			used |= (*all)[n + cpu].port;
		if (used) /* else its room is taken by the next */
			n += cpus;
	}
	return err ? store_fail(s, err, "cannot read %s/timed: %s", s->dir, strerror(-err)) : (int)n;
}

int store_acts(struct store *s, struct sw_acts **all)
{
	int cpus = libbpf_num_possible_cpus(), err;
	u32 zero = 0;

	*all = cpus < 0 ? NULL : calloc(cpus, sizeof(**all));
	if (!*all)
		return store_fail(s, -ENOMEM, "out of memory");
	err = bpf_map_lookup_elem(s->fd.guard_acts, &zero, *all);
	return err ? store_fail(s, err, "cannot read %s/guard_acts: %s", s->dir, strerror(-err)) : cpus;
}

/* A whole small hash map in one call: a walk by next_key would begin again when somebody deletes under it. */
struct rows {
	u32 count;
	char *keys, *values;
};

static int read_rows(struct store *s, const char *name, int fd, u32 max, size_t key, size_t value, struct rows *r)
{
	u32 token[16], count = max; /* token: the kernel's business; never more than a key */
	int err;

	r->keys = calloc(max, key);
	r->values = calloc(max, value);
	if (!r->keys || !r->values)
		return store_fail(s, -ENOMEM, "out of memory");
	err = bpf_map_lookup_batch(fd, NULL, token, r->keys, r->values, &count, NULL);
	if (err && err != -ENOENT) /* ENOENT: that was all */
		return store_fail(s, err, "cannot read %s/%s: %s", s->dir, name, strerror(-err));
	r->count = count;
	return 0;
}

static void free_rows(struct rows *r)
{
	free(r->keys);
	free(r->values);
}

int store_services(struct store *s, store_each_service *each, void *ctx)
{
	int cpus = libbpf_num_possible_cpus(), err;
	struct sw_service_key *key;
	struct sw_service sum;
	struct rows r = {};

	if (cpus < 0)
		return store_fail(s, cpus, "cannot count the CPUs: %s", strerror(-cpus));
	err = read_rows(s, "services", s->fd.services, SW_SERVICES, sizeof(*key), cpus * sizeof(sum), &r);
	key = (void *)r.keys;
	for (u32 i = 0; !err && i < r.count; i++) {
		percpu_sum(&sum, r.values + i * cpus * sizeof(sum), sizeof(sum), cpus);
		err = each(ctx, &key[i], &sum);
	}
	free_rows(&r);
	return err;
}

int store_ifaces(struct store *s, store_each_iface *each, void *ctx)
{
	struct rows r = {};
	int err = read_rows(s, "ifaces", s->fd.ifaces, SW_IFACES, sizeof(struct sw_iface_key), sizeof(struct sw_iface),
			    &r);
	struct sw_iface_key *key = (void *)r.keys;
	struct sw_iface *iface = (void *)r.values;

	for (u32 i = 0; !err && i < r.count; i++)
		err = each(ctx, &key[i], &iface[i]);
	free_rows(&r);
	return err;
}

int store_readers(struct store *s, u64 *lost, u32 *listening)
{
	struct sw_readers all;
	u64 now = store_now();
	u32 zero = 0;
	int err = bpf_map_lookup_elem(s->fd.readers, &zero, &all);

	*lost = *listening = 0;
	if (err)
		return store_fail(s, err, "cannot read %s/readers: %s", s->dir, strerror(-err));
	for (u32 i = 0; i < SW_READERS; i++) {
		*lost += all.slot[i].lost;
		*listening += all.slot[i].until_ns > now && all.slot[i].until_ns & SW_READER_LIVE;
	}
	return 0;
}
