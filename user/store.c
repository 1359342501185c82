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

/* How far this process' time namespace is ahead of the machine's clock, which the programs read. */
static s64 namespace_ns(void)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	long long s = 0, ns = 0;

	if (!f)
		return 0; /* a kernel without */
	if (fscanf(f, "monotonic %lld %lld", &s, &ns) != 2)
		s = ns = 0;
	fclose(f);
	return s * 1000000000LL + ns;
}

u64 store_now(void)
{
	static bool known;
	static s64 ahead;

	if (!known) {
		ahead = namespace_ns();
		known = true;
	}
	return clock_ns(CLOCK_MONOTONIC) - ahead;
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
