// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave replay: captures through either engine. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture.h"
#include "cmd.h"
#include "conf.h"
#include "engine.h"
#include "render.h"
#include "show.h"
#include "synwave/table.h"

/* Records wait for the end: they are printed in the order of their first packet. */
struct kept {
	struct sw_conn conn;
	u64 birth;
	struct sw_ladder *ladder; /* when ladders are to be drawn */
};

/* What is drawn, if anything. */
struct drawn {
	bool any, one; /* ladders; of one connection */
	struct show_want want;
	const char *client, *server; /* as named */
	const char *svg;
};

struct replay {
	struct engine engine;
	struct kept *kept;
	size_t count, room;
	bool nomem;
	bool progress; /* somebody watches */
	bool kernel; /* --engine */
	struct ruleset *guard; /* --guard, or NULL */
	struct drawn drawn;
};

static void keep(void *ctx, const struct sw_conn *c, const struct sw_ladder *l, u64 birth)
{
	struct replay *r = ctx;
	struct sw_ladder *ladder = NULL;

	if (r->drawn.one && !sw_same_key(&r->drawn.want.key, &c->key))
		return;
	if (r->drawn.any) {
		ladder = malloc(sizeof(*ladder));
		if (!ladder) {
			r->nomem = true;
			return;
		}
		*ladder = *l;
	}
	if (r->count == r->room) {
		size_t room = r->room ? 2 * r->room : 1024;
		struct kept *more = reallocarray(r->kept, room, sizeof(*more));
		if (!more) {
			r->nomem = true;
			free(ladder);
			return;
		}
		r->kept = more;
		r->room = room;
	}
	r->kept[r->count++] = (struct kept){*c, birth, ladder};
}

static int by_first(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->conn.first_ns != y->conn.first_ns)
		return x->conn.first_ns < y->conn.first_ns ? -1 : 1;
	return x->birth < y->birth ? -1 : x->birth > y->birth;
}

/* What the guard would have done, after the records. */
static void print_guard(struct replay *r, struct json *j)
{
	const struct sw_stats *c = &r->engine.stats;

	if (!j) {
		printf("\nguard, mode %s, by the capture's clock; nothing was dropped\n",
		       guard_mode_name[r->guard->rules.mode]);
		render_guard_verdicts(stdout, c);
		return;
	}
	json_obj(j);
	json_key(j, "guard");
	json_obj(j);
	render_guard_counts(j, r->guard->rules.mode, c);
	json_end_obj(j);
	json_end_obj(j);
	json_line(j);
}

static void print_records(struct replay *r, const struct global *g)
{
	struct json *j = g->json ? json_open(stdout) : NULL;
	struct record_table table;
	struct record rec;

	render_table_begin(&table, stdout, r->engine.last_ns);
	for (size_t i = 0; i < r->count; i++) {
		record_from(&rec, &r->kept[i].conn, false, 0);
		if (j)
			render_record_json(j, &rec);
		else
			render_table_add(&table, &rec);
	}
	if (!j)
		render_table_end(&table);
	if (r->guard)
		print_guard(r, j);
	if (j)
		json_close(j);
}

static int draw(const struct kept *k, const char *svg, const struct global *g)
{
	struct ladder l;

	ladder_from(&l, &k->conn, k->ladder, false, 0);
	return show_ladder(&l, svg, g);
}

static int print_ladders(struct replay *r, const char *path, const struct global *g)
{
	const struct drawn *d = &r->drawn;
	int ret = EXIT_DONE;

	if (d->one && !r->count)
		return cmd_fail("%s: no connection of %s and %s (`synwave replay %s` lists what there is)", path,
				d->client, d->server, path);
	if (d->one && d->want.first_hi != !!(r->kept[0].conn.flags & SW_C_CLIENT_HI))
		cmd_note(g, "%s is the server of this connection, %s the client", d->client, d->server);
	if (d->svg && r->count > 1)
		cmd_note(g, "%s: %zu connections of %s and %s, one after the other; the last is drawn", path, r->count,
			 d->client, d->server);
	for (size_t i = d->svg ? r->count - 1 : 0; i < r->count && !ret; i++) {
		if (i && !g->json && !d->svg)
			putchar('\n');
		ret = draw(&r->kept[i], d->svg, g);
	}
	return ret;
}

static int print_all(struct replay *r, const char *path, const struct global *g)
{
	int ret = EXIT_DONE;

	qsort(r->kept, r->count, sizeof(*r->kept), by_first);
	if (r->drawn.any)
		ret = print_ladders(r, path, g);
	else
		print_records(r, g);
	for (size_t i = 0; i < r->count; i++)
		free(r->kept[i].ladder);
	return ret;
}

static void on_frame(void *ctx, const u8 *frame, u32 cap, u32 size, bool l3, u64 now)
{
	struct replay *r = ctx;

	engine_frame(&r->engine, frame, cap, size, l3, now);
	if (r->progress && !(r->engine.frames & 0xfffff))
		fprintf(stderr, "\r%llu million packets, %zu connections ended\033[K", r->engine.frames >> 20,
			r->count);
}

static int replay_file(struct replay *r, const char *path, const struct global *g)
{
	char why[512] = "no memory for the table";
	u64 lost;
	int ret = EXIT_DONE;

	if (r->kernel ? engine_open_kernel(&r->engine, CONF_FLOWS, CONF_HALF_OPEN, why, sizeof(why))
		      : engine_open(&r->engine, CONF_FLOWS, CONF_HALF_OPEN))
		return cmd_fail("%s: %s", path, why);
	if (r->guard && engine_guard(&r->engine, r->guard)) {
		engine_close(&r->engine);
		return cmd_fail("%s: the guard's rules do not fit into memory", path);
	}
	r->engine.gone = keep;
	r->engine.ctx = r;
	r->count = 0;
	if (capture_read(path, on_frame, r, why, sizeof(why)))
		ret = cmd_fail("%s: %s", path, why);
	if (r->progress && r->engine.frames >> 20)
		fputs("\r\033[K", stderr);
	engine_finish(&r->engine);
	if (!ret || r->count) {
		int printed = print_all(r, path, g);
		ret = ret ? ret : printed;
	}
	lost = r->engine.stats.event[SW_EV_EVICT_HALF_OPEN] + r->engine.stats.event[SW_EV_EVICT_OPEN];
	if (lost)
		cmd_note(g,
			 "%s: %llu connections were evicted from the table while they lived; their records end "
			 "there",
			 path, lost);
	if (r->engine.backwards)
		cmd_note(g, "%s: %llu packets are older than the one before them; time stood still for these", path,
			 r->engine.backwards);
	if (r->engine.errors)
		ret = cmd_fail("%s: the kernel refused to run %llu packets; try --engine native", path,
			       r->engine.errors);
	if (r->nomem)
		ret = cmd_fail("%s: no memory for all records; %zu are printed", path, r->count);
	engine_close(&r->engine);
	return ret;
}

/* FILE... show CLIENT SERVER: takes the last three words off. */
static int take_show(struct drawn *d, int *argc, char **argv)
{
	char why[WHY_SIZE];

	for (int i = optind; i < *argc; i++) {
		if (strcmp(argv[i], "show"))
			continue;
		if (i + 3 != *argc || d->any)
			return cmd_usage(&cmd_replay, "show comes last, with two endpoints: FILE show CLIENT:PORT "
						      "SERVER:PORT (a file of that name is ./show)");
		if (!show_key(argv[i + 1], argv[i + 2], &d->want, why))
			return cmd_usage(&cmd_replay, "%s", why);
		d->any = d->one = true;
		d->client = argv[i + 1];
		d->server = argv[i + 2];
		*argc = i;
	}
	if (d->svg && (!d->one || *argc - optind > 1))
		return cmd_usage(&cmd_replay, "--svg draws one connection of one capture: FILE show CLIENT:PORT "
					      "SERVER:PORT");
	return EXIT_DONE;
}

static int parse(struct replay *r, struct ruleset *rs, int *argc, char **argv)
{
	static const struct option options[] = {{"engine", required_argument, NULL, 'e'},
						{"guard", required_argument, NULL, 'g'},
						{"show", no_argument, NULL, 'l'},
						{"svg", required_argument, NULL, 's'},
						{0}};
	char why[RULESET_WHY];
	int opt, ret;

	opterr = 0;
	while ((opt = getopt_long(*argc, argv, ":", options, NULL)) != -1) {
		if (opt == ':')
			return cmd_usage(&cmd_replay, "%s: no value", argv[optind - 1]);
		if (opt == 'l') {
			r->drawn.any = true;
		} else if (opt == 's') {
			r->drawn.svg = optarg;
		} else if (opt == 'g') {
			ruleset_free(rs);
			if (ruleset_load(rs, optarg, why))
				return cmd_fail("%s", why);
			r->guard = rs;
		} else if (opt != 'e') {
			return cmd_usage(&cmd_replay, "%s: no such option", argv[optind - 1]);
		} else {
			r->kernel = !strcmp(optarg, "kernel");
			if (!r->kernel && strcmp(optarg, "native"))
				return cmd_usage(&cmd_replay, "--engine %s: not native or kernel", optarg);
		}
	}
	ret = take_show(&r->drawn, argc, argv);
	return ret || optind < *argc ? ret : cmd_usage(&cmd_replay, "no capture named");
}

static int run(int argc, char **argv, const struct global *g)
{
	struct replay r = {.progress = !g->quiet && isatty(STDERR_FILENO)};
	struct ruleset rs;
	bool gone = false;
	int ret;

	ruleset_init(&rs);
	ret = parse(&r, &rs, &argc, argv);
	if (ret)
		return ret;
	for (int i = optind; i < argc && !gone; i++) {
		int one = replay_file(&r, argv[i], g), lost = cmd_flush(&gone);

		ret = one ? one : lost ? lost : ret;
	}
	free(r.kept);
	ruleset_free(&rs);
	return ret;
}

const struct command cmd_replay = {
	.name = "replay",
	.run = run,
	.usage = "replay FILE... [--engine native|kernel] [--guard FILE] [--show | show CLIENT:PORT SERVER:PORT [--svg "
		 "FILE]]",
	.summary = "Run captures through the same tracker, with their own clock",
	.help = "Reads pcap and pcapng (Ethernet, raw IP, Linux cooked v1 and v2, null/loopback), - is standard "
		"input.\n"
		"Prints one record a connection in the order of their first packets, as they stand at the last "
		"packet;\n"
		"with --json as JSON Lines.\n"
		"  --engine native   the shared core in this process: needs no privilege (default)\n"
		"  --engine kernel   the very BPF programs that attach uses, by BPF_PROG_TEST_RUN: needs root\n"
		"  --guard FILE      what a guard with these rules would have done with the SYNs (mode off judges "
		"none)\n"
		"  --show            each connection as a ladder (`synwave show --help`)\n"
		"  show CLIENT:PORT SERVER:PORT   after the file: this connection as a ladder; if the ports were used\n"
		"                    again, each one of them\n"
		"  --svg FILE        that ladder as a picture\n",
};
