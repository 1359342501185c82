/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network namespaces, known by their inode. */
#ifndef SYNWAVE_NETNS_H
#define SYNWAVE_NETNS_H

#include "synwave/types.h"

u64 netns_own(void); /* 0 if /proc does not tell */
/* A file descriptor of the namespace, found among /run/netns and the namespaces of running processes; -ENOENT. */
int netns_find(u64 inode);
/* Runs `call` inside of it: what call returns, or -errno when there is no way in. */
int netns_call(u64 inode, int (*call)(void *ctx), void *ctx);
/* Runs `call` in every namespace that can be found, our own among them. */
void netns_each(int (*call)(void *ctx), void *ctx);

#endif
