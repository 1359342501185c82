// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "listen.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define LIVE  SW_READER_LIVE
#define LEASE (LISTEN_LEASE_S * SW_NS_PER_S)

static struct listening *listening; /* the timer's */

static u64 load(const u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static bool swap(u64 *p, u64 old, u64 new)
{
	return __atomic_compare_exchange_n(p, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static void raise_to(u64 *p, u64 value)
{
	u64 is = load(p);

	while (is < value && !swap(p, is, value))
		is = load(p);
}

/* From a signal handler: nothing but the clock and atomic operations. */
static void renew(struct listening *l)
{
	u64 now = store_now(), old = l->lease, until = (now + LEASE) | LIVE;

	if (l->taken)
		return;
	if (!swap(&l->mine->until_ns, old, until)) {
		l->taken = true;
		return;
	}
	raise_to(&l->all->until_ns, until);
	l->lease = until;
	if (old < now) /* this process was stopped */
		__atomic_fetch_add(&l->gap_ns, now - old, __ATOMIC_SEQ_CST);
}

static void on_alarm(int sig)
{
	int err = errno;

	(void)sig;
	if (listening)
		renew(listening);
	errno = err;
}

/* A timer, not the loop: the loop may hang in a write to a slow terminal or pipe. */
static void start_timer(struct listening *l)
{
	struct sigaction act = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval each_second = {{1, 0}, {1, 0}};

	listening = l;
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &each_second, NULL);
}

static void stop_timer(void)
{
	struct itimerval never = {};

	setitimer(ITIMER_REAL, &never, NULL);
	listening = NULL;
}

/* The slot becomes ours when nobody holds it: claimed, it is not written to yet. */
static bool claim(struct sw_reader *r, u64 *claimed)
{
	u64 now = store_now(), until = load(&r->until_ns);

	*claimed = (now + LEASE) & ~LIVE;
	return until < now && swap(&r->until_ns, until, *claimed);
}

/* Rings of readers that were killed hold memory until somebody comes by. */
static void sweep(struct listening *l)
{
	u64 claimed;

	for (u32 i = 0; i < SW_READERS; i++)
		if (load(&l->all->slot[i].until_ns) && claim(&l->all->slot[i], &claimed)) {
			bpf_map_delete_elem(l->s->fd.rings, &i);
			swap(&l->all->slot[i].until_ns, claimed, 0);
		}
}

static int take_slot(struct listening *l, const struct sw_filter *f)
{
	u64 claimed;
	int err;

	sweep(l);
	for (l->slot = 0; l->slot < SW_READERS; l->slot++)
		if (claim(&l->all->slot[l->slot], &claimed))
			break;
	if (l->slot == SW_READERS)
		return store_fail(l->s, -EBUSY,
				  "%d traces listen to %s already: end one (a killed one gives way within %d s)",
				  SW_READERS, l->s->dir, LISTEN_LEASE_S);
	l->mine = &l->all->slot[l->slot];
	/* Before the ring, not after it: the kernel's update waits for all programs that run (map_update_elem of an array of
	 * maps), so one that sees the slot live below sees this and the ring, though on arm64 it may have read them first. */
	l->mine->filter = *f;
	err = bpf_map_update_elem(l->s->fd.rings, &l->slot, &l->ring_fd, BPF_ANY);
	if (err) {
		swap(&l->mine->until_ns, claimed, 0);
		l->mine = NULL;
		return store_fail(l->s, err, "cannot put a ring into %s/rings: %s", l->s->dir, strerror(-err));
	}
	l->lost_before = load(&l->mine->lost);
	l->lease = claimed | LIVE;
	if (!swap(&l->mine->until_ns, claimed, l->lease)) {
		l->mine = NULL;
		return store_fail(l->s, -EAGAIN, "stopped for too long while it began: run it again");
	}
	raise_to(&l->all->until_ns, l->lease);
	return 0;
}

static size_t mapped_size(void)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (sizeof(struct sw_readers) + page - 1) / page * page;
}

static int on_sample(void *ctx, void *data, size_t size)
{
	struct listening *l = ctx;

	return size < sizeof(struct sw_trace) ? 0 : l->each(l->ctx, data);
}

int listen_open(struct listening *l, struct store *s, const struct sw_filter *f, u32 bytes, listen_each *each,
		void *ctx)
{
	int err;

	*l = (struct listening){.s = s, .ring_fd = -1, .each = each, .ctx = ctx};
	l->all = mmap(NULL, mapped_size(), PROT_READ | PROT_WRITE, MAP_SHARED, s->fd.readers, 0);
	if (l->all == MAP_FAILED) {
		err = -errno;
		l->all = NULL;
		return store_fail(s, err, "cannot map %s/readers: %s", s->dir, strerror(-err));
	}
	bytes = listen_ring(bytes, sysconf(_SC_PAGESIZE));
	l->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "synwave_trace", 0, 0, bytes, NULL);
	if (l->ring_fd < 0) {
		err = store_fail(s, l->ring_fd, "cannot create a ring of %u bytes: %s%s", bytes, strerror(-l->ring_fd),
				 l->ring_fd == -EPERM ? "; run as root, or with CAP_BPF" : "");
		listen_close(l);
		return err;
	}
	l->ring = ring_buffer__new(l->ring_fd, on_sample, l, NULL);
	err = l->ring ? take_slot(l, f) : store_fail(s, -errno, "cannot map the ring: %s", strerror(errno));
	if (err)
		listen_close(l);
	else
		start_timer(l);
	return err;
}

int listen_poll(struct listening *l, int milliseconds)
{
	int got = ring_buffer__poll(l->ring, milliseconds);

	return got == -EINTR || got > 0 ? 0 : got;
}

u64 listen_lost(const struct listening *l)
{
	return l->mine ? load(&l->mine->lost) - l->lost_before : 0;
}

u64 listen_gap(struct listening *l)
{
	return __atomic_exchange_n(&l->gap_ns, 0, __ATOMIC_SEQ_CST);
}

void listen_close(struct listening *l)
{
	stop_timer();
	/* while it is not live, neither the program nor another reader touches the ring */
	if (l->mine && swap(&l->mine->until_ns, l->lease, l->lease & ~LIVE)) {
		bpf_map_delete_elem(l->s->fd.rings, &l->slot);
		swap(&l->mine->until_ns, l->lease & ~LIVE, 0);
	}
	if (l->ring)
		ring_buffer__free(l->ring);
	if (l->ring_fd >= 0)
		close(l->ring_fd);
	if (l->all)
		munmap(l->all, mapped_size());
	memset(l, 0, sizeof(*l));
	l->ring_fd = -1;
}
