// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave trace: steps of handshakes and teardowns as they happen. */
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "filter.h"
#include "listen.h"
#include "load.h"
#include "netns.h"
#include "render.h"

/* When the connection's previous step was: remembered for some thousand connections; of the others, and of steps that
 * were filtered, the event says when a state changed last. */
#define REMEMBERED 4096
struct previous {
	struct sw_key key;
	u64 ns;
};

#define CLOCK_NOISE 10000 /* ns: readings of the wall clock differ by less when nobody sets it */

#define NAMES 64
struct iface_name {
	u32 ifindex, netns;
	char name[IF_NAMESIZE];
};

struct job {
	const struct global *g;
	struct store s;
	struct listening l;
	struct filter_words filter;
	unsigned long long count, seen; /* count: 0 = no end */
	unsigned long long buffer;
	u64 lost_said;
	u64 epoch_ns, epoch_at;
	u64 netns;
	struct json *json;
	struct trace_text text;
	struct previous *previous;
	struct iface_name name[NAMES];
	u32 names;
};

enum { ROUND_OVER = -ECANCELED, ENOUGH = -ESHUTDOWN };

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static u64 *previous_of(struct job *j, const struct sw_key *key)
{
	u32 word[9], hash = 2166136261u;
	struct previous *p;

	memcpy(word, key, sizeof(word));
	for (int i = 0; i < 9; i++)
		hash = (hash ^ word[i]) * 16777619u;
	p = &j->previous[hash >> 20];
	if (memcmp(&p->key, key, sizeof(*key)))
		*p = (struct previous){.key = *key};
	return &p->ns;
}
_Static_assert(REMEMBERED == 1 << (32 - 20), "hash >> 20");

/* --- names of interfaces ------------------------------------------------------------------------------------------- */

struct want {
	const struct sw_trace *t;
	char *name;
};

static int registered(void *ctx, const struct sw_iface_key *key, const struct sw_iface *iface)
{
	struct want *w = ctx;

	if (key->ifindex == w->t->ifindex && (u32)key->netns == w->t->netns)
		memcpy(w->name, iface->name, IF_NAMESIZE - 1);
	return 0;
}

static const char *iface_name(struct job *j, const struct sw_trace *t)
{
	struct iface_name *n = j->name;

	for (u32 i = 0; i < j->names; i++)
		if (j->name[i].ifindex == t->ifindex && j->name[i].netns == t->netns)
			return j->name[i].name;
	if (j->names < NAMES)
		n = &j->name[j->names++];
	*n = (struct iface_name){.ifindex = t->ifindex, .netns = t->netns};
	if (t->netns != (u32)j->netns || !if_indextoname(t->ifindex, n->name)) {
		struct want w = {t, n->name};
		store_ifaces(&j->s, registered, &w);
	}
	if (!*n->name)
		snprintf(n->name, sizeof(n->name), "if%u", t->ifindex);
	return n->name;
}

/* --- the loop -------------------------------------------------------------------------------------------------------- */

static int on_event(void *ctx, const struct sw_trace *t)
{
	struct job *j = ctx;
	u64 *previous = previous_of(j, &t->key);
	struct trace_line line = {.t = t, .epoch_ns = j->epoch_ns, .before_ns = t->changed_ns};

	if (t->changed_ns && *previous > line.before_ns)
		line.before_ns = *previous;
	*previous = t->ns;
	line.iface = iface_name(j, t);
	if (j->json)
		render_trace_json(j->json, &line);
	else
		render_trace_line(&j->text, &line);
	j->seen++;
	if (j->count && j->seen == j->count)
		return ENOUGH;
	/* a flood must not keep the loop from what it does each second */
	return stop || (!(j->seen & 255) && store_now() - j->epoch_at > SW_NS_PER_S) ? ROUND_OVER : 0;
}

static void say_lost(struct job *j)
{
	u64 lost = listen_lost(&j->l);

	if (lost > j->lost_said)
		cmd_note(j->g, "%llu events lost: they came faster than they could be shown", lost - j->lost_said);
	j->lost_said = lost;
}

/* Whoever reads us has gone, though nothing was written since. */
static bool reader_left(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

/* Each second. 0: go on; EXIT_DONE + 1: end without a word; else an exit code. */
static int look_around(struct job *j)
{
	u64 gap = listen_gap(&j->l);

	u64 epoch = store_epoch();

	j->epoch_at = store_now();
	if (epoch - j->epoch_ns + CLOCK_NOISE > 2 * CLOCK_NOISE) /* somebody has set the clock, or it drifts */
		j->epoch_ns = epoch;
	j->names = 0;
	say_lost(j);
	if (gap)
		cmd_note(j->g, "stopped for too long: what happened in %.1f s is missing", (double)gap / SW_NS_PER_S);
	if (j->l.taken)
		return cmd_fail("stopped for so long that another trace took its place: run it again");
	if (!store_is_there(&j->s))
		return cmd_fail("%s was detached; %llu events, %llu lost", j->s.dir, j->seen, listen_lost(&j->l));
	return 0;
}

/* The last line: of the text, and beside JSON. */
static int summary(struct job *j)
{
	u64 lost = listen_lost(&j->l);

	if (j->json)
		cmd_note(j->g, "%llu events, %llu lost", j->seen, lost);
	else
		printf("%llu events, %llu lost\n", j->seen, lost);
	return EXIT_DONE;
}

static int loop(struct job *j)
{
	int err = 0, ret;
	bool gone;

	for (;;) {
		ret = cmd_flush(&gone);
		if (ret || (gone && !stop) || reader_left())
			return ret;
		if (stop || err == ENOUGH)
			return summary(j);
		if (err && err != ROUND_OVER)
			return cmd_fail("cannot read the ring: %s", strerror(-err));
		if (store_now() - j->epoch_at > SW_NS_PER_S) {
			ret = look_around(j);
			if (ret)
				return ret;
		}
		err = listen_poll(&j->l, 1000);
	}
}

static void catch_signals(void)
{
	struct sigaction act = {.sa_handler = on_signal}; /* no SA_RESTART: a write that hangs is let go of */

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
}

static int trace(struct job *j)
{
	int ret;

	j->previous = calloc(REMEMBERED, sizeof(*j->previous));
	if (!j->previous)
		return cmd_fail("out of memory");
	j->epoch_at = store_now();
	j->epoch_ns = store_epoch();
	catch_signals();
	if (listen_open(&j->l, &j->s, &j->filter.filter, j->buffer, on_event, j))
		return cmd_fail("%s", j->s.why);
	if (j->g->json)
		j->json = json_open(stdout);
	else
		render_trace_begin(&j->text, stdout, term_of(STDOUT_FILENO));
	ret = loop(j);
	listen_close(&j->l);
	if (j->json)
		json_close(j->json);
	return ret;
}

static int parse(struct job *j, int argc, char **argv)
{
	static const struct option options[] = {
		{"count", required_argument, NULL, 'n'}, {"buffer", required_argument, NULL, 'b'}, {}};
	char why[WHY_SIZE];
	int opt;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == 'n') {
			if (!words_number(optarg, 1, ~0ULL, &j->count))
				return cmd_usage(&cmd_trace, "--count %s: a number from 1 on", optarg);
		} else if (opt == 'b') { /* KiB, for tests */
			if (!words_number(optarg, 4, 1 << 20, &j->buffer) || j->buffer & (j->buffer - 1))
				return cmd_usage(&cmd_trace, "--buffer %s: a power of two from 4 on", optarg);
			j->buffer <<= 10;
		} else {
			return cmd_usage(&cmd_trace, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		}
	}
	for (int i = optind; i < argc; i++)
		if (!filter_word(&j->filter, argv[i], why))
			return cmd_usage(&cmd_trace, "%s", why);
	return EXIT_DONE;
}

static int run(int argc, char **argv, const struct global *g)
{
	struct job j = {.g = g, .buffer = LISTEN_BUFFER, .netns = netns_own()};
	int ret = parse(&j, argc, argv);

	if (ret)
		return ret;
	load_logs(g->verbose);
	if (store_open_to_change(&j.s, g->pin))
		return cmd_fail("%s", j.s.why);
	ret = filter_iface(&j.filter, &j.s, j.netns);
	if (ret)
		ret = ret == -EINVAL ? cmd_usage(&cmd_trace, "%s", j.s.why) : cmd_fail("%s", j.s.why);
	else
		ret = trace(&j);
	free(j.previous);
	store_close(&j.s);
	return ret;
}

const struct command cmd_trace = {
	.name = "trace",
	.run = run,
	.usage = "trace [--count N] [KEY=VALUE]...",
	.summary = "Show each step of handshakes and teardowns as it happens",
	.help = "  --count N      end after N events\n"
		"\n"
		"All filters must fit; they are applied in the kernel, and what they leave out is not lost:\n"
		"  addr=ADDR[/BITS]  either end: 192.0.2.1, 192.0.2.0/24, 2001:db8::/32\n"
		"  port=N            either end\n"
		"  state=S,...       either end is in one of these states after the segment: TIME_WAIT, syn-recv\n"
		"  event=E,...       it made one of these: refused, completed, syn_retransmits, rst_ignored, ...\n"
		"  kind=K,...        syn, syn_ack, ack, data, fin, rst\n"
		"  iface=NAME        seen there first\n"
		"\n"
		"SEQ and ACK: counted from the ISNs / as sent. DELTA: since the connection's step before. INTERFACE:\n"
		"where the segment was seen first. With --json one object a line. Ends at Ctrl-C, or when the "
		"instance\n"
		"is detached (exit status 1). Up to 8 traces at a time see every event; what is lost because it came\n"
		"faster than it could be shown is counted, and said.\n",
};
