// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* SYNs of every shape that the guard challenges, and its answers judged byte by byte: a real listener in a network
 * namespace of its own, the programs by BPF_PROG_TEST_RUN. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../frames.h"
#include "../guards.h"
#include "conf.h"
#include "guard_store.h"
#include "prog.h"
#include "synwave.skel.h"

#define XDP_TX_      3
#define XDP_PASS_    2
#define TC_REDIRECT_ 7
#define PORT         80
#define MTU          1400

/* A SYN's shape. */
struct shape {
	bool v6, l3, df;
	u8 tags; /* VLAN tags, 802.1ad outermost */
	u8 ip_words; /* of IPv4 options */
	u8 exts; /* IPv6 extension headers of 8 bytes */
	u8 tcp_options; /* bytes, a multiple of 4 */
	u8 data; /* bytes of payload */
	u8 pad; /* Ethernet padding */
	u8 ttl; /* 0: 61 */
	bool sign; /* a SYN with a TCP-MD5 option */
};

struct bytes {
	u8 at[256];
	u32 len;
};

static void put(struct bytes *b, const void *from, u32 n)
{
	memcpy(b->at + b->len, from, n);
	b->len += n;
}

static void be(struct bytes *b, u64 v, int n)
{
	while (n--)
		b->at[b->len++] = v >> (8 * n);
}

static u32 sum16(const u8 *p, u32 n, u32 sum)
{
	for (u32 i = 0; i < n; i++)
		sum += i & 1 ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Over the pseudo header too; 0xffff when it is right. */
static u32 tcp_sum(bool v6, const u8 *ip, const u8 *tcp, u32 size)
{
	return sum16(tcp, size, sum16(ip + (v6 ? 8 : 12), v6 ? 32 : 8, 6 + size));
}

static void ip_header(struct bytes *b, const struct shape *s, u32 payload, u32 client)
{
	static const u8 net6[14] = {0x20, 1, 0x0d, 0xb8};
	u32 at = b->len;

	if (s->v6) {
		be(b, 0x60000000, 4);
		be(b, payload + 8 * s->exts, 2);
		be(b, s->exts ? 60 : 6, 1);
		be(b, s->ttl ? s->ttl : 61, 1);
		put(b, net6, 6); /* a /64 of its own: it is verified as a whole */
		be(b, client, 2);
		put(b, net6 + 6, 8);
		put(b, net6, 14);
		be(b, 0xffff, 2);
		for (int i = 0; i < s->exts; i++) {
			be(b, i + 1 < s->exts ? 60 : 6, 1);
			be(b, 0, 1);
			put(b, "\1\4\0\0\0\0", 6); /* PadN */
		}
		return;
	}
	be(b, 0x45 + s->ip_words, 1);
	be(b, 0x28, 1);
	be(b, 20 + 4 * s->ip_words + payload, 2);
	be(b, 0x1234, 2);
	be(b, s->df ? 0x4000 : 0, 2);
	be(b, s->ttl ? s->ttl : 61, 1);
	be(b, 6, 1);
	be(b, 0, 2);
	be(b, 0x0a010000 + client, 4);
	be(b, 0xc0000202, 4);
	for (int i = 0; i < s->ip_words; i++)
		be(b, 0x01010101, 4);
	u32 sum = ~sum16(b->at + at, b->len - at, 0);
	b->at[at + 10] = sum >> 8;
	b->at[at + 11] = sum;
}

/* seq of the SYN is 1000; ack 0: a SYN, else the last ACK. */
static void build(struct bytes *b, const struct shape *s, u32 client, u32 ack)
{
	static const u8 options[40] = {2, 4, 5, 0x64, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 1, 3, 3, 9};
	u32 n = ack ? 0 : s->tcp_options, data = ack ? 0 : s->data, at;
	u32 type = s->v6 ? 0x86dd : 0x0800, ip;

	b->len = 0;
	if (!s->l3) {
		put(b, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
		be(b, s->tags > 1 ? 0x88a8 : s->tags ? 0x8100 : type, 2);
		for (int i = 0; i < s->tags; i++) {
			be(b, 100 + i, 2);
			be(b, i + 1 < s->tags ? 0x8100 : type, 2);
		}
	}
	ip = b->len;
	ip_header(b, s, 20 + n + data, client);
	at = b->len;
	be(b, 40000, 2);
	be(b, PORT, 2);
	be(b, ack ? 1001 : 1000, 4);
	be(b, ack, 4);
	be(b, (5 + n / 4) << 4, 1);
	be(b, ack ? SW_TCP_ACK : SW_TCP_SYN, 1);
	be(b, 64240, 2);
	be(b, 0, 4);
	/* 4 bytes are the MSS, 20 all that Linux sends; what is more is NOPs */
	put(b, options, n < 20 ? n : 20);
	for (u32 i = 20; i < n; i++)
		be(b, 1, 1);
	if (s->sign && n == 40)
		memcpy(b->at + b->len - 20, "\x13\x12", 2); /* kind 19, 18 bytes */
	for (u32 i = 0; i < data; i++)
		be(b, 'x', 1);
	u32 sum = ~tcp_sum(s->v6, b->at + ip, b->at + at, b->len - at);
	b->at[at + 16] = sum >> 8;
	b->at[at + 17] = sum;
	for (u32 i = 0; i < s->pad; i++)
		be(b, 0, 1);
}

static int run(int fd, const struct bytes *in, struct bytes *out)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in->at, .data_size_in = in->len, .data_out = out->at,
		    .data_size_out = sizeof(out->at));
	int err = bpf_prog_test_run_opts(fd, &opts);

	out->len = opts.data_size_out;
	return err ? err : (int)opts.retval;
}

struct hook {
	const char *name;
	struct bpf_program *prog;
	int sent, passed;
	bool l3, kept; /* kept: the frame's length is */
	bool cleared; /* ... and what is behind the answer is zeros */
};

/* What is wrong with the answer; NULL: nothing. *cookie: its sequence number. */
static const char *fault(const struct hook *h, const struct shape *s, const struct bytes *in, const struct bytes *out,
			 bool stamps, u32 *cookie)
{
	u32 l2 = s->l3 ? 0 : 14 + 4 * s->tags, head = s->v6 ? 40 : 20, mss = MTU - head - 20, size;
	u32 room = h->kept ? in->len - l2 - head : 60;
	bool carried = stamps && s->tcp_options >= 16 && room >= 36;
	const u8 *ip = out->at + l2, *tcp = ip + head, *syn = in->at + l2;

	size = carried ? 36 : room >= 24 ? 24 : 20;
	if (out->len != (h->kept ? in->len : l2 + head + size))
		return "its length";
	for (u32 i = l2 + head + size; h->cleared && i < out->len; i++)
		if (out->at[i])
			return "what is behind it";
	if (!s->l3 && (memcmp(out->at, in->at + 6, 6) || memcmp(out->at + 6, in->at, 6) ||
		       memcmp(out->at + 12, in->at + 12, l2 - 12)))
		return "its Ethernet header";
	if (s->v6 ? memcmp(ip + 8, syn + 24, 16) || memcmp(ip + 24, syn + 8, 16)
		  : memcmp(ip + 12, syn + 16, 4) || memcmp(ip + 16, syn + 12, 4))
		return "its addresses";
	if (s->v6 ? ip[0] != 0x60 || ip[6] != 6 || ip[4] << 8 != 0 || ip[5] != size
		  : ip[0] != 0x45 || ip[9] != 6 || ip[3] != 20 + size || sum16(ip, 20, 0) != 0xffff || ip[6] != 0x40)
		return "its IP header";
	if (tcp_sum(s->v6, ip, tcp, size) != 0xffff)
		return "its checksum";
	if (memcmp(tcp, "\0\x50\x9c\x40", 4) || tcp[13] != 0x12 || tcp[12] >> 4 != size / 4 ||
	    memcmp(tcp + 8, "\0\0\x03\xe9", 4))
		return "its TCP header";
	if (size > 20 && (tcp[20] != 2 || tcp[21] != 4 || (u32)(tcp[22] << 8 | tcp[23]) != mss))
		return "its MSS";
	/* SACK, timestamps that echo ours and say "SACK, no window scale" */
	if (carried && (memcmp(tcp + 24, "\4\2\x08\x0a", 4) || (tcp[31] & 0x3f) != 0x1f ||
			memcmp(tcp + 32, "\x11\x22\x33\x44", 4)))
		return "its options";
	if (ip[s->v6 ? 7 : 8] != (s->ttl == 255 ? 255 : 64))
		return "its TTL";
	*cookie = (u32)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7];
	return NULL;
}

static bool write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	return out && fputs(text, out) >= 0 && !fclose(out);
}

static int listen_here(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	struct ifreq ifr = {.ifr_name = "lo", .ifr_mtu = MTU};
	int s = socket(AF_INET6, SOCK_STREAM, 0);

	ioctl(s, SIOCSIFMTU, &ifr);
	ifr.ifr_flags = IFF_UP;
	ioctl(s, SIOCSIFFLAGS, &ifr);
	return s < 0 || bind(s, (struct sockaddr *)&any, sizeof(any)) || listen(s, 128) ? -1 : s;
}

static void guard_all(struct synwave_bpf *skel, const char *yaml)
{
	struct store s = {.dir = "test"};
	char why[RULESET_WHY];
	struct ruleset rs;

#define FD_(field, name) s.fd.field = bpf_map__fd(skel->maps.field);
	STORE_MAPS(FD_)
#undef FD_
	if (load_text(&rs, yaml, why) || guard_write(&s, &rs))
		abort();
	ruleset_free(&rs);
}

/* One SYN and the ACK of its answer. */
static const char *converse(struct synwave_bpf *skel, const struct hook *h, const struct shape *s, u32 client,
			    bool stamps)
{
	int fd = bpf_program__fd(h->prog);
	struct sw_stats before, after;
	struct bytes in, out;
	const char *wrong;
	u32 cookie;

	prog_wipe(skel); /* no other connection, so no tag that looks like ours */
	build(&in, s, client, 0);
	if (run(fd, &in, &out) != h->sent)
		return "not challenged";
	wrong = fault(h, s, &in, &out, stamps, &cookie);
	if (wrong)
		return wrong;
	prog_stats(skel, &before);
	build(&in, s, client, cookie + 1);
	if (run(fd, &in, &out) != h->passed || out.len != in.len || memcmp(in.at, out.at, in.len))
		return "the last ACK did not pass";
	prog_stats(skel, &after);
	if (after.cookie[SW_COOKIE_VALID] != before.cookie[SW_COOKIE_VALID] + 1 ||
	    after.event[SW_EV_COOKIE] != before.event[SW_EV_COOKIE] + 1)
		return "the last ACK opened no connection";
	prog_wipe(skel); /* nor one that looks like the stranger's */
	prog_stats(skel, &after);
	build(&in, s, client + 0x1000, cookie + 2);
	if (run(fd, &in, &out) != h->passed)
		return "a wrong ACK did not pass";
	prog_stats(skel, &before);
	return before.cookie[SW_COOKIE_INVALID] == after.cookie[SW_COOKIE_INVALID] + 1 ? NULL : "a wrong ACK was right";
}

static void all_shapes(struct synwave_bpf *skel, const struct hook *h, bool stamps)
{
	static u32 client = 1;
	char what[160];

	for (u32 i = 0; i < 2 * 2 * 3 * 3 * 11; i++) {
		struct shape s = {.v6 = i & 1, .df = i >> 1 & 1, .tcp_options = i / 36 * 4};
		const char *wrong;

		s.l3 = h->l3;
		s.tags = h->l3 ? 0 : i / 4 % 3;
		if (s.v6)
			s.exts = i / 12 % 3;
		else
			s.ip_words = i / 12 % 3 * 5;
		s.data = i % 7 == 6 ? 10 : 0;
		s.pad = !h->l3 && i % 5 == 0 ? 6 : 0;
		s.ttl = i % 3 == 2 ? 255 : 0;
		wrong = converse(skel, h, &s, client++, stamps);
		snprintf(what, sizeof(what), "cookie, %s: IPv%d, %d tags, %d/%d extras, %d bytes of options%s: %s",
			 h->name, s.v6 ? 6 : 4, s.tags, s.ip_words, s.exts, s.tcp_options, stamps ? ", carried" : "",
			 wrong ? wrong : "answered");
		count_quietly(!wrong, what);
	}
}

/* No listener, or none that would take a cookie: the kernel gets the SYN. */
static void none_to_give(struct synwave_bpf *skel, const struct hook *h, enum sw_verdict want, const char *what,
			 bool sign)
{
	static u32 client = 0x6000;
	struct shape s = {.df = true, .l3 = h->l3, .tcp_options = sign ? 40 : 20, .sign = sign};
	struct sw_stats before, after;
	struct bytes in, out;

	build(&in, &s, client++, 0);
	prog_stats(skel, &before);
	bool same = run(bpf_program__fd(h->prog), &in, &out) == h->passed && out.len == in.len &&
		    !memcmp(in.at, out.at, in.len);
	prog_stats(skel, &after);
	count_quietly(same && after.verdict[want] == before.verdict[want] + 1, what);
}

/* A SYN-ACK of port 80 leaves by the egress hook; `from`: the interface that it came in by, 0: our own stack's. */
static void answer_leaves(struct synwave_bpf *skel, u32 from)
{
	struct __sk_buff ctx = {.ingress_ifindex = from};
	struct frame f = {0};

	build_between(&f, "192.0.2.2", PORT, "10.1.0.9", 40000, SW_TCP_SYN | SW_TCP_ACK, 5000, 1001);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame_data(&f), .data_size_in = f.len, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.synwave_out), &opts))
		abort();
}

/* Who answers for a service: this host, as far as it was seen to, or as the rules say. */
static void whose_service(struct synwave_bpf *skel, const struct hook *h)
{
	struct shape s = {.df = true, .tcp_options = 20};
	struct bytes in, out;

	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1}}");
	none_to_give(skel, h, SW_V_PASS_NOT_LOCAL, "cookie: never seen to be answered here", false);
	guard_all(skel, "mode: enforce\ncookie_fallback: drop\nservice: {default: {rate: 1/d, burst: 1}}");
	build(&in, &s, 0x6100, 0);
	count_quietly(run(bpf_program__fd(h->prog), &in, &out) == (h->sent == XDP_TX_ ? 1 : 2), "cookie: nor, dropped");
	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1}}");
	answer_leaves(skel, 0);
	build(&in, &s, 0x6101, 0);
	count_quietly(run(bpf_program__fd(h->prog), &in, &out) == h->sent, "cookie: seen to be answered here");
	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, local: 'no'}}");
	none_to_give(skel, h, SW_V_PASS_NOT_LOCAL, "cookie: local: no", false);
	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, local: 'yes'}}");
}

/* A listener with keys (TCP-MD5) signs its answers itself; one without has no use for a signed SYN. */
static void guard_signed(struct synwave_bpf *skel, const struct hook *h, int server)
{
	struct tcp_md5sig key = {.tcpm_keylen = 6, .tcpm_key = "secret"};
	struct sockaddr_in6 peer = {.sin6_family = AF_INET6};
	struct shape s = {.df = true, .tcp_options = 40, .sign = true};
	struct bytes in, out;

	build(&in, &s, 0x6200, 0);
	count_quietly(run(bpf_program__fd(h->prog), &in, &out) == h->sent,
		      "cookie: a signed SYN, a listener without keys");
	inet_pton(AF_INET6, "::ffff:10.1.0.1", &peer.sin6_addr);
	memcpy(&key.tcpm_addr, &peer, sizeof(peer));
	if (setsockopt(server, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)))
		skip_test("cookie: this kernel has no TCP-MD5");
	else
		none_to_give(skel, h, SW_V_PASS_SIGNED, "cookie: a signed SYN, a listener with keys", true);
}

static void go_home(int home)
{
	if (setns(home, CLONE_NEWNET))
		abort();
	close(home);
}

/* A frame that keeps its length, and whose checksum may have to be finished yet. */
static void padded_with_zeros(void)
{
	struct synwave_bpf *skel = prog_load(64, 64, PROG_XDP_PAD | PROG_PARTIAL);
	struct bytes in, out;

	if (!skel)
		abort();
	const struct hook h = {
		"xdp, padded with zeros", skel->progs.synwave_xdp_pad, XDP_TX_, XDP_PASS_, false, true, true};
	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, local: 'yes'}}");
	for (int v6 = 0; v6 < 2; v6++) {
		build(&in, &(struct shape){.v6 = v6}, 0x7000, 0);
		count_quietly(run(bpf_program__fd(h.prog), &in, &out) == XDP_PASS_, "cookie: within the limit");
	}
	all_shapes(skel, &h, true);
	synwave_bpf__destroy(skel);
}

void test_cookies(void)
{
	struct synwave_bpf *skel;
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), server;
	struct bytes in, out;

	if (home < 0 || unshare(CLONE_NEWNET))
		abort();
	server = listen_here();
	if (server < 0 && errno == EAFNOSUPPORT) {
		skip_test("cookie: this kernel has no IPv6");
		go_home(home);
		return;
	}
	skel = prog_load(64, 64, PROG_XDP | PROG_XDP_PAD | PROG_IN | PROG_OUT | PROG_IN_L3);
	if (!skel || server < 0 || !write_file("/proc/sys/net/ipv4/tcp_syncookies", "2"))
		abort();
	const struct hook hooks[] = {
		{"xdp", skel->progs.synwave_xdp, XDP_TX_, XDP_PASS_, false, false, false},
		{"xdp, padded", skel->progs.synwave_xdp_pad, XDP_TX_, XDP_PASS_, false, true, false},
		{"tc", skel->progs.synwave_in, TC_REDIRECT_, -1, false, false, false},
		{"tc l3", skel->progs.synwave_in_l3, TC_REDIRECT_, -1, true, false, false}};
	guard_all(skel, "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, local: 'yes'}}");
	for (int v6 = 0; v6 < 2; v6++) { /* the one that is within the limit */
		build(&in, &(struct shape){.v6 = v6}, 0x7000, 0);
		count_quietly(run(bpf_program__fd(hooks[0].prog), &in, &out) == XDP_PASS_, "cookie: within the limit");
	}
	for (size_t i = 0; i < SW_ARRAY_SIZE(hooks); i++) {
		write_file("/proc/sys/net/ipv4/tcp_timestamps", "1");
		all_shapes(skel, &hooks[i], false);
		write_file("/proc/sys/net/ipv4/tcp_timestamps", "2");
		all_shapes(skel, &hooks[i], true);
		write_file("/proc/sys/net/ipv4/tcp_syncookies", "1");
		none_to_give(skel, &hooks[i], SW_V_PASS_KERNEL, "cookie: the queue has room", false);
		write_file("/proc/sys/net/ipv4/tcp_syncookies", "0");
		none_to_give(skel, &hooks[i], SW_V_PASS_NO_COOKIE, "cookie: tcp_syncookies=0", false);
		write_file("/proc/sys/net/ipv4/tcp_syncookies", "2");
	}
	padded_with_zeros();
	whose_service(skel, &hooks[0]);
	guard_signed(skel, &hooks[0], server);
	close(server);
	for (size_t i = 0; i < SW_ARRAY_SIZE(hooks); i++)
		none_to_give(skel, &hooks[i], SW_V_PASS_NO_LISTENER, "cookie: nobody listens", false);
	synwave_bpf__destroy(skel);
	go_home(home);
}
