/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files of the page: user/page/ and Debian's dygraphs, gzipped by the Makefile, embedded here. */
#ifndef SYNWAVE_ASSETS_H
#define SYNWAVE_ASSETS_H

#include <stddef.h>

struct asset {
	const char *path, *type; /* as asked for: "/page.js"; Content-Type */
	const unsigned char *begin, *end; /* gzip */
};

const struct asset *asset_find(const char *path); /* NULL: there is none */
unsigned int asset_crc(const struct asset *a); /* CRC-32 of what is packed */

#endif
