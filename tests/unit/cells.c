// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every cell of sw_sends and sw_gets against RFC 9293, stated as rules about what a state means, not as a second table.
 *
 * What a state of an end means, as four facts (3.3.2): has it sent its SYN, has that been acknowledged, has it sent its
 * FIN and has that been acknowledged, has it received the other's SYN and FIN. A segment of an end can only add to
 * these; a state is found again from them. */
#include <stdio.h>

#include "synwave/states.h"

void count_test(bool ok, const char *what);
void test_cells(void);

_Static_assert(SW_FACT_COUNT == 6, "a new fact: say in expected_*() below what RFC 9293 makes of it");
_Static_assert(SW_STATE_COUNT == 11, "a new state: describe it in meaning[]");

enum {
	SENT_SYN = 1,
	SYN_OK = 2, /* and acknowledged */
	SENT_FIN = 4,
	FIN_OK = 8,
	GOT_SYN = 16,
	GOT_FIN = 32,
	OVER = 64,
	OPEN = SENT_SYN | SYN_OK | GOT_SYN,
};

static const u8 meaning[SW_STATE_COUNT] = {
	[SW_LISTEN] = 0,
	[SW_SYN_SENT] = SENT_SYN,
	[SW_SYN_RCVD] = SENT_SYN | GOT_SYN,
	[SW_ESTABLISHED] = OPEN,
	[SW_FIN_WAIT_1] = OPEN | SENT_FIN,
	[SW_FIN_WAIT_2] = OPEN | SENT_FIN | FIN_OK,
	[SW_CLOSE_WAIT] = OPEN | GOT_FIN,
	[SW_CLOSING] = OPEN | SENT_FIN | GOT_FIN,
	[SW_TIME_WAIT] = OPEN | SENT_FIN | FIN_OK | GOT_FIN,
	[SW_CLOSED] = OVER,
	/* as CLOSING, but it got the FIN first; 3.6: the one difference is where its ACK leads */
	[SW_LAST_ACK] = OPEN | SENT_FIN | GOT_FIN | 128,
};

static int state_of(u32 m)
{
	for (int s = 0; s < SW_STATE_COUNT; s++)
		if (meaning[s] == m)
			return s;
	return -1;
}

static bool synchronized(u32 m)
{
	return (m & OPEN) == OPEN;
}

/* What the sender must be, having sent it: what it has sent, and what it has received to send it. */
static int expected_sender(enum sw_fact fact, int state)
{
	u32 m = meaning[state];

	if (fact == SW_F_RST || m & OVER) /* 3.10.5, 3.10.7.1; CLOSED is left by a new connection only */
		return SW_CLOSED;
	switch (fact) {
	case SW_F_SYN: /* active open; a SYN again proves nothing new */
		return state_of(m | SENT_SYN);
	case SW_F_SYNACK: /* only who got a SYN; a synchronized end does not go back */
		return state_of(m | SENT_SYN | GOT_SYN);
	case SW_F_ACK_SYN: /* an active opener has SYN and ACK of its own; a passive one's SYN is still open */
		return m == SENT_SYN ? SW_ESTABLISHED : state;
	case SW_F_ACK_FIN: /* it got the FIN: only ends that can have, 3.10.7.4 eighth */
		if (!(m & GOT_SYN))
			return state;
		return state_of((m & GOT_FIN) ? m : (m | OPEN | GOT_FIN));
	case SW_F_FIN: /* 3.10.4 CLOSE: from SYN-RECEIVED on; after the other's FIN it is the last word */
		if (!(m & GOT_SYN) || m & SENT_FIN)
			return state;
		return state_of(m | OPEN | SENT_FIN | (m & GOT_FIN ? 128 : 0));
	default:
		return -1;
	}
}

/* The receiver may lose what passed us: nothing moves it but the three that the field counts as delivered. */
static int expected_receiver(enum sw_fact fact, int state)
{
	u32 m = meaning[state];

	if (fact == SW_F_RST)
		return SW_CLOSED;
	if (fact == SW_F_ACK_SYN && m == (SENT_SYN | GOT_SYN)) /* 3.10.7.4 fifth */
		return state_of(m | SYN_OK);
	if (fact == SW_F_ACK_FIN && (m & SENT_FIN) && !(m & FIN_OK)) {
		if (m & 128)
			return SW_CLOSED;
		return state_of(m | FIN_OK);
	}
	return state;
}

/* True of every cell, whatever the rules above say: nothing that an end has sent or got is unsent or ungot. */
static bool monotone(int from, int to)
{
	return to == SW_CLOSED || (meaning[from] & ~meaning[to]) == 0 || meaning[from] & OVER;
}

static void cell(const char *table, enum sw_fact fact, int state, int is, int should)
{
	char line[100];

	snprintf(line, sizeof(line), "%s[%d][%d] is %d, RFC 9293 says %d", table, fact, state, is, should);
	count_test(is == should, line);
	snprintf(line, sizeof(line), "%s[%d][%d] = %d goes backwards", table, fact, state, is);
	count_test(monotone(state, is), line);
}

static u32 reachable(u32 from)
{
	for (u32 before = 0; before != from;) {
		before = from;
		for (int f = 0; f < SW_FACT_COUNT; f++)
			for (int s = 0; s < SW_STATE_COUNT; s++)
				if (from >> s & 1)
					from |= 1u << sw_sends[f][s] | 1u << sw_gets[f][s];
	}
	return from;
}

void test_cells(void)
{
	u32 cells = 0;

	for (int f = 0; f < SW_FACT_COUNT; f++) {
		for (int s = 0; s < SW_STATE_COUNT; s++, cells += 2) {
			cell("sw_sends", f, s, sw_sends[f][s], expected_sender(f, s));
			cell("sw_gets", f, s, sw_gets[f][s], expected_receiver(f, s));
		}
		for (int s = SW_STATE_COUNT; s < 16; s++)
			count_test(!sw_sends[f][s] && !sw_gets[f][s], "a column beyond the states is used");
	}
	count_test(cells == 2 * SW_FACT_COUNT * SW_STATE_COUNT, "a cell was left out");
	for (int s = 0; s < SW_STATE_COUNT; s++)
		count_test(state_of(meaning[s]) == s, "two states mean the same");
	count_test(reachable(1u << SW_LISTEN) == (1u << SW_STATE_COUNT) - 1, "a state cannot be reached from LISTEN");
	for (int s = 0; s < SW_STATE_COUNT; s++)
		count_test(synchronized(meaning[s]) ==
				   (s != SW_LISTEN && s != SW_SYN_SENT && s != SW_SYN_RCVD && s != SW_CLOSED),
			   "which states are synchronized, RFC 9293 3.5.2");
}
