/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Streams that keep the reason why a write failed. stdio keeps that it failed: what errno says when somebody asks is of
 * whatever call came last. */
#ifndef SYNWAVE_OUTPUT_H
#define SYNWAVE_OUTPUT_H

#include <stdio.h>

struct output {
	int fd; /* stays the caller's */
	int err; /* of the first write that failed since the last output_flush, or 0 */
};

/* NULL: no memory. Closing it does not close `fd`. */
FILE *output_open(struct output *o, int fd);

/* Everything written so far has been taken by `fd`; or -errno of the first write that was not. What is left is then thrown
 * away. */
int output_flush(struct output *o, FILE *stream);

/* Makes stdout such a stream, and SIGPIPE an error like any other. */
int output_begin(void);
int output_flush_stdout(void); /* -EPIPE: nobody reads any more */

#endif
