// SPDX-License-Identifier: GPL-2.0-only
/* Random and mutated frames at millions a second: each run of BPF_PROG_TEST_RUN makes a frame, calls the program under test,
 * and counts each verdict that is not the one expected. A tail call out of a function comes back to the function's caller:
 * that is how the verdict is seen. */
#include "synwave/types.h"

#include "../../bpf/uapi.h"
#include "mutate.h"

char _license[] SEC("license") = "GPL";

const volatile s32 expected;
const volatile u32 shortest = 14; /* the kernel runs none below an Ethernet header */
struct mutate_template template[MUTATE_TEMPLATES]; /* zero length: none */
u32 templates;
u64 state; /* of the random numbers; not zero */
struct mutate_result result;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct mutate_template);
} work SEC(".maps");

/* xorshift64*; one run at a time */
static __always_inline u32 rnd(void)
{
	u64 x = state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	state = x;
	return (x * 0x2545f4914f6cdd1dULL) >> 32;
}

static __always_inline u32 below(u32 n)
{
	return (u64)rnd() * n >> 32;
}

static __always_inline void mutate(u8 *bytes, u32 len)
{
	u32 at = below(len) & (MUTATE_ROOM - 1), r = rnd();
	u8 *b = &bytes[at];

	switch (r & 7) {
	case 0:
	case 1:
	case 2:
		*b ^= 1 << (r >> 8 & 7);
		break;
	case 3:
		*b = r >> 8;
		break;
	case 4:
		*b = 0;
		break;
	case 5:
		*b = 0xff;
		break;
	case 6: /* small steps: lengths, ports, numbers that almost fit */
		*b += (r >> 8 & 15) - 8;
		break;
	default: /* a byte from somewhere else */
		*b = bytes[(r >> 8) & (MUTATE_ROOM - 1)];
	}
}

/* Makes the next frame; its length. */
static __always_inline u32 make(struct mutate_template *w)
{
	u32 n = templates, pick = below(n ?: 1), kind = rnd() & 63, len;

	if (pick >= MUTATE_TEMPLATES)
		return 0;
	__builtin_memcpy(w, &template[pick], sizeof(*w));
	len = w->len;
	if (len < 14 || len > MUTATE_ROOM)
		return 0;
	if (kind < 4) { /* nothing but noise, behind a header that says IP */
		for (int i = 0; i < MUTATE_ROOM / 4; i++)
			((u32 *)w->bytes)[i] = rnd();
		if (kind) {
			w->bytes[12] = kind == 1 ? 0x86 : 0x08;
			w->bytes[13] = kind == 1 ? 0xdd : 0;
		}
		len = 14 + below(MUTATE_ROOM - 14);
	} else {
		u32 times = kind < 16 ? 0 : kind < 40 ? 1 : kind < 56 ? 3 : 12;

		for (u32 i = 0; i < 12 && i < times; i++)
			mutate(w->bytes, len);
		if (!(rnd() & 7)) /* cut */
			len = below(len + 1);
		else if (!(rnd() & 31)) /* or longer than it says */
			len += below(MUTATE_ROOM - len);
	}
	return len < shortest ? shortest : len;
}

/* `saw` is written by the shells below: the first frame that was not passed. */
static __always_inline bool judge(s32 verdict, u32 len)
{
	result.runs++;
	if (verdict == expected)
		return false;
	result.others++;
	if (result.first_len)
		return false;
	result.first = verdict;
	result.first_len = len;
	return true;
}

static __attribute__((noinline)) int under_xdp(struct xdp_md *ctx)
{
	u32 verdict = MUTATE_NO_CALL;

	SW_OPAQUE(verdict); /* the compiler thinks that nothing else comes back */
	bpf_tail_call(ctx, &under_test, 0);
	return verdict;
}

SEC("xdp.frags")
int mutate_xdp(struct xdp_md *ctx)
{
	u32 zero = 0, len;
	struct mutate_template *w = bpf_map_lookup_elem(&work, &zero);

	if (!w)
		return 0;
	len = make(w);
	if (len < 14 || len > MUTATE_ROOM || bpf_xdp_adjust_tail(ctx, (int)len - (int)bpf_xdp_get_buff_len(ctx)) ||
	    bpf_xdp_store_bytes(ctx, 0, w->bytes, len)) {
		result.unmade++;
		return 0;
	}
	if (judge(under_xdp(ctx), len))
		__builtin_memcpy(result.bytes, w->bytes, sizeof(result.bytes));
	return 0;
}

static __attribute__((noinline)) int under_tc(struct __sk_buff *skb)
{
	u32 verdict = MUTATE_NO_CALL;

	SW_OPAQUE(verdict); /* the compiler thinks that nothing else comes back */
	bpf_tail_call(skb, &under_test, 0);
	return verdict;
}

SEC("tc")
int mutate_tc(struct __sk_buff *skb)
{
	u32 zero = 0, len;
	struct mutate_template *w = bpf_map_lookup_elem(&work, &zero);

	if (!w)
		return 0;
	len = make(w);
	if (len < 14 || len > MUTATE_ROOM || bpf_skb_change_tail(skb, len, 0) ||
	    bpf_skb_store_bytes(skb, 0, w->bytes, len, 0)) {
		result.unmade++;
		return 0;
	}
	if (judge(under_tc(skb), len))
		__builtin_memcpy(result.bytes, w->bytes, sizeof(result.bytes));
	return 0;
}
