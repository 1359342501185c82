/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The only door to the kernel's maps: an instance, opened by its pin directory. Below the commands nothing prints:
 * functions return 0 or -errno and leave one line in `why` (what, on which object, why, what to do). */
#ifndef SYNWAVE_STORE_H
#define SYNWAVE_STORE_H

#include "synwave/slot.h"

#define WHY_SIZE 512

/* X(field, map name): every map is pinned as <pin directory>/<name> */
#define STORE_MAPS(X) \
	X(tags, "tags") \
	X(sets, "sets") \
	X(live, "live") \
	X(half, "half") \
	X(meta, "meta") \
	X(stats, "stats") \
	X(services, "services") \
	X(timed, "timed") \
	X(ifaces, "ifaces") \
	X(guard, "guard") \
	X(guard_rules, "guard_rules") \
	X(guard_lists, "guard_lists") \
	X(guard_limits, "guard_limits") \
	X(guard_cells, "guard_cells") \
	X(guard_verified, "guard_verified") \
	X(guard_top, "guard_top") \
	X(guard_acts, "guard_acts") \
	X(ladders, "ladders") \
	X(readers, "readers") \
	X(rings, "rings")

struct store {
	char dir[256];
	char why[WHY_SIZE];
	bool change; /* the maps were opened for writing, too */
	struct {
#define FIELD_(field, name) int field;
		STORE_MAPS(FIELD_)
#undef FIELD_
	} fd;
	struct sw_meta info; /* as read from the map */
	u64 epoch_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC, measured at open */
	u64 pin; /* inode of the pinned meta */
};

/* Puts a line into s->why; returns `err` (negative errno), so that callers can `return store_fail(...)`. */
int store_fail(struct store *s, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Opens the pinned maps, to read only or also to write, and checks magic, layout and sizes. -ENOENT: nothing is
 * attached there. */
int store_open(struct store *s, const char *dir);
int store_open_to_change(struct store *s, const char *dir);
void store_close(struct store *s);

u64 store_now(void); /* the clock of the table: CLOCK_MONOTONIC, ns */
u64 store_epoch(void); /* as store.epoch_ns, but of now: the wall clock may be set */

/* The instance that was opened is still the one at its directory. */
bool store_is_there(const struct store *s);

/* Calls `each` for every set, each read as it was at one moment (so its books and entries agree), but without its ladders;
 * stops when `each` returns non-zero. now_ns: by which `each` judges what has expired. Memory: a batch, whatever the size
 * of the table.
 * doubt: 0; or, of a set that changes faster than it can be read, STORE_DOUBT and a bit a way whose entry was being
 * written, and may be half of one connection and half of another. The rest of such a set is of one moment, too. */
#define STORE_DOUBT (1u << 31)
typedef int store_each_set(void *ctx, const struct sw_shelf *f, u32 doubt);
int store_walk(struct store *s, u64 now_ns, store_each_set *each, void *ctx);

/* The guard's rules in force, without lists and services. */
int store_guard(struct store *s, struct sw_guard_rules *rules, u64 *gen);
/* One connection, and its ladder if ladders are kept (else all zero); `expired`: its time is over. -ENOENT: not there. */
struct store_conn {
	struct sw_conn conn;
	struct sw_ladder ladder;
	bool expired;
	bool doubt; /* it was being written while it was read */
};
int store_find(struct store *s, const struct sw_key *key, struct store_conn *found);

/* Of all readers of events: what they did not get since the instance was made, and how many listen now. */
int store_readers(struct store *s, u64 *lost, u32 *listening);

/* Sums over all CPUs. */
int store_stats(struct store *s, struct sw_stats *sum);
/* Latencies by service, at most SW_TIMED_SETS * SW_TIMED_WAYS * possible CPUs of them, not added up, to be freed: how many, or
 * -errno. */
int store_timed(struct store *s, struct sw_timed **all);
/* The guard's acts by service, one table a CPU, to be freed: how many, or -errno. */
int store_acts(struct store *s, struct sw_acts **all);
typedef int store_each_service(void *ctx, const struct sw_service_key *key, const struct sw_service *sum);
int store_services(struct store *s, store_each_service *each, void *ctx);
typedef int store_each_iface(void *ctx, const struct sw_iface_key *key, const struct sw_iface *iface);
int store_ifaces(struct store *s, store_each_iface *each, void *ctx);

#endif
