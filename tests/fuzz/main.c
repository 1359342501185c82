// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Feeds each file of the directories named to the target, each in a process of its own; the last line is the count. */
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

static int feed(const char *path)
{
	static u8 bytes[1 << 20];
	FILE *f = fopen(path, "rb");
	int status = -1;

	if (!f)
		return -1;
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	fflush(NULL);
	pid_t pid = fork();
	if (!pid) {
		alarm(20); /* an input that never ends is a finding as well */
		LLVMFuzzerTestOneInput(bytes, n);
		_exit(0);
	}
	return pid < 0 || waitpid(pid, &status, 0) != pid ? -1 : status;
}

int main(int argc, char **argv)
{
	int passed = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *d;
		char path[4096];
		while (dir && (d = readdir(dir))) {
			if (d->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], d->d_name);
			if (feed(path)) {
				printf("not ok - %s\n", path);
				failed++;
			} else {
				passed++;
			}
		}
		if (dir)
			closedir(dir);
	}
	if (!passed)
		failed++; /* a corpus that is not there proves nothing */
	printf("%s: %d passed, %d failed\n", argv[0], passed, failed);
	return failed != 0;
}
