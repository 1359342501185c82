// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "percpu.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void percpu_sum(void *sum, const void *shares, size_t size, int cpus)
{
	const u64 *from = shares;
	u64 *to = sum;

	memset(to, 0, size);
	for (int cpu = 0; cpu < cpus; cpu++)
		for (size_t i = 0; i < size / sizeof(u64); i++)
			to[i] += *from++;
}

int percpu_read(int map_fd, const void *key, void *sum, size_t size)
{
	int cpus = libbpf_num_possible_cpus(), err;
	void *shares = cpus < 0 ? NULL : calloc(cpus, size);

	if (!shares)
		return cpus < 0 ? cpus : -ENOMEM;
	err = bpf_map_lookup_elem(map_fd, key, shares);
	if (!err)
		percpu_sum(sum, shares, size, cpus);
	free(shares);
	return err;
}
