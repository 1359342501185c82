/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What depends on the kernel and is found out, never assumed: `status` reports every row. */
#ifndef SYNWAVE_FEATURE_H
#define SYNWAVE_FEATURE_H

#include <stdbool.h>

enum feature {
	FEATURE_TCX,
	FEATURE_DISPATCHER,
	FEATURE_BTF,
	FEATURE_COOKIES, /* load_cookies() */
	FEATURE_SERIAL, /* realtime.h */
	FEATURE_LISTENER, /* fields of listening sockets that bpf/kernel.h reads where it finds them */
	FEATURE_COUNT
};

struct feature_row {
	const char *key, *name; /* for JSON, for people */
	const char *without; /* what is done instead */
	bool (*works)(void);
};
extern const struct feature_row feature[FEATURE_COUNT];

#endif
