// SPDX-License-Identifier: GPL-2.0-only
/* Varies the frame before each run of the program under test, which BPF_PROG_TEST_RUN alone cannot; and the references
 * that its cost is compared with. */
#include <stdbool.h>

#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

const volatile __u32 hosts = 1; /* source addresses: 10.0.0.0 + random below this */
const volatile bool call = false; /* the program under test, through the array */
const volatile __u32 reference = 0; /* 1: insert into LRU_HASH, 2: look up in HASH */

struct key {
	__u32 word[9];
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct key);
	__type(value, __u64[8]);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__type(key, struct key);
	__type(value, __u64[8]);
} hash SEC(".maps");

SEC("xdp.frags")
int driver(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 n = ((__u64)bpf_get_prandom_u32() * hosts) >> 32, addr = bpf_htonl(0x0a000000 + n);

	if (data + 60 > end)
		return XDP_ABORTED;
	__builtin_memcpy(data + 26, &addr, 4);
	if (call)
		bpf_tail_call(ctx, &under_test, 0);
	struct key k = {.word = {addr, 1, 2, 3}};
	__u64 value[8] = {n};
	if (reference == 1)
		bpf_map_update_elem(&lru, &k, value, 0);
	if (reference == 2 && bpf_map_lookup_elem(&hash, &k))
		return XDP_DROP;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
