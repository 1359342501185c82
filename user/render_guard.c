// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `guard show`, and the guard's counters wherever they are shown. */
#include "render.h"
#include "snapshot.h"

#define VERDICT_(symbol, verdict, reason, help) {verdict, reason},
const struct verdict_word verdict_word[SW_VERDICT_COUNT] = {SW_VERDICTS(VERDICT_)};

/* JSON keys of the five verdicts, in the order of enum sw_act. */
const char *const act_name[SW_ACT_COUNT] = {"passed", "dropped", "challenged", "would_drop", "would_challenge"};

u64 guard_act_sum(const struct sw_stats *c, u32 act)
{
	static const char *const verdict[SW_ACT_COUNT] = {"pass", "drop", "challenge", "would_drop", "would_challenge"};
	u64 n = 0;

	for (u32 i = 0; i < SW_VERDICT_COUNT; i++)
		if (!strcmp(verdict_word[i].verdict, verdict[act]))
			n += c->verdict[i];
	return n;
}

bool guard_reason_sum(const struct sw_stats *c, u32 i, u64 *n)
{
	*n = 0;
	for (u32 k = 0; k < SW_VERDICT_COUNT; k++) {
		if (strcmp(verdict_word[i].reason, verdict_word[k].reason))
			continue;
		if (k < i)
			return false;
		*n += c->verdict[k];
	}
	return true;
}

void render_guard_counts(struct json *j, u32 mode, const struct sw_stats *c)
{
	json_ks(j, "mode", guard_mode_name[mode < SW_GUARD_MODES ? mode : SW_GUARD_OFF]);
	for (u32 act = 0; act < SW_ACT_COUNT; act++)
		json_kn(j, act_name[act], guard_act_sum(c, act));
	json_kn(j, "cookies_sent", c->cookie[SW_COOKIE_SENT]);
	json_kn(j, "cookies_valid", c->cookie[SW_COOKIE_VALID]);
	json_kn(j, "cookies_invalid", c->cookie[SW_COOKIE_INVALID]);
	json_key(j, "by_reason");
	json_obj(j);
	for (u32 i = 0; i < SW_VERDICT_COUNT; i++) {
		u64 n;
		if (guard_reason_sum(c, i, &n))
			json_kn(j, verdict_word[i].reason, n);
	}
	json_end_obj(j);
}

static void json_limit(struct json *j, const struct sw_limit *l, bool service)
{
	char rate[TEXT_SIZE];

	snprintf(rate, sizeof(rate), "%llu/%s", (unsigned long long)l->rate, words_unit(l->per_ns));
	json_ks(j, "rate", rate);
	json_kn(j, "burst", l->burst);
	if (!service)
		return;
	json_ks(j, "over", guard_over_name[l->over & 1]);
	json_ks(j, "local", guard_local_name[l->local < SW_LOCALS ? l->local : SW_LOCAL_LEARN]);
}

static void json_rules(struct json *j, const struct ruleset *rs)
{
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	json_key(j, "source");
	json_arr(j);
	for (u32 i = 0; i < rs->rules.rows; i++) {
		json_obj(j);
		json_ks(j, "family", rs->rules.row[i].v6 ? "ipv6" : "ipv4");
		json_kn(j, "prefix", rs->rules.row[i].prefix);
		json_limit(j, &rs->rules.row[i].limit, false);
		json_end_obj(j);
	}
	json_end_arr(j);
	json_key(j, "service");
	json_obj(j);
	if (rs->rules.other.interval) {
		json_key(j, "default");
		json_obj(j);
		json_limit(j, &rs->rules.other, true);
		json_end_obj(j);
	}
	for (u32 i = 0; i < rs->services; i++) {
		json_key(j, text_endpoint(name, text_addr(addr, rs->service[i].addr), rs->service[i].port));
		json_obj(j);
		json_limit(j, &rs->service[i].limit, true);
		json_end_obj(j);
	}
	json_end_obj(j);
	for (u32 listed = SW_LIST_ALLOW; listed <= SW_LIST_DENY; listed++) {
		json_key(j, listed == SW_LIST_ALLOW ? "allow" : "deny");
		json_arr(j);
		for (u32 i = 0; i < rs->prefixes; i++) {
			char text[TEXT_SIZE + 8];
			if (rs->prefix[i].listed != listed)
				continue;
			snprintf(text, sizeof(text), "%s/%u", text_addr(addr, rs->prefix[i].addr), rs->prefix[i].bits);
			json_str(j, text);
		}
		json_end_arr(j);
	}
}

char *text_source(char name[TEXT_SIZE + 8], const struct sw_top_entry *e)
{
	char addr[TEXT_SIZE];

	if (e->prefix == SW_TOP_DENIED)
		snprintf(name, TEXT_SIZE + 8, "%s", text_addr(addr, e->addr));
	else
		snprintf(name, TEXT_SIZE + 8, "%s/%u", text_addr(addr, e->addr), e->prefix);
	return name;
}

void render_guard_json(struct json *j, const struct guard_view *v)
{
	static const char *const flags[] = {"cookie_fallback", "bogus_acks", "fragments"};

	json_obj(j);
	render_guard_counts(j, v->rules.rules.mode, &v->count);
	json_kn(j, "verified_sources", v->verified);
	json_key(j, "rules");
	json_obj(j);
	json_rules(j, &v->rules);
	for (size_t i = 0; i < SW_ARRAY_SIZE(flags); i++)
		json_ks(j, flags[i], ruleset_flag_drops(&v->rules, flags[i]) ? "drop" : "pass");
	json_kn(j, "verified_s", v->rules.rules.verified_s);
	json_end_obj(j);
	json_key(j, "top");
	json_arr(j);
	for (int i = 0; i < v->tops; i++) {
		const struct sw_top_entry *e = &v->top[i];
		char name[TEXT_SIZE + 8];

		json_obj(j);
		json_ks(j, "source", text_source(name, e));
		json_ks(j, "reason", e->prefix == SW_TOP_DENIED ? "deny" : "source");
		json_kn(j, "count", e->count);
		json_kn(j, "error", e->error);
		json_kn(j, "idle_ns", v->now_ns > e->last_ns ? v->now_ns - e->last_ns : 0);
		json_end_obj(j);
	}
	json_end_arr(j);
	json_end_obj(j);
	json_line(j);
}

void render_guard_verdicts(FILE *out, const struct sw_stats *c)
{
	static const char *const help[SW_VERDICT_COUNT] = {
#define HELP_(symbol, verdict, reason, text) text,
		SW_VERDICTS(HELP_)
#undef HELP_
	};
	char n[TEXT_SIZE];

	fprintf(out, "%-16s %-12s %14s\n", "VERDICT", "REASON", "SYNS");
	for (u32 i = 0; i < SW_VERDICT_COUNT; i++)
		if (c->verdict[i])
			fprintf(out, "%-16s %-12s %14s  %s\n", verdict_word[i].verdict, verdict_word[i].reason,
				text_count(n, c->verdict[i]), help[i]);
}

void render_guard_text(FILE *out, const struct guard_view *v)
{
	char n[TEXT_SIZE], m[TEXT_SIZE], name[TEXT_SIZE + 8];

	ruleset_print(&v->rules, out);
	fputc('\n', out);
	render_guard_verdicts(out, &v->count);
	fprintf(out, "\ncookies sent %s", text_count(n, v->count.cookie[SW_COOKIE_SENT]));
	fprintf(out, ", valid %s, invalid %s", text_count(n, v->count.cookie[SW_COOKIE_VALID]),
		text_count(m, v->count.cookie[SW_COOKIE_INVALID]));
	fprintf(out, "; verified sources %s\n", text_count(n, v->verified));
	if (!v->tops)
		return;
	fprintf(out, "\n%-44s %14s %12s  %s\n", "LIMITED OR DENIED SOURCE", "SYNS", "AT MOST OFF", "LAST");
	for (int i = 0; i < v->tops; i++) {
		const struct sw_top_entry *e = &v->top[i];
		char age[TEXT_SIZE];

		fprintf(out, "%-44s %14s %12s  %s ago%s\n", text_source(name, e), text_count(n, e->count),
			text_count(m, e->error),
			text_duration(age, v->now_ns > e->last_ns ? v->now_ns - e->last_ns : 0),
			e->prefix == SW_TOP_DENIED ? ", denied" : "");
	}
}
