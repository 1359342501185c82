// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ladder.h"

#include <string.h>

#include "synwave/table.h"

struct maker {
	struct ladder *l;
	const struct sw_conn *c;
	u64 epoch_ns;
	struct sw_conn sim; /* for the states of a record: what the tables make of the segments */
};

bool ladder_relative(u32 relative, const u8 state[2])
{
	return relative >> 31 == 0 || !(SW_IN(state[0], SW_OPENING) || SW_IN(state[1], SW_OPENING));
}

static struct ladder_number number(u32 is, const struct sw_end *of, bool begins, const u8 state[2])
{
	u32 relative = begins ? 0 : is - of->isn;
	bool known = begins || (of->flags & SW_E_ISN && ladder_relative(relative, state));

	return (struct ladder_number){.known = true, .is = is, .relative_known = known, .relative = relative};
}

/* RFC 7323 2.2: never on a SYN, and only if both ends offered it. */
static u32 scaled(const struct sw_conn *c, u32 from, u16 window, u8 flags)
{
	u8 mine = c->end[from].wscale, theirs = c->end[!from].wscale;

	if (flags & SW_TCP_SYN || mine == SW_WSCALE_NONE || theirs == SW_WSCALE_NONE)
		return window;
	return (u32)window << (mine > 14 ? 14 : mine);
}

static struct ladder_segment *next(struct maker *m)
{
	struct ladder *l = m->l;

	return l->count < LADDER_MAX ? &l->seg[l->count++] : &l->seg[LADDER_MAX - 1];
}

static void add_rung(struct maker *m, const struct sw_rung *r)
{
	const struct sw_conn *c = m->c;
	u32 from = r->from & 1;
	bool syn = r->flags & SW_TCP_SYN;
	struct ladder_segment *g = next(m);

	*g = (struct ladder_segment){
		.timed = true,
		.ns = c->first_ns + sw_span_ns(r->at) + m->epoch_ns,
		.last_ns = c->first_ns + sw_span_ns(r->last) + m->epoch_ns,
		.again = r->again,
		.from = from,
		.flags = r->flags,
		.state = {r->states & 15, r->states >> 4},
		.sized = true,
		.window = r->window,
		.scaled = scaled(c, from, r->window, r->flags),
		.len = r->len,
	};
	g->seq = number(r->seq, &c->end[from], syn, g->state);
	if (r->flags & SW_TCP_ACK)
		g->ack = number(r->ack, &c->end[!from], false, g->state);
	if (syn && c->end[from].flags & SW_E_OFFER && c->end[from].isn == r->seq)
		g->offer = &m->l->rec.end[from];
}

/* --- without rungs: what the record tells ------------------------------------------------------------------------ */

static struct ladder_segment *recall(struct maker *m, u32 from, u8 flags, u64 at_ns)
{
	struct ladder_segment *g = next(m);

	*g = (struct ladder_segment){.from = from, .flags = flags, .timed = at_ns, .ns = at_ns + m->epoch_ns};
	g->last_ns = g->ns;
	g->state[0] = m->sim.end[0].state;
	g->state[1] = m->sim.end[1].state;
	return g;
}

/* A SYN or SYN-ACK. */
static void recall_offer(struct maker *m, u32 from, u8 flags, u64 at_ns)
{
	const struct sw_end *e = &m->c->end[from];
	struct ladder_segment *g = recall(m, from, flags, at_ns);

	g->seq = number(e->isn, e, true, g->state);
	g->sized = true;
	g->window = g->scaled = e->window;
	g->again = e->rexmits;
	g->offer = &m->l->rec.end[from];
}

static void recall_handshake(struct maker *m)
{
	const struct sw_conn *c = m->c;
	bool simopen = c->flags & SW_C_SIMOPEN;

	m->sim.end[SW_CLIENT].state = SW_SYN_SENT;
	m->sim.end[SW_SERVER].state = SW_LISTEN;
	if (c->end[SW_CLIENT].flags & SW_E_OFFER) {
		struct sw_rung syn = sw_syn_rung(c);
		add_rung(m, &syn);
		m->l->seg[m->l->count - 1].again = c->end[SW_CLIENT].rexmits;
	}
	if (c->end[SW_SERVER].flags & SW_E_OFFER) {
		sw_fact(&m->sim, SW_SERVER, simopen ? SW_F_SYN : SW_F_SYNACK);
		recall_offer(m, SW_SERVER, simopen ? SW_TCP_SYN : SW_TCP_SYN | SW_TCP_ACK, simopen ? 0 : c->synack_ns);
	}
	if (!(c->flags & SW_C_HS_DONE))
		return;
	m->sim.end[SW_CLIENT].state = m->sim.end[SW_SERVER].state = SW_ESTABLISHED;
	if (c->ack_ns)
		recall(m, SW_CLIENT, SW_TCP_ACK, c->ack_ns);
}

static void recall_fin(struct maker *m, u32 from, bool acks)
{
	if (acks)
		sw_fact(&m->sim, from, SW_F_ACK_FIN);
	sw_fact(&m->sim, from, SW_F_FIN);
	recall(m, from, SW_TCP_FIN | SW_TCP_ACK, 0);
}

static void recall_ack(struct maker *m, u32 from)
{
	if (!(m->c->end[!from].flags & SW_E_ACKED))
		return;
	sw_fact(&m->sim, from, SW_F_ACK_FIN);
	recall(m, from, SW_TCP_ACK, 0);
}

static void recall_teardown(struct maker *m)
{
	const struct sw_conn *c = m->c;
	u32 first = c->flags & SW_C_FIRST_SERVER ? SW_SERVER : SW_CLIENT;
	bool both = c->end[!first].flags & SW_E_FIN, crossed = c->flags & SW_C_SIMCLOSE,
	     three = c->flags & SW_C_THREE_WAY;

	if (c->end[first].flags & SW_E_FIN && c->flags & SW_C_CLOSED_FIRST) {
		recall_fin(m, first, false);
		if (!three && !crossed)
			recall_ack(m, !first);
		if (both)
			recall_fin(m, !first, three);
		if (both && crossed)
			recall_ack(m, !first);
		if (both)
			recall_ack(m, first);
	}
	if (c->flags & SW_C_RESET) {
		u32 by = c->flags & SW_C_RESET_SERVER ? SW_SERVER : SW_CLIENT;
		struct ladder_segment *g;

		sw_fact(&m->sim, by, SW_F_RST);
		g = recall(m, by, SW_TCP_RST, 0);
		g->seq = number(c->rst_seq, &c->end[by], false, g->state);
	}
}

/* The last one that moved a state has its time in the record. */
static void recall_last(struct maker *m)
{
	struct ladder_segment *g;

	if (!m->l->count)
		return;
	g = &m->l->seg[m->l->count - 1];
	if (!g->timed) {
		g->timed = true;
		g->ns = g->last_ns = m->c->changed_ns + m->epoch_ns;
	}
}

/* --- what follows from the whole --------------------------------------------------------------------------------- */

/* The number after the last one that a segment takes. */
static u32 seq_end(const struct ladder_segment *g)
{
	return g->seq.is + g->len + !!(g->flags & SW_TCP_SYN) + !!(g->flags & SW_TCP_FIN);
}

/* The connection must have been opened or closed by both at once. */
static bool crosses(const struct ladder *l, u32 i)
{
	const struct ladder_segment *g = &l->seg[i], *above = &l->seg[i ? i - 1 : 0];

	if (!i || g->from == above->from || (g->flags ^ above->flags) & SW_RUNG_FLAGS || !ladder_moves(l, i))
		return false;
	if (g->flags & SW_TCP_SYN)
		return l->rec.simultaneous_open;
	if (g->flags & SW_TCP_FIN)
		return l->rec.simultaneous_close &&
		       (!g->seq.known || !above->seq.known || (s32)(g->ack.is - seq_end(above)) < 0);
	return false; /* of bare ACKs nobody can tell */
}

static void finish(struct ladder *l)
{
	for (u32 i = 0; i < l->count; i++) {
		struct ladder_segment *g = &l->seg[i];

		g->crosses = crosses(l, i);
		if (i && l->seg[i - 1].timed && g->timed && g->ns < l->seg[i - 1].ns)
			g->ns = l->seg[i - 1].ns; /* the clocks of two CPUs */
		if (g->last_ns < g->ns)
			g->last_ns = g->ns;
	}
}

void ladder_from(struct ladder *l, const struct sw_conn *c, const struct sw_ladder *rungs, bool expired, u64 epoch_ns)
{
	struct maker m = {.l = l, .c = c, .epoch_ns = epoch_ns};
	struct sw_rung rung[SW_RUNGS];
	u32 count = rungs ? sw_rungs(rung, c, rungs) : 0;

	memset(l, 0, sizeof(*l));
	record_from(&l->rec, c, expired, epoch_ns);
	l->expired = expired;
	l->left_out = c->left_out;
	l->remembered = rungs;
	for (u32 i = 0; i < count; i++)
		add_rung(&m, &rung[i]);
	if (!count) {
		if (SW_ORIGIN(c->flags) != SW_ORIGIN_MIDSTREAM)
			recall_handshake(&m);
		else
			m.sim.end[0].state = m.sim.end[1].state = SW_ESTABLISHED;
		recall_teardown(&m);
		recall_last(&m);
	}
	finish(l);
}

bool ladder_delta(const struct ladder *l, u32 i, u64 *ns)
{
	const struct ladder_segment *g = &l->seg[i], *above = &l->seg[i ? i - 1 : 0];

	if (!i || !g->timed || !above->timed)
		return false;
	*ns = g->ns - (above->last_ns < g->ns ? above->last_ns : above->ns);
	return true;
}

static bool is_open(const struct ladder_segment *g)
{
	return g->state[0] == SW_ESTABLISHED && g->state[1] == SW_ESTABLISHED;
}

bool ladder_open(const struct ladder *l, u32 i)
{
	return is_open(&l->seg[i]) && (i + 1 == l->count || !is_open(&l->seg[i + 1]));
}

bool ladder_data(const struct ladder *l, u32 i)
{
	const struct ladder_segment *g = &l->seg[i], *below = g + 1;
	bool same = i + 1 < l->count && g->from == below->from;
	const struct ladder_number *seq = same ? &below->seq : &below->ack, *ack = same ? &below->ack : &below->seq;

	if (i + 1 == l->count || !g->seq.known || !g->ack.known || !below->seq.known || !below->ack.known)
		return false;
	return seq->is != seq_end(g) || ack->is != g->ack.is;
}

bool ladder_moved(const struct ladder *l, u32 i, u32 role)
{
	return !i || l->seg[i].state[role] != l->seg[i - 1].state[role];
}

bool ladder_moves(const struct ladder *l, u32 i)
{
	return ladder_moved(l, i, SW_CLIENT) || ladder_moved(l, i, SW_SERVER);
}
