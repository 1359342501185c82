/* SPDX-License-Identifier: GPL-2.0-only */
/* SYN cookies of the kernel's own making: its listener makes and checks the number, so the last ACK opens the connection
 * without a proxy in between. What the SYN-ACK says follows net/ipv4/syncookies.c. */
#ifndef SYNWAVE_COOKIE_H
#define SYNWAVE_COOKIE_H

#include "guard.h"
#include "kernel.h"
#include "uapi.h"

/* Frozen before the load: no kernel without the helpers ever sees them. */
const volatile bool have_cookies = true;
/* The hook's frames may carry checksums that somebody else still has to finish (CHECKSUM_PARTIAL). */
const volatile bool partial_sums = false;

enum option_kind { OPT_NOP = 1, OPT_MSS = 2, OPT_WSCALE = 3, OPT_SACK = 4, OPT_TS = 8 };
/* The timestamp's low bits (TSBITS, TS_OPT_*) */
#define TS_BITS        6
#define TS_NO_WSCALE   0xf
#define TS_SACK        0x10
#define MS_NS          1000000
#define MAX_WSCALE     14
#define RCVBUF_LOCK    2 /* SOCK_RCVBUF_LOCK */
#define MIN_MSS        536
#define DEFAULT_WINDOW 65535

static __always_inline void cookie_tuple(const struct sw_packet *p, struct bpf_sock_tuple *t)
{
	u32 from = p->from & 1;

	if (p->v6) {
		__builtin_memcpy(t->ipv6.saddr, from ? p->key.addr[1] : p->key.addr[0], 16);
		__builtin_memcpy(t->ipv6.daddr, from ? p->key.addr[0] : p->key.addr[1], 16);
		t->ipv6.sport = bpf_htons(from ? p->key.port[1] : p->key.port[0]);
		t->ipv6.dport = bpf_htons(from ? p->key.port[0] : p->key.port[1]);
	} else {
		t->ipv4.saddr = from ? p->key.addr[1][3] : p->key.addr[0][3];
		t->ipv4.daddr = from ? p->key.addr[0][3] : p->key.addr[1][3];
		t->ipv4.sport = bpf_htons(from ? p->key.port[1] : p->key.port[0]);
		t->ipv4.dport = bpf_htons(from ? p->key.port[0] : p->key.port[1]);
	}
}

/* The socket that the kernel would give this segment to; to be released. */
static __always_inline struct bpf_sock *cookie_socket(void *ctx, const struct sw_packet *p)
{
	struct bpf_sock_tuple t = {};

	cookie_tuple(p, &t);
	return bpf_skc_lookup_tcp(ctx, &t, p->v6 ? sizeof(t.ipv6) : sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* net.ipv4.tcp_syncookies of the listener's namespace; 1 where this kernel does not let us look. */
static __always_inline u32 cookie_sysctl(struct tcp_sock___sw *tp)
{
	struct net___sw *net;

	if (!tp || !bpf_core_field_exists(struct net___sw, ipv4.sysctl_tcp_syncookies))
		return 1;
	net = listener_net(tp);
	return net->ipv4.sysctl_tcp_syncookies;
}

/* What the kernel would answer a SYN with now: would it be a cookie? (tcp_get_syncookie_mss) */
static __always_inline u32 cookie_willing(struct tcp_sock___sw *tp)
{
	u32 sysctl = cookie_sysctl(tp);

	if (!sysctl)
		return SW_V_DROP_NO_COOKIE;
	if (sysctl == 2 || !tp ||
	    !bpf_core_field_exists(struct tcp_sock___sw, inet_conn.icsk_accept_queue.qlen.counter))
		return SW_V_CHALLENGE_SERVICE;
	return tp->inet_conn.icsk_accept_queue.qlen.counter >= (s32)listener_sock(tp)->sk_max_ack_backlog
		       ? SW_V_CHALLENGE_SERVICE
		       : SW_V_PASS_KERNEL;
}

/* Which options the connection keeps: those that the kernel finds again in the echoed timestamp. It can read it only
 * without its secret offset (tcp_timestamps=2), and our window scale must be the one that it will compute. */
static __always_inline void cookie_carry(struct reply *r, const struct sw_packet *p, struct tcp_sock___sw *tp,
					 u32 rmem_max)
{
	struct net___sw *net;

	r->options = 0;
	r->wscale = SW_WSCALE_NONE;
	if (!tp || !(p->options & SW_E_TS) || !bpf_core_field_exists(struct net___sw, ipv4.sysctl_tcp_timestamps))
		return;
	net = listener_net(tp);
	if (net->ipv4.sysctl_tcp_timestamps != 2)
		return;
	r->options = SW_E_TS;
	if (p->options & SW_E_SACK && net->ipv4.sysctl_tcp_sack)
		r->options |= SW_E_SACK;
	if (p->wscale == SW_WSCALE_NONE || !net->ipv4.sysctl_tcp_window_scaling || tp->window_clamp ||
	    listener_locks(tp) & RCVBUF_LOCK)
		return;
	u32 space = net->ipv4.sysctl_tcp_rmem[2], scale = 0; /* tcp_select_initial_window */
	space = space > rmem_max ? space : rmem_max;
	SW_UNROLL
	for (u32 i = 1; i <= MAX_WSCALE; i++)
		scale += space >> (15 + i) != 0;
	r->wscale = scale;
}

static __always_inline u32 put_options(u8 *o, const struct reply *r, const struct sw_packet *p, u64 now_ns)
{
	u32 ts = now_ns / MS_NS, low = 0, at = 4, wscale = p->wscale < MAX_WSCALE ? p->wscale : MAX_WSCALE;

	o[0] = OPT_MSS;
	o[1] = 4;
	o[2] = r->mss >> 8;
	o[3] = r->mss;
	if (!(r->options & SW_E_TS))
		return at;
	low = r->wscale == SW_WSCALE_NONE ? TS_NO_WSCALE : wscale;
	low |= r->options & SW_E_SACK ? TS_SACK : 0;
	u32 stamp = (ts >> TS_BITS << TS_BITS) | low; /* cookie_init_timestamp */
	stamp = (s32)(stamp - ts) > 0 ? stamp - (1 << TS_BITS) : stamp;
	o[4] = r->options & SW_E_SACK ? OPT_SACK : OPT_NOP;
	o[5] = r->options & SW_E_SACK ? 2 : OPT_NOP;
	o[6] = OPT_TS;
	o[7] = 10;
	o[8] = stamp >> 24;
	o[9] = stamp >> 16;
	o[10] = stamp >> 8;
	o[11] = stamp;
	o[12] = p->tsval >> 24;
	o[13] = p->tsval >> 16;
	o[14] = p->tsval >> 8;
	o[15] = p->tsval;
	o[16] = OPT_NOP;
	o[17] = r->wscale == SW_WSCALE_NONE ? OPT_NOP : OPT_WSCALE;
	o[18] = r->wscale == SW_WSCALE_NONE ? OPT_NOP : 3;
	o[19] = r->wscale == SW_WSCALE_NONE ? OPT_NOP : r->wscale;
	return 20;
}

static __always_inline u16 fold(u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum;
}

/* Of halves of words in network order, as they lie in memory. */
static __always_inline u64 pseudo_sum(const struct sw_packet *p, u32 tcp_size)
{
	u64 sum = bpf_htonl(6) + (u64)bpf_htonl(tcp_size);

	if (!p->v6)
		return sum + p->key.addr[0][3] + p->key.addr[1][3];
	SW_UNROLL
	for (int i = 0; i < 4; i++)
		sum += (u64)p->key.addr[0][i] + p->key.addr[1][i];
	return sum;
}

static __always_inline void put16(u8 *to, u32 host)
{
	to[0] = host >> 8;
	to[1] = host;
}

static __always_inline void put_ip4(u8 *ip, const struct sw_packet *p, u32 total)
{
	__builtin_memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, total);
	ip[6] = 0x40; /* DF */
	ip[8] = 64;
	ip[9] = 6;
	__builtin_memcpy(ip + 12, p->from ? &p->key.addr[0][3] : &p->key.addr[1][3], 4);
	__builtin_memcpy(ip + 16, p->from ? &p->key.addr[1][3] : &p->key.addr[0][3], 4);
	u16 check = ~fold((u32)bpf_csum_diff(NULL, 0, (__be32 *)ip, 20, 0));
	__builtin_memcpy(ip + 10, &check, 2);
}

static __always_inline void put_ip6(u8 *ip, const struct sw_packet *p, u32 payload)
{
	__builtin_memset(ip, 0, 8);
	ip[0] = 0x60;
	put16(ip + 4, payload);
	ip[6] = 6;
	ip[7] = 64;
	__builtin_memcpy(ip + 8, p->from ? p->key.addr[0] : p->key.addr[1], 16);
	__builtin_memcpy(ip + 24, p->from ? p->key.addr[1] : p->key.addr[0], 16);
}

static __always_inline void put_tcp(u8 *tcp, const struct reply *r, const struct sw_packet *p, u32 cookie, u32 size)
{
	__be32 seq = bpf_htonl(cookie), ack = bpf_htonl(p->seq + 1);

	__builtin_memcpy(tcp, r->tcp + 2, 2);
	__builtin_memcpy(tcp + 2, r->tcp, 2);
	__builtin_memcpy(tcp + 4, &seq, 4);
	__builtin_memcpy(tcp + 8, &ack, 4);
	tcp[12] = size / 4 << 4;
	tcp[13] = SW_TCP_SYN | SW_TCP_ACK;
	put16(tcp + 14, DEFAULT_WINDOW);
	__builtin_memset(tcp + 16, 0, 4);
}

/* The SYN's own checksum tells whether it is still to be finished: then it holds the pseudo header's sum alone. */
static __always_inline bool is_partial(const struct reply *r, const struct sw_packet *p)
{
	u16 check;

	if (!partial_sums)
		return false;
	__builtin_memcpy(&check, r->tcp + 16, 2);
	return check == fold(pseudo_sum(p, r->tcp_size + p->len));
}

/* The whole SYN-ACK, from the IP header on, into r->out. */
static __always_inline void cookie_answer(struct reply *r, const struct sw_packet *p, u32 cookie, u64 now)
{
	bool partial = is_partial(r, p);
	u16 check;

	if (p->v6) {
		u32 size = 20 + put_options(r->out + 60, r, p, now);
		put_tcp(r->out + 40, r, p, cookie, size);
		put_ip6(r->out, p, size);
		u64 sum = pseudo_sum(p, size);
		if (!partial)
			sum += size == 24 ? (u32)bpf_csum_diff(NULL, 0, (__be32 *)(r->out + 40), 24, 0)
					  : (u32)bpf_csum_diff(NULL, 0, (__be32 *)(r->out + 40), 40, 0);
		check = partial ? fold(sum) : (u16)~fold(sum);
		__builtin_memcpy(r->out + 56, &check, 2);
		r->out_size = 40 + size;
	} else {
		u32 size = 20 + put_options(r->out + 40, r, p, now);
		put_tcp(r->out + 20, r, p, cookie, size);
		put_ip4(r->out, p, 20 + size);
		u64 sum = pseudo_sum(p, size);
		if (!partial)
			sum += size == 24 ? (u32)bpf_csum_diff(NULL, 0, (__be32 *)(r->out + 20), 24, 0)
					  : (u32)bpf_csum_diff(NULL, 0, (__be32 *)(r->out + 20), 40, 0);
		check = partial ? fold(sum) : (u16)~fold(sum);
		__builtin_memcpy(r->out + 36, &check, 2);
		r->out_size = 20 + size;
	}
}

/* Listener -> cookie -> answer in w->reply; what became of it. `dry`: look only, the helper leaves a mark on the
 * listener. w->reply.ip and .tcp hold the SYN's headers, .mss what this link takes. */
static __always_inline u32 cookie_make(void *ctx, struct scratch *w, bool dry, u32 rmem_max, u64 now)
{
	const struct sw_packet *p = &w->packet;
	struct reply *r = &w->reply;
	struct bpf_sock *sk = cookie_socket(ctx, p);
	u32 verdict = SW_V_PASS_NO_LISTENER;
	s64 made;

	if (!sk)
		return verdict;
	verdict = SW_V_PASS_KERNEL;
	if (sk->state != BPF_TCP_LISTEN)
		goto out; /* it knows this connection, and judges the SYN better than we do */
	struct tcp_sock___sw *tp = (void *)bpf_skc_to_tcp_sock(sk);
	verdict = cookie_willing(tp);
	if (verdict != SW_V_CHALLENGE_SERVICE || dry)
		goto out;
	u32 size = r->tcp_size;
	SW_OPAQUE(size);
	if (size < 20 || size > 60)
		goto out;
	made = bpf_tcp_gen_syncookie(sk, r->ip, p->v6 ? 40 : 20, (struct tcphdr *)r->tcp, size);
	verdict = made == -ENOENT ? SW_V_PASS_KERNEL : SW_V_DROP_NO_COOKIE;
	if (made < 0)
		goto out;
	cookie_carry(r, p, tp, rmem_max);
	if (tp && tp->rx_opt.user_mss && tp->rx_opt.user_mss < r->mss)
		r->mss = tp->rx_opt.user_mss;
	cookie_answer(r, p, (u32)made, now);
	verdict = SW_V_CHALLENGE_SERVICE;
out:
	bpf_sk_release(sk);
	return verdict;
}

/* The last ACK: does it bring a cookie that the listener would take? 1 yes, 0 no, -1 not for us to say. */
static __always_inline int cookie_check(void *ctx, struct scratch *w)
{
	struct reply *r = &w->reply;
	struct bpf_sock *sk = cookie_socket(ctx, &w->packet);
	int ret = -1;

	if (!sk)
		return ret;
	if (sk->state == BPF_TCP_LISTEN)
		ret = !bpf_tcp_check_syncookie(sk, r->ip, w->packet.v6 ? 40 : 20, (struct tcphdr *)r->tcp, 20);
	bpf_sk_release(sk);
	return ret;
}

#endif
