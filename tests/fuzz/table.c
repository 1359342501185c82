// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Eight bytes a segment: of a few tuples, with a few numbers, the clock going on, over a table of one set. */
#include "fuzz.h"

enum { TUPLES = 64, SAW_SYN = 1, SAW_SYN_ACK = 2, SAW_ACK = 4 };

static struct sw_packet packet(const u8 *d)
{
	static const u8 flags[] = {SW_TCP_SYN,
				   SW_TCP_SYN | SW_TCP_ACK,
				   SW_TCP_ACK,
				   SW_TCP_FIN | SW_TCP_ACK,
				   SW_TCP_RST,
				   SW_TCP_RST | SW_TCP_ACK,
				   SW_TCP_ACK | SW_TCP_PSH,
				   SW_TCP_FIN | SW_TCP_ACK | SW_TCP_PSH};
	struct sw_packet p = {.from = d[0] >> 7, .flags = flags[d[1] & 7], .wscale = SW_WSCALE_NONE, .window = 100};

	p.v6 = !(d[0] & 2); /* half of the clients */
	if (!p.v6)
		p.key.addr[0][2] = p.key.addr[1][2] = SW_V4_WORD;
	p.key.addr[0][3] = d[0] & (TUPLES - 1);
	p.key.addr[1][3] = 100;
	p.key.port[0] = d[0] & 1 ? 40000 : 80;
	p.key.port[1] = d[0] & 1 ? 80 : 40000;
	p.seq = d[2] - 8u; /* around the wrap */
	p.ack = d[3] - 8u;
	p.len = d[1] >> 6;
	p.seen_at = d[1] >> 3 & 1;
	p.local = d[1] >> 4 & 1;
	p.kind = sw_kind_of(p.flags, p.len);
	return p;
}

/* ESTABLISHED without doubt needs all three segments; when SYNs cross, SYN-ACKs or bare ACKs acknowledge
 * them (figure 7, split handshakes). */
static void check_claim(const struct sw_conn *c, const u8 *saw)
{
	bool both = c->end[0].state == SW_ESTABLISHED && c->end[1].state == SW_ESTABLISHED;
	u8 need = SAW_SYN | SAW_ACK | (c->flags & SW_C_INFERRED ? 0 : SAW_SYN_ACK);

	if (c->flags & SW_C_SIMOPEN) { /* either kind acknowledges a SYN */
		HOLDS(!both || saw[c->key.addr[0][3]] & (SAW_SYN_ACK | SAW_ACK));
		need = SAW_SYN;
	}
	if (both && c->flags & SW_C_HS_DONE && SW_ORIGIN(c->flags) == SW_ORIGIN_SYN)
		HOLDS((saw[c->key.addr[0][3]] & need) == need);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct engine e;
	u8 saw[TUPLES] = {0};
	u64 now = 3600 * SW_NS_PER_S;

	if (!e.set && (engine_open(&e, 64, 64) || conf_defaults(&e.conf)))
		abort();
	memset(e.conf.hash_key, 0x5a, sizeof(e.conf.hash_key)); /* the same run for the same bytes */
	e.conf.sets = 1;
	e.conf.live_ways = 2 + (size ? data[0] % 27 : 0);
	e.conf.half_ways = SW_WAYS - e.conf.live_ways;
	e.conf.one_way = size % 8 == 1;
	memset(e.set, 0, sizeof(*e.set));
	memset(e.tags, 0, sizeof(*e.tags));
	struct sw_shelf f = engine_shelf(&e, 0);
	struct sw_conn c;
	for (; size >= 8; data += 8, size -= 8) {
		struct sw_packet p = packet(data);
		struct sw_step step = {.listen = 1};
		struct sw_trace trace = {0};
		u16 tag = sw_tag_of(sw_hash(&e.conf, &p.key));
		u32 tuple = p.key.addr[0][3];
		now += (u64)data[4] << (data[5] & 31); /* up to nine minutes */
		if (data[6] & 1)
			now -= data[7] * 1000; /* another CPU's clock */
		if (p.kind == SW_KIND_SYN)
			saw[tuple] |= SAW_SYN;
		else if (p.kind == SW_KIND_SYN_ACK)
			saw[tuple] |= SAW_SYN_ACK;
		else if (p.kind != SW_KIND_RST)
			saw[tuple] |= SAW_ACK;
		if (!sw_quiet(e.tags, tag, &p, p.generation))
			sw_table_step(&f, tag, &p, now, &step, &c, &trace);
		fuzz_check_set(&f);
		if (step.fresh && step.way < SW_WAYS)
			HOLDS(p.kind != SW_KIND_RST);
		for (u32 way = 0; way < SW_WAYS; way++)
			if (engine_conn(&e, 0, way, &c))
				check_claim(&c, saw);
	}
	return 0;
}
