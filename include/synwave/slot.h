/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a connection lies in the table: struct sw_half if it fits, else struct sw_live; and the way to and from the
 * struct sw_conn that a step works on. */
#ifndef SYNWAVE_SLOT_H
#define SYNWAVE_SLOT_H

#include "conn.h"

/* A set, and what lies beside it at the same index. */
struct sw_shelf {
	const volatile struct sw_conf *conf;
	struct sw_tags *tags;
	struct sw_set *set;
	struct sw_live *live; /* conf->live_ways of them */
	struct sw_half *half; /* conf->half_ways */
	struct sw_ladders *ladders; /* NULL: none are kept */
};

SW_INLINE u32 sw_span(u64 ns)
{
	u32 unit = 0;

	SW_UNROLL
	for (int i = 0; i < 3; i++)
		if (ns >> 30) {
			ns /= 1000;
			unit++;
		}
	if (ns >= (1u << 30) - 1 && unit == 3)
		return SW_NEVER - 1; /* 34 years, or more */
	return ns | unit << 30;
}

SW_TABLE u32 sw_unit[4] = {1, 1000, 1000000,
			   1000000000}; /* a table: older verifiers follow no loop whose end they do not know */

SW_INLINE u64 sw_span_ns(u32 span)
{
	return (u64)(span & ((1u << 30) - 1)) * sw_unit[span >> 30];
}

/* A moment of a connection, 0 if it did not come, as a span since its first segment; and back. */
SW_INLINE u32 sw_since(const struct sw_conn *c, u64 ns)
{
	return ns ? sw_span(ns - c->first_ns) : SW_NEVER;
}

SW_INLINE u64 sw_at(const struct sw_conn *c, u32 span)
{
	return span == SW_NEVER ? 0 : c->first_ns + sw_span_ns(span);
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

SW_INLINE bool sw_is_v4(const struct sw_key *k)
{
	return !(k->addr[0][0] | k->addr[0][1] | (k->addr[0][2] ^ SW_V4_WORD) | k->addr[1][0] | k->addr[1][1] |
		 (k->addr[1][2] ^ SW_V4_WORD));
}

SW_INLINE bool sw_half_is(const struct sw_half *h, const struct sw_key *k)
{
	return !((h->addr[0] ^ k->addr[0][3]) | (h->addr[1] ^ k->addr[1][3]) | (h->port[0] ^ k->port[0]) |
		 (h->port[1] ^ k->port[1])) &&
	       sw_is_v4(k);
}

SW_INLINE bool sw_end_fits(const struct sw_end *e)
{
	return e->flags & SW_E_ISN ? e->nxt - e->isn - 1 <= 0xffff : !(e->isn | e->nxt);
}

/* Whether struct sw_half holds all there is to know: IPv4, the client in SYN_SENT, the server in LISTEN or SYN_RCVD. */
SW_INLINE bool sw_fits_half(const struct sw_conn *c)
{
	const struct sw_end *x = &c->end[SW_CLIENT], *y = &c->end[SW_SERVER];

	return !(c->flags >> 16) && !c->ack_ns && c->changed_ns == (c->synack_ns ? c->synack_ns : c->first_ns) &&
	       x->state == SW_SYN_SENT && (y->state == SW_LISTEN || y->state == SW_SYN_RCVD) && sw_end_fits(x) &&
	       sw_end_fits(y) && sw_is_v4(&c->key);
}

SW_INLINE void sw_end_from_half(struct sw_end *e, const struct sw_half *h, u32 role)
{
	e->isn = h->isn[role];
	e->nxt = h->bits[role] & SW_E_ISN ? h->isn[role] + 1 + h->len[role] : 0;
	e->window = h->window[role];
	e->mss = h->mss[role];
	e->wscale = h->wscale[role];
	e->flags = h->bits[role];
	e->rexmits = h->rexmits[role];
}

SW_INLINE void sw_from_half(struct sw_conn *c, const struct sw_half *h)
{
	__builtin_memset(c, 0, sizeof(*c));
	c->key.addr[0][2] = c->key.addr[1][2] = SW_V4_WORD;
	SW_UNROLL
	for (u32 i = 0; i < 2; i++) {
		c->key.addr[i][3] = h->addr[i];
		c->key.port[i] = h->port[i];
		c->seen_at[i] = h->seen_at[i];
		sw_end_from_half(&c->end[i], h, i);
	}
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->end[SW_SERVER].state = h->state;
	c->flags = h->flags;
	c->first_ns = h->first_ns;
	c->synack_ns = sw_at(c, h->synack);
	c->changed_ns = c->synack_ns ? c->synack_ns : c->first_ns;
	c->deadline = h->deadline;
	c->rungs = h->rungs;
	c->left_out = h->left_out;
}

SW_INLINE void sw_to_half(struct sw_half *h, const struct sw_conn *c)
{
	SW_UNROLL
	for (u32 i = 0; i < 2; i++) {
		const struct sw_end *e = &c->end[i];

		h->addr[i] = c->key.addr[i][3];
		h->port[i] = c->key.port[i];
		h->seen_at[i] = c->seen_at[i];
		h->isn[i] = e->isn;
		h->len[i] = e->flags & SW_E_ISN ? e->nxt - e->isn - 1 : 0;
		h->window[i] = e->window;
		h->mss[i] = e->mss;
		h->wscale[i] = e->wscale;
		h->bits[i] = e->flags;
		h->rexmits[i] = e->rexmits;
	}
	h->state = c->end[SW_SERVER].state;
	h->flags = c->flags;
	h->first_ns = c->first_ns;
	h->synack = sw_since(c, c->synack_ns);
	h->deadline = c->deadline;
	h->rungs = c->rungs;
	h->left_out = c->left_out;
	h->pad = 0;
}

SW_INLINE void sw_from_live(struct sw_conn *c, const struct sw_live *l)
{
	c->key = l->key;
	c->flags = l->flags;
	c->end[0] = l->end[0];
	c->end[1] = l->end[1];
	c->first_ns = l->first_ns;
	c->changed_ns = l->changed_ns;
	c->synack_ns = sw_at(c, l->synack);
	c->ack_ns = sw_at(c, l->ack);
	c->rival_ns = 0;
	__builtin_memset(&c->rival, 0, sizeof(c->rival));
	c->rival_seen_at = 0;
	c->rst_seq = l->rst_seq;
	c->deadline = l->deadline;
	c->seen_at[0] = l->seen_at[0];
	c->seen_at[1] = l->seen_at[1];
	c->saved[0] = l->saved & 15;
	c->saved[1] = l->saved >> 4;
	c->doubts = l->doubts;
	c->rungs = l->rungs;
	c->left_out = l->left_out;
	__builtin_memset(c->pad, 0, sizeof(c->pad));
}

SW_INLINE void sw_to_live(struct sw_live *l, const struct sw_conn *c)
{
	l->key = c->key;
	l->flags = c->flags;
	l->end[0] = c->end[0];
	l->end[1] = c->end[1];
	l->first_ns = c->first_ns;
	l->changed_ns = c->changed_ns;
	l->synack = sw_since(c, c->synack_ns);
	l->ack = sw_since(c, c->ack_ns);
	l->seen_at[0] = c->seen_at[0];
	l->seen_at[1] = c->seen_at[1];
	l->deadline = c->deadline;
	l->rst_seq = c->rst_seq;
	l->saved = (c->saved[0] & 15) | c->saved[1] << 4;
	l->doubts = c->doubts;
	l->rungs = c->rungs;
	l->left_out = c->left_out;
}

/* --- rivals --------------------------------------------------------------------------------------------------------- */
#define SW_C_SIDED    (SW_C_RIVAL | SW_C_ALT)
#define SW_C_OF_RIVAL (SW_C_SIDED | SW_C_RIVAL_SERVER)

SW_INLINE void sw_side_take(const struct sw_set *set, u32 way, struct sw_conn *c)
{
	SW_UNROLL
	for (u32 i = 0; i < SW_SIDES; i++)
		if (set->side[i].owner == way + 1) {
			c->rival_ns = set->side[i].rival_ns;
			c->rival = set->side[i].rival;
			c->rival_seen_at = set->side[i].rival_seen_at;
		}
}

SW_INLINE void sw_side_free(struct sw_set *set, u32 way)
{
	SW_UNROLL
	for (u32 i = 0; i < SW_SIDES; i++)
		if (set->side[i].owner == way + 1)
			set->side[i].owner = 0;
}

/* The owner's record no longer speaks of a rival. */
SW_INLINE void sw_side_rob(const struct sw_shelf *f, u32 owner)
{
	u32 way = owner - 1, live = f->conf->live_ways;

	if (way < SW_WAYS && f->set->closed >> (way & 31) & 1)
		f->tags->tag[way] &= SW_TAG; /* what it waited for was the rival's */
	if (way < live)
		f->live[way].flags &= ~SW_C_OF_RIVAL;
	way -= live;
	if (way < f->conf->half_ways)
		f->half[way].flags &= ~SW_C_OF_RIVAL;
}

SW_INLINE void sw_side_put(const struct sw_shelf *f, u32 way, const struct sw_conn *c, struct sw_step *s)
{
	struct sw_set *set = f->set;
	u32 i = set->side[0].owner ? set->side[1].owner ? set->side_hand : 1 : 0;

	if (i >= SW_SIDES)
		i = 0;
	if (set->side[i].owner) {
		sw_side_rob(f, set->side[i].owner);
		sw_event(s, SW_EV_RIVAL_LOST);
		set->side_hand = i + 1;
	}
	set->side[i].owner = way + 1;
	set->side[i].rival_ns = c->rival_ns;
	set->side[i].rival = c->rival;
	set->side[i].rival_seen_at = c->rival_seen_at;
}

/* --- whatever its form ---------------------------------------------------------------------------------------------- */

/* The connection in `way`; false: there is no such way. */
SW_INLINE bool sw_load(const struct sw_shelf *f, u32 way, struct sw_conn *c)
{
	u32 live = f->conf->live_ways, half = way - live;

	if (way < live)
		sw_from_live(c, &f->live[way]);
	else if (half < f->conf->half_ways)
		sw_from_half(c, &f->half[half]);
	else
		return false;
	if (c->flags & SW_C_SIDED)
		sw_side_take(f->set, way, c);
	return true;
}

SW_INLINE void sw_store(const struct sw_shelf *f, u32 way, const struct sw_conn *c)
{
	u32 live = f->conf->live_ways, half = way - live;

	if (way < live)
		sw_to_live(&f->live[way], c);
	else if (half < f->conf->half_ways)
		sw_to_half(&f->half[half], c);
}

/* Is it the connection with this key that lies there? */
SW_INLINE bool sw_is(const struct sw_shelf *f, u32 way, const struct sw_key *key)
{
	u32 live = f->conf->live_ways, half = way - live;

	if (way < live)
		return sw_same_key(&f->live[way].key, key);
	return half < f->conf->half_ways && sw_half_is(&f->half[half], key);
}

#endif
