// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a packet costs: the attached program by BPF_PROG_TEST_RUN on one CPU, every frame another, in rounds in which each
 * row and each reference has its turn. Prints ns as JSON, of which packet.py makes the table. Needs root and a quiet machine. */
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
enum stage { NOTHING, ASKED, HALF_OPEN, OPEN, LIFE, STAGES };

/* What a row's cost is a multiple of: packet.py does the sums. */
enum of { NONE, PARSE, PARSE_SYN, LRU, SYN, HELPER, ONE_CPU };
static const char *const of[] = {"", "parse", "parse SYN", "LRU insert", "SYN, new", "helper + parse", "one CPU"};

struct row {
	const char *name;
	enum bench_program program;
	enum bench_table table;
	enum stage stage;
	u32 connections; /* 2^n of them are there; of a LIFE: which step */
	u32 hosts; /* and frames come from so many */
	u8 from, flags;
	u8 payload;
	const char *guard; /* rules; NULL: off */
	double reach; /* at most so many times what it is compared with (ONE_CPU: at least); 0: nothing is asked */
	enum of of;
	u32 cpus; /* at once; 0: one */
};

#define K   1024
#define M   (K * K)
#define ACK SW_TCP_ACK
#define ANY_SYN(p) p, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, SW_TCP_SYN, 0
#define DATA(n)    P_SYNWAVE, (n) > 256 * K ? LARGE : SMALL, OPEN, n, n, SW_CLIENT, ACK, 6, NULL
#define NEW(t, n)  P_SYNWAVE, t, (n) ? OPEN : NOTHING, n, 16 * M, SW_CLIENT, SW_TCP_SYN, 0, NULL
#define STEP(n)    P_SYNWAVE, SMALL, LIFE, n, 0, 0, 0, 0, NULL
#define LATE(stage, from, flags) P_SYNWAVE, SMALL, stage, 32 * K, 32 * K, from, flags, 0, NULL
#define DROP "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, over: drop}}"
#define ROWS_BEFORE "mode: enforce\nsource: [{family: ipv4, prefix: 32, rate: 50/s}, {family: ipv4, prefix: 24, rate: 500/s}]\n" \
	"service: {default: {rate: 1/d, burst: 1, over: drop}}"
#define BY_8 "mode: enforce\nsource: [{family: ipv4, prefix: 8, rate: 1/d, burst: 1}]"
#define DENY "mode: enforce\ndeny: [10.0.0.0/8]"
#define COOKIE "mode: enforce\nservice: {default: {rate: 1/d, burst: 1, over: cookie, local: 'yes'}}"
#define LISTED DROP "\ndeny: [" /* bench_guard_listed adds them */
static const struct row rows[] = {
	{"empty", ANY_SYN(P_EMPTY), NULL, 0, NONE, 0},
	{"two CPUs: empty", ANY_SYN(P_EMPTY), NULL, 0, NONE, 2},
	{"reference: parse a segment", P_PARSE, SMALL, NOTHING, 0, 16 * M, SW_CLIENT, ACK, 6, NULL, 0, NONE, 0},
	{"reference: parse a SYN", ANY_SYN(P_PARSE), NULL, 0, NONE, 0},
	{"two CPUs: reference: parse a SYN", ANY_SYN(P_PARSE), NULL, 0, ONE_CPU, 2},
	{"reference: LRU_HASH insert", ANY_SYN(P_LRU), NULL, 0, NONE, 0},
	{"two CPUs: reference: LRU_HASH insert", ANY_SYN(P_LRU), NULL, 0, ONE_CPU, 2},
	{"reference: HASH miss", ANY_SYN(P_HASH), NULL, 0, NONE, 0},
	{"reference: listener and cookie helper", ANY_SYN(P_COOKIE), NULL, 0, NONE, 0},
	{"data, 1 established", DATA(1), 0, PARSE, 0},
	{"data, 1,024 established", DATA(K), 0, PARSE, 0},
	{"data, 65,536 established", DATA(64 * K), 0, PARSE, 0},
	{"data, 262,144 established", DATA(256 * K), 1.6, PARSE, 0},
	{"two CPUs: data, 262,144 established", DATA(256 * K), 1.8, ONE_CPU, 2},
	{"data, 1,048,576 established", DATA(M), 2, PARSE, 0},
	{"SYN, new, empty table", NEW(SMALL, 0), 0.35, LRU, 0},
	{"SYN, new, beside 1,024 established", NEW(SMALL, K), 0.35, LRU, 0},
	{"SYN, new, beside 65,536 established", NEW(SMALL, 64 * K), 0.35, LRU, 0},
	{"two CPUs: SYN, new, beside 65,536 established", NEW(SMALL, 64 * K), 1.8, ONE_CPU, 2},
	{"SYN, new, beside 1,048,576 established", NEW(LARGE, M), 0, LRU, 0},
	{"SYN, new, --no-ladder, beside 65,536", NEW(BARE, 64 * K), 0.35, LRU, 0},
	{"SYN-ACK, long after its SYN", LATE(ASKED, SW_SERVER, SW_TCP_SYN | ACK), 1, SYN, 0},
	{"two CPUs: SYN-ACK, long after its SYN", LATE(ASKED, SW_SERVER, SW_TCP_SYN | ACK), 1.8, ONE_CPU, 2},
	{"ACK of the handshake, long after", LATE(HALF_OPEN, SW_CLIENT, ACK), 1, SYN, 0},
	{"FIN, long after", LATE(OPEN, SW_CLIENT, ACK | SW_TCP_FIN), 1, SYN, 0},
	{"two CPUs: FIN, long after", LATE(OPEN, SW_CLIENT, ACK | SW_TCP_FIN), 1.8, ONE_CPU, 2},
	{"1,024 at once: SYN", STEP(0), 0, SYN, 0},
	{"1,024 at once: SYN-ACK", STEP(1), 1, SYN, 0},
	{"1,024 at once: ACK of the handshake", STEP(2), 1, SYN, 0},
	{"1,024 at once: data of the client", STEP(3), 0, SYN, 0},
	{"1,024 at once: data of the server", STEP(4), 0, SYN, 0},
	{"1,024 at once: FIN of the client", STEP(5), 1, SYN, 0},
	{"1,024 at once: ACK of the server", STEP(6), 0, SYN, 0},
	{"1,024 at once: FIN of the server", STEP(7), 1, SYN, 0},
	{"1,024 at once: last ACK", STEP(8), 0, SYN, 0},
	{"guard: SYN dropped, service over its limit", ANY_SYN(P_SYNWAVE), DROP, 2.5, PARSE_SYN, 0},
	{"two CPUs: guard: SYN dropped, service over its limit", ANY_SYN(P_SYNWAVE), DROP, 1.8, ONE_CPU, 2},
	{"guard: the same, two source rows before it", ANY_SYN(P_SYNWAVE), ROWS_BEFORE, 2.5, PARSE_SYN, 0},
	{"guard: SYN dropped, its /8 over the limit", ANY_SYN(P_SYNWAVE), BY_8, 2.5, PARSE_SYN, 0},
	{"guard: the same, 4,096 prefixes denied elsewhere", ANY_SYN(P_SYNWAVE), LISTED, 2.5, PARSE_SYN, 0},
	{"guard: SYN denied", ANY_SYN(P_SYNWAVE), DENY, 2.5, PARSE_SYN, 0},
	{"guard: SYN answered by a cookie", ANY_SYN(P_SYNWAVE), COOKIE, 1.3, HELPER, 0},
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

/* A list as they are: /24s all over the address space, 16 of them in each /8. */
static void bench_guard_listed(struct synwave_bpf *skel, const char *rules)
{
	static char text[128 * K];
	size_t len = snprintf(text, sizeof(text), "%s", rules);

	for (u32 i = 0; i < 4096; i++) {
		u32 at = (i >> 4) << 16 | ((i * 0x9e3779b1u >> 8) & 0xffff);
		len += snprintf(text + len, sizeof(text) - len, "%u.%u.%u.0/24, ", at >> 16, at >> 8 & 255, at & 255);
	}
	memcpy(text + len - 2, "]", 2);
	bench_guard(skel, text);
}

static struct {
	enum stage stage;
	u32 connections;
} laid[TABLES]; /* what lies in them */

static double measure(struct bench *b, const struct row *r)
{
	static const struct segment reply[] = {[SW_CLIENT] = {.seq = 2, .ack = 10}, [SW_SERVER] = {.seq = 9, .ack = 2}};
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
	if (r->guard && r->guard[strlen(r->guard) - 1] == '[')
		bench_guard_listed(skel, r->guard);
	else
		bench_guard(skel, r->guard ? r->guard : "mode: off");
	frame_of(&f, r->from, r->flags, r->flags == SW_TCP_SYN ? 1 : reply[r->from].seq,
		 r->flags == SW_TCP_SYN ? 0 : reply[r->from].ack, r->payload, 0);
	struct bench_load l = {r->from == SW_CLIENT ? 26 : 30, r->hosts, runs, r->cpus ? r->cpus : 1}, warm = l;
	warm.runs = r->connections == r->hosts && r->hosts > runs / 4 ? r->hosts : runs / 4;
	if (!once) /* warm: and each established connection sent something before */
		bench_run(b, r->program, skel, &f, &warm);
	return bench_run(b, r->program, skel, &f, &l);
}

/* Connections that are opened and closed beside 65,536 others, as many at once as a busy server has under way: what a
 * segment needs is not far away. */
static void measure_lives(struct bench *b, double ns[BENCH_STEPS])
{
	static const struct {
		struct segment s;
		u8 payload;
	} step[BENCH_STEPS] = {{{SW_CLIENT, SW_TCP_SYN, 1, 0, 0, 0}, 0},
			       {{SW_SERVER, SW_TCP_SYN | ACK, 9, 2, 0, 0}, 0},
			       {{SW_CLIENT, ACK, 2, 10, 0, 0}, 0},
			       {{SW_CLIENT, ACK, 2, 10, 0, 0}, 6},
			       {{SW_SERVER, ACK, 10, 8, 0, 0}, 6},
			       {{SW_CLIENT, ACK | SW_TCP_FIN, 8, 16, 0, 0}, 0},
			       {{SW_SERVER, ACK, 16, 9, 0, 0}, 0},
			       {{SW_SERVER, ACK | SW_TCP_FIN, 16, 9, 0, 0}, 0},
			       {{SW_CLIENT, ACK, 9, 17, 0, 0}, 0}};
	struct frame f[BENCH_STEPS];
	u32 addr_at[BENCH_STEPS];

	lay(b, SMALL, OPEN, 64 * K, bench_now());
	bench_guard(b->skel[SMALL], "mode: off");
	for (int i = 0; i < BENCH_STEPS; i++) {
		const struct segment *s = &step[i].s;
		u8 *port;

		frame_of(&f[i], s->from, s->flags, s->seq, s->ack, step[i].payload, 0);
		port = frame_data(&f[i]) + 34 + 2 * (s->from == SW_SERVER); /* the client's; 40000 are taken */
		port[0] ^= 1;
		addr_at[i] = s->from == SW_CLIENT ? 26 : 30;
	}
	bench_lives(b, b->skel[SMALL], f, addr_at, 64, ns);
}

/* For packet.py. */
static void write_down(const double bare[ROUNDS], double ns[ROWS][ROUNDS])
{
	printf("{\"bare\": [");
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%.2f", i ? ", " : "", bare[i]);
	printf("],\n \"rows\": [\n");
	for (size_t r = 0; r < ROWS; r++) {
		printf("  {\"name\": \"%s\", \"of\": \"%s\", \"reach\": %.2f, \"ns\": [", rows[r].name, of[rows[r].of],
		       rows[r].reach);
		for (int i = 0; ns[r][0] > 0 && i < ROUNDS; i++)
			printf("%s%.2f", i ? ", " : "", ns[r][i]);
		printf("]}%s\n", r + 1 < ROWS ? "," : "");
	}
	printf(" ]}\n");
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
	double bare[ROUNDS], life[BENCH_STEPS];
	int lived = -1; /* the round of `life` */
	cpu_set_t one;
	struct bench b;

	CPU_ZERO(&one);
	CPU_SET(1 % sysconf(_SC_NPROCESSORS_ONLN), &one);
	sched_setaffinity(0, sizeof(one), &one);
	host();
	for (int round = 0; round < ROUNDS; round++) {
		/* anew, for where the kernel puts code and per-CPU values is luck, and worth as much as 30 ns */
		bench_open(&b);
		memset(laid, 0, sizeof(laid));
		bare[round] = bench_bare(&b);
		for (size_t i = 0; i < ROWS; i++) {
			if (argc > 1 && rows[i].program == P_SYNWAVE && !strstr(rows[i].name, argv[1]))
				continue;
			if (rows[i].cpus > (u32)sysconf(_SC_NPROCESSORS_ONLN))
				continue;
			if (rows[i].stage == LIFE && lived != round) {
				measure_lives(&b, life);
				lived = round;
			}
			ns[i][round] = rows[i].stage == LIFE ? life[rows[i].connections] : measure(&b, &rows[i]);
		}
		bench_close(&b);
	}
	write_down(bare, ns);
	return 0;
}
