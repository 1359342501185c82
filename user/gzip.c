// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "gzip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define GZIP (15 + 16) /* the largest window, gzip's header */

static bool run(z_stream *z, int (*step)(z_stream *z, int flush), char **body, size_t *size, size_t room)
{
	char *out = malloc(room);
	bool done = false;

	if (out) {
		z->next_in = (Bytef *)*body;
		z->avail_in = *size;
		z->next_out = (Bytef *)out;
		z->avail_out = room;
		done = step(z, Z_FINISH) == Z_STREAM_END;
	}
	if (done) {
		free(*body);
		*body = out;
		*size = z->total_out;
	} else {
		free(out);
	}
	return done;
}

bool gzip_pack(char **body, size_t *size)
{
	z_stream z = {};
	bool done;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	done = run(&z, deflate, body, size, deflateBound(&z, *size));
	deflateEnd(&z);
	return done;
}

bool gzip_unpack(char **body, size_t *size)
{
	z_stream z = {};
	unsigned int room; /* the last 4 bytes: how long it is unpacked, little-endian as we are */
	bool done;

	if (*size < sizeof(room) || inflateInit2(&z, GZIP) != Z_OK)
		return false;
	memcpy(&room, *body + *size - sizeof(room), sizeof(room));
	done = run(&z, inflate, body, size, room);
	inflateEnd(&z);
	return done;
}
