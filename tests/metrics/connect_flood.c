// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* connect_flood PORT COUNT RING [TEXT]: connects COUNT times to 127.0.0.1:PORT, as fast as it goes, RING connections at a
 * time: the oldest is reset for the next one. Each sends TEXT, if any. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int dial(const struct sockaddr_in *to)
{
	int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct linger reset = {.l_onoff = 1};

	setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	connect(s, (const struct sockaddr *)to, sizeof(*to));
	return s;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *text = argc > 4 ? argv[4] : "";
	unsigned long count, ring;
	int *open;

	if (argc < 4)
		return 2;
	to.sin_port = htons(atoi(argv[1]));
	count = strtoul(argv[2], NULL, 10);
	ring = strtoul(argv[3], NULL, 10);
	open = calloc(ring, sizeof(*open));
	if (!open)
		return 1;
	for (unsigned long i = 0; i < count; i++) {
		int *s = &open[i % ring];

		if (*s)
			close(*s);
		*s = dial(&to);
		if (*s < 0)
			return 1;
		if (*text)
			send(*s, text, strlen(text), MSG_NOSIGNAL);
	}
	free(open);
	return 0;
}
