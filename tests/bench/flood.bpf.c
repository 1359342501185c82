// SPDX-License-Identifier: GPL-2.0-only
/* A flood of SYNs, and the two ends of the cable that it needs: the generator, a receiver that only drops (what the
 * generator costs by itself), and a far end at which the answers to forged sources vanish. */
#include <stdbool.h>

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "flood.h"

const volatile struct flood_frame flood = {};
/* network order; whoever is in it does not exist */
const volatile __u32 ghost_net = 0, ghost_mask = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} vanished SEC(".maps");

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return ~sum;
}

/* Run by BPF_PROG_TEST_RUN with live frames. The pages come back with whatever the receiver made of them, so every
 * byte is written, and the length, too: a frame is given its length anew only if the program changes it. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	__u64 random = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
	__u32 host = ((random >> 32) * flood.hosts) >> 32, source = bpf_htonl(flood.source + host), seq = random;
	__u16 port = bpf_htons(1024 + (__u16)((random >> 16 & 0xffff) * 64512 >> 16)), check;

	if (bpf_xdp_adjust_tail(ctx, -FLOOD_TRIM))
		return XDP_ABORTED;
	__u8 *f = (void *)(long)ctx->data;
	if (f + FLOOD_SIZE > (__u8 *)(long)ctx->data_end)
		return XDP_ABORTED;
	for (int i = 0; i < FLOOD_SIZE / 8; i++)
		((__u64 *)f)[i] = flood.word[i];
	*(__u16 *)(f + 72) = flood.word[9];
	__builtin_memcpy(f + 26, &source, 4);
	check = fold((__u64)flood.ip_sum + source);
	__builtin_memcpy(f + 24, &check, 2);
	__builtin_memcpy(f + 34, &port, 2);
	__builtin_memcpy(f + 38, &seq, 4);
	check = fold((__u64)flood.tcp_sum + source + port + seq);
	__builtin_memcpy(f + 50, &check, 2);
	return bpf_redirect(flood.out, 0);
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* Back where it came from, and nothing else: what the way there costs. */
SEC("xdp")
int bounce(struct xdp_md *ctx)
{
	__u8 *f = (void *)(long)ctx->data;
	__u8 mac[12];
	__u32 to;

	if (f + 34 > (__u8 *)(long)ctx->data_end)
		return XDP_DROP;
	__builtin_memcpy(mac, f, 12);
	__builtin_memcpy(f, mac + 6, 6);
	__builtin_memcpy(f + 6, mac, 6);
	__builtin_memcpy(&to, f + 30, 4);
	__builtin_memcpy(f + 30, f + 26, 4);
	__builtin_memcpy(f + 26, &to, 4);
	return XDP_TX;
}

static __always_inline bool for_ghost(const __u8 *f, const __u8 *end)
{
	__u32 to, zero = 0;
	__u64 *count;

	if (f + 34 > end || f[12] != 8 || f[13] != 0)
		return false;
	__builtin_memcpy(&to, f + 30, 4);
	if ((to & ghost_mask) != ghost_net)
		return false;
	count = bpf_map_lookup_elem(&vanished, &zero);
	if (count)
		++*count;
	return true;
}

/* At the far end of the cable. */
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	return for_ghost((void *)(long)ctx->data, (void *)(long)ctx->data_end) ? XDP_DROP : XDP_PASS;
}

/* At the near end, before the cable. */
SEC("tc")
int cut(struct __sk_buff *skb)
{
	return for_ghost((void *)(long)skb->data, (void *)(long)skb->data_end) ? 2 /* TC_ACT_SHOT */ : -1;
}

char _license[] SEC("license") = "GPL";
