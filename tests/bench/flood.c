// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Runs what is in flood.bpf.c; in the network namespace in which it is started.
 *
 * flood send IFACE SOURCE/PREFIX TARGET PORT SMAC DMAC SECONDS COUNT PPS CPU,CPU...: SYNs from random addresses of
 *   the network out of a veth end, until the time is over or the count reached; PPS 0: as fast as it goes. Prints one
 *   JSON object: what was sent, how long that took, and the time of all CPUs, what the receiver did on them included.
 * flood drop IFACE, flood sink IFACE GHOSTS, flood cut IFACE GHOSTS: attached as long as standard input is open; for
 *   each line read from there one is printed: ns of the monotonic clock before and after, packets that vanished. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "flood.h"
#include "flood.skel.h"

#define BATCH      64
#define CALL       (1 << 18) /* frames a system call, a fraction of a second: then the clock is read */
#define TCX_EGRESS 47
#define MAX_CPUS   64

static __u64 clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static __u32 sum_of(const void *p, int size)
{
	const __u8 *b = p;
	__u32 sum = 0;
	__u16 half;

	for (int i = 0; i < size; i += 2) {
		memcpy(&half, b + i, 2);
		sum += half;
	}
	return sum;
}

static void network(const char *text, __u32 *net, __u32 *mask)
{
	char addr[32];
	unsigned int bits = 32;
	struct in_addr in;

	if (sscanf(text, "%31[0-9.]/%u", addr, &bits) < 1 || inet_pton(AF_INET, addr, &in) != 1 || bits > 32)
		errx(2, "%s: not ADDRESS/PREFIX", text);
	*mask = bits ? ~0U << (32 - bits) : 0;
	*net = ntohl(in.s_addr) & *mask;
}

/* ARGV: IFACE SOURCE/PREFIX TARGET PORT SMAC DMAC */
static void compose(struct flood_frame *f, char **argv)
{
	static const __u8 options[] = {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 1, 2, 3, 0, 0, 0, 0, 1, 3, 3, 7};
	__u8 b[80] = {[12] = 8, [14] = 0x45, [17] = FLOOD_SIZE - 14, [20] = 0x40, [22] = 64, [23] = IPPROTO_TCP};
	__u32 mask, port = atoi(argv[3]);
	struct ether_addr *mac;

	f->out = if_nametoindex(argv[0]);
	if (!f->out)
		err(1, "%s", argv[0]);
	network(argv[1], &f->source, &mask);
	f->hosts = ~mask + 1;
	if (!(mac = ether_aton(argv[5])))
		errx(2, "%s: not a MAC address", argv[5]);
	memcpy(b, mac, 6);
	if (!(mac = ether_aton(argv[4])))
		errx(2, "%s: not a MAC address", argv[4]);
	memcpy(b + 6, mac, 6);
	if (inet_pton(AF_INET, argv[2], b + 30) != 1)
		errx(2, "%s: not an IPv4 address", argv[2]);
	b[36] = port >> 8;
	b[37] = port;
	b[46] = (20 + sizeof(options)) / 4 << 4;
	b[47] = 2; /* SYN */
	b[48] = 0xfa;
	b[49] = 0xf0;
	memcpy(b + 54, options, sizeof(options));
	memcpy(f->word, b, sizeof(b));
	f->ip_sum = sum_of(b + 14, 20);
	f->tcp_sum = sum_of(b + 30, FLOOD_SIZE - 30) + htons(IPPROTO_TCP) + htons(FLOOD_SIZE - 34);
}

static struct flood_bpf *opened(void)
{
	struct flood_bpf *skel = flood_bpf__open();

	if (!skel)
		err(1, "BPF programs of the flood");
	return skel;
}

/* One CPU's generator. */
struct sender {
	pthread_t thread;
	int prog, cpu;
	__u64 most, end; /* frames; ns of the monotonic clock */
	double pps; /* 0: as fast as it goes */
	__u64 sent, ns, cpu_ns;
	int error;
};

static void *sender(void *arg)
{
	struct sender *s = arg;
	__u8 data[FLOOD_SIZE + FLOOD_TRIM] = {0};
	__u64 start, now, cpu;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(s->cpu, &set);
	s->error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	start = now = clock_ns(CLOCK_MONOTONIC);
	cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (!s->error && s->sent < s->most && now < s->end) {
		__u64 due = s->pps > 0 ? (now - start) * s->pps / 1e9 + BATCH - s->sent : CALL;
		__u64 left = s->most - s->sent;
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = data, .data_size_in = sizeof(data),
			    .repeat = due > CALL ? CALL : due, .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
			    .batch_size = BATCH);
		run.repeat = (__u64)run.repeat > left ? (int)left : run.repeat;
		s->error = -bpf_prog_test_run_opts(s->prog, &run);
		s->sent += run.repeat;
		if (s->pps > 0)
			usleep(1000);
		now = clock_ns(CLOCK_MONOTONIC);
	}
	s->ns = now - start;
	s->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
	return NULL;
}

static int send_frames(int argc, char **argv)
{
	struct flood_bpf *skel = opened();
	struct sender all[MAX_CPUS] = {0}, sum = {0};
	int n = 0, error = 0;

	if (argc != 10)
		errx(2, "send IFACE SOURCE/PREFIX TARGET PORT SMAC DMAC SECONDS COUNT PPS CPU,CPU...");
	compose((void *)&skel->rodata->flood, argv);
	if (flood_bpf__load(skel))
		err(1, "BPF programs of the flood");
	for (char *cpu = strtok(argv[9], ","); cpu && n < MAX_CPUS; cpu = strtok(NULL, ","))
		all[n++].cpu = atoi(cpu);
	for (int i = 0; i < n; i++) {
		struct sender *s = &all[i];
		s->prog = bpf_program__fd(skel->progs.generate);
		s->end = clock_ns(CLOCK_MONOTONIC) + (__u64)(atof(argv[6]) * 1e9);
		s->most = strtoull(argv[7], NULL, 10) / n;
		s->pps = atof(argv[8]) / n;
		if (pthread_create(&s->thread, NULL, sender, s))
			errx(1, "no thread for CPU %d", s->cpu);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(all[i].thread, NULL);
		sum.sent += all[i].sent;
		sum.cpu_ns += all[i].cpu_ns;
		sum.ns = all[i].ns > sum.ns ? all[i].ns : sum.ns;
		error = all[i].error ? all[i].error : error;
	}
	flood_bpf__destroy(skel);
	if (error)
		errx(1, "BPF_PROG_TEST_RUN with live frames (Linux 5.18 or newer): %s", strerror(error));
	printf("{\"sent\": %llu, \"ns\": %llu, \"cpu_ns\": %llu}\n", sum.sent, sum.ns, sum.cpu_ns);
	return 0;
}

static __u64 vanished(struct flood_bpf *skel)
{
	int cpus = libbpf_num_possible_cpus();
	__u64 each[cpus > 0 ? cpus : 1], sum = 0;
	__u32 zero = 0;

	if (cpus < 1 || bpf_map_lookup_elem(bpf_map__fd(skel->maps.vanished), &zero, each))
		err(1, "the count of what vanished");
	for (int i = 0; i < cpus; i++)
		sum += each[i];
	return sum;
}

static int attach(const char *what, int argc, char **argv)
{
	struct flood_bpf *skel = opened();
	int ifindex = argc ? if_nametoindex(argv[0]) : 0, fd;
	bool egress = !strcmp(what, "cut");
	__u32 net = 0, mask = 0;
	char line[64];

	if (argc != 1 + !!strcmp(what, "drop") && strcmp(what, "bounce"))
		errx(2, "drop IFACE, sink IFACE GHOSTS, cut IFACE GHOSTS");
	if (!ifindex)
		err(1, "%s", argv[0]);
	if (argc > 1)
		network(argv[1], &net, &mask);
	skel->rodata->ghost_net = htonl(net);
	skel->rodata->ghost_mask = htonl(mask);
	if (flood_bpf__load(skel))
		err(1, "BPF programs of the flood");
	fd = bpf_program__fd(egress                    ? skel->progs.cut
			     : argc > 1                ? skel->progs.sink
			     : !strcmp(what, "bounce") ? skel->progs.bounce
						       : skel->progs.drop);
	if (bpf_link_create(fd, ifindex, egress ? TCX_EGRESS : BPF_XDP, NULL) < 0)
		err(1, "%s: cannot attach", argv[0]);
	puts("attached");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		__u64 before = clock_ns(CLOCK_MONOTONIC), count = vanished(skel);
		printf("%llu %llu %llu\n", before, clock_ns(CLOCK_MONOTONIC), count);
		fflush(stdout);
	}
	return 0; /* the link ends with its last file descriptor */
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc > 1 && !strcmp(argv[1], "send"))
		return send_frames(argc - 2, argv + 2);
	if (argc > 1)
		return attach(argv[1], argc - 2, argv + 2);
	errx(2, "send, drop, sink or cut; see the head of tests/bench/flood.c");
}
