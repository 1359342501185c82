/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How long a mount lasts. `ip netns exec` and the like give a command a mount namespace of its own: what only that one holds
 * ends with it, and pins with their file system. Process 1 (of this pid namespace: in a container, the container's)
 * outlives every command: what it sees, too, lasts. */
#ifndef SYNWAVE_MOUNTS_H
#define SYNWAVE_MOUNTS_H

/* 1: yes, 0: no, or -errno: it cannot be told. */
int mounts_would_last(const char *path); /* what is mounted on `path` by us */
int mounts_last(const char *path); /* the file system that `path` is in */

/* How to come by the mounts of process 1. */
#define MOUNTS_NSENTER "`nsenter --net=/run/netns/NAME synwave ...`, which keeps the machine's mounts"

/* For a line that says that nothing is attached at `dir`: empty, or the reason that may have. */
const char *mounts_hint(const char *dir);

#endif
