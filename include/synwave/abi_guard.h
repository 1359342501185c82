/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What lies in the guard's maps: as abi.h, by which it is included.
 * Rules come in generations: the next one is written beside the one in force, then `gen` is turned over. */
#ifndef SYNWAVE_ABI_GUARD_H
#define SYNWAVE_ABI_GUARD_H

#include "tables.h"
#include "types.h"

enum sw_guard_mode { SW_GUARD_OFF, SW_GUARD_DRY_RUN, SW_GUARD_ENFORCE, SW_GUARD_MODES };
enum sw_over { SW_OVER_COOKIE, SW_OVER_DROP };
/* Is the service answered by this host itself? Only then may the guard answer for it. */
enum sw_local { SW_LOCAL_LEARN, SW_LOCAL_YES, SW_LOCAL_NO, SW_LOCALS };

struct sw_guard {
	u64 gen; /* in force: rules[gen & 1], list and service entries of this generation */
	u64 challenged_ns; /* about when the last cookie was sent: the tracker's clock, to a second */
	u64 attachments; /* interfaces of the instance: with more than one, a SYN may be seen again */
};

/* GCRA (ITU-T I.371): a SYN each `interval` ns, and `tolerance` = (burst - 1) * interval ahead of it. */
struct sw_limit {
	u64 interval; /* ns; 0: no limit */
	u64 tolerance; /* ns */
	u64 rate; /* as written: so many ... */
	u64 per_ns; /* ... each this long */
	u32 burst;
	u16 over; /* enum sw_over; of services */
	u16 local; /* enum sw_local; of services */
};

struct sw_guard_row {
	struct sw_limit limit;
	u32 mask[4]; /* network order, of an address as in sw_key */
	u32 v6;
	u32 prefix; /* as written: 0..32 or 0..128 */
};

#define SW_GUARD_ROWS 8
/* sw_guard_rules.flags */
#define SW_GUARD_NO_COOKIE_DROP 1 /* cookie_fallback: drop */
#define SW_GUARD_BOGUS_DROP     2 /* bogus_acks: drop */
#define SW_GUARD_FRAGMENTS_PASS 4 /* fragments: pass */
struct sw_guard_rules {
	u32 mode; /* enum sw_guard_mode */
	u32 rows;
	u32 listed; /* entries of the lists; 0: nobody looks */
	u32 services;
	u32 flags;
	u32 verified_s; /* how long a verified source is remembered, s */
	u32 cells; /* of each line of a source row: sw_guard_cells() */
	u32 pad;
	struct sw_limit other; /* of services without a row of their own */
	struct sw_guard_row row[SW_GUARD_ROWS];
};

/* Allow and deny in one trie. `listed`: what the file says of this very prefix; `verdict`: what holds below it, an
 * allowed prefix above included. Two words before the address, so that the trie sees the generation first. */
#define SW_LIST_ALLOW 1
#define SW_LIST_DENY  2
struct sw_list_key {
	u32 prefix; /* bits from `gen` on */
	u32 gen;
	u32 addr[4];
};
struct sw_list_value {
	u32 listed;
	u32 verdict;
};
#define SW_LIST_BITS 32 /* of gen */
#define SW_LISTED    131072 /* prefixes, both generations together */

struct sw_limit_key {
	u32 gen;
	u32 addr[4];
	u32 port; /* host order */
};
struct sw_limit_value {
	struct sw_limit limit;
	u64 cell;
};
#define SW_LIMITS 4096 /* services with a row of their own, both generations together */

/* The sketches: for each source row two lines of cells, then two for the services. A cell is the time (ns, the table's
 * clock) until which a source has used up its rate; 0: never seen. Up to four rows have twice the cells of eight: more
 * would tell more sources apart, and miss the cache more often. */
#define SW_GUARD_SOURCE_CELLS  (1u << 20)
#define SW_GUARD_SERVICE_CELLS 8192
#define SW_GUARD_SIEVE         (SW_GUARD_SOURCE_CELLS + 2 * SW_GUARD_SERVICE_CELLS)
#define SW_GUARD_FIRST         (SW_GUARD_SIEVE + SW_VERIFIED_SETS / 2)
#define SW_GUARD_LOCAL         (SW_GUARD_FIRST + 2 * SW_FIRST_WORDS)
#define SW_GUARD_ALL_CELLS     (SW_GUARD_LOCAL + SW_LOCAL_SETS * SW_LOCAL_WAYS)

/* Cells of a line, when so many rows share them: a power of two. */
SW_INLINE u32 sw_guard_cells(u32 rows)
{
	return SW_GUARD_SOURCE_CELLS / (rows <= 4 ? 8 : 16);
}

/* Behind them: services that were seen to be answered by this host itself, a SYN-ACK that left and had come in nowhere. A
 * word each: fingerprint << 32 | time as in sw_verified. The latest remain. */
#define SW_LOCAL_SETS 256
#define SW_LOCAL_WAYS 4

/* Also there, for each generation's half: what the lists say of the first 16 bits of an IPv4 address, 2 bits each. Most
 * addresses are on no list, or in a wide prefix: they need no walk through the trie. */
#define SW_FIRST_WORDS 2048 /* a generation's */
#define SW_FIRST_ASK   3 /* else SW_LIST_*, or 0: on no list */
/* `wide`: the 16 bits. Its word among a generation's, and where it lies there. */
#define SW_FIRST_WORD(wide)  ((wide) / 32)
#define SW_FIRST_SHIFT(wide) (2 * (31 & (wide)))

/* Sources that proved their address: IPv4 by address, IPv6 by /64. A word each: fingerprint << 32 | time of the table's
 * clock in units of 2^SW_VERIFIED_TICK ns. Behind the sketches, 32 bits for each line say which fingerprints may be in it:
 * a flood's sources, who are in none, do not cost a cache miss each. */
#define SW_VERIFIED_WAYS 4
#define SW_VERIFIED_SETS 16384
#define SW_VERIFIED_TICK 30
struct sw_verified {
	u64 way[SW_VERIFIED_WAYS];
};

/* Sources that are limited, the heaviest of them (Space-Saving, Metwally 2005, in sets); one a CPU. */
#define SW_TOP_SETS 32
#define SW_TOP_WAYS 4
struct sw_top_entry {
	u32 addr[4];
	u32 prefix; /* of the row that limited it, as written; 255: the deny list */
	u32 v6;
	u64 count; /* too high by `error` at most */
	u64 error;
	u64 last_ns;
};
struct sw_top {
	struct sw_top_entry entry[SW_TOP_SETS][SW_TOP_WAYS];
};
#define SW_TOP_DENIED 255

/* What the guard did with the SYNs of a service; one table a CPU, places go to who comes first. */
#define SW_ACT_SETS 64
#define SW_ACT_WAYS 4
struct sw_acts {
	struct sw_act_entry {
		u32 addr[4];
		u32 port; /* 0: free */
		u32 pad;
		u64 act[SW_ACT_COUNT];
	} entry[SW_ACT_SETS][SW_ACT_WAYS];
};

#endif
