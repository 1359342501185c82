// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What people write on the command line: addresses, prefixes, numbers, durations, rates, filters. What is taken means the same
 * when it is printed and read again; what is refused leaves the target as it was. */
#include <arpa/inet.h>

#include "filter.h"
#include "fuzz.h"
#include "render.h"
#include "words.h"

static void endpoints(const char *text)
{
	u32 addr[4] = {1, 2, 3, 4}, again[4], was[4] = {1, 2, 3, 4};
	char buf[TEXT_SIZE], name[TEXT_SIZE];
	u16 port = 7, port2;
	bool any;

	if (words_endpoint(text, addr, &port)) {
		HOLDS(port);
		text_endpoint(name, text_addr(buf, addr), port);
		/* a mapped address in brackets is printed as the IPv4 address that it is */
		HOLDS(words_endpoint(name, again, &port2) && port2 == port && !memcmp(addr, again, sizeof(addr)));
	} else {
		HOLDS(port == 7 && !memcmp(addr, was, sizeof(was)));
	}
	if (words_service(text, addr, &port, &any))
		HOLDS(port);
}

static void prefixes(const char *text)
{
	u32 addr[4], again[4], mask[4], bits, bits2;
	char buf[TEXT_SIZE], name[2 * TEXT_SIZE];
	bool v6, v6_2;

	if (words_addr(text, addr, &v6)) {
		HOLDS(words_addr(text_addr(buf, addr), again, &v6_2));
		HOLDS(!memcmp(addr, again, sizeof(addr)));
	}
	if (words_network(text, addr, mask))
		for (u32 i = 1; i < 4; i++) /* ones, then zeroes */
			HOLDS(!mask[i] || mask[i - 1] == ~0u);
	if (!words_prefix(text, addr, &v6, &bits))
		return;
	HOLDS(bits <= (v6 ? 128u : 32u));
	words_mask(mask, v6, bits);
	for (u32 i = 0; i < 4; i++)
		HOLDS(!(addr[i] & ~mask[i]));
	if (v6 && !addr[0] && !addr[1] && addr[2] == htonl(0xffff))
		return; /* mapped: would be printed as IPv4, with other bits */
	snprintf(name, sizeof(name), "%s/%u", text_addr(buf, addr), bits);
	HOLDS(words_prefix(name, again, &v6_2, &bits2));
	HOLDS(v6 == v6_2 && bits == bits2 && !memcmp(addr, again, sizeof(addr)));
}

static void quantities(const char *text)
{
	unsigned long long n = 0;
	char why[RULESET_WHY];
	struct sw_limit limit;
	u64 ns, count, per;
	double s;

	if (words_number(text, 5, 500, &n))
		HOLDS(n >= 5 && n <= 500);
	if (words_duration(text, &ns))
		HOLDS(ns <= 366 * 86400 * SW_NS_PER_S);
	if (words_every(text, &s))
		HOLDS(s >= WORDS_EVERY_MIN && s <= WORDS_EVERY_MAX);
	if (words_rate(text, &count, &per))
		HOLDS(strcmp(words_unit(per), "?"));
	if (!ruleset_limit(&limit, &(struct limit_words){.rate = text}, why))
		HOLDS(limit.interval && limit.burst && limit.interval <= 366 * 86400 * SW_NS_PER_S);
	HOLDS(words_state(text) < (int)SW_STATE_COUNT);
}

/* Words between blanks, as the shell would hand them over. */
static void filters(char *text)
{
	struct filter_words f = {0};
	char why[WHY_SIZE], *word;

	while ((word = strsep(&text, " \n"))) {
		*why = 0;
		if (!filter_word(&f, word, why)) {
			HOLDS(*why && strlen(why) < WHY_SIZE);
			return;
		}
		HOLDS(!(f.filter.states >> SW_STATE_COUNT) && !(f.filter.kinds >> SW_KIND_COUNT));
		HOLDS(!(f.filter.events >> SW_EVENT_COUNT));
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *text = malloc(size + 1); /* exactly: ASan watches the end */

	HOLDS(text);
	memcpy(text, data, size);
	text[size] = 0;
	endpoints(text);
	prefixes(text);
	quantities(text);
	filters(text);
	free(text);
	return 0;
}
