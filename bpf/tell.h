/* SPDX-License-Identifier: GPL-2.0-only */
/* Events for who listens. Nobody listens: one comparison. */
#ifndef SYNWAVE_TELL_H
#define SYNWAVE_TELL_H

#include "synwave/trace.h"

#include "maps.h"

static __always_inline struct sw_readers *all_readers(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&readers, &zero);
}

static __always_inline bool anybody(u64 now)
{
	struct sw_readers *all = all_readers();

	return all && all->until_ns > now;
}

/* To each reader whose lease runs and whose filter it passes. Nothing orders these loads on arm64, nor must it: filter and
 * ring are in place since before a grace period of RCU when the slot is said to be live (listen.c, take_slot). `lost` is a
 * count, and orders nothing. */
static __always_inline void tell(const struct sw_trace *e, u64 now)
{
	struct sw_readers *all = all_readers();

	for (u32 i = 0; all && i < SW_READERS; i++) {
		struct sw_reader *r = &all->slot[i];
		u32 slot = i; /* a copy: older verifiers lose count of what lies in memory */
		void *ring;

		if (!(r->until_ns & SW_READER_LIVE) || r->until_ns <= now || !sw_filter_passes(&r->filter, e))
			continue;
		ring = bpf_map_lookup_elem(&rings, &slot);
		if (!ring || bpf_ringbuf_output(ring, (void *)e, sizeof(*e), 0))
			__sync_fetch_and_add(&r->lost, 1);
	}
}

#endif
