// SPDX-License-Identifier: GPL-2.0-only
/* Gives each frame another client address and hands it to the program that an interface has, which BPF_PROG_TEST_RUN
 * alone cannot. */
#include <stdbool.h>

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

__u32 addr_at; /* the last four bytes of the client's address */
__u32 hosts; /* a power of two */
__u32 first; /* host order: that address and so many more, in an order without rhyme */
__u32 turn;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} attached SEC(".maps");

SEC("xdp.frags")
int fill(struct xdp_md *ctx)
{
	__u32 n = (__sync_fetch_and_add(&turn, 1) * 0x9e3779b1u) & (hosts - 1), at = addr_at & 63;
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + at + 4 > end)
		return XDP_ABORTED;
	*(__be32 *)(data + at) = bpf_htonl(first + n);
	bpf_tail_call(ctx, &attached, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "GPL";
