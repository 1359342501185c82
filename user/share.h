/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who may read an instance beside its owner: the members of one group. Nobody else may write to it. */
#ifndef SYNWAVE_SHARE_H
#define SYNWAVE_SHARE_H

#include <sys/types.h>

#include "instance.h"

#define SHARE_GROUP "synwave" /* what a new instance is shared with when there is such a group */

/* Under the lock, opened: lets members of the group open the maps for reading; with 0, root's, nobody but the owner.
 * A BPF file system's root that is closed to all but root, as systemd mounts it, lets the group pass from then on.
 * note: what a person should know, or empty. */
int share_with(struct instance *in, gid_t gid, char *note, size_t size);

/* Under the lock, before the directory goes or changes hands: closes the way that share_with opened, unless the group
 * can read another instance beside it. */
void share_end(const struct instance *in);

#endif
