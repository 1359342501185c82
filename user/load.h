/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the embedded object to maps and programs of an instance. Each program is loaded only when a hook needs it:
 * verifying one takes some 0.1 s. */
#ifndef SYNWAVE_LOAD_H
#define SYNWAVE_LOAD_H

#include "store.h"

/* PROG_XDP_GENERIC: the same program, told that checksums may not be finished yet. PROG_XDP_PAD: for a dispatcher that
 * takes no program that moves packets. */
enum program {
	PROG_XDP,
	PROG_XDP_GENERIC,
	PROG_XDP_PAD,
	PROG_XDP_PAD_GENERIC,
	PROG_IN,
	PROG_OUT,
	PROG_IN_L3,
	PROG_OUT_L3,
	PROG_COUNT,
	PROG_NONE = PROG_COUNT
};

struct synwave_bpf;
struct loader {
	struct store *s; /* its maps are used, its conf is frozen in */
	u32 attachment; /* the interface's number and address, frozen in, too: see load_for */
	u8 mac[6];
	bool no_tx; /* what XDP in the driver sends back would end the kernel: no cookies there */
	struct synwave_bpf *skel[PROG_COUNT];
};

void load_logs(bool verbose); /* silences libbpf and libxdp, or not */
const char *load_last(void); /* the last thing they complained of since load_forget, one line, may be empty */
void load_forget(void);

bool load_cookies(void); /* the kernel has the helpers that SYN cookies need */
int load_maps(struct store *s); /* creates the maps by s->info.conf, unpinned, into s->fd */
/* What is loaded from here on is for this interface alone. */
void load_for(struct loader *l, u32 attachment, const u8 mac[6], bool no_tx);
int load_program(struct loader *l, enum program p); /* its fd, which the loader keeps; or -errno */
void load_close(struct loader *l);

/* For libxdp, which loads by itself: an object with but one program in it. */
struct synwave_bpf *load_open(struct loader *l, enum program p);
struct bpf_object *load_object(struct synwave_bpf *skel);
void load_destroy(struct synwave_bpf *skel);
extern const char *const program_name[PROG_COUNT];
/* The verifier's last word on what failed to load; NULL: it has not refused anything since load_forget. */
const char *load_refusal(void);
const char *load_verdict(int err); /* that, or why else it failed */

#endif
