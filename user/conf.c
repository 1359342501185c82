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

void conf_sizes(struct sw_conf *conf, u32 flows, u32 half_open)
{
	u64 both = (u64)flows + half_open;
	u32 half = ((u64)SW_WAYS * half_open + both / 2) / both;

	half = half < SW_HALF_MIN ? SW_HALF_MIN : half > 26 ? 26 : half;
	u32 by_flows = ceil_div(flows, SW_WAYS - half), by_half = ceil_div(half_open, half);
	u64 sets = by_flows > by_half ? by_flows : by_half;
	/* a quarter more: sets fill unevenly, and what was asked for must fit */
	conf->sets = (sets * 5 + 3) / 4;
	conf->kept_ways = SW_WAYS - SW_HALF_MIN;
	conf->half_ways = 2 * half > conf->kept_ways ? conf->kept_ways : 2 * half;
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
