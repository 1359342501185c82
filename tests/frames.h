/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The frame table: what is fed, natively and through the kernel's programs, and what must come out of both. */
#ifndef SYNWAVE_TEST_FRAMES_H
#define SYNWAVE_TEST_FRAMES_H

#include "synwave/table.h"

#define FRAME_ROOM 2304
#define FRAME_PAD  2 /* frames begin at 2 mod 4, as on the wire: IP headers are aligned then */

struct frame {
	u8 room[FRAME_PAD + FRAME_ROOM];
	u32 len;
};

static inline u8 *frame_data(struct frame *f)
{
	return f->room + FRAME_PAD;
}

/* A segment of the test connection 192.0.2.1:40000 <-> 192.0.2.2:80 (or 2001:db8::1, ::2). */
struct segment {
	u8 from; /* SW_CLIENT, SW_SERVER; 2: end of the list */
	u8 flags; /* SW_TCP_* */
	u32 seq, ack;
	u16 len; /* payload */
	u32 after_ms; /* since the one before; native only */
};

enum { END_OF_LIST = 2 };

/* --- frames judged one by one ---------------------------------------------------------------------------------- */
struct frame_row {
	const char *name;
	void (*build)(struct frame *f);
	enum sw_reason reason;
	enum sw_kind kind; /* when the reason is SW_OK */
	bool l3;
};
extern const struct frame_row frame_rows[];
extern const int frame_count;

/* --- exchanges: what the record and the books say after them ---------------------------------------------------- */
struct exchange {
	const char *name;
	struct segment segment[20];
	u8 client, server; /* states */
	u8 connections; /* living in the table at the end, of this tuple (0 or 1) */
	const char *conn_state;
	u8 book[SW_BOOK_COUNT];
	u64 events; /* bits that must be counted at least once; all others must be zero */
	bool clock; /* needs the test's own clock: native only */
	const char *
		more; /* flags of the record that must be set: "simopen", "simclose", "reset" ... separated by blanks */
	const char *ladder; /* as exchange_ladder() writes it; NULL: not looked at */
};
extern const struct exchange exchanges[];
extern const int exchange_count;

/* A connection's ladder in one line: "C:S V:SA C:A": sender, colon, flags (S A F R, in this order); "*2" behind a segment
 * that was seen twice; "+3" at the end for segments left out. NULL if it contradicts itself or the connection. */
#define LADDER_TEXT 128
const char *exchange_ladder(char text[LADDER_TEXT], const struct sw_conn *c, const struct sw_ladder *l);

/* Builds the segment as an Ethernet frame. `v6`, `tags` 802.1Q tags. */
void build_segment(struct frame *f, const struct segment *s, bool v6, int tags);
/* A bare segment between any two endpoints; addresses as text, of one family. */
void build_between(struct frame *f, const char *from, u16 sport, const char *to, u16 dport, u8 flags, u32 seq, u32 ack);
/* The key of the test connection. */
struct sw_key test_key(bool v6);

#endif
