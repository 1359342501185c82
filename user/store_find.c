// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One connection out of the table, by its hash. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"
#include "synwave/table.h"

/* What a reader of one set needs room for. */
struct shelf {
	struct sw_tags tags;
	struct sw_set set, after;
	struct sw_ladders ladders;
};

/* The ladders have no lock of their own: the connection says whether its ladder stood still in between. */
static int read_shelf(struct store *s, u32 at, u32 way, struct shelf *f)
{
	const struct sw_conn *was = &f->set.conn[way], *is = &f->after.conn[way];
	int err = 0;

	if (!s->info.conf.ladder)
		return 0;
	for (int i = 0; i < 1000 && !err; i++) {
		err = bpf_map_lookup_elem(s->fd.ladders, &at, &f->ladders);
		if (!err)
			err = bpf_map_lookup_elem_flags(s->fd.sets, &at, &f->after, BPF_F_LOCK);
		if (!err && was->climbs == is->climbs && was->rungs == is->rungs && was->first_ns == is->first_ns)
			return 0;
		f->set = f->after;
	}
	return err ? err : -EBUSY;
}

static int find_in(struct store *s, u32 at, u16 tag, const struct sw_key *key, struct shelf *f,
		   struct store_conn *found)
{
	int err = bpf_map_lookup_elem(s->fd.tags, &at, &f->tags); /* first, as in store_walk */
	u32 way;

	if (!err)
		err = bpf_map_lookup_elem_flags(s->fd.sets, &at, &f->set, BPF_F_LOCK);
	if (err)
		return err;
	way = sw_find(&f->tags, &f->set, tag, key);
	if (way >= SW_WAYS || !(f->set.used >> way & 1))
		return -ENOENT;
	err = read_shelf(s, at, way, f);
	if (!err && !sw_same_key(&f->set.conn[way].key, key))
		return -ENOENT;
	found->conn = f->set.conn[way];
	found->ladder = f->ladders.way[way];
	found->expired = sw_expired(&f->set, way, f->tags.active, sw_tick(store_now()));
	return err;
}

int store_find(struct store *s, const struct sw_key *key, struct store_conn *found)
{
	u32 hash = sw_hash(&s->info.conf, key);
	struct shelf *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return store_fail(s, -ENOMEM, "out of memory");
	err = find_in(s, sw_set_of(hash, s->info.conf.sets), sw_tag_of(hash), key, f, found);
	free(f);
	return err && err != -ENOENT
		       ? store_fail(s, err, "cannot read the connections of %s: %s", s->dir, strerror(-err))
		       : err;
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
