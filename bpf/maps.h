/* SPDX-License-Identifier: GPL-2.0-only */
/* What is frozen before the load, and the maps of an instance. Sizes marked "set at attach" come from --flows and --half-open; all of them are pinned. */
#ifndef SYNWAVE_MAPS_H
#define SYNWAVE_MAPS_H

#include "synwave/guard.h"
#include "synwave/table.h"
#include "synwave/trace.h"

#include "uapi.h"

const volatile struct sw_conf conf = {.sets = 1, .live_ways = 1, .half_ways = 1};
const volatile u32 netns; /* inode of the network namespace that the program is loaded for */
const volatile u16 attachment; /* number of the interface that it is loaded for (struct sw_iface) */
const volatile u8 own_mac[6]; /* ... and its address: frames for another are another host's */
/* `synwave replay --engine kernel` runs these very programs by BPF_PROG_TEST_RUN with a capture's clock. To the attached
 * program this is `false`, and the verifier removes what depends on it. */
const volatile bool replay = false;
struct sw_replay replay_io;

/* The table (abi.h). BPF_F_MMAPABLE, though nobody maps them: only then does the kernel begin an array's values at a page;
 * else each of these would lie across two cache lines. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at attach */
	__type(key, u32);
	__type(value, struct sw_tags);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at attach */
	__type(key, u32);
	__type(value, struct sw_set);
} sets SEC(".maps");

/* Written under the lock of the set of the same index. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at attach */
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct sw_live)); /* set at attach: as many as a set has */
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at attach */
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(struct sw_half)); /* set at attach: as many as a set has */
} half SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* set at attach; stays 1 without ladders */
	__type(key, u32);
	__type(value, struct sw_ladders);
} ladders SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_meta);
} meta SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, SW_SERVICES);
	__type(key, struct sw_service_key);
	__type(value, struct sw_service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SW_TIMED_SETS *SW_TIMED_WAYS);
	__type(key, u32);
	__type(value, struct sw_timed);
} timed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SW_IFACES);
	__type(key, struct sw_iface_key);
	__type(value, struct sw_iface);
} ifaces SEC(".maps");

/* --- the guard's (abi.h) ----------------------------------------------------------------------------------------- */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_guard);
} guard SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct sw_guard_rules);
} guard_rules SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SW_LISTED);
	__type(key, struct sw_list_key);
	__type(value, struct sw_list_value);
} guard_lists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SW_LIMITS);
	__type(key, struct sw_limit_key);
	__type(value, struct sw_limit_value);
} guard_limits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* for its alignment */
	__uint(max_entries, SW_GUARD_ALL_CELLS);
	__type(key, u32);
	__type(value, u64);
} guard_cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* for its alignment */
	__uint(max_entries, SW_VERIFIED_SETS);
	__type(key, u32);
	__type(value, struct sw_verified);
} guard_verified SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_top);
} guard_top SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_acts);
} guard_acts SEC(".maps");

/* Who listens to what, and the ring of each. A reader brings a ring of its own, of the size it likes. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_readers);
} readers SEC(".maps");

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SW_READERS);
	__type(key, u32);
	__array(values, struct ring);
} rings SEC(".maps");

/* What a packet is worked out in. A map, because the verifier forgets what it knows of a map's values: all ways
 * through the parser meet again here, instead of each being followed through the tracker. */
struct reply {
	u8 ip[40]; /* of the SYN, or of the ACK: version and addresses ... */
	u8 tcp[20 + SW_OPTIONS_ROOM + 4]; /* ... and its TCP header */
	u32 tcp_size;
	u32 out[19]; /* the answer, IP header first: IPv6 and TCP with 16 bytes of options at most */
	u32 out_size;
	u32 mss;
	u8 options; /* SW_E_TS, SW_E_SACK: carried in the timestamp */
	u8 pad;
	u16 room; /* in a frame that keeps its length: bytes from the IP header on */
};

struct scratch {
	struct sw_packet packet;
	struct sw_step step;
	struct sw_conn conn; /* the segment's */
	struct sw_judgement judgement;
	struct reply reply;
	u64 now; /* of a SYN that the guard judges, ns */
	u32 at; /* the segment's set ... */
	u16 tag; /* ... and tag; 0: not asked for yet */
	u8 cookie; /* what the guard found out: the ACK brings a valid cookie */
	u8 for_us; /* the frame is for this host's own MAC address, or there is none */
	u16 unread; /* enum sw_reason: why the parser stopped before the flags of what may be a SYN; 0: it did not */
	u8 charge; /* a SYN was judged, and is still to be charged */
	u8 pad;
	struct sw_trace trace;
	u8 options[SW_OPTIONS_ROOM + 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *workplace(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* Set and tag of the connection of the segment in the scratch. */
static __always_inline void locate_set(struct scratch *w)
{
	u32 hash = sw_hash_of(&conf, &w->packet);

	w->at = sw_set_of(hash, conf.sets);
	w->tag = sw_tag_of(hash);
}

/* The set of the segment in the scratch, and what lies beside it. False: a map could not be read. */
static __always_inline bool shelf_of(struct sw_shelf *f, u32 at)
{
	f->conf = &conf;
	f->tags = bpf_map_lookup_elem(&tags, &at);
	f->set = bpf_map_lookup_elem(&sets, &at);
	f->live = bpf_map_lookup_elem(&live, &at);
	f->half = bpf_map_lookup_elem(&half, &at);
	f->ladders = conf.ladder ? bpf_map_lookup_elem(&ladders, &at) : NULL;
	return f->tags && f->set && f->live && f->half && (!conf.ladder || f->ladders);
}

static __always_inline u64 clock(void)
{
	return replay ? replay_io.now : bpf_ktime_get_ns();
}

/* Of sw_tags: jiffies are a load, where a clock would be a call. */
static __always_inline u16 generation(void)
{
	return replay ? replay_io.now / conf.generation_ns : bpf_jiffies64() >> (conf.generation_shift & 31);
}

#endif
