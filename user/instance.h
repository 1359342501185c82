/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life of an instance: its pin directory, the lock on it, its maps. `meta` is pinned last and removed first:
 * maps without it are what a killed command left. Functions return 0 or -errno with a line in s.why. */
#ifndef SYNWAVE_INSTANCE_H
#define SYNWAVE_INSTANCE_H

#include "store.h"

#define INSTANCE_MAP_IDS 64

struct instance {
	struct store s;
	int lock; /* the pin directory, locked; -1 */
	bool fresh; /* made by this command */
	u64 netns; /* of this process */
	u32 map_id[INSTANCE_MAP_IDS]; /* of its own pinned maps: a program that uses one of them is ours */
	u32 map_ids;
	u32 meta_id;
};

/* What the user asks for; 0 and -1: not said. */
struct wish {
	u32 flows, half_open;
	int one_way;
	bool no_ladder;
	u64 timeout[SW_TIMEOUT_COUNT]; /* ns */
	bool timeout_set[SW_TIMEOUT_COUNT];
};

/* Waits for the lock. create: makes the directory, and mounts the BPF file system where it belongs.
 * Without create: -ENOENT when there is no such directory. */
int instance_lock(struct instance *in, const char *dir, bool create);
/* Under the lock: opens what is there. -ENOENT: no complete instance (leftovers possible), -ESTALE: one
 * that somebody took pins from, -EPROTO: another layout. */
int instance_open(struct instance *in);
/* Under the lock, nothing open: makes the maps and pins them. */
int instance_create(struct instance *in, const struct wish *wish);
/* Under the lock, opened: takes over what may change in a living instance, refuses the rest. */
int instance_adapt(struct instance *in, const struct wish *wish, bool *changed);
/* Removes every pin, or the directory as well; understands no map. -EPROTO: not synwave's. */
int instance_clear(struct instance *in);
int instance_remove(struct instance *in);
bool instance_is_ours(const struct instance *in); /* some version's meta is there */
void instance_close(struct instance *in);

/* False, too, where this process may not ask for programs by id. */
bool instance_owns(const struct instance *in, u32 prog_id);
/* Whether it may: CAP_SYS_ADMIN. Links need no ids; clsact and libxdp's dispatcher do. */
bool instance_sees_ids(void);

/* The registry. */
int registry_get(struct instance *in, const struct sw_iface_key *key, struct sw_iface *iface);
int registry_put(struct instance *in, const struct sw_iface_key *key, const struct sw_iface *iface);
int registry_delete(struct instance *in, const struct sw_iface_key *key);
/* A copy of the whole registry: the number of rows, to be freed; 0 if there is none or it cannot be read. */
struct registry_row {
	struct sw_iface_key key;
	struct sw_iface iface;
};
u32 registry_list(struct instance *in, struct registry_row **rows);

#endif
