// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the observer may say, derived from what really is.
 *
 * For an end E of a connection, admissible is each state that E was in from the moment when it sent the latest (by
 * sending) of its segments that passed us, until now: later segments are still on their way, or lost before us.
 * Conventions of docs/architecture.md turn this set into another, and no more than this:
 *   (a) E of which nothing passed is LISTEN. (A client's SYN makes the record, so that is the server.)
 *   (b) An ACK of E's SYN or FIN that passed counts as delivered: SYN_RCVD is ESTABLISHED, FIN_WAIT_1 is FIN_WAIT_2,
 *       CLOSING is TIME_WAIT, LAST_ACK is CLOSED; E need not know yet, but we must say so.
 *   (c) After a SYN-ACK again, E may be SYN_RCVD until it sends data or FIN, or the other end acknowledges its SYN.
 *   (d) A RST that its receiver must accept closes both ends, at once.
 *   (e) A FIN that was lost before us, nobody can know of: until one passed, FIN_WAIT_1 is ESTABLISHED (SYN_RCVD, if it
 *       closed there), CLOSING and LAST_ACK are CLOSE_WAIT.
 *       If E acknowledges the other's FIN before its own first passes, that looks like the one after the other: CLOSING is
 *       LAST_ACK, TIME_WAIT is CLOSED.
 *   (f) A SYN with the same ISN after (d) begins a record of its own, of which nothing passed before that SYN.
 *   (g) A record whose deadline passed is gone; of what follows before the next SYN nothing is claimed, nor of an older
 *       connection of the tuple once a record began after it.
 * Numbers do not part what follows, and only the laws are checked of such a connection ("vague"): a server that answers
 * one SYN twice, with two ISNs, because it was reset in between; a SYN that passes again after SYN-ACK and RST; a RST whose
 * number fits some states of its receiver and others not, or that is about an older connection of the tuple or a rival; segments that
 * a RST of their own sender has overtaken, when the observer may believe these; a FIN sent in SYN_RCVD when no SYN-ACK passed
 * (the observer infers an established connection, as after data).
 * Which connection of the tuple is shown is decided by the client's ISN in the record; once a SYN-ACK passed, an older
 * one must not be shown. */
#include <stdio.h>

#include "model.h"

#define BIT(state) (1u << SW_##state)

static void becomes(u32 *set, u32 from, u32 to)
{
	if (*set & from)
		*set = (*set & ~from) | to;
}

static u32 admissible(const struct life *l, const struct passed *o, u32 side)
{
	u32 set = o->mark[side] < 0 ? BIT(LISTEN) : 0;

	for (int i = o->mark[side]; i >= 0 && i < l->pasts[side]; i++)
		set |= 1u << l->past[side][i];
	if (!o->fin[side]) { /* (e) */
		becomes(&set, BIT(FIN_WAIT_1), BIT(ESTABLISHED) | (l->eager[side] ? BIT(SYN_RCVD) : 0));
		becomes(&set, BIT(CLOSING) | BIT(LAST_ACK), BIT(CLOSE_WAIT));
	}
	if (o->late_fin[side]) {
		becomes(&set, BIT(CLOSING), BIT(LAST_ACK));
		becomes(&set, BIT(TIME_WAIT), o->fin_acked[side] ? BIT(CLOSED) : BIT(LAST_ACK));
	}
	if (o->syn_acked[side]) /* (b) */
		becomes(&set, BIT(SYN_RCVD), BIT(ESTABLISHED));
	if (o->fin_acked[side]) {
		becomes(&set, BIT(FIN_WAIT_1), BIT(FIN_WAIT_2));
		becomes(&set, BIT(CLOSING), BIT(TIME_WAIT));
		becomes(&set, BIT(LAST_ACK), BIT(CLOSED));
	}
	if (o->again[side]) /* (c) */
		set |= BIT(SYN_RCVD);
	if (o->rst) /* (d) */
		return BIT(CLOSED);
	return set;
}

static void decide(struct world *w, struct passed *o, enum sw_book book)
{
	if (o->done)
		return;
	o->done = true;
	w->want[book]++;
}

static void rst_passed(struct world *w, struct pair *p, const struct segment_sent *s)
{
	struct passed *o = &p->passed[s->life];

	for (int k = s->life + 1; k < p->lives; k++)
		model_vague(w, p, k);
	if (o->rst)
		return;
	const struct life *l = &p->life[s->life];
	bool known;

	if (!s->seq && s->flags & SW_TCP_ACK) /* the answer to a SYN: to an end that waits for one, 3.10.7.3 */
		known = !o->synack && o->mark[!s->from] >= 0;
	else /* without ACK it says nothing to an end that has not heard of its sender */
		known = s->flags & SW_TCP_ACK || o->syn_acked[s->from] ||
			(o->synack && (s->seq == l->iss[s->from] + 1 || !l->eager[s->from]));
	w->blurred |= o->rival && !o->synack; /* a rival is counted when it is answered with SYN-ACK */
	if (!s->sure || !known || o->rival) {
		model_vague(w, p, s->life);
		return;
	}
	if ((o->done || o->fin[0] || o->fin[1]) && !o->closed)
		w->want[SW_TD_RESET]++;
	o->closed = true;
	decide(w, o, o->mark[s->from] >= 0 ? SW_HS_RESET : SW_HS_REFUSED);
	o->rst = true;
	o->rst_by = s->from;
	o->rst_at = w->now;
}

/* The other end's SYN and FIN are acknowledged by number. */
static void ack_passed(struct world *w, const struct life *l, struct passed *o, const struct segment_sent *s)
{
	u32 peer = !s->from;

	if (l->pasts[peer] && (s32)(s->ack - l->iss[peer]) > 0 && (s32)(s->ack - l->top[peer]) <= 0) {
		o->syn_acked[peer] = true;
		o->again[peer] &= !!(s->flags & SW_TCP_SYN);
	}
	if (l->has_fin[peer] && o->fin[peer] && s->ack == l->fin[peer])
		o->fin_acked[peer] = true;
	if (o->syn_acked[0] && o->syn_acked[1])
		decide(w, o, SW_HS_COMPLETED);
	if (o->fin_acked[0] && o->fin_acked[1] && !o->closed) {
		o->closed = true;
		w->want[SW_TD_COMPLETED]++;
	}
}

static void now_passed(struct world *w, struct pair *p, const struct segment_sent *s, bool step_fresh)
{
	bool fresh = step_fresh || !p->passed[s->life].any;
	struct passed *o = &p->passed[s->life];
	const struct life *l = &p->life[s->life];

	if (fresh && o->any && (o->synack || (o->mark[0] >= 0 && o->mark[1] >= 0) || (o->rst && s->from == o->rst_by)))
		model_vague(w, p, s->life);
	for (int k = 0; step_fresh && k < s->life; k++) /* (g): what ends them now, we could not know of */
		p->passed[k].done = p->passed[k].closed = true;
	if (fresh)
		*o = (struct passed){.any = true, .rival = !step_fresh, .mark = {-1, -1}};
	if (s->flags & SW_TCP_RST) {
		rst_passed(w, p, s);
		return;
	}
	if (o->rst && s->from == o->rst_by) {
		o->doubts++;
		if (o->doubts > 1 || s->flags & (SW_TCP_FIN | SW_TCP_SYN) || w->now - o->rst_at >= SW_NS_PER_S)
			model_vague(w, p, s->life);
	}
	if (!(s->flags & SW_TCP_SYN) && l->eager[s->from] && !o->synack && !o->syn_acked[s->from])
		for (int k = o->rival ? 0 : s->life; k <= s->life; k++) /* or the older one's */
			model_vague(w, p, k);
	if (s->mark > o->mark[s->from])
		o->mark[s->from] = s->mark;
	if (s->len || s->flags & SW_TCP_FIN)
		o->again[s->from] = false;
	if ((s->flags & SW_TCP_SYN) && (s->flags & SW_TCP_ACK)) {
		o->again[s->from] = o->synack = true;
		if (s->life > p->newest)
			p->newest = s->life;
	}
	if (s->flags & SW_TCP_ACK)
		ack_passed(w, l, o, s);
	if (s->flags & SW_TCP_FIN && !o->fin[s->from]) {
		o->fin[s->from] = true;
		o->late_fin[s->from] = o->fin_acked[!s->from];
	}
}

static struct sw_conn *shown(struct world *w, const struct sw_packet *p, struct sw_conn *c)
{
	u32 hash = sw_hash(&w->e->conf, &p->key), at = sw_set_of(hash, w->e->conf.sets);
	struct sw_shelf f = engine_shelf(w->e, at);
	u32 way = sw_find(&f, sw_tag_of(hash), &p->key);

	if (!sw_load(&f, way, c) || sw_expired(c, sw_tick(w->now)))
		return NULL;
	return c;
}

static void check(struct world *w, struct pair *p, const struct sw_conn *c)
{
	u32 client = !!(c->flags & SW_C_CLIENT_HI);
	int k = p->lives - 1;

	while (k >= 0 && !(p->life[k].pasts[client] && p->life[k].iss[client] == c->end[SW_CLIENT].isn))
		k--;
	if (k < 0 ? p->vague : p->life[k].vague)
		return;
	if (k < 0 || SW_ORIGIN(c->flags) == SW_ORIGIN_MIDSTREAM) {
		w->wrong = "the record is of no connection that there was";
		return;
	}
	if (k < p->newest) {
		w->wrong = "an old connection is shown";
		return;
	}
	for (u32 role = 0; role < 2; role++) {
		u32 side = client ^ role, set = admissible(&p->life[k], &p->passed[k], side);
		if (w->trace)
			printf("#     %c in life %d: says %u, admissible %03x, is %u\n", "AB"[side], k,
			       c -> end[role].state, set, p->tcp[side].state);
		if (!(set >> c->end[role].state & 1))
			w->wrong = role ? "the server is in no such state" : "the client is in no such state";
	}
}

/* Each entry of the table is of a pair, and the two laws hold. */
static void check_table(struct world *w)
{
	u64 b[SW_BOOK_COUNT] = {0}, hs = 0, td = 0;
	u32 used = 0;

	for (u32 at = 0; at < w->e->conf.sets; at++) {
		const struct sw_set *set = &w->e->set[at];
		for (int i = 0; i < SW_BOOK_COUNT; i++)
			b[i] += set->book[i];
		for (u32 m = set->used; m; m &= m - 1) {
			struct sw_conn c;
			engine_conn(w->e, at, __builtin_ctz(m), &c);
			used++;
			hs += !!(c.flags & SW_C_HS_OPEN);
			td += !!(c.flags & SW_C_TD_OPEN);
		}
	}
	if (used > PAIRS)
		w->wrong = "more entries than connections";
	if (b[SW_HS_STARTED] !=
	    b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] + b[SW_HS_TIMED_OUT] + b[SW_HS_EVICTED] + hs)
		w->wrong = "the law of handshakes";
	if (b[SW_TD_STARTED] != b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] + b[SW_TD_EVICTED] + td)
		w->wrong = "the law of teardowns";
}

/* At the end: what finished was counted as it ended, once. */
void model_books(struct world *w)
{
	static const u8 rows[] = {SW_HS_COMPLETED, SW_HS_REFUSED, SW_HS_RESET, SW_TD_COMPLETED, SW_TD_RESET};

	if (w->blurred)
		return;
	for (size_t i = 0; i < sizeof(rows); i++) {
		u64 sum = 0;
		for (u32 at = 0; at < w->e->conf.sets; at++)
			sum += w->e->set[at].book[rows[i]];
		if (sum == w->want[rows[i]])
			continue;
		w->wrong = "the books";
		printf("# book %u is %llu, not %u\n", rows[i], sum, w->want[rows[i]]);
	}
}

void model_watch(struct world *w, u32 pair, const struct segment_sent *s)
{
	struct pair *p = &w->pair[pair];
	struct sw_packet packet = {.from = s->from,
				   .flags = s->flags,
				   .seq = s->seq,
				   .ack = s->ack,
				   .len = s->len,
				   .window = 65535,
				   .wscale = SW_WSCALE_NONE};
	struct sw_step step = {0};
	struct sw_trace trace;

	packet.kind = sw_kind_of(s->flags, s->len);
	if (pair & 1)
		packet.key.addr[0][2] = packet.key.addr[1][2] = SW_V4_WORD;
	packet.key.addr[1][3] = 1;
	packet.key.port[0] = 40000 + pair;
	packet.key.port[1] = 80;
	u32 hash = sw_hash(&w->e->conf, &packet.key), at = sw_set_of(hash, w->e->conf.sets);
	struct sw_shelf f = engine_shelf(w->e, at);
	struct sw_conn conn;
	if (!sw_quiet(f.tags, sw_tag_of(hash), &packet, packet.generation))
		sw_table_step(&f, sw_tag_of(hash), &packet, w->now, &step, &conn, &trace);
	if (w->trace)
		printf("# %9.3f %u%c life %u flags %02x seq %u ack %u len %u %s\n", w->now / 1e9, pair, "AB"[s->from],
		       s -> life, s -> flags, s -> seq - p -> life[s->life].iss[s->from],
		       s->ack - p->life[s->life].iss[!s->from], s->len, step.fresh ? "fresh" : "");
	if (step.fresh) {
		p->blind = s->flags != SW_TCP_SYN && step.events & 1ull << SW_EV_FREED_EXPIRED; /* (g) */
		w->blurred |= p->blind;
		w->blinded += p->blind;
	}
	now_passed(w, p, s, step.fresh);
	const struct sw_conn *c = shown(w, &packet, &conn);
	if (p->blind)
		;
	else if (c)
		check(w, p, c);
	else if (!(s->flags & SW_TCP_RST))
		w->wrong = "no record";
	check_table(w);
}
