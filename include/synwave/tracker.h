/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection, one segment, one step: RFC 9293 and 5961 from the wire.
 *
 * The vantage: we are in the middle. A segment that passed us may still be lost, so it moves its *sender* (who has
 * sent it and is what it must be to send it), and moves its receiver only where the field counts it as delivered:
 * an ACK of the receiver's own SYN or FIN, and a RST. Sequence numbers compare modulo 2^32. */
#ifndef SYNWAVE_TRACKER_H
#define SYNWAVE_TRACKER_H

#include "parse.h"

/* What a step did: the caller counts it after the set is unlocked. Zero before the step. */
struct sw_step {
	u64 events; /* bit enum sw_event */
	u64 syn_synack_ns; /* samples for the histograms, 0 = none */
	u64 synack_ack_ns;
	u32 dropped; /* ways whose connection ended its stay in the table */
	u32 way; /* of the connection that the segment belongs to; SW_WAYS = none */
	u8 server; /* which endpoint of the key is the server */
	u8 renew; /* the deadline starts anew */
	u8 syn_seen; /* the connection began with a SYN that was seen */
	u8 pad;
	u8 book[SW_BOOK_COUNT]; /* what to add to the books of the set */
};

/* What a segment proves, in the order in which it is applied. */
enum sw_fact { SW_F_SYN, SW_F_SYNACK, SW_F_ACK_SYN, SW_F_ACK_FIN, SW_F_FIN, SW_F_RST, SW_FACT_COUNT };

#define LI SW_LISTEN
#define SS SW_SYN_SENT
#define SR SW_SYN_RCVD
#define ES SW_ESTABLISHED
#define F1 SW_FIN_WAIT_1
#define F2 SW_FIN_WAIT_2
#define CW SW_CLOSE_WAIT
#define CG SW_CLOSING
#define LA SW_LAST_ACK
#define TW SW_TIME_WAIT
#define CD SW_CLOSED

/* The sender's state after a segment that proves the fact. 16 columns: an index masked with 15 needs no check. */
SW_TABLE u8 sw_sends[SW_FACT_COUNT][16] = {
	/*               LI  SS  SR  ES  F1  F2  CW  CG  LA  TW  CD */
	[SW_F_SYN]     = {SS, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* LI: both open at once, 3.5 fig. 7 */
	[SW_F_SYNACK]  = {SR, SR, SR, ES, F1, F2, CW, CG, LA, TW, CD},
	[SW_F_ACK_SYN] = {LI, ES, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* SS: it has the SYN-ACK. SR: its own SYN is open */
	[SW_F_ACK_FIN] = {LI, SS, CW, CW, CG, TW, CW, CG, LA, TW, CD}, /* F1: FINs crossed */
	[SW_F_FIN]     = {LI, SS, F1, F1, F1, F2, LA, CG, LA, TW, CD}, /* SR: CLOSE in SYN-RECEIVED, 3.10.4 */
	[SW_F_RST]     = {CD, CD, CD, CD, CD, CD, CD, CD, CD, CD, CD},
};

/* The receiver's state, the segment taken as delivered. */
SW_TABLE u8 sw_gets[SW_FACT_COUNT][16] = {
	/*               LI  SS  SR  ES  F1  F2  CW  CG  LA  TW  CD */
	[SW_F_SYN]     = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it answers */
	[SW_F_SYNACK]  = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it acknowledges */
	[SW_F_ACK_SYN] = {LI, SS, ES, ES, F1, F2, CW, CG, LA, TW, CD},
	[SW_F_ACK_FIN] = {LI, SS, SR, ES, F2, F2, CW, TW, CD, TW, CD},
	[SW_F_FIN]     = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it acknowledges */
	[SW_F_RST]     = {CD, CD, CD, CD, CD, CD, CD, CD, CD, CD, CD},
};

#undef LI
#undef SS
#undef SR
#undef ES
#undef F1
#undef F2
#undef CW
#undef CG
#undef LA
#undef TW
#undef CD

#define SW_NS_PER_S 1000000000ULL

SW_INLINE void sw_event(struct sw_step *s, enum sw_event e)
{
	s->events |= 1ULL << e;
}

SW_INLINE void sw_fact(struct sw_conn *c, u32 from, enum sw_fact fact)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];

	x->state = sw_sends[fact][x->state & 15];
	y->state = sw_gets[fact][y->state & 15];
}

/* Bits of states, for membership tests. */
#define SW_IN(state, set) ((1u << ((state)&15)) & (set))
#define SW_FINISHED       (1u << SW_TIME_WAIT | 1u << SW_CLOSED)
#define SW_OPENING        (1u << SW_LISTEN | 1u << SW_SYN_SENT | 1u << SW_SYN_RCVD)

SW_INLINE bool sw_finished(const struct sw_conn *c)
{
	return SW_IN(c->end[0].state, SW_FINISHED) && SW_IN(c->end[1].state, SW_FINISHED);
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
}

SW_INLINE void sw_begin_syn(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	sw_begin(c, p, now, SW_ORIGIN_SYN, SW_CLIENT);
	sw_offer(&c->end[SW_CLIENT], p);
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->end[SW_SERVER].state = SW_LISTEN;
	c->place[SW_CLIENT] = p->place;
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
	c->place[SW_SERVER] = p->place;
	sw_handshake_open(c, s);
	sw_event(s, SW_EV_SYNACK_NEW);
}

SW_INLINE void sw_begin_midstream(struct sw_conn *c, const struct sw_packet *p, u64 now, struct sw_step *s)
{
	u16 mine = p->from ? p->key.port[1] : p->key.port[0];
	u16 theirs = p->from ? p->key.port[0] : p->key.port[1];

	sw_begin(c, p, now, SW_ORIGIN_MIDSTREAM, mine >= theirs ? SW_CLIENT : SW_SERVER);
	c->end[SW_CLIENT].state = c->end[SW_SERVER].state = SW_ESTABLISHED;
	c->flags |= SW_C_HS_DONE;
	sw_event(s, SW_EV_MIDSTREAM);
}

/* The server answered a SYN with a new ISN: the old connection is no more, whatever we thought of it. */
SW_INLINE void sw_rival_wins(struct sw_conn *c, const struct sw_packet *p, struct sw_step *s)
{
	struct sw_end rival = c->rival;
	u64 first = c->rival_ns;
	u16 place = c->rival_place;

	s->dropped |= 1u << (s->way & 31);
	sw_settle(c, s, SW_HS_TIMED_OUT, SW_TD_TIMED_OUT);
	sw_begin(c, p, first, SW_ORIGIN_SYN, SW_SERVER);
	c->end[SW_CLIENT] = rival;
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->end[SW_SERVER].state = SW_LISTEN;
	c->place[SW_CLIENT] = place;
	sw_handshake_open(c, s);
}

SW_INLINE void sw_on_syn(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	u32 theirs = from == SW_SERVER ? SW_C_RIVAL | SW_C_RIVAL_SERVER : SW_C_RIVAL;

	if ((x->flags & SW_E_ISN) && x->isn == p->seq) {
		if (!(x->flags & (SW_E_OFFER | SW_E_FIN))) { /* its SYN-ACK overtook it */
			sw_offer(x, p);
			c->place[from & 1] = p->place;
			return;
		}
		if (c->place[from & 1] != p->place || sw_finished(c))
			return; /* the same SYN seen at another hook, or an old duplicate */
		sw_count8(&x->rexmits);
		sw_event(s, SW_EV_SYN_REXMIT);
		s->renew = x->state == SW_SYN_SENT && y->state == SW_LISTEN;
		return;
	}
	if (from == SW_SERVER && x->state == SW_LISTEN && y->state == SW_SYN_SENT) {
		sw_offer(x, p);
		c->place[SW_SERVER] = p->place;
		c->flags |= SW_C_SIMOPEN;
		sw_fact(c, from, SW_F_SYN);
		return;
	}
	if ((c->flags & (SW_C_RIVAL | SW_C_RIVAL_SERVER)) == theirs && c->rival.isn == p->seq) {
		if (c->rival_place == p->place)
			sw_count8(&c->rival.rexmits);
		return;
	}
	c->flags = (c->flags & ~(SW_C_RIVAL | SW_C_RIVAL_SERVER)) | theirs;
	c->rival.flags = c->rival.rexmits = 0;
	sw_offer(&c->rival, p);
	c->rival_ns = now;
	c->rival_place = p->place;
	sw_event(s, SW_EV_SYN_RIVAL);
}

/* A SYN-ACK again, or with another ISN (SYN cookies: a server without memory answers anew). */
SW_INLINE void sw_on_synack_again(struct sw_conn *c, const struct sw_packet *p, u32 from, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1];

	if (x->isn != p->seq) {
		if (x->state != SW_SYN_RCVD) {
			sw_event(s, SW_EV_SYNACK_INVALID);
			return;
		}
		sw_offer(x, p);
	}
	if (c->place[SW_SERVER] != p->place)
		return;
	sw_count8(&x->rexmits);
	sw_event(s, SW_EV_SYNACK_REXMIT);
	/* the handshake ACK was lost behind us: the server is still half-open */
	if (from == SW_SERVER && x->state == SW_ESTABLISHED && (c->flags & SW_C_HS_DONE)) {
		x->state = SW_SYN_RCVD;
		s->renew = 1;
	}
}

SW_INLINE void sw_on_synack(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool simopen = c->flags & SW_C_SIMOPEN;

	if (!sw_covers(y, p->ack) || sw_finished(c) || (from == SW_CLIENT && !simopen)) {
		sw_event(s, SW_EV_SYNACK_INVALID);
		return;
	}
	if (c->flags & SW_C_INFERRED) { /* it was only late, or it shows that the inference was wrong */
		if (x->isn != p->seq)
			x->state = SW_SYN_RCVD;
		c->flags &= ~SW_C_INFERRED;
		c->place[SW_SERVER] = p->place;
		sw_offer(x, p);
		if (!c->synack_ns)
			c->synack_ns = now;
		return;
	}
	if ((x->flags & SW_E_OFFER) && !(simopen && x->state == SW_SYN_SENT)) {
		sw_on_synack_again(c, p, from, s);
		return;
	}
	if (!simopen || x->isn != p->seq) {
		sw_offer(x, p);
		c->place[from & 1] = p->place;
	}
	sw_fact(c, from, SW_F_SYNACK);
	if (simopen) {
		sw_fact(c, from, SW_F_ACK_SYN);
		if (!SW_IN(x->state, SW_OPENING) && !SW_IN(y->state, SW_OPENING))
			sw_handshake_done(c, s, now, true);
	}
	s->renew = 1;
	if (c->synack_ns)
		return;
	c->synack_ns = now;
	sw_event(s, SW_EV_SYNACK_NEW);
	if (!y->rexmits && SW_ORIGIN(c->flags) == SW_ORIGIN_SYN) /* Karn */
		s->syn_synack_ns = now - c->first_ns;
}

enum sw_rst { SW_RST_IGNORE, SW_RST_ACCEPT, SW_RST_PROVISIONAL };

/* Would the receiver take this RST? RFC 9293 3.10.7.2-4, RFC 5961 3.2. */
SW_INLINE enum sw_rst sw_judge_rst(const struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	const struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool ok;

	if (sw_closed(c))
		return SW_RST_IGNORE;
	if (x->flags & SW_E_ACKED || y->state == SW_TIME_WAIT) {
		ok = (x->flags & SW_E_FIN) && p->seq == x->nxt;
	} else if (y->state == SW_SYN_SENT) {
		ok = (p->flags & SW_TCP_ACK) && sw_covers(y, p->ack);
		ok = ok || (x->state == SW_SYN_RCVD && p->seq == x->isn + 1); /* it may be past SYN_SENT */
	} else if (y->state == SW_LISTEN) {
		ok = sw_within(p->seq, x->isn, x->nxt - x->isn); /* SYN_RCVD, should the SYN have arrived */
	} else if (y->state == SW_SYN_RCVD && (x->flags & SW_E_ISN)) {
		ok = sw_within(p->seq, x->isn + 1, y->window);
	} else {
		return SW_RST_PROVISIONAL; /* where its sequence numbers are, nobody wrote down */
	}
	return ok ? SW_RST_ACCEPT : SW_RST_IGNORE;
}

SW_INLINE void sw_on_rst(struct sw_conn *c, const struct sw_packet *p, u32 from, struct sw_step *s)
{
	enum sw_rst verdict = sw_judge_rst(c, p, from);
	u32 open = c->flags & (SW_C_HS_OPEN | SW_C_TD_OPEN);

	if (verdict == SW_RST_IGNORE) {
		sw_event(s, SW_EV_RST_IGNORED);
		return;
	}
	sw_event(s, SW_EV_RST);
	if (!open && !sw_finished(c))
		sw_teardown_open(c, s);
	bool refused = from == SW_SERVER && !(c->end[SW_SERVER].flags & SW_E_OFFER);
	if (open & SW_C_HS_OPEN && refused)
		sw_event(s, SW_EV_REFUSED);
	if (c->flags & SW_C_TD_OPEN)
		sw_event(s, SW_EV_CLOSE_RESET);
	sw_settle(c, s, refused ? SW_HS_REFUSED : SW_HS_RESET, SW_TD_RESET);
	c->flags &= ~(SW_C_SAVED_HS | SW_C_SAVED_TD | SW_C_PROVISIONAL);
	if (verdict == SW_RST_PROVISIONAL) {
		c->flags |= SW_C_PROVISIONAL;
		if (open & SW_C_HS_OPEN)
			c->flags |= SW_C_SAVED_HS;
		if (open & SW_C_TD_OPEN)
			c->flags |= SW_C_SAVED_TD;
		c->saved[0] = c->end[0].state;
		c->saved[1] = c->end[1].state;
		c->rst_seq = p->seq;
	}
	c->flags |= SW_C_RESET | (from == SW_SERVER ? SW_C_RESET_SERVER : 0);
	sw_fact(c, from, SW_F_RST);
}

/* The end that should be gone goes on sending: the RST was none of its own, or was not accepted. The accounts of the
 * reset stay closed as they are; what goes on is opened anew. */
SW_INLINE void sw_contradict_rst(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, struct sw_step *s)
{
	u32 by = c->flags & SW_C_RESET_SERVER ? SW_SERVER : SW_CLIENT;

	if (!(c->flags & SW_C_PROVISIONAL) || from != by)
		return;
	if ((s32)(p->seq + p->len - c->rst_seq) <= 0 && now - c->changed_ns < SW_NS_PER_S)
		return; /* sent before the RST, and overtaken by it */
	c->end[0].state = c->saved[0];
	c->end[1].state = c->saved[1];
	if (c->flags & SW_C_SAVED_HS)
		sw_handshake_open(c, s);
	if (c->flags & SW_C_SAVED_TD)
		sw_teardown_open(c, s);
	c->flags &= ~(SW_C_PROVISIONAL | SW_C_RESET | SW_C_RESET_SERVER | SW_C_SAVED_HS | SW_C_SAVED_TD);
	sw_event(s, SW_EV_RST_CONTRADICTED);
}

/* The handshake's part of a segment that is neither SYN nor RST. False: it fits no handshake, ignore the rest of it. */
SW_INLINE bool sw_on_client_ack(struct sw_conn *c, const struct sw_packet *p, u64 now, u64 infer, struct sw_step *s)
{
	struct sw_end *x = &c->end[SW_CLIENT], *y = &c->end[SW_SERVER];

	if (y->state == SW_LISTEN) {
		if (!sw_covers(x, p->seq) || now - c->first_ns < infer)
			return false;
		y->isn = p->ack - 1; /* an ACK of y + 1 after the SYN proves the SYN-ACK */
		y->nxt = p->ack;
		y->flags |= SW_E_ISN;
		c->flags |= SW_C_INFERRED;
		x->state = y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, true);
		sw_event(s, SW_EV_INFERRED);
		return true;
	}
	if (c->flags & SW_C_HS_DONE) {
		/* a SYN-ACK sent again made the server half-open again: anything that the client acknowledges ends that */
		if ((s32)(p->ack - y->isn) > 0)
			sw_fact(c, SW_CLIENT, SW_F_ACK_SYN);
		return true;
	}
	if (!sw_covers(y, p->ack))
		return false;
	if ((x->flags & SW_E_ISN) && !sw_within(p->seq, x->isn + 1, y->window)) {
		if (x->state == SW_SYN_SENT) /* it has the SYN-ACK, but this ACK the server will not take */
			x->state = SW_ESTABLISHED;
		return false;
	}
	sw_fact(c, SW_CLIENT, SW_F_ACK_SYN);
	if (!SW_IN(x->state, SW_OPENING))
		sw_handshake_done(c, s, now, true);
	return true;
}

SW_INLINE bool sw_on_server_ack(struct sw_conn *c, const struct sw_packet *p, u64 now, u64 infer, struct sw_step *s)
{
	struct sw_end *x = &c->end[SW_SERVER], *y = &c->end[SW_CLIENT];
	u32 end = p->seq + p->len;
	bool fast_open = y->nxt != y->isn + 1;

	if (c->flags & SW_C_HS_DONE) {
		if (p->len && x->state == SW_SYN_RCVD)
			x->state = SW_ESTABLISHED;
		return true;
	}
	if (!sw_covers(y, p->ack))
		return false;
	if (c->flags & SW_C_SIMOPEN) {
		sw_fact(c, SW_SERVER, SW_F_ACK_SYN);
		if (!SW_IN(x->state, SW_OPENING) && !SW_IN(y->state, SW_OPENING))
			sw_handshake_done(c, s, now, true);
		return !SW_IN(x->state, SW_OPENING);
	}
	if (x->state == SW_LISTEN) { /* the SYN-ACK was missed */
		if (now - c->first_ns < infer || !(p->len || p->kind == SW_KIND_FIN))
			return false;
		c->flags |= SW_C_INFERRED;
		sw_event(s, SW_EV_INFERRED);
		x->state = y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, false);
		return true;
	}
	if ((x->flags & SW_E_OFFER) && (s32)(end - x->nxt) > 0 && sw_within(end, x->isn + 1, 1 << 20))
		x->nxt = end; /* what the client's ACK may cover */
	if (p->len && !fast_open && sw_within(p->seq, x->isn + 1, 1 << 20)) {
		/* only an ESTABLISHED server sends data: the handshake ACK went another way */
		x->state = SW_ESTABLISHED;
		if (y->state == SW_SYN_SENT)
			y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, false);
	}
	return true;
}

/* FINs and their ACKs, for ends past the handshake. */
SW_INLINE void sw_on_fin(struct sw_conn *c, const struct sw_packet *p, u32 from, bool acked_now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	u32 end = p->seq + p->len + 1;

	if (x->flags & SW_E_FIN) {
		if (!(x->flags & SW_E_ACKED))
			x->nxt = end; /* the last word counts while nobody has acknowledged one */
		else if (end == x->nxt)
			s->renew = 1; /* its ACK was lost: 2 MSL start anew, RFC 9293 3.10.7.8 */
		return;
	}
	if (SW_IN(x->state, SW_FINISHED | 1u << SW_LISTEN | 1u << SW_SYN_SENT))
		return;
	x->flags |= SW_E_FIN;
	x->nxt = end;
	sw_teardown_open(c, s);
	if (!(c->flags & SW_C_CLOSED_FIRST))
		c->flags |= SW_C_CLOSED_FIRST | (from == SW_SERVER ? SW_C_FIRST_SERVER : 0);
	if ((y->flags & SW_E_FIN) && !(y->flags & SW_E_ACKED))
		c->flags |= SW_C_SIMCLOSE;
	else if (acked_now)
		c->flags |= SW_C_THREE_WAY;
	sw_fact(c, from, SW_F_FIN);
}

/* Data after the FIN, and nobody acknowledged the FIN: it was not the sender's. */
SW_INLINE void sw_contradict_fin(struct sw_conn *c, u32 from, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];

	x->flags &= ~SW_E_FIN;
	x->state = (y->flags & SW_E_FIN) && (y->flags & SW_E_ACKED) ? SW_CLOSE_WAIT : SW_ESTABLISHED;
	c->flags &= ~SW_C_SIMCLOSE;
	if (!(y->flags & SW_E_FIN))
		c->flags &= ~(SW_C_CLOSED_FIRST | SW_C_FIRST_SERVER);
	sw_event(s, SW_EV_FIN_CONTRADICTED);
}

SW_INLINE void sw_teardown_done(struct sw_conn *c, struct sw_step *s)
{
	u32 kind = c->flags & (SW_C_SIMCLOSE | SW_C_THREE_WAY);

	if (!(c->flags & SW_C_TD_OPEN) || !sw_finished(c))
		return;
	c->flags &= ~SW_C_TD_OPEN;
	s->book[SW_TD_COMPLETED]++;
	if (kind & SW_C_SIMCLOSE) {
		s->book[SW_TD_SIMULTANEOUS]++;
		sw_event(s, SW_EV_CLOSE_SIMULTANEOUS);
	} else {
		sw_event(s, kind ? SW_EV_CLOSE_THREE_WAY : SW_EV_CLOSE_FOUR_WAY);
	}
}

SW_INLINE void sw_on_ack(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, u64 infer, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool fits, acked_now = false;

	sw_contradict_rst(c, p, from, now, s);
	if (sw_closed(c))
		return;
	fits = from == SW_CLIENT ? sw_on_client_ack(c, p, now, infer, s) : sw_on_server_ack(c, p, now, infer, s);
	if (!fits) {
		sw_event(s, SW_EV_ACK_INVALID);
		return;
	}
	if ((y->flags & (SW_E_FIN | SW_E_ACKED)) == SW_E_FIN && p->ack == y->nxt) {
		y->flags |= SW_E_ACKED;
		acked_now = true;
		sw_fact(c, from, SW_F_ACK_FIN);
	}
	if (p->kind == SW_KIND_FIN)
		sw_on_fin(c, p, from, acked_now, s);
	else if ((x->flags & (SW_E_FIN | SW_E_ACKED)) == SW_E_FIN && p->len && (s32)(p->seq + p->len - x->nxt) > 0)
		sw_contradict_fin(c, from, s);
	sw_teardown_done(c, s);
}

/* The clock was read before the lock was taken: another CPU may have been later and yet first. */
SW_INLINE u64 sw_after(u64 now, u64 earlier)
{
	return (s64)(now - earlier) < 0 ? earlier : now;
}

SW_INLINE void sw_seen(struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	c->end[from & 1].flags |= SW_E_SEEN;
	if (p->local)
		c->flags |= from == SW_CLIENT ? SW_C_CLIENT_LOCAL : SW_C_SERVER_LOCAL;
}

/* One segment of a connection that is in the table. */
SW_INLINE void sw_track(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, u64 infer, struct sw_step *s)
{
	u8 before[2] = {c->end[0].state, c->end[1].state};

	now = sw_after(now, c->changed_ns);
	if (p->kind == SW_KIND_SYN_ACK && (c->flags & SW_C_RIVAL) &&
	    from == (c->flags & SW_C_RIVAL_SERVER ? SW_CLIENT : SW_SERVER) && sw_covers(&c->rival, p->ack)) {
		sw_rival_wins(c, p, s);
		now = sw_after(now, c->changed_ns);
		from = SW_SERVER;
	}
	sw_seen(c, p, from);
	if (p->kind == SW_KIND_SYN)
		sw_on_syn(c, p, from, now, s);
	else if (p->kind == SW_KIND_SYN_ACK)
		sw_on_synack(c, p, from, now, s);
	else if (p->kind == SW_KIND_RST)
		sw_on_rst(c, p, from, s);
	else
		sw_on_ack(c, p, from, now, infer, s);
	if (before[0] != c->end[0].state || before[1] != c->end[1].state) {
		c->changed_ns = now;
		s->renew = 1;
	}
}

#endif
