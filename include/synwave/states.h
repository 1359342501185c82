/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* RFC 9293 as two tables: what a segment proves moves the states of both ends.
 *
 * The vantage: we are in the middle. A segment that passed us may still be lost, so it moves its *sender* (who has
 * sent it and is what it must be to send it), and moves its receiver only where the field counts it as delivered:
 * an ACK of the receiver's own SYN or FIN, and a RST. */
#ifndef SYNWAVE_STATES_H
#define SYNWAVE_STATES_H

#include "abi.h"

/* What a segment proves, in the order in which it is applied. */
enum sw_fact { SW_F_SYN, SW_F_SYNACK, SW_F_ACK_SYN, SW_F_ACK_FIN, SW_F_FIN, SW_F_RST, SW_FACT_COUNT };

#define LI SW_LISTEN
#define SS SW_SYN_SENT
#define SR SW_SYN_RCVD
#define ES SW_ESTABLISHED
#define F1 SW_FIN_WAIT_1
#define F2 SW_FIN_WAIT_2
#define CW SW_CLOSE_WAIT
#define CG SW_CLOSING
#define LA SW_LAST_ACK
#define TW SW_TIME_WAIT
#define CD SW_CLOSED

// clang-format off
/* The sender's state after a segment that proves the fact. 16 columns: an index masked with 15 needs no check. */
SW_TABLE u8 sw_sends[SW_FACT_COUNT][16] = {
	/*               LI  SS  SR  ES  F1  F2  CW  CG  LA  TW  CD */
	[SW_F_SYN]     = {SS, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* LI: both open at once, 3.5 fig. 7 */
	[SW_F_SYNACK]  = {SR, SR, SR, ES, F1, F2, CW, CG, LA, TW, CD},
	[SW_F_ACK_SYN] = {LI, ES, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* SS: it has the SYN-ACK. SR: its own SYN is open */
	[SW_F_ACK_FIN] = {LI, SS, CW, CW, CG, TW, CW, CG, LA, TW, CD}, /* F1: FINs crossed */
	[SW_F_FIN]     = {LI, SS, F1, F1, F1, F2, LA, CG, LA, TW, CD}, /* SR: CLOSE in SYN-RECEIVED, 3.10.4 */
	[SW_F_RST]     = {CD, CD, CD, CD, CD, CD, CD, CD, CD, CD, CD},
};

/* The receiver's state, the segment taken as delivered. */
SW_TABLE u8 sw_gets[SW_FACT_COUNT][16] = {
	/*               LI  SS  SR  ES  F1  F2  CW  CG  LA  TW  CD */
	[SW_F_SYN]     = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it answers */
	[SW_F_SYNACK]  = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it acknowledges */
	[SW_F_ACK_SYN] = {LI, SS, ES, ES, F1, F2, CW, CG, LA, TW, CD},
	[SW_F_ACK_FIN] = {LI, SS, SR, ES, F2, F2, CW, TW, CD, TW, CD},
	[SW_F_FIN]     = {LI, SS, SR, ES, F1, F2, CW, CG, LA, TW, CD}, /* moves when it acknowledges */
	[SW_F_RST]     = {CD, CD, CD, CD, CD, CD, CD, CD, CD, CD, CD},
};

// clang-format on
#undef LI
#undef SS
#undef SR
#undef ES
#undef F1
#undef F2
#undef CW
#undef CG
#undef LA
#undef TW
#undef CD

SW_INLINE void sw_fact(struct sw_conn *c, u32 from, enum sw_fact fact)
{
	struct sw_end *x = &c->end[from & 1], *y = &c->end[!from];

	x->state = sw_sends[fact][x->state & 15];
	y->state = sw_gets[fact][y->state & 15];
}

#endif
