// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave export: the numbers for Prometheus, on standard output, in a file, or over HTTP. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd.h"
#include "exporter.h"
#include "http_host.h"
#include "privilege.h"
#include "render.h"
#include "scrape.h"
#include "textfile.h"

#define LISTEN_DEFAULT "127.0.0.1:9465"

#define HOSTS 32

struct options {
	const char *listen, *textfile; /* NULL: not asked for */
	const char *host[HOSTS + 1]; /* up to a NULL */
	unsigned int hosts;
	bool openmetrics, describe;
};

static int serve(const struct options *o, const struct global *g)
{
	char url[160], why[WHY_SIZE];
	struct scrape s;
	int fd = http_listen(o->listen, url, sizeof(url), why, sizeof(why)), err;

	if (fd < 0)
		return fd == -EINVAL ? cmd_usage(&cmd_export, "%s", why) : cmd_fail("%s", why);
	/* what clients send is read with the right to read maps, and no other */
	if (privilege_drop(why, sizeof(why))) {
		close(fd);
		return cmd_fail("%s", why);
	}
	scrape_init(&s, g->pin);
	cmd_note(g, "listening on %s", url);
	if (scrape_health(&s))
		cmd_note(g, "until then, /metrics answers 503: %s", s.why);
	err = http_serve(fd, o->host, exporter_answer, &s);
	scrape_free(&s);
	return err ? cmd_fail("cannot serve %s: out of memory or of files", url) : EXIT_DONE;
}

static void write_text(void *ctx, FILE *out)
{
	render_prom(out, ctx, false);
}

static int once(const struct options *o, const struct global *g)
{
	char why[WHY_SIZE];
	int ret = EXIT_DONE;
	struct scrape s;

	scrape_init(&s, g->pin);
	if (scrape_take(&s, 0)) {
		ret = cmd_fail("%s", s.why);
	} else if (o->textfile) {
		if (textfile_write(o->textfile, write_text, &s, why, sizeof(why)))
			ret = cmd_fail("%s", why);
	} else {
		render_prom(stdout, &s, o->openmetrics);
	}
	scrape_free(&s);
	return ret;
}

static int add_host(struct options *o, const char *name)
{
	if (!http_host_is_name(name))
		return cmd_usage(&cmd_export,
				 "--host %.100s: not a host name (no port; IP addresses are answered anyway)", name);
	if (o->hosts == HOSTS)
		return cmd_usage(&cmd_export, "--host %.100s: more than %d names", name, HOSTS);
	o->host[o->hosts++] = name;
	return EXIT_DONE;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{"listen", optional_argument, NULL, 'l'},   {"host", required_argument, NULL, 'h'},
		{"textfile", required_argument, NULL, 't'}, {"openmetrics", no_argument, NULL, 'o'},
		{"describe", no_argument, NULL, 'd'},       {},
	};
	int opt;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (opt == 'l') { /* --listen, --listen=WHERE, --listen WHERE */
			if (!optarg && optind < argc && argv[optind][0] != '-')
				optarg = argv[optind++];
			o->listen = optarg ? optarg : LISTEN_DEFAULT;
		} else if (opt == 'h') {
			if (add_host(o, optarg))
				return EXIT_USAGE;
		} else if (opt == 't') {
			o->textfile = optarg;
		} else if (opt == 'o') {
			o->openmetrics = true;
		} else if (opt == 'd') {
			o->describe = true;
		} else {
			return cmd_usage(&cmd_export, opt == ':' ? "%s needs a value" : "%s: no such option",
					 argv[optind - 1]);
		}
	}
	if (optind < argc)
		return cmd_usage(&cmd_export, "%s: export takes options only", argv[optind]);
	if (!!o->listen + !!o->textfile + o->openmetrics > 1)
		return cmd_usage(&cmd_export, "one of --listen, --textfile and --openmetrics");
	if (o->hosts && !o->listen)
		return cmd_usage(&cmd_export, "--host goes with --listen");
	return EXIT_DONE;
}

static int run(int argc, char **argv, const struct global *g)
{
	struct options o = {};
	int ret = parse(argc, argv, &o);

	if (ret)
		return ret;
	if (g->json)
		return cmd_usage(&cmd_export, "--json: the numbers as JSON are `synwave stats --json`");
	if (o.describe) {
		render_metrics_manual(stdout);
		return EXIT_DONE;
	}
	return o.listen ? serve(&o, g) : once(&o, g);
}

const struct command cmd_export = {
	.name = "export",
	.run = run,
	.usage = "export [--textfile FILE | --listen [ADDR:PORT] [--host NAME]... | --openmetrics]",
	.summary = "the numbers for Prometheus: as text, in a file, or over HTTP",
	.help = "  --textfile FILE      writes FILE, atomically: for node_exporter's textfile directory, from a timer\n"
		"  --listen [ADDR:PORT] serves /metrics, /stats.json, /healthz and a page with charts on / until "
		"SIGTERM\n"
		"                       or ^C; default " LISTEN_DEFAULT
		"; [ADDR]:PORT for IPv6, :PORT for every address.\n"
		"                       Nobody is asked for a password: let only those reach it who may know\n"
		"  --host NAME          answers requests for this host, too, whatever their port; once for each name. "
		"Without "
		"it,\n"
		"                       only http://IP-ADDRESS and http://localhost are answered, others get 421: a "
		"site's page\n"
		"                       may not read the numbers by having its own name lead here (DNS rebinding)\n"
		"  --openmetrics        OpenMetrics 1.0 instead of Prometheus text 0.0.4, on standard output; over "
		"HTTP,\n"
		"                       the client chooses\n"
		"\n"
		"/healthz answers 200, or 503 with the reason: nothing attached, maps gone or of another version.\n"
		"The server may be started before attach and lives on through detach, attach and upgrades. It keeps\n"
		"CAP_BPF, if it has it, and gives up all other rights. Without root: `attach --group`.\n"
		"docs/metrics.md describes every metric.\n",
};
