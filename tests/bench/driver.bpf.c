// SPDX-License-Identifier: GPL-2.0-only
/* Makes every frame different before the program under test, which BPF_PROG_TEST_RUN alone cannot; and the references that
 * its cost is compared with, all reached by the same tail call. */
#include "synwave/parse.h"

#include "../../bpf/uapi.h"
#include "steps.h"

const volatile u8 frame[128];
const volatile u32 frame_len;
const volatile u32 addr_at; /* the four bytes that differ */
const volatile u8 step_frame[BENCH_STEPS][128]; /* of connections from the first segment to the last */
const volatile u32 step_addr_at[BENCH_STEPS];
const volatile u32 hosts = 1; /* a power of two: 10.0.0.0 and so many more, in an order without rhyme */

struct key {
	u32 word[9];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} turns SEC(".maps"); /* how many were sent; what a CPU begins with is the loader's business */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lives);
} lives SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, u64[8]);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct key);
	__type(value, u64[8]);
} hash SEC(".maps");

struct work {
	struct sw_packet packet;
	u8 options[SW_OPTIONS_ROOM + 4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct work);
} work SEC(".maps");

/* Frame `at` with another address, and on to the program under test. */
static __always_inline int send(struct xdp_md *ctx, const volatile u8 *of, u32 at, u32 n)
{
	u32 len = ctx->data_end - ctx->data, addr = bpf_htonl(0x0a000000 + (n * 0x9e3779b1u & (hosts - 1)));

	if (len != frame_len && bpf_xdp_adjust_tail(ctx, (int)(frame_len - len)))
		return XDP_ABORTED;
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (data + 60 > end)
		return XDP_ABORTED;
	for (int i = 0; i < 56; i += 8)
		*(u64 *)(data + i) = *(const volatile u64 *)(of + i);
	*(u32 *)(data + 56) = *(const volatile u32 *)(of + 56);
	__builtin_memcpy(data + (at == 30 ? 30 : 26), &addr, 4);
	bpf_tail_call(ctx, &under_test, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int driver(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *turn = bpf_map_lookup_elem(&turns, &zero);

	return turn ? send(ctx, frame, addr_at, (*turn)++) : XDP_ABORTED;
}

/* The steps of connections, AT_ONCE of them segment by segment, then the next; what each step took, by the clock. */
SEC("xdp.frags")
int driver_lives(struct xdp_md *ctx)
{
	u32 zero = 0;
	u64 *turn = bpf_map_lookup_elem(&turns, &zero);
	struct lives *l = bpf_map_lookup_elem(&lives, &zero);

	if (!turn || !l)
		return XDP_ABORTED;
	u32 n = (*turn)++, group = n / AT_ONCE, step = group % BENCH_STEPS, at = n % AT_ONCE;
	SW_OPAQUE(step);
	if (step >= BENCH_STEPS)
		return XDP_ABORTED;
	if (!at) {
		u64 now = bpf_ktime_get_ns();
		u32 before = l->step;
		SW_OPAQUE(before);
		if (before < BENCH_STEPS)
			l->ns[before] += now - l->since;
		l->since = now;
		l->step = step;
	}
	return send(ctx, step_frame[step], step_addr_at[step], group / BENCH_STEPS * AT_ONCE + at);
}

SEC("xdp.frags")
int empty(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* The parser of the shared core, counted nowhere. */
SEC("xdp.frags")
int parse_only(struct xdp_md *ctx)
{
	u32 zero = 0;
	struct work *w = bpf_map_lookup_elem(&work, &zero);

	if (!w)
		return XDP_ABORTED;
	enum sw_reason why = sw_parse((void *)(long)ctx->data, (void *)(long)ctx->data_end, ctx->data_end - ctx->data, false,
				      &w->packet);
	u64 less = w->packet.options_size - 1;
	SW_OPAQUE(less);
	if (why == SW_OK && w->packet.options_size &&
	    !bpf_xdp_load_bytes(ctx, w->packet.options_at, w->options, (less & 63) + 1))
		sw_parse_options(w->options, &w->packet);
	return why ? XDP_ABORTED : XDP_PASS;
}

static __always_inline bool key_of(struct xdp_md *ctx, struct key *k)
{
	u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 60 > end)
		return false;
	__builtin_memcpy(k->word, data + 26, 12);
	return true;
}

SEC("xdp.frags")
int lru_insert(struct xdp_md *ctx)
{
	struct key k = {};
	u64 value[8] = {};

	return key_of(ctx, &k) && !bpf_map_update_elem(&lru, &k, value, 0) ? XDP_PASS : XDP_ABORTED;
}

SEC("xdp.frags")
int hash_miss(struct xdp_md *ctx)
{
	struct key k = {};

	return key_of(ctx, &k) && !bpf_map_lookup_elem(&hash, &k) ? XDP_PASS : XDP_ABORTED;
}

/* The kernel's part of a challenge, and no more: its listener and its cookie. */
SEC("xdp.frags")
int cookie_only(struct xdp_md *ctx)
{
	struct bpf_sock_tuple t = {};
	u8 head[44];

	if (bpf_xdp_load_bytes(ctx, 14, head, sizeof(head)))
		return XDP_ABORTED;
	__builtin_memcpy(&t.ipv4, head + 12, 12);
	struct bpf_sock *sk = bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sk)
		return XDP_ABORTED;
	s64 cookie = bpf_tcp_gen_syncookie(sk, head, 20, (void *)(head + 20), 24);
	bpf_sk_release(sk);
	return cookie > 0 ? XDP_PASS : XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
