/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A small HTTP server for GET and HEAD, in one thread: requests are answered one after the other. Clients that are slow,
 * silent or many: http_clients.h. */
#ifndef SYNWAVE_HTTP_H
#define SYNWAVE_HTTP_H

#include <stdbool.h>
#include <stdio.h>

struct http_request {
	const char *path;
	const char *accept; /* "" without the header */
};

struct http_reply {
	unsigned int status;
	const char *type;
	FILE *body;
	bool gzipped; /* the body is; who cannot read that gets it unpacked */
	char tag[16]; /* ETag of what may be kept and asked for again; "": is not to be kept */
};

typedef void http_answer(void *ctx, const struct http_request *q, struct http_reply *r);

/* A listening socket at ADDR:PORT, [ADDR]:PORT or :PORT (port 0: any), and in `url` where it is. Or -errno,
 * -EINVAL if `where` is no such thing, with one line in `why`. */
int http_listen(const char *where, char *url, size_t url_size, char *why, size_t why_size);

/* Serves until SIGTERM or SIGINT; closes `fd`. hosts: http_host_known(). 0 or -1. */
int http_serve(int fd, const char *const *hosts, http_answer *answer, void *ctx);

/* What a header of weighted words ("gzip;q=0.5, br") says of one word, in thousandths; -1: not in it. */
int http_quality(const char *header, const char *word);

#endif
