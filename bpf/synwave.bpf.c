// SPDX-License-Identifier: GPL-2.0-only
/* The shells around the core: one per hook. They fetch, call, count; what a segment means is decided in
 * include/synwave. Nothing here drops a packet but on the word of the guard's rules. */
#include "synwave/first.h"

#include "challenge.h"
#include "maps.h"
#include "record.h"
#include "tell.h"
#include "uapi.h"

/* The segment's set and tags are called for: what is done until they are needed is done while they come. A guess: what is
 * wrong about it costs a cache line's way. */
static __always_inline void call_for(struct scratch *w)
{
	if (!w->tag)
		locate_set(w);
	u32 at = w->at, touched = 0;
	const struct sw_tags *t = bpf_map_lookup_elem(&tags, &at);
	const struct sw_set *set = bpf_map_lookup_elem(&sets, &at);

	if (t && set)
		touched = *(volatile u16 *)t->tag + *(volatile u32 *)&set->version;
	/* a SYN will most likely take the first small way, unless sets are full, as that of the step before was */
	if (w->packet.kind == SW_KIND_SYN && !(w->step.events >> SW_EV_EVICT_HALF_OPEN & 1)) {
		const struct sw_half *h = bpf_map_lookup_elem(&half, &at);
		if (h)
			touched += *(volatile u8 *)&h->pad;
	}
	SW_OPAQUE(touched);
}

/* Which services this host answers: its own SYN-ACKs say so. */
static __always_inline void learn(const struct scratch *w, u64 now)
{
	bool answer =
		w->step.answered && w->step.syn_seen; /* forwarded, to a SYN that came by: of another host's service */

	if (w->packet.kind == SW_KIND_SYN_ACK && w->packet.seen_at & 1 && (w->packet.local || answer))
		guard_learn(&w->packet, now);
}

/* The segment in the scratch against its set. To the verifier, too, a function of its own. */
__attribute__((noinline)) int track(u32 ifindex)
{
	u32 zero = 0, at;
	struct sw_shelf f;
	struct scratch *w = workplace();
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (!w || !st)
		return 0;
	at = w->at;
	if (!shelf_of(&f, at)) {
		st->ignored[SW_NO_TABLE]++;
		return 0;
	}
	sw_warm(&f, w->tag, &w->packet);
	__builtin_memset(&w->step, 0, sizeof(w->step));
	u64 now = clock();
	w->step.cookie = w->cookie;
	w->step.listen = anybody(now);
	SW_STAGE();
	bpf_spin_lock(&f.set->lock);
	if (w->step.listen || !sw_table_first(&f, w->tag, &w->packet, now, &w->step))
		sw_table_step(&f, w->tag, &w->packet, now, &w->step, &w->conn, &w->trace);
	bpf_spin_unlock(&f.set->lock);
	if (replay) {
		replay_io.set = at;
		replay_io.way = w->step.way;
		replay_io.came = w->step.came;
		replay_io.dropped = w->step.dropped;
	}
	record(&w->step, &w->packet, st);
	if (w->step.told) {
		w->trace.ifindex = ifindex;
		w->trace.netns = netns;
		if (w->packet.seen_at & 1)
			w->trace.about |= SW_TRACE_EGRESS;
		tell(&w->trace, now);
	}
	learn(w, now);
	if (w->step.verified)
		guard_verified_client(&w->packet, w->step.server, now);
	return 0;
}

/* After a step that asked: this host has the connection's socket. Its table, its guard and its services are told. */
__attribute__((noinline)) int prove(u32 here)
{
	struct scratch *w = workplace();
	struct sw_shelf f;
	u64 now = clock();

	if (!w || !shelf_of(&f, w->at))
		return 0;
	w->step.events = 0;
	w->step.verified = 0;
	bpf_spin_lock(&f.set->lock);
	sw_table_proved(&f, w->tag, &w->packet, now, &w->step, &w->conn);
	bpf_spin_unlock(&f.set->lock);
	if (!w->step.verified)
		return 0;
	guard_verified_client(&w->packet, w->step.server, now);
	if (here) /* and not forwarded: the service is this host's */
		sw_learn_local(NULL, sw_local_hash(&conf, netns, target_addr(&w->packet), target_port(&w->packet)),
			       true, now);
	return 0;
}

/* --ingress-only: the answers are never seen, but the kernel knows whether there is a socket past its handshake. */
static __always_inline bool has_socket(void *ctx, const struct scratch *w)
{
	struct bpf_sock *sk = cookie_socket(ctx, &w->packet);

	if (!sk)
		return false;
	u32 state = sk->state;
	bpf_sk_release(sk);
	return 1u << (state & 31) & SOCKET_PAST_HANDSHAKE;
}

/* The segment is for another host, and this one forwards it. */
static __always_inline bool is_forwarded(void *ctx, u32 ifindex, const struct scratch *w)
{
	struct fib_lookup fib = {
		.family = w->packet.v6 ? AF_INET6 : AF_INET, .l4_protocol = IPPROTO_TCP, .ifindex = ifindex};
	u32 from = w->packet.from & 1;
	const u32 *src = w->packet.key.addr[from], *dst = w->packet.key.addr[from ^ 1];

	fib.src[0] = w->packet.v6 ? src[0] : src[3];
	fib.dst[0] = w->packet.v6 ? dst[0] : dst[3];
	SW_UNROLL
	for (int i = 1; i < 4 && w->packet.v6; i++) {
		fib.src[i] = src[i];
		fib.dst[i] = dst[i];
	}
	long ret = bpf_fib_lookup(ctx, (void *)&fib, sizeof(fib), 0);

	return ret >= 0 && 1u << (ret & 31) & FIB_FORWARDED;
}

__attribute__((noinline)) int xdp_has_socket(struct xdp_md *ctx)
{
	struct scratch *w = workplace();

	return w && has_socket(ctx, w);
}

__attribute__((noinline)) int skb_has_socket(struct __sk_buff *skb)
{
	struct scratch *w = workplace();

	return w && has_socket(skb, w);
}

__attribute__((noinline)) int xdp_is_forwarded(struct xdp_md *ctx)
{
	struct scratch *w = workplace();

	return w && is_forwarded(ctx, ctx->ingress_ifindex, w);
}

__attribute__((noinline)) int skb_is_forwarded(struct __sk_buff *skb)
{
	struct scratch *w = workplace();

	return w && is_forwarded(skb, skb->ifindex, w);
}

/* Answers what the step asked. */
static __always_inline void answer(void *ctx, bool xdp, const struct scratch *w)
{
	bool here = xdp ? xdp_has_socket(ctx) : skb_has_socket(ctx), yes = here;

	if (!yes && w->step.ask == SW_ASK_SOCKET_OR_ROUTE)
		yes = xdp ? xdp_is_forwarded(ctx) : skb_is_forwarded(ctx);
	if (yes)
		prove(here);
}

/* What a hook knows of a segment besides its bytes: for what is no matter of the fast path. */
static __always_inline void xdp_say_where(struct scratch *w)
{
	w->packet.seen_at = attachment << 1;
	w->packet.local = w->packet.inside = w->packet.socket = false;
}

/* A local segment's socket is past its handshake: not a listener's, a request's or a TIME_WAIT's answer. */
static __always_inline bool skb_socket(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return false;
	sk = bpf_sk_fullsock(sk);
	return sk && sk->type == SOCK_STREAM && sk->protocol == IPPROTO_TCP &&
	       1u << (sk->state & 31) & SOCKET_PAST_HANDSHAKE;
}

/* A forwarded packet remembers where it came in; our own came from nowhere. */
static __always_inline void skb_say_where(struct __sk_buff *skb, u32 out, struct scratch *w)
{
	bool local = out && !skb->ingress_ifindex;

	w->packet.seen_at = attachment << 1 | (out & 1);
	w->packet.local = local;
	w->packet.inside = out && skb->ingress_ifindex != skb->ifindex;
	w->packet.socket = local && skb_socket(skb);
}

/* Counts the segment, or why it is none. NULL: it is not for the tracker. */
static __always_inline struct sw_stats *account(enum sw_reason why, struct scratch *w)
{
	u32 zero = 0;
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (!st)
		return NULL;
	if (why == SW_OK || why == SW_BAD_FLAGS)
		st->kind[w->packet.kind < SW_KIND_COUNT ? w->packet.kind : SW_KIND_OTHER]++;
	if (why == SW_OK)
		return st;
	u32 at = why;
	SW_OPAQUE(at);
	st->ignored[at & 15]++;
	return NULL;
}

/* Why a frame may hold a SYN that the parser did not get to. */
#define MAY_BE_SYN (1u << SW_CUT | 1u << SW_TAGS | 1u << SW_BAD_IP6_EXT | 1u << SW_UNREAD)

enum { FOR_NOBODY, FOR_GUARD = 1, FOR_TRACKER = 2 };

/* What the tracker has no use for: what of it the guard must see. */
static __always_inline u32 classify_unparsed(enum sw_reason why, struct scratch *w)
{
	if (1u << (why & 31) & MAY_BE_SYN) {
		w->unread = why;
		return FOR_GUARD;
	}
	return why == SW_SELF && w->packet.kind == SW_KIND_SYN ? FOR_GUARD : FOR_NOBODY;
}

/* The end of the fast path: who must see the segment in the scratch. */
static __always_inline u32 classify(enum sw_reason why, struct scratch *w)
{
	struct sw_stats *st = account(why, w);

	w->cookie = 0;
	w->tag = 0;
	w->unread = 0;
	if (!st)
		return classify_unparsed(why, w);
	if (w->packet.kind == SW_KIND_SYN) /* never quiet; most of a flood's go no further than the guard */
		return FOR_GUARD | FOR_TRACKER;
	locate_set(w);
	if (w->packet.cut) {
		w->unread = SW_CUT;
		return FOR_GUARD | FOR_TRACKER;
	}
	const struct sw_tags *t = bpf_map_lookup_elem(&tags, &w->at);
	return t && sw_quiet(t, w->tag, &w->packet, generation()) ? FOR_NOBODY : FOR_GUARD | FOR_TRACKER;
}

/* The reason is not counted yet: who could not read far enough may try again. */
static __always_inline enum sw_reason xdp_parse(struct xdp_md *ctx, u32 size, struct scratch *w)
{
	return sw_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, size, false, &w->packet);
}

/* A frame that is longer than what can be read of it: how long, a helper says. */
__attribute__((noinline)) int xdp_parse_long(struct xdp_md *ctx)
{
	struct scratch *w = workplace();
	u32 size = bpf_xdp_get_buff_len(ctx);
	enum sw_reason why = w ? xdp_parse(ctx, size, w) : SW_TRUNCATED;

	return why == SW_TRUNCATED && size > ctx->data_end - ctx->data ? SW_UNREAD : why;
}

/* What the guard took out of the way leaves no trace in the table; what a dry run would have taken does. */
#define NOT_TRACKED (1u << SW_ACT_DROP | 1u << SW_ACT_CHALLENGE | 1u << SW_ACT_FORGET)

/* Whether the guard has anything to say on such a segment: most of the time it has not, and a call costs some 10 ns. */
static __always_inline bool guarded(const struct scratch *w)
{
	u32 gen, zero = 0;

	if (w->unread || w->packet.kind == SW_KIND_SYN)
		return guard_now(&gen);
	if (!have_cookies || !(1u << (w->packet.kind & 31) & GUARD_ACKS))
		return false;
	const struct sw_guard *g = bpf_map_lookup_elem(&guard, &zero);
	return g && g->challenged_ns;
}

/* The rest of the way: what the segment in the scratch means to the table. */
static __always_inline void go_on(void *ctx, bool xdp, u32 ifindex)
{
	struct scratch *w = workplace();

	if (!w)
		return;
	call_for(w);
	w->packet.generation = generation();
	if (w->packet.options_size && !w->packet.options_done) {
		if (xdp)
			xdp_options(ctx);
		else
			skb_options(ctx);
	}
	track(ifindex);
	if (w->step.ask)
		answer(ctx, xdp, w);
}

static __always_inline int run_xdp(struct xdp_md *ctx, enum hook hook)
{
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return XDP_PASS;
	why = xdp_parse(ctx, replay ? replay_io.size : ctx->data_end - ctx->data, w);
	if ((why == SW_BAD_IP || why == SW_BAD_TCP || why == SW_TRUNCATED) && !replay) /* too short for its headers? */
		why = xdp_parse_long(ctx);
	u32 who = classify(why, w);
	if (!who)
		return XDP_PASS;
	xdp_say_where(w);
	u32 act = SW_ACT_PASS;
	if (guarded(w)) {
		act = hook == HOOK_XDP ? xdp_guard(ctx) : pad_guard(ctx);
		if (w->charge)
			guard_charge();
	}
	if (who & FOR_TRACKER && !(1u << (act & 31) & NOT_TRACKED))
		go_on(ctx, true, ctx->ingress_ifindex);
	return act == SW_ACT_DROP ? XDP_DROP : act == SW_ACT_CHALLENGE ? XDP_TX : XDP_PASS;
}

SEC("xdp.frags")
int synwave_xdp(struct xdp_md *ctx)
{
	return run_xdp(ctx, HOOK_XDP);
}

/* The same without a change of the frame's length: for a dispatcher that takes no other (HOOK_XDP_PAD). */
SEC("xdp.frags")
int synwave_xdp_pad(struct xdp_md *ctx)
{
	return run_xdp(ctx, HOOK_XDP_PAD);
}

#define PULL      256 /* more than Ethernet, 4 tags, IPv6 and TCP with all options need; extension headers may want more */
#define PULL_MOST 9216

static __always_inline enum sw_reason skb_parse(struct __sk_buff *skb, u32 l3, struct scratch *w)
{
	return sw_parse((void *)(long)skb->data, (void *)(long)skb->data_end, skb->len, l3, &w->packet);
}

__attribute__((noinline)) int skb_classify(struct __sk_buff *skb, u32 out, u32 l3)
{
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return FOR_NOBODY;
	why = skb_parse(skb, l3, w);
	if (why == SW_TRUNCATED) { /* headers outside of the linear part */
		bpf_skb_pull_data(skb, skb->len < PULL ? skb->len : PULL);
		why = skb_parse(skb, l3, w);
	}
	if (why == SW_TRUNCATED && skb->len > PULL) {
		bpf_skb_pull_data(skb, skb->len < PULL_MOST ? skb->len : PULL_MOST);
		why = skb_parse(skb, l3, w);
		if (why == SW_TRUNCATED && skb->len > skb->data_end - skb->data)
			why = SW_UNREAD;
	}
	u32 who = classify(why, w);
	if (who)
		skb_say_where(skb, out, w);
	return who;
}

static __always_inline int ingress(struct __sk_buff *skb, bool l3)
{
	struct scratch *w = workplace();
	u32 who = w ? skb_classify(skb, false, l3) : FOR_NOBODY;

	if (!w || !who)
		return TC_ACT_UNSPEC; /* the next program, or go on */
	u32 act = SW_ACT_PASS;
	if (guarded(w)) {
		act = skb_guard(skb);
		if (w->charge)
			guard_charge();
	}
	if (who & FOR_TRACKER && !(1u << (act & 31) & NOT_TRACKED))
		go_on(skb, false, skb->ifindex);
	return act == SW_ACT_DROP        ? TC_ACT_SHOT
	       : act == SW_ACT_CHALLENGE ? bpf_redirect(skb->ifindex, 0)
					 : TC_ACT_UNSPEC;
}

static __always_inline int egress(struct __sk_buff *skb, bool l3)
{
	struct scratch *w = workplace();

	if (skb->mark == COOKIE_MARK) { /* the ingress program's answer: a challenge is no half-open connection */
		skb->mark = 0;
	} else if (w && skb_classify(skb, true, l3) & FOR_TRACKER) {
		go_on(skb, false, skb->ifindex);
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int synwave_in(struct __sk_buff *skb)
{
	return ingress(skb, false);
}

SEC("tc")
int synwave_out(struct __sk_buff *skb)
{
	return egress(skb, false);
}

/* Devices without an Ethernet header (tun, wireguard, ...). */
SEC("tc")
int synwave_in_l3(struct __sk_buff *skb)
{
	return ingress(skb, true);
}

SEC("tc")
int synwave_out_l3(struct __sk_buff *skb)
{
	return egress(skb, true);
}

char _license[] SEC("license") = "GPL";
