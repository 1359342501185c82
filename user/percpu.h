/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Per-CPU maps whose values are made of u64 counters, modulo 2^64: one CPU's share means nothing, the sum does. */
#ifndef SYNWAVE_PERCPU_H
#define SYNWAVE_PERCPU_H

#include "synwave/types.h"

/* The shares of `cpus` possible CPUs, each `size` bytes, a multiple of 8. */
void percpu_sum(void *sum, const void *shares, size_t size, int cpus);
/* The same for one value of a map. 0 or -errno. */
int percpu_read(int map_fd, const void *key, void *sum, size_t size);

#endif
