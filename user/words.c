// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "words.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MS 1000000ULL

#define NAME_(symbol, name, help) [SW_##symbol] = name,
const char *const sw_event_name[SW_EVENT_COUNT] = {SW_EVENTS(NAME_)};
const char *const sw_kind_name[SW_KIND_COUNT] = {SW_KINDS(NAME_)};

/* Words that differ by more than case and strokes from RFC 9293's and node_exporter's. */
static const struct {
	const char *word;
	enum sw_state state;
} alias[] = {
	{"estab", SW_ESTABLISHED},
	{"listening", SW_LISTEN},
	{"synreceived", SW_SYN_RCVD},
};

static bool same_word(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a == '-' || *a == '_')
			a++;
		while (*b == '-' || *b == '_')
			b++;
		if ((*a | 0x20) != (*b | 0x20))
			return false;
		if (!*a || !*b)
			return *a == *b;
	}
}

int words_state(const char *word)
{
#define WORDS_(symbol, name, node) \
	if (same_word(word, name) || same_word(word, node)) \
		return SW_##symbol;
	SW_STATES(WORDS_)
#undef WORDS_
	for (size_t i = 0; i < SW_ARRAY_SIZE(alias); i++)
		if (same_word(word, alias[i].word))
			return alias[i].state;
	return -1;
}

bool words_number(const char *text, unsigned long long min, unsigned long long max, unsigned long long *value)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)*text)) /* strtoull takes signs and blanks */
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n < min || n > max)
		return false;
	*value = n;
	return true;
}

struct unit {
	const char *word;
	u64 ns;
};
static const struct unit units[] = {
	{"ms", MS}, {"s", 1000 * MS}, {"m", 60000 * MS}, {"h", 3600000 * MS}, {"d", 86400000 * MS}};

static u64 unit_ns(const char *word)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(units); i++)
		if (!strcmp(word, units[i].word))
			return units[i].ns;
	return 0;
}

const char *words_unit(u64 per_ns)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(units); i++)
		if (per_ns == units[i].ns)
			return units[i].word;
	return "?";
}

/* The digits in front; the rest follows at *rest. */
static bool leading(const char *text, u64 max, unsigned long long *n, const char **rest)
{
	size_t digits = strspn(text, "0123456789");
	char number[24];

	if (!digits || digits >= sizeof(number))
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)digits, text);
	*rest = text + digits;
	return words_number(number, 0, max, n);
}

bool words_duration(const char *text, u64 *ns)
{
	unsigned long long n;
	const char *unit;
	u64 each;

	if (!leading(text, ~0ULL, &n, &unit))
		return false;
	each = unit_ns(unit);
	/* deadlines of the table reach half of 2^32 ticks: a year fits */
	if (!each || n > 365 * 86400000ULL * MS / each)
		return false;
	*ns = n * each;
	return true;
}

bool words_every(const char *text, double *seconds)
{
	double s;
	char *end;

	errno = 0;
	s = strtod(text, &end);
	if (errno || end == text || *end || !isfinite(s) || s < WORDS_EVERY_MIN || s > WORDS_EVERY_MAX)
		return false;
	*seconds = s;
	return true;
}

bool words_rate(const char *text, u64 *n, u64 *per_ns)
{
	unsigned long long count;
	const char *rest;

	if (!leading(text, ~0ULL, &count, &rest) || *rest != '/' || !unit_ns(rest + 1))
		return false;
	*n = count;
	*per_ns = unit_ns(rest + 1);
	return true;
}

bool words_addr(const char *text, u32 addr[4], bool *v6)
{
	struct in6_addr six;
	struct in_addr four;
	bool is6 = inet_pton(AF_INET6, text, &six) == 1;

	if (!is6 && inet_pton(AF_INET, text, &four) != 1)
		return false;
	memset(addr, 0, 16);
	if (is6) {
		memcpy(addr, &six, 16);
	} else {
		addr[2] = htonl(0xffff);
		addr[3] = four.s_addr;
	}
	if (v6)
		*v6 = addr[0] || addr[1] || addr[2] != htonl(0xffff);
	return true;
}

bool words_endpoint(const char *text, u32 addr[4], u16 *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool bracket = *text == '[';
	unsigned long long n;
	char bare[64];
	u32 to[4];

	if (!len || len >= sizeof(bare) || (bracket && (len < 3 || colon[-1] != ']')) ||
	    !words_number(colon + 1, 1, 65535, &n))
		return false;
	snprintf(bare, sizeof(bare), "%.*s", (int)len - 2 * bracket, text + bracket);
	if (!words_addr(bare, to, NULL) || !strchr(bare, ':') == bracket)
		return false;
	memcpy(addr, to, sizeof(to));
	*port = n;
	return true;
}

bool words_service(const char *text, u32 addr[4], u16 *port, bool *any_addr)
{
	const char *rest = *text == ':' ? text + 1 : !strncmp(text, "*:", 2) ? text + 2 : NULL;
	unsigned long long n;

	*any_addr = rest;
	if (!rest)
		return words_endpoint(text, addr, port);
	if (!words_number(rest, 1, 65535, &n))
		return false;
	*port = n;
	return true;
}

void words_mask(u32 mask[4], bool v6, u32 bits)
{
	bits += v6 ? 0 : 96;
	for (u32 i = 0; i < 4; i++) {
		u32 here = bits > 32 * i ? bits - 32 * i : 0;
		mask[i] = here >= 32 ? ~0u : here ? htonl(~0u << (32 - here)) : 0;
	}
}

/* ADDR or ADDR/BITS: the address as it stands, its family and length. ::ffff:192.0.2.0/120 is 192.0.2.0/24. */
static bool network(const char *text, u32 addr[4], bool *v6, u32 *bits)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long long n;
	char bare[64];

	if (len >= sizeof(bare))
		return false;
	snprintf(bare, sizeof(bare), "%.*s", (int)len, text);
	if (!words_addr(bare, addr, v6))
		return false;
	bool colons = strchr(bare, ':');

	n = colons ? 128 : 32;
	if (slash && !words_number(slash + 1, 0, n, &n))
		return false;
	*v6 |= colons && n < 96;
	*bits = colons && !*v6 ? n - 96 : n;
	return true;
}

bool words_network(const char *text, u32 addr[4], u32 mask[4])
{
	u32 bits;
	bool v6;

	if (!network(text, addr, &v6, &bits))
		return false;
	words_mask(mask, v6, bits);
	return true;
}

bool words_prefix(const char *text, u32 addr[4], bool *v6, u32 *bits)
{
	u32 to[4], mask[4], beyond = 0;

	*bits = 0;
	if (!network(text, to, v6, bits))
		return false;
	words_mask(mask, *v6, *bits);
	for (int i = 0; i < 4; i++)
		beyond |= to[i] & ~mask[i];
	if (beyond)
		return false;
	memcpy(addr, to, sizeof(to));
	return true;
}
