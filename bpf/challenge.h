/* SPDX-License-Identifier: GPL-2.0-only */
/* The challenge, hook by hook: the SYN's frame becomes the SYN-ACK's and goes back where it came from. Tags stay, what lay
 * between the headers goes. */
#ifndef SYNWAVE_CHALLENGE_H
#define SYNWAVE_CHALLENGE_H

#include "cookie.h"

#define COOKIE_LIFE_NS (140 * SW_NS_PER_S) /* MAX_SYNCOOKIE_AGE, and what our clock of it may lag */
#define COOKIE_MARK    0x73796e77 /* "synw": skb->mark of an answer on its way to the egress hook */

static __always_inline long load(void *ctx, bool xdp, u32 at, void *to, u32 size)
{
	return xdp ? bpf_xdp_load_bytes(ctx, at, to, size) : bpf_skb_load_bytes(ctx, at, to, size);
}

static __always_inline long store(void *ctx, bool xdp, u32 at, void *from, u32 size)
{
	return xdp ? bpf_xdp_store_bytes(ctx, at, from, size) : bpf_skb_store_bytes(ctx, at, from, size, 0);
}

/* The headers of the segment in the scratch, into w->reply; tcp_size: how much of the TCP header. */
static __always_inline bool load_headers(void *ctx, bool xdp, struct scratch *w, u32 tcp_size)
{
	struct reply *r = &w->reply;
	u64 size = tcp_size - 1;

	SW_OPAQUE(size);
	size = (size & 63) + 1;
	r->tcp_size = tcp_size;
	if (load(ctx, xdp, w->packet.options_at - 20, r->tcp, size))
		return false;
	return w->packet.v6 ? !load(ctx, xdp, w->packet.ip_at, r->ip, 40) : !load(ctx, xdp, w->packet.ip_at, r->ip, 20);
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

/* Puts w->reply.out in place of everything behind the Ethernet header and its tags. */
static __always_inline bool answer(void *ctx, bool xdp, struct scratch *w, u32 frame)
{
	struct reply *r = &w->reply;
	u32 at = w->packet.ip_at, want = at + r->out_size;
	u64 size = r->out_size - 1;
	u8 mac[12], back[12];

	SW_OPAQUE(size);
	size = (size & 127) + 1;
	if (size > sizeof(r->out))
		return false;
	if (xdp ? bpf_xdp_adjust_tail(ctx, (int)(want - frame)) : bpf_skb_change_tail(ctx, want, 0))
		return false;
	if (at && (load(ctx, xdp, 0, mac, 12) != 0))
		return false;
	__builtin_memcpy(back, mac + 6, 6);
	__builtin_memcpy(back + 6, mac, 6);
	if (at && store(ctx, xdp, 0, back, 12))
		return false;
	return !store(ctx, xdp, at, r->out, size);
}

/* One challenge; the verdict after it: sent, or why not. */
static __always_inline u32 challenge(void *ctx, bool xdp, u32 frame)
{
	u32 zero = 0, gen, mtu = 0;
	struct scratch *w = bpf_map_lookup_elem(&scratch, &zero);
	const struct sw_guard_rules *r = guard_now(&gen);
	u64 now = bpf_ktime_get_ns();

	if (!w || !r || !have_cookies)
		return SW_V_DROP_NO_COOKIE;
	if (!load_headers(ctx, xdp, w, 20 + w->packet.options_size) || bpf_check_mtu(ctx, 0, &mtu, 0, 0) < 0)
		return SW_V_PASS_ERROR;
	u32 head = w->packet.v6 ? 60 : 40;
	mtu = mtu > 65535 ? 65535 : mtu;
	w->reply.mss = mtu > head + MIN_MSS ? mtu - head : MIN_MSS;
	u32 verdict = cookie_make(ctx, w, r->mode != SW_GUARD_ENFORCE, r->rmem_max, now);
	if (verdict != SW_V_CHALLENGE_SERVICE || r->mode != SW_GUARD_ENFORCE)
		return verdict;
	if (!answer(ctx, xdp, w, frame))
		return SW_V_PASS_ERROR;
	note_challenge(now);
	return verdict;
}

/* Functions of their own to the verifier: the context, and everything else anew from the maps. */
__attribute__((noinline)) int xdp_challenge(struct xdp_md *ctx)
{
	return challenge(ctx, true, bpf_xdp_get_buff_len(ctx));
}

__attribute__((noinline)) int skb_challenge(struct __sk_buff *skb)
{
	int verdict = challenge(skb, false, skb->len);

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

/* What the table knows of the segment's connection, unlocked. */
static __always_inline enum sw_known known(const struct scratch *w)
{
	u32 waiting, at = w->at;
	struct sw_tags *t = bpf_map_lookup_elem(&tags, &at);

	if (!t || !sw_match(t, w->tag, 0, &waiting))
		return SW_KNOWN_NOT;
	struct sw_set *set = bpf_map_lookup_elem(&sets, &at);
	return set ? sw_known(t, set, w->tag, &w->packet.key) : SW_KNOWN_NOT;
}

/* A SYN that comes in: what to do with it. */
static __always_inline u32 guard_syn(void *ctx, bool xdp, struct scratch *w, struct sw_stats *st)
{
	u32 gen, verdict;
	const struct sw_guard_rules *r = guard_now(&gen);

	if (!r || known(w) == SW_KNOWN_LIVING)
		return SW_ACT_PASS;
	verdict = guard_judge(w, r, gen, clock());
	if (verdict == SW_V_CHALLENGE_SERVICE && !replay)
		verdict = xdp ? xdp_challenge(ctx) : skb_challenge(ctx);
	if (verdict == SW_V_DROP_NO_COOKIE && !(r->flags & SW_GUARD_NO_COOKIE_DROP))
		verdict = SW_V_PASS_NO_COOKIE;
	return guard_act(&w->packet, st, r, verdict);
}

/* An ACK of no connection, while cookies are out. */
static __always_inline u32 guard_ack(void *ctx, bool xdp, struct scratch *w, struct sw_stats *st)
{
	u32 gen, zero = 0;
	const struct sw_guard *g = bpf_map_lookup_elem(&guard, &zero);
	const struct sw_guard_rules *r;

	if (!have_cookies || replay || !g || !g->challenged_ns || clock() - g->challenged_ns > COOKIE_LIFE_NS)
		return SW_ACT_PASS;
	if (known(w) > SW_KNOWN_ASKED)
		return SW_ACT_PASS;
	int valid = xdp ? xdp_cookie(ctx) : skb_cookie(ctx);
	if (valid < 0)
		return SW_ACT_PASS;
	st->cookie[valid ? SW_COOKIE_VALID : SW_COOKIE_INVALID]++;
	w->cookie = valid > 0;
	if (valid)
		return SW_ACT_PASS;
	r = guard_now(&gen);
	if (r && r->mode == SW_GUARD_ENFORCE && r->flags & SW_GUARD_BOGUS_DROP)
		return SW_ACT_DROP;
	return SW_ACT_FORGET; /* what it claims to continue does not exist */
}

/* The guard's say on what is in the scratch: enum sw_act; SW_ACT_PASS: go on. */
static __always_inline u32 guard_any(void *ctx, bool xdp)
{
	struct scratch *w = workplace();
	u32 zero = 0, act = SW_ACT_PASS;
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (!w || !st)
		return SW_ACT_PASS;
	if (w->packet.kind == SW_KIND_SYN)
		act = guard_syn(ctx, xdp, w, st);
	else if (w->packet.kind == SW_KIND_ACK || w->packet.kind == SW_KIND_DATA)
		act = guard_ack(ctx, xdp, w, st);
	return replay ? SW_ACT_PASS : act; /* a capture shows what happened */
}

/* To the verifier, too, functions of their own: what they know is forgotten when they return. */
__attribute__((noinline)) int xdp_guard(struct xdp_md *ctx)
{
	return guard_any(ctx, true);
}

__attribute__((noinline)) int skb_guard(struct __sk_buff *skb)
{
	return guard_any(skb, false);
}

#endif
