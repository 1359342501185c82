// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN "/proc/self/ns/net"

u64 netns_own(void)
{
	struct stat st;

	return stat(OWN, &st) ? 0 : st.st_ino;
}

/* Calls `each` for the namespaces at DIR/<entry><suffix>, until it returns non-zero. */
static int walk(const char *dir, const char *suffix, int (*each)(void *ctx, const char *path, u64 inode), void *ctx)
{
	DIR *d = opendir(dir);
	char path[PATH_MAX];
	struct stat st, own;
	struct dirent *e;
	int stop = 0;

	if (stat(OWN, &own))
		own.st_dev = 0;
	while (d && !stop && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s%s", dir, e->d_name, suffix);
		if (!stat(path, &st) && st.st_dev == own.st_dev)
			stop = each(ctx, path, st.st_ino);
	}
	if (d)
		closedir(d);
	return stop;
}

static int walk_all(int (*each)(void *ctx, const char *path, u64 inode), void *ctx)
{
	int stop = walk("/run/netns", "", each, ctx);

	return stop ? stop : walk("/proc", "/ns/net", each, ctx);
}

struct search {
	u64 inode;
	int fd;
};

static int is_it(void *ctx, const char *path, u64 inode)
{
	struct search *s = ctx;

	if (inode != s->inode)
		return 0;
	s->fd = open(path, O_RDONLY | O_CLOEXEC);
	return s->fd >= 0;
}

int netns_find(u64 inode)
{
	struct search s = {.inode = inode, .fd = -1};

	return walk_all(is_it, &s) ? s.fd : -ENOENT;
}

struct seen {
	u64 inode[1024];
	u32 n;
};

static int remember(void *ctx, const char *path, u64 inode)
{
	struct seen *s = ctx;

	(void)path;
	for (u32 i = 0; i < s->n; i++)
		if (s->inode[i] == inode)
			return 0;
	s->inode[s->n++] = inode;
	return s->n == SW_ARRAY_SIZE(s->inode);
}

void netns_each(int (*call)(void *ctx), void *ctx)
{
	static struct seen s;

	s.n = 0;
	remember(&s, OWN, netns_own());
	walk_all(remember, &s);
	for (u32 i = 0; i < s.n; i++)
		netns_call(s.inode[i], call, ctx);
}

int netns_call(u64 inode, int (*call)(void *ctx), void *ctx)
{
	int err, home, there;

	if (inode == netns_own())
		return call(ctx);
	there = netns_find(inode);
	if (there < 0)
		return there;
	home = open(OWN, O_RDONLY | O_CLOEXEC);
	err = home < 0 || setns(there, CLONE_NEWNET) ? -errno : 0;
	close(there);
	if (!err) {
		err = call(ctx);
		if (setns(home, CLONE_NEWNET)) /* cannot be: it is where we came from */
			_exit(1);
	}
	if (home >= 0)
		close(home);
	return err;
}
