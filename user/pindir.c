// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The pin directory and the lock on it. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "instance.h"
#include "mounts.h"
#include "netns.h"

#define BPFFS     "/sys/fs/bpf"
#define LOCK_WAIT 60 /* seconds: an attach verifies for one or two an interface */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (u32)fs.f_type == BPF_FS_MAGIC;
}

/* Only where it lasts: in the mount namespace of `ip netns exec` it would end with the command, and the instance with it. */
static int mount_bpffs(struct instance *in)
{
	int lasts = mounts_would_last(BPFFS);

	if (!lasts)
		return store_fail(&in->s, -ENOTSUP,
				  "no BPF file system at " BPFFS ", and one mounted in this mount namespace would end "
				  "with it (ip netns exec?): use " MOUNTS_NSENTER);
	if (lasts < 0)
		return store_fail(&in->s, -ENOTSUP,
				  "no BPF file system at " BPFFS ", and whether one mounted here outlives this command "
				  "cannot be told (/proc/1/mountinfo: %s): use nsenter --net=... instead of ip netns "
				  "exec; else run `mount -t bpf bpf " BPFFS "` as root",
				  strerror(-lasts));
	if (mount("bpf", BPFFS, "bpf", 0, "mode=0700"))
		return store_fail(&in->s, -errno,
				  "cannot mount a BPF file system on " BPFFS ": %s; run `mount -t bpf bpf " BPFFS
				  "` as root",
				  strerror(errno));
	return 0;
}

static int check_parent(struct instance *in, const char *parent, bool create)
{
	struct stat st;

	if (stat(parent, &st)) {
		int err = errno;

		return store_fail(&in->s, -err, "--pin %s: %s: %s%s", in->s.dir, parent, strerror(err),
				  err == ENOENT ? mounts_hint(parent) : "");
	}
	if (is_bpffs(parent))
		return 0;
	if (!create)
		return store_fail(&in->s, -ENOENT, "nothing is attached at %s: %s is no BPF file system%s", in->s.dir,
				  parent, mounts_hint(parent));
	if (!strcmp(parent, BPFFS))
		return mount_bpffs(in);
	if (is_bpffs(in->s.dir))
		return store_fail(&in->s, -EINVAL,
				  "--pin %s: this is the root of a BPF file system; name a directory in it", in->s.dir);
	return store_fail(&in->s, -EINVAL,
			  "--pin %s: %s is not in a BPF file system; take a directory under " BPFFS
			  ", or run `mount -t bpf bpf %s`",
			  in->s.dir, parent, parent);
}

/* Whether what we hold is still what the name means: the last detach removes the directory. */
static bool still_there(const struct instance *in)
{
	struct stat held, named;

	return !fstat(in->lock, &held) && !stat(in->s.dir, &named) && held.st_ino == named.st_ino &&
	       held.st_dev == named.st_dev;
}

static int lock_dir(struct instance *in, bool create)
{
	struct timespec tick = {.tv_nsec = 50000000};

	for (int i = 0; i < LOCK_WAIT * 20; i++) {
		if (create && mkdir(in->s.dir, 0700) && errno != EEXIST)
			return store_fail(&in->s, -errno, "cannot make %s: %s%s", in->s.dir, strerror(errno),
					  errno == EPERM ? " (a BPF file system takes no dots in names)" : "");
		in->lock = open(in->s.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (in->lock < 0 && errno != ENOENT)
			return store_fail(&in->s, -errno, "cannot open %s: %s", in->s.dir, strerror(errno));
		if (in->lock < 0 && !create)
			return store_fail(&in->s, -ENOENT, "nothing is attached at %s%s", in->s.dir,
					  mounts_hint(in->s.dir));
		if (in->lock >= 0 && !flock(in->lock, LOCK_EX | LOCK_NB) && still_there(in))
			return 0;
		if (in->lock >= 0)
			close(in->lock);
		in->lock = -1;
		nanosleep(&tick, NULL);
	}
	return store_fail(&in->s, -EBUSY, "another synwave has been changing %s for %d s; see `fuser -v %s`", in->s.dir,
			  LOCK_WAIT, in->s.dir);
}

int instance_lock(struct instance *in, const char *dir, bool create)
{
	char copy[sizeof(in->s.dir)], cwd[128], *parent;
	size_t len;
	int err;

	memset(in, 0, sizeof(*in));
	in->lock = -1;
#define NONE_(field, name) in->s.fd.field = -1;
	STORE_MAPS(NONE_)
#undef NONE_
	in->netns = netns_own();
	if (dir[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return store_fail(&in->s, -errno, "--pin %.80s: %s", dir, strerror(errno));
	len = dir[0] == '/' ? snprintf(in->s.dir, sizeof(in->s.dir), "%s", dir)
			    : snprintf(in->s.dir, sizeof(in->s.dir), "%s/%s", cwd, dir);
	if (len >= sizeof(in->s.dir))
		return store_fail(&in->s, -ENAMETOOLONG, "--pin %.40s...: name too long", dir);
	while (len > 1 && in->s.dir[len - 1] == '/')
		in->s.dir[--len] = 0;
	snprintf(copy, sizeof(copy), "%s", in->s.dir);
	parent = dirname(copy);
	err = check_parent(in, parent, create);
	return err ? err : lock_dir(in, create);
}
