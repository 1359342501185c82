// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http_host.h"

#include <arpa/inet.h>
#include <string.h>

static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits <= 5 && !text[digits];
}

bool http_host_is_name(const char *text)
{
	static const char may[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(text);

	return len && len < HTTP_HOST_SIZE && strspn(text, may) == len && !strchr("-.", *text);
}

bool http_host_split(const char *header, char name[HTTP_HOST_SIZE], bool *bracketed)
{
	const char *from = header, *end, *rest;

	*bracketed = *header == '[';
	if (*bracketed) {
		from++;
		end = strchr(from, ']');
		if (!end)
			return false;
		rest = end + 1;
	} else {
		rest = strchrnul(header, ':');
		end = rest > header && rest[-1] == '.' ? rest - 1 : rest;
	}
	if (end == from || end - from >= HTTP_HOST_SIZE || (*rest && (*rest != ':' || !is_port(rest + 1))))
		return false;
	memcpy(name, from, end - from);
	name[end - from] = 0;
	return true;
}

static bool same(const char *name, const char *known)
{
	size_t len = strlen(known);

	if (len && known[len - 1] == '.')
		len--;
	return strlen(name) == len && !strncasecmp(name, known, len);
}

bool http_host_known(const char *header, const char *const *names)
{
	char name[HTTP_HOST_SIZE];
	struct in6_addr addr;
	bool bracketed;

	if (!http_host_split(header, name, &bracketed))
		return false;
	if (inet_pton(bracketed ? AF_INET6 : AF_INET, name, &addr) == 1)
		return true;
	if (bracketed)
		return false;
	for (; *names; names++)
		if (same(name, *names))
			return true;
	return same(name, "localhost");
}
