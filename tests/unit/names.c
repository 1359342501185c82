// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names that others chose: what reaches a terminal, and JSON, of an interface called anything. */
#include <stdlib.h>

#include "render.h"
#include "tap.h"

void test_names(void);

static void test_text(void)
{
	static const struct {
		const char *name, *text;
	} rows[] = {
		{"eth0", "eth0"},
		{"\033]0;x\a", "\\x1b]0;x\\x07"},
		{"\302\233"
		 "31m",
		 "\\xc2\\x9b31m"}, /* CSI in one character */
		{"b\303\274ro0", "b\\xc3\\xbcro0"},
		{"\177\377", "\\x7f\\xff"},
		{"a\\b\"<>&'", "a\\b\"<>&'"},
		{"", ""},
		{"\033\033\033\033\033\033\033\033\033\033\033\033\033\033\033",
		 "\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b\\x1b"}, /* IFNAMSIZ - 1 */
	};
	char buf[TEXT_SIZE];

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++)
		TEST(!strcmp(text_name(buf, sizeof(buf), rows[i].name), rows[i].text), "name %zu: %s", i, buf);
	for (int c = 1; c < 256; c++) {
		char name[16] = {'x', c, 0};

		for (const char *p = text_name(buf, sizeof(buf), name); *p; p++)
			TEST(*p >= ' ' && *p <= '~', "byte %d comes out as %d", c, *p);
	}
	memset(buf, 0, sizeof(buf));
	text_name(
		buf, sizeof(buf),
		"\033\033\033\033\033\033\033\033\033\033\033\033\033\033\033\033\033"); /* longer than a name can be */
	TEST(strlen(buf) < TEXT_SIZE && !(strlen(buf) % 4), "cut in the middle: %s", buf);
}

static void check_json(const char *name, const char *want)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct json *j = json_open(out);

	json_str(j, name);
	json_close(j);
	fclose(out);
	TEST(!strcmp(text, want), "JSON: %s, not %s", text, want);
	free(text);
}

void test_names(void)
{
	test_text();
	check_json("eth0", "\"eth0\"");
	check_json("\033[2J", "\"\\u001B[2J\"");
	check_json("b\303\274ro0", "\"b\303\274ro0\"");
	check_json("\302\233m", "\"\\\\xc2\\\\x9bm\"");
	check_json("\377\303", "\"\\\\xff\\\\xc3\""); /* no UTF-8: no JSON would have it */
}
