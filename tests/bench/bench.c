// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a packet costs: ns by BPF_PROG_TEST_RUN on one CPU, best of some rounds, and as a ratio to two references of the
 * same run (insert into LRU_HASH, look up in HASH). Needs root and a quiet machine. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
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

#define TEST_RUN_PLACE (1 << 1) /* BPF_PROG_TEST_RUN: the loopback device, ingress. Elsewhere a SYN would be a copy. */

static struct synwave_bpf *load(bool ladder)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct sw_conf conf = {0};

	if (!skel)
		abort();
	conf_sizes(&conf, 262144, 65536);
	conf_defaults(&conf);
	conf.ladder = ladder;
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
		for (u32 way = 0; way < SW_WAYS; way++)
			e.set[at].conn[way].place[SW_CLIENT] = e.set[at].conn[way].place[SW_SERVER] = TEST_RUN_PLACE;
		bpf_map__update_elem(skel->maps.sets, &at, sizeof(at), &e.set[at], sizeof(e.set[at]), 0);
		bpf_map__update_elem(skel->maps.tags, &at, sizeof(at), &e.tags[at], sizeof(e.tags[at]), 0);
		if (e.conf.ladder)
			bpf_map__update_elem(skel->maps.ladders, &at, sizeof(at), &e.ladders[at], sizeof(e.ladders[at]),
					     0);
	}
	engine_close(&e);
}

static void on_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set); /* where there is one CPU it stays there */
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

/* One trace that listens, on the CPU that the programs do not run on: what is read is thrown away. */
struct listener {
	struct ring_buffer *ring;
	pthread_t thread;
	atomic_bool over;
};

static int drop(void *ctx, void *data, size_t size)
{
	(void)ctx, (void)data, (void)size;
	return 0;
}

static void *drain(void *arg)
{
	struct listener *l = arg;

	on_cpu(1);
	while (!l->over)
		ring_buffer__consume(l->ring);
	return NULL;
}

static void set_reader(struct synwave_bpf *skel, u64 until, u16 port)
{
	struct sw_readers all = {.until_ns = until};
	u32 zero = 0;

	all.slot[0].until_ns = until;
	all.slot[0].filter.port = port;
	bpf_map__update_elem(skel->maps.readers, &zero, sizeof(zero), &all, sizeof(all), 0);
}

static double cost_with_trace(struct synwave_bpf *skel, const struct frame *f, u16 port)
{
	int xdp = bpf_program__fd(skel->progs.synwave_xdp);
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "bench", 0, 0, 4 << 20, NULL);
	struct listener l = {.ring = ring_buffer__new(fd, drop, NULL, NULL)};
	u32 zero = 0;
	double ns;

	if (!l.ring || bpf_map__update_elem(skel->maps.rings, &zero, sizeof(zero), &fd, sizeof(fd), 0))
		exit(1);
	set_reader(skel, ~0ULL, port);
	pthread_create(&l.thread, NULL, drain, &l);
	ns = cost(xdp, f, 1, 0);
	l.over = true;
	pthread_join(l.thread, NULL);
	set_reader(skel, 0, 0);
	ring_buffer__free(l.ring);
	return ns;
}

struct row {
	const char *name;
	double ns;
};

static void print_rows(const struct row *row, size_t count, double floor, double lru, double hash)
{
	for (size_t i = 0; i < count; i++)
		printf("%-42s %8.0f %12.2f %12.2f\n", row[i].name, row[i].ns - floor, (row[i].ns - floor) / lru,
		       (row[i].ns - floor) / hash);
}

int main(void)
{
	struct synwave_bpf *skel = load(true), *bare = load(false);
	int xdp = bpf_program__fd(skel->progs.synwave_xdp), without = bpf_program__fd(bare->progs.synwave_xdp);
	struct frame data, syn, udp;

	on_cpu(0);
	fill(skel);
	fill(bare);
	client_frame(&data, SW_CLIENT, SW_TCP_ACK, 2, 10, 100, 0);
	client_frame(&syn, SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0);
	client_frame(&udp, SW_CLIENT, SW_TCP_ACK, 2, 10, 100, 0);
	frame_data(&udp)[23] = 17;

	double floor = cost(-1, &data, 1 << 24, 0);
	double lru = cost(-1, &data, 1 << 24, 1) - floor, hash = cost(-1, &data, 1 << 24, 2) - floor;
	printf("%-42s %8s %12s %12s\n", "", "ns", "x LRU insert", "x HASH miss");
	printf("%-42s %8.0f\n", "floor (driver and harness), subtracted", floor);
	printf("%-42s %8.0f\n", "reference: insert into LRU_HASH, 64 Ki", lru);
	printf("%-42s %8.0f\n", "reference: miss in HASH, 256 Ki", hash);
	const struct row rows[] = {
		{"not TCP", cost(xdp, &udp, 1, 0)},
		{"data, one established connection", cost(xdp, &data, 1, 0)},
		{"data, 1,000 established", cost(xdp, &data, 1000, 0)},
		{"data, 250,000 established, random", cost(xdp, &data, FLOWS, 0)},
		{"SYN again, one connection", cost(xdp, &syn, 1, 0)},
		{"SYN again, 250,000 connections, random", cost(xdp, &syn, FLOWS, 0)},
		{"SYN flood, 16 million random sources", cost(xdp, &syn, 1 << 24, 0)},
		{"--no-ladder: SYN again, one connection", cost(without, &syn, 1, 0)},
		{"--no-ladder: SYN again, 250,000, random", cost(without, &syn, FLOWS, 0)},
		{"--no-ladder: SYN flood, 16 million", cost(without, &syn, 1 << 24, 0)},
		{"data, one established, a trace listens", cost_with_trace(skel, &data, 0)},
		{"SYN again, a trace listens", cost_with_trace(skel, &syn, 0)},
		{"SYN again, the trace filters it out", cost_with_trace(skel, &syn, 1)},
	};
	print_rows(rows, SW_ARRAY_SIZE(rows), floor, lru, hash);
	synwave_bpf__destroy(skel);
	synwave_bpf__destroy(bare);
	return 0;
}
