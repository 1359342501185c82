// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave show: one connection as a ladder. */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "ladder.h"
#include "render.h"
#include "show.h"
#include "store.h"
#include "synwave/table.h"
#include "textfile.h"
#include "words.h"

bool show_key(const char *client, const char *server, struct show_want *w, char why[WHY_SIZE])
{
	struct sw_packet p = {0};

	for (int i = 0; i < 2; i++) {
		const char *word = i ? server : client;

		if (!words_endpoint(word, p.key.addr[i], &p.key.port[i])) {
			snprintf(why, WHY_SIZE, "%s: not ADDR:PORT, or [ADDR]:PORT for IPv6", word);
			return false;
		}
	}
	if (!sw_key_order(&p)) {
		snprintf(why, WHY_SIZE, "%s: both ends are the same", client);
		return false;
	}
	w->key = p.key;
	w->first_hi = p.from;
	return true;
}

static void put_svg(void *ctx, FILE *out)
{
	render_ladder_svg(out, ctx);
}

/* - is standard output; a file is written whole or not at all. */
static int write_svg(const char *path, const struct ladder *l)
{
	char why[WHY_SIZE];

	if (!strcmp(path, "-")) {
		render_ladder_svg(stdout, l);
		return EXIT_DONE;
	}
	return textfile_write(path, put_svg, (void *)l, why, sizeof(why)) ? cmd_fail("%s", why) : EXIT_DONE;
}

int show_ladder(const struct ladder *l, const char *svg, const struct global *g)
{
	if (g->json) {
		struct json *j = json_open(stdout);

		render_ladder_json(j, l);
		json_close(j);
	} else if (!svg) {
		struct term term = term_of(STDOUT_FILENO);

		render_ladder_text(stdout, &term, l);
	}
	return svg ? write_svg(svg, l) : EXIT_DONE;
}

static int show(struct store *s, const struct show_want *w, const char *svg, const struct global *g, char **argv)
{
	struct store_conn found;
	struct ladder l;
	int err = store_find(s, &w->key, &found);

	if (err == -ENOENT)
		return cmd_fail("no connection of %s and %s is in the table at %s (`synwave flows` lists what is)",
				argv[0], argv[1], s->dir);
	if (err)
		return cmd_fail("%s", s->why);
	if (found.doubt)
		cmd_note(g,
			 "the connection changes faster than it can be read: some of this may be of a moment before");
	ladder_from(&l, &found.conn, s->info.conf.ladder ? &found.ladder : NULL, found.expired, s->epoch_ns);
	if (w->first_hi != !!(found.conn.flags & SW_C_CLIENT_HI))
		cmd_note(g, "%s is the server of this connection, %s the client", argv[0], argv[1]);
	return show_ladder(&l, svg, g);
}

static int run(int argc, char **argv, const struct global *g)
{
	static const struct option options[] = {{"svg", required_argument, NULL, 's'}, {}};
	const char *svg = NULL;
	char why[WHY_SIZE];
	struct show_want w;
	struct store s;
	int opt, ret;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (opt != 's')
			return cmd_usage(&cmd_show, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		svg = optarg;
	}
	if (argc - optind != 2)
		return cmd_usage(&cmd_show, "two endpoints are needed, CLIENT:PORT SERVER:PORT");
	if (!show_key(argv[optind], argv[optind + 1], &w, why))
		return cmd_usage(&cmd_show, "%s", why);
	if (store_open(&s, g->pin))
		return cmd_fail("%s", s.why);
	ret = show(&s, &w, svg, g, argv + optind);
	store_close(&s);
	return ret;
}

const struct command cmd_show = {
	.name = "show",
	.run = run,
	.usage = "show CLIENT:PORT SERVER:PORT [--svg FILE]",
	.summary = "Draw one connection as a ladder",
	.help = "  --svg FILE   as a picture, for light and dark pages; - is standard output\n"
		"\n"
		"Each segment that made the connection or ended it: time since the one above, the two ends' states as\n"
		"they change, flags, seq and ack (counted from the ISNs), window, options. Addresses of IPv6 in\n"
		"brackets. Of a capture: `synwave replay FILE show CLIENT:PORT SERVER:PORT`.\n",
};
