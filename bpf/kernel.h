/* SPDX-License-Identifier: GPL-2.0-only */
/* What is read of a listening socket, found by BTF at load (CO-RE): only the fields in use, in the kernel's words. */
#ifndef SYNWAVE_KERNEL_H
#define SYNWAVE_KERNEL_H

#include "synwave/types.h"

#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct netns_ipv4___sw {
	u8 sysctl_tcp_syncookies;
	u8 sysctl_tcp_timestamps;
	u8 sysctl_tcp_sack;
};
struct net___sw {
	struct netns_ipv4___sw ipv4;
};
struct possible_net___sw {
	struct net___sw *net;
};
struct sock_common___sw {
	struct possible_net___sw skc_net;
};
struct sock___sw {
	struct sock_common___sw __sk_common;
	u32 sk_max_ack_backlog;
};
struct inet_sock___sw {
	struct sock___sw sk;
};
struct atomic___sw {
	int counter;
};
struct request_sock_queue___sw {
	struct atomic___sw qlen;
};
struct inet_connection_sock___sw {
	struct inet_sock___sw icsk_inet;
	struct request_sock_queue___sw icsk_accept_queue;
};
struct tcp_options_received___sw {
	u16 user_mss;
};
struct tcp_sock___sw {
	struct inet_connection_sock___sw inet_conn;
	struct tcp_options_received___sw rx_opt;
	void *md5sig_info; /* the listener has keys for TCP-MD5 ... */
	void *ao_info; /* ... or TCP-AO (from 6.7) */
};

#pragma clang attribute pop

static __always_inline struct sock___sw *listener_sock(struct tcp_sock___sw *tp)
{
	return &tp->inet_conn.icsk_inet.sk;
}

static __always_inline struct net___sw *listener_net(struct tcp_sock___sw *tp)
{
	return tp->inet_conn.icsk_inet.sk.__sk_common.skc_net.net;
}

#endif
