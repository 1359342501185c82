// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http_clients.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PLACES   (HTTP_WAITING + HTTP_CLIENTS + HTTP_SPARE)
#define RESERVED 128 /* files that are none of ours: maps during a scrape, libmicrohttpd's, standard ones */
#define BATCH    64 /* connections accepted before requests are served again */
#define EVENTS   64
#define NS       1000000000ULL

enum state {
	FREE,
	WAITING, /* has sent nothing, is not libmicrohttpd's */
	ASKING, /* has sent something, and no whole request */
	ANSWERING,
	IDLE, /* has got its answer, may ask again */
	GONE, /* shut down; libmicrohttpd finds the stream ended and closes it */
	STATES
};

struct client {
	struct clients *all;
	int fd;
	enum state state;
	uint64_t since; /* ns: WAITING and ASKING since accept(), others since they are in that state */
};

struct clients {
	int listening, epoll;
	bool paused; /* accepts nobody for want of files, until the next second */
	struct MHD_Daemon *daemon;
	struct client *entering; /* becomes libmicrohttpd's just now */
	uint64_t looked; /* ns: at the clock */
	unsigned int waiting_max, count[STATES];
	struct client client[PLACES];
};

enum { OF_LISTENING = PLACES, OF_DAEMON }; /* what an event is about, if not a client */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS + t.tv_nsec;
}

static void become(struct client *c, enum state state)
{
	c->all->count[c->state]--;
	c->all->count[state]++;
	c->state = state;
}

static struct client *oldest(struct clients *s, enum state state)
{
	struct client *found = NULL;

	for (struct client *c = s->client; c < s->client + PLACES; c++)
		if (c->state == state && (!found || c->since < found->since))
			found = c;
	return found;
}

static void let_go(struct client *c)
{
	if (c->state == WAITING) {
		close(c->fd);
		become(c, FREE);
	} else {
		shutdown(c->fd, SHUT_RDWR);
		become(c, GONE);
	}
}

/* Who has asked for nothing goes first, then who has its answer. A client that is being answered stays, unless all are
 * and it has let its answer lie for half a second: 96 that never read would keep everybody out. */
static bool make_room(struct clients *s)
{
	static const struct {
		enum state state;
		uint64_t after;
	} order[] = {{ASKING, 0}, {IDLE, 0}, {ANSWERING, NS / 2}};

	if (s->count[ASKING] + s->count[IDLE] + s->count[ANSWERING] < HTTP_CLIENTS)
		return true;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct client *c = s->count[order[i].state] ? oldest(s, order[i].state) : NULL;

		if (c && now() - c->since >= order[i].after) {
			let_go(c);
			return true;
		}
	}
	return false;
}

/* It and those that had to go are dealt with at once: what it has sent so far is read before it may be let go. */
static void hand_over(struct clients *s, struct client *c)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	if (getpeername(c->fd, (struct sockaddr *)&from, &len)) {
		let_go(c);
		return;
	}
	if (!make_room(s))
		return;
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	become(c, ASKING);
	s->entering = c;
	/* on failure it has closed the socket */
	if (MHD_add_connection(s->daemon, c->fd, (struct sockaddr *)&from, len) != MHD_YES && c->state != FREE)
		become(c, FREE);
	s->entering = NULL;
	MHD_run(s->daemon);
}

/* 1: it has sent something, 0: nothing yet, -1: it is at its end */
static int has_sent(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK);

	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

/* Without room for it, one that has sent something waits on. */
static void look(struct clients *s, struct client *c)
{
	int sent = has_sent(c->fd);

	if (sent > 0)
		hand_over(s, c);
	else if (sent < 0)
		let_go(c);
}

/* A place for another to wait, if need be that of the one that has waited longest in vain. */
static struct client *place(struct clients *s)
{
	struct client *c;

	if (s->count[WAITING] >= s->waiting_max) {
		c = oldest(s, WAITING);
		look(s, c);
		if (c->state == WAITING)
			let_go(c);
	}
	return oldest(s, FREE);
}

static void enter(struct clients *s, int fd)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
	int sent = has_sent(fd);
	struct client *c = sent < 0 ? NULL : place(s); /* in a flood most have ended before they are accepted */

	if (!c) {
		close(fd);
		return;
	}
	c->fd = fd;
	c->since = now();
	become(c, WAITING);
	e.data.u32 = c - s->client;
	if (sent)
		hand_over(s, c);
	if (c->state == WAITING && epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e))
		let_go(c);
}

static void accept_from_now_on(struct clients *s, bool yes)
{
	struct epoll_event e = {.events = yes ? EPOLLIN : 0, .data.u32 = OF_LISTENING};

	epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listening, &e);
	s->paused = !yes;
}

static void accept_some(struct clients *s)
{
	for (int i = 0; i < BATCH; i++) {
		int fd = accept4(s->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			enter(s, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_from_now_on(s, false); /* it would be tried again and again */
			return;
		}
	}
}

/* Has nothing more to say. libmicrohttpd looks at one edge of epoll's, and does not see an end that came with the last
 * bytes. */
static bool at_its_end(const struct client *c)
{
	struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};

	return (c->state == ASKING || c->state == IDLE) && poll(&p, 1, 0) == 1;
}

/* Once a second. One that has sent something and found no room is tried again. */
static void look_at_the_clock(struct clients *s)
{
	static const unsigned int patience[STATES] = {
		[WAITING] = HTTP_HASTE, [ASKING] = HTTP_HASTE, [ANSWERING] = HTTP_PATIENCE, [IDLE] = HTTP_PATIENCE};
	uint64_t t = now();

	if (t - s->looked < NS)
		return;
	s->looked = t;
	if (s->paused)
		accept_from_now_on(s, true);
	for (struct client *c = s->client; c < s->client + PLACES; c++) {
		if (c->state == WAITING)
			look(s, c);
		if (!patience[c->state] || t < c->since + NS)
			continue;
		if (t - c->since > patience[c->state] * NS || at_its_end(c))
			let_go(c);
	}
}

static int timeout_ms(struct clients *s)
{
	MHD_UNSIGNED_LONG_LONG ms = 1000;

	return MHD_get_timeout(s->daemon, &ms) == MHD_YES && ms < 1000 ? ms : 1000;
}

void clients_turn(struct clients *s, const sigset_t *while_waiting)
{
	struct epoll_event e[EVENTS];
	int n = epoll_pwait(s->epoll, e, EVENTS, timeout_ms(s), while_waiting);
	bool more = false;

	for (int i = 0; i < n; i++) {
		uint32_t of = e[i].data.u32;

		if (of == OF_LISTENING)
			more = true;
		else if (of < PLACES && s->client[of].state == WAITING)
			look(s, &s->client[of]);
	}
	if (more)
		accept_some(s);
	MHD_run(s->daemon);
	look_at_the_clock(s);
}

/* A request's connection is in another state, unless it has been shut down. */
static void reached(struct MHD_Connection *connection, enum state state)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *c = info ? info->socket_context : NULL;

	if (!c || c->state == GONE)
		return;
	c->since = now();
	become(c, state);
}

void clients_asked(struct MHD_Connection *c)
{
	reached(c, ANSWERING);
}

void clients_answered(struct MHD_Connection *c)
{
	reached(c, IDLE);
}

void clients_notify(void *clients, struct MHD_Connection *connection, void **context,
		    enum MHD_ConnectionNotificationCode what)
{
	struct clients *s = clients;
	struct client *c = *context;

	(void)connection;
	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		*context = s->entering;
	else if (c)
		become(c, FREE);
}

bool clients_serve(struct clients *s, struct MHD_Daemon *d)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = OF_DAEMON};

	s->daemon = d;
	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, MHD_get_daemon_info(d, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd, &e))
		return false;
	e.data.u32 = OF_LISTENING;
	return !epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listening, &e);
}

/* How many may wait: what RLIMIT_NOFILE leaves. */
static unsigned int waiting_max(void)
{
	struct rlimit files = {.rlim_cur = 1024};
	rlim_t others = HTTP_CLIENTS + HTTP_SPARE + RESERVED;

	getrlimit(RLIMIT_NOFILE, &files);
	if (files.rlim_cur >= others + HTTP_WAITING)
		return HTTP_WAITING;
	return files.rlim_cur > others ? files.rlim_cur - others : 1;
}

struct clients *clients_new(int listening)
{
	struct clients *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->listening = listening;
	s->waiting_max = waiting_max();
	s->count[FREE] = PLACES;
	for (size_t i = 0; i < PLACES; i++)
		s->client[i].all = s;
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0) {
		free(s);
		return NULL;
	}
	return s;
}

void clients_free(struct clients *s)
{
	for (struct client *c = s->client; c < s->client + PLACES; c++)
		if (c->state == WAITING)
			close(c->fd);
	close(s->epoll);
	free(s);
}
