// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The clients of peers. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "peers.h"

#define SLOTS 4096 /* of the wheel of those that are held for a time */

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
static bool stopped;

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

static void finish(struct peer *p, uint64_t *how)
{
	++*how;
	count.open -= p->is != CONNECTING;
	close(p->fd);
	p->is = FREE;
	p->next = free_list;
	free_list = p - peers + 1;
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

void call_heard(uint32_t tag)
{
	struct peer *p = &peers[tag];
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

void call_close_held(void)
{
	memset(wheel, 0, sizeof(wheel));
	for (long i = 0; i < opt.inflight; i++) {
		if (peers[i].is == HELD)
			part(&peers[i]);
	}
}

void call_pause(bool stop)
{
	stopped = stop;
	paced_from = count.attempted;
	paced_since = now_ms();
}

void call_go_on(void)
{
	if (opt.hold > 0)
		turn_wheel();
	start_some();
}

void call_init(void)
{
	peers = calloc(opt.inflight, sizeof(*peers));
	if (!peers)
		err(1, "%ld connections", opt.inflight);
	for (long i = opt.inflight; i > 0; i--) {
		peers[i - 1].next = free_list;
		free_list = i;
	}
	seed = opt.seed | 1;
	began = paced_since = now_ms();
}
