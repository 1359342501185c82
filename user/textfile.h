/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SYNWAVE_TEXTFILE_H
#define SYNWAVE_TEXTFILE_H

#include <stdio.h>

/* Writes a file that readers see as it was or as it is, never half: 0, or -errno with one line in `why`. */
int textfile_write(const char *path, void (*write)(void *ctx, FILE *out), void *ctx, char *why, size_t size);

#endif
