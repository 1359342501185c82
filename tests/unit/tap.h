/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One line a check that failed, one line a group, and the counts at the end. */
#ifndef SYNWAVE_TAP_H
#define SYNWAVE_TAP_H

#include <stdio.h>

/* one set of counters, however many files include this */
__attribute__((weak)) int tap_passed, tap_failed, tap_skipped;

/* A test: passed when `ok`; the rest says what was tested. */
#define TEST(ok, ...) \
	do { \
		if (ok) { \
			tap_passed++; \
		} else { \
			tap_failed++; \
			printf("not ok - " __VA_ARGS__); \
			printf(" (%s:%d)\n", __FILE__, __LINE__); \
		} \
	} while (0)

#define SKIP(...) \
	do { \
		tap_skipped++; \
		printf("skip - " __VA_ARGS__); \
		printf("\n"); \
	} while (0)

static inline int tap_end(const char *what)
{
	printf("%s: %d passed, %d failed, %d skipped\n", what, tap_passed, tap_failed, tap_skipped);
	return tap_failed ? 1 : 0;
}

#endif
