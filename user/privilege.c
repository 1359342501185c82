// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Said up front in one line, instead of an EPERM from somewhere later. */
#include "privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define MAJOR 5 /* bpf_xdp_load_bytes, xdp.frags */
#define MINOR 18

static bool kernel_is_new_enough(char *why, size_t size)
{
	struct utsname u;
	int major = 0, minor = 0;

	if (uname(&u) || sscanf(u.release, "%d.%d", &major, &minor) != 2)
		return true; /* let the kernel itself refuse */
	if (major > MAJOR || (major == MAJOR && minor >= MINOR))
		return true;
	snprintf(why, size, "kernel %s is too old: synwave needs Linux %d.%d or newer", u.release, MAJOR, MINOR);
	return false;
}

static bool has(const struct __user_cap_data_struct *data, int cap)
{
	return data[CAP_TO_INDEX(cap)].effective & CAP_TO_MASK(cap);
}

static bool capabilities_suffice(char *why, size_t size)
{
	static const struct {
		int cap;
		const char *name;
	} needed[] = {{CAP_BPF, "CAP_BPF"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {CAP_PERFMON, "CAP_PERFMON"}};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};
	char missing[64] = "";

	if (syscall(SYS_capget, &head, data))
		return true;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		/* CAP_SYS_ADMIN stands for those split off from it */
		if (has(data, needed[i].cap) || (needed[i].cap != CAP_NET_ADMIN && has(data, CAP_SYS_ADMIN)))
			continue;
		snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s", *missing ? ", " : "",
			 needed[i].name);
	}
	if (!*missing)
		return true;
	snprintf(why, size, "not permitted: %s missing; run as root, or give the process those capabilities", missing);
	return false;
}

bool privilege_check(char *why, size_t size)
{
	return kernel_is_new_enough(why, size) && capabilities_suffice(why, size);
}

int privilege_drop(char *why, size_t size)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct had[2] = {}, keep[2] = {};
	int err;

	if (!syscall(SYS_capget, &head, had)) {
		keep[CAP_TO_INDEX(CAP_BPF)].permitted = had[CAP_TO_INDEX(CAP_BPF)].permitted & CAP_TO_MASK(CAP_BPF);
		keep[CAP_TO_INDEX(CAP_BPF)].effective = keep[CAP_TO_INDEX(CAP_BPF)].permitted;
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
		if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !syscall(SYS_capset, &head, keep))
			return 0;
	}
	err = -errno;
	snprintf(why, size, "cannot give up capabilities: %s", strerror(-err));
	return err;
}
