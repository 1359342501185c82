// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Many real connections, in the network namespace in which it is started, with IPv4, IPv6 or both.
 *
 * peers serve at=ADDR[,ADDR] [port=N] [ports=N]: does what its clients ask for.
 * peers call at=ADDR[,ADDR] from=ADDR[,ADDR] [hosts=N] [port=N] [ports=N] [count=N] [inflight=N] [rate=N] [hold=MS]
 *   [ways=N,N,N,N,N] [seed=N]: `count` connections to port .. port + ports - 1 from each of the `hosts` addresses that
 *   begin with `from`, at most `inflight` of them at once, `rate` a second (0: as many as it can), each living up to
 *   `hold` ms (-1: until told). ways: the shares of those that the client closes, the server closes, the client resets,
 *   the server resets, nobody listens for (port - 1).
 *
 * Standard input: a line "?" prints the counts as one JSON object, "stop" starts no more, "go" does again, "close" ends
 * what is held; the end of the input ends the program. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH     256
#define SLOTS     4096 /* of the wheel of those that are held for a time */
#define LISTENERS 256
#define STDIN     UINT32_MAX

/* A connection counts under one of the last six when it is over, as this side saw it. */
#define COUNTS(X) \
	X(attempted) \
	X(connected) \
	X(accepted) \
	X(open) \
	X(refused) \
	X(by_client) \
	X(by_server) \
	X(reset_by_client) \
	X(reset_by_server) \
	X(unexpected)

#define MEMBER(name) uint64_t name;
static struct {
	COUNTS(MEMBER)
} count;

enum way { BY_CLIENT, BY_SERVER, RESET_BY_CLIENT, RESET_BY_SERVER, REFUSED, WAYS };

/* What the client says when the time has come, and where it counts when that has come true. 0: it says nothing, but
 * closes its half. The server closes at 'F', resets at 'R', and echoes 'P'. */
static const struct {
	char say;
	uint64_t *ended;
} ways[WAYS] = {
	[BY_CLIENT] = {0, &count.by_client},
	[BY_SERVER] = {'F', &count.by_server},
	[RESET_BY_CLIENT] = {'P', &count.reset_by_client},
	[RESET_BY_SERVER] = {'R', &count.reset_by_server},
	[REFUSED] = {0, &count.refused},
};

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static struct {
	union address at[2], from[2];
	int families;
	long port, ports, hosts, count, inflight, rate, hold, ways[WAYS], seed;
} opt = {.port = 9001, .ports = 1, .hosts = 1, .count = 1, .inflight = 256, .ways = {1, 0, 0, 0, 0}, .seed = 1};

/* One of the client's. `next`: the list that it is in, of free ones or of a slot of the wheel; index + 1. */
struct peer {
	int fd;
	uint32_t next;
	uint8_t way;
	enum { FREE, CONNECTING, HELD, ENDING } is;
};

static struct peer *peers;
static uint32_t free_list, wheel[SLOTS];
static uint64_t seed, began, wheel_at;
static uint64_t paced_from, paced_since; /* so many were begun until then (ms): what the rate counts from */
static bool stopped, over;
static int epoll;

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static uint64_t rnd(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * 0x2545f4914f6cdd1dULL) >> 16;
}

static void watch(int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev))
		err(1, "epoll");
}

/* --- client -------------------------------------------------------------------------------------------------------*/

static void finish(struct peer *p, uint64_t *how)
{
	++*how;
	count.open -= p->is != CONNECTING;
	close(p->fd);
	p->is = FREE;
	p->next = free_list;
	free_list = p - peers + 1;
}

static void reset(int fd)
{
	const struct linger none = {1, 0};

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)))
		err(1, "SO_LINGER");
}

static enum way choose(void)
{
	long sum = 0, at;

	for (int i = 0; i < WAYS; i++)
		sum += opt.ways[i];
	at = rnd() % sum;
	for (int i = 0; i < WAYS; i++) {
		at -= opt.ways[i];
		if (at < 0)
			return i;
	}
	return BY_CLIENT;
}

/* The n-th address from `first` on; what is added fits into its last 32 bits. */
static union address host(union address first, uint32_t n)
{
	uint32_t last;

	if (first.sa.sa_family == AF_INET) {
		first.v4.sin_addr.s_addr = htonl(ntohl(first.v4.sin_addr.s_addr) + n);
	} else {
		memcpy(&last, first.v6.sin6_addr.s6_addr + 12, 4);
		last = htonl(ntohl(last) + n);
		memcpy(first.v6.sin6_addr.s6_addr + 12, &last, 4);
	}
	return first;
}

static socklen_t size_of(const union address *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

static void start(void)
{
	int family = count.attempted % opt.families, one = 1;
	union address from = host(opt.from[family], count.attempted / opt.families % opt.hosts);
	union address to = opt.at[family];
	struct peer *p = &peers[free_list - 1];

	free_list = p->next;
	p->way = choose();
	p->is = CONNECTING;
	p->fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		err(1, "socket, %lu open", count.open);
	/* both families take these: the port is chosen when the other end is known, and any local address will do */
	if (setsockopt(p->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) ||
	    setsockopt(p->fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) || bind(p->fd, &from.sa, size_of(&from)))
		err(1, "bind");
	to.v4.sin_port = htons(p->way == REFUSED ? opt.port - 1 : opt.port + (long)rnd() % opt.ports);
	watch(p->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, p - peers);
	count.attempted++;
	if (connect(p->fd, &to.sa, size_of(&to)) && errno != EINPROGRESS)
		err(1, "connect, the %lu-th", count.attempted);
}

static void part(struct peer *p)
{
	char say = ways[p->way].say;

	p->is = ENDING;
	if (say ? write(p->fd, &say, 1) != 1 : shutdown(p->fd, SHUT_WR))
		finish(p, &count.unexpected);
}

static uint64_t ticks(void)
{
	return (now_ms() - began) / (opt.hold / (SLOTS / 2) + 1);
}

static void hold(struct peer *p)
{
	uint32_t slot = (ticks() + 1 + rnd() % (SLOTS / 2)) % SLOTS;

	p->is = HELD;
	if (opt.hold < 0)
		return;
	p->next = wheel[slot];
	wheel[slot] = p - peers + 1;
}

static void turn_wheel(void)
{
	for (uint64_t now = ticks(); wheel_at <= now; wheel_at++) {
		uint32_t *slot = &wheel[wheel_at % SLOTS];
		while (*slot) {
			struct peer *p = &peers[*slot - 1];
			*slot = p->next;
			part(p);
		}
	}
}

static void connected(struct peer *p)
{
	socklen_t size = sizeof(int);
	int bad = 0;

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &bad, &size) || bad) {
		finish(p, bad == ECONNREFUSED && p->way == REFUSED ? &count.refused : &count.unexpected);
		return;
	}
	count.connected++;
	count.open++;
	if (opt.hold)
		hold(p);
	else
		part(p);
}

static void heard(struct peer *p)
{
	ssize_t n;
	char c;

	if (p->is == FREE)
		return;
	if (p->is == CONNECTING) {
		connected(p);
		return;
	}
	n = read(p->fd, &c, 1);
	if (n < 0 && errno == EAGAIN)
		return;
	if (p->is == HELD)
		errx(1, "a held connection was ended by the server");
	if (n > 0 && p->way == RESET_BY_CLIENT)
		reset(p->fd);
	else if (p->way == RESET_BY_SERVER ? n >= 0 || errno != ECONNRESET : n || p->way == RESET_BY_CLIENT)
		n = -2;
	finish(p, n == -2 ? &count.unexpected : ways[p->way].ended);
}

static void start_some(void)
{
	uint64_t due = opt.rate ? paced_from + (now_ms() - paced_since) * opt.rate / 1000 + 1 : UINT64_MAX;

	for (int n = 0; n < BATCH && free_list && !stopped && count.attempted < (uint64_t)opt.count; n++) {
		if (count.attempted >= due)
			return;
		start();
	}
}

static void close_held(void)
{
	memset(wheel, 0, sizeof(wheel));
	for (long i = 0; i < opt.inflight; i++) {
		if (peers[i].is == HELD)
			part(&peers[i]);
	}
}

/* --- server -------------------------------------------------------------------------------------------------------*/

static void accept_some(int listener)
{
	for (int n = 0; n < BATCH; n++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED))
			return;
		if (fd < 0)
			err(1, "accept, %lu open", count.open);
		count.accepted++;
		count.open++;
		watch(fd, EPOLLIN, fd);
	}
}

static void serve(int fd)
{
	uint64_t *how = &count.unexpected;
	char c = 0;
	ssize_t n = read(fd, &c, 1);

	if (n > 0 && c == 'P' && write(fd, &c, 1) == 1)
		return;
	if (n == 0) {
		how = &count.by_client;
	} else if (n < 0 && errno == ECONNRESET) {
		how = &count.reset_by_client;
	} else if (n > 0 && c == 'F') {
		how = &count.by_server;
	} else if (n > 0 && c == 'R') {
		how = &count.reset_by_server;
		reset(fd);
	}
	++*how;
	count.open--;
	close(fd);
}

static int listen_all(void)
{
	int one = 1, last = -1;

	for (int i = 0; i < opt.families * opt.ports; i++) {
		union address at = opt.at[i % opt.families];
		last = socket(at.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		at.v4.sin_port = htons(opt.port + i / opt.families);
		setsockopt(last, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (last < 0 || bind(last, &at.sa, size_of(&at)) || listen(last, 1 << 16))
			err(1, "listen");
		watch(last, EPOLLIN, last);
	}
	return last;
}

/* --- both ---------------------------------------------------------------------------------------------------------*/

static void print(void)
{
	bool done = count.attempted == (uint64_t)opt.count && count.attempted == count.connected + count.refused;

#define PRINT(name) printf("\"%s\": %lu, ", #name, count.name);
	printf("{");
	COUNTS(PRINT)
	printf("\"done\": %s}\n", done && !count.open ? "true" : "false");
	fflush(stdout);
}

static void pause_or_go_on(bool stop)
{
	stopped = stop;
	paced_from = count.attempted;
	paced_since = now_ms();
}

static void obey(void)
{
	char line[64];
	ssize_t n = read(0, line, sizeof(line) - 1);

	if (n < 1)
		over = true;
	for (char *word = strtok((line[n < 0 ? 0 : n] = 0, line), "\n"); word; word = strtok(NULL, "\n")) {
		if (!strcmp(word, "?"))
			print();
		else if (!strcmp(word, "close"))
			close_held();
		else
			pause_or_go_on(!strcmp(word, "stop"));
	}
}

static void run(bool client, int last_listener)
{
	struct epoll_event ev[BATCH];

	while (!over) {
		int n = epoll_wait(epoll, ev, BATCH, client ? 1 : -1);
		for (int i = 0; i < n; i++) {
			if (ev[i].data.u64 == STDIN)
				obey();
			else if (client)
				heard(&peers[ev[i].data.u64]);
			else if (ev[i].data.fd <= last_listener)
				accept_some(ev[i].data.fd);
			else
				serve(ev[i].data.fd);
		}
		if (client) {
			if (opt.hold > 0)
				turn_wheel();
			start_some();
		}
	}
}

static int addresses(char *text, union address *to)
{
	int n = 0;

	for (char *word = strtok(text, ","); word && n < 2; word = strtok(NULL, ","), n++) {
		to[n].sa.sa_family = strchr(word, ':') ? AF_INET6 : AF_INET;
		if (inet_pton(to[n].sa.sa_family, word,
			      to[n].sa.sa_family == AF_INET ? (void *)&to[n].v4.sin_addr : &to[n].v6.sin6_addr) != 1)
			errx(2, "%s: not an address", word);
	}
	return n;
}

static void options(char **words)
{
	const struct {
		const char *name;
		long *to;
	} numbers[] = {{"port", &opt.port}, {"ports", &opt.ports}, {"hosts", &opt.hosts}, {"count", &opt.count},
		       {"rate", &opt.rate}, {"hold", &opt.hold},   {"seed", &opt.seed},   {"inflight", &opt.inflight}};

	for (; *words; words++) {
		char *value = strchr(*words, '=');
		bool known = false;
		if (!value)
			errx(2, "%s: not NAME=VALUE", *words);
		*value++ = 0;
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
			if (!strcmp(*words, numbers[i].name)) {
				*numbers[i].to = strtol(value, NULL, 10);
				known = true;
			}
		}
		if (!strcmp(*words, "at"))
			opt.families = addresses(value, opt.at);
		else if (!strcmp(*words, "from"))
			addresses(value, opt.from);
		else if (!strcmp(*words, "ways"))
			sscanf(value, "%ld,%ld,%ld,%ld,%ld", &opt.ways[0], &opt.ways[1], &opt.ways[2], &opt.ways[3],
			       &opt.ways[4]);
		else if (!known)
			errx(2, "%s: no such option", *words);
	}
	if (!opt.families || opt.hosts < 1 || opt.ports < 1 || opt.ports * opt.families > LISTENERS || opt.inflight < 1)
		errx(2, "at=ADDR is needed, and hosts, ports, inflight from 1 on");
}

int main(int argc, char **argv)
{
	bool client = argc > 1 && !strcmp(argv[1], "call");
	struct rlimit files;
	int last = -1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 3 || (!client && strcmp(argv[1], "serve")))
		errx(2, "serve or call; see the head of tests/load/peers.c");
	options(argv + 2);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	seed = opt.seed | 1;
	began = paced_since = now_ms();
	if (client) {
		peers = calloc(opt.inflight, sizeof(*peers));
		for (long i = opt.inflight; peers && i > 0; i--) {
			peers[i - 1].next = free_list;
			free_list = i;
		}
	} else {
		last = listen_all();
	}
	watch(0, EPOLLIN, STDIN);
	puts("ready");
	fflush(stdout);
	run(client, last);
	return 0;
}
