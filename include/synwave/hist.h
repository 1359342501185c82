/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Log-linear histogram: 8 equal buckets an octave, so a bucket is at most 12.5 % wide. */
#ifndef SYNWAVE_HIST_H
#define SYNWAVE_HIST_H

#include "abi.h"

/* Of 0: 0. Without a branch: verifiers would follow each of 64 ways through it. */
SW_INLINE u32 sw_log2(u64 v)
{
	u32 r = 0;

	SW_UNROLL
	for (u32 s = 32; s; s >>= 1) {
		u64 high = v >> s, minus = -high;
		SW_OPAQUE(minus);
		u32 by = ((high | minus) >> 63) * s;
		v >>= by;
		r += by;
	}
	return r;
}

/* Bucket of a latency in ns. Bucket i > 0 holds [sw_hist_upper(i - 1), sw_hist_upper(i)). */
SW_INLINE u32 sw_hist_index(u64 ns)
{
	u32 octave;

	if (ns < 1ULL << SW_HIST_SHIFT)
		return 0;
	octave = sw_log2(ns);
	if (octave >= SW_HIST_SHIFT + SW_HIST_OCTAVES)
		return SW_HIST_BUCKETS - 1;
	return 1 + (octave - SW_HIST_SHIFT) * 8 + (ns >> (octave - 3) & 7);
}

/* One sample; 0 is none. */
SW_INLINE void sw_hist_add(struct sw_hist *h, u64 ns)
{
	if (!ns)
		return;
	u64 i = sw_hist_index(ns);
	SW_OPAQUE(i);
	if (i >= SW_HIST_BUCKETS)
		return;
	h->count++;
	h->sum_ns += ns;
	h->bucket[i]++;
}

/* First ns above bucket i (the last one has no bound: ~0). */
SW_INLINE u64 sw_hist_upper(u32 i)
{
	if (!i)
		return 1ULL << SW_HIST_SHIFT;
	if (i >= SW_HIST_BUCKETS - 1)
		return ~0ULL;
	return (8ULL + (i - 1) % 8 + 1) << (SW_HIST_SHIFT - 3 + (i - 1) / 8);
}

#endif
