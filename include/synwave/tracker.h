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

/* Does this segment show by itself that its sender's end of the connection exists? A RST, a SYN or a bare ACK may answer
 * what somebody forged; of this host's own sockets the kernel says which are past their handshake. */
SW_INLINE bool sw_is_solid(const struct sw_packet *p)
{
	return p->kind == SW_KIND_DATA || p->kind == SW_KIND_FIN || (p->socket && p->kind == SW_KIND_ACK);
}

/* Met in the middle: which ends were heard themselves. Both must be: what is forwarded may be forged at the other interface,
 * but then only one end sends it. */
#define SW_C_HEARD_SERVER SW_C_ANSWERED /* else for handshakes that were seen */
#define SW_C_HEARD_CLIENT SW_C_ONE_COPY
#define SW_C_HEARD_BOTH   (SW_C_HEARD_SERVER | SW_C_HEARD_CLIENT)
SW_INLINE void sw_note_solid(struct sw_conn *c, const struct sw_packet *p, u32 from)
{
	if (SW_ORIGIN(c->flags) == SW_ORIGIN_MIDSTREAM && sw_is_solid(p))
		c->flags |= from == SW_CLIENT ? SW_C_HEARD_CLIENT : SW_C_HEARD_SERVER;
}

/* The socket of a local segment is the kernel's own word; a middle that was heard from both ends, one of them inside. */
SW_INLINE bool sw_is_heard(const struct sw_conn *c, const struct sw_packet *p, const struct sw_step *s)
{
	bool both = (c->flags & SW_C_HEARD_BOTH) == SW_C_HEARD_BOTH && SW_ORIGIN(c->flags) == SW_ORIGIN_MIDSTREAM;
	u32 egress = c->seen_at[SW_CLIENT] ^ c->seen_at[SW_SERVER];

	return p->kind != SW_KIND_RST && ((p->local && p->socket) || (both && (s->inside || egress & 1)));
}

/* --ingress-only, and no proof so far: how often a segment makes the shell ask the kernel for the connection's socket. */
SW_INLINE bool sw_may_ask(const volatile struct sw_conf *conf, u32 flags)
{
	return conf->one_way && flags & SW_C_HS_DONE && !(flags & SW_C_PROVED) && (flags & SW_C_ASKED) != SW_C_ASKED;
}

/* The first question at once, the next ones later: the stack may not have seen yet what came in one batch with this segment. */
SW_INLINE bool sw_ask_now(const struct sw_conn *c, u64 now)
{
	u32 asked = (c->flags & SW_C_ASKED) / SW_C_ONE_ASKED;
	u64 wait = asked == 0 ? 0 : asked == 1 ? SW_NS_PER_S / 100 : SW_NS_PER_S;

	return now - c->changed_ns >= wait;
}

SW_INLINE void sw_prove(struct sw_conn *c, bool client_outside, struct sw_step *s)
{
	c->flags |= SW_C_PROVED;
	s->verified |= client_outside;
	s->renew = 1; /* the deadline of a proved connection is another */
}

/* Proof that both ends exist where they say. Who stands on one side can forge all that comes from there; he cannot make the
 * other side answer, nor know the number in an answer that he does not get. After sw_track. */
SW_INLINE void sw_judge_proof(const volatile struct sw_conf *conf, struct sw_conn *c, const struct sw_packet *p,
			      u64 now, struct sw_step *s)
{
	u32 from = sw_role(c, p);
	bool completed = !s->was_done && c->flags & SW_C_HS_DONE;
	bool by_number = completed && from == SW_CLIENT && c->ack_ns && !(c->flags & SW_C_INFERRED) &&
			 (s->inside || c->flags & SW_C_ANSWERED);
	bool both = c->end[0].flags & c->end[1].flags & SW_E_SEEN && sw_two_sides(conf, c);

	sw_note_solid(c, p, from);
	if (!(c->flags & SW_C_HS_DONE) || c->flags & SW_C_PROVED)
		return;
	both = both && (by_number || sw_is_heard(c, p, s) || conf->both_ways);
	if (both && !conf->one_way) {
		sw_prove(c, conf->both_ways ? by_number : from == SW_SERVER || !p->inside, s);
	} else if (sw_may_ask(conf, c->flags) && (both || !completed) && p->kind != SW_KIND_RST &&
		   (both || sw_ask_now(c, now))) {
		c->flags += SW_C_ONE_ASKED;
		s->ask = both ? SW_ASK_SOCKET_OR_ROUTE : SW_ASK_SOCKET;
	}
}

/* The answer to a SYN with a new ISN on a connection that lives: it counts if SYN and answer were seen on different sides, one
 * of them leaving. */
SW_INLINE bool sw_rival_answered(const volatile struct sw_conf *conf, const struct sw_conn *c,
				 const struct sw_packet *p, const struct sw_step *s)
{
	return !(c->flags & (SW_C_PROVED | SW_C_ANSWERED)) || conf->both_ways ||
	       (c->rival_seen_at != p->seen_at && (s->inside || c->rival_seen_at & 1));
}

/* One segment of a connection that is in the table. */
SW_INLINE void sw_track(const volatile struct sw_conf *conf, struct sw_conn *c, const struct sw_packet *p, u32 from,
			u64 now, struct sw_step *s)
{
	u8 before[2] = {c->end[0].state, c->end[1].state};
	u64 infer = conf->timeout[SW_T_INFER];

	now = sw_after(now, c->changed_ns);
	s->inside = sw_is_inside(conf, c, p, from);
	bool answered = (c->flags & SW_C_RIVAL) && p->flags & SW_TCP_ACK && sw_covers(&c->rival, p->ack) &&
			from == (c->flags & SW_C_RIVAL_SERVER ? SW_CLIENT : SW_SERVER);
	if (answered && p->kind == SW_KIND_RST && p->seq == 0) {
		/* refused: that ends the rival and nobody else; who forged the SYN can forge this too */
		c->flags &= ~SW_C_RIVAL;
		sw_event(s, SW_EV_RST_IGNORED);
		return;
	}
	if (answered && p->kind == SW_KIND_SYN_ACK && sw_rival_answered(conf, c, p, s)) {
		sw_rival_wins(c, p, SW_SERVER, s);
		now = sw_after(now, c->changed_ns);
		from = SW_SERVER;
	}
	sw_seen(c, p, from);
	if (p->kind == SW_KIND_SYN)
		sw_on_syn(c, p, from, now, s);
	else if (p->kind == SW_KIND_SYN_ACK)
		sw_on_synack(conf, c, p, from, now, s);
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
