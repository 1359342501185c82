// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave detach: takes its own programs off, never another's; the last interface takes the pins along. */
#include <errno.h>
#include <getopt.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "cmd.h"
#include "privilege.h"

struct job {
	const struct global *g;
	struct instance in;
	struct registry_row *rows;
	u32 count;
	bool *chosen;
};

static void tell(void *ctx, const char *line)
{
	cmd_note(ctx, "%s", line);
}

/* By index in this namespace; else by the name it had, in case it is gone. */
static struct registry_row *find(struct job *j, const char *name)
{
	u32 index = if_nametoindex(name);

	for (u32 i = 0; i < j->count; i++)
		if (index && j->rows[i].key.netns == j->in.netns && j->rows[i].key.ifindex == index)
			return &j->rows[i];
	for (u32 i = 0; i < j->count; i++)
		if (j->rows[i].key.netns == j->in.netns && !strcmp(j->rows[i].iface.name, name))
			return &j->rows[i];
	return NULL;
}

static int choose(struct job *j, char **names, int n)
{
	for (int i = 0; i < n; i++) {
		struct registry_row *row = find(j, names[i]);
		if (!row) {
			for (u32 k = 0; k < j->count; k++)
				if (!strcmp(j->rows[k].iface.name, names[i]))
					return store_fail(
						&j->in.s, -ENOENT,
						"%s is attached in another network namespace (%llu): run this "
						"there (nsenter --net=...), or `synwave detach --all`",
						names[i], (unsigned long long)j->rows[k].key.netns);
			return store_fail(&j->in.s, -ENOENT, "%s is not attached at %s (see `synwave status`)",
					  names[i], j->in.s.dir);
		}
		j->chosen[row - j->rows] = true;
	}
	return 0;
}

/* Goes on after a failure: what can be taken off is. */
static int take_off(struct job *j, bool all)
{
	char why[WHY_SIZE] = "";
	int err = 0;

	for (u32 i = 0; i < j->count; i++) {
		int one = all || j->chosen[i] ? iface_detach(&j->in, &j->rows[i]) : 0;
		if (one && !err) {
			err = one;
			memcpy(why, j->in.s.why, sizeof(why));
		}
	}
	return err ? store_fail(&j->in.s, err, "%s", why) : 0;
}

static int detach_known(struct job *j, bool all, char **names, int n)
{
	struct registry_row *left;
	char why[WHY_SIZE];
	int err, last = 0;

	j->count = registry_list(&j->in, &j->rows);
	j->chosen = calloc(j->count + 1, sizeof(*j->chosen));
	if (!j->rows || !j->chosen)
		return store_fail(&j->in.s, -ENOMEM, "out of memory");
	err = choose(j, names, n);
	if (!err)
		err = take_off(j, all);
	memcpy(why, j->in.s.why, sizeof(why));
	iface_mend(&j->in, tell, (void *)j->g);
	if (!registry_list(&j->in, &left))
		last = instance_remove(&j->in);
	free(left);
	return err ? store_fail(&j->in.s, err, "%s", why) : last;
}

static int work(struct job *j, bool all, char **names, int n)
{
	int err = instance_lock(&j->in, j->g->pin, false);

	if (err == -ENOENT && all) {
		cmd_note(j->g, "%s", j->in.s.why);
		return 0;
	}
	if (err)
		return err;
	err = instance_open(&j->in);
	if (!err)
		return detach_known(j, all, names, n);
	if (!all && err != -ENOENT) /* for one interface, not all of them are at stake */
		return err;
	if (!all) {
		err = instance_remove(&j->in);
		return err ? err
			   : store_fail(&j->in.s, -ENOENT,
					"%s is not attached at %s: an attach was cut short there, which is cleaned "
					"up now",
					names[0], j->in.s.dir);
	}
	if (err == -EPROTO && instance_is_ours(&j->in) && !instance_sees_ids())
		return store_fail(&j->in.s, -EPERM,
				  "%s is another version's; finding its programs takes CAP_SYS_ADMIN: run as root",
				  j->in.s.dir);
	err = iface_sweep(&j->in); /* without its pins nothing would find what is left */
	return err ? err : instance_remove(&j->in);
}

static int run(int argc, char **argv, const struct global *g)
{
	static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {}};
	struct job j = {.g = g, .in.lock = -1};
	char why[WHY_SIZE];
	bool all = false;
	int c, err;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c != 'a')
			return cmd_usage(&cmd_detach, "%s: no such option", argv[optind - 1]);
		all = true;
	}
	if (all == (optind < argc))
		return cmd_usage(&cmd_detach, all ? "either interfaces or --all" : "no interface named (or --all)");
	if (!privilege_check(why, sizeof(why)))
		return cmd_fail("%s", why);
	load_logs(g->verbose);
	err = work(&j, all, argv + optind, argc - optind);
	if (err)
		cmd_fail("%s", j.in.s.why);
	instance_close(&j.in);
	free(j.rows);
	free(j.chosen);
	return err ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_detach = {
	.name = "detach",
	.run = run,
	.usage = "detach IFACE...|--all",
	.summary = "Take synwave's programs off these interfaces; the last one ends the instance and its counters",
	.help = "  --all   all interfaces, also those in other network namespaces, also of another version's instance\n"
		"Programs of others stay where they are.\n",
};
