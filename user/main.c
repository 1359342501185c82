// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The command table, and what every command says its words with. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "output.h"

#define PIN_DEFAULT "/sys/fs/bpf/synwave"

static const struct command *const commands[] = {
	&cmd_attach, &cmd_detach, &cmd_status, &cmd_stats,  &cmd_top,    &cmd_flows,
	&cmd_show,   &cmd_trace,  &cmd_guard,  &cmd_replay, &cmd_export,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *running; /* the command's name, for messages */

/* One line whatever is in it, and no word to the terminal: names of files and interfaces may hold line feeds and escape
 * sequences, also as U+0080 to U+009F. */
static void say(const char *format, va_list args)
{
	char line[1024];
	int len = vsnprintf(line, sizeof(line), format, args);

	if (len >= (int)sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);
	for (char *c = line; *c; c++) {
		bool two = *c == '\xc2' && (c[1] & 0xe0) == 0x80;

		if (two)
			*c++ = ' ';
		if (two || iscntrl((unsigned char)*c))
			*c = ' ';
	}
	fflush(stdout);
	fprintf(stderr, "synwave: %s%s%s\n", running ? running : "", running ? ": " : "", line);
}

int cmd_fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	return EXIT_FAILED;
}

int cmd_usage(const struct command *c, const char *format, ...)
{
	char text[512], how[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(how, sizeof(how), c ? "synwave %s --help" : "synwave --help", c ? c->name : "");
	cmd_fail("%s (see `%s`)", text, how);
	return EXIT_USAGE;
}

void cmd_note(const struct global *g, const char *format, ...)
{
	va_list args;

	if (g->quiet)
		return;
	va_start(args, format);
	say(format, args);
	va_end(args);
}

static const char global_help[] =
	"\nWith every command:\n"
	"  --pin DIR      the instance's directory in a BPF file system ($SYNWAVE_PIN, else " PIN_DEFAULT ")\n"
	"  --json         machine-readable output\n"
	"  -q, --quiet    no notes on standard error\n"
	"  -v, --verbose  what libbpf and libxdp say, too\n"
	"  --help, --version\n"
	"\nExit status: 0 done, 1 failed (one line on standard error), 2 wrong usage.\n";

static int help(const struct command *c)
{
	if (c) {
		printf("Usage: synwave %s\n%s.\n", c->usage, c->summary);
		if (c->help && *c->help)
			printf("\n%s", c->help);
	} else {
		printf("Usage: synwave [--pin DIR] [--json] [-q] [-v] COMMAND ...\n"
		       "Watches TCP handshakes and teardowns from inside the kernel.\n\n");
		for (size_t i = 0; i < COMMANDS; i++)
			printf("  %-8s  %s\n", commands[i]->name, commands[i]->summary);
		printf("\n`synwave COMMAND --help` says more.\n");
	}
	fputs(global_help, stdout);
	return EXIT_DONE;
}

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

struct parse {
	struct global g;
	bool help, version;
};

/* Takes one global option at argv[0]: the number of arguments used, 0 if it is none, -1 if its value is missing. */
static int take_global(int argc, char **argv, struct parse *p)
{
	const char *a = argv[0];

	if (!strncmp(a, "--pin=", 6)) {
		p->g.pin = a + 6;
		return 1;
	}
	if (!strcmp(a, "--pin")) {
		if (argc < 2)
			return -1;
		p->g.pin = argv[1];
		return 2;
	}
	bool *flag = !strcmp(a, "--json")                          ? &p->g.json
		     : !strcmp(a, "--quiet") || !strcmp(a, "-q")   ? &p->g.quiet
		     : !strcmp(a, "--verbose") || !strcmp(a, "-v") ? &p->g.verbose
		     : !strcmp(a, "--help") || !strcmp(a, "-h")    ? &p->help
		     : !strcmp(a, "--version")                     ? &p->version
								   : NULL;
	if (!flag)
		return 0;
	*flag = true;
	return 1;
}

/* Takes the global options out of argv, up to "--"; what is left is the command and its own. */
static int take_globals(int *argc, char **argv, struct parse *p)
{
	int left = 1, at = 1, used;

	for (; at < *argc && strcmp(argv[at], "--"); at += used) {
		used = take_global(*argc - at, argv + at, p);
		if (used < 0 || (used && !strncmp(argv[at], "--pin", 5) && (!p->g.pin || !*p->g.pin)))
			return cmd_usage(NULL, "--pin: no directory named");
		if (used)
			continue;
		if (left == 1 && argv[at][0] == '-')
			return cmd_usage(NULL, "%s: no such option before a command", argv[at]);
		argv[left++] = argv[at];
		used = 1;
	}
	while (at < *argc)
		argv[left++] = argv[at++];
	argv[left] = NULL;
	*argc = left;
	return 0;
}

int cmd_flush(bool *gone)
{
	int err = output_flush_stdout();

	*gone = err;
	if (!err || err == -EPIPE || err == -EINTR)
		return EXIT_DONE;
	return cmd_fail("cannot write to standard output: %s", strerror(-err));
}

static int finish(int code)
{
	bool gone;
	int lost = cmd_flush(&gone);

	return code ? code : lost;
}

static int version(void)
{
	printf("synwave %s\n", SYNWAVE_VERSION);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct parse p = {.g.pin = getenv("SYNWAVE_PIN")};
	const struct command *c;
	int err = output_begin() ? cmd_fail("out of memory") : take_globals(&argc, argv, &p);

	if (err)
		return err;
	if (!p.g.pin || !*p.g.pin)
		p.g.pin = PIN_DEFAULT;
	if (p.version)
		return finish(version());
	if (argc < 2)
		return p.help ? finish(help(NULL)) : cmd_usage(NULL, "no command");
	c = find(argv[1]);
	if (!c)
		return cmd_usage(NULL, "%s: no such command", argv[1]);
	running = c->name;
	return finish(p.help ? help(c) : c->run(argc - 1, argv + 1, &p.g));
}
