/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line a fact: enum, JSON key, help text and manual derive from these lists. */
#ifndef SYNWAVE_TABLES_H
#define SYNWAVE_TABLES_H

#define SW_ENUM_(symbol, name, help) SW_##symbol,

/* Endpoint states, RFC 9293 3.3.2. LISTEN stands for a server that has not answered yet.
 * X(symbol, name, word of node_exporter) */
#define SW_STATES(X) \
	X(LISTEN, "LISTEN", "listen") \
	X(SYN_SENT, "SYN_SENT", "syn_sent") \
	X(SYN_RCVD, "SYN_RCVD", "syn_recv") \
	X(ESTABLISHED, "ESTABLISHED", "established") \
	X(FIN_WAIT_1, "FIN_WAIT_1", "fin_wait1") \
	X(FIN_WAIT_2, "FIN_WAIT_2", "fin_wait2") \
	X(CLOSE_WAIT, "CLOSE_WAIT", "close_wait") \
	X(CLOSING, "CLOSING", "closing") \
	X(LAST_ACK, "LAST_ACK", "last_ack") \
	X(TIME_WAIT, "TIME_WAIT", "time_wait") \
	X(CLOSED, "CLOSED", "close")

enum sw_state { SW_STATES(SW_ENUM_) SW_STATE_COUNT };

/* Segments by kind, the first that fits. X(symbol, name, help) */
#define SW_KINDS(X) \
	X(KIND_SYN, "syn", "SYN without ACK") \
	X(KIND_SYN_ACK, "syn_ack", "SYN with ACK") \
	X(KIND_RST, "rst", "RST, with or without ACK") \
	X(KIND_FIN, "fin", "FIN with ACK, with or without data") \
	X(KIND_DATA, "data", "ACK with payload") \
	X(KIND_ACK, "ack", "ACK alone") \
	X(KIND_OTHER, "other", "flags that no TCP sends: none, FIN alone, SYN with FIN or RST")

enum sw_kind { SW_KINDS(SW_ENUM_) SW_KIND_COUNT };

/* Why a frame was not judged. It is passed on. X(symbol, name, help) */
#define SW_REASONS(X) \
	X(OK, "ok", "judged") \
	X(NOT_IP, "not_ip", "neither IPv4 nor IPv6 (ARP, LLDP, more than 4 VLAN tags, ...)") \
	X(NOT_TCP, "not_tcp", "IP, but not TCP") \
	X(FRAGMENT, "fragment", "a fragment that does not hold the TCP header") \
	X(TRUNCATED, "truncated", "the frame ends before the headers do") \
	X(BAD_IP, "bad_ip", "IP header contradicts itself or the frame (version, ihl, lengths)") \
	X(BAD_IP6_EXT, "bad_ip6_ext", "IPv6 extension headers too many or too long") \
	X(BAD_TCP, "bad_tcp", "TCP header contradicts itself or the packet (doff, port 0)") \
	X(BAD_FLAGS, "bad_flags", "TCP flags that no stack sends (null, FIN alone, Xmas, SYN+FIN, SYN+RST)") \
	X(SELF, "self_connect", "both ends are the same address and port") \
	X(MAPPED, "mapped_ipv6", "IPv6 packet that carries IPv4-mapped addresses") \
	X(NO_TABLE, "no_table", "a map could not be read")

enum sw_reason { SW_REASONS(SW_ENUM_) SW_REASON_COUNT };

/* The books: kept in the set of the connection, under its lock, so that the two laws hold at every read.
 * started = completed + refused + reset + timed_out + evicted + in progress (counted by the reader).
 * X(symbol, name, help) */
#define SW_BOOKS(X) \
	X(HS_STARTED, "started", "handshakes seen from their SYN, or from their SYN-ACK when the SYN was missed") \
	X(HS_COMPLETED, "completed", "handshakes whose last ACK was seen (or proved by the other end's data)") \
	X(HS_REFUSED, "refused", "SYNs answered with RST") \
	X(HS_RESET, "reset", "handshakes ended by RST after the SYN-ACK, or by the client") \
	X(HS_TIMED_OUT, "timed_out", "handshakes given up, or replaced by a new SYN") \
	X(HS_EVICTED, "evicted", "handshakes that lost their place in the table") \
	X(TD_STARTED, "started", "teardowns: first FIN, or RST of a completed connection") \
	X(TD_COMPLETED, "completed", "teardowns with both FINs acknowledged") \
	X(TD_RESET, "reset", "teardowns by RST") \
	X(TD_TIMED_OUT, "timed_out", "teardowns that never ended, or ended by a new SYN") \
	X(TD_EVICTED, "evicted", "teardowns that lost their place in the table") \
	X(TD_SIMULTANEOUS, "simultaneous", "completed teardowns whose FINs crossed")

enum sw_book { SW_BOOKS(SW_ENUM_) SW_BOOK_COUNT };

/* What a step may report besides the books: one bit each, counted per CPU. X(symbol, name, help) */
#define SW_EVENTS(X) \
	X(EV_SYN_REXMIT, "syn_retransmits", "SYNs sent again") \
	X(EV_SYNACK_REXMIT, "synack_retransmits", "SYN-ACKs sent again") \
	X(EV_SYN_NEW, "syn_new", "a SYN began a connection") \
	X(EV_SYN_RIVAL, "syn_rival", "SYN with a new ISN on a living connection, not (yet) answered") \
	X(EV_SYNACK_NEW, "synack_new", "first SYN-ACK of a connection") \
	X(EV_SYNACK_INVALID, "synack_invalid", "SYN-ACKs that acknowledge no SYN of this connection") \
	X(EV_ACK_INVALID, "ack_invalid", "segments that do not fit the handshake they claim to continue") \
	X(EV_COMPLETED, "completed", "a handshake completed") \
	X(EV_REFUSED, "refused", "a SYN was refused") \
	X(EV_INFERRED, "inferred", "handshakes completed though the SYN-ACK was not seen") \
	X(EV_MIDSTREAM, "midstream", "connections picked up in the middle") \
	X(EV_RST, "rst_counted", "RSTs that closed a connection") \
	X(EV_RST_IGNORED, "rst_ignored", "RSTs that the receiver would not accept") \
	X(EV_RST_UNKNOWN, "rst_unknown", "RSTs of no connection in the table") \
	X(EV_RST_CONTRADICTED, "rst_contradicted", \
	  "RSTs disproved by their alleged sender; the connection was restored") \
	X(EV_FIN_CONTRADICTED, "fin_contradicted", "FINs disproved by data after them") \
	X(EV_CLOSE_FOUR_WAY, "four_way", "teardowns: FIN, ACK, FIN, ACK") \
	X(EV_CLOSE_THREE_WAY, "three_way", "teardowns: FIN, FIN+ACK, ACK") \
	X(EV_CLOSE_SIMULTANEOUS, "simultaneous", "teardowns whose FINs crossed") \
	X(EV_CLOSE_RESET, "reset", "teardowns by RST") \
	X(EV_FREED_EXPIRED, "freed_expired", "entries whose time was over, replaced or reclaimed") \
	X(EV_FREED_CLOSED, "freed_closed", "closed entries replaced before their display time was over") \
	X(EV_EVICT_HALF_OPEN, "evicted_half_open", "living half-open entries replaced: their class was full") \
	X(EV_EVICT_OPEN, "evicted_unprotected", \
	  "living connections without protection (one direction unseen, or a full set) replaced") \
	X(EV_UNPROTECTED, "unprotected", "connections left in the half-open class: their set was full")

enum sw_event { SW_EVENTS(SW_ENUM_) SW_EVENT_COUNT };

/* How long an entry lives when no segment changes it. The order is the priority when the two ends differ.
 * X(symbol, name, milliseconds, help) */
#define SW_TIMEOUTS(X) \
	X(T_ESTABLISHED, "established", 432000000, "both ends ESTABLISHED and silent (netfilter: 5 days)") \
	X(T_SYN_SENT, "syn_sent", 120000, "SYN not answered, since the last one (netfilter)") \
	X(T_SYN_RCVD, "syn_recv", 63000, "SYN-ACK not acknowledged, since the first one (Linux: 5 retransmissions)") \
	X(T_CLOSED, "closed", 60000, "closed connections stay visible if nobody needs their place") \
	X(T_FIN_WAIT, "fin_wait", 120000, "FIN not acknowledged, since the last change (netfilter)") \
	X(T_CLOSE_WAIT, "close_wait", 60000, "half closed and silent (netfilter)") \
	X(T_LAST_ACK, "last_ack", 30000, "last FIN not acknowledged (netfilter)") \
	X(T_TIME_WAIT, "time_wait", 60000, "2 MSL (Linux: 60 s)") \
	X(T_ONE_SIDED, "one_sided", 300000, "mid-stream or inferred, the other direction never seen, and silent") \
	X(T_INFER, "infer", 10, "wait for a SYN-ACK that may still come before the client's ACK is taken as its proof")

#define SW_ENUM4_(symbol, name, value, help) SW_##symbol,
enum sw_timeout { SW_TIMEOUTS(SW_ENUM4_) SW_TIMEOUT_COUNT };

#endif
