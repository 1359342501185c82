// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A set lies in several maps and is read from one after the other, while it changes: what the reader gets must have been
 * true at one moment. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../frames.h"
#include "prog.h"
#include "store.h"
#include "synwave.skel.h"

struct writer {
	int fd;
	atomic_bool stop;
	atomic_uint steps;
};

/* Connections that open and close, each from another port; every third stays half-open. */
static void *change(void *arg)
{
	static const struct {
		u8 from, flags;
		u32 seq, ack;
	} life[] = {{SW_CLIENT, SW_TCP_SYN, 1, 0},
		    {SW_SERVER, SW_TCP_SYN | SW_TCP_ACK, 9, 2},
		    {SW_CLIENT, SW_TCP_ACK, 2, 10},
		    {SW_CLIENT, SW_TCP_ACK | SW_TCP_FIN, 2, 10},
		    {SW_SERVER, SW_TCP_ACK | SW_TCP_FIN, 10, 3},
		    {SW_CLIENT, SW_TCP_ACK, 3, 11}};
	struct writer *w = arg;

	for (u16 port = 1024; !atomic_load(&w->stop); port++)
		for (size_t i = 0; i < (port % 3 ? SW_ARRAY_SIZE(life) : 2); i++) {
			bool client = life[i].from == SW_CLIENT;
			struct frame f = {0};

			build_between(&f, client ? "192.0.2.1" : "192.0.2.2", client ? port : 80,
				      client ? "192.0.2.2" : "192.0.2.1", client ? 80 : port, life[i].flags,
				      life[i].seq, life[i].ack);
			prog_run(w->fd, frame_data(&f), f.len);
			atomic_fetch_add(&w->steps, 1);
		}
	return NULL;
}

struct seen {
	u32 sets, changed, torn, doubt;
	u32 version[SW_WAYS]; /* of the first sets */
};

/* Tags, entries and books of a set belong together. */
static int look(void *ctx, const struct sw_shelf *f, u32 doubt)
{
	const u64 *b = f->set->book;
	struct seen *seen = ctx;
	u64 hs = 0, td = 0;
	bool torn = false;
	struct sw_conn c;

	for (u32 way = 0; way < SW_WAYS; way++) {
		if (!(f->set->used & ~doubt & 1u << way) || !sw_load(f, way, &c))
			continue;
		torn |= (f->tags->tag[way] & SW_TAG) != sw_tag_of(sw_hash(f->conf, &c.key));
		hs += !!(c.flags & SW_C_HS_OPEN);
		td += !!(c.flags & SW_C_TD_OPEN);
	}
	hs += b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] + b[SW_HS_TIMED_OUT] + b[SW_HS_EVICTED];
	td += b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] + b[SW_TD_EVICTED];
	/* what is in doubt may have a handshake and a teardown open */
	torn |= hs > b[SW_HS_STARTED] || hs + sw_bits(doubt & SW_ALL_WAYS) < b[SW_HS_STARTED];
	torn |= td > b[SW_TD_STARTED] || td + sw_bits(doubt & SW_ALL_WAYS) < b[SW_TD_STARTED];
	seen->doubt += !!doubt;
	u32 *last = &seen->version[seen->sets % f->conf->sets % SW_WAYS];
	seen->changed += *last != f->set->version;
	*last = f->set->version;
	seen->torn += torn;
	seen->sets++;
	return 0;
}

/* One SYN again and again, as fast as the kernel can: the set never stands still. */
static void *hammer(void *arg)
{
	struct writer *w = arg;
	struct frame f = {0};

	build_between(&f, "192.0.2.1", 1024, "192.0.2.2", 80, SW_TCP_SYN, 1, 0);
	while (!atomic_load(&w->stop)) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame_data(&f), .data_size_in = f.len, .repeat = 100000);

		if (bpf_prog_test_run_opts(w->fd, &run))
			abort();
		atomic_fetch_add(&w->steps, 1);
	}
	return NULL;
}

static void pin_to(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(thread, sizeof(set), &set);
}

/* Walks until the table has changed between two of them that often. */
static void walk(void *(*write)(void *), u32 changes, const char *name)
{
	struct synwave_bpf *skel = prog_load(64, 64, PROG_XDP);
	struct store s = {.dir = "test"};
	struct seen seen = {0};
	struct writer w = {0};
	pthread_t thread;
	char line[120 + WHY_SIZE];
	int err = 0;

	if (!skel)
		abort();
#define FD_(field, name) s.fd.field = bpf_map__fd(skel->maps.field);
	STORE_MAPS(FD_)
#undef FD_
	memcpy(&s.info.conf, (const void *)&skel->rodata->conf, sizeof(s.info.conf));
	w.fd = bpf_program__fd(skel->progs.synwave_xdp);
	pthread_create(&thread, NULL, write, &w);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1) {
		pin_to(pthread_self(), 0);
		pin_to(thread, 1);
	}
	while (!err && seen.changed < changes) {
		err = store_walk(&s, store_now(), look, &seen);
		sched_yield(); /* on one CPU, too */
	}
	atomic_store(&w.stop, true);
	pthread_join(thread, NULL);
	snprintf(line, sizeof(line), "walk, %s: %u sets read, %u of them changed since, %u in doubt, %u torn%s%s", name,
		 seen.sets, seen.changed, seen.doubt, seen.torn, err ? ": " : "", err ? s.why : "");
	count_test(!err && !seen.torn, line);
	synwave_bpf__destroy(skel);
}

void test_walk(void)
{
	cpu_set_t before;

	pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
	walk(change, 1000, "connections come and go");
	walk(hammer, 200, "one set never rests");
	pthread_setaffinity_np(pthread_self(), sizeof(before), &before);
}
