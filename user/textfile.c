// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct names {
	char dir[PATH_MAX], temp[PATH_MAX];
};

/* Beside the file, hidden, and not ending in .prom: node_exporter passes it by. */
static int name(struct names *n, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	int dir = slash ? slash - path + 1 : 0, len;

	if (!*base)
		return -EISDIR;
	snprintf(n->dir, sizeof(n->dir), "%.*s", dir ? dir : 1, dir ? path : ".");
	len = snprintf(n->temp, sizeof(n->temp), "%.*s.%s.XXXXXX", dir, path, base);
	return len >= (int)sizeof(n->temp) ? -ENAMETOOLONG : 0;
}

static int fill(int fd, void (*write)(void *ctx, FILE *out), void *ctx)
{
	FILE *out = fdopen(fd, "w");
	int err = 0;

	if (!out) {
		err = -errno;
		close(fd);
		return err;
	}
	write(ctx, out);
	if (fflush(out) || ferror(out) || fchmod(fd, 0644) || fsync(fd))
		err = -(errno ?: EIO);
	if (fclose(out) && !err)
		err = -errno;
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
	fd = mkostemp(n.temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fill(fd, write, ctx);
	if (!err && rename(n.temp, path))
		err = -errno;
	if (err)
		unlink(n.temp);
	else
		sync_dir(n.dir);
	return err;
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
		snprintf(why, size, "cannot write %s: %s", path, strerror(-err));
	return err;
}
