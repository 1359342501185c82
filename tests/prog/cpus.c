// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Two CPUs, one connection: ingress and egress at the same instant, a million steps, and the books must balance. */
#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../frames.h"
#include "prog.h"
#include "synwave.skel.h"

#define ROUNDS   125000 /* of 9 segments, 6 of them sent by both at the same time */
#define FLAG_ACK SW_TCP_ACK
#define FLAG_FIN (SW_TCP_FIN | SW_TCP_ACK)

/* What each side sends in step n of a round; both send at the same time, and nobody begins the next step before both
 * are through. ISNs are the round's. `seq` and `ack` count from the ISNs. */
static const struct {
	u8 flags[2];
	u32 seq[2], ack[2];
	u16 len[2];
} steps[] = {
	{{SW_TCP_SYN, 0}, {0, 0}, {0, 0}, {0, 0}},
	{{0, SW_TCP_SYN | SW_TCP_ACK}, {0, 0}, {0, 1}, {0, 0}},
	{{FLAG_ACK, 0}, {1, 0}, {1, 0}, {0, 0}},
	{{FLAG_ACK, FLAG_ACK}, {1, 1}, {1, 1}, {10, 20}},
	{{FLAG_FIN, FLAG_FIN}, {11, 21}, {1, 1}, {0, 0}}, /* FINs cross */
	{{FLAG_ACK, FLAG_ACK}, {12, 22}, {22, 12}, {0, 0}}, /* their ACKs cross */
};

struct side {
	int role, fd, cpu;
};

static atomic_uint at_step;

/* Both arrive, both go on. */
static void meet(unsigned *count)
{
	*count += 2;
	atomic_fetch_add(&at_step, 1);
	while ((int)(atomic_load(&at_step) - *count) < 0)
		;
}

static void *play(void *arg)
{
	struct side *me = arg;
	unsigned count = 0;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(me->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	for (u32 round = 0; round < ROUNDS; round++) {
		u32 isn[2] = {round * 100000 + 1, round * 70000 + 7};
		for (size_t i = 0; i < SW_ARRAY_SIZE(steps); i++) {
			struct segment s = {.from = me->role,
					    .flags = steps[i].flags[me->role],
					    .seq = isn[me->role] + steps[i].seq[me->role],
					    .ack = isn[!me->role] + steps[i].ack[me->role],
					    .len = steps[i].len[me->role]};
			struct frame f = {0};
			build_segment(&f, &s, round & 1, 0);
			meet(&count);
			if (s.flags)
				prog_run(me->fd, frame_data(&f), f.len);
		}
	}
	return NULL;
}

void test_two_cpus(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		skip_test("two CPUs: there is only one");
		return;
	}
	struct synwave_bpf *skel = prog_load(64, 64, PROG_XDP | PROG_OUT);
	u64 book[SW_BOOK_COUNT] = {0}, open = 0, broken = 0;
	struct sw_stats st;
	pthread_t thread[2];
	char line[200];

	if (!skel)
		abort();
	struct side side[2] = {{SW_CLIENT, bpf_program__fd(skel->progs.synwave_xdp), 0},
			       {SW_SERVER, bpf_program__fd(skel->progs.synwave_out), 1}};
	for (int i = 0; i < 2; i++)
		pthread_create(&thread[i], NULL, play, &side[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	for (u32 at = 0; at < skel->rodata->conf.sets; at++) {
		static struct prog_set set;
		char text[LADDER_TEXT];
		prog_set(skel, at, &set);
		for (int b = 0; b < SW_BOOK_COUNT; b++)
			book[b] += set.set.book[b];
		for (u32 way = 0; way < SW_WAYS; way++) {
			struct sw_conn c;
			if (!(set.set.used >> way & 1) || !sw_load(&set.shelf, way, &c))
				continue;
			const char *ladder = exchange_ladder(text, &c, &set.ladders.way[way]);
			open += !!(c.flags & (SW_C_HS_OPEN | SW_C_TD_OPEN));
			broken += !ladder || strncmp(ladder, "C:S V:SA C:A ", 13);
		}
	}
	prog_stats(skel, &st);
	snprintf(line, sizeof(line), "two CPUs: %d rounds, %llu/%llu handshakes, %llu/%llu teardowns, %llu open",
		 ROUNDS, book[SW_HS_COMPLETED], book[SW_HS_STARTED], book[SW_TD_COMPLETED], book[SW_TD_STARTED], open);
	count_test(book[SW_HS_STARTED] == ROUNDS && book[SW_HS_COMPLETED] == ROUNDS && book[SW_TD_STARTED] == ROUNDS &&
			   book[SW_TD_COMPLETED] == ROUNDS && !open,
		   line);
	count_test(st.kind[SW_KIND_FIN] == 2 * ROUNDS && st.kind[SW_KIND_DATA] == 2 * ROUNDS &&
			   st.kind[SW_KIND_ACK] == 3 * ROUNDS && st.kind[SW_KIND_SYN] == ROUNDS,
		   "two CPUs: every segment is counted");
	count_test(!broken, "two CPUs: ladders are whole");
	synwave_bpf__destroy(skel);
}
