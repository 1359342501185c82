// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The guard: exactness of its limits, how often it limits the innocent, and its file. */
#include "synwave/guard.h"

#include <math.h>
#include <stdio.h>
#include <arpa/inet.h>
#include <stdlib.h>

#include "../guards.h"
#include "conf.h"
#include "tap.h"
#include "words.h"

void test_guard(void);

/* a shell of our own: engine_guard.c has its functions to itself */
static struct sw_verified lines[SW_VERIFIED_SETS];
static u64 *cells;

static u64 *sw_guard_cell(void *shell, u32 at)
{
	(void)shell;
	if (at >= SW_GUARD_ALL_CELLS)
		abort();
	return &cells[at];
}
static u32 sw_guard_listed(void *shell, u32 gen, const u32 addr[4])
{
	(void)shell, (void)gen, (void)addr;
	return 0;
}
static struct sw_limit_value *sw_guard_limit(void *shell, u32 gen, const u32 addr[4], u16 port)
{
	(void)shell, (void)gen, (void)addr, (void)port;
	return NULL;
}
static struct sw_verified *sw_guard_verified(void *shell, u32 at)
{
	(void)shell;
	return &lines[at];
}

static u64 seed = 88172645463325252ULL;
static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static struct ruleset rules(const char *yaml)
{
	char why[RULESET_WHY];
	struct ruleset rs;

	if (load_text(&rs, yaml, why)) {
		printf("%s\n", why);
		abort();
	}
	return rs;
}

static struct sw_packet syn_from(u32 n)
{
	struct sw_packet p = {.kind = SW_KIND_SYN, .flags = SW_TCP_SYN};

	p.key.addr[0][2] = p.key.addr[1][2] = bpf_htonl(0xffff);
	p.key.addr[0][3] = bpf_htonl(0x0a000000 + n);
	p.key.addr[1][3] = bpf_htonl(0x0b000001);
	p.key.port[0] = 40000;
	p.key.port[1] = 80;
	return p;
}

static u32 judge(const struct sw_conf *conf, const struct ruleset *rs, u32 source, u64 now)
{
	struct sw_packet p = syn_from(source);
	struct sw_judgement j = {0};

	sw_guard_judge(NULL, conf, &rs->rules, 0, &p, now, &j);
	return j.verdict;
}

/* Ten seconds of a source at forty times its rate and more: burst + rate * time, to the SYN. */
static void test_rate(const struct sw_conf *conf)
{
	static const struct {
		const char *rate;
		u32 burst, want; /* admitted in 10 s */
	} rows[] = {{"50/s", 100, 600},       {"50/s", 1, 501},       {"3000/m", 10, 510}, {"7/s", 3, 73},
		    {"333333/s", 5, 3333335}, {"10000/s", 5, 100005}, {"3/m", 1, 1},       {"1/d", 4, 4}};
	char yaml[128];

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++) {
		u64 start = 77 * SW_NS_PER_S, end = start + 10 * SW_NS_PER_S, step = i == 4 ? 700 : 2300;
		struct ruleset rs;
		u32 passed = 0;

		snprintf(yaml, sizeof(yaml), "mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: %s, burst: %u}]",
			 rows[i].rate, rows[i].burst);
		rs = rules(yaml);
		memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
		for (u64 now = start; now <= end; now += step)
			passed += judge(conf, &rs, 1, now) == SW_V_PASS_WITHIN;
		TEST(passed + 2 + rows[i].want / 10000 >= rows[i].want &&
			     passed <= rows[i].want + 1 + rows[i].want / 10000,
		     "%s burst %u: %u passed in 10 s, not %u", rows[i].rate, rows[i].burst, passed, rows[i].want);
		ruleset_free(&rs);
	}
}

/* Against a token bucket in exact fractions, at random times. */
static void test_bucket(const struct sw_conf *conf)
{
	struct ruleset rs = rules("mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: 20/s, burst: 7}]");
	u64 now = SW_NS_PER_S, last = now, interval = 50000000, tokens = 7 * interval;
	int wrong = 0;

	memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
	for (int i = 0; i < 200000; i++) {
		now += rnd() % 8 ? rnd() % 60000000 : rnd() % 400000000;
		tokens += now - last;
		tokens = tokens > 7 * interval ? 7 * interval : tokens;
		last = now;
		bool want = tokens >= interval;
		tokens -= want ? interval : 0;
		wrong += want != (judge(conf, &rs, 5, now) == SW_V_PASS_WITHIN);
	}
	TEST(!wrong, "limit and token bucket: %d of 200000 differ", wrong);
	ruleset_free(&rs);
}

/* `active` sources use up their limit; how many of others are limited for it? (1 - (1 - 1/m)^n)^2 of them. */
static void test_false_positives(const struct sw_conf *conf)
{
	struct ruleset rs = rules("mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: 1/h, burst: 1}]");
	const u32 active[] = {rs.rules.cells / 64, rs.rules.cells / 13, rs.rules.cells / 3, rs.rules.cells};

	for (size_t i = 0; i < SW_ARRAY_SIZE(active); i++) {
		u64 now = SW_NS_PER_S;
		u32 hit = 0, strangers = 100000;

		memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
		for (u32 n = 0; n < active[i]; n++)
			judge(conf, &rs, n, now);
		for (u32 n = 0; n < strangers; n++) {
			struct sw_packet p = syn_from(1 << 23 | n);
			struct sw_judgement j = {0};
			/* asked only, not charged: each is the first stranger */
			hit += sw_guard_source(NULL, conf, &rs.rules, p.key.addr[0], 0, now, false, &j) ==
			       SW_V_DROP_SOURCE;
		}
		double full = 1 - pow(1 - 1.0 / rs.rules.cells, active[i]), want = full * full * strangers;
		/* the cells that are full are themselves a draw: more than the binomial's spread */
		TEST(fabs(hit - want) < 6 * sqrt(want) + 0.02 * want + 3,
		     "%u active sources: %u of %u strangers limited, not %.0f", active[i], hit, strangers, want);
	}
	ruleset_free(&rs);
}

/* SYNs of random sources that pass all the same (no rule for the service, a listener that takes them, a router) are charged
 * to their sources. How many of the innocent are limited because of them? docs/guard.md has these rows. */
static void test_passing_flood(const struct sw_conf *conf)
{
	static const struct {
		const char *rows;
		u32 per_us, seconds, most; /* of 100,000 */
	} floods[] = {
		{"{family: ipv4, prefix: 32, rate: 50/s, burst: 100}", 1, 2, 0},
		{"{family: ipv4, prefix: 32, rate: 50/s, burst: 100}", 10, 2, 0},
		{"{family: ipv4, prefix: 32, rate: 50/s, burst: 100}, {family: ipv4, prefix: 24, rate: 500/s, burst: "
		 "1000}, "
		 "{family: ipv6, prefix: 64, rate: 50/s, burst: 100}",
		 1, 2, 0},
		{"{family: ipv4, prefix: 32, rate: 50/s, burst: 100}, {family: ipv4, prefix: 24, rate: 500/s, burst: "
		 "1000}, "
		 "{family: ipv6, prefix: 64, rate: 50/s, burst: 100}",
		 10, 3, 0},
	};

	for (size_t i = 0; i < SW_ARRAY_SIZE(floods); i++) {
		char yaml[400];
		u64 now = SW_NS_PER_S, count = floods[i].seconds * 1000000ULL * floods[i].per_us;
		struct sw_judgement j = {0};
		struct ruleset rs;
		u32 hit = 0;

		snprintf(yaml, sizeof(yaml), "mode: enforce\nsource: [%s]", floods[i].rows);
		rs = rules(yaml);
		memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
		for (u64 n = 0; n < count; n++, now += 1000 / floods[i].per_us) {
			u32 addr[4] = {0, 0, bpf_htonl(0xffff), rnd()};
			if (sw_guard_source(NULL, conf, &rs.rules, addr, 0, now, false, &j) == SW_V_PASS_WITHIN)
				sw_guard_source(NULL, conf, &rs.rules, addr, 0, now, true, &j);
		}
		for (u32 n = 0; n < 100000; n++) {
			u32 addr[4] = {0, 0, bpf_htonl(0xffff), rnd()};
			hit += sw_guard_source(NULL, conf, &rs.rules, addr, 0, now, false, &j) != SW_V_PASS_WITHIN;
		}
		TEST(hit <= floods[i].most,
		     "%u million SYNs a second pass, %u rows: %u of 100,000 strangers limited, at most %u",
		     floods[i].per_us, rs.rules.rows, hit, floods[i].most);
		ruleset_free(&rs);
	}
}

/* A flood that the service's limit stops leaves the cells of the forged sources as they were. */
static void test_uncharged(const struct sw_conf *conf)
{
	struct ruleset rs = rules("mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: 1/h, burst: 1}]\n"
				  "service: {default: {rate: 100/s, burst: 100}}");
	u32 limited = 0, full = 0, over = 0;

	memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
	for (u32 n = 0; n < 1000000; n++) {
		u32 v = judge(conf, &rs, 1000 + n, SW_NS_PER_S + n * 1000ULL);
		limited += v == SW_V_DROP_SOURCE;
		over += v == SW_V_CHALLENGE_SERVICE;
	}
	for (u32 i = 0; i < SW_GUARD_SOURCE_CELLS; i++)
		full += cells[i] != 0;
	TEST(full <= 2 * 201 && limited < 20 && over > 999700,
	     "a flood of a million: %u cells used, %u limited, %u over", full, limited, over);
	ruleset_free(&rs);
}

/* No more than SW_GUARD_SLACK intervals after the strangers have left, whatever they did. */
static void test_recovery(void)
{
	struct sw_limit l = {.interval = 1000, .tolerance = 9000};
	u64 cell = 0, now = 1000000;

	for (int i = 0; i < 100000; i++)
		sw_gcra_take(&cell, now, &l);
	TEST(cell == now + l.tolerance + SW_GCRA_SLACK * l.interval, "a cell charged without end is %llu ahead",
	     cell - now);
	TEST(sw_gcra_over(cell, now, &l) && !sw_gcra_over(cell, now + SW_GCRA_SLACK * l.interval, &l), "recovery");
}

static void test_verified(struct sw_conf *conf)
{
	struct ruleset rs = rules("mode: enforce\nverified: 100s");
	u32 kept = 0, strangers = 0, total = SW_VERIFIED_SETS * SW_VERIFIED_WAYS;
	u64 now = 5000 * SW_NS_PER_S;

	memset(lines, 0, sizeof(lines));
	memset(cells, 0, SW_GUARD_ALL_CELLS * sizeof(*cells));
	for (u32 n = 0; n < 4 * total; n++) {
		struct sw_packet p = syn_from(n);
		sw_verify(NULL, conf, p.key.addr[0], 0, now + n * 100000ULL);
	}
	now += 4 * total * 100000ULL;
	for (u32 n = 3 * total; n < 5 * total; n++) {
		struct sw_packet p = syn_from(n);
		bool known = sw_is_verified(NULL, conf, &rs.rules, p.key.addr[0], 0, now);
		kept += n < 4 * total && known;
		strangers += n >= 4 * total && known;
	}
	/* the last `total` fill the lines unevenly: with room for exactly as many, most of them are still there */
	TEST(kept > total / 10 * 7, "verified: %u of the last %u are remembered", kept, total);
	TEST(strangers == 0, "verified: %u strangers among %u", strangers, total);
	u32 wrong = 0, bits = 0;
	for (u32 set = 0; set < SW_VERIFIED_SETS; set++) {
		u32 want = 0, got = cells[SW_GUARD_SIEVE + set / 2] >> set % 2 * 32;
		for (u32 i = 0; i < SW_VERIFIED_WAYS; i++)
			want |= lines[set].way[i] ? 1u << (lines[set].way[i] >> 59) : 0;
		wrong += got != want;
		bits += __builtin_popcount(got);
	}
	TEST(!wrong, "verified: %u halves of words of the sieve are wrong", wrong);
	TEST(bits < SW_VERIFIED_SETS * 32 / 8, "verified: the sieve lets %.3f of the strangers in",
	     bits / (SW_VERIFIED_SETS * 32.0));
	struct sw_packet p = syn_from(4 * total - 1);
	TEST(!sw_is_verified(NULL, conf, &rs.rules, p.key.addr[0], 0, now + 103 * SW_NS_PER_S), "forgotten in time");
	ruleset_free(&rs);
}

/* Ten heavy sources among a hundred thousand light ones are found, with counts that are right within their error. */
static void test_top(const struct sw_conf *conf)
{
	static struct sw_top top;
	u32 found = 0, wrong = 0;
	u64 now = 100 * SW_NS_PER_S;

	memset(&top, 0, sizeof(top));
	for (u32 n = 0; n < 200000; n++) {
		u32 who = n % 2 ? n % 20 / 2 : 1000 + n / 2;
		struct sw_packet p = syn_from(who);
		sw_top_add(&top, p.key.addr[0], 32, 0, sw_guard_hash(conf, p.key.addr[0], 32), now += 1000);
	}
	for (u32 i = 0; i < SW_TOP_SETS * SW_TOP_WAYS; i++) {
		struct sw_top_entry *e = &top.entry[i / SW_TOP_WAYS][i % SW_TOP_WAYS];
		u32 who = bpf_ntohl(e->addr[3]) - 0x0a000000;
		if (who >= 10)
			continue;
		found++;
		wrong += e->count < 10000 || e->count - e->error > 10000;
	}
	TEST(found == 10 && !wrong, "heavy hitters: %u of 10 found, %u with wrong counts", found, wrong);
}

static void test_file(void)
{
	static const struct {
		const char *yaml, *line; /* of the message, from the line number on */
	} rows[] = {
		{"", ":1: nothing in it"},
		{"[]", ":1: the file: not a list of `key: value`"},
		{"mode: maybe", ":1: mode: maybe: neither off, dry-run nor enforce"},
		{"mode: off\nmode: off", ":2: mode: said twice"},
		{"mode: off\nmodus: off", ":2: modus: no such key here"},
		{"mode: {a: b}", ":1: mode: not a plain value"},
		{"a: [", ":2: not YAML: while parsing a flow node, did not find expected node content"},
		{"mode: off\n---\nmode: off", ":3: a second document"},
		{"source: {}", ":1: source: not a list"},
		{"source:\n- {family: ipv4}", ":2: source: prefix is missing"},
		{"source:\n- {family: ipv5, prefix: 1, rate: 1/s}", ":2: family: ipv5: neither ipv4 nor ipv6"},
		{"source:\n- {family: ipv4, prefix: 33, rate: 1/s}", ":2: prefix: 33: not a number from 0 to 32"},
		{"source:\n- {family: ipv4, prefix: -1, rate: 1/s}", ":2: prefix: -1: not a number from 0 to 32"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 5}", ":2: rate: 5: not a rate like 50/s, 3000/m or 10/h"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 0/s}",
		 ":2: rate: 0/s: impossible; from 1/d to 10000000/s"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 99999999/s}",
		 ":2: rate: 99999999/s: impossible; from 1/d to 10000000/s"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 1/s, burst: 0}",
		 ":2: burst: 0: not a number from 1 to 10000000"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 1/d, burst: 5000}",
		 ":2: burst: 5000 at 1/d takes more than a year"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 1/s}\n- {family: ipv4, prefix: 32, rate: 2/s}",
		 ":3: source: a second row for ipv4 /32"},
		{"source:\n- {family: ipv4, prefix: 32, rate: 1/s, over: drop}", ":2: over: no such key here"},
		{"service:\n  default: {rate: 1/s, over: shrug}", ":2: over: shrug: neither cookie nor drop"},
		{"service:\n  default: {rate: 1/s}\n  default: {rate: 2/s}", ":3: default: said twice"},
		{"service:\n  192.0.2.1: {rate: 1/s}",
		 ":2: service: 192.0.2.1: neither default nor ADDR:PORT like 192.0.2.1:80 or [2001:db8::1]:80"},
		{"service:\n  192.0.2.1:0: {rate: 1/s}",
		 ":2: service: 192.0.2.1:0: neither default nor ADDR:PORT like 192.0.2.1:80 or [2001:db8::1]:80"},
		{"service:\n  192.0.2.1:80: {rate: 1/s}\n  192.0.2.1:80: {rate: 1/s}", ":3: 192.0.2.1:80: said twice"},
		{"allow: 192.0.2.1", ":1: allow: not a list of prefixes"},
		{"allow:\n- 192.0.2.1/24", ":2: allow: 192.0.2.1/24: bits beyond the prefix are set"},
		{"allow:\n- 192.0.2.300",
		 ":2: allow: 192.0.2.300: not a prefix like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1"},
		{"allow: [10.0.0.0/8]\ndeny:\n- 10.0.0.0/8",
		 ":3: deny: 10.0.0.0/8: is on the allow list; remove it there first"},
		{"verified: 0s", ":1: verified: 0s: not a duration from 1s to 30d"},
		{"cookie_fallback: perhaps", ":1: cookie_fallback: perhaps: neither pass nor drop"},
	};

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++) {
		char why[RULESET_WHY] = "accepted";
		struct ruleset rs;
		const char *line;

		load_text(&rs, rows[i].yaml, why);
		line = strchr(why, ':');
		TEST(line && !strcmp(line, rows[i].line), "file %zu: %s, not %s", i, why, rows[i].line);
		TEST(!rs.services && !rs.prefixes && !rs.rules.rows, "file %zu left something", i);
		ruleset_free(&rs);
	}
}

static char *printed(const struct ruleset *rs)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ruleset_print(rs, out);
	fclose(out);
	return text;
}

/* What is printed is understood, and prints the same. */
static void test_round(void)
{
	struct ruleset a = rules(
		"mode: dry-run\ncookie_fallback: drop\nbogus_acks: drop\nverified: 90s\n"
		"source:\n- {family: ipv4, prefix: 24, rate: 3/m}\n- {family: ipv6, prefix: 48, rate: 9/d, burst: 2}\n"
		"service: {default: {rate: 5/s}, \"[2001:db8::5]:443\": {rate: 20000/s, over: drop}}\n"
		"allow: [192.0.2.0/24, \"::1\"]\ndeny: [0.0.0.0/0]");
	char *first = printed(&a);
	struct ruleset b = rules(first);
	char *second = printed(&b);

	TEST(!strcmp(first, second), "round trip:\n%s%s", first, second);
	TEST(b.rules.mode == SW_GUARD_DRY_RUN && b.rules.rows == 2 && b.services == 1 && b.prefixes == 3 &&
		     b.rules.flags == 3 && b.rules.verified_s == 90,
	     "round trip: something was lost");
	free(first);
	free(second);
	ruleset_free(&a);
	ruleset_free(&b);
}

/* As many prefixes as there may be, and one more; in a time that does not grow with their square. */
static void test_many(void)
{
	char text[40], why[RULESET_WHY];
	struct ruleset rs;
	int failed = 0;

	ruleset_init(&rs);
	for (u32 i = 0; i < SW_LISTED / 2; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		failed += ruleset_list(&rs, SW_LIST_DENY, text, why) != 0;
	}
	TEST(!failed && rs.prefixes == SW_LISTED / 2, "%d of %d prefixes refused", failed, SW_LISTED / 2);
	TEST(ruleset_list(&rs, SW_LIST_DENY, "11.0.0.0/8", why), "one more than there may be");
	TEST(!ruleset_list(&rs, 0, "10.0.0.9", why) && rs.prefixes == SW_LISTED / 2 - 1, "removed: %s", why);
	TEST(ruleset_list(&rs, 0, "10.0.0.9", why), "removed twice");
	ruleset_free(&rs);
}

/* The short answer to an address is the long one's, and only where a long prefix lies there is none. */
static void test_first(void)
{
	static u64 word[SW_FIRST_WORDS];
	u32 wrong = 0, asks = 0, said[3] = {0};
	char text[40], why[RULESET_WHY];
	struct ruleset rs;

	ruleset_init(&rs);
	for (u32 i = 0; i < 300; i++) {
		u32 bits = i < 30 ? i % 15 + 2 : 12 + rnd() % 21, addr = rnd() & ~0U << (32 - bits);
		snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", addr >> 24, addr >> 16 & 255, addr >> 8 & 255,
			 addr & 255, bits);
		ruleset_list(&rs, i % 3 ? SW_LIST_DENY : SW_LIST_ALLOW, text, why);
	}
	ruleset_list(&rs, SW_LIST_DENY, "2001:db8::/32", why);
	ruleset_first(&rs, word);
	for (u32 i = 0; i < 20000; i++) {
		struct rule_prefix p = {.addr = {0, 0, htonl(0xffff), htonl(rnd())}};
		u32 wide = ntohl(p.addr[3]) >> 16, is = word[SW_FIRST_WORD(wide)] >> SW_FIRST_SHIFT(wide) & 3;
		bool inside = false;

		for (u32 k = 0; k < rs.prefixes; k++)
			inside |=
				!rs.prefix[k].v6 && rs.prefix[k].bits > 16 && ntohl(rs.prefix[k].addr[3]) >> 16 == wide;
		asks += is == SW_FIRST_ASK;
		wrong += (is == SW_FIRST_ASK) != inside;
		if (is != SW_FIRST_ASK) {
			said[is]++;
			wrong += is != ruleset_listed(&rs, p.addr, false);
		}
	}
	TEST(!wrong && asks && said[0] && said[SW_LIST_ALLOW] && said[SW_LIST_DENY],
	     "first 16 bits: %u wrong; %u to be asked, %u on no list, %u allowed, %u denied", wrong, asks, said[0],
	     said[SW_LIST_ALLOW], said[SW_LIST_DENY]);
	ruleset_free(&rs);
}

static int open_native(struct engine *e)
{
	return engine_open(e, 64, 64);
}

static void count_case(bool ok, const char *what)
{
	TEST(ok, "%s", what);
}

void test_guard(void)
{
	struct sw_conf conf = {.sets = 1};

	cells = calloc(SW_GUARD_ALL_CELLS, sizeof(*cells));
	if (!cells || conf_defaults(&conf))
		abort();
	for (int i = 0; i < 6; i++) /* one key for every run: what is random here must not be so in a test */
		conf.guard_key[i] = rnd();
	test_rate(&conf);
	test_bucket(&conf);
	test_false_positives(&conf);
	test_passing_flood(&conf);
	test_uncharged(&conf);
	test_recovery();
	test_verified(&conf);
	test_top(&conf);
	test_file();
	test_round();
	test_many();
	test_first();
	play_guard_cases(open_native, count_case);
	free(cells);
}
