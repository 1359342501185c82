/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reader's end of the event rings. A reader holds one of SW_READERS slots under a lease that a timer renews; killed
 * or stopped, it costs the datapath nothing once the lease is over, and the next reader takes the slot. */
#ifndef SYNWAVE_LISTEN_H
#define SYNWAVE_LISTEN_H

#include "store.h"

#define LISTEN_BUFFER  (4u << 20) /* bytes; an event takes 112 */
#define LISTEN_LEASE_S 10

struct ring_buffer;

/* Called for each event; anything but 0 ends the round of listen_poll. */
typedef int listen_each(void *ctx, const struct sw_trace *e);

struct listening {
	struct store *s;
	struct sw_readers *all; /* the map itself */
	struct sw_reader *mine;
	u32 slot;
	int ring_fd;
	struct ring_buffer *ring;
	u64 lost_before;
	/* the timer's */
	u64 lease; /* as last written */
	u64 gap_ns; /* time without a lease since the last listen_gap */
	bool taken; /* while this process was stopped, another took the slot */
	listen_each *each;
	void *ctx;
};

/* A ring is whole pages, and arm64 has them of up to 64 KB: what is less than one becomes one. Both are powers of two. */
static inline u32 listen_ring(u32 bytes, u32 page)
{
	return bytes < page ? page : bytes;
}

/* One at a time in a process: it takes SIGALRM. `bytes`: a power of two; see listen_ring. -EBUSY: all slots are held. */
int listen_open(struct listening *l, struct store *s, const struct sw_filter *f, u32 bytes, listen_each *each,
		void *ctx);
/* Waits for events or a signal, at most that long. 0, or what `each` returned to end the round, or -errno. */
int listen_poll(struct listening *l, int milliseconds);
u64 listen_lost(const struct listening *l); /* events that this reader did not get */
u64 listen_gap(struct listening *l); /* ns in which nothing was recorded for it, since this was asked last */
void listen_close(struct listening *l);

#endif
