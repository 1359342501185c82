/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The handshake, from both ends: SYN, SYN-ACK, ACK; both at once; a new SYN on a living connection; one direction unseen. */
#ifndef SYNWAVE_HANDSHAKE_H
#define SYNWAVE_HANDSHAKE_H

#include "conn.h"
#include "states.h"

/* The server answered a SYN with a new ISN: the old connection is no more, whatever we thought of it. */
SW_INLINE void sw_rival_wins(struct sw_conn *c, const struct sw_packet *p, u32 role, struct sw_step *s)
{
	struct sw_end rival = c->rival;
	u64 first = c->rival_ns;
	u16 seen_at = c->rival_seen_at;

	s->dropped |= 1u << (s->came & 31);
	s->anew = 1;
	sw_settle(c, s, SW_HS_TIMED_OUT, SW_TD_TIMED_OUT);
	sw_begin(c, p, first, SW_ORIGIN_SYN, role);
	c->end[SW_CLIENT] = rival;
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->end[SW_SERVER].state = SW_LISTEN;
	c->seen_at[SW_CLIENT] = seen_at;
	sw_handshake_open(c, s);
}

SW_INLINE void sw_on_syn(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	u32 theirs = from == SW_SERVER ? SW_C_RIVAL | SW_C_RIVAL_SERVER : SW_C_RIVAL;

	if ((x->flags & SW_E_ISN) && x->isn == p->seq) {
		if (!(x->flags & (SW_E_OFFER | SW_E_FIN))) { /* its SYN-ACK overtook it */
			sw_offer(x, p);
			c->seen_at[from & 1] = p->seen_at;
			return;
		}
		if (c->seen_at[from & 1] != p->seen_at) { /* the same SYN, seen at another hook */
			if (from == SW_CLIENT && (c->flags & SW_C_COPIES) != SW_C_COPIES)
				c->flags += SW_C_ONE_COPY;
			return;
		}
		c->flags &= ~SW_C_COPIES;
		if (sw_finished(c))
			return; /* an old duplicate */
		if (from == SW_SERVER && x->state == SW_SYN_RCVD && y->state == SW_SYN_SENT) {
			c->flags |= SW_C_SIMOPEN; /* SYNs crossed, and its SYN-ACK overtook its SYN */
			y->flags |= SW_E_ACKED;
			return;
		}
		sw_count8(&x->rexmits);
		sw_event(s, SW_EV_SYN_REXMIT);
		s->renew = x->state == SW_SYN_SENT && y->state == SW_LISTEN;
		return;
	}
	if (from == SW_SERVER && x->state == SW_LISTEN && y->state == SW_SYN_SENT) {
		sw_offer(x, p);
		c->seen_at[SW_SERVER] = p->seen_at;
		c->flags |= SW_C_SIMOPEN;
		sw_fact(c, from, SW_F_SYN);
		return;
	}
	if ((c->flags & (SW_C_RIVAL | SW_C_RIVAL_SERVER)) == theirs && c->rival.isn == p->seq) {
		if (c->rival_seen_at == p->seen_at)
			sw_count8(&c->rival.rexmits);
		return;
	}
	c->flags = (c->flags & ~(SW_C_RIVAL | SW_C_RIVAL_SERVER | SW_C_ALT)) | theirs;
	c->rival.flags = c->rival.rexmits = 0;
	sw_offer(&c->rival, p);
	c->rival_ns = now;
	c->rival_seen_at = p->seen_at;
	sw_event(s, SW_EV_SYN_RIVAL);
}

/* The server's own SYN-ACK: only it, or nobody, is believed from here on. */
SW_INLINE void sw_answered(const volatile struct sw_conf *conf, struct sw_conn *c, u32 from, struct sw_step *s)
{
	if (!s->inside || from != SW_SERVER || c->flags & SW_C_ANSWERED || !sw_two_sides(conf, c))
		return;
	c->flags |= SW_C_ANSWERED;
	s->answered = 1;
}

/* A SYN-ACK again, or with another ISN (SYN cookies: a server without memory answers with a new one). */
SW_INLINE void sw_on_synack_again(const volatile struct sw_conf *conf, struct sw_conn *c, const struct sw_packet *p,
				  u32 from, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1];

	if (x->isn != p->seq) {
		bool forged = s->inside && !conf->both_ways && !(c->flags & SW_C_ANSWERED); /* the one before */

		if (x->state != SW_SYN_RCVD || (c->flags & SW_C_ANSWERED && !s->inside)) {
			sw_event(s, SW_EV_SYNACK_INVALID);
			return;
		}
		if (forged) {
			c->seen_at[from & 1] = p->seen_at;
			c->flags &= ~SW_C_ALT;
		} else if (!(c->flags & SW_C_RIVAL)) {
			c->rival = *x; /* the client's ACK says which of the two it took */
			c->flags |= SW_C_ALT;
		}
		sw_offer(x, p);
	}
	sw_answered(conf, c, from, s);
	if (c->seen_at[SW_SERVER] != p->seen_at)
		return;
	sw_count8(&x->rexmits);
	sw_event(s, SW_EV_SYNACK_REXMIT);
	/* the handshake ACK was lost behind us: the server is still half-open */
	if (from == SW_SERVER && x->state == SW_ESTABLISHED && (c->flags & SW_C_HS_DONE)) {
		x->state = SW_SYN_RCVD;
		s->renew = 1;
	}
}

/* SYNs crossed, and `from` acknowledges the other's: done when both are acknowledged. False: not yet past its own
 * handshake. An end whose SYN is acknowledged before it has answered ours keeps that in SW_E_ACKED. */
SW_INLINE bool sw_on_crossed_ack(struct sw_conn *c, u32 from, u64 now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];

	if (y->state == SW_SYN_SENT)
		y->flags |= SW_E_ACKED;
	sw_fact(c, from, SW_F_ACK_SYN);
	if (x->flags & SW_E_ACKED && SW_IN(x->state, SW_OPENING))
		x->state = SW_ESTABLISHED;
	if (!SW_IN(x->state, SW_OPENING))
		x->flags &= ~SW_E_ACKED;
	if (!SW_IN(x->state, SW_OPENING) && !SW_IN(y->state, SW_OPENING))
		sw_handshake_done(c, s, now, true);
	return !SW_IN(x->state, SW_OPENING);
}

/* A RST of the server ended it before the client had answered. */
SW_INLINE bool sw_refused(const struct sw_conn *c)
{
	return sw_closed(c) && (c->flags & SW_C_RESET_SERVER) && !(c->flags & SW_C_HS_DONE);
}

/* The client acknowledges a SYN-ACK that came after the refusal: the RST was none of the server's. (A client that took
 * the RST would answer the SYN-ACK with one of its own.) */
SW_INLINE bool sw_unrefuse(struct sw_conn *c, const struct sw_packet *p, struct sw_step *s)
{
	if (!(c->flags & SW_C_ALT) || !sw_refused(c) || !sw_covers(&c->rival, p->ack))
		return false;
	c->end[SW_SERVER] = c->rival;
	c->end[SW_SERVER].flags |= SW_E_SEEN;
	c->end[SW_SERVER].state = SW_SYN_RCVD;
	c->end[SW_SERVER].rexmits = 0;
	c->end[SW_CLIENT].state = SW_SYN_SENT;
	c->synack_ns = c->rival_ns;
	c->flags &= ~(SW_C_ALT | SW_C_RESET | SW_C_RESET_SERVER);
	sw_handshake_open(c, s);
	sw_event(s, SW_EV_RST_CONTRADICTED);
	return true;
}

SW_INLINE void sw_on_synack(const volatile struct sw_conf *conf, struct sw_conn *c, const struct sw_packet *p, u32 from,
			    u64 now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool simopen = c->flags & SW_C_SIMOPEN;

	if (sw_refused(c) && from == SW_SERVER && sw_covers(y, p->ack) &&
	    !(x->flags & SW_E_OFFER && x->isn == p->seq) && (s->inside || !(c->flags & SW_C_ANSWERED))) {
		if (s->inside && sw_two_sides(conf, c))
			c->flags |= SW_C_ANSWERED;
		c->rival.flags = 0;
		sw_offer(&c->rival, p);
		c->rival_ns = now;
		c->flags |= SW_C_ALT; /* believed when the client acknowledges it */
	}
	if (!sw_covers(y, p->ack) || sw_finished(c) || (from == SW_CLIENT && !simopen)) {
		sw_event(s, SW_EV_SYNACK_INVALID);
		return;
	}
	if (c->flags & SW_C_INFERRED) { /* it was only late, or it shows that the inference was wrong */
		u32 fin = x->isn == p->seq ? x->flags & (SW_E_FIN | SW_E_ACKED) : 0, nxt = x->nxt;
		if (x->isn != p->seq)
			x->state = SW_SYN_RCVD;
		c->flags &= ~SW_C_INFERRED;
		c->seen_at[SW_SERVER] = p->seen_at;
		sw_offer(x, p);
		x->flags |= fin; /* it was later than the FIN even */
		if (fin)
			x->nxt = nxt;
		if (!c->synack_ns)
			c->synack_ns = now;
		if (s->inside && from == SW_SERVER && sw_two_sides(conf, c))
			c->flags |= SW_C_ANSWERED;
		return;
	}
	if ((x->flags & SW_E_OFFER) && !(simopen && x->state == SW_SYN_SENT)) {
		sw_on_synack_again(conf, c, p, from, s);
		return;
	}
	if (!simopen || x->isn != p->seq) {
		sw_offer(x, p);
		c->seen_at[from & 1] = p->seen_at;
	}
	sw_answered(conf, c, from, s);
	sw_fact(c, from, SW_F_SYNACK);
	if (simopen)
		sw_on_crossed_ack(c, from, now, s);
	s->renew = 1;
	if (c->synack_ns)
		return;
	c->synack_ns = now;
	sw_event(s, SW_EV_SYNACK_NEW);
	if (!y->rexmits && SW_ORIGIN(c->flags) == SW_ORIGIN_SYN) /* Karn */
		s->syn_synack_ns = now - c->first_ns;
}

/* The handshake's part of a segment that is neither SYN nor RST. False: it fits no handshake, ignore the rest of it. */
SW_INLINE bool sw_on_client_ack(struct sw_conn *c, const struct sw_packet *p, u64 now, u64 infer, struct sw_step *s)
{
	struct sw_end *x = &c->end[SW_CLIENT], *y = &c->end[SW_SERVER];

	if (y->state == SW_LISTEN) {
		if (!sw_covers(x, p->seq) || (now - c->first_ns < infer && !s->cookie))
			return false;
		y->isn = p->ack - 1; /* an ACK of y + 1 after the SYN proves the SYN-ACK */
		y->nxt = p->ack;
		y->flags |= SW_E_ISN;
		c->flags |= SW_C_INFERRED;
		x->state = y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, true);
		sw_event(s, s->cookie ? SW_EV_COOKIE : SW_EV_INFERRED);
		s->verified = s->cookie;
		return true;
	}
	if (c->flags & SW_C_HS_DONE) {
		/* a SYN-ACK sent again made the server half-open again: anything that the client acknowledges ends that */
		if ((s32)(p->ack - y->isn) > 0)
			sw_fact(c, SW_CLIENT, SW_F_ACK_SYN);
		return true;
	}
	if (!sw_covers(y, p->ack) && c->flags & SW_C_ALT && sw_covers(&c->rival, p->ack)) {
		c->rival.rexmits = y->rexmits;
		c->rival.state = y->state;
		*y = c->rival;
		c->flags &= ~SW_C_ALT;
	}
	if (!sw_covers(y, p->ack))
		return false;
	if (c->flags & SW_C_SIMOPEN)
		return sw_on_crossed_ack(c, SW_CLIENT, now, s);
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
	bool fast_open = y->nxt != y->isn + 1, doubtful = c->flags & SW_C_ANSWERED && !s->inside;

	if (c->flags & SW_C_HS_DONE) {
		if (p->len && x->state == SW_SYN_RCVD && !doubtful)
			x->state = SW_ESTABLISHED;
		return true;
	}
	if (!sw_covers(y, p->ack)) {
		/* it acknowledges data that we did not see: so was the handshake ACK, and it arrived */
		if (c->flags & SW_C_SIMOPEN || doubtful || (x->state != SW_SYN_RCVD && x->state != SW_ESTABLISHED) ||
		    !sw_within(p->ack, y->nxt, 1 << 20))
			return false;
		x->state = y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, false);
		return true;
	}
	if (c->flags & SW_C_SIMOPEN)
		return sw_on_crossed_ack(c, SW_SERVER, now, s);
	if (x->state == SW_LISTEN) { /* the SYN-ACK was missed */
		if (now - c->first_ns < infer || !(p->len || p->kind == SW_KIND_FIN))
			return false;
		c->flags |= SW_C_INFERRED;
		sw_event(s, SW_EV_INFERRED);
		x->state = y->state = SW_ESTABLISHED;
		sw_handshake_done(c, s, now, false);
		return true;
	}
	if (doubtful)
		return true;
	if ((x->flags & SW_E_OFFER) && (s32)(end - x->nxt) > 0 && sw_within(end, x->isn + 1, 1 << 20))
		x->nxt = end; /* what the client's ACK may cover */
	if (p->len && !fast_open && x->state == SW_SYN_RCVD && sw_within(p->seq, x->isn + 1, 1 << 20))
		x->state = SW_ESTABLISHED; /* without Fast Open only an ESTABLISHED server sends data */
	return true;
}

#endif
