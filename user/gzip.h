/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SYNWAVE_GZIP_H
#define SYNWAVE_GZIP_H

#include <stdbool.h>
#include <stddef.h>

/* Both replace a body from malloc, or leave it where that is not possible. */
bool gzip_pack(char **body, size_t *size);
bool gzip_unpack(char **body, size_t *size);

#endif
