// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The same frames and exchanges through the very programs that attach loads, by BPF_PROG_TEST_RUN; then both hooks
 * from two CPUs on the same connections. Needs root. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "../frames.h"
#include "../guards.h"
#include "conf.h"
#include "engine.h"
#include "percpu.h"
#include "prog.h"
#include "record.h"
#include "skeleton.h"
#include "tap.h"

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* The kernel's clock runs, and an emulated machine takes its time: nothing ends of itself while a test runs. Generations
 * last half a day and more; one ends when a machine is five minutes up, as jiffies are counted (see play_frames). */
static void forget_clock(struct sw_conf *conf)
{
	for (int i = 0; i < SW_TIMEOUT_COUNT; i++)
		conf->timeout[i] = i == SW_T_INFER ? 0 : 86400 * SW_NS_PER_S;
	conf->generation_shift = 24;
}

struct synwave_bpf *prog_load(u32 flows, u32 half_open, u32 programs)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct sw_conf conf = {0};

	if (!skel)
		return NULL;
	bpf_program__set_autoload(skel->progs.synwave_xdp, programs & PROG_XDP);
	bpf_program__set_autoload(skel->progs.synwave_xdp_pad, programs & PROG_XDP_PAD);
	bpf_program__set_autoload(skel->progs.synwave_in, programs & PROG_IN);
	bpf_program__set_autoload(skel->progs.synwave_out, programs & PROG_OUT);
	bpf_program__set_autoload(skel->progs.synwave_in_l3, programs & PROG_IN_L3);
	bpf_program__set_autoload(skel->progs.synwave_out_l3, programs & PROG_OUT_L3);
	conf_sizes(&conf, flows, half_open);
	conf_defaults(&conf);
	forget_clock(&conf);
	conf.ladder = 1;
	skel->rodata->partial_sums = !!(programs & PROG_PARTIAL);
	skeleton_conf(skel, &conf);
	if (synwave_bpf__load(skel)) {
		synwave_bpf__destroy(skel);
		return NULL;
	}
	return skel;
}

/* One frame; the program's verdict, or -errno. */
int prog_run(int fd, const u8 *frame, u32 len)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = len);
	int err = bpf_prog_test_run_opts(fd, &run);

	return err ? err : (int)run.retval;
}

void prog_stats(struct synwave_bpf *skel, struct sw_stats *sum)
{
	u32 zero = 0;

	if (percpu_read(bpf_map__fd(skel->maps.stats), &zero, sum, sizeof(*sum)))
		abort();
}

void prog_set(struct synwave_bpf *skel, u32 at, struct prog_set *set)
{
	const struct sw_conf *conf = (const struct sw_conf *)&skel->rodata->conf;

	if (bpf_map__lookup_elem(skel->maps.sets, &at, sizeof(at), &set->set, sizeof(set->set), BPF_F_LOCK) ||
	    bpf_map__lookup_elem(skel->maps.tags, &at, sizeof(at), &set->tags, sizeof(set->tags), 0) ||
	    bpf_map__lookup_elem(skel->maps.live, &at, sizeof(at), set->live, conf->live_ways * sizeof(*set->live),
				 0) ||
	    bpf_map__lookup_elem(skel->maps.half, &at, sizeof(at), set->half, conf->half_ways * sizeof(*set->half),
				 0) ||
	    bpf_map__lookup_elem(skel->maps.ladders, &at, sizeof(at), &set->ladders, sizeof(set->ladders), 0))
		abort();
	set->shelf = (struct sw_shelf){conf, &set->tags, &set->set, set->live, set->half, &set->ladders};
}

static void run_row(struct synwave_bpf *skel, const struct frame_row *row, const struct bpf_program *prog, int pass)
{
	struct sw_stats before, after;
	struct frame f = {0};

	row->build(&f);
	prog_stats(skel, &before);
	int verdict = prog_run(bpf_program__fd(prog), frame_data(&f), f.len);
	if (verdict == -EINVAL && f.len < 14 + 20)
		return; /* the kernel runs no skb that short */
	prog_stats(skel, &after);
	TEST(verdict == pass, "frame %s, %s: verdict %d", row->name, bpf_program__name(prog), verdict);
	if (row->reason)
		TEST(after.ignored[row->reason] == before.ignored[row->reason] + 1, "frame %s, %s: not ignored for %d",
		     row->name, bpf_program__name(prog), row->reason);
	else
		TEST(after.kind[row->kind] == before.kind[row->kind] + 1, "frame %s, %s: not counted as %d", row->name,
		     bpf_program__name(prog), row->kind);
}

static void test_frames(struct synwave_bpf *skel)
{
	for (int i = 0; i < frame_count; i++) {
		const struct frame_row *row = &frame_rows[i];

		if (row->l3) {
			run_row(skel, row, skel->progs.synwave_in_l3, -1);
			run_row(skel, row, skel->progs.synwave_out_l3, -1);
			continue;
		}
		run_row(skel, row, skel->progs.synwave_xdp, 2 /* XDP_PASS */);
		run_row(skel, row, skel->progs.synwave_in, -1 /* TC_ACT_UNSPEC */);
		run_row(skel, row, skel->progs.synwave_out, -1);
	}
}

/* Data in frames longer than XDP can read at once (jumbo frames, BIG TCP), whose length only a helper knows. */
static void test_long_frames(struct synwave_bpf *skel)
{
	static const struct {
		const char *name;
		u32 size; /* of the frame; what the IP header says of it: */
		u16 said;
		bool v6;
	} rows[] = {{"jumbo", 9014, 9000, false},
		    {"jumbo, IPv6", 9014, 8960, true},
		    {"BIG TCP", 66014, 0, false},
		    {"BIG TCP, IPv6", 66014, 0, true}};
	static u8 data[66014];

	for (size_t i = 0; i < SW_ARRAY_SIZE(rows); i++) {
		struct sw_stats before, after;
		struct frame f = {0};

		if (rows[i].v6)
			build_between(&f, "2001:db8::1", 40000, "2001:db8::2", 80, SW_TCP_ACK, 2, 10);
		else
			build_between(&f, "192.0.2.1", 40000, "192.0.2.2", 80, SW_TCP_ACK, 2, 10);
		memcpy(data, frame_data(&f), f.len);
		data[rows[i].v6 ? 18 : 16] = rows[i].said >> 8;
		data[rows[i].v6 ? 19 : 17] = rows[i].said & 255;
		prog_stats(skel, &before);
		int verdict = prog_run(bpf_program__fd(skel->progs.synwave_xdp), data, rows[i].size);
		prog_stats(skel, &after);
		TEST(verdict == 2 /* XDP_PASS */, "long frame, %s: verdict %d", rows[i].name, verdict);
		TEST(after.kind[SW_KIND_DATA] == before.kind[SW_KIND_DATA] + 1, "long frame, %s: not counted as data",
		     rows[i].name);
	}
}

static void check_exchange(struct synwave_bpf *skel, const struct exchange *x, bool v6, const char *hook)
{
	u64 book[SW_BOOK_COUNT] = {0};
	struct sw_key key = test_key(v6);
	static struct prog_set set;
	char text[LADDER_TEXT];
	struct sw_stats st;
	int found = 0;

	for (u32 at = 0; at < skel->rodata->conf.sets; at++) {
		prog_set(skel, at, &set);
		for (int b = 0; b < SW_BOOK_COUNT; b++)
			book[b] += set.set.book[b];
		for (u32 way = 0; way < SW_WAYS; way++) {
			struct sw_conn conn, *c = &conn;
			if (!(set.set.used >> way & 1) || !sw_load(&set.shelf, way, c) || !sw_same_key(&c->key, &key))
				continue;
			found++;
			TEST(c->end[0].state == x->client && c->end[1].state == x->server, "%s, %s: %s %s", x->name,
			     hook, sw_state_name[c->end[0].state], sw_state_name[c->end[1].state]);
			TEST(!strcmp(conn_state(c), x->conn_state), "%s, %s: %s", x->name, hook, conn_state(c));
			const char *ladder = exchange_ladder(text, c, &set.ladders.way[way]);
			TEST(ladder && (!x->ladder || !strcmp(ladder, x->ladder)), "%s, %s: ladder %s", x->name, hook,
			     ladder ?: "broken");
			TEST(!(c->end[0].flags & SW_E_OFFER) || (c->end[0].mss == 1460 && c->end[0].wscale == 7),
			     "%s, %s: options of the client", x->name, hook);
		}
	}
	TEST(found == x->connections, "%s, %s: %d connections", x->name, hook, found);
	for (int b = 0; b < SW_BOOK_COUNT; b++)
		TEST(book[b] == x->book[b], "%s, %s: book %d is %llu, not %u", x->name, hook, b, book[b], x->book[b]);
	prog_stats(skel, &st);
	for (int i = 0; i < SW_EVENT_COUNT; i++)
		TEST(!!st.event[i] == !!(x->events >> i & 1), "%s, %s: event %d: %llu", x->name, hook, i, st.event[i]);
}

void prog_wipe(struct synwave_bpf *skel)
{
	int cpus = libbpf_num_possible_cpus();
	void *zero = calloc(cpus, sizeof(struct sw_stats) + sizeof(struct sw_set));
	u32 at = 0;

	if (!zero)
		abort();
	bpf_map__update_elem(skel->maps.stats, &at, sizeof(at), zero, cpus * sizeof(struct sw_stats), 0);
	for (at = 0; at < skel->rodata->conf.sets; at++) {
		bpf_map__update_elem(skel->maps.sets, &at, sizeof(at), zero, sizeof(struct sw_set), 0);
		bpf_map__update_elem(skel->maps.tags, &at, sizeof(at), zero, sizeof(struct sw_tags), 0);
	}
	free(zero);
}

static void test_exchanges(struct synwave_bpf *skel)
{
	const struct {
		const char *name;
		int fd;
		bool v6;
		int tags;
	} hooks[] = {{"xdp", bpf_program__fd(skel->progs.synwave_xdp), false, 1},
		     {"tc", bpf_program__fd(skel->progs.synwave_in), true, 0}};

	for (int i = 0; i < exchange_count; i++)
		for (size_t h = 0; h < SW_ARRAY_SIZE(hooks) && !exchanges[i].clock; h++) {
			prog_wipe(skel);
			for (const struct segment *s = exchanges[i].segment; s->from != END_OF_LIST; s++) {
				struct frame f = {0};
				build_segment(&f, s, hooks[h].v6, hooks[h].tags);
				if (prog_run(hooks[h].fd, frame_data(&f), f.len) < -1)
					abort();
			}
			check_exchange(skel, &exchanges[i], hooks[h].v6, hooks[h].name);
		}
}

void count_test(bool ok, const char *what)
{
	TEST(ok, "%s", what);
	if (ok)
		printf("ok - %s\n", what);
}

static int open_kernel(struct engine *e)
{
	char why[256];

	return engine_open_kernel(e, 64, 64, why, sizeof(why));
}

void skip_test(const char *why)
{
	SKIP("%s", why);
}

void count_quietly(bool ok, const char *what)
{
	TEST(ok, "%s", what);
}

int main(void)
{
	libbpf_set_print(quiet);
	struct synwave_bpf *skel = prog_load(64, 64, PROG_ALL);

	if (!skel) {
		perror("load");
		return 1;
	}
	test_frames(skel);
	test_long_frames(skel);
	test_exchanges(skel);
	synwave_bpf__destroy(skel);
	test_two_cpus();
	test_walk();
	test_random_frames();
	play_guard_cases(open_kernel, count_quietly);
	test_cookies();
	test_readers();
	return tap_end("prog");
}
