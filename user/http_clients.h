/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The connections of the HTTP server, and which of them is closed when there is no room for another. One that has sent
 * nothing costs a socket and waits here; with its first byte it becomes libmicrohttpd's. */
#ifndef SYNWAVE_HTTP_CLIENTS_H
#define SYNWAVE_HTTP_CLIENTS_H

#include <microhttpd.h>
#include <signal.h>
#include <stdbool.h>

#define HTTP_WAITING  512 /* connections that have sent nothing yet; fewer where RLIMIT_NOFILE is low */
#define HTTP_CLIENTS  96 /* connections that have sent something */
#define HTTP_SPARE    16 /* of libmicrohttpd's: those that have been shut down may still be there */
#define HTTP_HASTE    10 /* seconds from accept() until the whole request is there */
#define HTTP_PATIENCE 30 /* seconds that a client may take for an answer, and from there to its next request */

struct clients;

/* NULL: no memory or no files. */
struct clients *clients_new(int listening);
void clients_free(struct clients *s);

/* A daemon without a listening socket, with clients_notify as its MHD_OPTION_NOTIFY_CONNECTION. */
bool clients_serve(struct clients *s, struct MHD_Daemon *d);
void clients_notify(void *clients, struct MHD_Connection *c, void **context, enum MHD_ConnectionNotificationCode what);

/* Waits for work up to a second, with these signals blocked, and does it. */
void clients_turn(struct clients *s, const sigset_t *while_waiting);

/* A request is there as a whole; its answer has been sent as a whole. */
void clients_asked(struct MHD_Connection *c);
void clients_answered(struct MHD_Connection *c);

#endif
