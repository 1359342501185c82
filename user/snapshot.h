/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the instance knows at one moment: numbers only, no formats. Every exporter is one more walk over this. */
#ifndef SYNWAVE_SNAPSHOT_H
#define SYNWAVE_SNAPSHOT_H

#include "store.h"

enum snapshot_role { ROLE_CLIENT, ROLE_SERVER, ROLE_LOCAL, ROLE_COUNT }; /* the first two are enum sw_role */

/* Table that entries lie in. half_open: what a flood of IPv4 SYNs fills; flows: all others. */
enum snapshot_table_id { TABLE_FLOWS, TABLE_HALF_OPEN, TABLE_SERVICES, TABLE_COUNT };

struct snapshot_table {
	u64 entries, capacity, evicted, errors;
};

struct snapshot_service {
	struct sw_service_key key;
	struct sw_service count;
	u64 half_open;
	u64 act[SW_ACT_COUNT]; /* the guard's */
};

struct snapshot_iface {
	struct sw_iface_key key;
	struct sw_iface iface;
};

struct snapshot {
	u64 now_ns; /* clock of the table: what has expired is judged by it */
	u64 at_ns; /* the same, since the epoch */
	u64 created_ns; /* of the instance: another one begins to count anew */

	struct sw_stats count; /* kinds, reasons, events, histograms */
	u64 book[SW_BOOK_COUNT]; /* with what timed out and is still in the table */
	u64 hs_in_progress, td_in_progress;
	u64 sets_changing; /* faster than they could be read: what was being written is in the above, but not in the below */

	u64 state[ROLE_COUNT][SW_STATE_COUNT]; /* endpoints of living entries */
	u64 half_open, time_wait, time_wait_local;
	u64 events_lost; /* that readers of `trace` did not get */
	u32 traces; /* of them that listen now */
	struct snapshot_table table[TABLE_COUNT];

	struct snapshot_service *service; /* busiest first */
	u32 services;
	u64 act_other[SW_ACT_COUNT];
	u64 half_open_other; /* of servers without a place of their own */

	struct sw_timed *timed; /* latencies by service, added up, in no order */
	u32 timeds;

	struct snapshot_iface *iface;
	u32 ifaces;

	struct sw_guard_rules guard; /* in force */
};

extern const char *const snapshot_table_name[TABLE_COUNT];
extern const char *const snapshot_role_name[ROLE_COUNT];
const char *hook_name(u32 hook); /* enum sw_hook, as read from the map */

#define SNAPSHOT_SERVICES 100 /* that JSON and text hold, unless told otherwise; the others are added up */

/* 0 or -errno with s->why. To be freed in either case. */
int snapshot_take(struct snapshot *m, struct store *s);
void snapshot_free(struct snapshot *m);

/* The latencies of a service; NULL: it found no place for them. */
const struct sw_timed *snapshot_timed(const struct snapshot *m, const struct sw_service_key *key);

/* The services from `from` on, and those that never had a place, as one. */
struct snapshot_service snapshot_rest(const struct snapshot *m, u32 from);

/* The latency that `permille` of the samples do not exceed, in ns: 0 without samples, ~0 above the range. */
u64 snapshot_quantile(const struct sw_hist *h, u32 permille);

/* The pieces of snapshot_take, for tests without a kernel: services (sorted by key), sets, then the sums. */
int snapshot_add_service(void *m, const struct sw_service_key *key, const struct sw_service *count);
void snapshot_sort_keys(struct snapshot *m);
int snapshot_add_set(void *m, const struct sw_shelf *f, u32 doubt);
void snapshot_finish(struct snapshot *m, const struct sw_conf *conf);

#endif
