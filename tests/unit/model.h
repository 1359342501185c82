/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two TCP endpoints after RFC 9293, a network that delays, duplicates, reorders and loses, and the observer in the
 * middle of it. The endpoints know nothing of the tracker's tables. */
#ifndef SYNWAVE_TEST_MODEL_H
#define SYNWAVE_TEST_MODEL_H

#include "conf.h"
#include "engine.h"

enum { PAIRS = 3, LIVES = 5, PASTS = 64, QUEUE = 512 };

struct segment_sent {
	u8 from, flags, life;
	bool sure; /* of a RST: its receiver takes it, in whatever state it can be */
	u16 len;
	u16 mark; /* where the sender's past stood when it was sent */
	u32 seq, ack;
};

/* One TCB after the other, at one side of a pair. */
struct tcp {
	u8 state, life, tries;
	bool listens, fin_sent, closing;
	bool eager; /* closes in SYN_RCVD already, RFC 9293 3.10.4 */
	bool polite; /* acknowledges a FIN before it sends its own */
	u32 iss, una, nxt, irs, rcv, bytes;
	u64 timer, close_at, abort_at;
};

/* A connection, from its SYN on: what each side really was in it. */
struct life {
	u32 iss[2], top[2], fin[2]; /* top: the next number it would send; fin: the number after its FIN */
	bool has_fin[2], eager[2], vague;
	u8 past[2][PASTS];
	u16 pasts[2];
};

/* What passed the observer since the record began. */
struct passed {
	bool any, rival, rst, synack, done, closed;
	bool fin[2], syn_acked[2], fin_acked[2], again[2], late_fin[2];
	u8 rst_by, doubts;
	u64 rst_at;
	int mark[2]; /* of the latest sent of the segments that passed; -1: none */
};

struct pair {
	struct tcp tcp[2];
	struct life life[LIVES];
	struct passed passed[LIVES];
	int lives, flying, patience, newest; /* newest: the last life whose SYN-ACK passed */
	u32 isn[2];
	bool vague; /* a life of it is */
	bool blind; /* its record expired while it lived */
};

enum happening { PASSES, ARRIVES, TIMER, APP, OPENS, JOINS };
struct event {
	u64 at;
	u32 order;
	u8 what, pair, side;
	struct segment_sent seg;
};

struct world {
	struct engine *e;
	struct pair pair[PAIRS];
	struct event queue[QUEUE];
	int queued;
	u32 order, want[SW_BOOK_COUNT];
	u64 now, rnd, seed;
	u32 loss, dup, jitter[2], base[2]; /* per mille; ms, before and behind the observer as side 0 sees it */
	bool blurred; /* the books of this run depend on what the conventions leave open */
	u32 blinded;
	bool over, trace;
	const char *wrong;
};

u32 model_rnd(struct world *w, u32 below);
bool model_chance(struct world *w, u32 per_mille);
void model_push(struct world *w, u64 at, enum happening what, u32 pair, u32 side, const struct segment_sent *seg);
void model_leg(struct world *w, u32 pair, enum happening what, const struct segment_sent *seg);
void model_vague(struct world *w, struct pair *p, u32 life);
void model_now_is(struct world *w, struct pair *p, u32 side, u8 state);

/* model_tcp.c */
void tcp_open(struct world *w, struct pair *p, u32 side, u32 life);
void tcp_receives(struct world *w, struct pair *p, u32 side, const struct segment_sent *seg);
void tcp_timer(struct world *w, struct pair *p, u32 side);
void tcp_app(struct world *w, struct pair *p, u32 side);

/* model_watch.c: one segment passes; the tracker's view is compared with what is admissible */
void model_watch(struct world *w, u32 pair, const struct segment_sent *seg);
void model_books(struct world *w);

/* model.c: one run; false: the tracker and the model disagree, and it was printed why */
bool model_run(struct engine *e, u64 seed, bool trace);
bool model_open(struct engine *e);

#endif
