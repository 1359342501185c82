// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who knows the code, and even the keys of another instance, cannot aim: what falls together under one instance's keys lies
 * scattered under another's. */
#include <stdlib.h>

#include "conf.h"
#include "synwave/guard.h"
#include "synwave/table.h"
#include "tap.h"

/* guard.h's shell, which nothing here calls */
static u64 *sw_guard_cell(void *shell, u32 at)
{
	(void)shell, (void)at;
	return NULL;
}
static u32 sw_guard_listed(void *shell, u32 gen, const u32 addr[4])
{
	(void)shell, (void)gen, (void)addr;
	return 0;
}
static struct sw_limit_value *sw_guard_limit(void *shell, u32 gen, const u32 addr[4], u16 port)
{
	(void)shell, (void)gen, (void)addr, (void)port;
	return NULL;
}
static struct sw_verified *sw_guard_verified(void *shell, u32 at)
{
	(void)shell, (void)at;
	return NULL;
}

#define BUCKETS 4096
#define AIMED   256 /* that fall into one bucket for the attacker */
#define FRESH   16 /* instances that he aims at */

void test_keys(void);

/* Connection `n` of an attacker who may choose source address and port. */
static struct sw_key connection(u32 n)
{
	struct sw_key key = {
		.addr = {{0, 0, bpf_htonl(0xffff), n * 2654435761u}, {0, 0, bpf_htonl(0xffff), 0x0100007f}},
		.port = {1024 + n % 60000, 80}};

	return key;
}

static u32 of_connection(const struct sw_conf *conf, u32 n)
{
	struct sw_key key = connection(n);

	return sw_hash(conf, &key) / (0x100000000ULL / BUCKETS);
}

static u32 of_source(const struct sw_conf *conf, u32 n)
{
	struct sw_key key = connection(n);

	return sw_guard_hash(conf, key.addr[0], 0) >> 52; /* 4096 */
}

static void aim(const char *what, u32 (*bucket)(const struct sw_conf *conf, u32 n))
{
	struct sw_conf own = {0}, other;
	u32 aimed[AIMED], count = 0, worst = 0;

	conf_sizes(&own, 1024, 1024);
	if (conf_defaults(&own))
		abort();
	for (u32 n = 0; count < AIMED && n < 100 * AIMED * BUCKETS; n++)
		if (bucket(&own, n) == 77)
			aimed[count++] = n;
	TEST(count == AIMED, "%s: found %u that fall together under known keys", what, count);
	for (int i = 0; i < FRESH; i++) {
		u16 hit[BUCKETS] = {0};

		other = own;
		if (conf_defaults(&other))
			abort();
		for (u32 k = 0; k < count; k++) {
			u16 n = ++hit[bucket(&other, aimed[k]) % BUCKETS];

			worst = n > worst ? n : worst;
		}
	}
	/* 256 balls into 4096 bins, 16 times: more than 7 in one has a probability below 1e-8 */
	TEST(worst <= 7, "%s: %u of %u fall together under fresh keys", what, worst, count);
}

void test_keys(void)
{
	aim("connections", of_connection);
	aim("sources", of_source);
}
