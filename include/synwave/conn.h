/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A connection in memory: what a step may change of it, and the accounts that go with it. */
#ifndef SYNWAVE_CONN_H
#define SYNWAVE_CONN_H

#include "parse.h"

/* What a step did: the caller counts it after the set is unlocked. Zero before the step, but for `listen`. */
struct sw_step {
	u64 events; /* bit enum sw_event */
	u64 syn_synack_ns; /* samples for the histograms, 0 = none */
	u64 synack_ack_ns;
	u32 dropped; /* ways whose connection ended its stay in the table */
	u32 way; /* where the segment's connection lies now; SW_WAYS = it is none's */
	u32 came; /* where it lay before; SW_WAYS = nowhere */
	u8 server; /* which endpoint of the key is the server */
	u8 renew; /* the deadline starts anew */
	u8 syn_seen; /* the connection began with a SYN that was seen */
	u8 fresh; /* it is the first segment of its connection */
	u8 anew; /* a rival took over: another connection, whose SYN had been seen before */
	u8 sided; /* it had a rival when the step began */
	u8 from; /* role of its sender */
	u8 verified; /* the client proved its address: it knows a number that was sent to that address alone */
	u8 answered; /* the server's SYN-ACK was seen where it belongs, for the first time */
	u8 ask; /* --ingress-only: only the kernel can say whether this connection is real; enum sw_ask */
	u8 inside; /* its sender cannot be on the other end's side */
	u8 cookie; /* set by the caller: the ACK carries a valid SYN cookie */
	u8 was[2]; /* states before it */
	u8 was_done; /* so was the handshake */
	u8 listen; /* somebody wants to be told ... */
	u8 told; /* ... and the struct sw_trace was filled */
	u8 pad[3];
	u8 book[SW_BOOK_COUNT]; /* what to add to the books of the set */
};

/* What the shell asks the kernel after a step: does this host have the connection's socket? Or: that, or is it forwarded? */
enum sw_ask { SW_ASK_NOTHING, SW_ASK_SOCKET, SW_ASK_SOCKET_OR_ROUTE };

SW_INLINE void sw_event(struct sw_step *s, enum sw_event e)
{
	s->events |= 1ULL << e;
}

/* Bits of states, for membership tests. */
#define SW_IN(state, set) ((1u << (15 & (state))) & (set))
#define SW_FINISHED       (1u << SW_TIME_WAIT | 1u << SW_CLOSED)
#define SW_OPENING        (1u << SW_LISTEN | 1u << SW_SYN_SENT | 1u << SW_SYN_RCVD)

SW_INLINE bool sw_both_finished(const struct sw_end end[2])
{
	return SW_IN(end[0].state, SW_FINISHED) && SW_IN(end[1].state, SW_FINISHED);
}

SW_INLINE bool sw_finished(const struct sw_conn *c)
{
	return sw_both_finished(c->end);
}

SW_INLINE bool sw_closed(const struct sw_conn *c)
{
	return c->end[0].state == SW_CLOSED && c->end[1].state == SW_CLOSED;
}

/* `seq` lies in [from, from + size]. */
SW_INLINE bool sw_within(u32 seq, u32 from, u32 size)
{
	return (u32)(seq - from) <= size;
}

/* `ack` acknowledges the SYN of `e`, at most with what was sent after it (RFC 9293 3.10.7.3). */
SW_INLINE bool sw_covers(const struct sw_end *e, u32 ack)
{
	return (e->flags & SW_E_ISN) && sw_within(ack, e->isn + 1, e->nxt - e->isn - 1);
}

SW_INLINE void sw_count8(u8 *n)
{
	if (*n != 0xff)
		(*n)++;
}

SW_INLINE void sw_offer(struct sw_end *e, const struct sw_packet *p)
{
	e->isn = p->seq;
	e->nxt = p->seq + 1 + p->len;
	e->window = p->window;
	e->mss = p->mss;
	e->wscale = p->wscale;
	e->flags = (e->flags & SW_E_SEEN) | SW_E_OFFER | SW_E_ISN | p->options;
}

/* May this segment be taken for its alleged sender's own word? It left from here and had not come in by the same
 * interface; or, where no egress is watched, it came in by another interface than the other end's segments. */
SW_INLINE bool sw_is_inside(const volatile struct sw_conf *conf, const struct sw_conn *c, const struct sw_packet *p,
			    u32 from)
{
	bool other_side = conf->one_way && c->end[!from].flags & SW_E_SEEN && (c->seen_at[!from] ^ p->seen_at) >> 1;

	return p->inside | other_side | !!conf->both_ways;
}

/* The two ends were first seen at different hooks or interfaces, so that nobody at one of them has sent both; or both are this
 * host. */
SW_INLINE bool sw_two_sides(const volatile struct sw_conf *conf, const struct sw_conn *c)
{
	u32 local = SW_C_CLIENT_LOCAL | SW_C_SERVER_LOCAL;

	return conf->both_ways || c->seen_at[SW_CLIENT] != c->seen_at[SW_SERVER] || (c->flags & local) == local;
}

/* A segment that claims to be of this host's own end, and did not leave its stack: forged, or the copy of one that did, seen on
 * its way (loopback, a container's). It says nothing. */
SW_INLINE bool sw_is_impostor(const volatile struct sw_conf *conf, const struct sw_conn *c, const struct sw_packet *p,
			      u32 from)
{
	return c->flags & (from == SW_CLIENT ? SW_C_CLIENT_LOCAL : SW_C_SERVER_LOCAL) && !p->local && !conf->both_ways;
}

/* Closes the open accounts of a connection that ends here. */
SW_INLINE void sw_settle(struct sw_conn *c, struct sw_step *s, enum sw_book hs, enum sw_book td)
{
	if (c->flags & SW_C_HS_OPEN)
		s->book[hs]++;
	if (c->flags & SW_C_TD_OPEN)
		s->book[td]++;
	c->flags &= ~(SW_C_HS_OPEN | SW_C_TD_OPEN);
}

SW_INLINE void sw_handshake_open(struct sw_conn *c, struct sw_step *s)
{
	c->flags |= SW_C_HS_OPEN;
	s->book[SW_HS_STARTED]++;
}

SW_INLINE void sw_teardown_open(struct sw_conn *c, struct sw_step *s)
{
	if (c->flags & SW_C_TD_OPEN)
		return;
	c->flags |= SW_C_TD_OPEN;
	s->book[SW_TD_STARTED]++;
}

SW_INLINE void sw_handshake_done(struct sw_conn *c, struct sw_step *s, u64 now, bool by_ack)
{
	if (c->flags & SW_C_HS_DONE)
		return;
	if (c->flags & SW_C_HS_OPEN)
		s->book[SW_HS_COMPLETED]++;
	c->flags = (c->flags & ~SW_C_HS_OPEN) | SW_C_HS_DONE;
	sw_event(s, SW_EV_COMPLETED);
	if (!by_ack)
		return;
	c->ack_ns = now;
	if (c->synack_ns && !c->end[SW_SERVER].rexmits) /* Karn */
		s->synack_ack_ns = now - c->synack_ns;
}

/* A fresh connection in place of whatever was there. `role`: what the sender of `p` is. */
SW_INLINE void sw_begin(struct sw_conn *c, const struct sw_packet *p, u64 now, u32 origin, u32 role)
{
	u32 hi = role == SW_CLIENT ? p->from : !p->from;

	__builtin_memset(c, 0, sizeof(*c));
	c->key = p->key;
	c->flags = (hi ? SW_C_CLIENT_HI : 0) | origin << 1 | (p->v6 ? SW_C_V6 : 0);
	c->end[SW_CLIENT].wscale = c->end[SW_SERVER].wscale = SW_WSCALE_NONE;
	c->first_ns = c->changed_ns = now;
	c->seen_at[SW_CLIENT] = c->seen_at[SW_SERVER] = p->seen_at;
}

SW_INLINE void sw_begin_syn(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	sw_begin(c, p, now, SW_ORIGIN_SYN, SW_CLIENT);
	sw_offer(&c->end[SW_CLIENT], p);
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->end[SW_SERVER].state = SW_LISTEN;
	c->flags |= (p->flags & SW_TCP_ECE ? SW_C_SYN_ECE : 0) | (p->flags & SW_TCP_CWR ? SW_C_SYN_CWR : 0);
	sw_handshake_open(c, s);
	sw_event(s, SW_EV_SYN_NEW);
}

SW_INLINE void sw_begin_synack(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	struct sw_end *client = &c->end[SW_CLIENT];

	sw_begin(c, p, now, SW_ORIGIN_SYN_ACK, SW_SERVER);
	sw_offer(&c->end[SW_SERVER], p);
	c->end[SW_SERVER].state = SW_SYN_RCVD;
	client->state = SW_SYN_SENT;
	client->isn = p->ack - 1; /* as if it had no data */
	client->nxt = p->ack;
	client->flags = SW_E_ISN;
	c->synack_ns = now;
	if (s->inside)
		c->flags |= SW_C_ANSWERED; /* to whom, nobody saw: no word on whose service it is */
	sw_handshake_open(c, s);
	sw_event(s, SW_EV_SYNACK_NEW);
}

SW_INLINE u8 sw_role(const struct sw_conn *c, const struct sw_packet *p)
{
	return p->from == !!(c->flags & SW_C_CLIENT_HI) ? SW_CLIENT : SW_SERVER;
}

/* What the sender of a segment is when its connection's beginning was not seen: the higher port is the client's. */
SW_INLINE u32 sw_guess_role(const struct sw_packet *p)
{
	u16 mine = p->from ? p->key.port[1] : p->key.port[0];
	u16 theirs = p->from ? p->key.port[0] : p->key.port[1];

	return mine >= theirs ? SW_CLIENT : SW_SERVER;
}

SW_INLINE void sw_begin_midstream(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	sw_begin(c, p, now, SW_ORIGIN_MIDSTREAM, sw_guess_role(p));
	c->end[SW_CLIENT].state = c->end[SW_SERVER].state = SW_ESTABLISHED;
	c->flags |= SW_C_HS_DONE;
	sw_event(s, SW_EV_MIDSTREAM);
}

/* The guard had answered its SYN and kept nothing. What the cookie proves is all there is: both numbers, no options. */
SW_INLINE void sw_begin_cookie(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	struct sw_end *client = &c->end[SW_CLIENT], *server = &c->end[SW_SERVER];

	sw_begin(c, p, now, SW_ORIGIN_COOKIE, SW_CLIENT);
	client->isn = p->seq - 1;
	client->nxt = p->seq;
	server->isn = p->ack - 1;
	server->nxt = p->ack;
	client->flags = SW_E_ISN;
	server->flags =
		SW_E_ISN; /* its SYN-ACK was ours: it is waited for until it speaks itself, which proves the rest */
	c->flags |= SW_C_SERVER_LOCAL;
	client->state = server->state = SW_ESTABLISHED;
	sw_handshake_open(c, s);
	sw_handshake_done(c, s, now, true);
	sw_event(s, SW_EV_COOKIE);
	s->verified = 1;
}

/* The clock was read before the lock was taken: another CPU may have been later and yet first. */
SW_INLINE u64 sw_after(u64 now, u64 earlier)
{
	return (s64)(now - earlier) < 0 ? earlier : now;
}

SW_INLINE void sw_seen(struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	if (!(c->end[from & 1].flags & SW_E_SEEN))
		c->seen_at[from & 1] = p->seen_at;
	c->end[from & 1].flags |= SW_E_SEEN;
	if (p->local)
		c->flags |= from == SW_CLIENT ? SW_C_CLIENT_LOCAL : SW_C_SERVER_LOCAL;
}

#endif
