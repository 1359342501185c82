// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "engine_guard.h"

#include <stdlib.h>
#include <string.h>

#include "synwave/guard.h"

struct engine_guard {
	const struct sw_conf *conf;
	const struct ruleset *rs;
	struct sw_limit_value *limit; /* one a service of the rules */
	u64 *cell;
	struct sw_verified *verified;
};

static u64 *sw_guard_cell(void *shell, u32 at)
{
	struct engine_guard *g = shell;

	return &g->cell[at];
}

static u32 sw_guard_listed(void *shell, u32 gen, const u32 addr[4])
{
	struct engine_guard *g = shell;

	(void)gen;
	return ruleset_listed(g->rs, addr, !sw_is_mapped(addr));
}

static struct sw_limit_value *sw_guard_limit(void *shell, u32 gen, const u32 addr[4], u16 port)
{
	struct engine_guard *g = shell;

	(void)gen;
	for (u32 i = 0; i < g->rs->services; i++)
		if (g->rs->service[i].port == port && !memcmp(g->rs->service[i].addr, addr, 16))
			return &g->limit[i];
	return NULL;
}

static struct sw_verified *sw_guard_verified(void *shell, u32 at)
{
	struct engine_guard *g = shell;

	return &g->verified[at];
}

struct engine_guard *engine_guard_open(const struct sw_conf *conf, const struct ruleset *rs)
{
	struct engine_guard *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->conf = conf;
	g->rs = rs;
	g->limit = calloc(rs->services + 1, sizeof(*g->limit));
	g->cell = calloc(SW_GUARD_ALL_CELLS, sizeof(*g->cell));
	g->verified = calloc(SW_VERIFIED_SETS, sizeof(*g->verified));
	if (!g->limit || !g->cell || !g->verified) {
		engine_guard_close(g);
		return NULL;
	}
	for (u32 i = 0; i < rs->services; i++)
		g->limit[i].limit = rs->service[i].limit;
	return g;
}

void engine_guard_close(struct engine_guard *g)
{
	if (!g)
		return;
	free(g->limit);
	free(g->cell);
	free(g->verified);
	free(g);
}

static u32 in_mode(const struct engine_guard *g, u32 verdict)
{
	return g->rs->rules.mode == SW_GUARD_ENFORCE ? verdict : sw_would(verdict);
}

u32 engine_guard_judge(struct engine_guard *g, const struct sw_packet *p, enum sw_known known, u64 now)
{
	struct sw_guard_rules rules = g->rs->rules;
	struct sw_judgement j = {0};

	rules.listed = g->rs->prefixes;
	rules.services = g->rs->services;
	if (rules.mode == SW_GUARD_OFF)
		return SW_VERDICT_COUNT;
	sw_guard_weigh(g, g->conf, &rules, 0, p, now, &j);
	if (p->cut && !(rules.flags & SW_GUARD_FRAGMENTS_PASS) && j.verdict != SW_V_PASS_ALLOW)
		j.verdict = SW_V_DROP_FRAGMENT;
	if (j.verdict == SW_V_DROP_SERVICE && known == SW_KNOWN_LIVING)
		j.verdict = SW_V_PASS_CONNECTION;
	sw_guard_charge(g, g->conf, &rules, 0, p, now, &j);
	return in_mode(g, j.verdict);
}

u32 engine_guard_unread(struct engine_guard *g, enum sw_reason why)
{
	u32 verdict = why == SW_CUT ? SW_V_DROP_FRAGMENT : SW_V_DROP_HEADERS;

	if (why != SW_CUT && why != SW_TAGS && why != SW_BAD_IP6_EXT)
		return SW_VERDICT_COUNT;
	if (g->rs->rules.mode == SW_GUARD_OFF || g->rs->rules.flags & SW_GUARD_FRAGMENTS_PASS)
		return SW_VERDICT_COUNT;
	return in_mode(g, verdict);
}

void engine_guard_verified(struct engine_guard *g, const struct sw_packet *p, u32 server, u64 now)
{
	if (g->rs->rules.mode != SW_GUARD_OFF)
		sw_verify(g, g->conf, server ? p->key.addr[0] : p->key.addr[1], p->v6, now);
}
