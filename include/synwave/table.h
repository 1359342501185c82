/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The table: sets of SW_WAYS ways, one lock per set, two classes of ways in a set.
 *
 * A half-open connection takes a small way (struct sw_half) and moves to a large one when its handshake completes; so a
 * flood of SYNs competes with itself alone, in few cache lines. What is evicted, and why, is decided here and counted.
 * Nothing runs in the background: age is judged when somebody looks. All of it is plain memory, called with the set
 * locked. */
#ifndef SYNWAVE_TABLE_H
#define SYNWAVE_TABLE_H

#include "slot.h"
#include "tags.h"
#include "trace.h"

#define SW_LOOSE 1 /* of the large ways, that kept connections never take */

/* The way of the connection, or SW_WAYS. Tags let in one stranger in 550. */
SW_INLINE u32 sw_find(const struct sw_shelf *f, u16 tag, const struct sw_key *key)
{
	u32 waiting, m = sw_match(f->tags, tag, 0, &waiting);

	for (int i = 0; i < 4 && m; i++) {
		u32 seat = sw_lowest(m), way = SW_WAY_OF(seat);
		if (sw_is(f, way, key))
			return way;
		m &= m - 1;
	}
	return SW_WAYS;
}

/* What the table knows of a segment's addresses and ports, read without the lock: a hint for who decides before the
 * step. On every machine it may find a connection half written, on arm64 in any order (its tag before its record, its key
 * before its flags): then one segment is judged by what lay there a moment ago. */
enum sw_known {
	SW_KNOWN_NOT, /* nothing, or a connection that is over */
	SW_KNOWN_ASKED, /* a SYN that nobody answered */
	SW_KNOWN_HALF, /* half-open */
	SW_KNOWN_DONE, /* its handshake is done, as far as anybody can claim that */
	SW_KNOWN_LIVING /* and proved (SW_C_PROVED) */
};

SW_INLINE enum sw_known sw_known(const struct sw_shelf *f, u16 tag, const struct sw_key *key)
{
	u32 way = sw_find(f, tag, key), half = way - f->conf->live_ways;

	if (way < f->conf->live_ways) {
		const struct sw_live *l = &f->live[way];

		if (sw_both_finished(l->end))
			return SW_KNOWN_NOT;
		if (l->flags & SW_C_HS_DONE)
			return l->flags & SW_C_PROVED ? SW_KNOWN_LIVING : SW_KNOWN_DONE;
		return l->end[SW_SERVER].state == SW_LISTEN ? SW_KNOWN_ASKED : SW_KNOWN_HALF;
	}
	if (half >= f->conf->half_ways)
		return SW_KNOWN_NOT;
	return f->half[half].state == SW_LISTEN ? SW_KNOWN_ASKED : SW_KNOWN_HALF;
}

/* Is the SYN a copy of one that came in at another attachment within the last second, and was judged there? A SYN has three
 * copies at most, then it is judged again: who reaches two interfaces gets no more than that for free. Read without the lock,
 * as sw_known. */
SW_INLINE bool sw_is_copy(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now)
{
	u32 way = sw_find(f, tag, &p->key), half = way - f->conf->live_ways, flags, isn, seen_at;
	u64 first;

	if (way < f->conf->live_ways) {
		const struct sw_live *l = &f->live[way];
		if (l->flags & SW_C_RESET)
			return false;
		first = l->first_ns;
		flags = l->flags;
		isn = l->end[SW_CLIENT].isn;
		seen_at = l->seen_at[SW_CLIENT];
	} else if (half < f->conf->half_ways) {
		const struct sw_half *h = &f->half[half];
		first = h->first_ns;
		flags = h->flags;
		isn = h->isn[SW_CLIENT];
		seen_at = h->seen_at[SW_CLIENT];
	} else {
		return false;
	}
	return isn == p->seq && seen_at != p->seen_at && !(seen_at & 1) && now - first < SW_NS_PER_S &&
	       p->from == !!(flags & SW_C_CLIENT_HI) && SW_ORIGIN(flags) == SW_ORIGIN_SYN &&
	       (flags & SW_C_COPIES) != SW_C_COPIES;
}

/* Which timeout governs: the later phase of the two ends. */
SW_TABLE u8 sw_phase[16] = {
	[SW_LISTEN] = SW_T_SYN_SENT,         [SW_SYN_SENT] = SW_T_SYN_SENT,   [SW_SYN_RCVD] = SW_T_SYN_RCVD,
	[SW_ESTABLISHED] = SW_T_ESTABLISHED, [SW_FIN_WAIT_1] = SW_T_FIN_WAIT, [SW_FIN_WAIT_2] = SW_T_CLOSE_WAIT,
	[SW_CLOSE_WAIT] = SW_T_CLOSE_WAIT,   [SW_CLOSING] = SW_T_FIN_WAIT,    [SW_LAST_ACK] = SW_T_LAST_ACK,
	[SW_TIME_WAIT] = SW_T_TIME_WAIT,     [SW_CLOSED] = SW_T_CLOSED,
};

SW_INLINE enum sw_timeout sw_timeout_of(const struct sw_end end[2], u32 flags)
{
	u8 a = sw_phase[end[0].state & 15], b = sw_phase[end[1].state & 15];
	u8 row = a > b ? a : b;

	return row == SW_T_ESTABLISHED && !(flags & SW_C_PROVED) ? SW_T_ONE_SIDED : row;
}

/* In these phases plain segments keep a connection alive: the first in each generation sets the deadline again. */
#define SW_RENEWABLE (1u << SW_T_ESTABLISHED | 1u << SW_T_CLOSE_WAIT | 1u << SW_T_ONE_SIDED)
/* In these too, and each of them is a step: a FIN may come long before data that was sent before it and lost. */
#define SW_CLOSING_TIME (1u << SW_T_FIN_WAIT | 1u << SW_T_LAST_ACK)

SW_INLINE bool sw_past(u32 deadline, u32 tick)
{
	return (s32)(tick - deadline) >= 0;
}

/* Its time is over. `tick`: now, in units of 2^SW_TICK ns. */
SW_INLINE bool sw_expired(const struct sw_conn *c, u32 tick)
{
	return sw_past(c->deadline, tick);
}

SW_INLINE u32 sw_tick(u64 ns)
{
	return ns >> SW_TICK;
}

/* Segments later in this generation keep a connection as well: it gets the generation's length on top. */
SW_INLINE u32 sw_deadline(const struct sw_conn *c, u64 now, const volatile struct sw_conf *conf)
{
	enum sw_timeout row = sw_timeout_of(c->end, c->flags);
	bool since_synack = row == SW_T_SYN_RCVD && c->synack_ns && !(c->flags & SW_C_HS_DONE);
	u64 more = 1u << row & SW_RENEWABLE ? conf->generation_ns : 0;

	return sw_tick((since_synack ? c->synack_ns : now) + conf->timeout[row & (SW_TIMEOUT_ROOM - 1)] + more) + 1;
}

/* The way is free again. */
SW_INLINE void sw_leave(const struct sw_shelf *f, u32 way, bool sided)
{
	u32 bit = 1u << (way & 31);

	if (sided)
		sw_side_free(f->set, way);
	f->set->used &= ~bit;
	f->set->kept &= ~bit;
	f->set->closed &= ~bit;
	if (way < SW_WAYS)
		f->tags->tag[way] = 0;
}

/* Takes a connection out of the table; its open accounts are settled under the names given. */
SW_INLINE void sw_drop(const struct sw_shelf *f, u32 way, u32 flags, struct sw_step *s, bool expired)
{
	bool hs = flags & SW_C_HS_OPEN, td = flags & SW_C_TD_OPEN;

	if (expired)
		sw_event(s, SW_EV_FREED_EXPIRED);
	else if (f->set->closed >> (way & 31) & 1)
		sw_event(s, SW_EV_FREED_CLOSED);
	else
		sw_event(s, flags & SW_C_HS_DONE ? SW_EV_EVICT_OPEN : SW_EV_EVICT_HALF_OPEN);
	s->book[SW_HS_TIMED_OUT] += hs & expired;
	s->book[SW_HS_EVICTED] += hs & !expired;
	s->book[SW_TD_TIMED_OUT] += td & expired;
	s->book[SW_TD_EVICTED] += td & !expired;
	s->dropped |= 1u << (way & 31);
	sw_leave(f, way, flags & SW_C_SIDED);
}

/* The first of `m` (not 0) at or after `hand`: the oldest come first, the whole round is fair. */
SW_INLINE u32 sw_next_of(u32 m, u32 hand)
{
	u32 later = hand < 32 ? m & ~((1u << (hand & 31)) - 1) : 0;

	return sw_lowest(later ? later : m);
}

/* The next of the large ways: what expired goes. */
SW_INLINE void sw_reclaim_one(const struct sw_shelf *f, u64 now, struct sw_step *s)
{
	u32 way = f->set->live_hand, tick = sw_tick(now);

	if (way >= f->conf->live_ways)
		way = 0;
	f->set->live_hand = way + 1;
	if (way >= f->conf->live_ways || !(f->set->used >> (way & 31) & 1))
		return;
	struct sw_live *l = &f->live[way];
	if (sw_past(l->deadline, tick))
		sw_drop(f, way, l->flags, s, true);
}

SW_INLINE u32 sw_large_ways(const volatile struct sw_conf *conf)
{
	return (1u << (conf->live_ways & 31)) - 1;
}

#define SW_RECLAIMS 4 /* ways that are looked at before a living connection has to go */

/* A large way, always found: free, else expired if one is near, else closed, else the next that is not kept. */
SW_INLINE u32 sw_place_live(const struct sw_shelf *f, u64 now, struct sw_step *s)
{
	u32 all = sw_large_ways(f->conf), from, way;

	for (int i = 0; i < SW_RECLAIMS; i++) {
		sw_reclaim_one(f, now, s);
		if (~f->set->used & all)
			break;
	}
	if (~f->set->used & all)
		return sw_lowest(~f->set->used & all);
	from = f->set->closed & all ? f->set->closed & all : ~f->set->kept & all;
	if (!from)
		return 0; /* cannot be: SW_LOOSE */
	way = sw_next_of(from, f->set->live_hand);
	if (way < f->conf->live_ways)
		sw_drop(f, way, f->live[way].flags, s, false);
	return way;
}

/* The next small way: free, else that of the connection that came first. */
SW_INLINE u32 sw_next_half(const struct sw_shelf *f)
{
	u32 first = f->conf->live_ways, all = ((1u << (f->conf->half_ways & 31)) - 1) << (first & 31);
	u32 free = ~f->set->used & all, hand = f->set->half_hand;

	return free ? sw_lowest(free) : first + (hand < f->conf->half_ways ? hand : 0);
}

/* A small way, always found. */
SW_INLINE u32 sw_place_half(const struct sw_shelf *f, u64 now, struct sw_step *s)
{
	u32 way = sw_next_half(f), half = way - f->conf->live_ways;

	if (!(f->set->used >> (way & 31) & 1))
		return way;
	f->set->half_hand = half + 1;
	if (half < f->conf->half_ways)
		sw_drop(f, way, f->half[half].flags, s, sw_past(f->half[half].deadline, sw_tick(now)));
	return way;
}

/* What a step will see of a set once it holds the lock is called for before, all at once: a locked instruction waits for
 * what came before it and lets nothing overtake it, so that the cache misses would come one after the other. A hint: what
 * is read here may change until then. */
SW_INLINE void sw_warm(const struct sw_shelf *f, u16 tag, const struct sw_packet *p)
{
	u32 waiting, m = sw_match(f->tags, tag, 0, &waiting);
	u32 way = m ? SW_WAY_OF(sw_lowest(m)) : sw_next_half(f), half = way - f->conf->live_ways, touched = 0;
	u32 free = ~f->set->used & sw_large_ways(f->conf);

	if (half < f->conf->half_ways)
		touched = *(volatile u8 *)&f->half[half].pad;
	if (m && f->ladders && way < f->conf->live_ways)
		touched += *(volatile u32 *)&f->ladders->way[way].rung[3].seq; /* the handshake's lie above */
	if (half < f->conf->half_ways && m && p->kind == SW_KIND_ACK && free) {
		way = sw_lowest(free); /* the handshake's last: it moves */
		if (f->ladders && way < SW_WAYS)
			touched += *(volatile u32 *)&f->ladders->way[way].rung[0].at +
				   *(volatile u32 *)&f->ladders->way[way].rung[3].seq;
	}
	if (way < f->conf->live_ways)
		touched += *(volatile u32 *)&f->live[way].key + *(volatile u32 *)&f->live[way].end[0] +
			   *(volatile u32 *)&f->live[way].deadline; /* they lie across three lines at most */
	SW_OPAQUE(touched);
}

/* Segments that a connection is not waiting for take the fast way out. */
#define SW_AT_REST \
	(1u << SW_ESTABLISHED | 1u << SW_FIN_WAIT_2 | 1u << SW_CLOSE_WAIT | 1u << SW_TIME_WAIT | 1u << SW_CLOSED)

/* For whose segments a connection waits: SW_WAIT_* of either endpoint of the key. An end that was never seen is waited for,
 * however late it comes into sight (hooks are attached one after the other), and the other end's data stays fast. */
SW_INLINE u16 sw_waits(const volatile struct sw_conf *conf, const struct sw_conn *c)
{
	u32 hi = c->flags & SW_C_CLIENT_HI ? SW_CLIENT : SW_SERVER;

	if (!SW_IN(c->end[0].state, SW_AT_REST) || !SW_IN(c->end[1].state, SW_AT_REST) || c->flags & SW_C_PROVISIONAL ||
	    (c->flags & SW_C_ALT && sw_refused(c)) || sw_may_ask(conf, c->flags))
		return SW_WAITING;
	if (sw_closed(c))
		return 0;
	return (c->end[hi].flags & SW_E_SEEN ? 0 : SW_WAIT_HI) | (c->end[!hi].flags & SW_E_SEEN ? 0 : SW_WAIT_LO);
}

/* After a step: the connection's way. If it must change, the old one is left. */
SW_INLINE void sw_settle_down(const struct sw_shelf *f, const struct sw_conn *c, u64 now, struct sw_step *s)
{
	bool half = sw_fits_half(c);
	u32 way = s->came;

	if (way < SW_WAYS) {
		u32 bit = 1u << way;

		if (s->fresh || s->anew) /* another connection: what is said of the way does not hold for it */
			f->set->kept &= ~bit;
		if (half == (way >= f->conf->live_ways)) {
			s->way = way;
			return;
		}
		sw_leave(f, way, s->sided);
	}
	s->way = half ? sw_place_half(f, now, s) : sw_place_live(f, now, s);
}

/* Class, tag and deadline follow the state; then the record is written. */
SW_INLINE void sw_file(const struct sw_shelf *f, u16 tag, u16 generation, u64 now, struct sw_conn *c, struct sw_step *s)
{
	struct sw_set *set = f->set;
	u32 way = s->way, bit = 1u << (way & 31);

	if (way >= SW_WAYS)
		return;
	if (sw_closed(c) && !(c->flags & SW_C_PROVISIONAL)) {
		set->closed |= bit;
		set->kept &= ~bit;
	} else {
		set->closed &= ~bit;
		if (!(set->kept & bit) && c->flags & SW_C_PROVED) {
			if (sw_bits(set->kept) + SW_LOOSE < f->conf->live_ways)
				set->kept |= bit;
			else if (s->events & 1ULL << SW_EV_COMPLETED)
				sw_event(s, SW_EV_UNPROTECTED);
		}
	}
	set->used |= bit;
	if (s->renew || 1u << sw_timeout_of(c->end, c->flags) & (SW_RENEWABLE | SW_CLOSING_TIME))
		c->deadline = sw_deadline(c, now, f->conf);
	sw_mark_active(f->tags, way, generation);
	if (s->sided && s->came < SW_WAYS)
		sw_side_free(set, s->came);
	if (c->flags & SW_C_SIDED)
		sw_side_put(f, way, c, s);
	f->tags->tag[way] = tag | sw_waits(f->conf, c);
	sw_store(f, way, c);
}

/* Is this the first segment of a new connection on the addresses and ports of an old one? */
SW_INLINE bool sw_starts_anew(const volatile struct sw_conf *conf, const struct sw_conn *c, const struct sw_packet *p,
			      u32 from)
{
	const struct sw_end *x = &c->end[from & 1];
	bool same = (x->flags & SW_E_ISN) && x->isn == p->seq;

	if (p->kind == SW_KIND_SYN) {
		if (sw_finished(c))
			return !same || (c->flags & SW_C_RESET);
		return from == SW_CLIENT && c->end[SW_SERVER].state == SW_LISTEN && !same;
	}
	if (p->kind != SW_KIND_SYN_ACK || !sw_finished(c) || same || c->flags & SW_C_RESET)
		return false;
	return !(c->flags & SW_C_PROVED) || sw_is_inside(conf, c, p, from); /* not on a stranger's word */
}

/* The connection of the segment, if the table has it: into *c. False: no business of ours. */
SW_INLINE bool sw_fetch(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now, struct sw_step *s,
			struct sw_conn *c)
{
	u32 way = sw_find(f, tag, &p->key);

	s->way = s->came = SW_WAYS;
	s->fresh = !sw_load(f, way, c);
	if (!s->fresh) {
		s->came = way;
		s->sided = !!(c->flags & SW_C_SIDED);
		if (sw_expired(c, sw_tick(now))) {
			sw_drop(f, way, c->flags, s, true);
			s->came = SW_WAYS;
			s->sided = 0;
			s->fresh = 1;
		}
	}
	if (!s->fresh || p->kind != SW_KIND_RST)
		return true;
	sw_event(s, SW_EV_RST_UNKNOWN);
	return false;
}

/* Makes the connection, when the segment is the first of one. */
SW_INLINE void sw_meet_conn(const volatile struct sw_conf *conf, struct sw_conn *c, const struct sw_packet *p, u64 now,
			    struct sw_step *s)
{
	if (!s->fresh) {
		s->from = sw_role(c, p);
		if (!sw_starts_anew(conf, c, p, s->from) && !(s->cookie && sw_finished(c)))
			return;
		if (p->kind == SW_KIND_SYN && (c->flags & SW_C_RIVAL) && c->rival.isn == p->seq &&
		    s->from == (c->flags & SW_C_RIVAL_SERVER ? SW_SERVER : SW_CLIENT)) {
			/* the rival's SYN again: what it was up against has ended */
			sw_rival_wins(c, p, SW_CLIENT, s);
			s->renew = 1;
			s->from = SW_CLIENT;
			return; /* sw_track counts the retransmission */
		}
		sw_settle(c, s, SW_HS_TIMED_OUT, SW_TD_TIMED_OUT);
		s->dropped |= 1u << (s->came & 31);
		s->fresh = 1;
	}
	s->renew = 1;
	s->inside = p->inside | !!conf->both_ways;
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
	sw_note_solid(c, p, s->from);
}

/* All ways of a stage meet in memory before the next begins: the verifier follows each stage once. */
SW_INLINE void sw_segment(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now, struct sw_step *s,
			  struct sw_conn *c, struct sw_trace *trace)
{
	if (!sw_fetch(f, tag, p, now, s, c)) {
		if (s->listen)
			sw_tell_stray(trace, p, s, now);
		return;
	}
	SW_STAGE();
	if (!s->fresh && sw_is_impostor(f->conf, c, p, sw_role(c, p))) {
		s->way = s->came;
		return;
	}
	sw_meet_conn(f->conf, c, p, now, s);
	SW_STAGE();
	s->was[0] = c->end[0].state;
	s->was[1] = c->end[1].state;
	s->was_done = !!(c->flags & SW_C_HS_DONE);
	if (s->listen)
		trace->changed_ns = s->fresh ? 0 : c->changed_ns;
	if (!s->fresh || p->kind == SW_KIND_FIN)
		sw_track(f->conf, c, p, s->from & 1, now, s);
	SW_STAGE();
	sw_judge_proof(f->conf, c, p, now, s);
	SW_STAGE();
	s->server = c->flags & SW_C_CLIENT_HI ? 0 : 1;
	s->syn_seen = SW_ORIGIN(c->flags) == SW_ORIGIN_SYN;
	sw_settle_down(f, c, now, s);
	SW_STAGE();
	sw_bring_ladder(f, c, s);
	SW_STAGE();
	sw_note(f, c, p, now, s, trace);
	SW_STAGE();
	sw_file(f, tag, p->generation, now, c, s);
}

/* After a step with s->ask, the set locked again: the kernel has a socket past its handshake for that segment, so the
 * connection is proved. False: it is no longer there. */
SW_INLINE bool sw_table_proved(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now, struct sw_step *s,
			       struct sw_conn *c)
{
	u32 way = sw_find(f, tag, &p->key);

	if (!sw_load(f, way, c) || !(c->flags & SW_C_HS_DONE) || c->flags & SW_C_PROVED)
		return false;
	s->way = s->came = way;
	s->sided = !!(c->flags & SW_C_SIDED);
	s->from = sw_role(c, p);
	sw_prove(c, s->from == SW_CLIENT, s);
	sw_file(f, tag, p->generation, now, c, s);
	f->set->version++;
	return true;
}

/* One segment against its set. `tag` without SW_WAITING; `c`: room to work in; `trace`: filled if s->listen is set. */
SW_INLINE void sw_table_step(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now, struct sw_step *s,
			     struct sw_conn *c, struct sw_trace *trace)
{
	f->set->version++;
	sw_segment(f, tag, p, now, s, c, trace);
	SW_UNROLL
	for (u32 i = 0; i < SW_BOOK_COUNT; i++)
		if (s->book[i]) /* most of them lie in a line that is not needed else */
			f->set->book[i] += s->book[i];
}

#endif
