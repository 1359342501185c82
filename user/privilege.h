/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SYNWAVE_PRIVILEGE_H
#define SYNWAVE_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether this kernel and this process can do it; if not, one line in `why`. */
bool privilege_check(char *why, size_t size);

/* For good: gives up all capabilities but CAP_BPF. 0, or -errno with one line in `why`. */
int privilege_drop(char *why, size_t size);

#endif
