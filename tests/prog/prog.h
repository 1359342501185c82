/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SYNWAVE_TEST_PROG_H
#define SYNWAVE_TEST_PROG_H

#include "synwave/table.h"

struct synwave_bpf;
/* The programs that a test runs, a bit each: verifying one takes 0.1 s, and ten times that on an emulated machine. */
enum {
	PROG_XDP = 1,
	PROG_IN = 2,
	PROG_OUT = 4,
	PROG_IN_L3 = 8,
	PROG_OUT_L3 = 16,
	PROG_XDP_PAD = 32,
	PROG_ALL = 31,
	PROG_PARTIAL = 64 /* told that checksums may not be finished yet */
};
struct synwave_bpf *prog_load(u32 flows, u32 half_open, u32 programs);
int prog_run(int fd, const u8 *frame, u32 len);
void prog_stats(struct synwave_bpf *skel, struct sw_stats *sum);
void prog_wipe(struct synwave_bpf *skel); /* empties the table and the counters */
/* A set of the kernel's table, read. */
struct prog_set {
	struct sw_set set;
	struct sw_tags tags;
	struct sw_live live[SW_WAYS];
	struct sw_half half[SW_WAYS];
	struct sw_ladders ladders;
	struct sw_shelf shelf; /* of the above */
};
void prog_set(struct synwave_bpf *skel, u32 at, struct prog_set *set);

/* A reader of events in a slot of its own, its lease that long. */
struct prog_reader {
	u32 slot;
	int fd;
	struct ring_buffer *ring;
	struct sw_trace *got;
	u32 count, room;
};
void prog_listen(struct prog_reader *r, struct synwave_bpf *skel, u32 slot, u32 bytes, u64 seconds,
		 const struct sw_filter *f);
void prog_lease(struct prog_reader *r, struct synwave_bpf *skel, u64 until);
u32 prog_heard(struct prog_reader *r); /* events in all, read into r->got */
u64 prog_lost(const struct prog_reader *r, struct synwave_bpf *skel);
void prog_deaf(struct prog_reader *r);

/* They add to the counts of tap.h through these. */
void count_test(bool ok, const char *what);
void count_quietly(bool ok, const char *what); /* says only what failed */
void skip_test(const char *why);
void test_cookies(void);
void test_two_cpus(void);
void test_random_frames(void);
void test_readers(void);
void test_walk(void);

#endif
