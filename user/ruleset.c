// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ruleset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "render.h"
#include "words.h"

const char *const guard_mode_name[SW_GUARD_MODES] = {"off", "dry-run", "enforce"};
const char *const guard_over_name[2] = {[SW_OVER_COOKIE] = "cookie", [SW_OVER_DROP] = "drop"};
const char *const guard_local_name[SW_LOCALS] = {
	[SW_LOCAL_LEARN] = "learn", [SW_LOCAL_YES] = "yes", [SW_LOCAL_NO] = "no"};

#define RATE_MAX     10000000 /* a second: an interval of 100 ns */
#define BURST_MAX    10000000
#define VERIFIED_S   3600
#define TOLERANCE_NS (365 * 86400 * SW_NS_PER_S)

static int bad(char *why, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int bad(char *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, RULESET_WHY, format, args);
	va_end(args);
	return -EINVAL;
}

void ruleset_init(struct ruleset *rs)
{
	memset(rs, 0, sizeof(*rs));
	rs->rules.verified_s = VERIFIED_S;
	rs->rules.cells = sw_guard_cells(0);
}

void ruleset_free(struct ruleset *rs)
{
	free(rs->service);
	free(rs->prefix);
	free(rs->slot);
	ruleset_init(rs);
}

/* Which of `count` words; -1: none. */
static int which(const char *word, const char *const *words, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(word, words[i]))
			return i;
	return -1;
}

int ruleset_mode(struct ruleset *rs, const char *word, char *why)
{
	int mode = which(word, guard_mode_name, SW_GUARD_MODES);

	if (mode < 0)
		return bad(why, "mode: %.40s: neither off, dry-run nor enforce", word);
	rs->rules.mode = mode;
	return 0;
}

static const struct {
	const char *key;
	u32 bit;
	const char *set; /* the word that sets it; the other one is the default */
} flags[] = {{"cookie_fallback", SW_GUARD_NO_COOKIE_DROP, "drop"},
	     {"bogus_acks", SW_GUARD_BOGUS_DROP, "drop"},
	     {"fragments", SW_GUARD_FRAGMENTS_PASS, "pass"}};

int ruleset_flag(struct ruleset *rs, const char *key, const char *word, char *why)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(flags); i++) {
		if (strcmp(key, flags[i].key))
			continue;
		if (strcmp(word, "pass") && strcmp(word, "drop"))
			return bad(why, "%s: %.40s: neither pass nor drop", key, word);
		rs->rules.flags =
			!strcmp(word, flags[i].set) ? rs->rules.flags | flags[i].bit : rs->rules.flags & ~flags[i].bit;
		return 0;
	}
	return bad(why, "%.40s: no such key", key);
}

bool ruleset_flag_drops(const struct ruleset *rs, const char *key)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(flags); i++)
		if (!strcmp(key, flags[i].key))
			return !!(rs->rules.flags & flags[i].bit) == !strcmp(flags[i].set, "drop");
	return false;
}

int ruleset_verified(struct ruleset *rs, const char *duration, char *why)
{
	u64 ns;

	if (!words_duration(duration, &ns) || ns < SW_NS_PER_S || ns > 30 * 86400 * SW_NS_PER_S)
		return bad(why, "verified: %.40s: not a duration from 1s to 30d", duration);
	rs->rules.verified_s = ns / SW_NS_PER_S;
	return 0;
}

int ruleset_limit(struct sw_limit *l, const struct limit_words *w, char *why)
{
	const char *rate = w->rate, *burst = w->burst;
	int over = w->over ? which(w->over, guard_over_name, 2) : SW_OVER_COOKIE;
	int local = w->local ? which(w->local, guard_local_name, SW_LOCALS) : SW_LOCAL_LEARN;
	unsigned long long n;

	memset(l, 0, sizeof(*l));
	if (!words_rate(rate, &l->rate, &l->per_ns))
		return bad(why, "rate: %.40s: not a rate like 50/s, 3000/m or 10/h", rate);
	if (!l->rate || l->rate > RATE_MAX * (l->per_ns / (double)SW_NS_PER_S) || l->per_ns / l->rate > TOLERANCE_NS)
		return bad(why, "rate: %.40s: impossible; from 1/d to %d/s", rate, RATE_MAX);
	l->interval = (l->per_ns + l->rate / 2) / l->rate;
	n = SW_NS_PER_S / l->interval; /* a second's worth */
	n = n ? n : 1;
	if (burst && !words_number(burst, 1, BURST_MAX, &n))
		return bad(why, "burst: %.40s: not a number from 1 to %d", burst, BURST_MAX);
	if ((n - 1) > TOLERANCE_NS / l->interval)
		return bad(why, "burst: %llu at %.40s takes more than a year", n, rate);
	if (over < 0)
		return bad(why, "over: %.40s: neither cookie nor drop", w->over);
	if (local < 0)
		return bad(why, "local: %.40s: neither yes, no nor learn", w->local);
	l->burst = n;
	l->tolerance = (n - 1) * l->interval;
	l->over = over;
	l->local = local;
	return 0;
}

static struct sw_guard_row *find_row(struct ruleset *rs, bool v6, u32 prefix)
{
	for (u32 i = 0; i < rs->rules.rows; i++)
		if (rs->rules.row[i].v6 == v6 && rs->rules.row[i].prefix == prefix)
			return &rs->rules.row[i];
	return NULL;
}

int ruleset_source(struct ruleset *rs, bool v6, u32 prefix, const struct sw_limit *limit, char *why)
{
	struct sw_guard_row *row = find_row(rs, v6, prefix);

	if (!row && rs->rules.rows == SW_GUARD_ROWS)
		return bad(why, "source: more than %d rows", SW_GUARD_ROWS);
	if (!row)
		row = &rs->rules.row[rs->rules.rows++];
	rs->rules.cells = sw_guard_cells(rs->rules.rows);
	*row = (struct sw_guard_row){.limit = *limit, .v6 = v6, .prefix = prefix};
	words_mask(row->mask, v6, prefix);
	return 0;
}

void ruleset_no_source(struct ruleset *rs, bool v6, u32 prefix)
{
	struct sw_guard_row *row = find_row(rs, v6, prefix), *end = rs->rules.row + rs->rules.rows;

	if (!row)
		return;
	memmove(row, row + 1, (end - row - 1) * sizeof(*row));
	memset(--end, 0, sizeof(*end));
	rs->rules.cells = sw_guard_cells(--rs->rules.rows);
}

/* Room for one more; false: no memory. */
static bool grow(void **list, u32 count, size_t size)
{
	void *more;

	if (count & (count + 1)) /* full at 0, 1, 3, 7 ... */
		return true;
	more = reallocarray(*list, 2 * (size_t)count + 2, size);
	if (more)
		*list = more;
	return more;
}

static int service_limit(struct ruleset *rs, const u32 addr[4], u16 port, const struct sw_limit *limit, char *why)
{
	u32 i = 0;

	while (i < rs->services && (memcmp(rs->service[i].addr, addr, 16) || rs->service[i].port != port))
		i++;
	if (!limit) {
		if (i < rs->services)
			rs->service[i] = rs->service[--rs->services];
		return 0;
	}
	if (i == SW_LIMITS / 2)
		return bad(why, "service: more than %d", SW_LIMITS / 2);
	if (i == rs->services) {
		if (!grow((void **)&rs->service, rs->services, sizeof(*rs->service)))
			return bad(why, "out of memory");
		rs->services++;
	}
	rs->service[i].port = port;
	memcpy(rs->service[i].addr, addr, 16);
	rs->service[i].limit = *limit;
	return 0;
}

int ruleset_service(struct ruleset *rs, const char *name, const struct sw_limit *limit, char *why)
{
	u32 addr[4];
	u16 port;

	if (!strcmp(name, "default")) {
		rs->rules.other = limit ? *limit : (struct sw_limit){0};
		return 0;
	}
	if (!words_endpoint(name, addr, &port))
		return bad(why, "service: %.60s: neither default nor ADDR:PORT like 192.0.2.1:80 or [2001:db8::1]:80",
			   name);
	return service_limit(rs, addr, port, limit, why);
}

#define SLOTS (2 * SW_LISTED)

static u32 first_slot(const struct rule_prefix *p)
{
	u64 h = p->bits + 256 * p->v6;

	for (int i = 0; i < 4; i++)
		h = (h ^ p->addr[i]) * 0xff51afd7ed558ccdULL ^ h >> 29;
	return (h >> 32) % SLOTS;
}

/* Its slot, or the free one where it belongs. The table is never more than a quarter full. */
static u32 *find_prefix(const struct ruleset *rs, const struct rule_prefix *p)
{
	u32 at = first_slot(p);

	for (;; at = (at + 1) % SLOTS) {
		const struct rule_prefix *q = rs->slot[at] ? &rs->prefix[rs->slot[at] - 1] : NULL;

		if (!q || (q->v6 == p->v6 && q->bits == p->bits && !memcmp(q->addr, p->addr, 16)))
			return &rs->slot[at];
	}
}

/* The longest prefix on a list that holds `p`, itself included, and is listed as one of `among`; NULL: none. */
static const struct rule_prefix *around(const struct ruleset *rs, const struct rule_prefix *p, u32 among)
{
	struct rule_prefix outer = *p;
	u32 mask[4];

	for (int bits = p->bits; rs->slot && bits >= 0; bits--) {
		words_mask(mask, p->v6, bits);
		outer.bits = bits;
		for (int i = 0; i < 4; i++)
			outer.addr[i] &= mask[i];
		u32 found = *find_prefix(rs, &outer);
		if (found && rs->prefix[found - 1].listed & among)
			return &rs->prefix[found - 1];
	}
	return NULL;
}

u32 ruleset_verdict(const struct ruleset *rs, const struct rule_prefix *p)
{
	return around(rs, p, SW_LIST_ALLOW) ? SW_LIST_ALLOW : SW_LIST_DENY;
}

u32 ruleset_listed(const struct ruleset *rs, const u32 addr[4], bool v6)
{
	struct rule_prefix p = {.v6 = v6, .bits = v6 ? 128 : 32};

	memcpy(p.addr, addr, sizeof(p.addr));
	return around(rs, &p, SW_LIST_ALLOW) ? SW_LIST_ALLOW : around(rs, &p, SW_LIST_DENY) ? SW_LIST_DENY : 0;
}

static void first_is(u64 *word, u32 wide, u64 what)
{
	u64 *at = &word[SW_FIRST_WORD(wide)];

	*at = (*at & ~(3ULL << SW_FIRST_SHIFT(wide))) | what << SW_FIRST_SHIFT(wide);
}

void ruleset_first(const struct ruleset *rs, u64 word[SW_FIRST_WORDS])
{
	memset(word, 0, SW_FIRST_WORDS * sizeof(*word));
	for (u32 bits = 0; bits <= 32; bits++) /* a longer one has the last word */
		for (u32 i = 0; i < rs->prefixes; i++) {
			const struct rule_prefix *p = &rs->prefix[i];
			u32 wide = ntohl(p->addr[3]) >> 16, last = wide | (bits < 16 ? 0xffff >> bits : 0);

			if (p->v6 || p->bits != bits)
				continue;
			for (u64 what = bits > 16 ? SW_FIRST_ASK : ruleset_verdict(rs, p); wide <= last; wide++)
				first_is(word, wide, what);
		}
}

static void remove_prefix(struct ruleset *rs, u32 at)
{
	rs->prefix[at] = rs->prefix[--rs->prefixes];
	memset(rs->slot, 0, SLOTS * sizeof(*rs->slot));
	for (u32 i = 0; i < rs->prefixes; i++)
		*find_prefix(rs, &rs->prefix[i]) = i + 1;
}

static const char *list_name(u32 listed)
{
	return listed == SW_LIST_ALLOW ? "allow" : "deny";
}

int ruleset_list(struct ruleset *rs, u32 listed, const char *text, char *why)
{
	struct rule_prefix p = {.listed = listed};
	u32 *slot;

	if (!words_prefix(text, p.addr, &p.v6, &p.bits))
		return bad(why,
			   p.bits ? "%.60s: bits beyond the prefix are set"
				  : "%.60s: not a prefix like 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1",
			   text);
	if (!rs->slot)
		rs->slot = calloc(SLOTS, sizeof(*rs->slot));
	if (!rs->slot)
		return bad(why, "out of memory");
	slot = find_prefix(rs, &p);
	if (!listed) {
		if (!*slot)
			return bad(why, "%.60s: on neither list", text);
		remove_prefix(rs, *slot - 1);
		return 0;
	}
	if (*slot) {
		u32 was = rs->prefix[*slot - 1].listed;
		return was == listed
			       ? 0
			       : bad(why, "%.60s: is on the %s list; remove it there first", text, list_name(was));
	}
	if (rs->prefixes == SW_LISTED / 2)
		return bad(why, "allow and deny: more than %d prefixes", SW_LISTED / 2);
	if (!grow((void **)&rs->prefix, rs->prefixes, sizeof(*rs->prefix)))
		return bad(why, "out of memory");
	rs->prefix[rs->prefixes++] = p;
	*slot = rs->prefixes;
	return 0;
}

static void print_limit(FILE *out, const struct sw_limit *l)
{
	fprintf(out, "rate: %llu/%s, burst: %u", (unsigned long long)l->rate, words_unit(l->per_ns), l->burst);
}

static void print_service(FILE *out, const struct sw_limit *l)
{
	print_limit(out, l);
	fprintf(out, ", over: %s", guard_over_name[l->over & 1]);
	if (l->local && l->local < SW_LOCALS)
		fprintf(out, ", local: \"%s\"",
			guard_local_name[l->local]); /* a bare yes is a boolean to many readers */
	fputs("}\n", out);
}

static void print_list(const struct ruleset *rs, FILE *out, u32 listed)
{
	char addr[TEXT_SIZE];
	bool any = false;

	for (u32 i = 0; i < rs->prefixes; i++) {
		const struct rule_prefix *p = &rs->prefix[i];

		if (p->listed != listed)
			continue;
		if (!any)
			fprintf(out, "%s:\n", list_name(listed));
		any = true;
		fprintf(out, "  - %s/%u\n", text_addr(addr, p->addr), p->bits);
	}
}

void ruleset_print(const struct ruleset *rs, FILE *out)
{
	const struct sw_guard_rules *r = &rs->rules;
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	fprintf(out, "mode: %s\n", guard_mode_name[r->mode < SW_GUARD_MODES ? r->mode : SW_GUARD_OFF]);
	for (size_t i = 0; i < SW_ARRAY_SIZE(flags); i++)
		fprintf(out, "%s: %s\n", flags[i].key, ruleset_flag_drops(rs, flags[i].key) ? "drop" : "pass");
	fprintf(out, "verified: %us\n", r->verified_s);
	if (r->rows)
		fputs("source:\n", out);
	for (u32 i = 0; i < r->rows; i++) {
		fprintf(out, "  - {family: %s, prefix: %u, ", r->row[i].v6 ? "ipv6" : "ipv4", r->row[i].prefix);
		print_limit(out, &r->row[i].limit);
		fputs("}\n", out);
	}
	if (r->other.interval || rs->services)
		fputs("service:\n", out);
	if (r->other.interval) {
		fputs("  default: {", out);
		print_service(out, &r->other);
	}
	for (u32 i = 0; i < rs->services; i++) {
		const struct rule_service *v = &rs->service[i];

		fprintf(out, "  \"%s\": {", text_endpoint(name, text_addr(addr, v->addr), v->port));
		print_service(out, &v->limit);
	}
	print_list(rs, out, SW_LIST_ALLOW);
	print_list(rs, out, SW_LIST_DENY);
}
