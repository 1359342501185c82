// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <getopt.h>
#include <stdlib.h>

#include "cmd.h"
#include "render.h"
#include "store.h"
#include "words.h"
#include "synwave/table.h"
#include "words.h"

struct filter {
	u32 states; /* bits of enum sw_state, either end; 0 = all */
	bool any_addr, any_port;
	u32 addr[4];
	u16 port;
	unsigned long long limit;
};

struct flows {
	struct filter filter;
	u32 tick;
	u64 epoch_ns;
	struct json *json; /* or, when NULL: */
	struct record_table table;
	unsigned long long shown;
	u32 sets_changing; /* faster than they could be read */
};

static bool passes(const struct filter *f, const struct sw_conn *c)
{
	u32 side = c->flags & SW_C_CLIENT_HI ? 0 : 1;

	if (f->states && !((1u << c->end[0].state | 1u << c->end[1].state) & f->states))
		return false;
	if (!f->any_port && c->key.port[side] != f->port)
		return false;
	return f->any_addr || !memcmp(c->key.addr[side], f->addr, sizeof(f->addr));
}

#define STOP 1 /* enough */

static int show_set(void *ctx, const struct sw_shelf *shelf, u32 doubt)
{
	struct flows *f = ctx;
	struct sw_conn c;
	struct record r;

	f->sets_changing += !!doubt;
	for (u32 left = shelf->set->used & SW_ALL_WAYS & ~doubt; left; left &= left - 1) {
		u32 way = sw_lowest(left);

		if (!sw_load(shelf, way, &c) || sw_expired(&c, f->tick) || !passes(&f->filter, &c))
			continue;
		record_from(&r, &c, false, f->epoch_ns);
		if (f->json)
			render_record_json(f->json, &r);
		else
			render_table_add(&f->table, &r);
		if (++f->shown == f->filter.limit)
			return STOP;
	}
	return ferror(stdout) ? STOP : 0; /* the reader left, or the disk is full: cmd_flush says which */
}

static int show(struct store *s, struct flows *f, const struct global *g)
{
	u64 now = store_now();
	int err, ret;
	bool gone;

	setvbuf(stdout, NULL, _IOFBF, 1 << 16); /* the room of a pipe: lists are long */
	f->tick = sw_tick(now);
	f->epoch_ns = s->epoch_ns;
	f->json = g->json ? json_open(stdout) : NULL;
	render_table_begin(&f->table, stdout, now + s->epoch_ns);
	err = store_walk(s, now, show_set, f);
	if (g->json)
		json_close(f->json);
	else
		render_table_end(&f->table);
	ret = cmd_flush(&gone);
	if (!ret && !gone && f->sets_changing)
		cmd_note(g,
			 "%u of %u sets of connections changed faster than they could be read: those that were being "
			 "written are not listed",
			 f->sets_changing, s->info.conf.sets);
	return !ret && err < 0 ? cmd_fail("%s", s->why) : ret;
}

static int run(int argc, char **argv, const struct global *g)
{
	static const struct option options[] = {
		{"state", required_argument, NULL, 's'},
		{"service", required_argument, NULL, 'S'},
		{"limit", required_argument, NULL, 'n'},
		{},
	};
	struct flows f = {.filter = {.any_addr = true, .any_port = true}};
	struct store s;
	int opt, state, ret;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt == 's') {
			state = words_state(optarg);
			if (state < 0)
				return cmd_usage(&cmd_flows, "--state %s: no such state; there are" WORDS_STATES,
						 optarg);
			f.filter.states |= 1u << state;
		} else if (opt == 'S') {
			f.filter.any_port = false;
			if (!words_service(optarg, f.filter.addr, &f.filter.port, &f.filter.any_addr))
				return cmd_usage(&cmd_flows, "--service %s: ADDR:PORT, [ADDR]:PORT (IPv6) or :PORT",
						 optarg);
		} else if (opt == 'n') {
			if (!words_number(optarg, 1, ~0ULL, &f.filter.limit))
				return cmd_usage(&cmd_flows, "--limit %s: a number from 1 on", optarg);
		} else {
			return cmd_usage(&cmd_flows, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cmd_usage(&cmd_flows, "%s: flows takes options only", argv[optind]);
	if (store_open(&s, g->pin))
		return cmd_fail("%s", s.why);
	ret = show(&s, &f, g);
	store_close(&s);
	return ret;
}

const struct command cmd_flows = {
	.name = "flows",
	.run = run,
	.usage = "flows [--state S]... [--service ADDR:PORT] [--limit N]",
	.summary = "List connections, one a line",
	.help = "  --state S            either end is in this state; may be repeated. Names of RFC 9293\n"
		"                       and of ss, in any case: TIME_WAIT, time-wait, syn-recv, ...\n"
		"  --service ADDR:PORT  the server is this; [ADDR]:PORT for IPv6, :PORT for any address\n"
		"  --limit N            stop after N connections\n"
		"\n"
		"With --json: one object a line (JSON Lines). In no particular order. Connections whose time\n"
		"is over (2 MSL, handshakes given up) are not listed; closed ones are, for a minute.\n"
		"CLIENT IS, SERVER IS: states of the two ends. CONN: Zeek's conn_state. RETRANS: SYNs/SYN-ACKs\n"
		"sent again.\n",
};
