// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Millions of random and mutated frames through the programs (mutate.bpf.c): none is dropped while the guard is off or in its
 * dry run, none goes uncounted, in enforce nothing is dropped that was not counted as such, and the books balance. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "../guards.h"
#include "guard_store.h"
#include "input.h"
#include "mutate.h"
#include "mutate.skel.h"
#include "snapshot.h"
#include "tap.h"

#define CHUNK 1000000 /* frames a call */

/* Every SYN is over some limit soon. Nobody listens where test runs take place: `over: drop` where drops are wanted. */
#define RULES \
	"source:\n- {family: ipv4, prefix: 24, rate: 1/s, burst: 1}\n- {family: ipv6, prefix: 64, rate: 1/s, burst: " \
	"1}\n" \
	"service:\n  default: {rate: 1/s, burst: 1, over: drop}\n  \"192.0.2.2:80\": {rate: 1/s, burst: 1, over: " \
	"cookie}\n" \
	"deny: [192.0.2.0/30]\n"

static const struct {
	const char *name, *yaml;
	bool drops;
	u32 share; /* of all frames, in the sum of these */
} modes[] = {
	{"guard off", "mode: off\n", false, 8},
	{"dry run", "mode: dry-run\n" RULES, false, 1},
	{"enforce", "mode: enforce\n" RULES, true, 1},
};
#define SHARES      10
#define HOOK_SHARES 8 /* XDP gets 4 of 8, each of the others one */

static void borrow_maps(struct store *s, struct synwave_bpf *skel)
{
	*s = (struct store){.dir = "input"};
#define FD_(field, name) s->fd.field = bpf_map__fd(skel->maps.field);
	STORE_MAPS(FD_)
#undef FD_
	memcpy(&s->info.conf, (void *)&skel->rodata->conf, sizeof(s->info.conf));
}

static void set_guard(struct synwave_bpf *skel, const char *yaml)
{
	char why[RULESET_WHY];
	struct ruleset rs;
	struct store s;

	borrow_maps(&s, skel);
	if (load_text(&rs, yaml, why) || guard_write(&s, &rs)) {
		fprintf(stderr, "input: rules: %s\n", *s.why ? s.why : why);
		exit(1);
	}
	ruleset_free(&rs);
}

/* The two laws of the books, over what millions of frames left in the table. */
static void laws(struct synwave_bpf *skel, const char *hook)
{
	struct snapshot m;
	struct store s;
	const u64 *b = m.book;

	borrow_maps(&s, skel);
	if (snapshot_take(&m, &s)) {
		fprintf(stderr, "input: %s\n", s.why);
		exit(1);
	}
	u64 hs = b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] + b[SW_HS_TIMED_OUT] + b[SW_HS_EVICTED];
	u64 td = b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] + b[SW_TD_EVICTED];

	TEST(b[SW_HS_STARTED] && b[SW_HS_STARTED] == hs + m.hs_in_progress, "%s: handshakes: %llu started, %llu + %llu",
	     hook, b[SW_HS_STARTED], hs, m.hs_in_progress);
	TEST(b[SW_TD_STARTED] && b[SW_TD_STARTED] == td + m.td_in_progress, "%s: teardowns: %llu started, %llu + %llu",
	     hook, b[SW_TD_STARTED], td, m.td_in_progress);
	printf("%s: %llu handshakes and %llu teardowns in the books, which balance\n", hook, b[SW_HS_STARTED],
	       b[SW_TD_STARTED]);
	snapshot_free(&m);
}

static struct mutate_bpf *driver_load(const struct input_hook *hook, u64 seed)
{
	struct mutate_bpf *d = mutate_bpf__open();
	bool xdp = hook->pass != -1;
	struct frame f;
	int err;

	if (!d)
		input_die("open the driver", 0);
	d->rodata->expected = hook->pass;
	bpf_program__set_autoload(d->progs.mutate_xdp, xdp);
	bpf_program__set_autoload(d->progs.mutate_tc, !xdp);
	err = mutate_bpf__load(d);
	if (err)
		input_die("load the driver", err);
	for (u32 i = 0; input_frame(&f, i, hook->l3) && i < MUTATE_TEMPLATES; i++) {
		struct mutate_template *t = &d->bss->template[i];

		t->len = f.len < MUTATE_ROOM ? f.len : MUTATE_ROOM;
		memcpy(t->bytes, frame_data(&f), t->len);
		d->bss->templates = i + 1;
	}
	d->bss->state = seed * 0x9e3779b97f4a7c15ULL | 1;
	return d;
}

static struct bpf_program *driver_of(struct mutate_bpf *d, const struct input_hook *hook)
{
	return hook->pass != -1 ? d->progs.mutate_xdp : d->progs.mutate_tc;
}

static struct synwave_bpf *put_under(struct mutate_bpf *d, const struct input_hook *hook)
{
	struct synwave_bpf *skel = input_open();
	struct bpf_program *p, *prog = hook->of(skel);
	u32 zero = 0;
	int err, fd;

	bpf_object__for_each_program(p, skel->obj) bpf_program__set_autoload(p, p == prog);
	err = synwave_bpf__load(skel);
	fd = bpf_program__fd(prog);
	if (!err)
		err = bpf_map_update_elem(bpf_map__fd(d->maps.under_test), &zero, &fd, 0);
	if (err)
		input_die(hook->name, err);
	return skel;
}

static void run(struct mutate_bpf *d, const struct input_hook *hook, u64 frames)
{
	u8 blank[64] = {[12] = 8};

	while (frames) {
		u32 now = frames < CHUNK ? frames : CHUNK;
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = blank, .data_size_in = sizeof(blank), .repeat = now);
		int err = bpf_prog_test_run_opts(bpf_program__fd(driver_of(d, hook)), &opts);

		if (err)
			input_die(hook->name, err);
		frames -= now;
	}
}

static u64 sum(const u64 *n, int from, int to)
{
	u64 all = 0;

	while (from < to)
		all += n[from++];
	return all;
}

static void one_mode(struct mutate_bpf *d, struct synwave_bpf *skel, const struct input_hook *hook, int m, u64 frames)
{
	struct mutate_result *r = &d->bss->result;
	struct sw_stats a, b;
	char line[200];

	set_guard(skel, modes[m].yaml);
	memset(r, 0, sizeof(*r));
	input_stats(skel, &a);
	run(d, hook, frames);
	input_stats(skel, &b);
	u64 counted = sum(b.kind, 0, SW_KIND_COUNT) - sum(a.kind, 0, SW_KIND_COUNT) +
		      sum(b.ignored, 0, SW_REASON_COUNT) - sum(a.ignored, 0, SW_REASON_COUNT) -
		      (b.ignored[SW_BAD_FLAGS] - a.ignored[SW_BAD_FLAGS]);
	u64 drops =
		sum(b.verdict, SW_V_FIRST_DROP, SW_V_FIRST_WOULD) - sum(a.verdict, SW_V_FIRST_DROP, SW_V_FIRST_WOULD);
	u64 judged = sum(b.verdict, 0, SW_VERDICT_COUNT) - sum(a.verdict, 0, SW_VERDICT_COUNT);
	u64 would =
		sum(b.verdict, SW_V_FIRST_WOULD, SW_VERDICT_COUNT) - sum(a.verdict, SW_V_FIRST_WOULD, SW_VERDICT_COUNT);
	bool guarded = m && !hook->egress;

	snprintf(line, sizeof(line), "%s, %s: %llu random frames, ", hook->name, modes[m].name, r->runs);
	TEST(r->runs == frames && !r->unmade, "%s%llu not made, of %llu", line, r->unmade, frames);
	TEST(counted == r->runs, "%s%llu counted", line, counted);
	TEST(r->others == (guarded && modes[m].drops ? drops : 0), "%s%llu not passed, %llu counted as dropped", line,
	     r->others, drops);
	TEST(guarded ? judged > r->runs / 1000 && (modes[m].drops ? drops : would) > judged / 2 : !judged,
	     "%s%llu judged, %llu dropped, %llu would be", line, judged, drops, would);
	if (r->others && !(guarded && modes[m].drops)) {
		printf("# verdict %d:\n", r->first);
		input_hex(r->bytes, r->first_len);
	}
	printf("%s%llu not passed, %llu of them by the guard\n", line, r->others, drops);
}

void test_random(u64 frames, u64 seed)
{
	for (int h = 0; h < input_hook_count; h++) {
		const struct input_hook *hook = &input_hooks[h];
		struct mutate_bpf *d = driver_load(hook, seed + h);
		u64 mine = frames * (h ? 1 : HOOK_SHARES - (input_hook_count - 1)) / HOOK_SHARES;
		struct synwave_bpf *skel = put_under(d, hook);

		for (size_t m = 0; m < SW_ARRAY_SIZE(modes); m++)
			one_mode(d, skel, hook, m, mine * modes[m].share / SHARES);
		laws(skel, hook->name);
		synwave_bpf__destroy(skel);
		mutate_bpf__destroy(d);
	}
	printf("random: seed %llu\n", seed);
}
