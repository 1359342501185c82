/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard: what becomes of a SYN before any state is made for it. Allow list, deny list, a limit per source prefix, a
 * limit per service.
 *
 * Limits are GCRA; the cells of sources lie in sketches, so that no number of sources needs more memory, and no flood
 * can push anybody out: each row of the rules has two lines of cells under a key that nobody knows, a SYN is over the
 * limit only if both of its cells are, and only SYNs that reach the kernel are charged. Plain memory and no clock: the
 * shell that includes this defines the three functions declared first. */
#ifndef SYNWAVE_GUARD_H
#define SYNWAVE_GUARD_H

#include "abi.h"
#include "local.h"
#include "parse.h"

/* A cell of the sketches, below SW_GUARD_ALL_CELLS; NULL: no such map. */
static u64 *sw_guard_cell(void *shell, u32 at);
/* What the lists say of an address of generation `gen`: SW_LIST_* or 0. */
static u32 sw_guard_listed(void *shell, u32 gen, const u32 addr[4]);
/* The row of a service, or NULL. */
static struct sw_limit_value *sw_guard_limit(void *shell, u32 gen, const u32 addr[4], u16 port);
/* The line of a verified source, or NULL. */
static struct sw_verified *sw_guard_verified(void *shell, u32 at);

/* What was decided, and what the shell needs to act on it. */
struct sw_judgement {
	u32 verdict; /* enum sw_verdict, as if enforced */
	u32 row; /* of the source limit that was over */
	u64 service_hash; /* of the address and port that the SYN is for */
	u32 addr[4]; /* of the source, masked by that row */
};

SW_TABLE u8 sw_act_of[SW_VERDICT_COUNT] = {
	[SW_V_DROP_DENY] = SW_ACT_DROP,
	[SW_V_DROP_SOURCE] = SW_ACT_DROP,
	[SW_V_DROP_SERVICE] = SW_ACT_DROP,
	[SW_V_DROP_NO_COOKIE] = SW_ACT_DROP,
	[SW_V_DROP_NOT_LOCAL] = SW_ACT_DROP,
	[SW_V_DROP_FRAGMENT] = SW_ACT_DROP,
	[SW_V_DROP_HEADERS] = SW_ACT_DROP,
	[SW_V_CHALLENGE_SERVICE] = SW_ACT_CHALLENGE,
	[SW_V_WOULD_DROP_DENY] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_SOURCE] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_SERVICE] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_NO_COOKIE] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_NOT_LOCAL] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_FRAGMENT] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_DROP_HEADERS] = SW_ACT_WOULD_DROP,
	[SW_V_WOULD_CHALLENGE_SERVICE] = SW_ACT_WOULD_CHALLENGE,
};

/* What a dry run says instead. */
SW_INLINE u32 sw_would(u32 verdict)
{
	return verdict < SW_V_FIRST_DROP ? verdict : verdict + (SW_V_FIRST_WOULD - SW_V_FIRST_DROP);
}

/* a - b, or 0 when a is not later. Without branches: each would double what the verifier has to follow. */
SW_INLINE u64 sw_ahead(u64 a, u64 b)
{
	s64 d = a - b;

	return d & ~(d >> 63);
}

/* 1 when the cell is further ahead of `now` than the limit allows, else 0. */
SW_INLINE u32 sw_gcra_over(u64 cell, u64 now, const struct sw_limit *l)
{
	u64 room = l->tolerance - (cell - now);

	SW_OPAQUE(room);
	return room >> 63;
}

#define SW_GCRA_TRIES 8
#define SW_GCRA_SLACK 8 /* what CPUs that met on a cell may have taken too much is paid back, up to so many SYNs */

/* Takes one SYN from a cell, exactly once whoever else does. What strangers added to the cell beyond the limit is cut
 * off: a cell recovers within SW_GCRA_SLACK intervals. */
SW_INLINE void sw_gcra_add(u64 *cell, u64 now, const struct sw_limit *l, u64 interval)
{
	u64 most = now + l->tolerance + SW_GCRA_SLACK * l->interval;

	for (int i = 0; i < SW_GCRA_TRIES; i++) {
		u64 old = *(volatile u64 *)cell;
		u64 next = now + sw_ahead(old, now) + interval;

		next -= sw_ahead(next, most);
		if (__sync_val_compare_and_swap(cell, old, next) == old)
			return;
	}
}

SW_INLINE void sw_gcra_take(u64 *cell, u64 now, const struct sw_limit *l)
{
	sw_gcra_add(cell, now, l, l->interval);
}

/* Where the two cells of a source lie; `salt`: the row; `cells`: of a line. */
SW_INLINE u32 sw_source_cell(u64 hash, u32 row, u32 line, u32 cells)
{
	return (2 * row + line) * cells + ((line ? hash >> 32 : hash) & (cells - 1));
}

SW_INLINE u32 sw_service_cell(u64 hash, u32 line)
{
	return SW_GUARD_SOURCE_CELLS + line * SW_GUARD_SERVICE_CELLS +
	       ((line ? hash >> 32 : hash) & (SW_GUARD_SERVICE_CELLS - 1));
}

/* Two cells of one owner. */
struct sw_pair {
	u64 *cell[2];
};

SW_INLINE bool sw_pair_over(const struct sw_pair *c, u64 now, const struct sw_limit *l)
{
	return sw_gcra_over(*c->cell[0], now, l) & sw_gcra_over(*c->cell[1], now, l);
}

/* Charges one owner. A cell that is far ahead of the other is so because of strangers: it is left alone (conservative
 * update), which halves what a flood of sources that come once fills. Near each other both are charged, so that CPUs which
 * charge one source at the same moment lose nothing. */
SW_INLINE void sw_pair_take(const struct sw_pair *c, u64 now, const struct sw_limit *l)
{
	u64 a = sw_ahead(*(volatile u64 *)c->cell[0], now), b = sw_ahead(*(volatile u64 *)c->cell[1], now);
	s64 near = SW_GCRA_SLACK * l->interval, a_far = near - (s64)(a - b), b_far = near - (s64)(b - a);

	/* without branches, see sw_ahead: the far one is charged nothing */
	SW_OPAQUE(a_far);
	SW_OPAQUE(b_far);
	sw_gcra_add(c->cell[0], now, l, l->interval & ~(a_far >> 63));
	sw_gcra_add(c->cell[1], now, l, l->interval & ~(b_far >> 63));
}

/* The cells of `addr` under a row; false: a map is missing. */
SW_INLINE bool sw_source_pair(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_row *row, u32 at,
			      u32 cells, const u32 addr[4], u32 masked[4], struct sw_pair *c)
{

	SW_UNROLL
	for (int i = 0; i < 4; i++)
		masked[i] = addr[i] & row->mask[i];
	u64 hash = sw_guard_hash(conf, masked, at);
	c->cell[0] = sw_guard_cell(shell, sw_source_cell(hash, at, 0, cells));
	c->cell[1] = sw_guard_cell(shell, sw_source_cell(hash, at, 1, cells));
	return c->cell[0] && c->cell[1];
}

/* Every row of the family: is one over? Or, with `take`: they are charged. */
SW_INLINE u32 sw_guard_source(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_rules *r,
			      const u32 addr[4], u32 v6, u64 now, bool take, struct sw_judgement *j)
{
	for (u32 i = 0; i < SW_GUARD_ROWS; i++) {
		u32 at = i;
		struct sw_pair c;

		SW_OPAQUE(
			at); /* with a mask of its own: older verifiers forget what they knew of a number on the stack */
		const struct sw_guard_row *row = &r->row[at & (SW_GUARD_ROWS - 1)];

		if (i >= r->rows)
			break;
		if (row->v6 != v6)
			continue;
		if (!sw_source_pair(shell, conf, row, i, r->cells, addr, j->addr, &c))
			return SW_V_PASS_ERROR;
		if (take) {
			sw_pair_take(&c, now, &row->limit);
		} else if (sw_pair_over(&c, now, &row->limit)) {
			j->row = i;
			return SW_V_DROP_SOURCE;
		}
	}
	return SW_V_PASS_WITHIN;
}

/* Verified sources: IPv4 by address, IPv6 by /64. */
SW_INLINE u64 sw_verified_hash(const volatile struct sw_conf *conf, const u32 addr[4], u32 v6)
{
	u32 masked[4] = {addr[0], addr[1], v6 ? 0 : addr[2], v6 ? 0 : addr[3]};

	return sw_guard_hash(conf, masked, 256 + v6);
}

/* In the sieve: the bit of a source's hash, or of its word in a line, in that line's half of a word. */
SW_INLINE u64 sw_sieve_bit(u64 word, u32 set)
{
	return 1ULL << (word >> 59 | (set & 1) << 5);
}

SW_INLINE bool sw_is_verified(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_rules *r,
			      const u32 addr[4], u32 v6, u64 now)
{
	u64 hash = sw_verified_hash(conf, addr, v6), known = 0;
	u64 age = (u64)r->verified_s * SW_NS_PER_S >> SW_VERIFIED_TICK;
	u32 set = hash & (SW_VERIFIED_SETS - 1), tick = now >> SW_VERIFIED_TICK;
	const u64 *sieve = sw_guard_cell(shell, SW_GUARD_SIEVE + set / 2);

	if (!sieve || !(*sieve & sw_sieve_bit(hash, set)))
		return false;
	const struct sw_verified *line = sw_guard_verified(shell, set);
	if (!line)
		return false;
	SW_UNROLL
	for (int i = 0; i < SW_VERIFIED_WAYS; i++) {
		u64 other = (line->way[i] ^ hash) >> 32, since = tick - (u32)line->way[i];
		known |= ~(-other | (age - since)) >> 63; /* the sign bits of "not it" and "too old" */
	}
	return known;
}

/* Brings a line's bits of the sieve up to date. Two CPUs at one line: the later one sees what both wrote, for each has
 * written its word by an exchange, which orders it before what is read here; a plain store may wait in the CPU (x86 too). */
SW_INLINE void sw_sieve(u64 *sieve, const struct sw_verified *line, u32 set)
{
	for (int tries = 0; tries < SW_GCRA_TRIES; tries++) {
		u64 old = *(volatile u64 *)sieve, bits = old & 0xffffffffULL << ((set & 1) ? 0 : 32);

		SW_UNROLL
		for (int i = 0; i < SW_VERIFIED_WAYS; i++) {
			u64 word = *(const volatile u64 *)&line->way[i];
			bits |= word ? sw_sieve_bit(word, set) : 0;
		}
		if (bits == old || __sync_val_compare_and_swap(sieve, old, bits) == old)
			return;
	}
}

/* Remembers a source that proved its address, in place of the one that did so longest ago. */
SW_INLINE void sw_verify(void *shell, const volatile struct sw_conf *conf, const u32 addr[4], u32 v6, u64 now)
{
	u64 hash = sw_verified_hash(conf, addr, v6);
	u32 set = hash & (SW_VERIFIED_SETS - 1), tick = now >> SW_VERIFIED_TICK, oldest = 0, victim = 0;
	struct sw_verified *line = sw_guard_verified(shell, set);
	u64 *sieve = sw_guard_cell(shell, SW_GUARD_SIEVE + set / 2);

	if (!line || !sieve)
		return;
	SW_UNROLL
	for (u32 i = 0; i < SW_VERIFIED_WAYS; i++) {
		u64 way = line->way[i];
		u32 age = (way ^ hash) >> 32 == 0 ? ~0u
			  : way                   ? tick - (u32)way
						  : ~0u - 1; /* itself, else free, else old */

		if (i == 0 || age > oldest) {
			oldest = age;
			victim = i;
		}
	}
	u64 word = (hash & ~0xffffffffULL) | tick;
	if (victim < SW_VERIFIED_WAYS && line->way[victim] != word)
		__sync_lock_test_and_set(&line->way[victim], word);
	sw_sieve(sieve, line, set);
}

/* Over the limit of the service? Or, with `take`: it is charged. */
SW_INLINE u32 sw_guard_service(void *shell, const struct sw_guard_rules *r, u32 gen, const u32 addr[4], u16 port,
			       u64 now, bool take, struct sw_judgement *j)
{
	struct sw_limit_value *own = r->services ? sw_guard_limit(shell, gen, addr, port) : NULL;
	const struct sw_limit *l = own ? &own->limit : &r->other;
	struct sw_pair c;

	if (!l->interval)
		return SW_V_PASS_WITHIN;
	if (own) {
		c.cell[0] = c.cell[1] = &own->cell;
	} else {
		c.cell[0] = sw_guard_cell(shell, sw_service_cell(j->service_hash, 0));
		c.cell[1] = sw_guard_cell(shell, sw_service_cell(j->service_hash, 1));
		if (!c.cell[0] || !c.cell[1])
			return SW_V_PASS_ERROR;
	}
	if (take) {
		sw_gcra_take(c.cell[0], now, l);
		if (!own)
			sw_gcra_take(c.cell[1], now, l);
	} else if (sw_pair_over(&c, now, l)) {
		return l->over == SW_OVER_DROP ? SW_V_DROP_SERVICE : SW_V_CHALLENGE_SERVICE;
	}
	return SW_V_PASS_WITHIN;
}

/* A SYN, judged as if the rules were enforced. Changes nothing but `j`. */
SW_INLINE void sw_guard_weigh(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_rules *r, u32 gen,
			      const struct sw_packet *p, u64 now, struct sw_judgement *j)
{
	const u32 *from = p->from ? p->key.addr[1] : p->key.addr[0], *to = p->from ? p->key.addr[0] : p->key.addr[1];
	u32 listed = r->listed ? sw_guard_listed(shell, gen, from) : 0;
	u16 port = p->from ? p->key.port[0] : p->key.port[1];

	j->service_hash = sw_guard_hash(conf, to, 512 + port);
	j->verdict = listed & SW_LIST_ALLOW ? SW_V_PASS_ALLOW : SW_V_DROP_DENY;
	if (listed)
		return;
	j->verdict = sw_guard_source(shell, conf, r, from, p->v6, now, false, j);
	if (j->verdict != SW_V_PASS_WITHIN)
		return;
	j->verdict = sw_guard_service(shell, r, gen, to, port, now, false, j);
	if ((j->verdict == SW_V_DROP_SERVICE || j->verdict == SW_V_CHALLENGE_SERVICE) &&
	    sw_is_verified(shell, conf, r, from, p->v6, now))
		j->verdict = SW_V_PASS_VERIFIED;
}

/* Charges a SYN whose verdict is final. What passes is charged to its source, whatever the reason, unless the source is on
 * the allow list; what does not reach the kernel is charged to nobody: a flood that the service's limit stops does not use
 * up what the addresses it forges are allowed. */
SW_INLINE void sw_guard_charge(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_rules *r,
			       u32 gen, const struct sw_packet *p, u64 now, struct sw_judgement *j)
{
	const u32 *from = p->from ? p->key.addr[1] : p->key.addr[0], *to = p->from ? p->key.addr[0] : p->key.addr[1];
	u16 port = p->from ? p->key.port[0] : p->key.port[1];

	if (j->verdict == SW_V_PASS_WITHIN)
		sw_guard_service(shell, r, gen, to, port, now, true, j);
	if (j->verdict < SW_V_FIRST_DROP && j->verdict != SW_V_PASS_ALLOW)
		sw_guard_source(shell, conf, r, from, p->v6, now, true, j);
}

SW_INLINE void sw_guard_judge(void *shell, const volatile struct sw_conf *conf, const struct sw_guard_rules *r, u32 gen,
			      const struct sw_packet *p, u64 now, struct sw_judgement *j)
{
	sw_guard_weigh(shell, conf, r, gen, p, now, j);
	sw_guard_charge(shell, conf, r, gen, p, now, j);
}

/* --- services that this host answers ------------------------------------------------------------------------------- */
/* Was a SYN-ACK of the service seen to leave this host's own stack, and none to be forwarded after it? */
SW_INLINE bool sw_is_local(void *shell, u64 hash)
{
	bool known = false;

	SW_UNROLL
	for (u32 i = 0; i < SW_LOCAL_WAYS; i++) {
		const u64 *word = sw_guard_cell(shell, sw_local_cell(hash, i));

		known |= word && sw_local_is(*word, hash);
	}
	return known;
}

/* A SYN-ACK of the service leaves: by this host's own stack (`ours`), or forwarded, which takes back what was learned. */
SW_INLINE void sw_learn_local(void *shell, u64 hash, bool ours, u64 now)
{
	u64 *victim = NULL, oldest = 0, word = (hash & ~0xffffffffULL) | (u32)(now >> SW_VERIFIED_TICK) | 1;
	u32 tick = now >> SW_VERIFIED_TICK;

	SW_UNROLL
	for (u32 i = 0; i < SW_LOCAL_WAYS; i++) {
		u64 *cell = sw_guard_cell(shell, sw_local_cell(hash, i)), age;

		if (!cell)
			return;
		bool same = sw_local_is(*cell, hash);
		if (same && !ours)
			*(volatile u64 *)cell = 0;
		age = same ? ~0ULL : *cell ? (u32)(tick - (u32)*cell) : ~0ULL - 1;
		if (!victim || age > oldest) {
			oldest = age;
			victim = cell;
		}
	}
	if (ours && victim && *victim != word)
		*(volatile u64 *)victim = word;
}

/* Counts what was done with a SYN to a service. False: there is no place for it. */
SW_INLINE bool sw_act_add(struct sw_acts *acts, u64 hash, const u32 addr[4], u16 port, u32 act)
{
	struct sw_act_entry *set = acts->entry[hash >> 40 & (SW_ACT_SETS - 1)];

	SW_UNROLL
	for (u32 i = 0; i < SW_ACT_WAYS; i++) {
		struct sw_act_entry *e = &set[i];

		if (!e->port) {
			e->port = port;
			__builtin_memcpy(e->addr, addr, sizeof(e->addr));
		} else if (e->port != port || e->addr[3] != addr[3] || e->addr[2] != addr[2] || e->addr[1] != addr[1] ||
			   e->addr[0] != addr[0]) {
			continue;
		}
		e->act[act]++;
		return true;
	}
	return false;
}

/* Counts a source that was limited. `hash`: of `addr`, as masked. An entry that saw nothing for a minute gives way. */
SW_INLINE void sw_top_add(struct sw_top *top, const u32 addr[4], u32 prefix, u32 v6, u64 hash, u64 now)
{
	struct sw_top_entry *set = top->entry[hash & (SW_TOP_SETS - 1)];
	u64 least = ~0ULL;
	u32 at = 0;

	SW_UNROLL
	for (u32 i = 0; i < SW_TOP_WAYS; i++) {
		struct sw_top_entry *e = &set[i];

		if (e->addr[0] == addr[0] && e->addr[1] == addr[1] && e->addr[2] == addr[2] && e->addr[3] == addr[3] &&
		    e->prefix == prefix && e->count) {
			e->count++;
			e->last_ns = now;
			return;
		}
		u64 weight = now - e->last_ns > 60 * SW_NS_PER_S ? 0 : e->count;
		if (weight < least) {
			least = weight;
			at = i;
		}
	}
	if (at >= SW_TOP_WAYS)
		return;
	__builtin_memcpy(set[at].addr, addr, sizeof(set[at].addr));
	set[at].prefix = prefix;
	set[at].v6 = v6;
	set[at].error = least;
	set[at].count = least + 1;
	set[at].last_ns = now;
}

#endif
