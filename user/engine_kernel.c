// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kernel's engine: synwave_xdp, a capture's clock in its .bss, one BPF_PROG_TEST_RUN a frame. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine.h"
#include "guard_store.h"
#include "percpu.h"
#include "skeleton.h"

#define HEAD 2048 /* of a frame: more than all headers that the parser takes but for the longest chains */
#define ETH  14

struct engine_kernel {
	struct synwave_bpf *skel;
};

static void kernel_close(struct engine *e)
{
	struct engine_kernel *k = e->own;

	synwave_bpf__destroy(k->skel);
	free(k);
	e->own = NULL;
}

static void kernel_frame(struct engine *e, const u8 *frame, u32 cap, u32 size, bool l3, u64 now)
{
	struct engine_kernel *k = e->own;
	struct synwave_bpf *skel = k->skel;
	struct sw_replay *io = &skel->bss->replay_io;
	struct engine_before before;
	u8 room[ETH + HEAD] = {0};
	u32 front = 0;

	if (l3) { /* XDP knows Ethernet only: give it a header that says what follows */
		front = ETH;
		room[12] = cap && frame[0] >> 4 == 6 ? 0x86 : 0x08;
		room[13] = cap && frame[0] >> 4 == 6 ? 0xdd : 0x00;
	}
	cap = cap < HEAD ? cap : HEAD;
	memcpy(room + front, frame, cap);
	*io = (struct sw_replay){.now = now, .size = size + front, .set = ~0u, .verdict = SW_VERDICT_COUNT};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = room, .data_size_in = cap + front < ETH ? ETH : cap + front);
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.synwave_xdp), &run)) {
		e->errors++;
		return;
	}
	e->verdict = io->verdict;
	if (io->set >= e->conf.sets)
		return;
	u32 at = io->set;
	struct sw_shelf f = engine_shelf(e, at);
	engine_before(e, at, &before);
	bpf_map__lookup_elem(skel->maps.sets, &at, sizeof(at), f.set, sizeof(before.set), 0);
	bpf_map__lookup_elem(skel->maps.live, &at, sizeof(at), f.live, e->conf.live_ways * sizeof(*f.live), 0);
	bpf_map__lookup_elem(skel->maps.half, &at, sizeof(at), f.half, e->conf.half_ways * sizeof(*f.half), 0);
	bpf_map__lookup_elem(skel->maps.ladders, &at, sizeof(at), &e->ladders[at], sizeof(before.ladders), 0);
	engine_stepped(e, at, io->way, io->came, io->dropped, &before);
}

static void kernel_finish(struct engine *e)
{
	struct engine_kernel *k = e->own;
	struct synwave_bpf *skel = k->skel;
	u32 zero = 0;

	for (u32 at = 0; at < e->conf.sets; at++)
		bpf_map__lookup_elem(skel->maps.tags, &at, sizeof(at), &e->tags[at], sizeof(e->tags[at]), 0);
	if (percpu_read(bpf_map__fd(skel->maps.stats), &zero, &e->stats, sizeof(e->stats)))
		e->errors++;
}

/* By the very code that writes an instance's rules. */
static int kernel_guard(struct engine *e, const struct ruleset *rs)
{
	struct engine_kernel *k = e->own;
	struct store s = {.dir = "the kernel"};

#define FD_(field, name) s.fd.field = bpf_map__fd(k->skel->maps.field);
	STORE_MAPS(FD_)
#undef FD_
	return guard_write(&s, rs);
}

static const struct engine_driver kernel = {kernel_frame, kernel_finish, kernel_close, kernel_guard};

int engine_open_kernel(struct engine *e, u32 flows, u32 half_open, char *why, size_t room)
{
	struct engine_kernel *k = calloc(1, sizeof(*k));
	struct synwave_bpf *skel = k ? synwave_bpf__open() : NULL;
	struct bpf_program *prog;
	int err = -ENOMEM;

	snprintf(why, room, "no memory for the table");
	if (!skel || engine_open(e, flows, half_open))
		goto fail;
	skeleton_conf(skel, &e->conf);
	skel->rodata->replay = true;
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, prog == skel->progs.synwave_xdp);
	err = synwave_bpf__load(skel);
	if (err) {
		snprintf(why, room, "the kernel does not load the program (%s): run as root, or use --engine native",
			 strerror(-err));
		engine_close(e);
		goto fail;
	}
	k->skel = skel;
	e->own = k;
	e->driver = &kernel;
	return 0;
fail:
	synwave_bpf__destroy(skel);
	free(k);
	return err;
}
