// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reading the table: each set as it was at one moment, though it lies in several maps. The set's version, read under its
 * lock before and after the rest, says whether somebody changed it in between: then it is read again. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "synwave/table.h"

#define BATCH 64
#define TRIES 1000 /* a set changes some thousand times a second at most; to read it takes microseconds */

/* What is read of a number of sets. */
struct room {
	struct sw_set *before, *set;
	struct sw_tags *tags;
	struct sw_live *live;
	struct sw_half *half;
	struct sw_ladders *ladders; /* of one set */
};

static int make_room(struct room *r, const struct sw_conf *conf, u32 n)
{
	r->before = calloc(n, sizeof(*r->before));
	r->set = calloc(n, sizeof(*r->set));
	r->tags = calloc(n, sizeof(*r->tags));
	r->live = calloc((size_t)n * conf->live_ways, sizeof(*r->live));
	r->half = calloc((size_t)n * conf->half_ways, sizeof(*r->half));
	r->ladders = calloc(1, sizeof(*r->ladders));
	return r->before && r->set && r->tags && r->live && r->half && r->ladders ? 0 : -ENOMEM;
}

static void free_room(struct room *r)
{
	free(r->before);
	free(r->set);
	free(r->tags);
	free(r->live);
	free(r->half);
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
		.ladders = r->ladders,
	};
}

/* One set into f; with its ladders, if they are asked for and kept. */
static int read_one(struct store *s, u32 at, bool ladders, const struct sw_shelf *f)
{
	struct sw_set before;
	int err = 0;

	for (int i = 0; i < TRIES && !err; i++) {
		err = bpf_map_lookup_elem_flags(s->fd.sets, &at, &before, BPF_F_LOCK);
		if (!err)
			err = bpf_map_lookup_elem(s->fd.tags, &at, f->tags);
		if (!err)
			err = bpf_map_lookup_elem(s->fd.live, &at, f->live);
		if (!err)
			err = bpf_map_lookup_elem(s->fd.half, &at, f->half);
		if (!err && ladders && s->info.conf.ladder)
			err = bpf_map_lookup_elem(s->fd.ladders, &at, f->ladders);
		if (!err)
			err = bpf_map_lookup_elem_flags(s->fd.sets, &at, f->set, BPF_F_LOCK);
		if (!err && f->set->version == before.version)
			return 0;
	}
	return err ? err : -EBUSY;
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
static int read_batch(struct store *s, struct reader reader[5], struct room *r, u32 at, u32 n)
{
	void *const to[] = {r->before, r->tags, r->live, r->half, r->set};
	int err = 0;

	for (int i = 0; i < 5 && !err; i++)
		err = read_next(&reader[i], n, to[i]);
	for (u32 i = 0; i < n && !err; i++)
		if (r->before[i].version != r->set[i].version) {
			struct sw_shelf f = shelf_in(r, &s->info.conf, i);
			err = read_one(s, at + i, false, &f);
		}
	return err;
}

static int unreadable(struct store *s, int err)
{
	return store_fail(s, err, "cannot read the connections of %s: %s", s->dir, strerror(-err));
}

int store_walk(struct store *s, store_each_set *each, void *ctx)
{
	struct reader reader[] = {{.fd = s->fd.sets, .flags = BPF_F_LOCK},
				  {.fd = s->fd.tags},
				  {.fd = s->fd.live},
				  {.fd = s->fd.half},
				  {.fd = s->fd.sets, .flags = BPF_F_LOCK}};
	u32 all = s->info.conf.sets;
	struct room r;
	int err = make_room(&r, &s->info.conf, BATCH);

	if (err)
		err = store_fail(s, err, "out of memory");
	for (u32 at = 0; at < all && !err; at += BATCH) {
		u32 n = all - at < BATCH ? all - at : BATCH;

		err = read_batch(s, reader, &r, at, n);
		if (err)
			err = unreadable(s, err);
		for (u32 i = 0; i < n && !err; i++) {
			struct sw_shelf f = shelf_in(&r, &s->info.conf, i);

			f.ladders = NULL;
			err = each(ctx, &f);
		}
	}
	free_room(&r);
	return err;
}

int store_find(struct store *s, const struct sw_key *key, struct store_conn *found)
{
	u32 hash = sw_hash(&s->info.conf, key), at = sw_set_of(hash, s->info.conf.sets), way;
	struct room r;
	int err = make_room(&r, &s->info.conf, 1);
	struct sw_shelf f = shelf_in(&r, &s->info.conf, 0);

	if (!err)
		err = read_one(s, at, true, &f);
	if (!err) {
		way = sw_find(&f, sw_tag_of(hash), key);
		if (!sw_load(&f, way, &found->conn) || !(f.set->used >> way & 1)) {
			err = -ENOENT;
		} else {
			found->ladder = f.ladders->way[way];
			found->expired = sw_expired(&found->conn, sw_tick(store_now()));
		}
	}
	free_room(&r);
	return err && err != -ENOENT ? unreadable(s, err) : err;
}
