// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading the table: each set as it was at one moment, though it lies in several maps. The set's version, read under its
 * lock before and after the rest, says whether somebody changed it in between. Then its entries are read twice, and the
 * set under its lock in between: an entry that is the same both times is the one that belongs to the set's totals. Of a
 * set that changes faster than that, the reading with the fewest others counts.
 *
 * On arm64, too: what is read without the lock may move into a reading of the set next to it, that far and no further (taking a
 * lock is an acquire, giving it back a release), and within the lock nobody changes anything. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "synwave/table.h"

#define BATCH 64
#define TRIES 100 /* of some microseconds each: what changes all the time has at most these */

/* What is read of a number of sets. */
struct room {
	struct sw_set *before, *set;
	struct sw_tags *tags;
	struct sw_live *live;
	struct sw_half *half;
	u32 *doubt;
	struct sw_ladders *ladders;
};

static int make_room(struct room *r, const struct sw_conf *conf, u32 n, bool ladders)
{
	r->before = calloc(n, sizeof(*r->before));
	r->set = calloc(n, sizeof(*r->set));
	r->tags = calloc(n, sizeof(*r->tags));
	r->live = calloc((size_t)n * conf->live_ways, sizeof(*r->live));
	r->half = calloc((size_t)n * conf->half_ways, sizeof(*r->half));
	r->doubt = calloc(n, sizeof(*r->doubt));
	r->ladders = ladders ? calloc(n, sizeof(*r->ladders)) : NULL;
	return r->before && r->set && r->tags && r->live && r->half && r->doubt && (r->ladders || !ladders) ? 0
													    : -ENOMEM;
}

static void free_room(struct room *r)
{
	free(r->before);
	free(r->set);
	free(r->tags);
	free(r->live);
	free(r->half);
	free(r->doubt);
	free(r->ladders);
}

static struct sw_shelf shelf_in(const struct room *r, const struct sw_conf *conf, u32 i)
{
	return (struct sw_shelf){
		.conf = conf,
		.tags = &r->tags[i],
		.set = &r->set[i],
		.live = &r->live[(size_t)i * conf->live_ways],
		.half = &r->half[(size_t)i * conf->half_ways],
		.ladders = r->ladders ? &r->ladders[i] : NULL,
	};
}

static int read_entries(struct store *s, u32 at, const struct sw_shelf *f)
{
	int err = bpf_map_lookup_elem(s->fd.tags, &at, f->tags);

	if (!err)
		err = bpf_map_lookup_elem(s->fd.live, &at, f->live);
	if (!err)
		err = bpf_map_lookup_elem(s->fd.half, &at, f->half);
	if (!err && f->ladders)
		err = bpf_map_lookup_elem(s->fd.ladders, &at, f->ladders);
	return err;
}

/* The ways that differ, a bit each. A way whose tag was read as free both times, and which the set calls used, came after the
 * one reading of its tag and left before the other: what leaves a way clears its tag alone. */
static u32 compare(const struct sw_shelf *a, const struct sw_shelf *b)
{
	u32 live = a->conf->live_ways, half = a->conf->half_ways, differ = 0;

	for (u32 way = 0; way < live + half; way++) {
		bool same = way < live ? !memcmp(&a->live[way], &b->live[way], sizeof(*a->live))
				       : !memcmp(&a->half[way - live], &b->half[way - live], sizeof(*a->half));

		same &= a->tags->tag[way] && a->tags->tag[way] == b->tags->tag[way];
		if (same && a->ladders)
			same = !memcmp(&a->ladders->way[way], &b->ladders->way[way], sizeof(a->ladders->way[way]));
		differ |= (u32)!same << way;
	}
	return differ;
}

static void copy(const struct sw_shelf *to, const struct sw_shelf *from)
{
	*to->tags = *from->tags;
	*to->set = *from->set;
	memcpy(to->live, from->live, from->conf->live_ways * sizeof(*to->live));
	memcpy(to->half, from->half, from->conf->half_ways * sizeof(*to->half));
	if (to->ladders)
		*to->ladders = *from->ladders;
}

/* Whether one of the ways had something that timed out and was not written down yet: was it, meanwhile, the set's totals
 * have it; else they do not. A counter that has it in one reading and not in the next would go back. */
static bool times_out(const struct sw_shelf *f, u32 ways, u32 tick)
{
	struct sw_conn c;

	for (; ways; ways &= ways - 1) {
		u32 way = sw_lowest(ways);

		if (sw_load(f, way, &c) && c.flags & (SW_C_HS_OPEN | SW_C_TD_OPEN) && sw_expired(&c, tick))
			return true;
	}
	return false;
}

/* One set into f, with its ladders if there is room for them. *doubt: as store_each_set gets it. */
static int read_one(struct store *s, u32 at, u32 tick, const struct sw_shelf *f, u32 *doubt)
{
	struct room r;
	int err = make_room(&r, &s->info.conf, 2, f->ladders);
	struct sw_shelf first = shelf_in(&r, &s->info.conf, 0), second = shelf_in(&r, &s->info.conf, 1);
	u32 fewest = 2 * SW_WAYS + 1;

	for (int i = 0; i < TRIES && !err && fewest; i++) {
		u32 differ, n;

		err = read_entries(s, at, &first);
		if (!err)
			err = bpf_map_lookup_elem_flags(s->fd.sets, &at, first.set, BPF_F_LOCK);
		if (!err)
			err = read_entries(s, at, &second);
		differ = compare(&first, &second) & first.set->used;
		n = sw_bits(differ) + (times_out(&first, differ, tick) ? SW_WAYS : 0);
		if (err || n >= fewest)
			continue;
		fewest = n;
		*doubt = differ ? differ | STORE_DOUBT : 0;
		copy(f, &first);
	}
	free_room(&r);
	return err;
}

/* An array map, front to back. Batches came with Linux 5.6, what the programs need with 5.12 (atomic or). */
struct reader {
	int fd;
	u64 flags;
	u32 token; /* the kernel's business */
	bool begun;
};

static int read_next(struct reader *r, u32 count, void *to)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts, .elem_flags = r->flags);
	u32 keys[BATCH], got = count;
	int err = bpf_map_lookup_batch(r->fd, r->begun ? &r->token : NULL, &r->token, keys, to, &got, &opts);

	r->begun = true;
	return !err && got != count ? -EIO : err;
}

/* The next n sets, the first of them `at`. */
static int read_batch(struct store *s, struct reader reader[5], struct room *r, u32 at, u32 n, u32 tick)
{
	void *const to[] = {r->before, r->tags, r->live, r->half, r->set};
	int err = 0;

	for (int i = 0; i < 5 && !err; i++)
		err = read_next(&reader[i], n, to[i]);
	for (u32 i = 0; i < n && !err; i++)
		if (r->before[i].version != r->set[i].version) {
			struct sw_shelf f = shelf_in(r, &s->info.conf, i);
			err = read_one(s, at + i, tick, &f, &r->doubt[i]);
		} else {
			r->doubt[i] = 0;
		}
	return err;
}

static int unreadable(struct store *s, int err)
{
	return store_fail(s, err, "cannot read the connections of %s: %s", s->dir, strerror(-err));
}

int store_walk(struct store *s, u64 now_ns, store_each_set *each, void *ctx)
{
	struct reader reader[] = {{.fd = s->fd.sets, .flags = BPF_F_LOCK},
				  {.fd = s->fd.tags},
				  {.fd = s->fd.live},
				  {.fd = s->fd.half},
				  {.fd = s->fd.sets, .flags = BPF_F_LOCK}};
	u32 all = s->info.conf.sets;
	struct room r;
	int err = make_room(&r, &s->info.conf, BATCH, false);

	if (err)
		err = store_fail(s, err, "out of memory");
	for (u32 at = 0; at < all && !err; at += BATCH) {
		u32 n = all - at < BATCH ? all - at : BATCH;

		err = read_batch(s, reader, &r, at, n, sw_tick(now_ns));
		if (err)
			err = unreadable(s, err);
		for (u32 i = 0; i < n && !err; i++) {
			struct sw_shelf f = shelf_in(&r, &s->info.conf, i);

			err = each(ctx, &f, r.doubt[i]);
		}
	}
	free_room(&r);
	return err;
}

int store_find(struct store *s, const struct sw_key *key, struct store_conn *found)
{
	u32 hash = sw_hash(&s->info.conf, key), at = sw_set_of(hash, s->info.conf.sets), way;
	u32 tick = sw_tick(store_now());
	struct room r;
	int err = make_room(&r, &s->info.conf, 1, true);
	struct sw_shelf f = shelf_in(&r, &s->info.conf, 0);

	if (!s->info.conf.ladder)
		f.ladders = NULL;
	if (!err)
		err = read_one(s, at, tick, &f, r.doubt);
	if (!err) {
		way = sw_find(&f, sw_tag_of(hash), key);
		if (!sw_load(&f, way, &found->conn) || !(f.set->used >> way & 1)) {
			err = -ENOENT;
		} else {
			found->ladder = r.ladders->way[way];
			found->doubt = *r.doubt >> way & 1;
			found->expired = sw_expired(&found->conn, tick);
		}
	}
	free_room(&r);
	return err && err != -ENOENT ? unreadable(s, err) : err;
}
