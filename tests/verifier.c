// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What each program costs this kernel's verifier: one line a program and a way to load it. Times are told, not judged;
 * the count of instructions is, for it is the same at every run. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "conf.h"
#include "skeleton.h"
#include "tap.h"

/* The verifier gives up after a million (BPF_COMPLEXITY_LIMIT_INSNS). Kernels count differently: half of it is left. */
#define INSNS_MOST 500000

struct cost {
	unsigned int insns, states, peak, xlated, jited; /* instructions, states, states, bytes, bytes */
	unsigned int usec; /* of the verifier; 0: not said */
	double ms; /* of the whole load, maps and relocations included */
	int err;
	bool moves; /* packets: see moves_packets */
};

static char log_text[1 << 20];

static unsigned int number_after(const char *word)
{
	const char *at = strstr(log_text, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* libxdp's dispatcher may take no program with a call of these, reached or not (bpf_helper_changes_pkt_data). */
static bool moves_packets(const struct bpf_program *prog)
{
	const struct bpf_insn *i = bpf_program__insns(prog), *end = i + bpf_program__insn_cnt(prog);
	bool moves = false;

	for (; i < end; i++)
		moves |= i->code == (BPF_JMP | BPF_CALL) && !i->src_reg &&
			 (i->imm == BPF_FUNC_xdp_adjust_head || i->imm == BPF_FUNC_xdp_adjust_meta ||
			  i->imm == BPF_FUNC_xdp_adjust_tail || i->imm == BPF_FUNC_tail_call);
	return moves;
}

static void ask(struct bpf_program *prog, struct cost *c)
{
	struct bpf_prog_info info = {};
	__u32 size = sizeof(info);

	c->err = bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size);
	c->moves = moves_packets(prog);
	c->insns = info.verified_insns;
	c->xlated = info.xlated_prog_len;
	c->jited = info.jited_prog_len;
	c->states = number_after("total_states ");
	c->peak = number_after("peak_states ");
	c->usec = number_after("verification time ");
}

/* Loads one program of a fresh object and nothing else. */
static struct cost cost_of(const char *name, bool cookies, bool partial, bool ladder)
{
	struct synwave_bpf *skel = synwave_bpf__open();
	struct bpf_program *prog, *wanted = NULL;
	struct cost c = {.err = -1};
	struct sw_conf conf = {0};

	if (!skel)
		return c;
	conf_sizes(&conf, 4096, 4096);
	conf_defaults(&conf);
	conf.ladder = ladder;
	skeleton_conf(skel, &conf);
	skel->rodata->have_cookies = cookies;
	skel->rodata->partial_sums = partial;
	bpf_object__for_each_program(prog, skel->obj)
	{
		bool this = !strcmp(bpf_program__name(prog), name);

		bpf_program__set_autoload(prog, this);
		if (this)
			wanted = prog;
	}
	log_text[0] = 0;
	if (wanted) {
		bpf_program__set_log_level(wanted, 4); /* BPF_LOG_STATS */
		bpf_program__set_log_buf(wanted, log_text, sizeof(log_text));
		c.ms = now_ms();
		c.err = synwave_bpf__load(skel);
		c.ms = now_ms() - c.ms;
	}
	if (!c.err)
		ask(wanted, &c);
	synwave_bpf__destroy(skel);
	return c;
}

/* As attach loads them (user/load.c), and without what a kernel may lack. */
static const struct {
	const char *as, *program;
	bool cookies, partial, ladder;
} rows[] = {
	{"XDP native", "synwave_xdp", true, false, true},
	{"XDP native, no cookies", "synwave_xdp", false, false, true},
	{"XDP native, no ladders", "synwave_xdp", true, false, false},
	{"XDP generic", "synwave_xdp", true, true, true},
	{"XDP native, padded", "synwave_xdp_pad", true, false, true},
	{"XDP generic, padded", "synwave_xdp_pad", true, true, true},
	{"tc ingress", "synwave_in", true, true, true},
	{"tc ingress, no cookies", "synwave_in", false, true, true},
	{"tc egress", "synwave_out", true, true, true},
	{"tc ingress, no Ethernet", "synwave_in_l3", true, true, true},
	{"tc egress, no Ethernet", "synwave_out_l3", true, true, true},
};

static bool known(const char *program)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].program, program))
			return true;
	return false;
}

int main(void)
{
	struct synwave_bpf *skel;
	struct bpf_program *prog;
	struct utsname uts;

	libbpf_set_print(NULL);
	uname(&uts);
	printf("Linux %s\n%-24s %-15s %7s %7s %6s %9s %8s %8s %8s\n", uts.release, "AS", "PROGRAM", "INSNS", "STATES",
	       "PEAK", "VERIFY us", "LOAD ms", "XLATED B", "JITED B");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cost c = cost_of(rows[i].program, rows[i].cookies, rows[i].partial, rows[i].ladder);

		printf("%-24s %-15s %7u %7u %6u %9u %8.1f %8u %8u\n", rows[i].as, rows[i].program, c.insns, c.states,
		       c.peak, c.usec, c.ms, c.xlated, c.jited);
		TEST(!c.err, "%s: the kernel refuses it: %s\n%s", rows[i].as, strerror(-c.err), log_text);
		TEST(c.err || (c.insns && c.insns < INSNS_MOST), "%s: %u instructions for the verifier, at most %u",
		     rows[i].as, c.insns, INSNS_MOST);
		if (!c.err && !strncmp(rows[i].program, "synwave_xdp", 11))
			TEST(c.moves == !strcmp(rows[i].program, "synwave_xdp"), "%s: %s packets", rows[i].as,
			     c.moves ? "moves" : "does not move");
	}
	skel = synwave_bpf__open();
	bpf_object__for_each_program(prog, skel->obj)
		TEST(known(bpf_program__name(prog)), "%s has no row here", bpf_program__name(prog));
	synwave_bpf__destroy(skel);
	return tap_end("verifier");
}
