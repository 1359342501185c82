// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Valid frames cut at every length and with every bit flipped: the programs and the native core must count the same, and
 * the programs let all of them pass. The native core sees each in memory of its exact size, under ASan. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine.h"
#include "input.h"
#include "tap.h"

#define SHORTEST 54 /* Ethernet and IPv6: below, the kernel may refuse to run a frame (EINVAL) */
#define SHOWN    5 /* failing frames, of each hook */

struct sweep {
	const struct input_hook *hook;
	struct synwave_bpf *skel;
	struct engine native;
	struct sw_stats kernel; /* after the frame before */
	int fd;
	u32 frames, ran, dropped, differ;
};

/* What both count. Events depend on whose a frame is, and the native engine does not know that of what leaves. */
static bool same_counts(const struct sweep *s)
{
	const struct sw_stats *a = &s->kernel, *b = &s->native.stats;

	return !memcmp(a->kind, b->kind, sizeof(a->kind)) && !memcmp(a->ignored, b->ignored, sizeof(a->ignored)) &&
	       (s->hook->egress || !memcmp(a->event, b->event, sizeof(a->event)));
}

static void complain(struct sweep *s, const char *what, int verdict, const u8 *bytes, u32 len)
{
	if (s->dropped + s->differ > SHOWN)
		return;
	printf("# %s: %s, verdict %d:\n", s->hook->name, what, verdict);
	input_hex(bytes, len);
}

static void feed(struct sweep *s, const u8 *bytes, u32 len)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = bytes, .data_size_in = len);
	int err = bpf_prog_test_run_opts(s->fd, &run);
	struct timespec t;

	s->frames++;
	if (err && (err != -EINVAL || len >= SHORTEST))
		input_die(s->hook->name, err);
	clock_gettime(CLOCK_MONOTONIC, &t);
	u8 *room = malloc(FRAME_PAD + len), *frame = room + FRAME_PAD;

	if (!room)
		input_die("memory", -ENOMEM);
	memcpy(frame, bytes, len);
	struct sw_stats before = s->native.stats;
	engine_frame(&s->native, frame, len, len, s->hook->l3, t.tv_sec * SW_NS_PER_S + t.tv_nsec);
	free(room);
	if (err) { /* the kernel never sees such a frame; the core must live through it */
		s->native.stats = before;
		return;
	}
	s->ran++;
	input_stats(s->skel, &s->kernel);
	if ((int)run.retval != s->hook->pass) {
		s->dropped++;
		complain(s, "not passed", run.retval, bytes, len);
	}
	if (!same_counts(s)) {
		s->differ++;
		complain(s, "counted otherwise natively", run.retval, bytes, len);
		s->native.stats = s->kernel; /* one complaint a frame */
	}
}

/* Captures hold frames that are shorter than they were on the wire, which no hook ever sees. */
static void cut_captures(void)
{
	struct engine e;
	u32 frames = 0;
	struct frame f;

	if (engine_open(&e, INPUT_FLOWS, INPUT_FLOWS))
		input_die("memory", -ENOMEM);
	for (int l3 = 0; l3 < 2; l3++)
		for (int i = 0; input_frame(&f, i, l3); i++)
			for (u32 cap = 0; cap < f.len; cap++) {
				u8 *room = malloc(FRAME_PAD + cap);

				if (!room)
					input_die("memory", -ENOMEM);
				memcpy(room + FRAME_PAD, frame_data(&f), cap);
				engine_frame(&e, room + FRAME_PAD, cap, f.len, l3, ++frames);
				free(room);
			}
	u64 counted = 0;
	for (int k = 0; k < SW_KIND_COUNT; k++)
		counted += e.stats.kind[k];
	for (int r = 0; r < SW_REASON_COUNT; r++)
		counted += e.stats.ignored[r];
	TEST(frames > 1000 && counted - e.stats.ignored[SW_BAD_FLAGS] == frames, "%u cut captures, %llu counted",
	     frames, counted);
	printf("captures: %u frames cut by the snapshot length: each counted once\n", frames);
	engine_close(&e);
}

static void one_hook(const struct input_hook *hook)
{
	struct sweep s = {.hook = hook, .skel = input_open()};
	char line[200];
	struct frame f;
	int err, i;

	err = synwave_bpf__load(s.skel);
	if (err || engine_open(&s.native, INPUT_FLOWS, INPUT_FLOWS))
		input_die("load", err);
	memcpy(&s.native.conf, (void *)&s.skel->rodata->conf, sizeof(s.native.conf));
	s.fd = bpf_program__fd(hook->of(s.skel));
	for (i = 0; input_frame(&f, i, hook->l3); i++) {
		u8 *bytes = frame_data(&f);

		for (u32 len = 0; len <= f.len; len++)
			feed(&s, bytes, len);
		for (u32 bit = 0; bit < 8 * f.len; bit++) {
			bytes[bit / 8] ^= 1 << bit % 8;
			feed(&s, bytes, f.len);
			bytes[bit / 8] ^= 1 << bit % 8;
		}
	}
	snprintf(line, sizeof(line), "%s: %d valid frames cut at every length, flipped at every bit: %u run, ",
		 hook->name, i, s.ran);
	TEST(i > 50 && s.ran > s.frames / 2, "%s%u in all", line, s.frames);
	TEST(!s.dropped, "%s%u not passed", line, s.dropped);
	TEST(!s.differ, "%s%u counted otherwise by the native core", line, s.differ);
	printf("%s%u not passed, %u differ\n", line, s.dropped, s.differ);
	engine_close(&s.native);
	synwave_bpf__destroy(s.skel);
}

void test_sweep(void)
{
	for (int i = 0; i < input_hook_count; i++)
		one_hook(&input_hooks[i]);
	cut_captures();
}
