/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which segments are steps of a handshake or teardown; what is remembered of them, and what is told to who listens. */
#ifndef SYNWAVE_TRACE_H
#define SYNWAVE_TRACE_H

#include "slot.h"
#include "tracker.h"

/* Events that tell of an entry which gave way, not of the segment that took its place. */
#define SW_EVENTS_OF_OTHERS \
	(1ULL << SW_EV_FREED_EXPIRED | 1ULL << SW_EV_FREED_CLOSED | 1ULL << SW_EV_EVICT_HALF_OPEN | \
	 1ULL << SW_EV_EVICT_OPEN)
#define SW_STEP_KINDS (1u << SW_KIND_SYN | 1u << SW_KIND_SYN_ACK | 1u << SW_KIND_FIN | 1u << SW_KIND_RST)

/* The connection began with this segment, or either end's state changed. */
SW_INLINE bool sw_changed(const struct sw_conn *c, const struct sw_step *s)
{
	return s->fresh || s->anew || s->was[0] != c->end[0].state || s->was[1] != c->end[1].state;
}

/* A step: what changed something, what made an event, and each SYN, SYN-ACK, FIN and RST, unless it is the copy of one
 * that was seen at another hook before. */
SW_INLINE bool sw_is_step(const struct sw_conn *c, const struct sw_packet *p, const struct sw_step *s, u32 from)
{
	if (sw_changed(c, s) || s->events & ~SW_EVENTS_OF_OTHERS)
		return true;
	return 1u << (p->kind & 31) & SW_STEP_KINDS && c->seen_at[from & 1] == p->seen_at;
}

#define SW_RUNG_FLAGS (SW_TCP_FIN | SW_TCP_SYN | SW_TCP_RST | SW_TCP_ACK)

/* The rung of the same segment, or SW_RUNGS. Looks no further than it must: each three rungs are a cache line. */
SW_INLINE u32 sw_rung_of(const struct sw_ladder *l, u32 rungs, const struct sw_packet *p, u32 from)
{
	for (u32 i = 0; i < SW_RUNGS && i < rungs; i++) {
		const struct sw_rung *r = &l->rung[i];

		if (!((r->seq ^ p->seq) | (r->from ^ from) | ((r->flags ^ p->flags) & SW_RUNG_FLAGS)))
			return i;
	}
	return SW_RUNGS;
}

/* A first SYN; `flags`: SW_C_* of its connection. */
SW_INLINE struct sw_rung sw_first_rung(u32 isn, u16 window, u32 len, u32 flags)
{
	return (struct sw_rung){
		.seq = isn,
		.window = window,
		.len = len < 0xffff ? len : 0xffff,
		.flags = SW_TCP_SYN | (flags & SW_C_SYN_ECE ? SW_TCP_ECE : 0) | (flags & SW_C_SYN_CWR ? SW_TCP_CWR : 0),
		.from = SW_CLIENT,
		.states = SW_SYN_SENT | SW_LISTEN << 4,
	};
}

/* The connection's first SYN, out of what it left in the record. */
SW_INLINE struct sw_rung sw_syn_rung(const struct sw_conn *c)
{
	const struct sw_end *x = &c->end[SW_CLIENT];
	u32 len = x->flags & SW_E_FIN ? 0 : x->nxt - x->isn - 1; /* a FIN has taken its place */

	return sw_first_rung(x->isn, x->window, len, c->flags);
}

/* SYN and SYN-ACK, out of what they left in the record of a half-open connection. */
SW_INLINE void sw_early_rungs(struct sw_rung r[2], const struct sw_half *h)
{
	r[0] = sw_first_rung(h->isn[SW_CLIENT], h->window[SW_CLIENT], h->len[SW_CLIENT], h->flags);
	r[1] = (struct sw_rung){
		.at = h->synack,
		.last = h->synack,
		.seq = h->isn[SW_SERVER],
		.ack = h->isn[SW_CLIENT] + 1 + h->len[SW_CLIENT],
		.window = h->window[SW_SERVER],
		.flags = SW_TCP_SYN | SW_TCP_ACK,
		.from = SW_SERVER,
		.states = SW_SYN_SENT | SW_SYN_RCVD << 4,
	};
}

/* A first SYN-ACK like any other needs no rung yet: its record says all of it. */
SW_INLINE bool sw_goes_without(const struct sw_shelf *f, const struct sw_conn *c, const struct sw_packet *p,
			       const struct sw_step *s)
{
	return !c->rungs && s->way >= f->conf->live_ways && p->flags == (SW_TCP_SYN | SW_TCP_ACK) && !p->len &&
	       s->was[SW_SERVER] == SW_LISTEN && c->end[SW_SERVER].state == SW_SYN_RCVD &&
	       p->ack == c->end[SW_CLIENT].nxt && c->end[SW_CLIENT].flags & SW_E_OFFER && !s->fresh && !s->anew;
}

/* The record, as it was before the step, of a connection whose SYN-ACK has no rung yet; NULL: it has, or none came. */
SW_INLINE const struct sw_half *sw_without(const struct sw_shelf *f, const struct sw_conn *c, const struct sw_step *s)
{
	u32 half = s->came - f->conf->live_ways;

	if (c->rungs || s->fresh || s->anew || half >= f->conf->half_ways || f->half[half].synack == SW_NEVER)
		return NULL;
	return &f->half[half];
}

/* All rungs of a connection as it lies in the table, into `r`, those that its record stands for included; how many. */
SW_INLINE u32 sw_rungs(struct sw_rung r[SW_RUNGS], const struct sw_conn *c, const struct sw_ladder *l)
{
	struct sw_half h;
	u32 count = c->rungs < SW_RUNGS ? c->rungs : SW_RUNGS;

	__builtin_memcpy(r, l, sizeof(*l));
	if (count || !(c->end[SW_CLIENT].flags & SW_E_OFFER))
		return count;
	r[0] = sw_syn_rung(c);
	r[0].again = c->end[SW_CLIENT].rexmits; /* of a rival's that won */
	if (!c->synack_ns || !sw_fits_half(c))
		return 1;
	sw_to_half(&h, c);
	sw_early_rungs(r, &h);
	return 2;
}

/* The rung for a new segment; SW_RUNGS: there is none. What changed a state always finds one, what did not while there
 * are free ones. */
SW_INLINE u32 sw_next_rung(struct sw_ladder *l, struct sw_conn *c, bool changed)
{
	u32 at = c->rungs;

	if (at < SW_RUNGS) {
		c->rungs = at + 1;
		return at;
	}
	sw_count8(&c->left_out);
	if (!changed)
		return SW_RUNGS;
	SW_UNROLL
	for (u32 i = SW_RUNGS_KEPT; i + 1 < SW_RUNGS; i++)
		l->rung[i] = l->rung[i + 1];
	return SW_RUNGS - 1;
}

/* The rungs of what came before this step, if they are not written yet. */
SW_INLINE void sw_catch_up(const struct sw_shelf *f, struct sw_ladder *l, struct sw_conn *c, const struct sw_step *s)
{
	const struct sw_half *h = sw_without(f, c, s);

	if (h) {
		sw_early_rungs(l->rung, h);
		c->rungs = 2;
	} else if (!c->rungs && c->end[SW_CLIENT].flags & SW_E_OFFER) {
		l->rung[0] = sw_syn_rung(c);
		c->rungs = 1;
	}
}

/* The ladder comes along when a connection moves. */
SW_INLINE void sw_bring_ladder(const struct sw_shelf *f, struct sw_conn *c, const struct sw_step *s)
{
	struct sw_ladders *l = f->ladders;
	u32 from = s->came, to = s->way;

	if (!l || from >= SW_WAYS || to >= SW_WAYS || from == to)
		return;
	if (sw_without(f, c, s))
		sw_catch_up(f, &l->way[to], c, s);
	else
		for (u32 i = 0; i < SW_RUNGS && i < c->rungs; i++)
			l->way[to].rung[i] = l->way[from].rung[i];
}

/* Remembers a step. */
SW_INLINE void sw_climb(const struct sw_shelf *f, struct sw_ladder *l, struct sw_conn *c, const struct sw_packet *p,
			u32 from, const struct sw_step *s, u64 now)
{
	u32 span = sw_span(sw_after(now, c->first_ns) - c->first_ns), at = SW_RUNGS;
	bool changed = sw_changed(c, s);

	if ((s->fresh && p->kind == SW_KIND_SYN) || sw_goes_without(f, c, p, s))
		return;
	sw_catch_up(f, l, c, s);
	if (!changed)
		at = sw_rung_of(l, c->rungs, p, from);
	if (at < SW_RUNGS) {
		sw_count8(&l->rung[at].again);
		l->rung[at].last = span;
		return;
	}
	at = sw_next_rung(l, c, changed);
	if (at >= SW_RUNGS)
		return;
	l->rung[at] = (struct sw_rung){
		.at = span,
		.last = span,
		.seq = p->seq,
		.ack = p->ack,
		.window = p->window,
		.len = p->len < 0xffff ? p->len : 0xffff,
		.flags = p->flags,
		.from = from,
		.states = c->end[SW_CLIENT].state | c->end[SW_SERVER].state << 4,
	};
}

/* What any segment says of itself. */
SW_INLINE void sw_tell_segment(struct sw_trace *e, const struct sw_packet *p, const struct sw_step *s, u64 now)
{
	e->ns = now;
	e->events = s->events & ~SW_EVENTS_OF_OTHERS;
	e->key = p->key;
	e->seq = p->seq;
	e->ack = p->ack;
	e->len = p->len;
	e->window = p->window;
	e->mss = p->mss;
	e->wscale = p->wscale;
	e->options = p->options;
	e->flags = p->flags;
	e->kind = p->kind;
	e->pad = 0;
}

/* A step of a connection. Its changed_ns was noted before it. */
SW_INLINE void sw_tell(struct sw_trace *e, const struct sw_conn *c, const struct sw_packet *p, struct sw_step *s,
		       u32 from, u64 now)
{
	sw_tell_segment(e, p, s, now);
	e->isn[0] = c->end[0].isn;
	e->isn[1] = c->end[1].isn;
	e->from = from & 1;
	e->state[0] = c->end[0].state;
	e->state[1] = c->end[1].state;
	e->about = (c->end[0].flags & SW_E_ISN ? 1 << SW_CLIENT : 0) |
		   (c->end[1].flags & SW_E_ISN ? 1 << SW_SERVER : 0) |
		   (c->flags & SW_C_CLIENT_HI ? SW_TRACE_CLIENT_HI : 0);
	s->told = 1;
}

/* A segment of no connection. */
SW_INLINE void sw_tell_stray(struct sw_trace *e, const struct sw_packet *p, struct sw_step *s, u64 now)
{
	sw_tell_segment(e, p, s, now);
	e->changed_ns = 0;
	e->isn[0] = e->isn[1] = 0;
	e->from = sw_guess_role(p);
	e->state[0] = e->state[1] = SW_STATE_COUNT;
	e->about = (e->from == SW_CLIENT) == p->from ? SW_TRACE_CLIENT_HI : 0;
	s->told = 1;
}

/* After the step: what is remembered of it, and told. */
SW_INLINE void sw_note(const struct sw_shelf *f, struct sw_conn *c, const struct sw_packet *p, u64 now,
		       struct sw_step *s, struct sw_trace *trace)
{
	u32 from = sw_role(c, p); /* it may have changed with the connection */

	if (!(f->ladders || s->listen) || !sw_is_step(c, p, s, from))
		return;
	if (f->ladders && s->way < SW_WAYS)
		sw_climb(f, &f->ladders->way[s->way], c, p, from, s, now);
	SW_STAGE();
	if (!s->listen)
		return;
	if (s->anew)
		trace->changed_ns = c->first_ns; /* a rival took over: its SYN was seen before */
	sw_tell(trace, c, p, s, from, now);
}

/* All that is given must fit. */
SW_INLINE bool sw_filter_passes(const struct sw_filter *f, const struct sw_trace *e)
{
	u32 states = 1u << (e->state[0] & 15) | 1u << (e->state[1] & 15), lo = 0, hi = 0;

	SW_UNROLL
	for (int i = 0; i < 4; i++) {
		lo |= (e->key.addr[0][i] ^ f->addr[i]) & f->mask[i];
		hi |= (e->key.addr[1][i] ^ f->addr[i]) & f->mask[i];
	}
	return !(lo && hi) && (!f->port || f->port == e->key.port[0] || f->port == e->key.port[1]) &&
	       (!f->states || f->states & states) && (!f->kinds || f->kinds >> (e->kind & 31) & 1) &&
	       (!f->events || f->events & e->events) && (!f->ifindex || f->ifindex == e->ifindex) &&
	       (!f->netns || f->netns == e->netns);
}

#endif
