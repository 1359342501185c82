/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The embedded BPF object, made to fit an instance before it is loaded. */
#ifndef SYNWAVE_SKELETON_H
#define SYNWAVE_SKELETON_H

#include <bpf/libbpf.h>
#include <string.h>

#include "synwave/abi.h"
#include "synwave.skel.h"

/* Freezes `conf` in, and gives the maps the sizes that it asks for. 0 or -errno. */
static inline int skeleton_conf(struct synwave_bpf *skel, const struct sw_conf *conf)
{
	int err;

	memcpy((void *)&skel->rodata->conf, conf, sizeof(*conf));
	err = bpf_map__set_max_entries(skel->maps.tags, conf->sets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.sets, conf->sets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.live, conf->sets);
	if (!err)
		err = bpf_map__set_value_size(skel->maps.live, conf->live_ways * sizeof(struct sw_live));
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.half, conf->sets);
	if (!err)
		err = bpf_map__set_value_size(skel->maps.half, conf->half_ways * sizeof(struct sw_half));
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.ladders, conf->ladder ? conf->sets : 1);
	return err;
}

#endif
