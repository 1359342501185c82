// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* input [FRAMES [SEED]]: every cut and every flipped bit of valid frames, then FRAMES random and mutated ones, through the
 * programs. Needs root. */
#include "input.h"

#include <errno.h>
#include <stdlib.h>

#include "conf.h"
#include "percpu.h"
#include "tap.h"

#define FRAMES 1000000 /* a few seconds */

#define OF_(prog) \
	static struct bpf_program *prog##_(struct synwave_bpf *skel) \
	{ \
		return skel->progs.synwave_##prog; \
	}
OF_(xdp)
OF_(in)
OF_(out)
OF_(in_l3)
OF_(out_l3)

const struct input_hook input_hooks[] = {
	{"xdp", 2 /* XDP_PASS */, false, false, xdp_},
	{"tc in", -1 /* TC_ACT_UNSPEC */, false, false, in_},
	{"tc out", -1, false, true, out_},
	{"tc in l3", -1, true, false, in_l3_},
	{"tc out l3", -1, true, true, out_l3_},
};
const int input_hook_count = SW_ARRAY_SIZE(input_hooks);

void input_die(const char *what, int err)
{
	fprintf(stderr, "input: %s: %s\n", what, strerror(err < 0 ? -err : errno));
	exit(1);
}

struct synwave_bpf *input_open(void)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct sw_conf conf = {0};

	if (!skel)
		input_die("open", 0);
	conf_sizes(&conf, INPUT_FLOWS, INPUT_FLOWS);
	if (conf_defaults(&conf))
		input_die("keys", 0);
	conf.timeout[SW_T_INFER] = 0; /* nothing may depend on two clocks */
	conf.ladder = 1;
	if (skeleton_conf(skel, &conf))
		input_die("sizes", 0);
	return skel;
}

void input_stats(struct synwave_bpf *skel, struct sw_stats *sum)
{
	u32 zero = 0;
	int err = percpu_read(bpf_map__fd(skel->maps.stats), &zero, sum, sizeof(*sum));

	if (err)
		input_die("read counters", err);
}

void input_hex(const u8 *bytes, u32 len)
{
	printf("# ");
	for (u32 i = 0; i < len; i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

/* --- valid frames ------------------------------------------------------------------------------------------------- */
static const struct segment segments[] = {
	{SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0},
	{SW_SERVER, SW_TCP_SYN | SW_TCP_ACK, 9, 2, 0, 0},
	{SW_CLIENT, SW_TCP_ACK, 2, 10, 0, 0},
	{SW_CLIENT, SW_TCP_ACK | SW_TCP_PSH, 2, 10, 40, 0},
	{SW_SERVER, SW_TCP_FIN | SW_TCP_ACK, 10, 2, 0, 0},
	{SW_CLIENT, SW_TCP_RST, 2, 0, 0, 0},
	{SW_CLIENT, SW_TCP_SYN, 1, 0, 20, 0}, /* Fast Open */
};

/* Without its Ethernet header. */
static bool bare(struct frame *f)
{
	f->len -= 14;
	memmove(frame_data(f), frame_data(f) + 14, f->len);
	return true;
}

bool input_frame(struct frame *f, int i, bool l3)
{
	enum { SEGMENTS = SW_ARRAY_SIZE(segments), TAGS = 5 };

	memset(f, 0, sizeof(*f));
	if (i < SEGMENTS * TAGS * 2) {
		build_segment(f, &segments[i % SEGMENTS], i / (SEGMENTS * TAGS), l3 ? 0 : i / SEGMENTS % TAGS);
		return l3 ? bare(f) : true;
	}
	i -= SEGMENTS * TAGS * 2;
	for (int row = 0; row < frame_count; row++) {
		if (frame_rows[row].reason != SW_OK || frame_rows[row].l3 || i--)
			continue;
		frame_rows[row].build(f);
		return l3 ? bare(f) : true;
	}
	return false;
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

int main(int argc, char **argv)
{
	u64 frames = argc > 1 ? strtoull(argv[1], NULL, 10) : FRAMES;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	setlinebuf(stdout);
	libbpf_set_print(quiet);
	test_sweep();
	test_random(frames, seed);
	return tap_end("input");
}
