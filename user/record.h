/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connection record of the contract, derived from what lies in the table. */
#ifndef SYNWAVE_RECORD_H
#define SYNWAVE_RECORD_H

#include <netinet/in.h>

#include "synwave/abi.h"

struct record_end {
	char addr[INET6_ADDRSTRLEN];
	u16 port;
	u8 state; /* enum sw_state */
	bool isn_known, offered; /* offered: window and options stand; isn_known: isn stands */
	u32 isn;
	u16 window;
	bool has_mss, has_wscale, sack, timestamps;
	u16 mss;
	u8 wscale;
	u8 rexmits;
};

struct record {
	bool v6;
	struct record_end end[2]; /* enum sw_role */
	const char *local; /* "client", "server", "both" or NULL */
	const char *origin;
	const char *conn_state; /* Zeek's words */
	bool has_syn_synack, has_synack_ack;
	u64 syn_synack_ns, synack_ack_ns;
	bool simultaneous_open, simultaneous_close;
	const char *closed_first, *reset_by; /* "client", "server" or NULL */
	u64 first_ns, changed_ns; /* since the epoch */
};

extern const char *const sw_state_name[SW_STATE_COUNT];
extern const char *const tcp_flag_name[8]; /* bit by bit: FIN first */

/* `expired`: its time is over (2 MSL ended). `epoch_ns`: to add to the clock of the table. */
void record_from(struct record *r, const struct sw_conn *c, bool expired, u64 epoch_ns);

/* Zeek's conn_state (scripts/base/protocols/conn/main.zeek) */
const char *conn_state(const struct sw_conn *c);

#endif
