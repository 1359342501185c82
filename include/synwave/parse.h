/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a frame to a struct sw_packet, or to the reason why not. Cursor style: check, advance, say what comes next.
 * Checksums are never verified (offload makes them wrong). Wire order ends here. */
#ifndef SYNWAVE_PARSE_H
#define SYNWAVE_PARSE_H

#include "abi.h"

/* What comes next. Distinct types, so that an ethertype is never taken for a protocol number. */
struct sw_ethertype {
	u16 v;
};
struct sw_ipproto {
	u8 v;
};

#define SW_V4_WORD bpf_htonl(0xffff) /* third word of an IPv4-mapped address */

/* A TCP segment as the tracker wants it; host order unless the key says otherwise. */
struct sw_packet {
	struct sw_key key;
	u8 from; /* which endpoint of the key sent it */
	u8 flags; /* SW_TCP_* */
	u8 kind; /* enum sw_kind */
	u8 v6;
	u32 seq;
	u32 ack;
	u32 len; /* payload bytes */
	u32 tsval; /* with SW_E_TS: the timestamp (RFC 7323) */
	u16 window; /* unscaled */
	u16 mss; /* options: only parsed on SYN and SYN-ACK */
	u8 wscale; /* or SW_WSCALE_NONE */
	u8 options; /* SW_E_MSS | SW_E_SACK | SW_E_TS */
	/* Set by the caller: */
	u16 seen_at; /* number of the attachment << 1 | egress */
	u16 generation; /* of sw_tags, now */
	u8 local; /* this host's own stack sent it */
	u8 inside; /* it leaves, and did not come in by the same interface: nobody out there has sent it */
	u8 socket; /* local, and of a socket past its handshake: the kernel's own word that the connection lives */
	u8 options_size; /* of a SYN or SYN-ACK: bytes of options ... */
	u16 options_at; /* ... and where in the frame (on the way there: the parser's position) */
	u8 options_done; /* bytes of options that were walked */
	struct sw_ipproto next; /* IPv6, on the way: the header that follows */
	u16 ip_at; /* where in the frame the IP header begins */
	u8 ttl; /* or hop limit */
	u8 fragment; /* the first one of a fragmented packet ... */
	u8 cut; /* ... and TCP's options end in another */
	u8 has_auth; /* a SYN that carries a signature: TCP-MD5 or TCP-AO (RFC 2385, 5925) */
	u8 pad[2];
};

#define SW_OPTIONS_ROOM 68 /* 40 bytes at most; the rest lets a masked index read a whole option */

#define SW_TCP_FIN 0x01
#define SW_TCP_SYN 0x02
#define SW_TCP_RST 0x04
#define SW_TCP_PSH 0x08
#define SW_TCP_ACK 0x10
#define SW_TCP_URG 0x20
#define SW_TCP_ECE 0x40
#define SW_TCP_CWR 0x80

struct sw_cursor {
	u8 *start;
	u8 *pos;
	u8 *end; /* of what can be read */
	u32 left; /* bytes of the frame from pos on, read or not */
};

/* Headers as on the wire; only what is used has a name. */
struct sw_wire_vlan {
	__be16 tci;
	__be16 type;
} __attribute__((packed, aligned(2)));
struct sw_wire_ip4 {
	u8 vihl;
	u8 tos;
	__be16 total;
	__be16 id;
	__be16 frag;
	u8 ttl;
	u8 protocol;
	__be16 check;
	__be16 addr[4]; /* halves: a header need not be aligned to 4 */
} __attribute__((packed, aligned(2)));
struct sw_wire_ip6 {
	u8 vtc;
	u8 flow[3];
	__be16 payload;
	u8 next;
	u8 hops;
	__be16 saddr[8];
	__be16 daddr[8];
} __attribute__((packed, aligned(2)));
struct sw_wire_tcp {
	__be16 sport;
	__be16 dport;
	__be16 seq[2];
	__be16 ack[2];
	u8 doff;
	u8 flags;
	__be16 window;
	__be16 check;
	__be16 urgent;
} __attribute__((packed, aligned(2)));

#define SW_MAX_TAGS     4
#define SW_MAX_EXT      8
#define SW_MAX_EXT_SIZE 1024

/* Takes n bytes; NULL when they cannot be read. A macro, because the verifier wants the comparison in place. */
#define SW_TAKE(c, type) \
	({ \
		type *h_ = (type *)(c)->pos; \
		if ((u8 *)(h_ + 1) > (c)->end) \
			h_ = NULL; \
		else { \
			(c)->pos = (u8 *)(h_ + 1); \
			(c)->left -= sizeof(type); \
		} \
		h_; \
	})

/* A header that IPv6 may put before TCP (RFC 8200 4). */
SW_INLINE bool sw_is_ext(u8 kind)
{
	enum { HOP = 0, ROUTING = 43, FRAGMENT = 44, AH = 51, DEST = 60 };

	return kind == HOP || kind == ROUTING || kind == FRAGMENT || kind == AH || kind == DEST;
}

SW_INLINE bool sw_is_tag(u16 type)
{
	return type == 0x8100 || type == 0x88a8;
}

/* All ways to a header meet here, in memory: the verifier knows nothing of a number that it finds in a map, so what
 * follows is verified once, and not once for each chain of tags and extension headers. */
SW_INLINE void sw_meet(struct sw_cursor *c, struct sw_packet *p)
{
	p->options_at = c->pos - c->start;
	p->len = c->left;
	SW_STAGE();
	c->pos = c->start + (p->options_at & 0x3fff); /* more than 4 tags and 8 extension headers of 1 KB */
	c->left = p->len;
}

SW_INLINE u32 sw_wire32(const __be16 *half)
{
	return (u32)bpf_ntohs(half[0]) << 16 | bpf_ntohs(half[1]);
}

/* Ethernet and up to SW_MAX_TAGS tags of 802.1Q and 802.1ad in any order. */
SW_INLINE enum sw_reason sw_parse_eth(struct sw_cursor *c, struct sw_ethertype *next)
{
	struct wire_eth {
		__be16 mac[6];
		__be16 type;
	} __attribute__((packed, aligned(2))) *eth = SW_TAKE(c, struct wire_eth);

	if (!eth)
		return SW_TRUNCATED;
	next->v = bpf_ntohs(eth->type);
	SW_UNROLL
	for (int i = 0; i < SW_MAX_TAGS; i++) {
		if (!sw_is_tag(next->v))
			return SW_OK;
		struct sw_wire_vlan *tag = SW_TAKE(c, struct sw_wire_vlan);
		if (!tag)
			return SW_TRUNCATED;
		next->v = bpf_ntohs(tag->type);
	}
	return sw_is_tag(next->v) ? SW_TAGS : SW_OK;
}

/* The wire address of a header that is aligned to 2 at least. */
SW_INLINE void sw_copy_addr(u32 to[4], const __be16 from[8])
{
	__builtin_memcpy(to, from, 16);
}

/* Of a fragment that is not the first, offset in units of 8 bytes: one that begins inside the TCP header is no honest one
 * (RFC 1858, RFC 3128). */
SW_INLINE enum sw_reason sw_later_fragment(u32 offset)
{
	return offset < 3 ? SW_CUT : SW_FRAGMENT;
}

SW_INLINE enum sw_reason sw_parse_ip4(struct sw_cursor *c, u32 addr[2][4], struct sw_packet *p)
{
	u8 *base = c->pos;
	u32 frame = c->left;
	struct sw_wire_ip4 *ip = SW_TAKE(c, struct sw_wire_ip4);

	if (!ip)
		return SW_TRUNCATED;
	u32 ihl = (ip->vihl & 15) * 4, total = bpf_ntohs(ip->total);
	if (!total && frame > 0xffff)
		total = frame; /* BIG TCP: the length does not fit, the kernel writes 0 */
	if (ihl < sizeof(*ip) || total < ihl || total > frame)
		return SW_BAD_IP;
	if (ip->protocol != 6)
		return SW_NOT_TCP;
	u32 frag = bpf_ntohs(ip->frag);
	if (frag & 0x1fff)
		return sw_later_fragment(frag & 0x1fff);
	p->fragment = frag >> 13 & 1;
	p->ttl = ip->ttl;
	addr[0][0] = addr[0][1] = addr[1][0] = addr[1][1] = 0;
	addr[0][2] = addr[1][2] = SW_V4_WORD;
	__builtin_memcpy(&addr[0][3], &ip->addr[0], 4);
	__builtin_memcpy(&addr[1][3], &ip->addr[2], 4);
	if (base + ihl > c->end)
		return SW_TRUNCATED;
	c->pos = base + ihl; /* from the base: the verifier refuses "pos += ihl - 20" */
	c->left = total - ihl;
	return SW_OK;
}

SW_INLINE bool sw_is_mapped(const u32 addr[4])
{
	return !addr[0] && !addr[1] && addr[2] == SW_V4_WORD;
}

/* One extension header (RFC 8200 4). *more: another header follows. */
SW_INLINE enum sw_reason sw_parse_ext(struct sw_cursor *c, struct sw_packet *p, bool *more)
{
	enum { FRAGMENT = 44, AH = 51 };
	struct sw_ipproto *next = &p->next;
	u8 *base = c->pos, kind = next->v;
	u32 size;

	*more = false;
	if (kind == 6)
		return SW_OK;
	if (!sw_is_ext(kind))
		return SW_NOT_TCP;
	if (c->left < 8) /* the packet ends: a first fragment must hold all headers (RFC 7112) */
		return p->fragment ? SW_CUT : SW_BAD_IP;
	if (base + 8 > c->end)
		return SW_TRUNCATED;
	next->v = base[0];
	if (kind == FRAGMENT) {
		u32 frag = base[2] << 8 | base[3];
		if (frag >> 3)
			return next->v == 6 ? sw_later_fragment(frag >> 3) : SW_NOT_TCP;
		p->fragment |= frag & 1;
		size = 8;
	} else {
		size = kind == AH ? (base[1] + 2u) * 4 : (base[1] + 1u) * 8;
	}
	if (size > c->left)
		return p->fragment ? SW_CUT : SW_BAD_IP;
	if (size > SW_MAX_EXT_SIZE)
		return SW_BAD_IP6_EXT;
	if (base + size > c->end)
		return SW_TRUNCATED;
	c->pos = base + size;
	c->left -= size;
	*more = true;
	return SW_OK;
}

SW_INLINE enum sw_reason sw_parse_ip6(struct sw_cursor *c, u32 addr[2][4], struct sw_packet *p)
{
	struct sw_wire_ip6 *ip = SW_TAKE(c, struct sw_wire_ip6);

	if (!ip)
		return SW_TRUNCATED;
	u32 payload = bpf_ntohs(ip->payload);
	if (!payload && c->left > 0xffff)
		payload = c->left; /* BIG TCP, RFC 2675 */
	if (payload > c->left)
		return SW_BAD_IP;
	c->left = payload;
	p->next.v = ip->next;
	p->ttl = ip->hops;
	sw_copy_addr(addr[0], ip->saddr);
	sw_copy_addr(addr[1], ip->daddr);
	bool more = true;
	SW_UNROLL
	for (int i = 0; i < SW_MAX_EXT; i++) {
		sw_meet(c, p);
		enum sw_reason why = sw_parse_ext(c, p, &more);
		if (why)
			return why;
		if (!more)
			break;
	}
	if (p->next.v != 6)
		return sw_is_ext(p->next.v) ? SW_BAD_IP6_EXT : SW_NOT_TCP;
	if (sw_is_mapped(addr[0]) || sw_is_mapped(addr[1]))
		return SW_MAPPED;
	return SW_OK;
}

/* Options of a SYN or SYN-ACK (RFC 9293 3.2, 7323, 2018), copied out of the frame by the caller. A malformed list ends
 * the walk; what came before it stands, as in the kernel (tcp_parse_options). */
SW_INLINE void sw_parse_options(const u8 list[SW_OPTIONS_ROOM], struct sw_packet *p)
{
	enum { END, NOP, MSS, WSCALE, SACK, TS = 8, MD5 = 19, AO = 29 };
	for (int i = 0; i < 40; i++) {
		SW_STAGE();
		u32 at = p->options_done, size = p->options_size;
		if (at + 1 >= size) /* a lone last byte can only be END or NOP */
			return;
		const u8 *o = list + (at & 63);
		/* no branch for NOP: a length that the verifier knows is a state of its own, and there are 40 */
		u32 kind = o[0], len = o[1], nop = ((kind ^ NOP) - 1) >> 31;
		SW_OPAQUE(nop);
		len = nop + (len & (nop - 1));
		if (kind == END || len + nop < 2 || at + len > size)
			return;
		if (kind == MSS && len == 4) {
			p->mss = (u16)(o[2] << 8 | o[3]);
			p->options |= SW_E_MSS;
		} else if (kind == WSCALE && len == 3) {
			p->wscale = o[2];
		} else if (kind == SACK && len == 2) {
			p->options |= SW_E_SACK;
		} else if (kind == TS && len == 10) {
			p->options |= SW_E_TS;
			p->tsval = (u32)o[2] << 24 | (u32)o[3] << 16 | (u32)o[4] << 8 | o[5];
		} else if (kind == MD5 || kind == AO) {
			p->has_auth = 1;
		}
		p->options_done = at + len;
	}
}

SW_INLINE enum sw_kind sw_kind_of(u8 flags, u32 len)
{
	if (flags & SW_TCP_SYN) {
		if (flags & (SW_TCP_FIN | SW_TCP_RST))
			return SW_KIND_OTHER;
		return flags & SW_TCP_ACK ? SW_KIND_SYN_ACK : SW_KIND_SYN;
	}
	if (flags & SW_TCP_RST)
		return SW_KIND_RST;
	if (!(flags & SW_TCP_ACK))
		return SW_KIND_OTHER;
	if (flags & SW_TCP_FIN)
		return SW_KIND_FIN;
	return len ? SW_KIND_DATA : SW_KIND_ACK;
}

SW_INLINE enum sw_reason sw_parse_tcp(struct sw_cursor *c, u16 port[2], struct sw_packet *p)
{
	u32 total = c->left;
	struct sw_wire_tcp *tcp = SW_TAKE(c, struct sw_wire_tcp);

	if (total < sizeof(*tcp))
		return p->fragment ? SW_CUT : SW_BAD_TCP;
	if (!tcp)
		return SW_TRUNCATED;
	u32 size = (tcp->doff >> 4) * 4;
	port[0] = bpf_ntohs(tcp->sport);
	port[1] = bpf_ntohs(tcp->dport);
	p->cut = p->fragment && size > total;
	size = p->cut ? total & 0x7f : size; /* what is here of it */
	if (size < sizeof(*tcp) || size > total)
		return SW_BAD_TCP;
	p->seq = sw_wire32(tcp->seq);
	p->ack = sw_wire32(tcp->ack);
	p->window = bpf_ntohs(tcp->window);
	p->flags = tcp->flags;
	p->len = total - size;
	p->kind = sw_kind_of(p->flags, p->len);
	p->mss = 0;
	p->options = 0;
	p->wscale = SW_WSCALE_NONE;
	p->options_size = p->kind == SW_KIND_SYN || p->kind == SW_KIND_SYN_ACK ? size - sizeof(*tcp) : 0;
	p->options_at = c->pos - c->start;
	p->options_done = 0;
	p->has_auth = 0;
	return SW_OK;
}

SW_INLINE bool sw_addr_less(const u32 a[4], const u32 b[4])
{
	SW_UNROLL
	for (int i = 0; i < 3; i++)
		if (a[i] != b[i])
			return a[i] < b[i];
	return a[3] < b[3];
}

/* Endpoint 0 is the source so far: brings the key into its order. False when both ends are one. */
SW_INLINE bool sw_key_order(struct sw_packet *p)
{
	u32(*addr)[4] = p->key.addr, word;
	u16 *port = p->key.port, half;
	p->from = 0;
	bool same = addr[0][0] == addr[1][0] && addr[0][1] == addr[1][1] && addr[0][2] == addr[1][2] &&
		    addr[0][3] == addr[1][3];

	if (same && port[0] == port[1])
		return false;
	p->from = same ? port[0] > port[1] : !sw_addr_less(addr[0], addr[1]);
	if (!p->from)
		return true;
	SW_UNROLL
	for (int i = 0; i < 4; i++) {
		word = addr[0][i];
		addr[0][i] = addr[1][i];
		addr[1][i] = word;
	}
	half = port[0];
	port[0] = port[1];
	port[1] = half;
	return true;
}

/* Network layer and up; `type` says which. */
SW_INLINE enum sw_reason sw_parse_ip(struct sw_cursor *c, struct sw_ethertype type, struct sw_packet *p)
{
	enum sw_reason why;

	/* the version must be the one that the ethertype promised */
	if (type.v != 0x0800 && type.v != 0x86dd)
		return SW_NOT_IP;
	if (c->pos + 1 > c->end)
		return SW_TRUNCATED;
	p->v6 = type.v == 0x86dd;
	p->fragment = 0;
	if (*c->pos >> 4 != (p->v6 ? 6 : 4))
		return SW_BAD_IP;
	why = p->v6 ? sw_parse_ip6(c, p->key.addr, p) : sw_parse_ip4(c, p->key.addr, p);
	if (why)
		return why;
	sw_meet(c, p);
	why = sw_parse_tcp(c, p->key.port, p);
	if (why)
		return why;
	return sw_key_order(p) ? SW_OK : SW_SELF;
}

/* A whole frame. `data` to `end` can be read, `size` is its length on the wire (more when it was cut or lies in
 * fragments); `l3`: it starts with the IP header. */
SW_INLINE enum sw_reason sw_parse(void *data, void *end, u32 size, bool l3, struct sw_packet *p)
{
	struct sw_cursor c = {.start = data, .pos = data, .end = end, .left = size};
	struct sw_ethertype type;

	if (l3) {
		if (c.pos + 1 > c.end)
			return SW_TRUNCATED;
		type.v = *c.pos >> 4 == 6 ? 0x86dd : *c.pos >> 4 == 4 ? 0x0800 : 0;
	} else {
		enum sw_reason why = sw_parse_eth(&c, &type);
		if (why)
			return why;
	}
	sw_meet(&c, p);
	p->ip_at = p->options_at;
	enum sw_reason why = sw_parse_ip(&c, type, p);
	if (!why && p->kind == SW_KIND_OTHER)
		return SW_BAD_FLAGS;
	return why;
}

#endif
