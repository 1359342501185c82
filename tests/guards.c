// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "guards.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "frames.h"

#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* steps say what differs from 0 */

/* `count` SYNs from ports of their own, all to be judged alike; `meet`: each goes on to a whole handshake; `again`: they come
 * on the connection of the step before. `after_ms` since the step before. count 0: the end. */
struct step {
	const char *from, *to;
	u16 port;
	u32 count;
	enum sw_verdict verdict;
	u32 after_ms;
	bool meet, again;
};

static const struct guard_case {
	const char *name, *yaml;
	struct step step[12];
} cases[] = {
	{"off judges nothing", "mode: off\ndeny: [192.0.2.1]", {{"192.0.2.1", "192.0.2.2", 80, 3, SW_VERDICT_COUNT}}},
	{"no rules pass all", "mode: enforce", {{"192.0.2.1", "192.0.2.2", 80, 3, SW_V_PASS_WITHIN}}},
	{"deny, and what is not denied",
	 "mode: enforce\ndeny: [198.51.100.0/24, \"2001:db8:1::/48\"]",
	 {{"198.51.100.255", "192.0.2.2", 80, 2, SW_V_DROP_DENY},
	  {"198.51.101.0", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN},
	  {"2001:db8:1:ffff::1", "2001:db8::2", 80, 2, SW_V_DROP_DENY},
	  {"2001:db8:2::1", "2001:db8::2", 80, 2, SW_V_PASS_WITHIN}}},
	{"allow comes before deny, wide or narrow",
	 "mode: enforce\nallow: [198.51.100.0/24]\ndeny: [198.51.100.7/32, 198.51.0.0/16]",
	 {{"198.51.100.7", "192.0.2.2", 80, 2, SW_V_PASS_ALLOW},
	  {"198.51.100.8", "192.0.2.2", 80, 2, SW_V_PASS_ALLOW},
	  {"198.51.99.8", "192.0.2.2", 80, 2, SW_V_DROP_DENY}}},
	{"everybody denied but one",
	 "mode: enforce\nallow: [192.0.2.1]\ndeny: [0.0.0.0/0, \"::/0\"]",
	 {{"192.0.2.1", "192.0.2.2", 80, 1, SW_V_PASS_ALLOW},
	  {"192.0.2.3", "192.0.2.2", 80, 1, SW_V_DROP_DENY},
	  {"2001:db8::1", "2001:db8::2", 80, 1, SW_V_DROP_DENY}}},
	{"all of IPv6 denied is no word on IPv4",
	 "mode: enforce\ndeny: [\"::/0\"]",
	 {{"192.0.2.1", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN}, {"2001:db8::1", "2001:db8::2", 80, 2, SW_V_DROP_DENY}}},
	{"all of IPv6 allowed is no word on IPv4",
	 "mode: enforce\nallow: [\"::/0\"]\ndeny: [192.0.2.0/24]\n"
	 "source:\n- {family: ipv4, prefix: 0, rate: 1/h, burst: 1}",
	 {{"192.0.2.1", "192.0.2.2", 80, 2, SW_V_DROP_DENY},
	  {"198.51.100.1", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"198.51.100.1", "192.0.2.2", 80, 2, SW_V_DROP_SOURCE},
	  {"2001:db8::1", "2001:db8::2", 80, 2, SW_V_PASS_ALLOW}}},
	{"an IPv4 address in IPv6's clothes is IPv4",
	 "mode: enforce\ndeny: [\"::ffff:192.0.2.1\", \"::ffff:198.51.100.0/120\"]",
	 {{"192.0.2.1", "192.0.2.2", 80, 2, SW_V_DROP_DENY},
	  {"198.51.100.255", "192.0.2.2", 80, 2, SW_V_DROP_DENY},
	  {"198.51.101.0", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN}}},
	{"a source's burst, then its rate",
	 "mode: enforce\nsource:\n- {family: ipv4, prefix: 32, rate: 10/s, burst: 5}",
	 {{"192.0.2.1", "192.0.2.2", 80, 5, SW_V_PASS_WITHIN},
	  {"192.0.2.1", "192.0.2.2", 80, 4, SW_V_DROP_SOURCE},
	  {"192.0.2.9", "192.0.2.2", 80, 5, SW_V_PASS_WITHIN},
	  {"192.0.2.1", "192.0.2.2", 443, 1, SW_V_PASS_WITHIN, 100},
	  {"192.0.2.1", "192.0.2.2", 80, 1, SW_V_DROP_SOURCE},
	  {"192.0.2.1", "192.0.2.2", 80, 3, SW_V_PASS_WITHIN, 300},
	  {"192.0.2.1", "192.0.2.2", 80, 1, SW_V_DROP_SOURCE},
	  {"192.0.2.1", "192.0.2.2", 80, 5, SW_V_PASS_WITHIN, 3600000},
	  {"192.0.2.1", "192.0.2.2", 80, 1, SW_V_DROP_SOURCE},
	  {"2001:db8::1", "2001:db8::2", 80, 50, SW_V_PASS_WITHIN}}},
	{"what is allowed is never limited",
	 "mode: enforce\nallow: [192.0.2.1]\nsource:\n- {family: ipv4, prefix: 0, rate: 1/h, burst: 1}",
	 {{"192.0.2.1", "192.0.2.2", 80, 5, SW_V_PASS_ALLOW},
	  {"192.0.2.9", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.10", "192.0.2.2", 80, 1, SW_V_DROP_SOURCE}}},
	{"every row of the family must pass; what one refuses, the other is not charged for",
	 "mode: enforce\nsource:\n- {family: ipv4, prefix: 24, rate: 1/h, burst: 3}\n"
	 "- {family: ipv4, prefix: 32, rate: 1/h, burst: 2}\n- {family: ipv6, prefix: 64, rate: 1/h, burst: 2}",
	 {{"192.0.2.1", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN},
	  {"192.0.2.1", "192.0.2.2", 80, 5, SW_V_DROP_SOURCE},
	  {"192.0.2.3", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.4", "192.0.2.2", 80, 1, SW_V_DROP_SOURCE},
	  {"192.0.3.4", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN},
	  {"2001:db8:0:1::1", "2001:db8::2", 80, 1, SW_V_PASS_WITHIN},
	  {"2001:db8:0:1:ffff::1", "2001:db8::2", 80, 1, SW_V_PASS_WITHIN},
	  {"2001:db8:0:1:1::1", "2001:db8::2", 80, 1, SW_V_DROP_SOURCE},
	  {"2001:db8:0:2::1", "2001:db8::2", 80, 1, SW_V_PASS_WITHIN}}},
	{"a service's limit, over all sources, one service apart from the other",
	 "mode: enforce\nservice:\n  default: {rate: 2/s, burst: 2, over: drop}\n"
	 "  192.0.2.2:443: {rate: 1/s, burst: 1, over: cookie}",
	 {{"192.0.2.11", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.12", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.13", "192.0.2.2", 80, 1, SW_V_DROP_SERVICE},
	  {"192.0.2.13", "192.0.2.2", 443, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.14", "192.0.2.2", 443, 1, SW_V_CHALLENGE_SERVICE},
	  {"192.0.2.14", "192.0.2.3", 80, 2, SW_V_PASS_WITHIN},
	  {"192.0.2.15", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN, 500},
	  {"192.0.2.15", "192.0.2.2", 80, 1, SW_V_DROP_SERVICE},
	  {"192.0.2.15", "192.0.2.2", 443, 1, SW_V_PASS_WITHIN, 500}}},
	{"a row of its own without the default",
	 "mode: enforce\nservice:\n  \"[2001:db8::2]:80\": {rate: 1/h, burst: 1}",
	 {{"2001:db8::1", "2001:db8::2", 80, 1, SW_V_PASS_WITHIN},
	  {"2001:db8::1", "2001:db8::2", 80, 1, SW_V_CHALLENGE_SERVICE},
	  {"2001:db8::1", "2001:db8::2", 81, 9, SW_V_PASS_WITHIN}}},
	{"a verified source passes the service's limit, within its own",
	 "mode: enforce\nverified: 10m\nsource:\n- {family: ipv4, prefix: 32, rate: 1/h, burst: 3}\n"
	 "service:\n  default: {rate: 1/h, burst: 2, over: cookie}",
	 {{"192.0.2.1", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN, 0, true},
	  {"192.0.2.7", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.7", "192.0.2.2", 80, 9, SW_V_CHALLENGE_SERVICE},
	  {"192.0.2.1", "192.0.2.2", 80, 2, SW_V_PASS_VERIFIED},
	  {"192.0.2.1", "192.0.2.2", 80, 3, SW_V_DROP_SOURCE},
	  {"192.0.2.1", "192.0.2.3", 80, 1, SW_V_DROP_SOURCE, 540000}}},
	{"a verified source is forgotten in time; a SYN-ACK alone verifies nobody",
	 "mode: enforce\nverified: 60s\nservice:\n  default: {rate: 1/h, burst: 1, over: drop}",
	 {{"192.0.2.1", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN, 0, true},
	  {"192.0.2.1", "192.0.2.2", 80, 1, SW_V_PASS_VERIFIED, 30000},
	  {"192.0.2.1", "192.0.2.2", 80, 1, SW_V_DROP_SERVICE, 90000},
	  {"192.0.2.8", "192.0.2.2", 80, 1, SW_V_DROP_SERVICE}}},
	{"a living connection is spared the service's limit, and no other rule",
	 "mode: enforce\nverified: 60s\nsource:\n- {family: ipv4, prefix: 32, rate: 1/h, burst: 3}\n"
	 "service:\n  default: {rate: 1/h, burst: 1, over: drop}",
	 {{"192.0.2.1", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN, 0, true},
	  {"192.0.2.1", "192.0.2.2", 80, 2, SW_V_PASS_CONNECTION, 90000, false, true},
	  {"192.0.2.1", "192.0.2.2", 80, 2, SW_V_DROP_SOURCE, 0, false, true},
	  {"192.0.2.7", "192.0.2.2", 80, 1, SW_V_DROP_SERVICE}}},
	{"an IPv6 source is verified with its /64",
	 "mode: enforce\nservice:\n  default: {rate: 1/h, burst: 1, over: drop}",
	 {{"2001:db8:0:1::1", "2001:db8::2", 80, 1, SW_V_PASS_WITHIN, 0, true},
	  {"2001:db8:0:1::abcd", "2001:db8::2", 80, 1, SW_V_PASS_VERIFIED},
	  {"2001:db8:0:2::1", "2001:db8::2", 80, 1, SW_V_DROP_SERVICE}}},
	{"a dry run says what would be",
	 "mode: dry-run\ndeny: [192.0.2.66]\nsource:\n- {family: ipv4, prefix: 32, rate: 1/h, burst: 2}\n"
	 "service:\n  default: {rate: 1/h, burst: 3, over: cookie}\n  192.0.2.2:81: {rate: 1/h, burst: 1, over: drop}",
	 {{"192.0.2.66", "192.0.2.2", 80, 1, SW_V_WOULD_DROP_DENY},
	  {"192.0.2.1", "192.0.2.2", 80, 2, SW_V_PASS_WITHIN},
	  {"192.0.2.1", "192.0.2.2", 80, 2, SW_V_WOULD_DROP_SOURCE},
	  {"192.0.2.3", "192.0.2.2", 80, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.4", "192.0.2.2", 80, 1, SW_V_WOULD_CHALLENGE_SERVICE},
	  {"192.0.2.4", "192.0.2.2", 81, 1, SW_V_PASS_WITHIN},
	  {"192.0.2.4", "192.0.2.2", 81, 1, SW_V_WOULD_DROP_SERVICE}}},
};

int load_text(struct ruleset *rs, const char *yaml, char why[RULESET_WHY])
{
	char path[64];
	int fd = memfd_create("rules", 0), err = -1;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(why, RULESET_WHY, "no memory for the file");
	if (fd >= 0 && write(fd, yaml, strlen(yaml)) == (ssize_t)strlen(yaml))
		err = ruleset_load(rs, path, why);
	close(fd);
	return err;
}

static void feed(struct engine *e, const struct step *s, u16 port, bool back, u8 flags, u32 seq, u32 ack, u64 now)
{
	struct frame f = {0};

	if (back)
		build_between(&f, s->to, s->port, s->from, port, flags, seq, ack);
	else
		build_between(&f, s->from, port, s->to, s->port, flags, seq, ack);
	engine_frame(e, frame_data(&f), f.len, f.len, false, now);
}

/* How many SYNs of the step were judged otherwise. */
static int play_step(struct engine *e, const struct step *s, u16 *port, u64 now)
{
	int wrong = 0;

	for (u32 n = 0; n < s->count; n++) {
		u16 p = s->again ? *port - 1 : (*port)++;

		feed(e, s, p, false, SW_TCP_SYN, s->again ? 9000 : 1000, 0, now);
		wrong += e->verdict != s->verdict;
		if (s->again)
			continue;
		feed(e, s, p, true, SW_TCP_SYN | SW_TCP_ACK, 5000, 1001, now);
		wrong += e->verdict != SW_VERDICT_COUNT;
		if (s->meet)
			feed(e, s, p, false, SW_TCP_ACK, 1001, 5001, now);
	}
	return wrong;
}

#define TEN_DAYS (10 * 86400 * SW_NS_PER_S) /* more than their limits remember; connections do: ports go on */

void play_guard_cases(int (*open)(struct engine *e), void (*report)(bool ok, const char *what))
{
	u64 now = 1000000 * SW_NS_PER_S;
	u16 port = 10000;
	struct engine e;

	if (open(&e))
		abort();
	for (size_t i = 0; i < SW_ARRAY_SIZE(cases); i++, now += TEN_DAYS) { /* what was seen of one is over in the next */
		const struct guard_case *c = &cases[i];
		char why[RULESET_WHY], what[256];
		struct ruleset rs;

		if (load_text(&rs, c->yaml, why) || engine_guard(&e, &rs)) {
			fprintf(stderr, "%s: %s\n", c->name, why);
			abort();
		}
		for (const struct step *s = c->step; s < c->step + SW_ARRAY_SIZE(c->step) && s->count; s++) {
			now += s->after_ms * 1000000ULL;
			int wrong = play_step(&e, s, &port, now);
			snprintf(what, sizeof(what), "guard: %s, step %td%s", c->name, s - c->step + 1,
				 wrong ? ": judged otherwise" : "");
			report(!wrong, what);
		}
		ruleset_free(&rs);
	}
	engine_close(&e);
}
