// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* clients TARGET PORT FIRST COUNT RATE SECONDS [PATIENCE]: honest clients, RATE a second, each from an address of its own
 * (FIRST and the following COUNT - 1, again and again), each with one HTTP request. Who is not answered after PATIENCE
 * seconds gave up; without it, before its SYN would be sent again.
 * They stand for other machines, so they do not queue for a CPU with what is flooded (SCHED_FIFO).
 * Prints one JSON object: how many there were, and how long each connect took that succeeded, in ns. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
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

#define REQUEST "GET / HTTP/1.0\r\n\r\n"

struct client {
	int fd;
	bool connected, done;
	uint64_t began, connect_ns;
};

static struct {
	uint64_t started, served, refused, gave_up;
} count;

static uint64_t patience = 900000000; /* ns */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void finish(struct client *c, uint64_t *how)
{
	++*how;
	close(c->fd);
	c->done = true;
}

static void start(struct client *c, int epoll, uint32_t from, const struct sockaddr_in *to)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
	struct epoll_event ev = {.events = EPOLLOUT, .data.ptr = c};
	int one = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		err(1, "socket");
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(c->fd, (struct sockaddr *)&local, sizeof(local)))
		err(1, "bind %s", inet_ntoa(local.sin_addr));
	count.started++;
	c->began = now_ns();
	if (connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)
		finish(c, &count.refused);
	else if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev))
		err(1, "epoll");
}

/* Its socket has something to say: connected, refused, answered. */
static void go_on(struct client *c, int epoll)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	char answer[1024];
	socklen_t size = sizeof(int);
	ssize_t n;
	int bad = 0;

	if (!c->connected) {
		uint64_t took = now_ns() - c->began;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &bad, &size) || bad ||
		    write(c->fd, REQUEST, strlen(REQUEST)) != (ssize_t)strlen(REQUEST)) {
			finish(c, &count.refused);
			return;
		}
		c->connected = true;
		c->connect_ns = took;
		epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &ev);
		return;
	}
	n = read(c->fd, answer, sizeof(answer) - 1);
	if (n < 0 && errno == EAGAIN)
		return;
	finish(c, n > 12 && !memcmp(answer + 8, " 200", 4) ? &count.served : &count.refused);
}

/* The oldest that still waits, from `at` on; those whose patience is over are ended. */
static uint64_t overdue(struct client *all, uint64_t at, uint64_t upto, uint64_t now)
{
	for (; at < upto && (all[at].done || now - all[at].began > patience); at++) {
		if (!all[at].done)
			finish(&all[at], &count.gave_up);
	}
	return at;
}

static void print(const struct client *all, uint64_t n)
{
	const char *comma = "";

	printf("{\"started\": %lu, \"served\": %lu, \"refused\": %lu, \"gave_up\": %lu, \"connect_ns\": [",
	       count.started, count.served, count.refused, count.gave_up);
	for (uint64_t i = 0; i < n; i++) {
		if (all[i].connected) {
			printf("%s%lu", comma, all[i].connect_ns);
			comma = ", ";
		}
	}
	puts("]}");
}

int main(int argc, char **argv)
{
	const struct sched_param first_in_line = {.sched_priority = 1};
	struct rlimit files;
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct in_addr first;
	uint64_t hosts, rate, most, done = 0, began, now;
	struct epoll_event ev[64];
	struct client *all;
	int epoll;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (argc < 7 || argc > 8 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 ||
	    inet_pton(AF_INET, argv[3], &first) != 1)
		errx(2, "usage: clients TARGET PORT FIRST COUNT RATE SECONDS [PATIENCE]");
	to.sin_port = htons(atoi(argv[2]));
	hosts = strtoull(argv[4], NULL, 10);
	rate = strtoull(argv[5], NULL, 10);
	most = rate * atof(argv[6]);
	if (argc == 8)
		patience = atof(argv[7]) * 1e9;
	all = calloc(most + 1, sizeof(*all));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!all || epoll < 0 || !hosts || !rate || getrlimit(RLIMIT_NOFILE, &files))
		err(1, "clients");
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	sched_setscheduler(0, SCHED_FIFO,
			   &first_in_line); /* without it, what the flood does to this process is measured, too */
	began = now = now_ns();
	while (done < most) {
		uint64_t due = (now - began) * rate / 1000000000ULL + 1;
		while (count.started < most && count.started < due)
			start(&all[count.started], epoll, ntohl(first.s_addr) + count.started % hosts, &to);
		int n = epoll_wait(epoll, ev, 64, 1);
		for (int i = 0; i < n; i++)
			go_on(ev[i].data.ptr, epoll);
		now = now_ns();
		done = overdue(all, done, count.started, now);
	}
	print(all, most);
	return 0;
}
