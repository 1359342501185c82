// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a packet costs: the attached program by BPF_PROG_TEST_RUN on one CPU, every frame another, in rounds in which each
 * row and each reference has its turn; medians. Needs root and a quiet machine. */
#include "bench.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <unistd.h>

#include "../frames.h"

#define ROUNDS 7
#define RUNS   (1 << 18)

/* What must be there before a row is measured. */
enum stage { NOTHING, ASKED, HALF_OPEN, OPEN, STAGES };

struct row {
	const char *name;
	enum bench_program program;
	enum bench_table table;
	enum stage stage;
	u32 connections; /* 2^n of them are there */
	u32 hosts; /* and frames come from so many */
	u8 from, flags;
	u8 payload;
	const char *guard; /* rules; NULL: off */
	double reach; /* at most so many times `reference`; 0: nothing is asked */
	enum { NONE, PARSE, LRU, SYN, HELPER } reference;
};

#define K   1024
#define M   (K * K)
#define ACK SW_TCP_ACK
#define DROP "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, over: drop}}"
static const struct row rows[] = {
	{"empty", P_EMPTY, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, NONE},
	{"reference: parse a segment", P_PARSE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, ACK, 6, NULL, 0, NONE},
	{"reference: parse a SYN", P_PARSE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, NONE},
	{"reference: LRU_HASH insert", P_LRU, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, NONE},
	{"reference: HASH miss", P_HASH, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, NONE},
	{"reference: listener and cookie helper", P_COOKIE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, NONE},
	{"data, 1 established", P_SYNWAVE, SMALL, OPEN, 1, 1, SW_CLIENT, ACK, 6, NULL, 0, NONE},
	{"data, 1,024 established", P_SYNWAVE, SMALL, OPEN, K, K, SW_CLIENT, ACK, 6, NULL, 0, NONE},
	{"data, 65,536 established", P_SYNWAVE, SMALL, OPEN, 64 * K, 64 * K, SW_CLIENT, ACK, 6, NULL, 0, NONE},
	{"data, 262,144 established", P_SYNWAVE, SMALL, OPEN, 256 * K, 256 * K, SW_CLIENT, ACK, 6, NULL, 1.6, PARSE},
	{"data, 1,048,576 established", P_SYNWAVE, LARGE, OPEN, M, M, SW_CLIENT, ACK, 6, NULL, 2, PARSE},
	{"SYN, new, empty table", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0.35, LRU},
	{"SYN, new, beside 65,536 established", P_SYNWAVE, SMALL, OPEN, 64 * K, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0.35, LRU},
	{"SYN, new, beside 1,048,576", P_SYNWAVE, LARGE, OPEN, M, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0, LRU},
	{"SYN, new, --no-ladder, beside 65,536", P_SYNWAVE, BARE, OPEN, 64 * K, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL, 0.35, LRU},
	{"SYN-ACK", P_SYNWAVE, SMALL, ASKED, 32 * K, 32 * K, SW_SERVER, SW_TCP_SYN | ACK, 0, NULL, 1, SYN},
	{"ACK of the handshake", P_SYNWAVE, SMALL, HALF_OPEN, 32 * K, 32 * K, SW_CLIENT, ACK, 0, NULL, 1, SYN},
	{"FIN", P_SYNWAVE, SMALL, OPEN, 32 * K, 32 * K, SW_CLIENT, ACK | SW_TCP_FIN, 0, NULL, 1, SYN},
	{"guard: SYN dropped, service over its limit", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, DROP, 2.5, PARSE},
	{"guard: the same, two source rows before it", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0,
	 "mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: 50/s}, {family: ipv4, prefix: 24, rate: 500/s}]\n"
	 "service: {default: {rate: 1/d, burst: 1, over: drop}}", 2.5, PARSE},
	{"guard: SYN dropped, its /8 over the limit", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0,
	 "mode: enforce\nsource: [{family: ipv4, prefix: 8, rate: 1/d, burst: 1}]", 2.5, PARSE},
	{"guard: SYN denied", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0,
	 "mode: enforce\ndeny: [10.0.0.0/8]", 2.5, PARSE},
	{"guard: SYN answered by a cookie", P_SYNWAVE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0,
	 "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, over: cookie}}", 1.3, HELPER},
};
#define ROWS SW_ARRAY_SIZE(rows)

static void frame_of(struct frame *f, u8 from, u8 flags, u32 seq, u32 ack, u8 payload, u32 n)
{
	char client[16];

	snprintf(client, sizeof(client), "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
	memset(f, 0, sizeof(*f));
	if (from == SW_CLIENT)
		build_between(f, client, 40000, "192.0.2.2", 80, flags, seq, ack);
	else
		build_between(f, "192.0.2.2", 80, client, 40000, flags, seq, ack);
	u8 *ip = frame_data(f) + 14;
	if (flags == SW_TCP_SYN) { /* with an MSS, as any stack's */
		ip[3] += 4;
		ip[32] = 6 << 4;
		memcpy(ip + 40, "\2\4\5\xb4", 4);
	}
	ip[3] += payload;
	f->len = 60;
}

/* A table of `connections` in a stage, made by the same core in plain memory and laid into the maps. */
static void lay(struct bench *b, enum bench_table table, enum stage stage, u32 connections, u64 now)
{
	static const struct segment step[] = {{SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0},
					      {SW_SERVER, SW_TCP_SYN | ACK, 9, 2, 0, 0},
					      {SW_CLIENT, ACK, 2, 10, 0, 0},
					      {SW_SERVER, ACK, 10, 2, 0, 0}};
	static const int steps[STAGES] = {0, 1, 2, 4};
	struct engine e;
	struct frame f;

	bench_engine(b, table, &e);
	for (u32 n = 0; n < connections; n++)
		for (int i = 0; i < steps[stage]; i++) {
			frame_of(&f, step[i].from, step[i].flags, step[i].seq, step[i].ack, 0, n);
			engine_frame(&e, frame_data(&f), f.len, f.len, false, now);
		}
	bench_lay(b->skel[table], &e);
	engine_close(&e);
}

static double measure(struct bench *b, const struct row *r)
{
	static const struct segment reply[] = {[SW_CLIENT] = {.seq = 2, .ack = 10}, [SW_SERVER] = {.seq = 9, .ack = 2}};
	static struct {
		enum stage stage;
		u32 connections;
	} laid[TABLES];
	bool once = r->program == P_SYNWAVE && (r->hosts == r->connections) && !(r->payload);
	u32 runs = r->hosts < RUNS && once ? r->hosts : RUNS;
	struct synwave_bpf *skel = b->skel[r->table];
	struct frame f;

	/* data leaves the table as it is; everything else makes something of it */
	if (r->program == P_SYNWAVE && (!r->payload || laid[r->table].stage != r->stage ||
					laid[r->table].connections != r->connections)) {
		lay(b, r->table, r->stage, r->connections, bench_now());
		laid[r->table].stage = r->payload ? r->stage : STAGES;
		laid[r->table].connections = r->connections;
	}
	bench_guard(skel, r->guard ? r->guard : "mode: off");
	frame_of(&f, r->from, r->flags, r->flags == SW_TCP_SYN ? 1 : reply[r->from].seq,
		 r->flags == SW_TCP_SYN ? 0 : reply[r->from].ack, r->payload, 0);
	if (!once) /* warm: and each established connection sent something before */
		bench_run(b, r->program, skel, &f, r->from == SW_CLIENT ? 26 : 30, r->hosts,
			  r->connections == r->hosts && r->hosts > runs / 4 ? r->hosts : runs / 4);
	return bench_run(b, r->program, skel, &f, r->from == SW_CLIENT ? 26 : 30, r->hosts, runs);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median[ROWS], least[ROWS], most[ROWS];

static double row_of(const char *name)
{
	for (size_t i = 0; i < ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return median[i];
	abort();
}

/* Times what is asked for, and what it is a multiple of. Programs against programs: the driver's cost taken off, the empty
 * program's own left in. LRU: both less the empty program, as asked. */
static double ratio(const struct row *r, size_t i, double bare)
{
	double own = median[i] - row_of("empty"), syn = row_of("reference: parse a SYN") - row_of("empty");
	double seg = row_of("reference: parse a segment") - row_of("empty");

	switch (r->reference) {
	case PARSE:
		return (own + bare) / ((r->flags == SW_TCP_SYN ? syn : seg) + bare);
	case LRU:
		return own / (row_of("reference: LRU_HASH insert") - row_of("empty"));
	case SYN:
		return own / (row_of("SYN, new, beside 65,536 established") - row_of("empty"));
	case HELPER:
		return own / (row_of("reference: listener and cookie helper") - row_of("empty") + syn);
	case NONE:
		break;
	}
	return 0;
}

static void report(double bare)
{
	static const char *const of[] = {"", "parse", "LRU insert", "SYN, new", "helper + parse"};
	double empty = row_of("empty");
	FILE *out = fopen("build/bench.json", "w");

	printf("An empty program, called without the driver: %.0f ns; with it, taken off below: %.0f ns.\n\n", bare, empty);
	printf("| ns above the empty program, median of %d (least .. most) | | times | of | asked |\n", ROUNDS);
	printf("| --- | ---: | ---: | --- | ---: |\n");
	for (size_t i = 1; i < ROWS; i++) {
		double times = ratio(&rows[i], i, bare);
		char asked[32] = "";

		if (rows[i].reach)
			snprintf(asked, sizeof(asked), "<= %.2f%s", rows[i].reach, times > rows[i].reach ? " **missed**" : "");
		printf("| %s | %.0f (%.0f .. %.0f) |", rows[i].name, median[i] - empty, least[i] - empty, most[i] - empty);
		if (times)
			printf(" %.2f | %s | %s |\n", times, of[rows[i].reference], asked);
		else
			printf(" | | |\n");
		if (out)
			fprintf(out, "%s{\"name\":\"%s\",\"ns\":%.1f,\"ratio\":%.3f}%s\n", i == 1 ? "[" : " ", rows[i].name,
				median[i] - empty, times, i + 1 < ROWS ? "," : "]");
	}
	if (out)
		fclose(out);
}

/* A listener for the cookies, in a network namespace of its own. */
static void host(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(80)};
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	FILE *sysctl;
	int s;

	if (unshare(CLONE_NEWNET))
		exit(fprintf(stderr, "bench: needs root: %s\n", strerror(errno)) ? 1 : 1);
	s = socket(AF_INET, SOCK_STREAM, 0);
	ioctl(s, SIOCSIFFLAGS, &ifr);
	sysctl = fopen("/proc/sys/net/ipv4/tcp_syncookies", "w");
	if (!sysctl || fputs("2", sysctl) < 0 || fclose(sysctl) || bind(s, (struct sockaddr *)&any, sizeof(any)) || listen(s, 128))
		exit(fprintf(stderr, "bench: no listener: %s\n", strerror(errno)) ? 1 : 1);
}

int main(int argc, char **argv)
{
	static double ns[ROWS][ROUNDS];
	double bare[ROUNDS];
	cpu_set_t one;
	struct bench b;

	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	host();
	bench_open(&b);
	for (int round = 0; round < ROUNDS; round++) {
		bare[round] = bench_bare(&b);
		for (size_t i = 0; i < ROWS; i++) {
			if (argc > 1 && rows[i].program == P_SYNWAVE && !strstr(rows[i].name, argv[1]))
				continue;
			ns[i][round] = measure(&b, &rows[i]);
		}
	}
	qsort(bare, ROUNDS, sizeof(*bare), by_value);
	for (size_t i = 0; i < ROWS; i++) {
		qsort(ns[i], ROUNDS, sizeof(double), by_value);
		median[i] = ns[i][ROUNDS / 2];
		least[i] = ns[i][0];
		most[i] = ns[i][ROUNDS - 1];
	}
	report(bare[ROUNDS / 2]);
	bench_close(&b);
	return 0;
}
