// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

struct mount {
	int id; /* of the mount: the machine's namespaces have no two of the same */
	unsigned int major, minor; /* of the file system, which may be mounted more than once */
};

/* The mount that `path` is in. statx() has its id since Linux 5.8; this is older. */
static int find_mount(const char *path, struct mount *m)
{
	char name[40], line[64];
	struct stat st;
	FILE *info;
	int fd = open(path, O_PATH | O_CLOEXEC), err = -ENODATA;

	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	*m = (struct mount){.major = major(st.st_dev), .minor = minor(st.st_dev)};
	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	info = fopen(name, "re");
	if (!info)
		err = -errno;
	while (info && err && fgets(line, sizeof(line), info))
		if (sscanf(line, "mnt_id: %d", &m->id) == 1)
			err = 0;
	if (info)
		fclose(info);
	close(fd);
	return err;
}

/* Whether process 1 has the mount, or its file system mounted anywhere. */
static int first_process_has(const struct mount *want, bool this_mount)
{
	FILE *info = fopen("/proc/1/mountinfo", "re");
	bool found = false, any = false;
	struct mount m = {0};
	char *line = NULL;
	size_t size = 0;

	if (!info)
		return -errno;
	while (!found && getline(&line, &size, info) > 0) {
		if (sscanf(line, "%d %*d %u:%u", &m.id, &m.major, &m.minor) != 3)
			continue;
		any = true;
		found = this_mount ? m.id == want->id : m.major == want->major && m.minor == want->minor;
	}
	free(line);
	fclose(info);
	return any ? found : -ENODATA;
}

static int ask(const char *path, bool this_mount)
{
	struct mount m = {0};
	int err = find_mount(path, &m);

	return err ? err : first_process_has(&m, this_mount);
}

int mounts_would_last(const char *path)
{
	return getpid() == 1 ? 0 : ask(path, true); /* process 1 itself: its namespaces end with it */
}

int mounts_last(const char *path)
{
	return ask(path, false);
}

/* Cut down to the first of its parents that exists. */
static void existing(char *path)
{
	while (access(path, F_OK) && strcmp(path, "/") && strcmp(path, "."))
		memmove(path, dirname(path), strlen(dirname(path)) + 1);
}

const char *mounts_hint(const char *dir)
{
	struct statfs fs;
	char path[512];

	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return "";
	existing(path);
	/* a BPF file system may be mounted here by the way of a service's own mounts, and still be the machine's */
	if (!statfs(path, &fs) && (unsigned int)fs.f_type == BPF_FS_MAGIC ? mounts_last(path) : mounts_would_last(path))
		return "";
	return " in this mount namespace, which is not process 1's (ip netns exec?): use " MOUNTS_NSENTER;
}
