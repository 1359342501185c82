// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What reaches the stream: numbers at the ends of their range, quoting, lines longer than what is gathered of them. */
#include <limits.h>
#include <stdlib.h>

#include "render.h"
#include "tap.h"

void test_json(void);

static void same(const char *got, const char *want, const char *what)
{
	TEST(!strcmp(got, want), "json: %s: %.200s, not %.200s", what, got, want);
}

static void numbers(struct json *j)
{
	static const long long row[] = {0, -1, 9, 10, -10, UINT_MAX, LLONG_MAX, LLONG_MIN};

	json_arr(j);
	for (size_t i = 0; i < SW_ARRAY_SIZE(row); i++)
		json_num(j, row[i]);
	json_end_arr(j);
	json_line(j);
}

static void object(struct json *j)
{
	json_obj(j);
	json_ks(j, "quoted", "a\"b\\c\n\x01");
	json_ks(j, "none", NULL);
	json_kb_if(j, "yes", true, true);
	json_kn_if(j, "unknown", false, 7);
	json_end_obj(j);
	json_line(j);
}

/* A string as long as each size around 4096, and far longer, arrives whole and in its place. */
static void long_lines(void)
{
	static const size_t sizes[] = {1, 4090, 4091, 4092, 4093, 4094, 4095, 4096, 4097, 8192, 100000};

	for (size_t i = 0; i < SW_ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i], len = 0;
		char *got = NULL, *word = calloc(1, size + 1), *want = calloc(1, size + 32);
		FILE *out = open_memstream(&got, &len);
		struct json *j = json_open(out);

		memset(word, 'x', size);
		sprintf(want, "[1,\"%s\",2]\n[3]\n", word);
		json_arr(j);
		json_num(j, 1);
		json_str(j, word);
		json_num(j, 2);
		json_end_arr(j);
		json_line(j);
		json_arr(j);
		json_num(j, 3);
		json_end_arr(j);
		json_line(j);
		json_close(j);
		fclose(out);
		TEST(len == strlen(want) && !memcmp(got, want, len), "json: a string of %zu: %zu bytes, not %zu", size,
		     len, strlen(want));
		free(got);
		free(word);
		free(want);
	}
}

void test_json(void)
{
	static const struct {
		const char *what, *want;
		void (*write)(struct json *j);
	} row[] = {
		{"numbers", "[0,-1,9,10,-10,4294967295,9223372036854775807,-9223372036854775808]\n", numbers},
		{"object", "{\"quoted\":\"a\\\"b\\\\c\\n\\u0001\",\"none\":null,\"yes\":true,\"unknown\":null}\n",
		 object},
	};

	for (size_t i = 0; i < SW_ARRAY_SIZE(row); i++) {
		char *got = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&got, &len);
		struct json *j = json_open(out);

		row[i].write(j);
		json_close(j);
		fclose(out);
		same(got, row[i].want, row[i].what);
		free(got);
	}
	long_lines();
}
