// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "since.h"

bool since_valid(const struct snapshot *now, const struct snapshot *before)
{
	return before && before->created_ns == now->created_ns && before->now_ns < now->now_ns;
}

double since_seconds(const struct snapshot *now, const struct snapshot *before)
{
	return (now->now_ns - before->now_ns) / 1e9;
}

u64 since_count(u64 n, u64 was)
{
	return n > was ? n - was : 0;
}

void since_hist(struct sw_hist *h, const struct sw_hist *n, const struct sw_hist *was)
{
	*h = *n;
	if (!was)
		return;
	h->count = 0;
	h->sum_ns = since_count(n->sum_ns, was->sum_ns);
	for (u32 i = 0; i < SW_HIST_BUCKETS; i++) {
		h->bucket[i] = since_count(n->bucket[i], was->bucket[i]);
		h->count += h->bucket[i];
	}
}

const struct snapshot_service *since_service(const struct snapshot_service *list, u32 count,
					     const struct sw_service_key *key)
{
	for (u32 i = 0; i < count; i++)
		if (!memcmp(&list[i].key, key, sizeof(*key)))
			return &list[i];
	return NULL;
}
