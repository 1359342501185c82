// SPDX-License-Identifier: GPL-2.0-only
/* The shells around the core: one per hook. They fetch, call, count; what a segment means is decided in
 * include/synwave. Nothing here drops a packet but on the word of the guard's rules. */
#include "synwave/first.h"

#include "challenge.h"
#include "maps.h"
#include "record.h"
#include "tell.h"
#include "uapi.h"

/* Where a frame was seen, and by whom it was sent. */
struct sight {
	u32 size; /* bytes on the wire */
	u16 place;
	bool l3; /* no Ethernet header */
	bool local; /* it left this host's own stack */
};

/* The segment's set and tags are called for: what is done until they are needed is done while they come. A guess: what is
 * wrong about it costs a cache line's way. */
static __always_inline void call_for(struct scratch *w)
{
	if (!w->tag)
		place(w);
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
		if (w->packet.place & 1)
			w->trace.about |= SW_TRACE_EGRESS;
		tell(&w->trace, now);
	}
	if (w->step.proved && !w->packet.local)
		guard_proved(&w->packet, now);
	return 0;
}

/* The reason is not counted yet: a hook that could not read far enough may try again. */
static __always_inline enum sw_reason parse(void *data, void *end, const struct sight *s, struct sw_packet *p)
{
	enum sw_reason why = sw_parse(data, end, s->size, s->l3, p);

	p->place = s->place;
	p->local = s->local;
	return why;
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
	st->ignored[why < SW_REASON_COUNT ? why : SW_NO_TABLE]++;
	return NULL;
}

/* The end of the fast way: true if the segment in the scratch is for the guard and the tracker. */
static __always_inline bool look(enum sw_reason why, struct scratch *w)
{
	struct sw_stats *st = account(why, w);

	if (!st)
		return false;
	w->cookie = 0;
	w->tag = 0;
	if (w->packet.kind == SW_KIND_SYN) /* never quiet; most of a flood's go no further than the guard */
		return true;
	place(w);
	struct sw_tags *t = bpf_map_lookup_elem(&tags, &w->at);
	return !t || !sw_quiet(t, w->tag, &w->packet);
}

static __always_inline enum sw_reason xdp_parse(struct xdp_md *ctx, u32 size, struct scratch *w)
{
	struct sight s = {.size = size, .place = ctx->ingress_ifindex << 1};

	return parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &s, &w->packet);
}

/* A frame that is longer than what can be read of it: how long, a helper says. */
__attribute__((noinline)) int xdp_parse_long(struct xdp_md *ctx)
{
	struct scratch *w = workplace();

	return w ? xdp_parse(ctx, bpf_xdp_get_buff_len(ctx), w) : SW_TRUNCATED;
}

/* Whether the guard has anything to say on such a segment: most of the time it has not, and a call costs some 10 ns. */
static __always_inline bool guarded(const struct scratch *w)
{
	u32 gen, zero = 0;

	if (w->packet.kind == SW_KIND_SYN)
		return guard_now(&gen);
	if (!have_cookies || (w->packet.kind != SW_KIND_ACK && w->packet.kind != SW_KIND_DATA))
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
	if (w->packet.options_size && !w->packet.options_done) {
		if (xdp)
			xdp_options(ctx);
		else
			skb_options(ctx);
	}
	track(ifindex);
}

SEC("xdp.frags")
int synwave_xdp(struct xdp_md *ctx)
{
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return XDP_PASS;
	why = xdp_parse(ctx, replay ? replay_io.size : ctx->data_end - ctx->data, w);
	if ((why == SW_BAD_IP || why == SW_BAD_TCP) && !replay) /* too short for its headers? */
		why = xdp_parse_long(ctx);
	if (!look(why, w))
		return XDP_PASS;
	u32 act = guarded(w) ? xdp_guard(ctx) : SW_ACT_PASS;
	if (act == SW_ACT_PASS)
		go_on(ctx, true, ctx->ingress_ifindex);
	return act == SW_ACT_DROP ? XDP_DROP : act == SW_ACT_CHALLENGE ? XDP_TX : XDP_PASS;
}

#define PULL 256 /* more than Ethernet, 4 tags, IPv6 and TCP with all options need; extension headers may want more */

__attribute__((noinline)) int skb_look(struct __sk_buff *skb, u32 out, u32 l3)
{
	/* a forwarded packet remembers where it came in; our own came from nowhere */
	struct sight s = {.size = skb->len,
			  .place = skb->ifindex << 1 | (out & 1),
			  .l3 = l3,
			  .local = out && !skb->ingress_ifindex};
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return false;
	why = parse((void *)(long)skb->data, (void *)(long)skb->data_end, &s, &w->packet);
	if (why == SW_TRUNCATED) { /* headers outside of the linear part */
		bpf_skb_pull_data(skb, skb->len < PULL ? skb->len : PULL);
		why = parse((void *)(long)skb->data, (void *)(long)skb->data_end, &s, &w->packet);
	}
	return look(why, w);
}

static __always_inline int ingress(struct __sk_buff *skb, bool l3)
{
	struct scratch *w = workplace();

	if (!w || !skb_look(skb, false, l3))
		return TC_ACT_UNSPEC; /* the next program, or go on */
	u32 act = guarded(w) ? skb_guard(skb) : SW_ACT_PASS;
	if (act == SW_ACT_PASS)
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
	} else if (w && skb_look(skb, true, l3)) {
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
