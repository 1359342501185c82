/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A command: one row of the table in main.c, one file cmd_<name>.c. */
#ifndef SYNWAVE_CMD_H
#define SYNWAVE_CMD_H

#include <stdbool.h>

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE };

struct global {
	const char *pin; /* --pin, else $SYNWAVE_PIN, else /sys/fs/bpf/synwave */
	bool json, quiet, verbose;
};

struct command {
	const char *name;
	int (*run)(int argc, char **argv, const struct global *g); /* argv[0] is the command's name */
	const char *usage; /* the line after "synwave " */
	const char *summary; /* one line for --help */
	const char *help; /* options and notes, printed by `synwave NAME --help` */
};

extern const struct command cmd_attach, cmd_detach, cmd_status, cmd_stats, cmd_top, cmd_flows, cmd_show, cmd_trace,
	cmd_guard, cmd_replay, cmd_export;

/* "synwave: NAME: ..." on standard error, one line; returns the exit code. */
int cmd_fail(const char *format, ...) __attribute__((format(printf, 1, 2))); /* EXIT_FAILED */
int cmd_usage(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3))); /* EXIT_USAGE */
/* Standard output has taken what was written to it: EXIT_DONE. A reader that has left is no error, nor a signal that ends a
 * write which hangs (we catch those that tell us to end), but *gone: more is in vain. */
int cmd_flush(bool *gone);
void cmd_note(const struct global *g, const char *format, ...) __attribute__((format(printf, 2, 3))); /* unless -q */

#endif
