// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../frames.h"
#include "../guards.h"
#include "bench.h"
#include "conf.h"
#include "driver.skel.h"
#include "guard_store.h"
#include "skeleton.h"

#define TEST_RUN_PLACE (1 << 1) /* BPF_PROG_TEST_RUN: the loopback device, ingress. Elsewhere a SYN would be a copy. */

static void die(const char *what, int err)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(err < 0 ? -err : errno));
	exit(1);
}

u64 bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * SW_NS_PER_S + ts.tv_nsec;
}

#define HALF_OPEN 65536
static const u32 flows[TABLES] = {[SMALL] = 262144, [LARGE] = 1 << 20, [BARE] = 262144};

static struct synwave_bpf *load(u32 kept, u32 half_open, bool ladder)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct bpf_program *prog;
	struct sw_conf conf = {0};
	int err;

	if (!skel)
		die("open", 0);
	conf_sizes(&conf, kept, half_open);
	conf_defaults(&conf);
	conf.ladder = ladder;
	skeleton_conf(skel, &conf);
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, prog == skel->progs.synwave_xdp);
	err = synwave_bpf__load(skel);
	if (err)
		die("load", err);
	return skel;
}

static int program(struct bench *b, enum bench_program p, struct synwave_bpf *skel)
{
	struct driver_bpf *d = b->driver;
	struct bpf_program *of[BENCH_PROGRAMS] = {
		[P_EMPTY] = d->progs.empty,        [P_PARSE] = d->progs.parse_only,
		[P_LRU] = d->progs.lru_insert,     [P_HASH] = d->progs.hash_miss,
		[P_COOKIE] = d->progs.cookie_only, [P_SYNWAVE] = skel->progs.synwave_xdp};

	return bpf_program__fd(of[p]);
}

void bench_open(struct bench *b)
{
	if (libbpf_num_possible_cpus() > BENCH_CPUS)
		die("more CPUs than it knows of", -E2BIG);
	for (int i = 0; i < TABLES; i++)
		b->skel[i] = load(flows[i], HALF_OPEN, i != BARE);
	b->driver = driver_bpf__open_and_load();
	if (!b->driver)
		die("load the driver", 0);
}

void bench_close(struct bench *b)
{
	for (int i = 0; i < TABLES; i++)
		synwave_bpf__destroy(b->skel[i]);
	driver_bpf__destroy(b->driver);
}

static double run(int fd, struct frame *f, u32 runs, u32 want)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame_data(f), .data_size_in = f->len, .repeat = runs);
	int err = bpf_prog_test_run_opts(fd, &opts);

	if (err || (want && opts.retval == 0))
		die("run", err ? err : -EINVAL);
	return opts.duration;
}

double bench_bare(struct bench *b)
{
	struct frame f = {.len = 60};

	return run(bpf_program__fd(b->driver->progs.empty), &f, 1 << 20, 1);
}

static struct driver_bpf *open_driver(u32 frame_len, u32 hosts)
{
	struct driver_bpf *d = driver_bpf__open();

	if (!d)
		die("open the driver", 0);
	d->rodata->frame_len = frame_len;
	d->rodata->hosts = hosts;
	return d;
}

static int load_driver(struct driver_bpf *d, struct bpf_program *driver, int target)
{
	struct bpf_program *prog;
	u32 zero = 0;
	int err;

	bpf_object__for_each_program(prog, d->obj) bpf_program__set_autoload(prog, prog == driver);
	err = driver_bpf__load(d);
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(d->maps.under_test), &zero, &target, 0);
	if (err)
		die("load the driver", err);
	return bpf_program__fd(driver);
}

/* Each CPU walks through a part of the hosts that is its own. */
static void set_turns(struct driver_bpf *d, u32 hosts, u32 cpus)
{
	u64 turn[BENCH_CPUS] = {0};
	u32 zero = 0;

	for (u32 i = 0; i < cpus; i++)
		turn[i] = (u64)hosts / cpus * i;
	if (bpf_map_update_elem(bpf_map__fd(d->maps.turns), &zero, turn, 0))
		die("turns", 0);
}

struct runner {
	pthread_t thread;
	pthread_barrier_t *start;
	int fd;
	struct frame *f;
	u32 runs, cpu;
	double ns;
};

static void *on_a_cpu(void *arg)
{
	struct runner *r = arg;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(r->cpu, &one);
	if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one))
		die("no such CPU", -EINVAL);
	pthread_barrier_wait(r->start);
	r->ns = run(r->fd, r->f, r->runs, 1);
	return NULL;
}

/* All at once; ns of one packet on one CPU. */
static double run_beside(int fd, struct frame *f, u32 runs, u32 cpus)
{
	struct runner r[BENCH_CPUS];
	pthread_barrier_t start;
	double rate = 0;

	pthread_barrier_init(&start, NULL, cpus);
	for (u32 i = 0; i < cpus; i++) {
		r[i] = (struct runner){.start = &start, .fd = fd, .f = f, .runs = runs / cpus, .cpu = i};
		if (pthread_create(&r[i].thread, NULL, on_a_cpu, &r[i]))
			die("thread", 0);
	}
	for (u32 i = 0; i < cpus; i++) {
		pthread_join(r[i].thread, NULL);
		rate += 1 / r[i].ns;
	}
	pthread_barrier_destroy(&start);
	return cpus / rate;
}

double bench_run(struct bench *b, enum bench_program p, struct synwave_bpf *skel, struct frame *f,
		 const struct bench_load *l)
{
	struct driver_bpf *d = open_driver(f->len, l->hosts);
	double ns;
	int fd;

	memcpy((void *)d->rodata->frame, frame_data(f), f->len);
	d->rodata->addr_at = l->addr_at;
	fd = load_driver(d, d->progs.driver, program(b, p, skel));
	set_turns(d, l->hosts, l->cpus);
	ns = l->cpus > 1 ? run_beside(fd, f, l->runs, l->cpus) : run(fd, f, l->runs, 1);
	driver_bpf__destroy(d);
	return ns;
}

void bench_lives(struct bench *b, struct synwave_bpf *skel, struct frame *f, const u32 *addr_at, u32 times, double *ns)
{
	struct driver_bpf *d = open_driver(f->len, 1 << 24);
	struct lives lives[BENCH_CPUS];
	u32 zero = 0, cpu = sched_getcpu();
	int fd;

	for (u32 i = 0; i < BENCH_STEPS; i++) {
		memcpy((void *)d->rodata->step_frame[i], frame_data(&f[i]), f->len);
		d->rodata->step_addr_at[i] = addr_at[i];
	}
	fd = load_driver(d, d->progs.driver_lives, program(b, P_SYNWAVE, skel));
	run(fd, f, AT_ONCE * BENCH_STEPS, 1); /* warm */
	memset(lives, 0, sizeof(lives));
	lives[cpu].since = bench_now();
	if (bpf_map_update_elem(bpf_map__fd(d->maps.lives), &zero, lives, 0))
		die("lives", 0);
	run(fd, f, AT_ONCE * BENCH_STEPS * times + 1, 1);
	if (bpf_map_lookup_elem(bpf_map__fd(d->maps.lives), &zero, lives))
		die("lives", 0);
	for (u32 i = 0; i < BENCH_STEPS; i++)
		ns[i] = (double)lives[cpu].ns[i] / AT_ONCE / times;
	driver_bpf__destroy(d);
}

void bench_guard(struct synwave_bpf *skel, const char *yaml)
{
	struct store s = {.dir = "bench"};
	char why[RULESET_WHY];
	struct ruleset rs;

#define FD_(field, name) s.fd.field = bpf_map__fd(skel->maps.field);
	STORE_MAPS(FD_)
#undef FD_
	if (load_text(&rs, yaml, why) || guard_write(&s, &rs))
		die(*s.why ? s.why : why, 0);
	ruleset_free(&rs);
}

void bench_engine(struct bench *b, enum bench_table table, struct engine *e)
{
	if (engine_open(e, flows[table], HALF_OPEN))
		die("memory", -ENOMEM);
	memcpy(&e->conf, (void *)&b->skel[table]->rodata->conf, sizeof(e->conf));
}

void bench_lay(struct synwave_bpf *skel, struct engine *e)
{
	for (u32 at = 0; at < e->conf.sets; at++) {
		struct sw_shelf f = engine_shelf(e, at);

		for (u32 way = 0; way < e->conf.live_ways; way++)
			f.live[way].seen_at[SW_CLIENT] = f.live[way].seen_at[SW_SERVER] = TEST_RUN_PLACE;
		for (u32 way = 0; way < e->conf.half_ways; way++)
			f.half[way].seen_at[SW_CLIENT] = f.half[way].seen_at[SW_SERVER] = TEST_RUN_PLACE;
		if (e->conf.ladder)
			bpf_map__update_elem(skel->maps.ladders, &at, sizeof(at), &e->ladders[at],
					     sizeof(e->ladders[at]), 0);
		bpf_map__update_elem(skel->maps.sets, &at, sizeof(at), &e->set[at], sizeof(e->set[at]), 0);
		bpf_map__update_elem(skel->maps.live, &at, sizeof(at), f.live, e->conf.live_ways * sizeof(*f.live), 0);
		bpf_map__update_elem(skel->maps.half, &at, sizeof(at), f.half, e->conf.half_ways * sizeof(*f.half), 0);
		bpf_map__update_elem(skel->maps.tags, &at, sizeof(at), &e->tags[at], sizeof(e->tags[at]), 0);
	}
}
