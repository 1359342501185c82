/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What lies in a map: read by the programs and by every later version of the tool.
 * Any change of a size or a meaning here raises SW_LAYOUT. Padding is explicit, sizes are asserted. */
#ifndef SYNWAVE_ABI_H
#define SYNWAVE_ABI_H

#include "tables.h"
#include "types.h"

#define SW_MAGIC  0x73796e77617665ULL /* "synwave" */
#define SW_LAYOUT 6

#define SW_WAYS 29 /* entries per set: their tags, a generation and one word fill a cache line */

enum sw_role { SW_CLIENT, SW_SERVER };

/* The two endpoints of a connection, in an order that both directions agree on (a fixed order of addresses, then ports).
 * Addresses: network order, IPv4 as IPv4-mapped IPv6 (RFC 4291 2.5.5.2). Ports: host order. */
struct sw_key {
	u32 addr[2][4];
	u16 port[2];
};
_Static_assert(sizeof(struct sw_key) == 36, "sw_key");

#define SW_WSCALE_NONE 0xff
/* sw_end.flags */
#define SW_E_OFFER 0x01 /* its SYN or SYN-ACK was seen: isn, window and options are what it offered */
#define SW_E_ISN   0x02 /* isn is known (offered, or inferred from the other end's ACK) */
#define SW_E_MSS   0x04
#define SW_E_SACK  0x08
#define SW_E_TS    0x10
#define SW_E_FIN   0x20 /* sent a FIN; nxt is the sequence number after it */
#define SW_E_SEEN  0x40 /* a segment of it was seen */
#define SW_E_ACKED 0x80 /* the FIN was acknowledged */

/* One end of a connection. Sequence numbers, window (unscaled), mss (bytes): host order. */
struct sw_end {
	u32 isn;
	u32 nxt; /* sequence number after the last one known to be sent: kept while the handshake lasts, and by a FIN */
	u16 window;
	u16 mss;
	u8 state; /* enum sw_state */
	u8 wscale;
	u8 flags; /* SW_E_* */
	u8 rexmits; /* retransmissions of its SYN or SYN-ACK, saturating */
};
_Static_assert(sizeof(struct sw_end) == 16, "sw_end");

/* sw_conn.flags. The lower 16 are what a half-open connection may have (struct sw_half). */
#define SW_C_CLIENT_HI    0x00001 /* the client is endpoint 1 of the key */
#define SW_C_ORIGIN       0x00006 /* how it was met: SW_ORIGIN_* << 1 */
#define SW_C_SIMOPEN      0x00008 /* SYNs crossed */
#define SW_C_HS_OPEN      0x00010 /* its handshake is in progress in the books */
#define SW_C_RIVAL        0x00020 /* a SYN with a new ISN waits for its answer ... */
#define SW_C_RIVAL_SERVER 0x00040 /* ... and the server sent it */
#define SW_C_ALT \
	0x00080 /* without SW_C_RIVAL: `rival` holds another offer of the server: its first, or after a refusal */
#define SW_C_CLIENT_LOCAL 0x00100
#define SW_C_SERVER_LOCAL 0x00200
#define SW_C_SYN_ECE      0x00400 /* flags of the first SYN (RFC 3168) */
#define SW_C_SYN_CWR      0x00800
#define SW_C_ANSWERED     0x01000 /* the server's SYN-ACK was seen where nobody on the client's side can put one */
#define SW_C_COPIES       0x06000 /* sightings of its SYN at other attachments, up to 3, since the last one here */
#define SW_C_ONE_COPY     0x02000
#define SW_C_V6           0x10000
#define SW_C_HS_DONE      0x20000 /* the handshake completed */
#define SW_C_INFERRED     0x40000 /* the SYN-ACK was inferred, not seen */
#define SW_C_TD_OPEN      0x80000 /* its teardown is in progress in the books */
#define SW_C_CLOSED_FIRST 0x100000 /* there was a first FIN ... */
#define SW_C_FIRST_SERVER 0x200000 /* ... and the server sent it */
#define SW_C_SIMCLOSE     0x400000 /* FINs crossed */
#define SW_C_THREE_WAY    0x800000 /* the second FIN acknowledged the first */
#define SW_C_RESET        0x1000000 /* a RST counted ... */
#define SW_C_RESET_SERVER 0x2000000 /* ... and the server sent it */
#define SW_C_PROVISIONAL  0x4000000 /* the RST could not be judged: what follows may contradict it */
#define SW_C_SAVED_HS     0x8000000 /* before the provisional RST: the handshake was in progress */
#define SW_C_SAVED_TD     0x10000000 /* before the provisional RST: the teardown was in progress */
#define SW_C_PROVED       0x20000000 /* both directions were seen where they belong: no single sender can forge that */
#define SW_C_ASKED        0xc0000000 /* --ingress-only: how often the kernel was asked for its socket, up to 3 */
#define SW_C_ONE_ASKED    0x40000000

#define SW_ORIGIN_SYN       0
#define SW_ORIGIN_SYN_ACK   1
#define SW_ORIGIN_MIDSTREAM 2
#define SW_ORIGIN_COOKIE    3 /* the guard answered its SYN without keeping it; the last ACK brought a valid cookie */
#define SW_ORIGIN(flags)    ((SW_C_ORIGIN & (flags)) >> 1)

/* One connection as a step works on it; a table holds it as struct sw_half or sw_live. Times: nanoseconds of the clock
 * that runs the table (monotonic when attached), 0 = not seen. */
struct sw_conn {
	struct sw_key key;
	u32 flags; /* SW_C_* */
	struct sw_end end[2]; /* enum sw_role */
	u64 first_ns;
	u64 changed_ns;
	u64 synack_ns; /* first SYN-ACK */
	u64 ack_ns; /* the ACK that completed the handshake */
	u64 rival_ns; /* SYN with a new ISN: its time ... */
	struct sw_end rival; /* ... and its offer */
	u32 rst_seq; /* of the RST that counted */
	u32 deadline; /* ticks */
	u16 seen_at
		[2]; /* where the first SYN and SYN-ACK were seen (sw_packet.seen_at): copies elsewhere are no news */
	u16 rival_seen_at;
	u8 saved[2]; /* states before the provisional RST */
	u8 doubts; /* segments of the provisional RST's sender, after it, that may be older than it */
	u8 rungs; /* of its ladder, if ladders are kept: how many are in use ... */
	u8 left_out; /* ... and segments that found none, saturating */
	u8 pad[5];
};
_Static_assert(offsetof(struct sw_conn, pad) + 5 == sizeof(struct sw_conn) && sizeof(struct sw_conn) == 152, "sw_conn");

/* A span of time in 32 bits: a count of 30, and its unit (ns, us, ms, s). Exact below a second, six digits beyond. */
#define SW_NEVER 0xffffffffu

/* An IPv4 connection before its handshake is complete, in a cache line. Pairs: enum sw_role, but for what the key orders
 * (struct sw_key). What it cannot hold goes to struct sw_live: see sw_fits_half. */
struct sw_half {
	u64 first_ns;
	u32 addr[2]; /* in the key's order, network order */
	u16 port[2];
	u32 isn[2];
	u32 synack; /* sw_span since first_ns, or SW_NEVER */
	u32 deadline; /* ticks */
	u16 len[2]; /* sequence numbers beyond the SYN: nxt - isn - 1 */
	u16 window[2];
	u16 mss[2];
	u16 seen_at[2];
	u16 flags; /* SW_C_* */
	u8 wscale[2];
	u8 bits[2]; /* SW_E_* */
	u8 rexmits[2];
	u8 state; /* the server's: LISTEN or SYN_RCVD; the client is in SYN_SENT */
	u8 rungs;
	u8 left_out;
	u8 pad;
};
_Static_assert(sizeof(struct sw_half) == 64, "sw_half");

/* Any connection, but for its rival. Fields as in struct sw_conn. */
struct sw_live {
	struct sw_key key;
	u32 flags;
	struct sw_end end[2];
	u64 first_ns;
	u64 changed_ns;
	u32 synack, ack; /* sw_span since first_ns, or SW_NEVER */
	u16 seen_at[2];
	u32 deadline;
	u32 rst_seq;
	u8 saved; /* the client's | the server's << 4 */
	u8 doubts;
	u8 rungs;
	u8 left_out;
};
_Static_assert(sizeof(struct sw_live) == 112, "sw_live");

/* The rival of a connection: few have one. */
#define SW_SIDES 2
struct sw_side {
	u64 rival_ns;
	struct sw_end rival;
	u16 rival_seen_at;
	u8 owner; /* way + 1; 0: free */
	u8 pad[5];
};
_Static_assert(sizeof(struct sw_side) == 32, "sw_side");

/* The segments that made a connection and ended it, behind the lock of its set: as many as sw_conn.rungs says. The first
 * ones stay; of the others the latest. A SYN alone has no rung yet, nor has a usual SYN-ACK after it: the record says all
 * of both, and a flood of them touches no ladder (sw_rungs). */
#define SW_RUNGS      8
#define SW_RUNGS_KEPT 4
struct sw_rung {
	u32 at; /* sw_span since the connection's first_ns ... */
	u32 last; /* ... and of its latest repetition */
	u32 seq; /* host order, as the rest */
	u32 ack;
	u16 window; /* unscaled */
	u16 len; /* payload bytes, saturating */
	u8 flags; /* SW_TCP_* */
	u8 from; /* enum sw_role */
	u8 states; /* after it: the client's, and the server's << 4 */
	u8 again; /* repetitions, saturating */
};
_Static_assert(sizeof(struct sw_rung) == 24, "sw_rung");
struct sw_ladder {
	struct sw_rung rung[SW_RUNGS];
};
struct sw_ladders { /* of a set */
	struct sw_ladder way[SW_WAYS];
};
_Static_assert(sizeof(struct sw_ladder) == 192, "three cache lines; the first two segments touch one");

/* Deadlines count units of 2^SW_TICK ns (16.8 ms), modulo 2^32. */
#define SW_TICK     24
#define SW_NS_PER_S 1000000000ULL

/* A set of connections, and the books of all that ever lived in it; everything behind one lock, what lies in the maps
 * `tags`, `live`, `half` and `ladders` at the same index included. Ways 0.. are those of `live`, then come those of `half`.
 * Bitmaps have a bit a way. A SYN touches the first cache line. */
struct sw_set {
	struct bpf_spin_lock lock;
	u32 version; /* counts changes: who reads the maps one after the other compares it before and after */
	u32 used;
	u32 kept; /* proved connections (SW_C_PROVED): nothing replaces these while they live */
	u32 closed; /* both ends CLOSED: shown until the deadline, replaceable at any time */
	u8 live_hand; /* next way to reclaim or to replace ... */
	u8 half_hand; /* ... in each class, from 0 */
	u8 side_hand;
	u8 pad;
	u64 book[SW_BOOK_COUNT];
	u64 pad2;
	struct sw_side side[SW_SIDES];
};
_Static_assert(sizeof(struct sw_set) == 192 && SW_BOOK_COUNT == 12, "sw_set: three cache lines");

/* What a data segment touches: a cache line per set. tag: 0 = free, else a fingerprint of 14 bits and for whose segments
 * the connection waits. active: ways whose deadline was set in `generation` (sw_packet.generation), a bit each (SW_SEAT):
 * their data need no step. The first segment in each generation is a step, and sets the deadline again; so a connection
 * that falls silent ends in its time, however active it was before. */
#define SW_TAG     0x3fff
#define SW_WAIT_LO 0x4000 /* for those of endpoint 0 of the key ... */
#define SW_WAIT_HI 0x8000 /* ... of endpoint 1 */
#define SW_WAITING (SW_WAIT_LO | SW_WAIT_HI)
struct sw_tags {
	u16 tag[SW_WAYS];
	u16 generation;
	u32 active;
};
_Static_assert(sizeof(struct sw_tags) == 64, "sw_tags");

/* Choices made at attach, frozen into the programs. An array that is read at a masked index is as long as the mask: which
 * of them is read beyond its end, and by luck of the layout loads, is the compiler's choice. */
#define SW_TIMEOUT_ROOM 16
_Static_assert(SW_TIMEOUT_COUNT <= SW_TIMEOUT_ROOM, "sw_conf.timeout");
struct sw_conf {
	u64 hash_key[10];
	u64 guard_key[6]; /* of the guard's sketches */
	u64 timeout[SW_TIMEOUT_ROOM]; /* ns, enum sw_timeout */
	u64 generation_ns; /* how long a generation lasts (sw_tags) ... */
	u32 generation_shift; /* ... and which power of two of the kernel's jiffies that is */
	u32 both_ways; /* a capture, or copies of others' traffic: where a frame came from says nothing, both directions
			* seen is all there is to prove a connection */
	u32 sets;
	u32 live_ways; /* of a set: for any connection ... */
	u32 half_ways; /* ... and for half-open ones; together SW_WAYS */
	u32 one_way; /* only ingress is seen: what the visible half proves is all there is */
	u32 ladder; /* ladders are kept */
	u32 pad;
};

/* The instance: written at attach, checked by every command. */
struct sw_meta {
	u64 magic;
	u32 layout;
	u32 conn_size; /* of a struct sw_live */
	u32 flows; /* as asked for */
	u32 half_open;
	u64 created_ns; /* CLOCK_REALTIME */
	struct sw_conf conf;
	char version[32];
};

/* Histogram of latencies: 8 buckets an octave from 1024 ns on, the last one open: 26 octaves to 68 s. */
#define SW_HIST_SHIFT   10
#define SW_HIST_OCTAVES 26
#define SW_HIST_BUCKETS (SW_HIST_OCTAVES * 8 + 2)
struct sw_hist {
	u64 count;
	u64 sum_ns;
	u64 bucket[SW_HIST_BUCKETS]; /* [0]: below 1024 ns; the last: above the range */
};

/* What the guard does with a SYN; the order is that of the verdicts. */
enum sw_act {
	SW_ACT_PASS,
	SW_ACT_DROP,
	SW_ACT_CHALLENGE,
	SW_ACT_WOULD_DROP,
	SW_ACT_WOULD_CHALLENGE,
	SW_ACT_COUNT,
	SW_ACT_FORGET = SW_ACT_COUNT /* an ACK: passed, but nothing to remember */
};

/* Per service (listening address and port). SYNs are counted wherever the SYN was seen. */
struct sw_service_key {
	u32 addr[4]; /* as in sw_key */
	u16 port;
	u16 pad;
};
struct sw_service {
	u64 syn;
	u64 synack;
	u64 completed;
	u64 refused;
};
#define SW_SERVICES 1024

/* Latencies of one service; tables of them a CPU, places go to who answers first. */
#define SW_TIMED_SETS 16
#define SW_TIMED_WAYS 4
struct sw_timed {
	u32 addr[4];
	u32 port; /* 0: free */
	u32 pad;
	struct sw_hist syn_synack;
	struct sw_hist synack_ack;
};

struct sw_stats {
	u64 kind[SW_KIND_COUNT];
	u64 ignored[16]; /* enum sw_reason; as long as its mask, so that no verifier doubts an index */
	u64 event[SW_EVENT_COUNT];
	u64 verdict[SW_VERDICT_COUNT];
	u64 cookie[SW_COOKIE_COUNT];
	struct sw_hist syn_synack;
	struct sw_hist synack_ack;
	struct sw_service other; /* services without a place of their own */
	u64 other_act[SW_ACT_COUNT]; /* of services without a place in sw_acts */
	u64 services_full;
};

_Static_assert(SW_REASON_COUNT <= 16, "sw_stats.ignored");

/* One step of a handshake or teardown, as a reader's ring carries it. Host order but for the key. */
struct sw_trace {
	u64 ns; /* clock of the table */
	u64 changed_ns; /* when the connection's states changed last, before this; 0: this is its first segment */
	u64 events; /* bits of enum sw_event that tell of this segment */
	struct sw_key key;
	u32 isn[2]; /* enum sw_role; known or not: SW_TRACE_ISN */
	u32 seq;
	u32 ack;
	u32 len; /* payload bytes */
	u32 ifindex; /* where it was seen first ... */
	u32 netns; /* ... in this network namespace (inode) */
	u16 window; /* unscaled */
	u16 mss; /* options of a SYN or SYN-ACK */
	u8 wscale;
	u8 options; /* SW_E_MSS | SW_E_SACK | SW_E_TS */
	u8 flags; /* SW_TCP_* */
	u8 kind; /* enum sw_kind */
	u8 from; /* enum sw_role */
	u8 state[2]; /* enum sw_state after it, by role; SW_STATE_COUNT: of no known connection */
	u8 about; /* SW_TRACE_* */
	u32 pad;
};
_Static_assert(sizeof(struct sw_trace) == 104, "sw_trace");
#define SW_TRACE_ISN       0x03 /* the client's, the server's ISN is known */
#define SW_TRACE_CLIENT_HI 0x04 /* the client is endpoint 1 of the key */
#define SW_TRACE_EGRESS    0x08

/* What a reader wants; the fields must all fit. */
struct sw_filter {
	u32 addr[4], mask[4]; /* either end's address, as in sw_key; mask 0: any */
	u64 events; /* one of these bits; 0: any, as below */
	u32 states; /* either end is in one of these, after the segment */
	u32 kinds;
	u32 ifindex;
	u32 netns;
	u16 port; /* either end's */
	u16 pad[3];
};

/* Who listens. A reader holds a slot as long as it renews the lease; the program writes to the slot's ring (map
 * `rings`, same index) only while the lease runs. Mapped by the readers: changed by atomic operations only. */
#define SW_READERS     8
#define SW_READER_LIVE 1ULL /* a bit of until_ns */
struct sw_reader {
	u64 until_ns; /* with SW_READER_LIVE: filter and ring are in place */
	u64 lost; /* events that found the ring full: never goes back, whoever holds the slot */
	struct sw_filter filter;
	u64 pad[6]; /* the lines of another reader are not touched */
};
struct sw_readers {
	u64 until_ns; /* the end of the latest lease: after it nobody listens */
	u64 pad[7];
	struct sw_reader slot[SW_READERS];
};
_Static_assert(sizeof(struct sw_reader) == 128 && sizeof(struct sw_readers) == 64 + SW_READERS * 128, "sw_readers");

/* An interface of the instance: network namespace and index are the key, the rest is for people and for detach. */
struct sw_iface_key {
	u64 netns; /* inode of the network namespace */
	u32 ifindex;
	u32 pad;
};
struct sw_iface {
	char name[16];
	u32 ingress; /* enum sw_hook */
	u32 egress;
	u32 ingress_id; /* program id; of the TCX link, its link id */
	u32 egress_id;
	u32 chained; /* in libxdp's dispatcher: SW_CHAINED*; 0: alone; while `ready` is 0: SW_UNREADY_QDISC or 0 */
	u32 ready; /* SW_READY_*; 0 while a first attach is under way */
	u16 attachment; /* its number, from 1: unique in the instance, over all namespaces; in sw_packet.seen_at */
	u8 mac[6]; /* its address, as frozen into its programs */
	u64 since_ns; /* CLOCK_REALTIME */
};
#define SW_IFACES 256

#define SW_CHAINED     1
#define SW_CHAINED_PAD 2 /* as synwave_xdp_pad */

/* sw_iface.ready: any bit means that the interface is observed */
#define SW_READY_YES     1
#define SW_READY_CHANGE  2 /* its hooks are being moved */
#define SW_READY_QDISC   4 /* the clsact qdisc is ours, and goes with us */
#define SW_UNREADY_QDISC 2 /* sw_iface.chained, while ready is 0: the same */

/* Between `replay` and the program, in its .bss; not pinned. */
struct sw_replay {
	u64 now; /* in: the frame's time, ns */
	u32 size; /* in: its length on the wire */
	u32 set; /* out: the set that was changed; unchanged if none was */
	u32 way; /* out: as in struct sw_step */
	u32 came;
	u32 dropped;
	u32 verdict; /* out: the guard's, enum sw_verdict, or SW_VERDICT_COUNT */
};

enum sw_hook { SW_HOOK_NONE, SW_HOOK_XDP_NATIVE, SW_HOOK_XDP_GENERIC, SW_HOOK_TCX, SW_HOOK_CLSACT, SW_HOOK_COUNT };

#include "abi_guard.h"

#endif
