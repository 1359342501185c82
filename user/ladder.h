/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One connection as a ladder, whatever it is drawn with: its segments in order, with what is known of each. */
#ifndef SYNWAVE_LADDER_H
#define SYNWAVE_LADDER_H

#include "record.h"

/* A sequence number: absolute, and counted from its end's ISN. */
struct ladder_number {
	bool known, relative_known;
	u32 is, relative;
};

struct ladder_segment {
	bool timed; /* else its time was not written down */
	u64 ns; /* since the epoch, never before the one above it */
	u64 last_ns; /* of its latest repetition ... */
	u8 again; /* ... of so many */
	u8 from; /* enum sw_role */
	u8 flags; /* SW_TCP_* */
	u8 state[2]; /* after it: enum sw_state by role */
	bool crosses; /* SYNs or FINs: it does not acknowledge the one above it */
	bool sized; /* window and len are known */
	u16 window; /* as sent ... */
	u32 scaled; /* ... and in bytes, as far as the handshake was seen */
	u16 len; /* payload bytes; 65535 and more are one */
	struct ladder_number seq, ack;
	const struct record_end *offer; /* of a SYN or SYN-ACK: its options, if they are the connection's */
};

#define LADDER_MAX 12

struct ladder {
	struct record rec;
	bool remembered; /* false: ladders are not kept, this is what the record alone tells */
	bool expired; /* its time is over: no longer counted */
	u32 left_out; /* segments for which there was no room, at least */
	u32 count;
	struct ladder_segment seg[LADDER_MAX];
};

/* `rungs`: NULL when ladders are not kept. `epoch_ns`: to add to the clock of the table. */
void ladder_from(struct ladder *l, const struct sw_conn *c, const struct sw_ladder *rungs, bool expired, u64 epoch_ns);

/* Time since the segment above it was seen last; false: not known. */
bool ladder_delta(const struct ladder *l, u32 i, u64 *ns);

/* After this segment the connection is open, and the next one is not about that any more: data may be exchanged. */
bool ladder_open(const struct ladder *l, u32 i);
/* Some was, as the sequence numbers around that time say. */
bool ladder_data(const struct ladder *l, u32 i);

/* Did the end's state change with this segment? The first one shows both. */
bool ladder_moved(const struct ladder *l, u32 i, u32 role);
bool ladder_moves(const struct ladder *l, u32 i); /* of either end */

#endif
