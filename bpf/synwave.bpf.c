// SPDX-License-Identifier: GPL-2.0-only
/* The shells around the core: one per hook. They fetch, call, count; what a segment means is decided in
 * include/synwave. Nothing here ever drops a packet. */
#include "synwave/table.h"

#include "maps.h"
#include "record.h"
#include "tell.h"
#include "uapi.h"

/* Frozen before the load: the verifier sees constants. */
const volatile struct sw_conf conf = {.sets = 1};

const volatile u32 netns; /* inode of the network namespace that the program is loaded for */

/* `synwave replay --engine kernel` runs these very programs by BPF_PROG_TEST_RUN with a capture's clock. Frozen too: to
 * the attached program this is `false`, and the verifier removes what depends on it. */
const volatile bool replay = false;
struct sw_replay replay_io;

/* Where a frame was seen, and by whom it was sent. */
struct sight {
	u32 size; /* bytes on the wire */
	u32 ifindex;
	u16 place;
	bool l3; /* no Ethernet header */
	bool local; /* it left this host's own stack */
};

static __always_inline void track(struct scratch *w, struct sw_stats *st, const struct sight *seen)
{
	const struct sw_packet *p = &w->packet;
	u32 hash = sw_hash(&conf, &p->key), at = sw_set_of(hash, conf.sets);
	struct sw_tags *t = bpf_map_lookup_elem(&tags, &at);
	u16 tag = sw_tag_of(hash);

	if (t && sw_quiet(t, tag, p))
		return;
	struct sw_set *set = bpf_map_lookup_elem(&sets, &at);
	struct sw_ladders *ladder = conf.ladder ? bpf_map_lookup_elem(&ladders, &at) : NULL;
	if (!t || !set || (conf.ladder && !ladder)) {
		st->ignored[SW_NO_TABLE]++;
		return;
	}
	u64 now = replay ? replay_io.now : bpf_ktime_get_ns();
	__builtin_memset(&w->step, 0, sizeof(w->step));
	w->step.listen = anybody(now);
	SW_STAGE();
	bpf_spin_lock(&set->lock);
	sw_table_step(t, set, ladder, tag, p, now, &conf, &w->step, &w->trace);
	bpf_spin_unlock(&set->lock);
	if (replay) {
		replay_io.set = at;
		replay_io.way = w->step.way;
		replay_io.dropped = w->step.dropped;
	}
	record(&w->step, p, st);
	if (w->step.told) {
		w->trace.ifindex = seen->ifindex;
		w->trace.netns = netns;
		if (seen->place & 1)
			w->trace.about |= SW_TRACE_EGRESS;
		tell(&w->trace, now);
	}
}

/* The reason is not counted yet: a hook that could not read far enough may try again. */
static __always_inline enum sw_reason parse(void *data, void *end, const struct sight *s, struct sw_packet *p)
{
	enum sw_reason why = sw_parse(data, end, s->size, s->l3, p);

	p->place = s->place;
	p->local = s->local;
	return why;
}

static __always_inline void observe(enum sw_reason why, struct scratch *w, const struct sight *seen)
{
	u32 zero = 0;
	struct sw_stats *st = bpf_map_lookup_elem(&stats, &zero);

	if (!st)
		return;
	if (why == SW_OK || why == SW_BAD_FLAGS)
		st->kind[w->packet.kind < SW_KIND_COUNT ? w->packet.kind : SW_KIND_OTHER]++;
	if (why == SW_OK)
		track(w, st, seen);
	else
		st->ignored[why < SW_REASON_COUNT ? why : SW_NO_TABLE]++;
}

static __always_inline struct scratch *workplace(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}

/* How much to copy, in a form in which any verifier sees that it is 1 to 64. */
static __always_inline u32 options_bytes(const struct scratch *w)
{
	u64 less = w->packet.options_size - 1;

	SW_OPAQUE(less);
	return (less & 63) + 1;
}

SEC("xdp.frags")
int synwave_xdp(struct xdp_md *ctx)
{
	struct sight s = {.size = replay ? replay_io.size : bpf_xdp_get_buff_len(ctx),
			  .ifindex = ctx->ingress_ifindex,
			  .place = ctx->ingress_ifindex << 1};
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return XDP_PASS;
	why = parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, &s, &w->packet);
	if (why == SW_OK && w->packet.options_size &&
	    !bpf_xdp_load_bytes(ctx, w->packet.options_at, w->options, options_bytes(w)))
		sw_parse_options(w->options, &w->packet);
	observe(why, w, &s);
	return XDP_PASS;
}

#define PULL 256 /* more than Ethernet, 4 tags, IPv6 and TCP with all options need; extension headers may want more */

static __always_inline void observe_skb(struct __sk_buff *skb, struct sight *s)
{
	struct scratch *w = workplace();
	enum sw_reason why;

	if (!w)
		return;
	s->size = skb->len;
	why = parse((void *)(long)skb->data, (void *)(long)skb->data_end, s, &w->packet);
	if (why == SW_TRUNCATED) { /* headers outside of the linear part */
		bpf_skb_pull_data(skb, skb->len < PULL ? skb->len : PULL);
		why = parse((void *)(long)skb->data, (void *)(long)skb->data_end, s, &w->packet);
	}
	if (why == SW_OK && w->packet.options_size &&
	    !bpf_skb_load_bytes(skb, w->packet.options_at, w->options, options_bytes(w)))
		sw_parse_options(w->options, &w->packet);
	observe(why, w, s);
}

static __always_inline int ingress(struct __sk_buff *skb, bool l3)
{
	struct sight s = {.ifindex = skb->ifindex, .place = skb->ifindex << 1, .l3 = l3};

	observe_skb(skb, &s);
	return TC_ACT_UNSPEC; /* the next program, or go on */
}

static __always_inline int egress(struct __sk_buff *skb, bool l3)
{
	/* a forwarded packet remembers where it came in; our own came from nowhere */
	struct sight s = {
		.ifindex = skb->ifindex, .place = skb->ifindex << 1 | 1, .l3 = l3, .local = !skb->ingress_ifindex};

	observe_skb(skb, &s);
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
