// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An endpoint, RFC 9293 3.10 section by section. It knows numbers only: which life a segment belongs to is a label. */
#include "model.h"

#define S          SW_TCP_SYN
#define A          SW_TCP_ACK
#define F          SW_TCP_FIN
#define R          SW_TCP_RST
#define MSS        1000
#define RCV_WINDOW 65535

static u32 side_of(const struct world *w, const struct pair *p)
{
	return p - w->pair;
}

static s32 past(u32 a, u32 b)
{
	return (s32)(a - b);
}

static void emit(struct world *w, struct pair *p, struct segment_sent seg)
{
	struct life *l = &p->life[seg.life];

	seg.mark = l->pasts[seg.from] ? l->pasts[seg.from] - 1 : 0;
	model_leg(w, side_of(w, p), PASSES, &seg);
}

static void arm(struct world *w, struct pair *p, u32 side, u64 ms)
{
	p->tcp[side].timer = w->now + ms * 1000000;
	model_push(w, p->tcp[side].timer, TIMER, side_of(w, p), side, NULL);
}

static void send_at(struct world *w, struct pair *p, u32 side, u8 flags, u32 seq, u16 len)
{
	struct tcp *t = &p->tcp[side];
	struct life *l = &p->life[t->life];
	u32 end = seq + len + !!(flags & S) + !!(flags & F);

	if (past(end, t->nxt) > 0)
		t->nxt = end;
	l->top[side] = t->nxt;
	if (flags & F) {
		l->fin[side] = end;
		l->has_fin[side] = true;
	}
	emit(w, p,
	     (struct segment_sent){.from = side,
				   .flags = flags,
				   .life = t->life,
				   .len = len,
				   .seq = seq,
				   .ack = flags & A ? t->rcv : 0});
	if (t->una != t->nxt && !t->timer)
		arm(w, p, side, 1000);
}

static void send_ack(struct world *w, struct pair *p, u32 side)
{
	send_at(w, p, side, A, p->tcp[side].nxt, 0);
}

/* 3.10.7.1: a segment that nobody here waits for is answered with RST. */
static void refuse(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct life *l = &p->life[seg->life];
	struct segment_sent rst = {.from = side, .flags = R, .life = seg->life, .seq = seg->ack};
	bool mine = l->pasts[side];

	if (seg->flags & A) {
		rst.sure = mine && seg->ack == l->top[side];
	} else {
		rst.flags = R | A;
		rst.seq = 0;
		rst.ack = seg->seq + seg->len + 1;
		rst.sure = p->tcp[!side].state == SW_SYN_SENT && p->tcp[!side].life == seg->life;
	}
	if ((!mine || l->past[side][l->pasts[side] - 1] != SW_CLOSED) && l->pasts[side] < PASTS)
		l->past[side][l->pasts[side]++] = SW_CLOSED;
	emit(w, p, rst);
}

static void fresh_tcb(struct world *w, struct pair *p, u32 side, u32 life)
{
	struct tcp *t = &p->tcp[side];
	bool listens = t->listens;

	p->isn[side] += (1 << 24) + model_rnd(w, 1 << 16);
	*t = (struct tcp){
		.life = life, .listens = listens, .iss = p->isn[side], .una = p->isn[side], .nxt = p->isn[side]};
	t->bytes = model_rnd(w, 3) ? model_rnd(w, 6000) : 0;
	t->eager = model_chance(w, 50);
	t->polite = model_rnd(w, 2);
	t->close_at = w->now + (u64)model_rnd(w, model_rnd(w, 2) ? 300 : 9000) * 1000000;
	t->abort_at = model_chance(w, 120) ? w->now + (u64)model_rnd(w, model_rnd(w, 2) ? 300 : 9000) * 1000000 : 0;
	p->life[life].iss[side] = t->iss;
	if (p->life[life].pasts[side])
		model_vague(w, p, life);
	p->life[life].eager[side] = t->eager;
	p->life[life].has_fin[side] = false;
	model_push(w, t->close_at, APP, side_of(w, p), side, NULL);
	if (t->abort_at)
		model_push(w, t->abort_at, APP, side_of(w, p), side, NULL);
}

void tcp_open(struct world *w, struct pair *p, u32 side, u32 life)
{
	fresh_tcb(w, p, side, life);
	model_now_is(w, p, side, SW_SYN_SENT);
	send_at(w, p, side, S, p->tcp[side].iss, 0);
}

/* Sends what may be sent: data while the window lasts, then the FIN. */
static bool pump(struct world *w, struct pair *p, u32 side)
{
	struct tcp *t = &p->tcp[side];
	u32 end = t->iss + 1 + t->bytes, from = t->nxt;
	bool open = t->state == SW_ESTABLISHED || t->state == SW_CLOSE_WAIT;

	while (open && past(end, t->nxt) > 0 && t->nxt - t->una < 4 * MSS) {
		u32 left = end - t->nxt, len = left < MSS ? left : MSS;
		if (t->closing && len == left && model_rnd(w, 2))
			break; /* it goes with the FIN */
		send_at(w, p, side, A, t->nxt, len);
	}
	u32 left = end - t->nxt;
	if (t->state == SW_SYN_RCVD && t->eager && t->bytes == 0)
		open = true;
	if (open && t->closing && !t->fin_sent && left <= MSS && t->nxt - t->una < 4 * MSS) {
		t->fin_sent = true;
		model_now_is(w, p, side, t->state == SW_CLOSE_WAIT ? SW_LAST_ACK : SW_FIN_WAIT_1);
		send_at(w, p, side, F | A, t->nxt, left);
	}
	return t->nxt != from;
}

static void time_wait(struct world *w, struct pair *p, u32 side)
{
	model_now_is(w, p, side, SW_TIME_WAIT);
	arm(w, p, side, 60000);
}

static bool takes_syn(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct tcp *t = &p->tcp[side];

	fresh_tcb(w, p, side, seg->life);
	t->irs = seg->seq;
	t->rcv = seg->seq + 1;
	model_now_is(w, p, side, SW_SYN_RCVD);
	send_at(w, p, side, S | A, t->iss, 0);
	return true;
}

/* 3.10.7.3 */
static void in_syn_sent(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct tcp *t = &p->tcp[side];

	if (seg->flags & A && seg->ack != t->iss + 1) {
		if (!(seg->flags & R) && seg->life != t->life)
			refuse(w, p, side, seg);
		return;
	}
	if (seg->flags & R) {
		if (seg->flags & A)
			model_now_is(w, p, side, SW_CLOSED);
		return;
	}
	if (!(seg->flags & S))
		return;
	t->irs = seg->seq;
	t->rcv = seg->seq + 1;
	t->tries = 0;
	if (seg->flags & A) {
		t->una = seg->ack;
		t->timer = 0;
		model_now_is(w, p, side, SW_ESTABLISHED);
		if (!model_rnd(w, 2) || !pump(w, p, side))
			send_ack(w, p, side);
	} else {
		t->eager = p->life[t->life].eager[side] = false;
		model_now_is(w, p, side, SW_SYN_RCVD);
		send_at(w, p, side, S | A, t->iss, 0);
	}
}

/* 3.10.7.4, RST and SYN; RFC 5961. True: nothing is left of the segment. */
static bool rst_or_syn(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct tcp *t = &p->tcp[side];

	if (seg->flags & R) {
		if (seg->seq == t->rcv)
			model_now_is(w, p, side, SW_CLOSED);
		else if (seg->seq - t->rcv < RCV_WINDOW)
			send_ack(w, p, side);
		return true;
	}
	if (!(seg->flags & S))
		return false;
	if (t->state == SW_TIME_WAIT && !(seg->flags & A) && past(seg->seq, t->rcv) > 0 && t->listens) {
		model_now_is(w, p, side, SW_CLOSED);
		return takes_syn(w, p, side, seg);
	}
	if (t->state == SW_SYN_RCVD && seg->seq == t->irs) {
		if (!(seg->flags & A))
			send_at(w, p, side, S | A, t->iss, 0);
		else if (seg->ack == t->iss + 1) /* both open at once, figure 7 */
			return false;
		return true;
	}
	send_ack(w, p, side);
	return true;
}

/* 3.10.7.4, the ACK. False: the rest is dropped. */
static bool takes_ack(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct tcp *t = &p->tcp[side];
	bool fits = past(seg->ack, t->una) > 0 && past(seg->ack, t->nxt) <= 0;

	if (t->state == SW_SYN_RCVD) {
		if (!fits) {
			if (seg->life != t->life)
				refuse(w, p, side, seg);
			return false;
		}
		model_now_is(w, p, side, SW_ESTABLISHED);
	}
	if (past(seg->ack, t->nxt) > 0) {
		send_ack(w, p, side);
		return false;
	}
	if (!fits)
		return true;
	t->una = seg->ack;
	t->tries = 0;
	t->timer = 0;
	if (t->una != t->nxt)
		arm(w, p, side, 1000);
	if (!t->fin_sent || t->una != t->nxt)
		return true;
	if (t->state == SW_FIN_WAIT_1)
		model_now_is(w, p, side, SW_FIN_WAIT_2);
	else if (t->state == SW_CLOSING)
		time_wait(w, p, side);
	else if (t->state == SW_LAST_ACK)
		model_now_is(w, p, side, SW_CLOSED);
	return t->state != SW_CLOSED && t->state != SW_LISTEN;
}

static void takes_fin(struct world *w, struct pair *p, u32 side)
{
	struct tcp *t = &p->tcp[side];

	t->rcv++;
	if (t->state == SW_ESTABLISHED) {
		model_now_is(w, p, side, SW_CLOSE_WAIT);
		if (!t->polite && t->bytes <= t->nxt - t->iss - 1 + MSS)
			t->closing = true;
	} else if (t->state == SW_FIN_WAIT_1) {
		model_now_is(w, p, side, SW_CLOSING);
	} else if (t->state == SW_FIN_WAIT_2) {
		time_wait(w, p, side);
	}
}

static void in_the_rest(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	struct tcp *t = &p->tcp[side];
	u32 size = seg->len + !!(seg->flags & F);
	bool answer = size;

	if (!(seg->flags & S) && seg->seq - t->rcv >= RCV_WINDOW && !(seg->flags & R)) { /* not acceptable */
		if (t->state == SW_TIME_WAIT && seg->flags & F)
			arm(w, p, side, 60000);
		if (size || seg->life != t->life || model_chance(w, 200))
			send_ack(w, p, side);
		return;
	}
	if (rst_or_syn(w, p, side, seg) || !takes_ack(w, p, side, seg))
		return;
	bool reads = t->state == SW_ESTABLISHED || t->state == SW_FIN_WAIT_1 || t->state == SW_FIN_WAIT_2;
	if (seg->seq == t->rcv && reads) {
		t->rcv += seg->len;
		if (seg->flags & F)
			takes_fin(w, p, side);
	}
	if (!pump(w, p, side) && answer)
		send_ack(w, p, side);
}

void tcp_receives(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg)
{
	switch (p->tcp[side].state) {
	case SW_LISTEN:
		if (seg->flags & R)
			break;
		if (seg->flags & S && !(seg->flags & A))
			takes_syn(w, p, side, seg);
		else
			refuse(w, p, side, seg);
		break;
	case SW_CLOSED:
		if (!(seg->flags & R))
			refuse(w, p, side, seg);
		break;
	case SW_SYN_SENT:
		in_syn_sent(w, p, side, seg);
		break;
	default:
		in_the_rest(w, p, side, seg);
	}
}

/* Retransmission, 3.8.1; and the end of 2 MSL. */
void tcp_timer(struct world *w, struct pair *p, u32 side)
{
	struct tcp *t = &p->tcp[side];

	if (t->timer != w->now)
		return;
	t->timer = 0;
	if (t->state == SW_TIME_WAIT || t->tries == 6) {
		model_now_is(w, p, side, SW_CLOSED);
		return;
	}
	t->tries++;
	arm(w, p, side, t->tries < 3 ? 1000 << t->tries : 4000);
	if (t->una == t->iss) {
		if (t->state == SW_SYN_SENT) {
			send_at(w, p, side, S, t->iss, 0);
			return;
		}
		send_at(w, p, side, S | A, t->iss, 0);
		if (!t->fin_sent)
			return;
	}
	u32 from = t->una == t->iss ? t->iss + 1 : t->una, left = t->nxt - from - t->fin_sent;
	if (left > MSS)
		send_at(w, p, side, A, from, MSS);
	else
		send_at(w, p, side, t->fin_sent ? F | A : A, from, left);
}

/* The application closes, or aborts (3.10.5). */
void tcp_app(struct world *w, struct pair *p, u32 side)
{
	struct tcp *t = &p->tcp[side];

	if (t->state == SW_LISTEN || t->state == SW_CLOSED || t->state == SW_TIME_WAIT)
		return;
	if (t->abort_at == w->now) {
		bool quiet = t->state == SW_SYN_SENT || t->state == SW_CLOSING || t->state == SW_LAST_ACK;
		struct segment_sent rst = {.from = side,
					   .flags = model_rnd(w, 2) ? R : R | A,
					   .life = t->life,
					   .sure = true,
					   .seq = t->nxt,
					   .ack = t->rcv};
		if (rst.flags == R)
			rst.ack = 0;
		model_now_is(w, p, side, SW_CLOSED);
		if (!quiet)
			emit(w, p, rst);
		return;
	}
	t->closing |= t->close_at <= w->now;
	pump(w, p, side);
}
