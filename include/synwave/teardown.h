/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The end of a connection: RST, judged as its receiver would; FINs and their ACKs; and what the wire contradicts. */
#ifndef SYNWAVE_TEARDOWN_H
#define SYNWAVE_TEARDOWN_H

#include "conn.h"
#include "states.h"

enum sw_rst { SW_RST_IGNORE, SW_RST_ACCEPT, SW_RST_PROVISIONAL };

/* Would the receiver take this RST? RFC 9293 3.10.7.2-4, RFC 5961 3.2. */
SW_INLINE enum sw_rst sw_judge_rst(const struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	const struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool ok;

	if (sw_closed(c))
		return SW_RST_IGNORE;
	if ((x->flags & SW_E_FIN && x->flags & SW_E_ACKED) || y->state == SW_TIME_WAIT) {
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

	bool same_end = from == (c->flags & SW_C_RESET_SERVER ? SW_SERVER : SW_CLIENT);
	if (sw_closed(c) && (c->flags & SW_C_RESET) && same_end && p->seq == c->rst_seq)
		return; /* the same RST, again or at another hook */
	if (verdict == SW_RST_IGNORE) {
		/* a closed end may reset more than once: the last number is the one to go beyond */
		if ((c->flags & SW_C_PROVISIONAL) && sw_closed(c) && same_end && (s32)(p->seq - c->rst_seq) > 0)
			c->rst_seq = p->seq;
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
		c->doubts = 0;
	}
	c->rst_seq = p->seq;
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
	/* what one hook saw before the RST another sees after it: copies contradict nothing */
	if (c->seen_at[from & 1] != p->seen_at && now - c->changed_ns < SW_NS_PER_S)
		return;
	bool older = (s32)(p->seq + p->len - c->rst_seq) <= 0 && now - c->changed_ns < SW_NS_PER_S;
	if (older && p->kind != SW_KIND_FIN && !c->doubts++)
		return; /* one may have been sent before the RST, and overtaken by it */
	c->end[0].state = c->saved[0];
	c->end[1].state = c->saved[1];
	if (SW_IN(c->end[!from].state, 1u << SW_ESTABLISHED | 1u << SW_CLOSE_WAIT))
		c->end[!from].flags &= ~SW_E_FIN; /* noted after the RST, for conn_state: it will come again */
	if (c->flags & SW_C_SAVED_HS)
		sw_handshake_open(c, s);
	if (c->flags & SW_C_SAVED_TD)
		sw_teardown_open(c, s);
	c->flags &= ~(SW_C_PROVISIONAL | SW_C_RESET | SW_C_RESET_SERVER | SW_C_SAVED_HS | SW_C_SAVED_TD);
	sw_event(s, SW_EV_RST_CONTRADICTED);
}

/* FINs and their ACKs, for ends past the handshake. */
SW_INLINE void sw_on_fin(struct sw_conn *c, const struct sw_packet *p, u32 from, bool acked_now, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	u32 end = p->seq + p->len + 1;

	if (x->flags & SW_E_FIN) {
		if (!(x->flags & SW_E_ACKED))
			x->nxt = end; /* the last word counts while nobody has acknowledged one */
		if (end == x->nxt)
			s->renew = 1; /* it lives; and if its ACK was lost, 2 MSL start anew, RFC 9293 3.10.7.8 */
		return;
	}
	if (SW_IN(x->state, SW_FINISHED | 1u << SW_LISTEN | 1u << SW_SYN_SENT))
		return;
	x->flags = (x->flags & ~SW_E_ACKED) | SW_E_FIN;
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

#endif
