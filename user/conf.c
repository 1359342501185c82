// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "conf.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#define MS_ROW_(symbol, name, ms, help) [SW_##symbol] = ms,
static const u64 timeout_ms[SW_TIMEOUT_COUNT] = {SW_TIMEOUTS(MS_ROW_)};

static u32 ceil_div(u64 a, u32 b)
{
	return (a + b - 1) / b;
}

#define HALF_MIN 2
#define LIVE_MIN 4

u64 conf_memory(const struct sw_conf *conf)
{
	return (u64)conf->sets * (sizeof(struct sw_tags) + sizeof(struct sw_set) +
				  conf->live_ways * sizeof(struct sw_live) + conf->half_ways * sizeof(struct sw_half));
}

u64 conf_ladder_memory(const struct sw_conf *conf)
{
	return conf->ladder ? (u64)conf->sets * sizeof(struct sw_ladders) : 0;
}

/* How full the ways of a class may be on average (hundredths of a way), by the number of ways in a set: sets fill by chance, as
 * Poisson's law says, and what finds no way is lost: 5 of 1,000 flows, 20 of 1,000 half-open ones, when as many live as
 * were asked for. tests/unit/table.c holds these rows against the law. */
const u16 conf_live_load[SW_WAYS + 1] = {0,    0,    18,   54,   104,  161,  224,  291,  362,  434,
					 509,  586,  664,  744,  824,  906,  988,  1071, 1155, 1240,
					 1325, 1411, 1497, 1584, 1671, 1758, 1846, 1934, 2023};
const u16 conf_half_load[SW_WAYS + 1] = {0,    0,    38,   93,   161,  234,  313,  394,  478,  564,
					 651,  739,  829,  919,  1010, 1102, 1195, 1288, 1381, 1475,
					 1569, 1664, 1759, 1854, 1950, 2046, 2142, 2238, 2334};

/* The cheapest way to divide the ways of a set. */
void conf_sizes(struct sw_conf *conf, u32 flows, u32 half_open)
{
	u64 least = ~0ULL;

	for (u32 half = HALF_MIN; half <= SW_WAYS - LIVE_MIN; half++) {
		struct sw_conf c = {.live_ways = SW_WAYS - half, .half_ways = half};
		u32 by_flows = ceil_div(flows * 100ULL, conf_live_load[c.live_ways]);
		u32 by_half = ceil_div(half_open * 100ULL, conf_half_load[half]);

		c.sets = by_flows > by_half ? by_flows : by_half;
		if (conf_memory(&c) >= least)
			continue;
		least = conf_memory(&c);
		conf->sets = c.sets;
		conf->live_ways = c.live_ways;
		conf->half_ways = half;
	}
}

u32 conf_place(size_t entry)
{
	return entry + ceil_div(sizeof(struct sw_tags) + sizeof(struct sw_set), SW_WAYS);
}

int conf_defaults(struct sw_conf *conf)
{
	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		conf->timeout[i] = timeout_ms[i] * 1000000;
	if (getrandom(conf->hash_key, sizeof(conf->hash_key), 0) != sizeof(conf->hash_key) ||
	    getrandom(conf->guard_key, sizeof(conf->guard_key), 0) != sizeof(conf->guard_key))
		return -EIO;
	conf_generation(conf);
	return 0;
}

#define GENERATION_SHIFT_MAX 20 /* of jiffies: some minutes, whatever CONFIG_HZ is */

void conf_generation(struct sw_conf *conf)
{
	struct timespec jiffy = {.tv_nsec = 4000000};
	u64 least = ~0ULL;

	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		if (1u << i & SW_RENEWABLE && conf->timeout[i] < least)
			least = conf->timeout[i];
	clock_getres(CLOCK_MONOTONIC_COARSE, &jiffy); /* advances once per jiffy */
	conf->generation_shift = 0;
	while (conf->generation_shift < GENERATION_SHIFT_MAX &&
	       (u64)jiffy.tv_nsec << (conf->generation_shift + 1) <= least / 4)
		conf->generation_shift++;
	conf->generation_ns = (u64)jiffy.tv_nsec << conf->generation_shift;
}
