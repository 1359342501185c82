// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"
#include "render.h"
#include "since.h"
#include "words.h"

struct options {
	double every; /* seconds, 0 = once */
	u32 services;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	(void)sig;
	stop = 1;
}

static void catch_signals(void)
{
	struct sigaction act = {.sa_handler = on_signal}; /* no SA_RESTART: a write that hangs is let go of */

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

/* Sleeps until `when` (store_now) unless told to stop; a signal cannot slip in between the question and the sleep. */
static void sleep_until(u64 when)
{
	sigset_t both, old;

	sigemptyset(&both);
	sigaddset(&both, SIGINT);
	sigaddset(&both, SIGTERM);
	sigprocmask(SIG_BLOCK, &both, &old);
	while (!stop) {
		s64 left = when - store_now();
		struct timespec t = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};

		if (left <= 0)
			break;
		ppoll(NULL, 0, &t, &old);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Opened anew each time: after a detach and an attach, the maps of before would stand still for ever. */
static int take(struct snapshot *m, const struct global *g)
{
	struct store s;
	int ret = EXIT_DONE;

	memset(m, 0, sizeof(*m));
	if (store_open(&s, g->pin))
		return cmd_fail("%s", s.why);
	if (snapshot_take(m, &s))
		ret = cmd_fail("%s", s.why);
	store_close(&s);
	return ret;
}

static void show(const struct snapshot *m, const struct snapshot *before, const struct options *o, bool json)
{
	if (json) {
		struct json *j = json_open(stdout);

		render_stats_json(j, m, o->services);
		json_close(j);
		return;
	}
	if (o->every && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	else if (before)
		fputc('\n', stdout);
	render_stats_text(stdout, m, before, o->services);
}

static int watch(const struct options *o, const struct global *g)
{
	struct snapshot snap[2] = {}, *now = &snap[0], *before = NULL;
	u64 next = store_now();
	bool gone = false;
	int ret;

	for (;;) {
		ret = take(now, g);
		if (ret)
			break;
		show(now, since_valid(now, before) ? before : NULL, o, g->json);
		ret = cmd_flush(&gone);
		if (!o->every || gone || stop)
			break;
		next += o->every * 1e9;
		if (next < now->now_ns) /* the machine is slower than we were told to be */
			next = store_now();
		sleep_until(next);
		if (stop)
			break;
		if (before)
			snapshot_free(before);
		before = now;
		now = &snap[before == &snap[0]];
	}
	snapshot_free(&snap[0]);
	snapshot_free(&snap[1]);
	return ret;
}

static int run(int argc, char **argv, const struct global *g)
{
	static const struct option options[] = {
		{"watch", optional_argument, NULL, 'w'},
		{"services", required_argument, NULL, 's'},
		{},
	};
	struct options o = {.services = SNAPSHOT_SERVICES};
	unsigned long long n;
	int opt;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == 'w') {
			if (!words_every(optarg ? optarg : "1", &o.every))
				return cmd_usage(&cmd_stats, "--watch=%s: seconds from %g to %g", optarg,
						 WORDS_EVERY_MIN, WORDS_EVERY_MAX);
		} else if (opt == 's') {
			if (!words_number(optarg, 0, SW_SERVICES, &n))
				return cmd_usage(&cmd_stats, "--services %s: a number up to %d", optarg, SW_SERVICES);
			o.services = n;
		} else {
			return cmd_usage(&cmd_stats, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cmd_usage(&cmd_stats, "%s: stats takes options only (--watch=SECONDS is one word)",
				 argv[optind]);
	if (o.every) {
		catch_signals();
		setvbuf(stdout, NULL, _IOFBF, 1 << 16); /* a page at once: a screen does not flicker */
	}
	return watch(&o, g);
}

const struct command cmd_stats = {
	.name = "stats",
	.run = run,
	.usage = "stats [--watch[=SECONDS]] [--services N]",
	.summary = "Show what was counted",
	.help = "  --watch[=SECONDS]  again every SECONDS (default 1, fractions allowed), with rates since then\n"
		"  --services N       the N busiest services (default 100); the others are added up\n"
		"\n"
		"With --json: one object, or one a line when watched.\n"
		"started = completed + refused + reset + timed out + evicted + in progress, at any moment.\n",
};
