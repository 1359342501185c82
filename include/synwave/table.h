/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table: sets of 30 ways, one lock a set, two classes in a set.
 *
 * A connection starts in the half-open class and is promoted where it lies when its handshake completes; so a flood of
 * SYNs competes with itself alone. What is evicted, and why, is decided here and counted. Nothing runs in the
 * background: age is judged when somebody looks. All of it is plain memory, called with the set locked. */
#ifndef SYNWAVE_TABLE_H
#define SYNWAVE_TABLE_H

#include "trace.h"

#define SW_ALL_WAYS ((1u << SW_WAYS) - 1)
#define SW_HALF_MIN 2 /* ways that completed connections never take */

/* Keyed multilinear hashing (strongly universal), then mixed (MurmurHash3's fmix64): who does not know the key cannot
 * aim at a set; and addresses or ports in a row, an arithmetic progression to the first half, spread like any others. */
SW_INLINE u32 sw_hash(const volatile struct sw_conf *conf, const struct sw_key *key)
{
	u32 word[9];
	u64 sum = conf->hash_key[9];

	__builtin_memcpy(word, key, sizeof(word));
	SW_UNROLL
	for (int i = 0; i < 9; i++)
		sum += conf->hash_key[i] * word[i];
	sum = (sum ^ sum >> 33) * 0xff51afd7ed558ccdULL;
	sum = (sum ^ sum >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return sum >> 32;
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
#define SW_SEAT(way)    (((way)&3) * 8 + ((way) >> 2))
#define SW_WAY_OF(seat) (((seat)&7) * 4 + ((seat) >> 3))
#define SW_SEATS        (~(1u << SW_SEAT(30) | 1u << SW_SEAT(31))) /* there `active` itself lies */

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
	}
	*waiting = sw_pack(wait) & SW_SEATS;
	return sw_pack(any) & SW_SEATS;
}

/* The fast way out: a plain segment of a connection that waits for none. Touches one line of the small table. */
SW_INLINE bool sw_quiet(struct sw_tags *t, u16 tag, const struct sw_packet *p)
{
	u32 waiting, any;

	if (p->kind != SW_KIND_ACK && p->kind != SW_KIND_DATA)
		return false;
	any = sw_match(t, tag, p->from, &waiting);
	if (waiting || !any)
		return false;
	if (any & ~t->active)
		__sync_fetch_and_or(&t->active, any);
	return true;
}

SW_INLINE bool sw_same_key(const struct sw_key *a, const struct sw_key *b)
{
	u32 diff = 0, x[9], y[9];

	__builtin_memcpy(x, a, sizeof(x));
	__builtin_memcpy(y, b, sizeof(y));
	SW_UNROLL
	for (int i = 0; i < 9; i++)
		diff |= x[i] ^ y[i];
	return !diff;
}

/* The way of the connection, or SW_WAYS. Tags let in one stranger in 550. */
SW_INLINE u32 sw_find(const struct sw_tags *t, const struct sw_set *set, u16 tag, const struct sw_key *key)
{
	u32 waiting, m = sw_match(t, tag, 0, &waiting);

	for (int i = 0; i < 4 && m; i++) {
		u32 seat = sw_lowest(m), way = SW_WAY_OF(seat);
		if (way < SW_WAYS && sw_same_key(&set->conn[way].key, key))
			return way;
		m &= m - 1;
	}
	return SW_WAYS;
}

/* What the table knows of a segment's addresses and ports, read without the lock: a hint for who decides before the
 * step. */
enum sw_known {
	SW_KNOWN_NOT, /* nothing, or a connection that is over */
	SW_KNOWN_ASKED, /* a SYN that nobody answered */
	SW_KNOWN_HALF, /* half-open */
	SW_KNOWN_LIVING
};

SW_INLINE enum sw_known sw_known(const struct sw_tags *t, const struct sw_set *set, u16 tag, const struct sw_key *key)
{
	u32 way = sw_find(t, set, tag, key);

	if (way >= SW_WAYS || sw_finished(&set->conn[way]))
		return SW_KNOWN_NOT;
	if (set->conn[way].flags & SW_C_HS_DONE)
		return SW_KNOWN_LIVING;
	return set->conn[way].end[SW_SERVER].state == SW_LISTEN ? SW_KNOWN_ASKED : SW_KNOWN_HALF;
}

SW_INLINE bool sw_two_sided(const struct sw_conn *c)
{
	return c->end[0].flags & c->end[1].flags & SW_E_SEEN;
}

/* Which timeout governs: the later phase of the two ends. */
SW_TABLE u8 sw_phase[16] = {
	[SW_LISTEN] = SW_T_SYN_SENT,         [SW_SYN_SENT] = SW_T_SYN_SENT,   [SW_SYN_RCVD] = SW_T_SYN_RCVD,
	[SW_ESTABLISHED] = SW_T_ESTABLISHED, [SW_FIN_WAIT_1] = SW_T_FIN_WAIT, [SW_FIN_WAIT_2] = SW_T_CLOSE_WAIT,
	[SW_CLOSE_WAIT] = SW_T_CLOSE_WAIT,   [SW_CLOSING] = SW_T_FIN_WAIT,    [SW_LAST_ACK] = SW_T_LAST_ACK,
	[SW_TIME_WAIT] = SW_T_TIME_WAIT,     [SW_CLOSED] = SW_T_CLOSED,
};

SW_INLINE enum sw_timeout sw_timeout_of(const struct sw_conn *c)
{
	u8 a = sw_phase[c->end[0].state & 15], b = sw_phase[c->end[1].state & 15];
	u8 row = a > b ? a : b;

	return row == SW_T_ESTABLISHED && !sw_two_sided(c) ? SW_T_ONE_SIDED : row;
}

/* In these phases plain segments keep a connection alive; the small table remembers that there were some. */
#define SW_RENEWABLE (1u << SW_T_ESTABLISHED | 1u << SW_T_CLOSE_WAIT | 1u << SW_T_ONE_SIDED)

/* Its time is over. `active`: the word of the small table; `tick`: now, in units of 2^SW_TICK ns. */
SW_INLINE bool sw_expired(const struct sw_set *set, u32 way, u32 active, u32 tick)
{
	if ((s32)(tick - set->deadline[way]) < 0)
		return false;
	return !(active >> SW_SEAT(way) & 1 && (1u << sw_timeout_of(&set->conn[way]) & SW_RENEWABLE));
}

SW_INLINE u32 sw_tick(u64 ns)
{
	return ns >> SW_TICK;
}

SW_INLINE void sw_set_deadline(struct sw_tags *t, struct sw_set *set, u32 way, u64 now,
			       const volatile struct sw_conf *conf)
{
	struct sw_conn *c = &set->conn[way];
	enum sw_timeout row = sw_timeout_of(c);
	bool since_synack = row == SW_T_SYN_RCVD && c->synack_ns && !(c->flags & SW_C_HS_DONE);

	set->deadline[way] = sw_tick((since_synack ? c->synack_ns : now) + conf->timeout[row & 15]) + 1;
	if (t->active >> SW_SEAT(way) & 1)
		__sync_fetch_and_and(&t->active, ~(1u << SW_SEAT(way)));
}

/* Takes a connection out of the table; its open accounts are settled under the names given. */
SW_INLINE void sw_drop(struct sw_tags *t, struct sw_set *set, u32 way, struct sw_step *s, bool expired)
{
	struct sw_conn *c = &set->conn[way];
	u32 bit = 1u << way;

	if (expired)
		sw_event(s, SW_EV_FREED_EXPIRED);
	else if (set->closed & bit)
		sw_event(s, SW_EV_FREED_CLOSED);
	else
		sw_event(s, c->flags & SW_C_HS_DONE ? SW_EV_EVICT_OPEN : SW_EV_EVICT_HALF_OPEN);
	sw_settle(c, s, expired ? SW_HS_TIMED_OUT : SW_HS_EVICTED, expired ? SW_TD_TIMED_OUT : SW_TD_EVICTED);
	s->dropped |= bit;
	set->used &= ~bit;
	set->kept &= ~bit;
	set->closed &= ~bit;
	t->tag[way] = 0;
}

/* Each insert looks at one way more: what expired goes, what was active gets its time anew (second chance). */
SW_INLINE void sw_reclaim_one(struct sw_tags *t, struct sw_set *set, u64 now, const volatile struct sw_conf *conf,
			      struct sw_step *s)
{
	u32 way = set->hand;

	if (way >= SW_WAYS)
		way = 0;
	set->hand = way + 1;
	if (!(set->used >> way & 1) || (s32)(sw_tick(now) - set->deadline[way]) < 0)
		return;
	if (sw_expired(set, way, t->active, sw_tick(now)))
		sw_drop(t, set, way, s, true);
	else
		sw_set_deadline(t, set, way, now, conf);
}

SW_INLINE u32 sw_expired_ways(const struct sw_set *set, u32 among, u32 active, u32 tick)
{
	u32 old = 0;

	SW_UNROLL
	for (u32 i = 0; i < SW_WAYS; i++)
		/* no branch: 30 of them would cost the verifier dear */
		old |= (~(tick - set->deadline[i]) >> 31 & ~(active >> SW_SEAT(i)) & 1) << i;
	/* of the active ones nobody knows here; they get their second chance from the hand */
	return old & among;
}

/* The first of `m` (not 0) at or after `hand`: the oldest come first, the whole round is fair. */
SW_INLINE u32 sw_next_of(u32 m, u32 hand)
{
	u32 later = hand < 32 ? m & ~((1u << (hand & 31)) - 1) : 0;

	return sw_lowest(later ? later : m);
}

/* A way for a newcomer, always found: free, else expired, else closed, else the next of the half-open class. */
SW_INLINE u32 sw_place(struct sw_tags *t, struct sw_set *set, u64 now, const volatile struct sw_conf *conf,
		       struct sw_step *s)
{
	sw_reclaim_one(t, set, now, conf, s);

	u32 half = set->used & ~set->kept, among = set->used, free = ~set->used & SW_ALL_WAYS;
	bool full = sw_bits(half) >= conf->half_ways;

	if (free && !full)
		return sw_lowest(free);
	if (full)
		among = half;
	u32 old = sw_expired_ways(set, among, t->active, sw_tick(now));
	u32 from = old ? old : (set->closed & among) ? (set->closed & among) : half;
	u32 way = sw_next_of(from, set->hand);
	if (way >= SW_WAYS)
		return 0; /* cannot be: the classes leave SW_HALF_MIN ways; the verifier wants to hear it */
	sw_drop(t, set, way, s, old);
	return way;
}

/* Segments that a connection is not waiting for take the fast way out. */
#define SW_AT_REST \
	(1u << SW_ESTABLISHED | 1u << SW_FIN_WAIT_2 | 1u << SW_CLOSE_WAIT | 1u << SW_TIME_WAIT | 1u << SW_CLOSED)

/* For whose segments a connection waits: SW_WAIT_* of either endpoint of the key. An end that was never seen is waited for,
 * however late it comes into sight (hooks are attached one after the other), and the other end's data stays fast. */
SW_INLINE u16 sw_waits(const struct sw_conn *c)
{
	u32 hi = c->flags & SW_C_CLIENT_HI ? SW_CLIENT : SW_SERVER;

	if (!SW_IN(c->end[0].state, SW_AT_REST) || !SW_IN(c->end[1].state, SW_AT_REST) || c->flags & SW_C_PROVISIONAL ||
	    (c->flags & SW_C_ALT && sw_refused(c)))
		return SW_WAITING;
	if (sw_closed(c))
		return 0;
	return (c->end[hi].flags & SW_E_SEEN ? 0 : SW_WAIT_HI) | (c->end[!hi].flags & SW_E_SEEN ? 0 : SW_WAIT_LO);
}

/* After a step: class, deadline and tag follow the state. */
SW_INLINE void sw_file(struct sw_tags *t, struct sw_set *set, u32 way, u16 tag, u64 now,
		       const volatile struct sw_conf *conf, struct sw_step *s)
{
	struct sw_conn *c = &set->conn[way];
	u32 bit = 1u << way;

	if (!(set->kept & bit) && (c->flags & SW_C_HS_DONE) && (conf->one_way || sw_two_sided(c))) {
		if (sw_bits(set->kept & ~set->closed) < conf->kept_ways)
			set->kept |= bit;
		else if (s->events & (1ULL << SW_EV_COMPLETED))
			sw_event(s, SW_EV_UNPROTECTED);
	}
	if (sw_closed(c) && !(c->flags & SW_C_PROVISIONAL))
		set->closed |= bit;
	else
		set->closed &= ~bit;
	set->used |= bit;
	if (s->renew || (1u << sw_timeout_of(c) & SW_RENEWABLE))
		sw_set_deadline(t, set, way, now, conf);
	t->tag[way] = tag | sw_waits(c);
}

/* Is this the first segment of a new connection on the addresses and ports of an old one? */
SW_INLINE bool sw_starts_anew(const struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	const struct sw_end *x = &c->end[from & 1];
	bool same = (x->flags & SW_E_ISN) && x->isn == p->seq;

	if (p->kind == SW_KIND_SYN) {
		if (sw_finished(c))
			return !same || (c->flags & SW_C_RESET);
		return from == SW_CLIENT && c->end[SW_SERVER].state == SW_LISTEN && !same;
	}
	return p->kind == SW_KIND_SYN_ACK && sw_finished(c) && !same && !(c->flags & SW_C_RESET);
}

/* The way of the segment's connection: where it is, or where it shall be (s->fresh). False: no business of ours. */
SW_INLINE bool sw_way(struct sw_tags *t, struct sw_set *set, u16 tag, const struct sw_packet *p, u64 now,
		      const volatile struct sw_conf *conf, struct sw_step *s)
{
	u32 way = sw_find(t, set, tag, &p->key);

	s->fresh = way >= SW_WAYS;
	if (!s->fresh && sw_expired(set, way, t->active, sw_tick(now))) {
		sw_drop(t, set, way, s, true);
		s->fresh = 1;
	}
	if (s->fresh && p->kind == SW_KIND_RST) {
		sw_event(s, SW_EV_RST_UNKNOWN);
		s->way = SW_WAYS;
		return false;
	}
	s->way = way < SW_WAYS ? way : sw_place(t, set, now, conf, s);
	return true;
}

/* Makes the connection, when the segment is the first of one. */
SW_INLINE void sw_meet_conn(struct sw_set *set, struct sw_conn *c, const struct sw_packet *p, u64 now,
			    struct sw_step *s)
{
	if (!s->fresh) {
		s->from = sw_role(c, p);
		if (!sw_starts_anew(c, p, s->from) && !(s->cookie && sw_finished(c)))
			return;
		if (p->kind == SW_KIND_SYN && (c->flags & SW_C_RIVAL) && c->rival.isn == p->seq &&
		    s->from == (c->flags & SW_C_RIVAL_SERVER ? SW_SERVER : SW_CLIENT)) {
			/* the rival's SYN again: what it was up against has ended */
			set->kept &= ~(1u << (s->way & 31));
			sw_rival_wins(c, p, SW_CLIENT, s);
			s->renew = 1;
			s->from = SW_CLIENT;
			return; /* sw_track counts the retransmission */
		}
		sw_settle(c, s, SW_HS_TIMED_OUT, SW_TD_TIMED_OUT);
		s->dropped |= 1u << (s->way & 31);
		set->kept &= ~(1u << (s->way & 31));
		s->fresh = 1;
	}
	s->renew = 1;
	if (p->kind == SW_KIND_SYN)
		sw_begin_syn(c, p, now, s);
	else if (p->kind == SW_KIND_SYN_ACK)
		sw_begin_synack(c, p, now, s);
	else if (s->cookie)
		sw_begin_cookie(c, p, now, s);
	else
		sw_begin_midstream(c, p, now, s);
	s->from = sw_role(c, p);
	sw_seen(c, p, s->from);
}

/* All ways of a stage meet in memory before the next begins: the verifier follows each stage once. */
SW_INLINE void sw_segment(struct sw_tags *t, struct sw_set *set, struct sw_ladders *ladders, u16 tag,
			  const struct sw_packet *p, u64 now, const volatile struct sw_conf *conf, struct sw_step *s,
			  struct sw_trace *trace)
{
	if (!sw_way(t, set, tag, p, now, conf, s)) {
		if (s->listen)
			sw_tell_stray(trace, p, s, now);
		return;
	}
	SW_STAGE();
	u32 way = s->way;
	if (way >= SW_WAYS)
		return;
	struct sw_conn *c = &set->conn[way];
	sw_meet_conn(set, c, p, now, s);
	SW_STAGE();
	s->was[0] = c->end[0].state;
	s->was[1] = c->end[1].state;
	if (s->listen)
		trace->changed_ns = s->fresh ? 0 : c->changed_ns;
	if (!s->fresh || p->kind == SW_KIND_FIN)
		sw_track(c, p, s->from & 1, now, conf->timeout[SW_T_INFER], s);
	SW_STAGE();
	s->server = c->flags & SW_C_CLIENT_HI ? 0 : 1;
	s->syn_seen = SW_ORIGIN(c->flags) == SW_ORIGIN_SYN;
	sw_file(t, set, way, tag, now, conf, s);
	SW_STAGE();
	sw_note(ladders, c, p, now, s, trace);
}

/* One segment against its set. `tag` without SW_WAITING. `ladders`: NULL when none are kept; `trace`: filled if
 * s->listen is set. */
SW_INLINE void sw_table_step(struct sw_tags *t, struct sw_set *set, struct sw_ladders *ladders, u16 tag,
			     const struct sw_packet *p, u64 now, const volatile struct sw_conf *conf, struct sw_step *s,
			     struct sw_trace *trace)
{
	sw_segment(t, set, ladders, tag, p, now, conf, s, trace);
	SW_UNROLL
	for (u32 i = 0; i < SW_BOOK_COUNT; i++)
		set->book[i] += s->book[i];
}

#endif
