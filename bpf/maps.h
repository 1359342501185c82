/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps of an instance. Sizes marked "set at attach" come from --flows and --half-open; all of them are pinned. */
#ifndef SYNWAVE_MAPS_H
#define SYNWAVE_MAPS_H

#include "synwave/tracker.h"

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

/* What a packet is worked out in. A map, because the verifier forgets what it knows of a map's values: all ways
 * through the parser meet again here, instead of each being followed through the tracker. */
struct scratch {
	struct sw_packet packet;
	struct sw_step step;
	u8 options[SW_OPTIONS_ROOM + 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

#endif
