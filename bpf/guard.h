/* SPDX-License-Identifier: GPL-2.0-only */
/* The guard's shell: maps under the core's judgement, and the counting. */
#ifndef SYNWAVE_BPF_GUARD_H
#define SYNWAVE_BPF_GUARD_H

#include "synwave/guard.h"

#include "maps.h"

static __always_inline u64 *sw_guard_cell(void *shell, u32 at)
{
	(void)shell;
	return bpf_map_lookup_elem(&guard_cells, &at);
}

static __always_inline u32 sw_guard_listed(void *shell, u32 gen, const u32 addr[4])
{
	struct sw_list_key key = {.prefix = SW_LIST_BITS + 128, .gen = gen};
	u32 wide = bpf_ntohl(addr[3]) >> 16;
	const u64 *first = sw_guard_cell(shell, SW_GUARD_FIRST + (gen & 1) * SW_FIRST_WORDS + SW_FIRST_WORD(wide));

	if (first && sw_is_mapped(addr)) {
		u32 said = *first >> SW_FIRST_SHIFT(wide) & 3;
		if (said != SW_FIRST_ASK)
			return said;
	}
	struct sw_list_value *v;

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	v = bpf_map_lookup_elem(&guard_lists, &key);
	return v ? v->verdict : 0;
}

static __always_inline struct sw_limit_value *sw_guard_limit(void *shell, u32 gen, const u32 addr[4], u16 port)
{
	(void)shell;
	struct sw_limit_key key = {.gen = gen, .port = port};

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return bpf_map_lookup_elem(&guard_limits, &key);
}

static __always_inline struct sw_verified *sw_guard_verified(void *shell, u32 at)
{
	(void)shell;
	return bpf_map_lookup_elem(&guard_verified, &at);
}

/* The rules in force, NULL when the guard is off. */
static __always_inline const struct sw_guard_rules *guard_now(u32 *gen)
{
	u32 at = 0;
	const struct sw_guard *g = bpf_map_lookup_elem(&guard, &at);

	if (!g)
		return NULL;
	*gen = g->gen;
	at = *gen & 1;
	const struct sw_guard_rules *r = bpf_map_lookup_elem(&guard_rules, &at);
	return r && r->mode != SW_GUARD_OFF ? r : NULL;
}

static __always_inline const u32 *source_addr(const struct sw_packet *p)
{
	return p->from ? p->key.addr[1] : p->key.addr[0];
}

static __always_inline const u32 *target_addr(const struct sw_packet *p)
{
	return p->from ? p->key.addr[0] : p->key.addr[1];
}

static __always_inline u16 target_port(const struct sw_packet *p)
{
	return p->from ? p->key.port[0] : p->key.port[1];
}

/* A source that is limited or denied, for those who ask who it is. */
static __always_inline void guard_note_source(const struct sw_guard_rules *r, const struct sw_packet *p,
					      const struct sw_judgement *j, u64 now)
{
	u32 zero = 0, at = j->row, prefix = SW_TOP_DENIED;
	struct sw_top *top = bpf_map_lookup_elem(&guard_top, &zero);
	const u32 *addr = source_addr(p);

	if (!top)
		return;
	if (j->verdict == SW_V_DROP_SOURCE) {
		if (at >= SW_GUARD_ROWS)
			return;
		prefix = r->row[at].prefix;
		addr = j->addr;
	}
	sw_top_add(top, addr, prefix, p->v6, sw_guard_hash(&conf, addr, prefix), now);
}

/* What the SYN in the scratch leaves behind, its verdict being final. To the verifier, too, a function of its own: what it
 * knows of the way here would multiply what follows. */
__attribute__((noinline)) int guard_charge(void)
{
	u32 gen;
	struct scratch *w = workplace();
	const struct sw_guard_rules *r = guard_now(&gen);

	if (!w || !r)
		return 0;
	sw_guard_charge(NULL, &conf, r, gen, &w->packet, w->now, &w->judgement);
	SW_STAGE();
	if (w->judgement.verdict == SW_V_DROP_SOURCE || w->judgement.verdict == SW_V_DROP_DENY)
		guard_note_source(r, &w->packet, &w->judgement, w->now);
	return 0;
}

/* The client of the segment's connection proved its address; `server`: which end of the key is the server's. */
static __always_inline void guard_verified_client(const struct sw_packet *p, u32 server, u64 now)
{
	u32 gen;

	if (guard_now(&gen))
		sw_verify(NULL, &conf, server ? p->key.addr[0] : p->key.addr[1], p->v6, now);
}

/* A source that no host has: an answer to it would go to somebody who does not own it, or to everybody. */
static __always_inline bool is_martian(const u32 *src, const u32 *dst, bool v6)
{
	u32 top = bpf_ntohl(v6 ? src[0] : src[3]) >> 24;
	bool same = !((src[0] ^ dst[0]) | (src[1] ^ dst[1]) | (src[2] ^ dst[2]) | (src[3] ^ dst[3]));

	if (v6) /* ::/96 (unspecified, loopback), multicast */
		return same || top == 0xff || !(src[0] | src[1] | src[2]);
	return same || top == 0 || top == 127 || top >= 224;
}

/* May the guard answer the segment in the scratch: does this host's own stack answer for its service? Whatever is learned or
 * said, a frame for another host's MAC is not ours, nor is a loopback address on a wire. To the verifier, too, a function of
 * its own: the stack. */
__attribute__((noinline)) int may_answer(void)
{
	u32 gen;
	struct scratch *w = workplace();
	const struct sw_guard_rules *r = guard_now(&gen);

	if (!w || !r)
		return false;
	const u32 *to = target_addr(&w->packet);
	u16 port = target_port(&w->packet);
	const struct sw_limit_value *own = r->services ? sw_guard_limit(NULL, gen, to, port) : NULL;
	u32 said = own ? own->limit.local : r->other.local;
	bool loopback = w->packet.v6 ? !(to[0] | to[1] | to[2] | (to[3] ^ bpf_htonl(1)))
				     : (to[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);

	if (!w->for_us || loopback || said == SW_LOCAL_NO || is_martian(source_addr(&w->packet), to, w->packet.v6))
		return false;
	return said == SW_LOCAL_YES || sw_is_local(NULL, sw_local_hash(&conf, netns, to, port));
}

/* A SYN-ACK leaves, of this host's own stack or forwarded: whose service is it? */
static __always_inline void guard_learn(const struct sw_packet *p, u64 now)
{
	u16 port = p->from ? p->key.port[1] : p->key.port[0];

	sw_learn_local(NULL, sw_local_hash(&conf, netns, source_addr(p), port), p->local, now);
}

/* Counts what was decided; what to do with the SYN. */
static __always_inline u32 guard_act(const struct scratch *w, struct sw_stats *st, const struct sw_guard_rules *r,
				     u32 verdict)
{
	const struct sw_packet *p = &w->packet;
	u32 zero = 0;
	struct sw_acts *acts = bpf_map_lookup_elem(&guard_acts, &zero);

	if (r->mode != SW_GUARD_ENFORCE)
		verdict = sw_would(verdict);
	if (verdict >= SW_VERDICT_COUNT)
		return SW_ACT_PASS;
	st->verdict[verdict]++;
	if (replay)
		replay_io.verdict = verdict;
	u32 act = sw_act_of[verdict];
	SW_OPAQUE(act);
	if (act >= SW_ACT_COUNT)
		return SW_ACT_PASS;
	/* port 0 marks a free entry; nobody listens there */
	if (!acts || !target_port(p) ||
	    !sw_act_add(acts, w->judgement.service_hash, target_addr(p), target_port(p), act))
		st->other_act[act]++;
	return act;
}

#endif
