/* SPDX-License-Identifier: GPL-2.0-only */
/* Constants of the kernel's UAPI that BTF does not carry by name (macros, anonymous enums). */
#ifndef SYNWAVE_UAPI_H
#define SYNWAVE_UAPI_H

#define TC_ACT_UNSPEC       (-1) /* linux/pkt_cls.h; TCX_NEXT */
#define TC_ACT_SHOT         2
#define BPF_NOEXIST         1 /* linux/bpf.h */
#define BPF_F_NO_PREALLOC   1U
#define BPF_F_CURRENT_NETNS (-1L)
#define BPF_TCP_LISTEN      10
#define SOCK_STREAM         1 /* linux/net.h */
#define IPPROTO_TCP         6 /* linux/in.h */
#define PACKET_HOST         0 /* linux/if_packet.h */
#define ENOENT              2 /* asm-generic/errno-base.h */
#define BPF_F_MMAPABLE      (1U << 10)

/* enum of linux/bpf.h (BPF_TCP_*): ESTABLISHED 1, FIN_WAIT1 4, FIN_WAIT2 5, CLOSE_WAIT 8, LAST_ACK 9, CLOSING 11 */
#define SOCKET_PAST_HANDSHAKE (1u << 1 | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 11)

/* struct bpf_fib_lookup of linux/bpf.h, whose later members older kernels do not name. Addresses: network order. */
struct fib_lookup {
	u8 family;
	u8 l4_protocol;
	u16 sport, dport, tot_len;
	u32 ifindex;
	u32 tos;
	u32 src[4];
	u32 dst[4];
	u8 more[16];
};
_Static_assert(sizeof(struct fib_lookup) == 64, "struct bpf_fib_lookup");
#define AF_INET  2 /* linux/socket.h */
#define AF_INET6 10
/* Results that mean "another host's": SUCCESS 0, UNSUPP_LWT 6, NO_NEIGH 7, FRAG_NEEDED 8 */
#define FIB_FORWARDED (1u << 0 | 1u << 6 | 1u << 7 | 1u << 8)

#endif
