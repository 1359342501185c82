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

enum option_kind { OPT_NOP = 1, OPT_MSS = 2, OPT_SACK = 4, OPT_TS = 8 };
/* The timestamp's low bits (TSBITS, TS_OPT_*) */
#define TS_BITS        6
#define TS_NO_WSCALE   0xf
#define TS_SACK        0x10
#define MS_NS          1000000
#define MIN_MSS        536
#define DEFAULT_WINDOW 65535
/* The answer's TCP header: with MSS and timestamps, with the MSS, or none. */
#define SIZE_STAMPS 36
#define SIZE_MSS    24
#define SIZE_BARE   20

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

/* Has the listener keys (TCP-MD5, TCP-AO)? Then only the kernel can sign the answer to a signed SYN. Where it does not let us
 * see the keys, each signed SYN is left to it. */
static __always_inline bool listener_signs(struct tcp_sock___sw *tp)
{
	bool md5 = bpf_core_field_exists(struct tcp_sock___sw, md5sig_info);
	bool ao = bpf_core_field_exists(struct tcp_sock___sw, ao_info);

	return !tp || !(md5 | ao) || (md5 && tp->md5sig_info) || (ao && tp->ao_info);
}

/* The kernel finds options again in the echoed timestamp, which it can read only without its secret offset
 * (tcp_timestamps=2). */
static __always_inline bool listener_carries(struct tcp_sock___sw *tp)
{
	return tp && bpf_core_field_exists(struct net___sw, ipv4.sysctl_tcp_timestamps) &&
	       listener_net(tp)->ipv4.sysctl_tcp_timestamps == 2;
}

/* `kept`: the answer goes into a frame that keeps its length. Then a short SYN has no room for each TCP header. */
static __always_inline bool has_room(const struct reply *r, const struct sw_packet *p, bool kept, u32 tcp_size)
{
	return !kept || (p->v6 ? 40 : 20) + tcp_size <= r->room;
}

/* Which options the connection keeps. No window scale: the kernel works it out again when the last ACK comes, from the route's
 * metrics and net.core.rmem_max of that moment, and a client that was told another would misread each window. */
static __always_inline void cookie_carry(struct reply *r, const struct sw_packet *p, bool kept,
					 struct tcp_sock___sw *tp)
{
	r->options = 0;
	if (!listener_carries(tp) || !(p->options & SW_E_TS) || !has_room(r, p, kept, SIZE_STAMPS))
		return;
	r->options = SW_E_TS;
	if (p->options & SW_E_SACK && listener_net(tp)->ipv4.sysctl_tcp_sack)
		r->options |= SW_E_SACK;
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

/* What the SYN-ACK is made of: words as they lie in the frame, so that none is read back in another size than it was
 * written in, for which a CPU has to wait. Each returns its sum. */
static __always_inline u64 put(u32 *to, u32 words, const u32 *from)
{
	u64 sum = 0;

	SW_UNROLL
	for (u32 i = 0; i < words; i++) {
		to[i] = from[i];
		sum += from[i];
	}
	return sum;
}

/* A peer with TTL security (RFC 5082) sends 255 and takes nothing less. */
static __always_inline u32 answer_ttl(const struct sw_packet *p)
{
	return p->ttl == 255 ? 255 : 64;
}

static __always_inline void put_ip4(u32 *ip, const struct sw_packet *p, u32 total)
{
	u32 from = p->from & 1;
	u32 word[5] = {bpf_htonl(0x45000000 | total), bpf_htonl(0x4000 /* DF */),
		       bpf_htonl(answer_ttl(p) << 24 | 6 << 16), from ? p->key.addr[0][3] : p->key.addr[1][3],
		       from ? p->key.addr[1][3] : p->key.addr[0][3]};

	u16 check = ~fold(put(ip, 5, word));
	ip[2] = word[2] | (u32)check << 16;
}

static __always_inline void put_ip6(u32 *ip, const struct sw_packet *p, u32 payload)
{
	const u32 word[2] = {bpf_htonl(0x60000000), bpf_htonl(payload << 16 | 6 << 8 | answer_ttl(p))};

	put(ip, 2, word);
	put(ip + 2, 4, p->from ? p->key.addr[0] : p->key.addr[1]);
	put(ip + 6, 4, p->from ? p->key.addr[1] : p->key.addr[0]);
}

/* Behind the header: MSS, and what the timestamp carries. */
static __always_inline u64 put_options(u32 *o, const struct reply *r, const struct sw_packet *p, u64 now_ns)
{
	u32 ts = now_ns / MS_NS, sack = r->options & SW_E_SACK, low = TS_NO_WSCALE | (sack ? TS_SACK : 0);
	u32 word[4] = {bpf_htonl(OPT_MSS << 24 | 4 << 16 | r->mss)};

	if (!(r->options & SW_E_TS))
		return put(o, 1, word);
	u32 stamp = (ts >> TS_BITS << TS_BITS) | low; /* cookie_init_timestamp */
	stamp = (s32)(stamp - ts) > 0 ? stamp - (1 << TS_BITS) : stamp;
	word[1] = bpf_htonl((sack ? OPT_SACK << 24 | 2 << 16 : OPT_NOP << 24 | OPT_NOP << 16) | OPT_TS << 8 | 10);
	word[2] = bpf_htonl(stamp);
	word[3] = bpf_htonl(p->tsval);
	return put(o, 4, word);
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
static __always_inline void cookie_answer(struct reply *r, const struct sw_packet *p, bool kept, u32 cookie, u64 now)
{
	bool bare = !has_room(r, p, kept, SIZE_MSS);
	u32 *out = (u32 *)r->out, size = r->options & SW_E_TS ? SIZE_STAMPS : bare ? SIZE_BARE : SIZE_MSS;
	u32 ports = *(u32 *)r->tcp;
	u32 *tcp = p->v6 ? out + 10 : out + 5;
	u32 word[5] = {ports << 16 | ports >> 16, bpf_htonl(cookie), bpf_htonl(p->seq + 1),
		       bpf_htonl(size << 26 | (SW_TCP_SYN | SW_TCP_ACK) << 16 | DEFAULT_WINDOW), 0};
	u64 sum = pseudo_sum(p, size);

	if (p->v6)
		put_ip6(out, p, size);
	else
		put_ip4(out, p, 20 + size);
	if (is_partial(r, p)) {
		word[4] = fold(sum);
		put(tcp, 5, word);
		if (!bare)
			put_options(tcp + 5, r, p, now);
	} else {
		sum += put(tcp, 5, word) + (bare ? 0 : put_options(tcp + 5, r, p, now));
		tcp[4] = (u16)~fold(sum);
	}
	r->out_size = (p->v6 ? 40 : 20) + size;
}

/* The options of the SYN whose headers are in w->reply. To the verifier a function of its own: it follows the walk once. */
__attribute__((noinline)) int reply_options(void)
{
	struct scratch *w = workplace();

	if (w && w->packet.options_size && !w->packet.options_done)
		sw_parse_options(w->reply.tcp + 20, &w->packet);
	return 0;
}

/* Listener -> cookie -> answer in w->reply; what became of it. `dry`: look only, the helper leaves a mark on the
 * listener. w->reply.ip and .tcp hold the SYN's headers, .mss what this link takes, .room if the frame's length is kept. */
static __always_inline u32 cookie_make(void *ctx, struct scratch *w, bool kept, bool dry, u64 now)
{
	struct sw_packet *p = &w->packet;
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
	bool signs = listener_signs(tp);
	if (signs || listener_carries(tp)) /* 20 ns that most listeners have no use for */
		reply_options();
	verdict = signs && p->has_auth ? SW_V_PASS_SIGNED : cookie_willing(tp);
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
	cookie_carry(r, p, kept, tp);
	if (tp && tp->rx_opt.user_mss && tp->rx_opt.user_mss < r->mss)
		r->mss = tp->rx_opt.user_mss;
	cookie_answer(r, p, kept, (u32)made, now);
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
