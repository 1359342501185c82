// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include "cmd.h"
#include "guard_store.h"
#include "load.h"
#include "top_paint.h"
#include "words.h"

struct top {
	struct top_model model;
	struct top_view view;
	const char *pin;
	u64 began, took; /* the last reading: store_now, and how long it took, ns */
	char why[WHY_SIZE]; /* it failed */
	u64 lost_ns; /* the first one that failed since one did not, since the epoch; 0: the last one did not */
};

/* Opened anew each time: after a detach and an attach, the maps of before would stand still for ever. */
static int take(struct top *t)
{
	struct top_reading *r = top_blank(&t->model);
	struct store s;
	int err = store_open(&s, t->pin), sources = 0;

	if (!err) {
		err = snapshot_take(&r->snap, &s);
		if (!err)
			sources = guard_top(&s, r->source, TOP_SOURCES);
		if (sources < 0)
			err = sources;
		else
			r->sources = sources;
		store_close(&s);
	}
	if (err)
		memcpy(t->why, s.why, sizeof(t->why));
	return err;
}

static void read_on(struct top *t)
{
	struct timespec now;
	int err;

	t->began = store_now();
	err = take(t);
	t->took = store_now() - t->began;
	if (!err) {
		top_add(&t->model);
		t->lost_ns = 0;
		return;
	}
	top_miss(&t->model);
	clock_gettime(CLOCK_REALTIME, &now);
	if (!t->lost_ns)
		t->lost_ns = now.tv_sec * SW_NS_PER_S + now.tv_nsec;
}

/* When it is time again. A table so large that reading it takes long is not read all the time. */
static u64 due(const struct top *t)
{
	u64 every = t->view.every * 1e9;

	return t->began + (every > 4 * t->took ? every : 4 * t->took);
}

static void watch(struct top *t)
{
	while (!top_term_ended() && !t->view.quit) {
		struct top_screen s = {&t->model, &t->view, t->lost_ns ? t->why : NULL, t->lost_ns};

		top_draw(&s);
		top_key(&t->view, top_term_key(t->view.paused ? 0 : due(t)));
		if (!t->view.paused && store_now() >= due(t))
			read_on(t);
	}
}

static int show(struct top *t)
{
	char why[WHY_SIZE];

	if (top_term_check(why, sizeof(why)))
		return cmd_fail("%s", why);
	load_logs(false); /* not onto the screen */
	read_on(t);
	if (t->lost_ns)
		return cmd_fail("%s", t->why);
	if (top_term_open(why, sizeof(why)))
		return cmd_fail("%s", why);
	paint_begin();
	watch(t);
	top_term_close();
	return EXIT_DONE;
}

static int run(int argc, char **argv, const struct global *g)
{
	static const struct option options[] = {{"interval", required_argument, NULL, 'i'}, {}};
	double every = 1;
	struct top *t;
	int opt, ret;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt != 'i')
			return cmd_usage(&cmd_top, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		if (!words_every(optarg, &every))
			return cmd_usage(&cmd_top, "--interval %s: seconds from %g to %g", optarg, WORDS_EVERY_MIN,
					 WORDS_EVERY_MAX);
	}
	if (optind < argc)
		return cmd_usage(&cmd_top, "%s: top takes options only", argv[optind]);
	if (g->json)
		return cmd_usage(&cmd_top, "--json: the numbers as JSON are `synwave stats --watch --json`");
	t = calloc(1, sizeof(*t));
	if (!t)
		return cmd_fail("out of memory");
	t->pin = g->pin;
	top_view_init(&t->view, every);
	ret = show(t);
	top_free(&t->model);
	free(t);
	return ret;
}

const struct command cmd_top = {
	.name = "top",
	.run = run,
	.usage = "top [--interval SECONDS]",
	.summary = "Live, on the whole screen: rates, services, sources over a limit, tables",
	.help = "  --interval SECONDS  between readings (default 1, fractions allowed)\n"
		"\n"
		"? on the screen lists the keys and says what the numbers are. Needs a terminal of 64x18 or more;\n"
		"into a file or a pipe: `synwave stats --watch`. Colours unless NO_COLOR is set; blocks in\n"
		"UTF-8 locales, ASCII in others (LC_ALL=C).\n",
};
