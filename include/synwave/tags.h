/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a connection lies, and the small table that most segments touch alone: 29 fingerprints in a cache line. */
#ifndef SYNWAVE_TAGS_H
#define SYNWAVE_TAGS_H

#include "parse.h"

#define SW_ALL_WAYS ((1u << SW_WAYS) - 1)

/* MurmurHash3's fmix64. */
SW_INLINE u32 sw_mix(u64 sum)
{
	sum = (sum ^ sum >> 33) * 0xff51afd7ed558ccdULL;
	sum = (sum ^ sum >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return sum >> 32;
}

/* Keyed multilinear hashing (strongly universal), then mixed: who does not know the key cannot aim at a
 * set; and addresses or ports in a row, an arithmetic progression to the first half, spread like any others. */
SW_INLINE u32 sw_hash(const volatile struct sw_conf *conf, const struct sw_key *key)
{
	u32 word[9];
	u64 sum = conf->hash_key[9];

	__builtin_memcpy(word, key, sizeof(word));
	SW_UNROLL
	for (int i = 0; i < 9; i++)
		sum += conf->hash_key[i] * word[i];
	return sw_mix(sum);
}

/* The same of a segment: of what its addresses have in common if they are IPv4, a product is enough. */
SW_INLINE u32 sw_hash_of(const volatile struct sw_conf *conf, const struct sw_packet *p)
{
	const struct sw_key *k = &p->key;
	u32 ports;

	if (p->v6)
		return sw_hash(conf, k);
	__builtin_memcpy(&ports, k->port, sizeof(ports));
	return sw_mix(conf->hash_key[9] + (conf->hash_key[2] + conf->hash_key[6]) * SW_V4_WORD +
		      conf->hash_key[3] * k->addr[0][3] + conf->hash_key[7] * k->addr[1][3] +
		      conf->hash_key[8] * ports);
}

SW_INLINE u32 sw_set_of(u32 hash, u32 sets)
{
	return ((u64)hash * sets) >> 32;
}

/* 14 bits that are never 0: 0 is a free way. */
SW_INLINE u16 sw_tag_of(u32 hash)
{
	u16 tag = hash & SW_TAG;

	return tag ? tag : 1;
}

/* BPF has neither instruction. The index of the lowest bit of m (not 0), by de Bruijn; and the number of bits. */
SW_TABLE u8 sw_debruijn[32] = {0,  1,  28, 2,  29, 14, 24, 3, 30, 22, 20, 15, 25, 17, 4,  8,
			       31, 27, 13, 23, 21, 19, 16, 7, 26, 12, 18, 6,  11, 5,  10, 9};

SW_INLINE u32 sw_lowest(u32 m)
{
	u32 at = sw_debruijn[((m & -m) * 0x077cb531u) >> 27];

	SW_OPAQUE(at);
	return at;
}

SW_INLINE u32 sw_bits(u32 m)
{
	m -= m >> 1 & 0x55555555;
	m = (m & 0x33333333) + (m >> 2 & 0x33333333);
	return ((m + (m >> 4)) & 0x0f0f0f0f) * 0x01010101u >> 24;
}

#define SW_LANES 0x0001000100010001ULL

/* A way's bit in what sw_match finds, and in sw_tags.active: 4 lanes of 8 words are gathered by shifts alone. */
#define SW_SEAT(way)    ((3 & (way)) * 8 + ((way) >> 2))
#define SW_WAY_OF(seat) ((7 & (seat)) * 4 + ((seat) >> 3))
/* Behind the ways' seats lie `generation` and `active`, in one word with the last tag: who reads it without the lock sees
 * both as they were at one moment. In two words, or in two stores, the new generation might be seen next to the old one's
 * ways: on arm64 stores and loads pass each other, and everywhere the compiler may turn them round. */
#define SW_LAST_WORD 7
_Static_assert(offsetof(struct sw_tags, generation) == 8 * SW_LAST_WORD + 2 &&
		       offsetof(struct sw_tags, active) == 8 * SW_LAST_WORD + 4,
	       "sw_tags");
#define SW_SEATS (~(1u << SW_SEAT(29) | 1u << SW_SEAT(30) | 1u << SW_SEAT(31)))

/* Bits 0..7 of each lane -> 32 bits. */
SW_INLINE u32 sw_pack(u64 m)
{
	m = (m | m >> 8) & 0x0000ffff0000ffffULL;
	return m | m >> 16;
}

/* Seats whose tag matches, 4 a step, exactly (no carry leaves its lane); *waiting: those that wait for a segment of
 * endpoint `from`. */
SW_INLINE u32 sw_match(const struct sw_tags *t, u16 tag, u32 from, u32 *waiting)
{
	const u64 *word = (const u64 *)t;
	u64 rep = tag * SW_LANES, low = SW_TAG * SW_LANES, flag = (SW_TAG + 1) * SW_LANES;
	u64 any = 0, wait = 0;

	SW_UNROLL
	for (int i = 0; i < 8; i++) {
		u64 w = word[i];
		u64 hit = ~(((w ^ rep) & low) + low) & flag;
		any |= hit >> (14 - i);
		wait |= (hit & w >> (from & 1)) >> (14 - i);
		SW_STAGE(); /* one word at a time: clang would load all eight first, onto the stack */
	}
	*waiting = sw_pack(wait) & SW_SEATS;
	return sw_pack(any) & SW_SEATS;
}

/* The fast way out: a plain segment of a connection that waits for none, and is known to live in this generation. Touches
 * one line of the small table, and writes nothing. */
SW_INLINE bool sw_quiet(const struct sw_tags *t, u16 tag, const struct sw_packet *p, u16 generation)
{
	u32 waiting, any;
	u64 last;

	if (p->kind != SW_KIND_ACK && p->kind != SW_KIND_DATA)
		return false;
	any = sw_match(t, tag, p->from, &waiting);
	last = ((const volatile u64 *)t)[SW_LAST_WORD];
	return !waiting && any && (u16)(last >> 16) == generation && !(any & ~(u32)(last >> 32));
}

/* The deadline of a way is that of this generation. Called with the set locked. */
SW_INLINE void sw_mark_active(struct sw_tags *t, u32 way, u16 generation)
{
	volatile u64 *last = (u64 *)t + SW_LAST_WORD;
	u64 was = *last, active = (u16)(was >> 16) == generation ? was >> 32 : 0;

	*last = (active | 1u << SW_SEAT(way)) << 32 | (u64)generation << 16 | (u16)was;
}

#endif
