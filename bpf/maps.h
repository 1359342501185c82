/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps of an instance. Sizes marked "set at attach" come from --flows and --half-open; all of them are pinned. */
#ifndef SYNWAVE_MAPS_H
#define SYNWAVE_MAPS_H

#include "synwave/trace.h"

#include "uapi.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set at attach */
	__type(key, u32);
	__type(value, struct sw_tags);
} tags SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set at attach */
	__type(key, u32);
	__type(value, struct sw_set);
} sets SEC(".maps");

/* Written under the lock of the set of the same index. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
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
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SW_IFACES);
	__type(key, struct sw_iface_key);
	__type(value, struct sw_iface);
} ifaces SEC(".maps");

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
struct scratch {
	struct sw_packet packet;
	struct sw_step step;
	struct sw_trace trace;
	u8 options[SW_OPTIONS_ROOM + 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#endif
