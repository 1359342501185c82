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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "peers.h"

#define LISTENERS 256
#define STDIN     UINT32_MAX

struct peers_count count;
struct peers_options opt = {
	.port = 9001, .ports = 1, .hosts = 1, .count = 1, .inflight = 256, .ways = {1, 0, 0, 0, 0}, .seed = 1};
static bool over;
static int epoll;

void watch(int fd, uint32_t events, uint64_t tag)
{
	struct epoll_event ev = {.events = events, .data.u64 = tag};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev))
		err(1, "epoll");
}

void reset(int fd)
{
	const struct linger none = {1, 0};

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)))
		err(1, "SO_LINGER");
}

socklen_t size_of(const union address *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
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
			call_close_held();
		else
			call_pause(!strcmp(word, "stop"));
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
				call_heard(ev[i].data.u64);
			else if (ev[i].data.fd <= last_listener)
				accept_some(ev[i].data.fd);
			else
				serve(ev[i].data.fd);
		}
		if (client)
			call_go_on();
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
	if (client)
		call_init();
	else
		last = listen_all();
	watch(0, EPOLLIN, STDIN);
	puts("ready");
	fflush(stdout);
	run(client, last);
	return 0;
}
