// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "conf.h"
#include "netns.h"
#include "skeleton.h"

const char *const program_name[PROG_COUNT] = {
	"synwave_xdp", "synwave_xdp", "synwave_xdp_pad", "synwave_xdp_pad",
	"synwave_in",  "synwave_out", "synwave_in_l3",   "synwave_out_l3",
};

static struct {
	bool verbose;
	char last[256];
	char verifier[65536];
} logs;

static int keep_log(bool complaint, const char *format, va_list args)
{
	va_list again;
	char *end;

	va_copy(again, args);
	if (logs.verbose)
		vfprintf(stderr, format, args);
	if (complaint) {
		vsnprintf(logs.last, sizeof(logs.last), format, again);
		end = strpbrk(logs.last, "\n");
		if (end)
			*end = 0;
	}
	va_end(again);
	return 0;
}

static int from_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : keep_log(level == LIBBPF_WARN, format, args);
}

static int from_libxdp(enum libxdp_print_level level, const char *format, va_list args)
{
	return level == LIBXDP_DEBUG ? 0 : keep_log(true, format, args);
}

void load_logs(bool verbose)
{
	logs.verbose = verbose;
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(from_libbpf);
	libxdp_set_print(from_libxdp);
}

const char *load_last(void)
{
	return logs.last;
}

void load_forget(void)
{
	logs.last[0] = logs.verifier[0] = 0;
}

/* The line before the statistics. */
const char *load_refusal(void)
{
	static const char *const noise[] = {"processed ", "verification time", "stack depth", "mark_precise",
					    "insns processed"};
	char *at = logs.verifier, *line, *verdict = NULL;

	while ((line = strsep(&at, "\n"))) {
		bool skip = !*line;
		for (size_t i = 0; i < SW_ARRAY_SIZE(noise); i++)
			skip |= !strncmp(line, noise[i], strlen(noise[i]));
		if (!skip)
			verdict = line;
	}
	if (!verdict)
		return NULL;
	memmove(logs.verifier, verdict, strlen(verdict) + 1); /* for who asks again */
	return logs.verifier;
}

const char *load_verdict(int err)
{
	const char *refusal = load_refusal();

	return refusal         ? refusal
	       : err == -EPERM ? "not permitted (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)"
			       : strerror(-err);
}

/* The instance's own maps instead of new ones. */
static int reuse(struct synwave_bpf *skel, struct store *s)
{
	int err = 0;

#define REUSE_(field, name) \
	if (!err && s->fd.field >= 0) \
		err = bpf_map__reuse_fd(skel->maps.field, s->fd.field);
	STORE_MAPS(REUSE_)
#undef REUSE_
	return err;
}

static struct bpf_program *program_of(struct synwave_bpf *skel, enum program p)
{
	return bpf_object__find_program_by_name(skel->obj, program_name[p]);
}

bool load_cookies(void)
{
	static int known = -1;

	if (known < 0)
		known = libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, BPF_FUNC_tcp_gen_syncookie, NULL) == 1 &&
			libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skc_to_tcp_sock, NULL) == 1;
	return known;
}

#define NO_TYPES "/sys/kernel/btf/vmlinux: no BTF there, this kernel must be built with CONFIG_DEBUG_INFO_BTF"

/* Only programs that look into a socket need to know the kernel's types. libbpf would read all of them for each object
 * that it loads: 5 MB, a quarter of the time that a load takes. */
static bool needs_kernel_types(enum program p)
{
	return p != PROG_OUT && p != PROG_OUT_L3 && p != PROG_NONE;
}

/* A file without a type, for libbpf to read instead: what would depend on one does not pass the verifier. -1: none. */
static int no_types(void)
{
	static int fd = -1;
	struct btf *btf;
	const void *raw;
	u32 size;

	if (fd >= 0)
		return fd;
	btf = btf__new_empty();
	if (libbpf_get_error(btf))
		return -1;
	raw = btf__raw_data(btf, &size);
	fd = memfd_create("synwave-no-types", MFD_CLOEXEC);
	if (fd >= 0 && (!raw || write(fd, raw, size) != (ssize_t)size)) {
		close(fd);
		fd = -1;
	}
	btf__free(btf);
	return fd;
}

static struct synwave_bpf *open_object(enum program wanted)
{
	int fd = needs_kernel_types(wanted) ? -1 : no_types();
	char path[32];
	LIBBPF_OPTS(bpf_object_open_opts, opts);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd >= 0 && !access(path, R_OK))
		opts.btf_custom_path = path;
	return synwave_bpf__open_opts(&opts);
}

static struct synwave_bpf *open_skeleton(struct store *s, const struct loader *l, enum program wanted)
{
	struct bpf_program *prog;
	struct synwave_bpf *skel = open_object(wanted);
	int err;

	if (!skel) {
		store_fail(s, -errno, "cannot open the embedded BPF object: %s", load_last());
		return NULL;
	}
	skel->rodata->have_cookies = load_cookies();
	skel->rodata->partial_sums = wanted != PROG_XDP && wanted != PROG_XDP_PAD;
	skel->rodata->netns = netns_own();
	if (l) {
		skel->rodata->attachment = l->attachment;
		memcpy((void *)skel->rodata->own_mac, l->mac, sizeof(l->mac));
		skel->rodata->have_cookies &= !l->no_tx || skel->rodata->partial_sums; /* those are not in the driver */
	}
	err = skeleton_conf(skel, &s->info.conf);
	if (!err)
		err = reuse(skel, s);
	bpf_object__for_each_program(prog, skel->obj)
	{
		bpf_program__set_autoload(prog, wanted != PROG_NONE &&
							!strcmp(bpf_program__name(prog), program_name[wanted]));
		/* statistics only: the verifier's last word without its minutes of log */
		bpf_program__set_log_level(prog, 4);
		bpf_program__set_log_buf(prog, logs.verifier, sizeof(logs.verifier));
	}
	if (err) {
		synwave_bpf__destroy(skel);
		store_fail(s, err, "the maps at %s cannot be taken over: %s; %s", s->dir, strerror(-err),
			   *load_last() ? load_last() : "see `ulimit -n` and `ulimit -v`");
		return NULL;
	}
	return skel;
}

int load_maps(struct store *s)
{
	u64 bytes = conf_memory(&s->info.conf) + conf_ladder_memory(&s->info.conf);
	struct synwave_bpf *skel;
	int err;

	load_forget();
	skel = open_skeleton(s, NULL, PROG_NONE);
	if (!skel)
		return -EINVAL;
	err = synwave_bpf__load(skel);
	if (err)
		store_fail(s, err, "cannot create the maps for --flows %u --half-open %u (%llu MiB): %s%s",
			   s->info.flows, s->info.half_open, (unsigned long long)bytes >> 20, strerror(-err),
			   err == -ENOMEM || err == -E2BIG ? "; ask for fewer, or for --no-ladder"
			   : err == -EMFILE || err == -EBADF
				   ? "; more open files are needed: see `ulimit -n`" /* libbpf: EBADF */
			   : err == -ESRCH ? "; " NO_TYPES
			   : err == -EPERM ? "; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
					   : "");
#define TAKE_(field, name) \
	if (!err && s->fd.field < 0) { \
		s->fd.field = fcntl(bpf_map__fd(skel->maps.field), F_DUPFD_CLOEXEC, 3); \
		if (s->fd.field < 0) \
			err = store_fail(s, -errno, "cannot keep map %s open: %s; see `ulimit -n`", name, \
					 strerror(errno)); \
	}
	STORE_MAPS(TAKE_)
#undef TAKE_
	synwave_bpf__destroy(skel);
	return err;
}

struct synwave_bpf *load_open(struct loader *l, enum program p)
{
	load_forget();
	return open_skeleton(l->s, l, p);
}

struct bpf_object *load_object(struct synwave_bpf *skel)
{
	return skel->obj;
}

void load_destroy(struct synwave_bpf *skel)
{
	synwave_bpf__destroy(skel);
}

int load_program(struct loader *l, enum program p)
{
	int err;

	if (!l->skel[p]) {
		l->skel[p] = load_open(l, p);
		if (!l->skel[p])
			return -EINVAL;
		err = synwave_bpf__load(l->skel[p]);
		if (err) {
			load_destroy(l->skel[p]);
			l->skel[p] = NULL;
			return store_fail(l->s, err, "the kernel refuses program %s: %s", program_name[p],
					  err == -ESRCH ? NO_TYPES : load_verdict(err));
		}
	}
	return bpf_program__fd(program_of(l->skel[p], p));
}

static void forget_programs(struct loader *l)
{
	for (enum program p = 0; p < PROG_COUNT; p++)
		if (l->skel[p])
			load_destroy(l->skel[p]);
	memset(l->skel, 0, sizeof(l->skel));
}

void load_for(struct loader *l, u32 attachment, const u8 mac[6], bool no_tx)
{
	if (l->attachment == attachment && !memcmp(l->mac, mac, sizeof(l->mac)) && l->no_tx == no_tx)
		return;
	forget_programs(l);
	l->attachment = attachment;
	memcpy(l->mac, mac, sizeof(l->mac));
	l->no_tx = no_tx;
}

void load_close(struct loader *l)
{
	forget_programs(l);
	memset(l, 0, sizeof(*l));
}
