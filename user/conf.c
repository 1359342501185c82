// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "conf.h"

#include <errno.h>
#include <sys/random.h>

#define MS_ROW_(symbol, name, ms, help) [SW_##symbol] = ms,
static const u64 timeout_ms[SW_TIMEOUT_COUNT] = {SW_TIMEOUTS(MS_ROW_)};

static u32 ceil_div(u64 a, u32 b)
{
	return (a + b - 1) / b;
}

#define HALF_MIN 2
#define LIVE_MIN 4

void conf_sizes(struct sw_conf *conf, u32 flows, u32 half_open)
{
	u64 both = (u64)flows + half_open;
	u32 half = ((u64)SW_WAYS * half_open + both / 2) / both;

	half = half < HALF_MIN ? HALF_MIN : half > SW_WAYS - LIVE_MIN ? SW_WAYS - LIVE_MIN : half;
	u32 by_flows = ceil_div(flows, SW_WAYS - half - SW_LOOSE), by_half = ceil_div(half_open, half);
	u64 sets = by_flows > by_half ? by_flows : by_half;
	/* a quarter more: sets fill unevenly, and what was asked for must fit */
	conf->sets = (sets * 5 + 3) / 4;
	conf->live_ways = SW_WAYS - half;
	conf->half_ways = half;
}

u64 conf_memory(const struct sw_conf *conf)
{
	return (u64)conf->sets * (sizeof(struct sw_tags) + sizeof(struct sw_set) +
				  conf->live_ways * sizeof(struct sw_live) + conf->half_ways * sizeof(struct sw_half));
}

double conf_place(size_t entry)
{
	return entry + (double)(sizeof(struct sw_tags) + sizeof(struct sw_set)) / SW_WAYS;
}

int conf_defaults(struct sw_conf *conf)
{
	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		conf->timeout[i] = timeout_ms[i] * 1000000;
	if (getrandom(conf->hash_key, sizeof(conf->hash_key), 0) != sizeof(conf->hash_key) ||
	    getrandom(conf->guard_key, sizeof(conf->guard_key), 0) != sizeof(conf->guard_key))
		return -EIO;
	return 0;
}
