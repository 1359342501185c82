/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which services this host answers itself: where the guard keeps what it learned of that (abi_guard.h, SW_GUARD_LOCAL), for
 * the programs that learn it and the commands that show it. */
#ifndef SYNWAVE_LOCAL_H
#define SYNWAVE_LOCAL_H

#include "abi.h"

/* Keyed multilinear hashing of an address, mixed as in sw_hash: 64 bits that nobody can aim at. */
SW_INLINE u64 sw_guard_hash(const volatile struct sw_conf *conf, const u32 addr[4], u32 salt)
{
	u64 sum = conf->guard_key[5] + conf->guard_key[4] * (salt + 1);

	SW_UNROLL
	for (int i = 0; i < 4; i++)
		sum += conf->guard_key[i] * addr[i];
	sum = (sum ^ sum >> 33) * 0xff51afd7ed558ccdULL;
	sum = (sum ^ sum >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return sum ^ sum >> 33;
}

/* `netns`: the namespace whose stack answers; the same address may be another host's in the next one. */
SW_INLINE u64 sw_local_hash(const volatile struct sw_conf *conf, u32 netns, const u32 addr[4], u16 port)
{
	u64 h = sw_guard_hash(conf, addr, 0x20000 + port) + netns * (conf->guard_key[4] | 1);

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdULL;
	return h ^ h >> 33;
}

SW_INLINE u32 sw_local_cell(u64 hash, u32 way)
{
	return SW_GUARD_LOCAL + (hash & (SW_LOCAL_SETS - 1)) * SW_LOCAL_WAYS + way;
}

/* Is it the word of that service? */
SW_INLINE bool sw_local_is(u64 word, u64 hash)
{
	return word && !((word ^ hash) >> 32);
}

#endif
