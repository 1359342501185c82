/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection, one segment, one step. Sequence numbers compare modulo 2^32. */
#ifndef SYNWAVE_TRACKER_H
#define SYNWAVE_TRACKER_H

#include "handshake.h"
#include "teardown.h"

SW_INLINE void sw_on_ack(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, u64 infer, struct sw_step *s)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];
	bool fits, acked_now = false;

	sw_contradict_rst(c, p, from, now, s);
	if (sw_closed(c)) {
		/* FIN, RST by the same end, and the other's FIN on its way: both had closed */
		if (p->kind == SW_KIND_FIN && (c->flags & SW_C_RESET) && (y->flags & SW_E_FIN) &&
		    !(x->flags & SW_E_FIN) && from == (c->flags & SW_C_RESET_SERVER ? SW_CLIENT : SW_SERVER))
			x->flags |= SW_E_FIN;
		if (from != SW_CLIENT || !sw_unrefuse(c, p, s))
			return;
	}
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

/* One segment of a connection that is in the table. */
SW_INLINE void sw_track(struct sw_conn *c, const struct sw_packet *p, u32 from, u64 now, u64 infer, struct sw_step *s)
{
	u8 before[2] = {c->end[0].state, c->end[1].state};

	now = sw_after(now, c->changed_ns);
	bool answered = (c->flags & SW_C_RIVAL) && p->flags & SW_TCP_ACK && sw_covers(&c->rival, p->ack) &&
			from == (c->flags & SW_C_RIVAL_SERVER ? SW_CLIENT : SW_SERVER);
	if (answered && p->kind == SW_KIND_RST && p->seq == 0) {
		/* refused: that ends the rival and nobody else; who forged the SYN can forge this too */
		c->flags &= ~SW_C_RIVAL;
		sw_event(s, SW_EV_RST_IGNORED);
		return;
	}
	if (answered && p->kind == SW_KIND_SYN_ACK) {
		sw_rival_wins(c, p, SW_SERVER, s);
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
