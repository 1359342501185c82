/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the two halves of peers share: peers.c, the server and the command line; peers_call.c, the clients. */
#ifndef LOAD_PEERS_H
#define LOAD_PEERS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define BATCH 256 /* events, or connections, between two looks at the rest */

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
extern struct peers_count {
	COUNTS(MEMBER)
} count;

enum way { BY_CLIENT, BY_SERVER, RESET_BY_CLIENT, RESET_BY_SERVER, REFUSED, WAYS };

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

extern struct peers_options {
	union address at[2], from[2];
	int families;
	long port, ports, hosts, count, inflight, rate, hold, ways[WAYS], seed;
} opt;

/* peers.c */
void watch(int fd, uint32_t events, uint64_t tag); /* by epoll; the event carries the tag */
void reset(int fd); /* closing it will send a RST */
socklen_t size_of(const union address *a);

/* peers_call.c */
void call_init(void);
void call_heard(uint32_t tag); /* a socket has something to say */
void call_go_on(void); /* whose time has come is closed, who is due begins */
void call_pause(bool stop);
void call_close_held(void);

#endif
