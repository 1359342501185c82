/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs on one interface of this network namespace. What hangs there is asked of the kernel each time (hook_look);
 * the registry only says what was meant. Functions return 0 or -errno with a line in the store's why. */
#ifndef SYNWAVE_HOOK_H
#define SYNWAVE_HOOK_H

#include <errno.h>

#include "instance.h"
#include "load.h"
#include "nic.h"

/* Ways in which a program of ours can hang on an interface. */
enum part {
	PART_XDP_LINK, /* alone, by a BPF link pinned in DIR/links: replaced atomically, found from anywhere */
	PART_XDP_CHAIN, /* in libxdp's dispatcher */
	PART_XDP_BARE, /* alone, by netlink: where libxdp fell back by itself */
	PART_TCX_IN,
	PART_TCX_OUT,
	PART_CLSACT_IN,
	PART_CLSACT_OUT,
	PART_COUNT
};
#define PART_XDP  (1 << PART_XDP_LINK | 1 << PART_XDP_CHAIN | 1 << PART_XDP_BARE)
#define PART_IN   (PART_XDP | 1 << PART_TCX_IN | 1 << PART_CLSACT_IN)
#define PART_OUT  (1 << PART_TCX_OUT | 1 << PART_CLSACT_OUT)
#define ALL_PARTS ((1 << PART_COUNT) - 1)

/* What is to be taken off is gone, or its interface is. */
static inline bool hook_is_gone(int err)
{
	return err == -ENOENT || err == -ENODEV || err == -ENXIO;
}

struct hooks {
	u32 have; /* bits of enum part */
	u32 prog[PART_COUNT]; /* program ids */
	u32 link[PART_COUNT]; /* link ids */
	u32 mode; /* of XDP on this device, whosever it is: enum sw_hook; SW_HOOK_NONE: nothing there */
	u32 alien; /* id of another's XDP program that sits there alone or in a dispatcher */
	char alien_name[16];
	bool dispatcher;
	bool unread; /* ... of which libxdp is not to be asked */
	bool padded; /* ours in it is synwave_xdp_pad */
};

struct hook {
	struct instance *in;
	struct loader *loader;
	struct sw_iface_key key;
	char name[16];
	bool l3; /* no Ethernet header */
	u8 mac[6]; /* its own address, where it has an Ethernet header */
	struct nic nic;
	bool qdisc; /* clsact made by us */
	char note[WHY_SIZE]; /* what a person should know */
	char alone[160]; /* why XDP was put there without libxdp's dispatcher */
};

/* The address of an interface of this network namespace; false: it has none, or is not there. */
bool hook_mac(const char *name, u8 mac[6]);
int hook_init(struct hook *h, struct instance *in, struct loader *l, const char *name);

void hook_look(struct hook *h, struct hooks *now);
/* parts: bits of enum part; only what is ours. All of it is tried, whatever fails. */
int hook_drop(struct hook *h, u32 parts);
/* Whether a pinned link of `former`, an interface of another network namespace, hangs on this one: it was moved. */
bool hook_same_device(const struct hook *h, const struct hook *former);

/* Puts the new program there, in place of ours of the same kind if there is one. */
int hook_xdp(struct hook *h, u32 mode);
int hook_tc(struct hook *h, bool out);

/* The pieces, by mechanism. */
int link_open(const struct hook *h, enum part p); /* pinned link, or -errno; -ENOENT if its device is gone */
int link_put(struct hook *h, enum part p, int prog_fd, u32 flags);
int link_drop(const struct hook *h, enum part p); /* these and the *_drop below: what is gone already is no failure */
u32 link_ifindex(int fd, u32 *link_id, u32 *prog_id); /* 0: the device is gone */
void link_path(const struct instance *in, const struct sw_iface_key *key, enum part p, char *path, size_t size);

void xdp_name(u32 prog_id, char name[16]); /* "?": there is none, or it may not be asked for */
void xdp_look(struct hook *h, struct hooks *now);
int xdp_drop(struct hook *h, const struct hooks *now, u32 parts);
int xdp_settle(struct hook *h, const struct hooks *now); /* one program of ours in a dispatcher is enough */
/* Whether a program of ours may hang there that this process cannot tell from another's; row: what was meant. */
bool xdp_hidden(struct hook *h, const struct sw_iface *row);

/* libxdp's dispatcher. NULL: it runs here; else why not. */
const char *chain_fault(void);
bool chain_works(void);
/* Why an attached XDP program is not the usual one in the dispatcher; NULL: it is, or there is no XDP. */
const char *chain_why(const struct sw_iface *i);
bool chain_is_sound(u32 prog_id); /* libxdp may be asked about this dispatcher */
int chain_look(struct hook *h, struct hooks *now, u32 *ours, int room);
int chain_put(struct hook *h, u32 mode);
int chain_drop(struct hook *h, u32 keep); /* all of ours but that one */
const char *chain_error(int err); /* why chain_put failed */
void chain_sweep(struct instance *in, u32 ifindex); /* dispatchers of ours that hang on nothing any more */

bool tcx_works(u32 ifindex);

/* Refuses a device whose hooks no frame passes, and names those that they do. */
int hook_refuse_blind(struct hook *h);
/* The kernel did not take program fd for this: in words, why. */
int hook_refused(struct hook *h, u32 mode, int fd, int err);

int clsact_put(struct hook *h, bool out, int prog_fd);
u32 clsact_prog(struct hook *h, bool out);
int clsact_drop(struct hook *h, bool out);
int clsact_tidy(struct hook *h); /* removes the qdisc if we made it and nobody uses it */

#endif
