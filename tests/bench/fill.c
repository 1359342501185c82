// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* fill IFACE SCALE: 2^SCALE connections through the XDP program that hangs on the interface, by BPF_PROG_TEST_RUN: no
 * packet is sent, and nothing is known of how the program keeps them. Half of them IPv6; established, closed in each
 * usual way, in TIME_WAIT, half-open. Prints one JSON object: how many there were and how long that took. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../frames.h"
#include "fill.skel.h"

#define SYN SW_TCP_SYN
#define ACK SW_TCP_ACK
#define FIN SW_TCP_FIN
#define RST SW_TCP_RST
/* versions differ on braces in macros */
/* clang-format off */
#define END {.from = END_OF_LIST}
#define HANDSHAKE {SW_CLIENT, SYN, 1, 0, 0, 0}, {SW_SERVER, SYN | ACK, 9, 2, 0, 0}, {SW_CLIENT, ACK, 2, 10, 0, 0}, {SW_SERVER, ACK, 10, 2, 0, 0}
/* clang-format on */

#define AT_ONCE (1u << 16) /* half-open before their handshake goes on; none is evicted with --half-open 262144 */

/* What becomes of one connection in 2^less. */
static const struct fate {
	u32 less;
	struct segment segment[12];
} fates[] = {
	{1, {HANDSHAKE, END}},
	{2,
	 {HANDSHAKE,
	  {SW_CLIENT, FIN | ACK, 2, 10, 0, 0},
	  {SW_SERVER, FIN | ACK, 10, 3, 0, 0},
	  {SW_CLIENT, ACK, 3, 11, 0, 0},
	  END}},
	{3, {HANDSHAKE, {SW_SERVER, FIN | ACK, 10, 2, 0, 0}, END}},
	{4, {HANDSHAKE, {SW_CLIENT, RST | ACK, 2, 10, 0, 0}, END}},
	{5, {{SW_CLIENT, SYN, 1, 0, 0, 0}, {SW_SERVER, SYN | ACK, 9, 2, 0, 0}, END}},
	{5, {{SW_CLIENT, SYN, 1, 0, 0, 0}, {SW_SERVER, RST | ACK, 0, 2, 0, 0}, END}},
};

/* The segment as a frame of today's stacks: a SYN offers what Linux offers. */
static void compose(struct frame *f, const struct segment *s, bool v6, u16 port)
{
	static const u8 options[20] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7};
	const char *end[2] = {v6 ? "2001:db8:77::" : "10.0.0.0", v6 ? "2001:db8::80" : "192.0.2.2"};
	u16 ports[2] = {port, 443};
	u8 *ip = frame_data(f) + 14, *tcp = ip + (v6 ? 40 : 20);
	u16 size;

	memset(f, 0, sizeof(*f));
	build_between(f, end[s->from], ports[s->from], end[!s->from], ports[!s->from], s->flags, s->seq, s->ack);
	if (!(s->flags & SYN))
		return;
	memcpy(tcp + 20, options, sizeof(options));
	tcp[12] = (20 + sizeof(options)) / 4 << 4;
	size = bpf_htons((v6 ? 20 : 40) + sizeof(options));
	memcpy(ip + (v6 ? 4 : 2), &size, sizeof(size));
	f->len += sizeof(options);
}

/* The segment once from (or to) each of `hosts` addresses, from the n-th on. */
static void feed(struct fill_bpf *skel, const struct segment *s, bool v6, u16 port, u32 nth, u32 hosts)
{
	u32 done, from = skel->bss->turn;
	struct frame f;
	int error;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame_data(&f));

	compose(&f, s, v6, port);
	run.data_size_in = f.len;
	skel->bss->hosts = hosts;
	skel->bss->first = (v6 ? 0 : 10 << 24) + nth;
	skel->bss->addr_at = v6 ? (s->from == SW_CLIENT ? 34 : 50) : s->from == SW_CLIENT ? 26 : 30;
	while ((done = skel->bss->turn - from) < hosts) {
		run.repeat = hosts - done;
		error = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.fill), &run);
		if (error && error != -EINTR) /* a signal ends the repetition early */
			errx(1, "BPF_PROG_TEST_RUN: %s", strerror(-error));
		if (!error && run.retval != XDP_PASS)
			errx(1, "the program of the interface: verdict %u, not XDP_PASS", run.retval);
	}
}

/* The filling program, in front of what hangs on the interface. */
static struct fill_bpf *before(int ifindex, const char *name)
{
	struct fill_bpf *skel = fill_bpf__open_and_load();
	u32 zero = 0, id = 0;
	int fd;

	if (!skel)
		err(1, "the filling program");
	if (bpf_xdp_query_id(ifindex, 0, &id) || !id)
		errx(1, "%s has no XDP program", name);
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0 || bpf_map_update_elem(bpf_map__fd(skel->maps.attached), &zero, &fd, 0))
		err(1, "the program of %s", name);
	return skel;
}

static u64 now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	u32 scale = argc == 3 ? atoi(argv[2]) : 0, all = 0;
	int ifindex = argc == 3 ? if_nametoindex(argv[1]) : 0;
	u64 began = now_ns();
	struct fill_bpf *skel;

	if (scale < 8 || scale > 23)
		errx(2, "usage: fill IFACE SCALE, 2^SCALE connections, 8..23");
	if (!ifindex)
		err(1, "%s", argv[1]);
	skel = before(ifindex, argv[1]);
	for (size_t i = 0; i < SW_ARRAY_SIZE(fates); i++) {
		u32 hosts = 1u << (scale - fates[i].less - 1), slice = hosts < AT_ONCE ? hosts : AT_ONCE;
		for (u32 nth = 0; nth < 2 * hosts; nth += slice)
			for (const struct segment *s = fates[i].segment; s->from != END_OF_LIST; s++)
				feed(skel, s, nth >= hosts, 40000 + i, nth % hosts, slice);
		all += 2 * hosts;
	}
	fill_bpf__destroy(skel);
	printf("{\"connections\": %u, \"ns\": %llu}\n", all, now_ns() - began);
	return 0;
}
