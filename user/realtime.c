// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "realtime.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <zlib.h>

#define LOCK "CONFIG_PREEMPT_RT_NEEDS_BH_LOCK"

void realtime_config_line(struct realtime_config *c, const char *line)
{
	c->realtime |= !strncmp(line, "CONFIG_PREEMPT_RT=y", 19);
	c->lock |= !strncmp(line, LOCK "=y", sizeof(LOCK "=y") - 1);
	c->no_lock |= !strncmp(line, "# " LOCK " is not set", sizeof("# " LOCK " is not set") - 1);
}

/* Where nothing but the release is known. */
static bool release_excludes(const char *release)
{
	int major = 0, minor = 0, patch = 0;

	if (sscanf(release, "%d.%d.%d", &major, &minor, &patch) < 2)
		return false;
	if (major == 6 && minor == 12)
		return patch < 57;
	return major < 6 || (major == 6 && minor < 18);
}

bool realtime_judge(const struct realtime_facts *f)
{
	if (!f->flag && !strstr(f->version, "PREEMPT_RT") && !strstr(f->version, "PREEMPT RT"))
		return true;
	if (f->config.realtime)
		return f->config.lock || !f->config.no_lock;
	return release_excludes(f->release);
}

static void read_config(struct realtime_config *c, const char *path)
{
	gzFile in = gzopen(path, "rbe"); /* also what is not compressed */
	char line[256];

	while (in && gzgets(in, line, sizeof(line)))
		realtime_config_line(c, line);
	if (in)
		gzclose(in);
}

bool realtime_fits(void)
{
	static const char *const path[] = {"/proc/config.gz", "/boot/config-%s", "/lib/modules/%s/config"};
	FILE *in = fopen("/sys/kernel/realtime", "re");
	struct realtime_facts f = {};
	char name[160];
	struct utsname u;

	if (uname(&u))
		return true;
	f.release = u.release;
	f.version = u.version;
	f.flag = in && fgetc(in) == '1';
	if (in)
		fclose(in);
	if (realtime_judge(&(struct realtime_facts){u.release, u.version, f.flag, {.realtime = true, .no_lock = true}}))
		return true; /* whatever its configuration: not PREEMPT_RT */
	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]) && !f.config.realtime; i++) {
		snprintf(name, sizeof(name), path[i], u.release);
		f.config = (struct realtime_config){};
		read_config(&f.config, name);
	}
	return realtime_judge(&f);
}

bool realtime_check(char *why, size_t size)
{
	if (realtime_fits())
		return true;
	snprintf(why, size,
		 "this PREEMPT_RT kernel lets one packet's program interrupt another's on its CPU, and both would work "
		 "in the "
		 "same memory: it must be built with " LOCK "=y, or be one without PREEMPT_RT");
	return false;
}
