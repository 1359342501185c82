// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a packet costs: ns by BPF_PROG_TEST_RUN on one CPU, best of some rounds, and as a ratio to two references of the
 * same run (insert into LRU_HASH, look up in HASH). Needs root and a quiet machine. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../frames.h"
#include "driver.skel.h"
#include "conf.h"
#include "engine.h"
#include "skeleton.h"

#define FLOWS  250000
#define REPEAT 400000
#define ROUNDS 7

static struct synwave_bpf *load(void)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct sw_conf conf = {0};

	if (!skel)
		abort();
	conf_sizes(&conf, 262144, 65536);
	conf_defaults(&conf);
	conf.ladder = !getenv("NO_LADDER");
	skeleton_conf(skel, &conf);
	if (synwave_bpf__load(skel))
		exit(1);
	return skel;
}

/* The frame of a client 10.0.0.0 + n, to 192.0.2.2:80. */
static void client_frame(struct frame *f, u8 from, u8 flags, u32 seq, u32 ack, u16 len, u32 n)
{
	struct segment s = {.from = from, .flags = flags, .seq = seq, .ack = ack, .len = len};
	u8 *addr = frame_data(f) + (from == SW_CLIENT ? 26 : 30);

	f->len = 0;
	build_segment(f, &s, false, 0);
	memcpy(addr, (u8[]){10, n >> 16, n >> 8, n}, 4);
}

/* Establishes FLOWS connections in plain memory, by the same core and keys, and lays them into the maps. */
static void fill(struct synwave_bpf *skel)
{
	struct engine e;
	struct frame f;
	struct timespec ts;

	if (engine_open(&e, 262144, 65536))
		abort();
	memcpy(&e.conf, (void *)&skel->rodata->conf, sizeof(e.conf));
	clock_gettime(CLOCK_MONOTONIC, &ts);
	u64 now = ts.tv_sec * SW_NS_PER_S + ts.tv_nsec;
	for (u32 n = 0; n < FLOWS; n++) {
		client_frame(&f, SW_CLIENT, SW_TCP_SYN, 1, 0, 0, n);
		engine_frame(&e, frame_data(&f), f.len, f.len, false, now);
		client_frame(&f, SW_SERVER, SW_TCP_SYN | SW_TCP_ACK, 9, 2, 0, n);
		engine_frame(&e, frame_data(&f), f.len, f.len, false, now);
		client_frame(&f, SW_CLIENT, SW_TCP_ACK, 2, 10, 0, n);
		engine_frame(&e, frame_data(&f), f.len, f.len, false, now);
	}
	for (u32 at = 0; at < e.conf.sets; at++) {
		bpf_map__update_elem(skel->maps.sets, &at, sizeof(at), &e.set[at], sizeof(e.set[at]), 0);
		bpf_map__update_elem(skel->maps.tags, &at, sizeof(at), &e.tags[at], sizeof(e.tags[at]), 0);
		if (e.conf.ladder)
			bpf_map__update_elem(skel->maps.ladders, &at, sizeof(at), &e.ladders[at], sizeof(e.ladders[at]),
					     0);
	}
	engine_close(&e);
}

/* ns a run: the best of ROUNDS, since whatever disturbs only adds. */
static double cost(int prog, const struct frame *f, u32 hosts, u32 reference)
{
	struct driver_bpf *d = driver_bpf__open();
	double best = 1e9;
	u32 zero = 0;

	if (!d)
		abort();
	d->rodata->hosts = hosts;
	d->rodata->call = prog >= 0;
	d->rodata->reference = reference;
	if (driver_bpf__load(d))
		exit(1);
	if (prog >= 0)
		bpf_map_update_elem(bpf_map__fd(d->maps.under_test), &zero, &prog, 0);
	for (int i = 0; i < ROUNDS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = f->room + FRAME_PAD, .data_size_in = f->len,
			    .repeat = REPEAT);
		if (bpf_prog_test_run_opts(bpf_program__fd(d->progs.driver), &run))
			exit(1);
		best = run.duration < best ? run.duration : best;
	}
	driver_bpf__destroy(d);
	return best;
}

int main(void)
{
	struct synwave_bpf *skel = load();
	int xdp = bpf_program__fd(skel->progs.synwave_xdp);
	struct frame data, syn, udp;

	fill(skel);
	client_frame(&data, SW_CLIENT, SW_TCP_ACK, 2, 10, 100, 0);
	client_frame(&syn, SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0);
	client_frame(&udp, SW_CLIENT, SW_TCP_ACK, 2, 10, 100, 0);
	frame_data(&udp)[23] = 17;

	double floor = cost(-1, &data, 1 << 24, 0);
	double lru = cost(-1, &data, 1 << 24, 1) - floor, hash = cost(-1, &data, 1 << 24, 2) - floor;
	const struct {
		const char *name;
		double ns;
	} rows[] = {
		{"not TCP", cost(xdp, &udp, 1, 0)},
		{"data, one established connection", cost(xdp, &data, 1, 0)},
		{"data, 1,000 established", cost(xdp, &data, 1000, 0)},
		{"data, 250,000 established, random", cost(xdp, &data, FLOWS, 0)},
		{"SYN again, one connection", cost(xdp, &syn, 1, 0)},
		{"SYN flood, 16 million random sources", cost(xdp, &syn, 1 << 24, 0)},
	};
	printf("%-42s %8s %12s %12s\n", "", "ns", "x LRU insert", "x HASH miss");
	printf("%-42s %8.0f\n", "floor (driver and harness), subtracted", floor);
	printf("%-42s %8.0f\n", "reference: insert into LRU_HASH, 64 Ki", lru);
	printf("%-42s %8.0f\n", "reference: miss in HASH, 256 Ki", hash);
	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++)
		printf("%-42s %8.0f %12.2f %12.2f\n", rows[i].name, rows[i].ns - floor, (rows[i].ns - floor) / lru,
		       (rows[i].ns - floor) / hash);
	synwave_bpf__destroy(skel);
	return 0;
}
