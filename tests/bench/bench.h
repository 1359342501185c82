/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The machinery of the benchmark: programs loaded, a driver before each, tables laid into the maps. Whatever fails ends
 * the run with a line. */
#ifndef SYNWAVE_BENCH_H
#define SYNWAVE_BENCH_H

#include "engine.h"
#include "steps.h"

enum bench_program { P_EMPTY, P_PARSE, P_LRU, P_HASH, P_COOKIE, P_SYNWAVE, BENCH_PROGRAMS };
enum bench_table { SMALL, LARGE, BARE, TABLES }; /* --flows 262144, 1048576; the first with --no-ladder */

struct frame;
struct synwave_bpf;
struct driver_bpf;
struct bench {
	struct synwave_bpf *skel[TABLES];
	struct driver_bpf *driver; /* the references, too */
};

void bench_open(struct bench *b);
void bench_close(struct bench *b);
u64 bench_now(void); /* the table's clock */
double bench_bare(struct bench *b); /* ns of an empty program without the driver */
#define BENCH_CPUS 256
struct bench_load {
	u32 addr_at; /* where in the frame the address lies that differs */
	u32 hosts; /* out of so many: a power of two */
	u32 runs; /* in all */
	u32 cpus; /* at once: 1 where the caller runs, else the first so many */
};
/* ns a run of the driver and the program behind it, on each of the CPUs. */
double bench_run(struct bench *b, enum bench_program p, struct synwave_bpf *skel, struct frame *f,
		 const struct bench_load *l);
/* Whole connections, AT_ONCE of them segment by segment, `times` over: ns of each segment. All three arrays: of
 * BENCH_STEPS. */
void bench_lives(struct bench *b, struct synwave_bpf *skel, struct frame *f, const u32 *addr_at, u32 times, double *ns);
void bench_guard(struct synwave_bpf *skel, const char *yaml);
/* An engine with the same keys and sizes; and its table into the maps. */
void bench_engine(struct bench *b, enum bench_table table, struct engine *e);
void bench_lay(struct synwave_bpf *skel, struct engine *e);

#endif
