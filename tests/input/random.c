// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Millions of random and mutated frames through the programs (mutate.bpf.c): none is dropped while the guard is off or in its
 * dry run, none goes uncounted, in enforce nothing is dropped that was not counted as such, and the books balance. And what
 * comes in alone makes nobody believe it: no source verified, no entry protected, no SYN without a verdict, none that passes
 * without a charge. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

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

/* Everything passes, for reasons of several kinds, and each SYN is charged to one pair of cells per family: a second each, far
 * more than passes while they come, so that the cells count them. */
#define CHARGES \
	"source:\n- {family: ipv4, prefix: 0, rate: 1/s, burst: 10000000}\n" \
	"- {family: ipv6, prefix: 0, rate: 1/s, burst: 10000000}\n" \
	"service: {default: {rate: 1/h, burst: 1, over: cookie}}\nfragments: pass\n"

static const struct {
	const char *name, *yaml;
	bool drops, charges;
	u32 share; /* of all frames, in the sum of these */
} modes[] = {
	{"guard off", "mode: off\n", false, false, 7},
	{"charges", "mode: enforce\n" CHARGES, false, true, 1},
	{"dry run", "mode: dry-run\n" RULES, false, false, 1},
	{"enforce", "mode: enforce\n" RULES, true, false, 1},
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

static u64 monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SW_NS_PER_S + now.tv_nsec;
}

/* How far the cells of the two rows of CHARGES are ahead of `from`, in SYNs. */
static u64 charged_since(struct synwave_bpf *skel, u64 from)
{
	u64 sum = 0;

	for (u32 at = 0, had = 0; had < 2 && at < SW_GUARD_SOURCE_CELLS; at++) {
		u64 cell = 0;

		bpf_map__lookup_elem(skel->maps.guard_cells, &at, sizeof(at), &cell, sizeof(cell), 0);
		if (!cell || at / sw_guard_cells(2) % 2) /* both cells of a pair say the same */
			continue;
		sum += cell > from ? (cell - from) / SW_NS_PER_S : 0;
		had++;
	}
	return sum;
}

/* One hook saw all of it, and it came in: nobody proved anything. */
static void believes_nobody(struct synwave_bpf *skel, const char *hook)
{
	const struct sw_conf *conf = (const struct sw_conf *)&skel->rodata->conf;
	struct sw_live live[SW_WAYS];
	u32 verified = 0, kept = 0, proved = 0;
	struct sw_verified line;
	struct sw_set set;

	for (u32 at = 0; at < SW_VERIFIED_SETS; at++) {
		bpf_map__lookup_elem(skel->maps.guard_verified, &at, sizeof(at), &line, sizeof(line), 0);
		for (int i = 0; i < SW_VERIFIED_WAYS; i++)
			verified += line.way[i] != 0;
	}
	for (u32 at = 0; at < conf->sets; at++) {
		bpf_map__lookup_elem(skel->maps.sets, &at, sizeof(at), &set, sizeof(set), 0);
		bpf_map__lookup_elem(skel->maps.live, &at, sizeof(at), live, conf->live_ways * sizeof(*live), 0);
		kept += set.kept != 0;
		for (u32 i = 0; i < conf->live_ways; i++)
			proved += set.used >> i & 1 && live[i].flags & SW_C_PROVED;
	}
	TEST(!verified && !kept && !proved,
	     "%s: frames that came in verified %u sources, proved %u connections in %u sets", hook, verified, proved,
	     kept);
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
	u64 start = monotonic();
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
	/* what may be a SYN, and what the guard judged besides: SYNs to oneself, other segments in cut fragments */
	u64 syns = b.kind[SW_KIND_SYN] - a.kind[SW_KIND_SYN];
	for (enum sw_reason why = 0; !modes[m].charges && why < SW_REASON_COUNT; why++)
		if (why == SW_CUT || why == SW_TAGS || why == SW_BAD_IP6_EXT)
			syns += b.ignored[why] - a.ignored[why];
	u64 pass = judged - drops - would;

	snprintf(line, sizeof(line), "%s, %s: %llu random frames, ", hook->name, modes[m].name, r->runs);
	TEST(r->runs == frames && !r->unmade, "%s%llu not made, of %llu", line, r->unmade, frames);
	TEST(counted == r->runs, "%s%llu counted", line, counted);
	TEST(r->others == (guarded && modes[m].drops ? drops : 0), "%s%llu not passed, %llu counted as dropped", line,
	     r->others, drops);
	if (guarded && modes[m].charges)
		TEST(!drops && !would && charged_since(skel, monotonic()) <= pass && pass <= charged_since(skel, start),
		     "%s%llu passed, between %llu and %llu charged", line, pass, charged_since(skel, monotonic()),
		     charged_since(skel, start));
	else
		TEST(guarded ? judged > r->runs / 1000 && (modes[m].drops ? drops : would) > judged / 2 : !judged,
		     "%s%llu judged, %llu dropped, %llu would be", line, judged, drops, would);
	TEST(!guarded || judged >= syns, "%s%llu may be SYNs, %llu of them judged", line, syns, judged);
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
		if (!hook->egress)
			believes_nobody(skel, hook->name);
		synwave_bpf__destroy(skel);
		mutate_bpf__destroy(d);
	}
	printf("random: seed %llu\n", seed);
}
