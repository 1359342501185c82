/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Frames that nobody should send, through the very programs that attach loads. */
#ifndef SYNWAVE_TEST_INPUT_H
#define SYNWAVE_TEST_INPUT_H

#include "../frames.h"
#include "skeleton.h"

#define INPUT_FLOWS 256 /* small: every frame meets a full table soon */

/* The programs of an instance, and what each says to a frame when nothing is guarded. */
struct input_hook {
	const char *name;
	int pass;
	bool l3, egress;
	struct bpf_program *(*of)(struct synwave_bpf *skel);
};
extern const struct input_hook input_hooks[];
extern const int input_hook_count;

/* Valid frames: IPv4, IPv6, 0 to 4 VLAN tags, options, extension headers, first fragments, every kind of segment. Frame `i`
 * into *f; false: there are no more. `l3`: without the Ethernet header. */
bool input_frame(struct frame *f, int i, bool l3);

/* The embedded object, opened, with default timeouts and a small table; to be loaded. Ends the program on failure. */
struct synwave_bpf *input_open(void);
void input_die(const char *what, int err) __attribute__((noreturn));
void input_stats(struct synwave_bpf *skel, struct sw_stats *sum); /* over all CPUs */
void input_hex(const u8 *bytes, u32 len); /* one line "# ...", to be fed to text2pcap or xxd -r -p */

void test_sweep(void);
/* `frames` in all, spread over the hooks; reproducible by `seed`. */
void test_random(u64 frames, u64 seed);

#endif
