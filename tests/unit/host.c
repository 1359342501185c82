// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which Host headers are answered. */
#include <stddef.h>

#include "http_host.h"
#include "tap.h"

void test_host(void);

#define LABEL "a123456789b123456789c123456789d123456789e123456789f123456789."

static const char *const names[] = {"synwave.monitoring.svc", "Node-1.Example.", LABEL LABEL LABEL LABEL "abcdefghi",
				    NULL};

static const struct {
	const char *header;
	bool known;
} row[] = {
	{"127.0.0.1", true},
	{"127.0.0.1:9465", true},
	{"192.0.2.7:1", true},
	{"10.0.0.1:", true},
	{"[::1]", true},
	{"[::1]:9465", true},
	{"[2001:db8::7]:65535", true},
	{"[::ffff:192.0.2.7]", true},
	{"localhost", true},
	{"LocalHost:9465", true},
	{"localhost.:9465", true},
	{"synwave.monitoring.svc", true},
	{"SYNWAVE.monitoring.svc.:80", true},
	{"node-1.example", true},
	{"node-1.example.", true},
	{LABEL LABEL LABEL LABEL "abcdefghi:9465", true},
	{"", false},
	{".", false},
	{":", false},
	{":9465", false},
	{"evil.example", false},
	{"evil.example:9465", false},
	{"localhost.evil.example", false},
	{"evil.localhost", false},
	{"localhost..", false},
	{"127.0.0.1.evil.example", false},
	{"127.0.0.1evil", false},
	{"127.1", false},
	{"2130706433", false},
	{"0x7f000001", false},
	{"0177.0.0.1", false},
	{"::1", false},
	{"[::1", false},
	{"[::1]x", false},
	{"[::1].evil.example", false},
	{"[]", false},
	{"[127.0.0.1]", false},
	{"[localhost]", false},
	{"[synwave.monitoring.svc]", false},
	{"[fe80::1%25eth0]", false},
	{"localhost:evil.example", false},
	{"localhost:80:80", false},
	{"localhost:-1", false},
	{"localhost:123456", false},
	{"localhost,evil.example", false},
	{"localhost evil.example", false},
	{"evil.example/localhost", false},
	{"user@localhost", false},
	{"synwave.monitoring", false},
	{"synwave.monitoring.svc.cluster.local", false},
	{"xsynwave.monitoring.svc", false},
	{LABEL LABEL LABEL LABEL "abcdefghij", false},
	{LABEL LABEL LABEL LABEL LABEL LABEL, false},
};

static const struct {
	const char *text;
	bool is;
} name_row[] = {
	{"a", true},
	{"prometheus.example.org", true},
	{"my_host-2.example.", true},
	{"xn--bcher-kva.example", true},
	{"", false},
	{"-x", false},
	{".example", false},
	{"a b", false},
	{"a:80", false},
	{"[::1]", false},
	{"::1", false},
	{"http://a/", false},
	{"*", false},
	{"b\xc3\xbc.example", false},
	{"a\n", false},
	{LABEL LABEL LABEL LABEL LABEL, false},
};

void test_host(void)
{
	static const char *const none[] = {NULL};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		TEST(http_host_known(row[i].header, names) == row[i].known, "host: '%s'", row[i].header);
	for (size_t i = 0; i < sizeof(name_row) / sizeof(name_row[0]); i++)
		TEST(http_host_is_name(name_row[i].text) == name_row[i].is, "host: the name '%s'", name_row[i].text);
	TEST(!http_host_known("node-1.example", none), "host: a name that nobody gave");
}
