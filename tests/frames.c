// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Frames: built by hand, byte for byte, so that the parser is tested against the RFCs and not against itself. */
#include "frames.h"

#include <arpa/inet.h>
#include <stdio.h>

static void put(struct frame *f, const void *bytes, u32 n)
{
	memcpy(frame_data(f) + f->len, bytes, n);
	f->len += n;
}

static void put8(struct frame *f, u8 v)
{
	put(f, &v, 1);
}

static void put16(struct frame *f, u16 v)
{
	put(f, (u8[]){v >> 8, v}, 2);
}

static void put32(struct frame *f, u32 v)
{
	put16(f, v >> 16);
	put16(f, v);
}

static void eth(struct frame *f, u16 type)
{
	f->len = 0;
	put(f, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
	put16(f, type);
}

static void ip4(struct frame *f, u8 ihl, u16 total, u16 frag, u8 proto, u32 src, u32 dst)
{
	put8(f, 0x40 | ihl);
	put8(f, 0);
	put16(f, total);
	put16(f, 1);
	put16(f, frag);
	put8(f, 64);
	put8(f, proto);
	put16(f, 0);
	put32(f, src);
	put32(f, dst);
	for (int i = 5; i < ihl; i++)
		put32(f, 0x01010101); /* NOPs */
}

static void ip6(struct frame *f, u16 payload, u8 next, u8 src, u8 dst)
{
	u8 a[16] = {0x20, 1, 0x0d, 0xb8};

	put32(f, 0x60000000);
	put16(f, payload);
	put8(f, next);
	put8(f, 64);
	a[15] = src;
	put(f, a, 16);
	a[15] = dst;
	put(f, a, 16);
}

static void tcp(struct frame *f, u16 sport, u16 dport, u32 seq, u32 ack, u8 doff, u8 flags)
{
	put16(f, sport);
	put16(f, dport);
	put32(f, seq);
	put32(f, ack);
	put8(f, doff << 4);
	put8(f, flags);
	put16(f, 64240);
	put32(f, 0);
}

static const u8 syn_options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};

#define A 0xc0000201u /* 192.0.2.1 */
#define B 0xc0000202u

void build_segment(struct frame *f, const struct segment *s, bool v6, int tags)
{
	bool server = s->from == SW_SERVER, syn = s->flags & SW_TCP_SYN;
	u8 doff = syn ? 10 : 5;
	u32 size = doff * 4 + s->len;

	eth(f, tags ? 0x88a8 : v6 ? 0x86dd : 0x0800);
	for (int i = 0; i < tags; i++) {
		put16(f, 100 + i);
		put16(f, i + 1 < tags ? 0x8100 : v6 ? 0x86dd : 0x0800);
	}
	if (v6)
		ip6(f, size, 6, server ? 2 : 1, server ? 1 : 2);
	else
		ip4(f, 5, 20 + size, 0x4000, 6, server ? B : A, server ? A : B);
	tcp(f, server ? 80 : 40000, server ? 40000 : 80, s->seq, s->ack, doff, s->flags);
	if (syn)
		put(f, syn_options, sizeof(syn_options));
	memset(frame_data(f) + f->len, 'x', s->len);
	f->len += s->len;
	while (f->len < 60)
		put8(f, 0); /* Ethernet pads: the IP length decides */
}

void build_between(struct frame *f, const char *from, u16 sport, const char *to, u16 dport, u8 flags, u32 seq, u32 ack)
{
	u8 a[16], b[16];
	bool v6 = inet_pton(AF_INET6, from, a) == 1;
	u32 at;

	eth(f, v6 ? 0x86dd : 0x0800);
	at = f->len;
	if (v6)
		ip6(f, 20, 6, 0, 0);
	else
		ip4(f, 5, 40, 0, 6, 0, 0);
	inet_pton(v6 ? AF_INET6 : AF_INET, from, a);
	inet_pton(v6 ? AF_INET6 : AF_INET, to, b);
	memcpy(frame_data(f) + at + (v6 ? 8 : 12), a, v6 ? 16 : 4);
	memcpy(frame_data(f) + at + (v6 ? 24 : 16), b, v6 ? 16 : 4);
	tcp(f, sport, dport, seq, ack, 5, flags);
}

struct sw_key test_key(bool v6)
{
	struct sw_key key = {.port = {40000, 80}};
	u8 a[16] = {0x20, 1, 0x0d, 0xb8};

	for (int i = 0; i < 2; i++) {
		if (v6) {
			a[15] = i + 1;
			memcpy(key.addr[i], a, 16);
		} else {
			key.addr[i][2] = htonl(0xffff);
			key.addr[i][3] = htonl(i ? B : A);
		}
	}
	return key;
}

/* --- one by one ------------------------------------------------------------------------------------------------- */
static void f_syn(struct frame *f)
{
	build_segment(f, &(struct segment){SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0}, false, 0);
}
static void f_syn6(struct frame *f)
{
	build_segment(f, &(struct segment){SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0}, true, 0);
}
static void f_tags4(struct frame *f)
{
	build_segment(f, &(struct segment){SW_SERVER, SW_TCP_SYN | SW_TCP_ACK, 1, 2, 0, 0}, false, 4);
}
static void f_tags4_v6(struct frame *f)
{
	build_segment(f, &(struct segment){SW_CLIENT, SW_TCP_ACK, 1, 2, 100, 0}, true, 4);
}
static void f_tags5(struct frame *f)
{
	build_segment(f, &(struct segment){SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0}, false, 5);
}
static void f_arp(struct frame *f)
{
	eth(f, 0x0806);
	f->len = 60;
}
static void f_short_eth(struct frame *f)
{
	eth(f, 0x0800);
}
static void f_short_ip(struct frame *f)
{
	f_syn(f);
	f->len = 14 + 19;
}
static void f_udp(struct frame *f)
{
	eth(f, 0x0800);
	ip4(f, 5, 28, 0, 17, A, B);
	put32(f, 0);
	put32(f, 0);
}
static void f_ihl4(struct frame *f)
{
	f_syn(f);
	frame_data(f)[14] = 0x44;
}
static void f_version(struct frame *f)
{
	f_syn(f);
	frame_data(f)[14] = 0x65;
}
static void f_ip_options(struct frame *f)
{
	eth(f, 0x0800);
	ip4(f, 15, 60 + 20, 0, 6, A, B);
	tcp(f, 1, 2, 3, 4, 5, SW_TCP_ACK);
}
static void f_total_long(struct frame *f)
{
	f_syn(f);
	frame_data(f)[16] = 6; /* 1536 bytes that are not there */
}
static void f_total_short(struct frame *f)
{
	f_syn(f);
	frame_data(f)[17] = 39; /* one byte less than IP and TCP headers */
}
static void f_total_zero(struct frame *f)
{
	f_syn(f);
	frame_data(f)[16] = frame_data(f)[17] = 0;
}
static void f_fragment(struct frame *f)
{
	f_syn(f);
	frame_data(f)[20] = 0x20;
	frame_data(f)[21] = 1;
}
static void f_fragment_far(struct frame *f)
{
	f_syn(f);
	frame_data(f)[21] = 3; /* behind the TCP header of the first one */
}
/* A SYN with 40 bytes of header, of which the first fragment holds so many. */
static void cut(struct frame *f, u32 size)
{
	f_syn(f);
	f->len = 14 + 20 + size;
	frame_data(f)[17] = 20 + size;
	frame_data(f)[20] = 0x20;
	frame_data(f)[46] = 0xa0;
}
static void f_cut8(struct frame *f)
{
	cut(f, 8);
}
static void f_cut16(struct frame *f)
{
	cut(f, 16);
}
static void f_cut24(struct frame *f)
{
	cut(f, 24);
}
static void f_first_fragment(struct frame *f)
{
	f_syn(f);
	frame_data(f)[20] = 0x20;
}
static void f_doff4(struct frame *f)
{
	f_syn(f);
	frame_data(f)[46] = 0x40;
}
static void f_doff_long(struct frame *f)
{
	f_syn(f);
	frame_data(f)[46] = 0xf0;
}
static void f_port0(struct frame *f)
{
	f_syn(f);
	frame_data(f)[34] = frame_data(f)[35] = 0;
}
static void f_null(struct frame *f)
{
	f_syn(f);
	frame_data(f)[47] = 0;
}
static void f_xmas(struct frame *f)
{
	f_syn(f);
	frame_data(f)[47] = SW_TCP_FIN | SW_TCP_PSH | SW_TCP_URG;
}
static void f_syn_fin(struct frame *f)
{
	f_syn(f);
	frame_data(f)[47] = SW_TCP_SYN | SW_TCP_FIN;
}
static void f_syn_rst(struct frame *f)
{
	f_syn(f);
	frame_data(f)[47] = SW_TCP_SYN | SW_TCP_RST;
}
static void f_ecn_syn(struct frame *f)
{
	f_syn(f);
	frame_data(f)[46] |= 1; /* AE: AccECN */
	frame_data(f)[47] = SW_TCP_SYN | 0xc0;
}
static void f_urg_psh_fin(struct frame *f)
{
	f_syn(f);
	frame_data(f)[47] = SW_TCP_FIN | SW_TCP_ACK | SW_TCP_PSH | SW_TCP_URG;
}
static void f_self(struct frame *f)
{
	eth(f, 0x0800);
	ip4(f, 5, 40, 0, 6, A, A);
	tcp(f, 7, 7, 1, 0, 5, SW_TCP_SYN);
}
static void f_one_host(struct frame *f)
{
	eth(f, 0x0800);
	ip4(f, 5, 40, 0, 6, A, A);
	tcp(f, 8, 7, 1, 0, 5, SW_TCP_SYN);
}
static void f_mapped(struct frame *f)
{
	f_syn6(f);
	memset(frame_data(f) + 22, 0, 10);
	memset(frame_data(f) + 32, 0xff, 2);
}
static void f_l3(struct frame *f)
{
	f_syn(f);
	f->len -= 14;
	memmove(frame_data(f), frame_data(f) + 14, f->len);
}
static void f_l3_v6(struct frame *f)
{
	f_syn6(f);
	f->len -= 14;
	memmove(frame_data(f), frame_data(f) + 14, f->len);
}

/* `n` extension headers in front of TCP: kinds in order, 8 bytes each unless said otherwise. */
static void ext6(struct frame *f, const u8 *kind, int n, u16 frag, u8 hdrlen)
{
	u32 size = 0;

	for (int i = 0; i < n; i++)
		size += kind[i] == 44 ? 8 : kind[i] == 51 ? (hdrlen + 2) * 4 : (hdrlen + 1) * 8;
	eth(f, 0x86dd);
	ip6(f, size + 20, n ? kind[0] : 6, 1, 2);
	for (int i = 0; i < n; i++) {
		u32 room = kind[i] == 44 ? 8 : kind[i] == 51 ? (hdrlen + 2) * 4 : (hdrlen + 1) * 8;
		put8(f, i + 1 < n ? kind[i + 1] : 6);
		put8(f, kind[i] == 44 ? 0 : hdrlen);
		put16(f, kind[i] == 44 ? frag : 0);
		memset(frame_data(f) + f->len, 0, room - 4);
		f->len += room - 4;
	}
	tcp(f, 40000, 80, 1, 0, 5, SW_TCP_SYN);
}
static void f_ext_all(struct frame *f)
{
	ext6(f, (u8[]){0, 60, 43, 51, 44, 60}, 6, 0, 1);
}
static void f_ext_8(struct frame *f)
{
	ext6(f, (u8[]){60, 60, 60, 60, 60, 60, 60}, 7, 0, 0);
}
static void f_ext_9(struct frame *f)
{
	ext6(f, (u8[]){60, 60, 60, 60, 60, 60, 60, 60, 60}, 9, 0, 0);
}
static void f_ext_long(struct frame *f)
{
	ext6(f, (u8[]){60}, 1, 0, 200);
}
static void f_frag6_first(struct frame *f)
{
	ext6(f, (u8[]){44}, 1, 0x0001, 0);
}
static void f_frag6_later(struct frame *f)
{
	ext6(f, (u8[]){44}, 1, 0x0019, 0);
}
static void f_frag6_inside(struct frame *f)
{
	ext6(f, (u8[]){44}, 1, 0x0009, 0);
}
/* The first fragment ends in the middle of the header chain, at TCP or before it. */
static void f_frag6_cut(struct frame *f)
{
	ext6(f, (u8[]){44}, 1, 0x0001, 0);
	f->len -= 12;
	frame_data(f)[19] -= 12;
}
static void f_frag6_chain(struct frame *f)
{
	ext6(f, (u8[]){44, 60}, 2, 0x0001, 0);
	f->len -= 28;
	frame_data(f)[19] -= 28;
}
static void f_ext_9_udp(struct frame *f)
{
	ext6(f, (u8[]){60, 60, 60, 60, 60, 60, 60, 60}, 8, 0, 0);
	frame_data(f)[54 + 7 * 8] = 17;
}
static void f_ext_cut(struct frame *f)
{
	ext6(f, (u8[]){0, 60}, 2, 0, 3);
	f->len = 14 + 40 + 20;
}
static void f_icmp6(struct frame *f)
{
	f_syn6(f);
	frame_data(f)[20] = 58;
}

#define ROW(name, why, kind) \
	{ \
#name, f_##name, SW_##why, SW_KIND_##kind, false \
	}
// clang-format off
const struct frame_row frame_rows[] = {
	ROW(syn, OK, SYN), ROW(syn6, OK, SYN), ROW(tags4, OK, SYN_ACK), ROW(tags4_v6, OK, DATA),
	ROW(tags5, TAGS, OTHER), ROW(arp, NOT_IP, OTHER), ROW(short_eth, TRUNCATED, OTHER),
	ROW(short_ip, TRUNCATED, OTHER), ROW(udp, NOT_TCP, OTHER), ROW(ihl4, BAD_IP, OTHER),
	ROW(version, BAD_IP, OTHER), ROW(ip_options, OK, ACK), ROW(total_long, BAD_IP, OTHER),
	ROW(total_short, BAD_TCP, OTHER), ROW(total_zero, BAD_IP, OTHER), ROW(fragment, CUT, OTHER),
	ROW(fragment_far, FRAGMENT, OTHER), ROW(cut8, CUT, OTHER), ROW(cut16, CUT, OTHER), ROW(cut24, OK, SYN),
	ROW(first_fragment, OK, SYN), ROW(doff4, BAD_TCP, OTHER), ROW(doff_long, BAD_TCP, OTHER),
	ROW(port0, OK, SYN), ROW(null, BAD_FLAGS, OTHER), ROW(xmas, BAD_FLAGS, OTHER),
	ROW(syn_fin, BAD_FLAGS, OTHER), ROW(syn_rst, BAD_FLAGS, OTHER), ROW(ecn_syn, OK, SYN),
	ROW(urg_psh_fin, OK, FIN), ROW(self, SELF, OTHER), ROW(one_host, OK, SYN), ROW(mapped, MAPPED, OTHER),
	ROW(ext_all, OK, SYN), ROW(ext_8, OK, SYN), ROW(ext_9, BAD_IP6_EXT, OTHER), ROW(ext_long, BAD_IP6_EXT, OTHER),
	ROW(frag6_first, OK, SYN), ROW(frag6_later, FRAGMENT, OTHER), ROW(frag6_inside, CUT, OTHER),
	ROW(frag6_cut, CUT, OTHER), ROW(frag6_chain, CUT, OTHER), ROW(ext_9_udp, NOT_TCP, OTHER), ROW(ext_cut, BAD_IP, OTHER),
	ROW(icmp6, NOT_TCP, OTHER),
	{"l3", f_l3, SW_OK, SW_KIND_SYN, true}, {"l3_v6", f_l3_v6, SW_OK, SW_KIND_SYN, true},
};
// clang-format on
const int frame_count = SW_ARRAY_SIZE(frame_rows);
