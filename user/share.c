// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int give(struct instance *in, const char *path, gid_t gid, mode_t mode)
{
	if (chown(path, -1, gid) || chmod(path, gid ? mode : mode & ~S_IRWXG))
		return store_fail(&in->s, -errno, "cannot give group %u the right to read %s: %s", gid, path,
				  strerror(errno));
	return 0;
}

/* The way is changed by one at a time. Where others may read it they could hold the lock for ever, and have arranged it:
 * there is nothing to wait for. */
static int lock_parent(const char *parent, struct stat *st)
{
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && !fstat(fd, st) && (st->st_mode & (S_IRGRP | S_IROTH) || (!flock(fd, LOCK_EX) && !fstat(fd, st))))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Only where no group has a right: what another has arranged stays. */
static void open_way(const char *parent, gid_t gid, char *note, size_t size)
{
	struct stat st = {};
	int fd = lock_parent(parent, &st);
	mode_t mode = st.st_mode & ALLPERMS;

	if (fd < 0 || mode & S_IXOTH || (st.st_gid == gid && mode & S_IXGRP))
		goto out;
	if (!(mode & S_IRWXG) && !fchown(fd, -1, gid) && !fchmod(fd, mode | S_IXGRP))
		snprintf(note, size, "%s had mode %04o: group %u may pass it now", parent, mode, gid);
	else
		snprintf(note, size, "group %u cannot read: %s has mode %04o; run `chmod o+x %s`", gid, parent, mode,
			 parent);
out:
	if (fd >= 0)
		close(fd);
}

/* Whether something in the directory, but for `own`, belongs to the group. */
static bool has_any(int fd, gid_t gid, const char *own)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *e;
	struct stat st;
	bool any = !d; /* who cannot look changes nothing */

	while (d && !any && (e = readdir(d)))
		any = strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, own) &&
		      !fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) && st.st_gid == gid;
	if (d)
		closedir(d);
	else if (copy >= 0)
		close(copy);
	return any;
}

/* The right goes before the group, as it comes after it in open_way: killed in between, a group without a right is left,
 * and the next who ends it takes that away, too. */
void share_end(const struct instance *in)
{
	char dir[sizeof(in->s.dir)], base[sizeof(in->s.dir)];
	struct stat own = {}, st;
	int fd;

	memcpy(dir, in->s.dir, sizeof(dir));
	memcpy(base, in->s.dir, sizeof(base));
	fd = !fstat(in->lock, &own) && own.st_gid ? lock_parent(dirname(dir), &st) : -1;
	if (fd < 0)
		return;
	if (st.st_gid == own.st_gid && !(st.st_mode & (S_IRGRP | S_IWGRP | S_IRWXO)) &&
	    !has_any(fd, own.st_gid, basename(base)) && !fchmod(fd, st.st_mode & ALLPERMS & ~S_IXGRP))
		(void)!fchown(fd, -1, 0);
	close(fd);
}

int share_with(struct instance *in, gid_t gid, char *note, size_t size)
{
	char path[sizeof(in->s.dir) + 32], copy[sizeof(in->s.dir)], *parent;
	struct stat before = {};
	int err = 0;

	*note = 0;
	fstat(in->lock, &before);
#define GIVE_(field, name) \
	snprintf(path, sizeof(path), "%s/%s", in->s.dir, name); \
	if (!err) \
		err = give(in, path, gid, 0640);
	STORE_MAPS(GIVE_)
#undef GIVE_
	if (!err && before.st_gid != gid)
		share_end(in); /* while the directory still says whose way it was */
	if (!err) /* to pass, not to read: who can open a directory can hold the lock on it */
		err = give(in, in->s.dir, gid, 0710);
	if (err)
		return err;
	memcpy(copy, in->s.dir, sizeof(copy));
	parent = dirname(copy);
	if (gid)
		open_way(parent, gid, note, size);
	return 0;
}
