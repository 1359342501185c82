// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "output.h"

#include <errno.h>
#include <signal.h>
#include <stdio_ext.h>
#include <unistd.h>

/* After a failure nothing more is tried: what a reader gets ends where it broke off. */
static ssize_t put(void *cookie, const char *text, size_t size)
{
	struct output *o = cookie;
	size_t done = 0;

	while (done < size && !o->err) {
		ssize_t n = write(o->fd, text + done, size - done);

		if (n < 0)
			o->err = errno;
		else
			done += n;
	}
	return done == size ? (ssize_t)size : 0; /* 0 is an error to stdio */
}

FILE *output_open(struct output *o, int fd)
{
	*o = (struct output){.fd = fd};
	return fopencookie(o, "w", (cookie_io_functions_t){.write = put});
}

int output_flush(struct output *o, FILE *stream)
{
	int failed = fflush(stream) || ferror(stream), err = o->err ? -o->err : failed ? -EIO : 0;

	if (!err)
		return 0;
	__fpurge(stream); /* the caller knows now; exit() is not to fail over the rest again */
	clearerr(stream);
	o->err = 0;
	return err;
}

static struct output out;

int output_begin(void)
{
	FILE *stream = output_open(&out, STDOUT_FILENO);

	if (!stream)
		return -ENOMEM;
	stdout = stream;
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

int output_flush_stdout(void)
{
	return output_flush(&out, stdout);
}
