// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define TURN 10 /* s: how long another that writes the same file is waited for */

struct names {
	char dir[PATH_MAX], temp[PATH_MAX];
};

/* Beside the file, hidden, and not ending in .prom: node_exporter passes it by. Always the same: what a killed command
 * left is taken over by the next. */
static int name(struct names *n, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	int dir = slash ? slash - path + 1 : 0, len;

	if (!*base)
		return -EISDIR;
	snprintf(n->dir, sizeof(n->dir), "%.*s", dir ? dir : 1, dir ? path : ".");
	len = snprintf(n->temp, sizeof(n->temp), "%.*s.%s.new", dir, path, base);
	return len >= (int)sizeof(n->temp) ? -ENAMETOOLONG : 0;
}

/* 0 when the open file is locked, still has its name, and is empty; -EAGAIN: another's turn. */
static int take(int fd, const char *temp)
{
	struct stat held, named;

	if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return -EAGAIN;
	if (fstat(fd, &held))
		return -errno;
	if (lstat(temp, &named) || held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return -EAGAIN; /* the other has renamed it */
	if (!S_ISREG(held.st_mode) || held.st_nlink != 1 || held.st_uid != geteuid())
		return -EEXIST; /* somebody has put it there, and could go on writing to it */
	return ftruncate(fd, 0) ? -errno : 0;
}

/* Two at once take turns. The lock ends with the file descriptor: after the renaming. */
static int open_temp(const char *temp)
{
	struct timespec tick = {.tv_nsec = 10000000};

	for (int i = 0; i < TURN * 100; i++) {
		int fd = open(temp, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600), err;

		if (fd < 0)
			return errno == ELOOP || errno == ENXIO ? -EEXIST : -errno;
		err = take(fd, temp);
		if (!err)
			return fd;
		close(fd);
		if (err != -EAGAIN)
			return err;
		nanosleep(&tick, NULL);
	}
	return -EBUSY;
}

static int fill(int fd, void (*write)(void *ctx, FILE *out), void *ctx)
{
	struct output kept;
	FILE *out = output_open(&kept, fd);
	int err;

	if (!out)
		return -ENOMEM;
	write(ctx, out);
	err = output_flush(&kept, out);
	if (!err && (fchmod(fd, 0644) || fsync(fd)))
		err = -errno;
	fclose(out);
	return err;
}

/* The new name lasts only when the directory is written, too. Not every file system can do it. */
static void sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

static int replace(const char *path, void (*write)(void *ctx, FILE *out), void *ctx)
{
	struct names n;
	int err = name(&n, path), fd;

	if (err)
		return err;
	fd = open_temp(n.temp);
	if (fd < 0)
		return fd;
	err = fill(fd, write, ctx);
	if (!err && rename(n.temp, path))
		err = -errno;
	if (err)
		unlink(n.temp);
	else
		sync_dir(n.dir);
	close(fd);
	return err;
}

static const char *advice(int err)
{
	static const struct {
		int err;
		const char *what;
	} known[] = {
		{ENOENT, "make its directory first"},
		{ENOTDIR, "name a file in a directory"},
		{EISDIR, "name a file in it"},
		{ENOSPC, "make room; the file is as it was"},
		{EDQUOT, "make room; the file is as it was"},
		{EROFS, "name a file where this user may write"},
		{EACCES, "name a file where this user may write"},
		{EPERM, "name a file where this user may write"},
		{EEXIST, "the hidden .new beside it is another's: remove that"},
		{EBUSY, "another export has been at it all the time"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].err == -err)
			return known[i].what;
	return "the file is as it was";
}

int textfile_write(const char *path, void (*write)(void *ctx, FILE *out), void *ctx, char *why, size_t size)
{
	sigset_t those, before;
	int err;

	/* they end us when the temporary file is gone */
	sigemptyset(&those);
	sigaddset(&those, SIGINT);
	sigaddset(&those, SIGTERM);
	sigaddset(&those, SIGHUP);
	sigprocmask(SIG_BLOCK, &those, &before);
	err = replace(path, write, ctx);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (err)
		snprintf(why, size, "cannot write %s: %s; %s", path, strerror(-err), advice(err));
	return err;
}
