// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gzip.h"
#include "http_clients.h"
#include "http_host.h"

#define BACKLOG    65535 /* connections not yet accepted; net.core.somaxconn says how many of them */
#define MEMORY     16384 /* bytes a connection: headers must fit */
#define WORTH_GZIP 512

struct server {
	const char *const *hosts;
	http_answer *answer;
	void *ctx;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

/* --- where to listen --- */

/* Splits "addr:port" or "[addr]:port". */
static bool split(const char *where, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(where, ':'), *from = where, *to = colon;

	if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) || atol(colon + 1) > 65535)
		return false;
	if (*from == '[') {
		from++;
		to--;
		if (to < from || *to != ']')
			return false;
	} else if (memchr(from, ':', to - from)) {
		return false; /* IPv6 without brackets: which part is the port? */
	}
	if ((size_t)(to - from) >= size || (to == from && colon != where))
		return false;
	memcpy(host, from, to - from);
	host[to - from] = 0;
	*port = colon + 1;
	return true;
}

static int open_socket(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (!bind(fd, a->ai_addr, a->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	err = errno;
	close(fd);
	return -err;
}

/* A socket that listens there, or -errno; -EINVAL: that is no numeric address and port. */
static int open_at(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE}, *a;
	int fd;

	if (getaddrinfo(host, port, &hints, &a))
		return -EINVAL;
	fd = open_socket(a);
	freeaddrinfo(a);
	return fd == -EINVAL ? -EIO : fd;
}

int http_listen(const char *where, char *url, size_t url_size, char *why, size_t why_size)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	char host[128], name[128], number[8];
	const char *port;
	int fd;

	if (!split(where, host, sizeof(host), &port)) {
		fd = -EINVAL;
	} else if (*host) {
		fd = open_at(host, port);
	} else {
		fd = open_at("::", port);
		if (fd == -EAFNOSUPPORT) /* ipv6.disable=1 */
			fd = open_at("0.0.0.0", port);
	}
	if (fd == -EINVAL) {
		snprintf(why, why_size, "--listen %.100s: not ADDR:PORT or [ADDR]:PORT with a numeric address", where);
		return fd;
	}
	if (fd < 0) {
		snprintf(why, why_size, "cannot listen on %.100s: %s%s", where, strerror(-fd),
			 fd == -EADDRINUSE ? "; see `ss -ltnp`" : "");
		return fd;
	}
	if (getsockname(fd, (struct sockaddr *)&at, &len) ||
	    getnameinfo((struct sockaddr *)&at, len, name, sizeof(name), number, sizeof(number),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(url, url_size, "%s", where);
	else
		snprintf(url, url_size, strchr(name, ':') ? "http://[%s]:%s/" : "http://%s:%s/", name, number);
	return fd;
}

/* --- answers --- */

int http_quality(const char *header, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = header; *p; p += strcspn(p, ","), p += *p == ',') {
		p += strspn(p, " \t");
		if (strncasecmp(p, word, len) || !strchr(",; \t", p[len]))
			continue;
		size_t item = strcspn(p, ",");
		const char *q = memmem(p, item, "q=", 2);

		if (!q || (q[-1] != ';' && q[-1] != ' '))
			return 1000;
		double value = strtod(q + 2, NULL);

		return value >= 0 && value <= 1 ? (int)(value * 1000) : 0;
	}
	return -1;
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name) ?: "";
}

/* As the client can read it: what is worth it gzipped, if it may be. */
static bool encode(struct MHD_Connection *c, const struct http_reply *r, char **body, size_t *size)
{
	bool may = http_quality(header(c, "Accept-Encoding"), "gzip") > 0;

	if (r->gzipped)
		return may || !gzip_unpack(body, size);
	return may && *size >= WORTH_GZIP && gzip_pack(body, size);
}

static enum MHD_Result reply(struct MHD_Connection *c, struct http_reply *r, char *body, size_t size)
{
	static const char *const always[][2] = {
		{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
					    "connect-src 'self'; base-uri 'none'; form-action 'none'; "
					    "frame-ancestors 'none'"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Referrer-Policy", "no-referrer"},
		{"Vary", "Accept, Accept-Encoding"},
		{"X-Content-Type-Options", "nosniff"},
	};
	bool zipped = encode(c, r, &body, &size);
	struct MHD_Response *m;
	enum MHD_Result ret;

	if (*r->tag && strstr(header(c, "If-None-Match"), r->tag)) {
		r->status = MHD_HTTP_NOT_MODIFIED;
		size = 0;
	}
	m = MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
	if (!m) {
		free(body);
		return MHD_NO;
	}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		MHD_add_response_header(m, always[i][0], always[i][1]);
	MHD_add_response_header(m, "Cache-Control", *r->tag ? "no-cache" : "no-store");
	MHD_add_response_header(m, "Content-Type", r->type);
	if (*r->tag)
		MHD_add_response_header(m, "ETag", r->tag);
	if (zipped)
		MHD_add_response_header(m, "Content-Encoding", "gzip");
	if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
		MHD_add_response_header(m, "Allow", "GET, HEAD");
		MHD_add_response_header(m, "Connection", "close");
	}
	ret = MHD_queue_response(c, r->status, m);
	MHD_destroy_response(m);
	return ret;
}

struct host {
	const char *value;
	unsigned int times;
};

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct host *h = ctx;

	(void)kind;
	if (!strcasecmp(name, "Host")) {
		h->value = value ?: "";
		h->times++;
	}
	return MHD_YES;
}

/* HTTP/1.0 may do without a Host; no browser speaks it. */
static bool refuse_host(const struct server *s, struct MHD_Connection *c, const char *version, struct http_reply *r)
{
	struct host h = {0};
	char name[HTTP_HOST_SIZE] = "";
	bool bracketed;

	MHD_get_connection_values(c, MHD_HEADER_KIND, on_header, &h);
	if (h.times > 1 || (!h.times && strcmp(version, "HTTP/1.0"))) {
		r->status = MHD_HTTP_BAD_REQUEST;
		fputs("a request has one Host header\n", r->body);
		return true;
	}
	if (!h.times || http_host_known(h.value, s->hosts))
		return false;
	r->status = MHD_HTTP_MISDIRECTED_REQUEST;
	if (!http_host_split(h.value, name, &bracketed) || !http_host_is_name(name))
		strcpy(name, "NAME");
	fprintf(r->body,
		"this Host is not answered, only IP addresses, localhost and names that the exporter was given: "
		"synwave export --listen --host %s\n",
		name);
	return true;
}

/* Called first when the headers are there, then for each piece of a body, then once more. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url, const char *method,
				  const char *version, const char *data, size_t *data_size, void **request)
{
	struct http_reply r = {.status = MHD_HTTP_OK, .type = "text/plain; charset=utf-8"};
	struct http_request q = {.path = url, .accept = header(c, "Accept")};
	bool known = !strcmp(method, "GET") || !strcmp(method, "HEAD");
	struct server *s = ctx;
	char *body = NULL;
	size_t size = 0;

	(void)data;
	if (!*request && known) {
		*request = s;
		return MHD_YES;
	}
	if (*data_size && known) { /* nobody asked for it */
		*data_size = 0;
		return MHD_YES;
	}
	clients_asked(c);
	r.body = open_memstream(&body, &size);
	if (!r.body)
		return MHD_NO;
	if (refuse_host(s, c, version, &r)) {
		;
	} else if (known) {
		s->answer(s->ctx, &q, &r);
	} else {
		r.status = MHD_HTTP_METHOD_NOT_ALLOWED;
		fputs("GET or HEAD\n", r.body);
	}
	if (fclose(r.body)) { /* no memory */
		free(body);
		return MHD_NO;
	}
	return reply(c, &r, body, size);
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **request, enum MHD_RequestTerminationCode how)
{
	(void)ctx, (void)request, (void)how;
	clients_answered(c);
}

static void serve_until_stopped(struct clients *clients)
{
	struct sigaction act = {.sa_handler = on_signal};
	sigset_t both, before;

	/* blocked but while waiting: a signal cannot slip in between the question and the sleep */
	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &before);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	while (!stop)
		clients_turn(clients, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

int http_serve(int fd, const char *const *hosts, http_answer *answer, void *ctx)
{
	struct server s = {.hosts = hosts, .answer = answer, .ctx = ctx};
	struct clients *clients = clients_new(fd);
	struct MHD_Daemon *d = NULL;
	int err = -1;

	signal(SIGPIPE, SIG_IGN);
	if (clients)
		d = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, &s,
				     MHD_OPTION_CONNECTION_LIMIT, HTTP_CLIENTS + HTTP_SPARE,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
				     clients_notify, clients, MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
				     MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (d && clients_serve(clients, d)) {
		serve_until_stopped(clients);
		err = 0;
	}
	if (d)
		MHD_stop_daemon(d);
	if (clients)
		clients_free(clients);
	close(fd);
	return err;
}
