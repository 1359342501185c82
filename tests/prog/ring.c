// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who listens: leases, filters, a full ring; and a reader for other tests. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../frames.h"
#include "prog.h"
#include "synwave.skel.h"

static u64 monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SW_NS_PER_S + t.tv_nsec;
}

static int on_sample(void *ctx, void *data, size_t size)
{
	struct prog_reader *r = ctx;

	if (size != sizeof(struct sw_trace))
		abort();
	if (r->count == r->room) {
		r->room = r->room ? 2 * r->room : 1024;
		r->got = reallocarray(r->got, r->room, sizeof(*r->got));
		if (!r->got)
			abort();
	}
	memcpy(&r->got[r->count++], data, size);
	return 0;
}

static void edit(struct synwave_bpf *skel, const struct prog_reader *r, u64 until, const struct sw_filter *f)
{
	struct sw_readers all;
	u32 zero = 0;

	bpf_map__lookup_elem(skel->maps.readers, &zero, sizeof(zero), &all, sizeof(all), 0);
	all.slot[r->slot].until_ns = until;
	if (f)
		all.slot[r->slot].filter = *f;
	all.until_ns = until > all.until_ns ? until : all.until_ns;
	bpf_map__update_elem(skel->maps.readers, &zero, sizeof(zero), &all, sizeof(all), 0);
}

void prog_listen(struct prog_reader *r, struct synwave_bpf *skel, u32 slot, u32 bytes, u64 seconds,
		 const struct sw_filter *f)
{
	*r = (struct prog_reader){.slot = slot};
	r->fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "test", 0, 0, bytes, NULL);
	r->ring = ring_buffer__new(r->fd, on_sample, r, NULL);
	if (!r->ring || bpf_map__update_elem(skel->maps.rings, &slot, sizeof(slot), &r->fd, sizeof(r->fd), 0))
		abort();
	edit(skel, r, (monotonic() + seconds * SW_NS_PER_S) | SW_READER_LIVE, f);
}

void prog_lease(struct prog_reader *r, struct synwave_bpf *skel, u64 until)
{
	edit(skel, r, until, NULL);
}

u32 prog_heard(struct prog_reader *r)
{
	ring_buffer__consume(r->ring);
	return r->count;
}

u64 prog_lost(const struct prog_reader *r, struct synwave_bpf *skel)
{
	struct sw_readers all;
	u32 zero = 0;

	bpf_map__lookup_elem(skel->maps.readers, &zero, sizeof(zero), &all, sizeof(all), 0);
	return all.slot[r->slot].lost;
}

void prog_deaf(struct prog_reader *r)
{
	ring_buffer__free(r->ring);
	close(r->fd);
	free(r->got);
}

/* SYNs of as many ports from `port` on. */
static void syns(struct synwave_bpf *skel, u16 port, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		struct segment s = {.from = SW_CLIENT, .flags = SW_TCP_SYN, .seq = 1};
		struct frame f = {0};

		build_segment(&f, &s, false, 0);
		frame_data(&f)[34] = (port + i) >> 8;
		frame_data(&f)[35] = port + i;
		if (prog_run(bpf_program__fd(skel->progs.synwave_xdp), frame_data(&f), f.len) != 2)
			abort();
	}
}

void test_readers(void)
{
	struct synwave_bpf *skel = prog_load(256, 256, PROG_XDP);
	u32 page = sysconf(_SC_PAGESIZE), many = page / 40; /* of 112 bytes: a ring of one page has no room for all */
	struct prog_reader all, some, small;
	char line[160];

	if (!skel)
		abort();
	prog_listen(&all, skel, 0, 16 * page, 600, &(struct sw_filter){0});
	prog_listen(&some, skel, 5, 16 * page, 600, &(struct sw_filter){.port = 1003});
	prog_listen(&small, skel, 7, page, 600, &(struct sw_filter){0});
	syns(skel, 1000, many);
	u32 heard = prog_heard(&small);
	snprintf(line, sizeof(line),
		 "readers: %u of %u events, %u pass a filter, %u fit a small ring and %llu are lost", prog_heard(&all),
		 many, prog_heard(&some), heard, prog_lost(&small, skel));
	count_test(all.count == many && some.count == 1 && heard && heard < many &&
			   heard + prog_lost(&small, skel) == many && !prog_lost(&all, skel) && !prog_lost(&some, skel),
		   line);

	prog_lease(&all, skel, (monotonic() - 1) | SW_READER_LIVE); /* over */
	prog_lease(&some, skel, (monotonic() + 600 * SW_NS_PER_S) & ~SW_READER_LIVE); /* claimed only */
	syns(skel, 3000, 10);
	syns(skel, 1003, 1);
	count_test(prog_heard(&all) == many && prog_heard(&some) == 1 && prog_heard(&small) == heard + 11 &&
			   !prog_lost(&all, skel),
		   "readers: nothing for one whose lease is over, nothing for one that is not ready");
	prog_lease(&all, skel, (monotonic() + 600 * SW_NS_PER_S) | SW_READER_LIVE);
	syns(skel, 3100, 10);
	count_test(prog_heard(&all) == many + 10, "readers: a lease renewed counts again");
	prog_deaf(&all);
	prog_deaf(&some);
	prog_deaf(&small);
	synwave_bpf__destroy(skel);
}
