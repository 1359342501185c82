// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Makes this kernel an older one for a program that is started with it in LD_PRELOAD: what OLDER names is not there.
 *   tcx             no BPF_TCX_* attach type (before 6.6)
 *   freplace        no program of type BPF_PROG_TYPE_EXT: libxdp's dispatcher cannot run
 *   moving          no program of type BPF_PROG_TYPE_EXT that may move the packet: what Linux 6.12's stable releases say
 *                   when the function that it is to replace does not (libxdp's dispatcher before 1.5.5)
 *   gen_syncookie   no helper of that name. Calls of it get a number that no helper has, so the kernel's own verifier
 *                   judges: refused where they are reached, and no matter where they are dead code.
 *   serial_softirqs it says that it is a PREEMPT_RT kernel
 *   inet6           started with ipv6.disable=1
 * Or a kernel that does not let go (EBUSY):
 *   stuck=WHERE     no link is detached, nor the pin of one unlinked whose name ends with WHERE; no XDP program and no
 *                   filter is taken off by netlink. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/rtnetlink.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#define TCX_INGRESS 46
#define TCX_EGRESS  47
#define NO_HELPER   1000000 /* beyond every kernel's last */

static int without(const char *what)
{
	const char *older = getenv("OLDER");

	return older && strstr(older, what);
}

static int is_tcx(unsigned int type)
{
	return type == TCX_INGRESS || type == TCX_EGRESS;
}

static const struct bpf_insn *find_call(const union bpf_attr *a, int helper)
{
	const struct bpf_insn *i = (const void *)(unsigned long)a->insns, *end = i + a->insn_cnt;

	while (i < end && !(i->code == (BPF_JMP | BPF_CALL) && !i->src_reg && i->imm == helper))
		i++;
	return i < end ? i : NULL;
}

static int refuse_moving(const union bpf_attr *a)
{
	static const char why[] = "Extension program changes packet data, while original does not\n";

	if (!find_call(a, BPF_FUNC_xdp_adjust_tail))
		return 0;
	if (a->log_buf && a->log_size >= sizeof(why))
		memcpy((void *)(unsigned long)a->log_buf, why, sizeof(why));
	return EINVAL;
}

/* 0, or what the older kernel says to this call. */
static int refuse(long command, const union bpf_attr *a)
{
	if (command == BPF_LINK_CREATE && is_tcx(a->link_create.attach_type) && without("tcx"))
		return EINVAL;
	if (command == BPF_PROG_QUERY && is_tcx(a->query.attach_type) && without("tcx"))
		return EINVAL;
	if (command == BPF_PROG_LOAD && a->prog_type == BPF_PROG_TYPE_EXT && without("freplace"))
		return EINVAL;
	if (command == BPF_PROG_LOAD && a->prog_type == BPF_PROG_TYPE_EXT && without("moving"))
		return refuse_moving(a);
	if (command == BPF_LINK_DETACH && without("stuck="))
		return EBUSY;
	return 0;
}

int uname(struct utsname *u)
{
	int (*next)(struct utsname *) = (int (*)(struct utsname *))dlsym(RTLD_NEXT, "uname");
	int err = next(u);

	if (!err && without("serial_softirqs"))
		strcpy(u->version, "#1 SMP PREEMPT_RT");
	return err;
}

int socket(int family, int type, int protocol)
{
	int (*next)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");

	if (family == AF_INET6 && without("inet6")) {
		errno = EAFNOSUPPORT;
		return -1;
	}
	return next(family, type, protocol);
}

int unlink(const char *path)
{
	int (*next)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
	const char *older = getenv("OLDER"), *where = older ? strstr(older, "stuck=") : NULL;
	size_t length = strlen(path);

	where = where ? where + strlen("stuck=") : NULL;
	if (where && strstr(path, "/links/") && length >= strlen(where) &&
	    !strcmp(path + length - strlen(where), where)) {
		errno = EBUSY;
		return -1;
	}
	return next(path);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
	static const unsigned char off[] = {8, 0, IFLA_XDP_FD, 0, 0xff, 0xff, 0xff, 0xff};
	ssize_t (*next)(int, const void *, size_t, int) =
		(ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
	const struct nlmsghdr *n = data;

	if (without("stuck=") && size >= sizeof(*n) &&
	    (n->nlmsg_type == RTM_DELTFILTER ||
	     (n->nlmsg_type == RTM_SETLINK && memmem(data, size, off, sizeof(off))))) {
		errno = EBUSY;
		return -1;
	}
	return next(fd, data, size, flags);
}

/* A copy of the instructions without the helper, to be freed. */
static struct bpf_insn *rewrite(const union bpf_attr *a)
{
	size_t size = a->insn_cnt * sizeof(struct bpf_insn);
	struct bpf_insn *insns = malloc(size);

	if (!insns)
		return NULL;
	memcpy(insns, (const void *)(unsigned long)a->insns, size);
	for (struct bpf_insn *i = insns; i < insns + a->insn_cnt; i++)
		if (i->code == (BPF_JMP | BPF_CALL) && !i->src_reg && i->imm == BPF_FUNC_tcp_gen_syncookie)
			i->imm = NO_HELPER;
	return insns;
}

long syscall(long number, ...)
{
	long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	struct bpf_insn *insns = NULL;
	union bpf_attr attr = {0};
	long a[6], rc;
	va_list args;
	int err;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (number != SYS_bpf || a[2] > (long)sizeof(attr))
		return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	memcpy(&attr, (void *)a[1], a[2]);
	err = refuse(a[0], &attr);
	if (err) {
		errno = err;
		return -1;
	}
	if (a[0] == BPF_PROG_LOAD && without("gen_syncookie"))
		insns = rewrite(&attr);
	if (insns) {
		attr.insns = (unsigned long)insns;
		rc = next(number, a[0], &attr, a[2]);
	} else {
		rc = next(number, a[0], a[1], a[2]);
	}
	err = errno;
	free(insns);
	errno = err;
	return rc;
}
