// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "guard_store.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "render.h"

static int failed(struct store *s, int err, const char *verb, const char *map)
{
	return store_fail(s, err, "cannot %s %s/%s: %s", verb, s->dir, map, strerror(-err));
}

/* Calls `each` for every key of a map; it may delete the key it is given. */
typedef int each_key(struct store *s, const void *key, void *ctx);
static int for_keys(struct store *s, int fd, const char *name, size_t size, each_key *each, void *ctx)
{
	char now[64], next[64];
	int err = bpf_map_get_next_key(fd, NULL, now), last = 0;

	while (!err && !last) {
		last = bpf_map_get_next_key(fd, now, next); /* before `each` deletes the one we stand on */
		err = each(s, now, ctx);
		if (err)
			return err;
		memcpy(now, next, size);
	}
	err = err ? err : last;
	return err == -ENOENT ? 0 : failed(s, err, "read", name);
}

struct reading {
	struct ruleset *rs;
	u32 gen;
	char why[RULESET_WHY];
};

static int read_prefix(struct store *s, const void *key, void *ctx)
{
	const struct sw_list_key *k = key;
	struct reading *r = ctx;
	struct sw_list_value v;
	char text[80], addr[TEXT_SIZE];
	bool v6 = k->addr[0] || k->addr[1] || k->addr[2] != htonl(0xffff);

	if (k->gen != r->gen || bpf_map_lookup_elem(s->fd.guard_lists, key, &v) || !v.listed)
		return 0;
	snprintf(text, sizeof(text), "%s/%u", text_addr(addr, k->addr), k->prefix - SW_LIST_BITS - (v6 ? 0 : 96));
	return ruleset_list(r->rs, v.listed, text, r->why) ? store_fail(s, -EINVAL, "%s", r->why) : 0;
}

static int read_limit(struct store *s, const void *key, void *ctx)
{
	const struct sw_limit_key *k = key;
	struct reading *r = ctx;
	struct sw_limit_value v;
	char name[TEXT_SIZE], addr[TEXT_SIZE];

	if (k->gen != r->gen || bpf_map_lookup_elem(s->fd.guard_limits, key, &v))
		return 0;
	text_endpoint(name, text_addr(addr, k->addr), k->port);
	return ruleset_service(r->rs, name, &v.limit, r->why) ? store_fail(s, -EINVAL, "%s", r->why) : 0;
}

int guard_read(struct store *s, struct ruleset *rs)
{
	struct reading r = {.rs = rs};
	u64 gen;
	int err;

	ruleset_init(rs);
	err = store_guard(s, &rs->rules, &gen);
	if (err)
		return err;
	r.gen = gen;
	if (!rs->rules.verified_s) /* never written */
		ruleset_init(rs);
	err = for_keys(s, s->fd.guard_lists, "guard_lists", sizeof(struct sw_list_key), read_prefix, &r);
	return err ? err : for_keys(s, s->fd.guard_limits, "guard_limits", sizeof(struct sw_limit_key), read_limit, &r);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */
struct turn {
	u32 keep; /* the generation that is not to be touched */
	int fd;
	size_t gen_at; /* in the key */
};

static int drop_other(struct store *s, const void *key, void *ctx)
{
	struct turn *t = ctx;
	u32 gen;

	(void)s;
	memcpy(&gen, (const char *)key + t->gen_at, sizeof(gen));
	if (gen != t->keep)
		bpf_map_delete_elem(t->fd, key);
	return 0;
}

/* Everything that is not of the generation `keep`: a killed command's, or the one before. */
static int clear_others(struct store *s, u32 keep)
{
	struct turn lists = {keep, s->fd.guard_lists, offsetof(struct sw_list_key, gen)};
	struct turn limits = {keep, s->fd.guard_limits, offsetof(struct sw_limit_key, gen)};
	int err = for_keys(s, lists.fd, "guard_lists", sizeof(struct sw_list_key), drop_other, &lists);

	return err ? err : for_keys(s, limits.fd, "guard_limits", sizeof(struct sw_limit_key), drop_other, &limits);
}

static int write_prefix(struct store *s, const struct rule_prefix *p, u32 verdict, u32 gen)
{
	struct sw_list_key k = {.prefix = SW_LIST_BITS + p->bits + (p->v6 ? 0 : 96), .gen = gen};
	struct sw_list_value v = {p->listed, verdict};
	int err;

	memcpy(k.addr, p->addr, sizeof(k.addr));
	err = bpf_map_update_elem(s->fd.guard_lists, &k, &v, BPF_ANY);
	return err ? failed(s, err, "write", "guard_lists") : 0;
}

/* IPv4 lies mapped in the same trie, below ::/0: a prefix of IPv6 must not be a word on it. */
static int write_prefixes(struct store *s, const struct ruleset *rs, u32 gen)
{
	const struct rule_prefix ipv4 = {.addr = {0, 0, htonl(0xffff)}};
	int err = rs->prefixes ? write_prefix(s, &ipv4, 0, gen) : 0;

	for (u32 i = 0; i < rs->prefixes && !err; i++) /* 0.0.0.0/0 takes its place */
		err = write_prefix(s, &rs->prefix[i], ruleset_verdict(rs, &rs->prefix[i]), gen);
	return err;
}

static int write_cells(struct store *s, u32 at, u64 *cell, u32 count)
{
	u32 *key = malloc(count * sizeof(*key));
	int err = key ? 0 : -ENOMEM;

	for (u32 i = 0; !err && i < count; i++)
		key[i] = at + i;
	if (!err)
		err = bpf_map_update_batch(s->fd.guard_cells, key, cell, &count, NULL);
	free(key);
	return err ? failed(s, err, "write", "guard_cells") : 0;
}

static int write_first(struct store *s, const struct ruleset *rs, u32 gen)
{
	u64 word[SW_FIRST_WORDS];

	if (!rs->prefixes)
		return 0; /* nobody looks */
	ruleset_first(rs, word);
	return write_cells(s, SW_GUARD_FIRST + (gen & 1) * SW_FIRST_WORDS, word, SW_FIRST_WORDS);
}

static int write_limits(struct store *s, const struct ruleset *rs, u32 gen, u32 old)
{
	for (u32 i = 0; i < rs->services; i++) {
		const struct rule_service *r = &rs->service[i];
		struct sw_limit_key k = {.gen = old, .port = r->port};
		struct sw_limit_value v;
		int err;

		memcpy(k.addr, r->addr, sizeof(k.addr));
		if (bpf_map_lookup_elem(s->fd.guard_limits, &k, &v))
			v.cell = 0;
		k.gen = gen;
		v.limit = r->limit;
		err = bpf_map_update_elem(s->fd.guard_limits, &k, &v, BPF_ANY);
		if (err)
			return failed(s, err, "write", "guard_limits");
	}
	return 0;
}

/* The cells of row `at` are another prefix's from now on: what was used up under the old one means nothing. */
static int forget_row(struct store *s, u32 at, u32 cells)
{
	u64 *zero = calloc(2 * cells, sizeof(*zero));
	int err = zero ? write_cells(s, 2 * at * cells, zero, 2 * cells) : failed(s, -ENOMEM, "write", "guard_cells");

	free(zero);
	return err;
}

static int forget_rows(struct store *s, const struct sw_guard_rules *now, const struct sw_guard_rules *old)
{
	int err = 0;

	for (u32 i = 0; i < now->rows && !err; i++)
		if (now->row[i].v6 != old->row[i].v6 || now->row[i].prefix != old->row[i].prefix || i >= old->rows ||
		    now->cells != old->cells)
			err = forget_row(s, i, now->cells);
	return err;
}

/* A grace period of RCU: a program that sees what is written after it sees all that was written before it, in whatever order
 * it reads. What orders it else on arm64, plain stores of the kernel and loads of a program, is nothing. Where the kernel
 * grants none (nohz_full), time must do. */
static void grace_period(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(10000);
}

int guard_write(struct store *s, const struct ruleset *rs)
{
	struct sw_guard_rules now = rs->rules, old;
	struct sw_guard g;
	u64 gen;
	u32 zero = 0, at, next;
	int err = store_guard(s, &old, &gen);

	if (err == -EPROTO)
		memset(&old, 0, sizeof(old)); /* whatever it is: what follows replaces it */
	else if (err)
		return err;
	next = gen + 1;
	now.listed = rs->prefixes;
	now.services = rs->services;
	err = clear_others(s, gen);
	if (!err)
		err = write_prefixes(s, rs, next);
	if (!err)
		err = write_first(s, rs, next);
	if (!err)
		err = write_limits(s, rs, next, gen);
	if (!err)
		err = forget_rows(s, &now, &old);
	at = next & 1;
	if (!err) {
		err = bpf_map_update_elem(s->fd.guard_rules, &at, &now, BPF_ANY);
		err = err ? failed(s, err, "write", "guard_rules") : 0;
	}
	if (!err) {
		err = bpf_map_lookup_elem(s->fd.guard, &zero, &g);
		g.gen = next;
		grace_period();
		if (!err)
			err = bpf_map_update_elem(s->fd.guard, &zero, &g, BPF_ANY);
		err = err ? failed(s, err, "write", "guard") : 0;
	}
	if (err)
		return err;
	usleep(10000); /* programs that began under the old rules end with them */
	return clear_others(s, next);
}

/* --- what the guard remembers ------------------------------------------------------------------------------------- */
static int by_count(const void *a, const void *b)
{
	const struct sw_top_entry *x = a, *y = b;

	return x->count == y->count ? memcmp(x->addr, y->addr, sizeof(x->addr)) : x->count < y->count ? 1 : -1;
}

static void merge(struct sw_top_entry *all, u32 *n, const struct sw_top_entry *e)
{
	u32 i = 0;

	if (!e->count)
		return;
	while (i < *n && (memcmp(all[i].addr, e->addr, sizeof(e->addr)) || all[i].prefix != e->prefix))
		i++;
	if (i == *n) {
		all[(*n)++] = *e;
		return;
	}
	all[i].count += e->count;
	all[i].error += e->error;
	if (all[i].last_ns < e->last_ns)
		all[i].last_ns = e->last_ns;
}

int guard_top(struct store *s, struct sw_top_entry *top, u32 room)
{
	int cpus = libbpf_num_possible_cpus(), err;
	struct sw_top *each = cpus > 0 ? calloc(cpus, sizeof(*each)) : NULL;
	struct sw_top_entry *all = cpus > 0 ? calloc(cpus, sizeof(*each)) : NULL;
	u32 zero = 0, n = 0;

	err = each && all ? bpf_map_lookup_elem(s->fd.guard_top, &zero, each) : -ENOMEM;
	for (int cpu = 0; !err && cpu < cpus; cpu++)
		for (u32 i = 0; i < SW_TOP_SETS * SW_TOP_WAYS; i++)
			merge(all, &n, &each[cpu].entry[i / SW_TOP_WAYS][i % SW_TOP_WAYS]);
	if (!err) {
		qsort(all, n, sizeof(*all), by_count);
		n = n < room ? n : room;
		memcpy(top, all, n * sizeof(*all));
	}
	free(each);
	free(all);
	return err ? failed(s, err, "read", "guard_top") : (int)n;
}

int guard_verified(struct store *s, const struct sw_guard_rules *r, u64 now)
{
	u32 count = SW_VERIFIED_SETS, token, *key = calloc(count, sizeof(*key)), n = 0;
	struct sw_verified *set = calloc(count, sizeof(*set));
	u32 tick = now >> SW_VERIFIED_TICK, age = (u64)r->verified_s * SW_NS_PER_S >> SW_VERIFIED_TICK;
	int err =
		key && set ? bpf_map_lookup_batch(s->fd.guard_verified, NULL, &token, key, set, &count, NULL) : -ENOMEM;

	err = err == -ENOENT ? 0 : err; /* that was all */
	for (u32 i = 0; !err && i < count * SW_VERIFIED_WAYS; i++) {
		u64 way = set[i / SW_VERIFIED_WAYS].way[i % SW_VERIFIED_WAYS];
		n += way && tick - (u32)way <= age;
	}
	free(key);
	free(set);
	return err ? failed(s, err, "read", "guard_verified") : (int)n;
}
