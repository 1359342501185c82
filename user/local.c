// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "local.h"

#include <bpf/bpf.h>

#include "synwave/local.h"

bool local_service(struct store *s, const struct sw_service_key *service, const u64 *netns, u32 count)
{
	bool local = false;

	for (u32 i = 0; i < count; i++) {
		u64 hash = sw_local_hash(&s->info.conf, netns[i], service->addr, service->port), word;

		for (u32 way = 0; way < SW_LOCAL_WAYS; way++) {
			u32 at = sw_local_cell(hash, way);
			local |= !bpf_map_lookup_elem(s->fd.guard_cells, &at, &word) && sw_local_is(word, hash);
		}
	}
	return local;
}
