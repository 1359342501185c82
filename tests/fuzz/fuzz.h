/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A target is LLVMFuzzerTestOneInput; what it must not see ends it. Built with libFuzzer, or with main.c over a corpus. */
#ifndef SYNWAVE_FUZZ_H
#define SYNWAVE_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "conf.h"
#include "engine.h"

#define HOLDS(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #x); \
			abort(); \
		} \
	} while (0)

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* The books balance; bitmaps, tags, quotas, rivals, states and ladders agree. check.c */
void fuzz_check_set(const struct sw_shelf *f);

#endif
