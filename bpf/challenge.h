/* SPDX-License-Identifier: GPL-2.0-only */
/* The challenge, hook by hook: the SYN's frame becomes the SYN-ACK's and goes back where it came from. Tags stay, what lay
 * between the headers goes. */
#ifndef SYNWAVE_CHALLENGE_H
#define SYNWAVE_CHALLENGE_H

#include "cookie.h"

#define COOKIE_LIFE_NS (140 * SW_NS_PER_S) /* MAX_SYNCOOKIE_AGE, and what our clock of it may lag */
#define COOKIE_MARK    0x73796e77 /* "synw": skb->mark of an answer on its way to the egress hook */

/* Where a program hangs. HOOK_XDP_PAD calls no helper that may move the packet: in libxdp's dispatcher Linux 6.12 takes
 * nothing else for a stub that does not. A function that is called counts, whatever is frozen into the program. */
enum hook { HOOK_TC, HOOK_XDP, HOOK_XDP_PAD };

static __always_inline long load(void *ctx, bool xdp, u32 at, void *to, u32 size)
{
	return xdp ? bpf_xdp_load_bytes(ctx, at, to, size) : bpf_skb_load_bytes(ctx, at, to, size);
}

/* How much to copy, in a form in which any verifier sees that it is 1 to 64. */
static __always_inline u32 options_bytes(const struct scratch *w)
{
	u64 less = w->packet.options_size - 1;

	SW_OPAQUE(less);
	return (less & 63) + 1;
}

/* Options of a SYN or SYN-ACK: not before somebody wants them, a SYN that is dropped has no use for its own. */
static __always_inline int parse_options(void *ctx, bool xdp)
{
	struct scratch *w = workplace();

	if (w && w->packet.options_size && !w->packet.options_done &&
	    !load(ctx, xdp, w->packet.options_at, w->options, options_bytes(w)))
		sw_parse_options(w->options, &w->packet);
	return 0;
}

__attribute__((noinline)) int xdp_options(struct xdp_md *ctx)
{
	return parse_options(ctx, true);
}

__attribute__((noinline)) int skb_options(struct __sk_buff *skb)
{
	return parse_options(skb, false);
}

/* So many words of the frame's first piece. */
static __always_inline bool lift(u8 *from, u8 *end, u32 *to, u32 words)
{
	if (from + 4 * words > end)
		return false;
	SW_UNROLL
	for (u32 i = 0; i < words; i++)
		to[i] = ((u32 *)from)[i];
	return true;
}

/* A TCP header of a usual size, without the helper that reads any. */
static __always_inline bool lift_tcp(struct xdp_md *ctx, u32 at, u32 *to, u32 size)
{
	u8 *from = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	from += at & 0x3fff;
	return size == 40   ? lift(from, end, to, 10)
	       : size == 32 ? lift(from, end, to, 8)
	       : size == 24 ? lift(from, end, to, 6)
			    : false;
}

/* What the kernel's cookies are made of: the headers of the segment in the scratch, into w->reply; of the IP header
 * version and addresses, of the TCP header so much. */
static __always_inline bool load_headers(void *ctx, bool xdp, struct scratch *w, u32 tcp_size)
{
	struct reply *r = &w->reply;
	u64 size = tcp_size - 1;

	SW_OPAQUE(size);
	size = (size & 63) + 1;
	r->tcp_size = tcp_size;
	if (!(xdp && lift_tcp(ctx, w->packet.options_at - 20, (u32 *)r->tcp, tcp_size)) &&
	    load(ctx, xdp, w->packet.options_at - 20, r->tcp, size))
		return false;
	u32 from = w->packet.from & 1;
	const u32 *source = w->packet.key.addr[from], *target = w->packet.key.addr[from ^ 1];
	r->ip[0] = w->packet.v6 ? 0x60 : 0x45;
	if (w->packet.v6) {
		__builtin_memcpy(r->ip + 8, source, 16);
		__builtin_memcpy(r->ip + 24, target, 16);
	} else {
		__builtin_memcpy(r->ip + 12, &source[3], 4);
		__builtin_memcpy(r->ip + 16, &target[3], 4);
	}
	return true;
}

static __always_inline void note_challenge(u64 now)
{
	u32 zero = 0;
	struct sw_guard *g = bpf_map_lookup_elem(&guard, &zero);
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (st)
		st->cookie[SW_COOKIE_SENT]++;
	if (g && now - g->challenged_ns > SW_NS_PER_S)
		*(volatile u64 *)&g->challenged_ns = now;
}

/* The answer's size, in a form in which any verifier sees its bounds. */
static __always_inline u32 answer_bytes(const struct reply *r)
{
	u64 less = r->out_size - 1;

	SW_OPAQUE(less);
	less &= 127;
	return less < sizeof(r->out) ? less + 1 : sizeof(r->out);
}

/* Of the frame, from the IP header on. */
static __always_inline void note_room(struct xdp_md *ctx, struct scratch *w)
{
	u32 room = bpf_xdp_get_buff_len(ctx) - w->packet.ip_at;

	w->reply.room = room > 0xffff ? 0xffff : room;
}

/* So many words of the answer, all in the frame's first piece. */
static __always_inline bool lay(u8 *ip, u8 *end, const u32 *out, u32 words)
{
	if (ip + 4 * words > end)
		return false;
	SW_UNROLL
	for (u32 i = 0; i < words; i++)
		((u32 *)ip)[i] = out[i];
	return true;
}

#define CLEAR      64 /* bytes at a time, a power of two ... */
#define CLEAR_MOST 25 /* ... so often: a SYN that fills a usual frame */

/* A checksum that somebody still has to finish covers the frame to its end: there zeros change nothing. */
static __always_inline bool clear_rest(struct xdp_md *ctx, struct reply *r, u32 from, u32 rest)
{
	u8 *zeros = r->tcp; /* the SYN's header has done its part */

	_Static_assert(sizeof(r->tcp) >= CLEAR, "room");
	__builtin_memset(zeros, 0, CLEAR);
	for (int i = 0; i < CLEAR_MOST && rest; i++) {
		u64 less = rest - 1;

		SW_OPAQUE(less);
		u32 n = (less & (CLEAR - 1)) + 1;
		if (bpf_xdp_store_bytes(ctx, from, zeros, n))
			return false;
		from += n;
		rest -= n;
	}
	return !rest;
}

/* Puts w->reply.out in place of everything behind the Ethernet header and its tags. A frame that keeps its length stays longer
 * than its packet, as any Ethernet frame may be. */
static __always_inline bool answer_xdp(struct xdp_md *ctx, struct reply *r, u32 at, bool kept)
{
	u32 size = r->out_size;
	u16 mac[3];

	if (kept ? size > r->room || (partial_sums && r->room > CLEAR * CLEAR_MOST)
		 : bpf_xdp_adjust_tail(ctx, (int)(at + size - bpf_xdp_get_buff_len(ctx))))
		return false;
	u8 *f = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip = f + (at & 63);
	if (f + 12 > end)
		return false;
	__builtin_memcpy(mac, (u16 *)f, 6);
	__builtin_memcpy((u16 *)f, (u16 *)f + 3, 6);
	__builtin_memcpy((u16 *)f + 3, mac, 6);
	bool laid = size == 44            ? lay(ip, end, r->out, 11)
		    : size == 56          ? lay(ip, end, r->out, 14)
		    : size == 64          ? lay(ip, end, r->out, 16)
		    : !kept || size == 76 ? lay(ip, end, r->out, 19)
					  : false; /* without options: few are */
	return (laid || !bpf_xdp_store_bytes(ctx, at, (void *)r->out, answer_bytes(r))) &&
	       (!kept || !partial_sums || clear_rest(ctx, r, at + size, r->room - size));
}

static __always_inline bool answer_skb(struct __sk_buff *skb, struct scratch *w)
{
	struct reply *r = &w->reply;
	u32 at = w->packet.ip_at;
	u8 mac[12], back[12];

	/* The kernel shortens nothing to less than where the SYN's own TCP header was, behind options and extension headers: then
	 * the frame stays longer than its packet, as any Ethernet frame may be. */
	if (bpf_skb_change_tail(skb, at + r->out_size, 0) && skb->len < at + r->out_size)
		return false;
	if (at && bpf_skb_load_bytes(skb, 0, mac, 12))
		return false;
	__builtin_memcpy(back, mac + 6, 6);
	__builtin_memcpy(back + 6, mac, 6);
	if (at && bpf_skb_store_bytes(skb, 0, back, 12, 0))
		return false;
	return !bpf_skb_store_bytes(skb, at, r->out, answer_bytes(r), 0);
}

/* One challenge; the verdict after it: sent, or why not. */
static __always_inline u32 challenge(void *ctx, enum hook hook)
{
	bool xdp = hook != HOOK_TC, kept = hook == HOOK_XDP_PAD;
	u32 zero = 0, gen, mtu = 0;
	struct scratch *w = bpf_map_lookup_elem(&scratch, &zero);
	const struct sw_guard_rules *r = guard_now(&gen);

	if (!w || !r || !have_cookies || w->packet.cut)
		return SW_V_DROP_NO_COOKIE;
	if (!load_headers(ctx, xdp, w, 20 + w->packet.options_size) || bpf_check_mtu(ctx, 0, &mtu, 0, 0) < 0)
		return SW_V_PASS_ERROR;
	u32 head = w->packet.v6 ? 60 : 40;
	mtu = mtu > 65535 ? 65535 : mtu;
	w->reply.mss = mtu > head + MIN_MSS ? mtu - head : MIN_MSS;
	if (kept)
		note_room(ctx, w);
	u32 verdict = cookie_make(ctx, w, kept, r->mode != SW_GUARD_ENFORCE, w->now);
	if (verdict != SW_V_CHALLENGE_SERVICE || r->mode != SW_GUARD_ENFORCE)
		return verdict;
	if (xdp ? !answer_xdp(ctx, &w->reply, w->packet.ip_at, kept) : !answer_skb(ctx, w))
		return SW_V_PASS_ERROR;
	note_challenge(w->now);
	return verdict;
}

/* Functions of their own to the verifier: the context, and everything else anew from the maps. */
__attribute__((noinline)) int xdp_challenge(struct xdp_md *ctx)
{
	return challenge(ctx, HOOK_XDP);
}

__attribute__((noinline)) int pad_challenge(struct xdp_md *ctx)
{
	return challenge(ctx, HOOK_XDP_PAD);
}

__attribute__((noinline)) int skb_challenge(struct __sk_buff *skb)
{
	int verdict = challenge(skb, HOOK_TC);

	if (verdict == SW_V_CHALLENGE_SERVICE)
		skb->mark = COOKIE_MARK;
	return verdict;
}

/* Does the ACK in the scratch bring a cookie that the listener would take? 1 yes, 0 no, -1 not for us to say. */
static __always_inline int cookie_of(void *ctx, bool xdp)
{
	u32 zero = 0;
	struct scratch *w = bpf_map_lookup_elem(&scratch, &zero);

	if (!w || !load_headers(ctx, xdp, w, 20))
		return -1;
	return cookie_check(ctx, w);
}

__attribute__((noinline)) int xdp_cookie(struct xdp_md *ctx)
{
	return cookie_of(ctx, true);
}

__attribute__((noinline)) int skb_cookie(struct __sk_buff *skb)
{
	return cookie_of(skb, false);
}

/* What the table knows of the segment's connection, unlocked: enum sw_known. */
__attribute__((noinline)) int known(void)
{
	struct scratch *w = workplace();
	u32 waiting, at;

	if (!w)
		return SW_KNOWN_NOT;
	if (!w->tag)
		locate_set(w);
	at = w->at;
	struct sw_tags *t = bpf_map_lookup_elem(&tags, &at);

	if (!t || !sw_match(t, w->tag, 0, &waiting))
		return SW_KNOWN_NOT;
	struct sw_shelf f;
	return shelf_of(&f, at) ? sw_known(&f, w->tag, &w->packet.key) : SW_KNOWN_NOT;
}

/* Was the SYN judged at another attachment, a moment ago? */
__attribute__((noinline)) int is_copy(void)
{
	struct scratch *w = workplace();
	struct sw_shelf f;

	if (!w)
		return false;
	if (!w->tag)
		locate_set(w);
	return shelf_of(&f, w->at) && sw_is_copy(&f, w->tag, &w->packet, w->now);
}

/* The interface has an address of its own: not so without an Ethernet header. */
static __always_inline bool has_mac(void)
{
	return own_mac[0] | own_mac[1] | own_mac[2] | own_mac[3] | own_mac[4] | own_mac[5];
}

/* The frame's target is this interface's own address. */
static __always_inline bool xdp_for_us(struct xdp_md *ctx)
{
	u8 *f = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, differ = 0;

	if (f + 6 > end)
		return false;
	SW_UNROLL
	for (int i = 0; i < 6; i++)
		differ |= f[i] ^ own_mac[i];
	return !differ;
}

/* Whether the frame is for this host, as far as its MAC address says; may_answer asks for it. */
static __always_inline void note_for_us(void *ctx, bool xdp, struct scratch *w)
{
	w->for_us = !has_mac() || (xdp ? xdp_for_us(ctx) : ((struct __sk_buff *)ctx)->pkt_type == PACKET_HOST);
}

/* What becomes of a SYN over its service's limit where the rule says `over: cookie`. */
static __always_inline u32 guard_over(void *ctx, enum hook hook, struct scratch *w)
{
	if (replay)
		return SW_V_CHALLENGE_SERVICE;
	note_for_us(ctx, hook != HOOK_TC, w);
	if (!may_answer())
		return SW_V_DROP_NOT_LOCAL;
	return hook == HOOK_TC ? skb_challenge(ctx) : hook == HOOK_XDP ? xdp_challenge(ctx) : pad_challenge(ctx);
}

/* A service's limit does not hold for a connection that is proved to live; what cannot be challenged here may pass. */
static __always_inline u32 guard_mercy(u32 verdict, u32 flags)
{
	bool unable = verdict == SW_V_DROP_NO_COOKIE || verdict == SW_V_DROP_NOT_LOCAL;

	if (verdict != SW_V_DROP_SERVICE && !unable)
		return verdict;
	if (known() == SW_KNOWN_LIVING)
		return SW_V_PASS_CONNECTION;
	if (!unable || flags & SW_GUARD_NO_COOKIE_DROP)
		return verdict;
	return verdict == SW_V_DROP_NO_COOKIE ? SW_V_PASS_NO_COOKIE : SW_V_PASS_NOT_LOCAL;
}

/* A SYN that comes in: what to do with it. */
static __always_inline u32 guard_syn(void *ctx, enum hook hook, struct scratch *w, struct sw_stats *st)
{
	u32 gen, zero = 0, verdict;
	const struct sw_guard_rules *r = guard_now(&gen);
	const struct sw_guard *g = bpf_map_lookup_elem(&guard, &zero);

	w->now = clock();
	if (!r || (g && g->attachments > 1 && is_copy()))
		return SW_ACT_PASS;
	sw_guard_weigh(NULL, &conf, r, gen, &w->packet, w->now, &w->judgement);
	SW_STAGE();
	verdict = w->judgement.verdict;
	if (w->packet.cut && !(r->flags & SW_GUARD_FRAGMENTS_PASS) && verdict != SW_V_PASS_ALLOW)
		verdict = SW_V_DROP_FRAGMENT;
	if (verdict == SW_V_CHALLENGE_SERVICE)
		verdict = guard_over(ctx, hook, w);
	verdict = guard_mercy(verdict, r->flags);
	w->judgement.verdict = verdict; /* from here on a number in memory: the verifier follows what comes once */
	/* by the hook: one call deeper, and older verifiers find the stack too deep */
	w->charge = verdict < SW_V_FIRST_DROP || verdict == SW_V_DROP_SOURCE || verdict == SW_V_DROP_DENY;
	SW_STAGE();
	return guard_act(w, st, r, w->judgement.verdict);
}

/* An ACK of no connection, while cookies are out: of a service that this host answers, else it is none of our business. */
static __always_inline u32 guard_ack(void *ctx, bool xdp, struct scratch *w, struct sw_stats *st)
{
	u32 gen, zero = 0;
	const struct sw_guard *g = bpf_map_lookup_elem(&guard, &zero);
	const struct sw_guard_rules *r = guard_now(&gen);

	if (!have_cookies || replay || !r || !g || !g->challenged_ns || clock() - g->challenged_ns > COOKIE_LIFE_NS)
		return SW_ACT_PASS;
	if (known() > SW_KNOWN_ASKED)
		return SW_ACT_PASS;
	note_for_us(ctx, xdp, w);
	if (!may_answer())
		return SW_ACT_PASS;
	int valid = xdp ? xdp_cookie(ctx) : skb_cookie(ctx);
	if (valid < 0)
		return SW_ACT_PASS;
	st->cookie[valid ? SW_COOKIE_VALID : SW_COOKIE_INVALID]++;
	w->cookie = valid > 0;
	if (valid || r->mode != SW_GUARD_ENFORCE)
		return SW_ACT_PASS;
	return r->flags & SW_GUARD_BOGUS_DROP ? SW_ACT_DROP
					      : SW_ACT_FORGET; /* what it claims to continue is not there */
}

/* Segments that may claim a cookie. */
#define GUARD_ACKS (1u << SW_KIND_ACK | 1u << SW_KIND_DATA | 1u << SW_KIND_FIN)

/* What could not be read as far as its TCP flags, and may be a SYN for all that. */
static __always_inline u32 guard_unread(struct scratch *w, struct sw_stats *st)
{
	u32 gen;
	const struct sw_guard_rules *r = guard_now(&gen);
	u32 verdict = w->unread == SW_CUT ? SW_V_DROP_FRAGMENT : SW_V_DROP_HEADERS;

	if (!r || r->flags & SW_GUARD_FRAGMENTS_PASS)
		return SW_ACT_PASS;
	if (r->mode != SW_GUARD_ENFORCE)
		verdict = sw_would(verdict);
	if (verdict < SW_VERDICT_COUNT)
		st->verdict[verdict]++;
	if (replay)
		replay_io.verdict = verdict;
	return r->mode == SW_GUARD_ENFORCE ? SW_ACT_DROP : SW_ACT_PASS;
}

/* The guard's say on what is in the scratch: enum sw_act; SW_ACT_PASS: go on. */
static __always_inline u32 guard_any(void *ctx, enum hook hook)
{
	struct scratch *w = workplace();
	u32 zero = 0, act = SW_ACT_PASS;
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (!w || !st)
		return SW_ACT_PASS;
	w->charge = 0;
	if (w->unread)
		act = guard_unread(w, st);
	else if (w->packet.kind == SW_KIND_SYN)
		act = guard_syn(ctx, hook, w, st);
	else if (1u << (w->packet.kind & 31) & GUARD_ACKS)
		act = guard_ack(ctx, hook != HOOK_TC, w, st);
	return replay ? SW_ACT_PASS : act; /* a capture shows what happened */
}

/* To the verifier, too, functions of their own: what they know is forgotten when they return. */
__attribute__((noinline)) int xdp_guard(struct xdp_md *ctx)
{
	return guard_any(ctx, HOOK_XDP);
}

__attribute__((noinline)) int pad_guard(struct xdp_md *ctx)
{
	return guard_any(ctx, HOOK_XDP_PAD);
}

__attribute__((noinline)) int skb_guard(struct __sk_buff *skb)
{
	return guard_any(skb, HOOK_TC);
}

#endif
