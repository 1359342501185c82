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
	X(NOT_IP, "not_ip", "neither IPv4 nor IPv6 (ARP, LLDP, ...)") \
	X(NOT_TCP, "not_tcp", "IP, but not TCP") \
	X(FRAGMENT, "fragment", "a fragment that does not hold the TCP header") \
	X(CUT, "cut_fragment", "a first fragment without the whole TCP header, or a later one that begins inside it") \
	X(TAGS, "vlan_tags", "more than 4 VLAN tags") \
	X(UNREAD, "unread", "the headers end further inside the frame than a program can read") \
	X(TRUNCATED, "truncated", "the frame ends before the headers do") \
	X(BAD_IP, "bad_ip", "IP header contradicts itself or the frame (version, ihl, lengths)") \
	X(BAD_IP6_EXT, "bad_ip6_ext", "IPv6 extension headers too many or too long") \
	X(BAD_TCP, "bad_tcp", "TCP header contradicts itself or the packet (doff)") \
	X(BAD_FLAGS, "bad_flags", "TCP flags that no stack sends (null, FIN alone, Xmas, SYN+FIN, SYN+RST)") \
	X(SELF, "self_connect", "both ends are the same address and port") \
	X(MAPPED, "mapped_ipv6", "IPv6 packet that carries IPv4-mapped addresses") \
	X(NO_TABLE, "no_table", "a map could not be read")

enum sw_reason { SW_REASONS(SW_ENUM_) SW_REASON_COUNT };

/* The books: kept in the set of the connection, under its lock, so that the two laws hold at every read.
 * started = completed + refused + reset + timed_out + evicted + in progress (counted by the reader).
 * What a flood writes stands first: it lies in the first cache line of the set. X(symbol, name, help) */
#define SW_BOOKS(X) \
	X(HS_STARTED, "started", "handshakes seen from their SYN, or from their SYN-ACK when the SYN was missed") \
	X(HS_COMPLETED, "completed", "handshakes whose last ACK was seen (or proved by the other end's data)") \
	X(HS_REFUSED, "refused", "SYNs answered with RST") \
	X(HS_EVICTED, "evicted", "handshakes that lost their place in the table") \
	X(HS_TIMED_OUT, "timed_out", "handshakes given up, or replaced by a new SYN") \
	X(HS_RESET, "reset", "handshakes ended by RST after the SYN-ACK, or by the client") \
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
	X(EV_COOKIE, "cookie", "connections that began with a valid SYN cookie") \
	X(EV_UNPROTECTED, "unprotected", "connections that others may replace: their set was full") \
	X(EV_RIVAL_LOST, "rival_lost", "new SYNs on living connections forgotten before their answer: too many at once")

enum sw_event { SW_EVENTS(SW_ENUM_) SW_EVENT_COUNT };

/* What the guard says of a SYN: verdict and reason, as in synwave_guard_syn_total. In a dry run every drop and challenge
 * becomes the row of the same reason that says `would`. X(symbol, verdict, reason, help) */
#define SW_VERDICTS(X) \
	X(PASS_ALLOW, "pass", "allow", "the source is on the allow list") \
	X(PASS_WITHIN, "pass", "within", "within every limit") \
	X(PASS_VERIFIED, "pass", "verified", "over the service's limit, but the source has proved its address") \
	X(PASS_CONNECTION, "pass", "connection", \
	  "over the service's limit, but on a connection that is proved to live") \
	X(PASS_NO_LISTENER, "pass", "no_listener", "to be challenged, but no socket here listens") \
	X(PASS_NOT_LOCAL, "pass", "not_local", \
	  "to be challenged, but this host was never seen to answer for the service; cookie_fallback: pass") \
	X(PASS_SIGNED, "pass", "signed", "to be challenged, but the listener wants signed segments (TCP-MD5, TCP-AO)") \
	X(PASS_KERNEL, "pass", "kernel", "to be challenged, but the kernel still takes SYNs (tcp_syncookies=1)") \
	X(PASS_NO_COOKIE, "pass", "no_cookie", \
	  "to be challenged, but no cookie can be made here; cookie_fallback: pass") \
	X(PASS_ERROR, "pass", "error", "a map of the guard could not be read, or the answer not be built") \
	X(DROP_DENY, "drop", "deny", "the source is on the deny list") \
	X(DROP_SOURCE, "drop", "source", "over the limit of its source prefix") \
	X(DROP_SERVICE, "drop", "service", "over the limit of the service (over: drop)") \
	X(DROP_NO_COOKIE, "drop", "no_cookie", \
	  "to be challenged, but no cookie can be made here; cookie_fallback: drop") \
	X(DROP_NOT_LOCAL, "drop", "not_local", \
	  "to be challenged, but this host was never seen to answer for the service; cookie_fallback: drop") \
	X(DROP_FRAGMENT, "drop", "fragment", "no SYN or half of one: a fragment that cuts the TCP header") \
	X(DROP_HEADERS, "drop", "headers", "more VLAN tags or extension headers than can be followed to a SYN") \
	X(CHALLENGE_SERVICE, "challenge", "service", "over the limit of the service: answered with a cookie") \
	X(WOULD_DROP_DENY, "would_drop", "deny", "dry run: the source is on the deny list") \
	X(WOULD_DROP_SOURCE, "would_drop", "source", "dry run: over the limit of its source prefix") \
	X(WOULD_DROP_SERVICE, "would_drop", "service", "dry run: over the limit of the service") \
	X(WOULD_DROP_NO_COOKIE, "would_drop", "no_cookie", "dry run: no cookie can be made here") \
	X(WOULD_DROP_NOT_LOCAL, "would_drop", "not_local", "dry run: never seen to answer for the service") \
	X(WOULD_DROP_FRAGMENT, "would_drop", "fragment", "dry run: a fragment that cuts the TCP header") \
	X(WOULD_DROP_HEADERS, "would_drop", "headers", "dry run: more tags or headers than can be followed") \
	X(WOULD_CHALLENGE_SERVICE, "would_challenge", "service", "dry run: over the limit of the service")

#define SW_ENUM_V_(symbol, verdict, reason, help) SW_V_##symbol,
enum sw_verdict { SW_VERDICTS(SW_ENUM_V_) SW_VERDICT_COUNT };
#define SW_V_FIRST_DROP  SW_V_DROP_DENY /* from here on a SYN does not reach the kernel ... */
#define SW_V_FIRST_WOULD SW_V_WOULD_DROP_DENY /* ... and from here on it would not */

/* X(symbol, name, help) */
#define SW_COOKIES(X) \
	X(COOKIE_SENT, "sent", "SYNs answered with a cookie") \
	X(COOKIE_VALID, "valid", "last ACKs that carried a cookie of ours, or of the kernel's") \
	X(COOKIE_INVALID, "invalid", "ACKs of no connection that carried none, while cookies are out")

enum sw_cookie { SW_COOKIES(SW_ENUM_) SW_COOKIE_COUNT };

/* How long an entry lives when no segment changes it. The order is the priority when the two ends differ.
 * X(symbol, name, milliseconds, help) */
#define SW_TIMEOUTS(X) \
	X(T_ESTABLISHED, "established", 432000000, "both ends ESTABLISHED and silent (netfilter: 5 days)") \
	X(T_SYN_SENT, "syn_sent", 120000, "SYN not answered, since the last one (netfilter)") \
	X(T_SYN_RCVD, "syn_recv", 63000, "SYN-ACK not acknowledged, since the first one (Linux: 5 retransmissions)") \
	X(T_CLOSED, "closed", 60000, "closed connections stay visible if nobody needs their place") \
	X(T_FIN_WAIT, "fin_wait", 120000, "FIN not acknowledged, and silent (netfilter)") \
	X(T_CLOSE_WAIT, "close_wait", 60000, "half closed and silent (netfilter)") \
	X(T_LAST_ACK, "last_ack", 30000, "last FIN not acknowledged, and silent (netfilter)") \
	X(T_TIME_WAIT, "time_wait", 60000, "2 MSL (Linux: 60 s)") \
	X(T_ONE_SIDED, "one_sided", 300000, "mid-stream or inferred, the other direction never seen, and silent") \
	X(T_INFER, "infer", 10, "wait for a SYN-ACK that may still come before the client's ACK is taken as its proof")

#define SW_ENUM4_(symbol, name, value, help) SW_##symbol,
enum sw_timeout { SW_TIMEOUTS(SW_ENUM4_) SW_TIMEOUT_COUNT };

#endif
