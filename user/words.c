// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "words.h"

#include <arpa/inet.h>
#include <string.h>

#include "cmd.h"

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

int word_state(const char *word)
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

static bool word_ip4(const char *text, u32 addr[4])
{
	addr[0] = addr[1] = 0;
	addr[2] = htonl(0xffff);
	return inet_pton(AF_INET, text, &addr[3]) == 1;
}

bool word_endpoint(const char *text, u32 addr[4], u16 *port, bool *any_addr)
{
	const char *colon = strrchr(text, ':');
	unsigned long long number;
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = colon ? (size_t)(colon - text) : 0;
	bool any;

	if (!colon || len >= sizeof(host) || !cmd_number(colon + 1, 1, 65535, &number))
		return false;
	*port = number;
	memcpy(host, text, len);
	host[len] = 0;
	any = !len || !strcmp(host, "*");
	if (any_addr)
		*any_addr = any;
	if (any)
		return any_addr;
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = 0;
		return inet_pton(AF_INET6, host + 1, addr) == 1;
	}
	return word_ip4(host, addr);
}

bool word_prefix(const char *text, u32 addr[4], u32 mask[4])
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	char host[INET6_ADDRSTRLEN];
	unsigned long long bits = 128;
	bool v6;

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	v6 = strchr(host, ':');
	if (v6 ? inet_pton(AF_INET6, host, addr) != 1 : !word_ip4(host, addr))
		return false;
	if (slash && !cmd_number(slash + 1, 0, v6 ? 128 : 32, &bits))
		return false;
	if (slash && !v6)
		bits += 96;
	for (u32 i = 0; i < 4; i++) {
		u32 left = bits > 32 * i ? bits - 32 * i : 0;

		mask[i] = left >= 32 ? ~0u : left ? htonl(~0u << (32 - left)) : 0;
	}
	return true;
}
