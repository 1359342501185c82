// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "capture.h"

#define PCAP_DONT_INCLUDE_PCAP_BPF_H /* its struct bpf_insn is not linux/bpf.h's */
#include <pcap/pcap.h>
#include <pcap/dlt.h>
#include <dlfcn.h>
#include <stdio.h>

/* libpcap is loaded when a capture is read: the program that runs on a server needs no library but libc, and Debian's
 * static libpcap wants D-Bus. X(function) */
#define PCAP_FUNCTIONS(X) \
	X(pcap_open_offline_with_tstamp_precision) \
	X(pcap_datalink) \
	X(pcap_datalink_val_to_name) \
	X(pcap_next_ex) \
	X(pcap_geterr) \
	X(pcap_close)

#define POINTER_(f) typeof(f) *f;
static struct {
	void *lib;
	PCAP_FUNCTIONS(POINTER_)
} lib;

static bool load_pcap(void)
{
	if (lib.lib)
		return true;
	lib.lib = dlopen("libpcap.so.0.8", RTLD_NOW);
	if (!lib.lib)
		return false;
#define LOAD_(f) lib.f = dlsym(lib.lib, #f);
	PCAP_FUNCTIONS(LOAD_)
	return true;
}

/* Bytes of a link header that end where the IP header begins. Ethernet keeps its own: it may hold VLAN tags. */
static const struct link {
	int type;
	u32 skip;
	bool l3;
} links[] = {
	{DLT_EN10MB, 0, false}, {DLT_RAW, 0, true},  {DLT_IPV4, 0, true},       {DLT_IPV6, 0, true},
	{DLT_NULL, 4, true},    {DLT_LOOP, 4, true}, {DLT_LINUX_SLL, 16, true}, {DLT_LINUX_SLL2, 20, true},
};

static const struct link *link_of(int type)
{
	for (size_t i = 0; i < SW_ARRAY_SIZE(links); i++)
		if (links[i].type == type)
			return &links[i];
	return NULL;
}

int capture_read(const char *path, capture_frame *each, void *ctx, char *why, size_t room)
{
	char err[PCAP_ERRBUF_SIZE] = "";
	const struct link *link;
	pcap_t *p;
	struct pcap_pkthdr *head;
	const u8 *frame;
	unsigned long long n = 0;
	int got, ret = -1;

	if (!load_pcap()) {
		snprintf(why, room, "libpcap is not installed (Debian: apt-get install libpcap0.8)");
		return -1;
	}
	p = lib.pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, err);
	if (!p) {
		snprintf(why, room, "not a readable capture (%s)", err);
		return -1;
	}
	link = link_of(lib.pcap_datalink(p));
	if (!link) {
		snprintf(why, room, "link type %s is not one of Ethernet, raw IP, Linux cooked, null/loopback",
			 lib.pcap_datalink_val_to_name(lib.pcap_datalink(p)) ?: "unknown");
		goto out;
	}
	while ((got = lib.pcap_next_ex(p, &head, &frame)) == 1) {
		u64 ns = (u64)head->ts.tv_sec * 1000000000 + head->ts.tv_usec;

		n++;
		if (head->caplen >= link->skip && head->len >= link->skip)
			each(ctx, frame + link->skip, head->caplen - link->skip, head->len - link->skip, link->l3, ns);
		else
			each(ctx, frame, 0, head->len, true, ns);
	}
	if (got == PCAP_ERROR_BREAK)
		ret = 0;
	else
		snprintf(why, room, "broken after packet %llu (%s); the records up to there follow", n,
			 lib.pcap_geterr(p));
out:
	lib.pcap_close(p);
	return ret;
}
