// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave attach: loads, attaches, pins. All interfaces named or none; attaching again upgrades in place. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attach.h"
#include "cmd.h"
#include "guard_store.h"
#include "mounts.h"
#include "privilege.h"
#include "realtime.h"
#include "share.h"
#include "snapshot.h"
#include "words.h"

#define FLOWS_MAX (64 << 20)

struct job {
	const struct global *g;
	struct instance in;
	struct loader loader;
	struct wish wish;
	enum mode mode;
	const char *group; /* NULL: not said */
	char note[WHY_SIZE]; /* what became of it; empty: nothing to say */
	struct hook *hook;
	bool *had;
	int count;
	const char *config; /* --config, or NULL */
	struct ruleset rules;
};

#define NAME4_(symbol, name, ms, help) [SW_##symbol] = name,
static const char *const timeout_name[SW_TIMEOUT_COUNT] = {SW_TIMEOUTS(NAME4_)};

static int take_timeout(struct job *j, const char *arg)
{
	const char *eq = strchr(arg, '=');
	u64 ns;

	for (int i = 0; eq && i < SW_TIMEOUT_COUNT; i++) {
		if (strlen(timeout_name[i]) != (size_t)(eq - arg) || strncmp(arg, timeout_name[i], eq - arg))
			continue;
		if (!words_duration(eq + 1, &ns) || (!ns && i != SW_T_INFER))
			return cmd_usage(&cmd_attach,
					 "--timeout %s: a duration from 1ms to 365d, like 500ms, 60s, 5m, 2h, 5d", arg);
		j->wish.timeout[i] = ns;
		j->wish.timeout_set[i] = true;
		return 0;
	}
	return cmd_usage(&cmd_attach, "--timeout %s: no such timeout, or no =DURATION", arg);
}

static int take_mode(struct job *j, const char *arg)
{
	static const char *const names[] = {
		[MODE_AUTO] = "auto", [MODE_NATIVE] = "native", [MODE_GENERIC] = "generic", [MODE_TC] = "tc"};

	for (enum mode m = MODE_AUTO; m <= MODE_TC; m++)
		if (!strcmp(arg, names[m])) {
			j->mode = m;
			return 0;
		}
	return cmd_usage(&cmd_attach, "--mode %s: neither auto, native, generic nor tc", arg);
}

static int take_number(const char *option, const char *arg, u32 *to)
{
	unsigned long long n;

	if (!words_number(arg, 1, FLOWS_MAX, &n))
		return cmd_usage(&cmd_attach, "%s %s: not a number from 1 to %d", option, arg, FLOWS_MAX);
	*to = n;
	return 0;
}

static int parse(struct job *j, int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'},
		{"ingress-only", no_argument, NULL, 'i'},
		{"flows", required_argument, NULL, 'f'},
		{"half-open", required_argument, NULL, 'o'},
		{"timeout", required_argument, NULL, 't'},
		{"group", required_argument, NULL, 'g'},
		{"config", required_argument, NULL, 'c'},
		{"no-ladder", no_argument, NULL, 'l'},
		{},
	};
	int c, err = 0;

	opterr = 0;
	while (!err && (c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'm')
			err = take_mode(j, optarg);
		else if (c == 'i')
			j->wish.one_way = 1;
		else if (c == 'l')
			j->wish.no_ladder = true;
		else if (c == 'f')
			err = take_number("--flows", optarg, &j->wish.flows);
		else if (c == 'o')
			err = take_number("--half-open", optarg, &j->wish.half_open);
		else if (c == 't')
			err = take_timeout(j, optarg);
		else if (c == 'g')
			j->group = optarg;
		else if (c == 'c')
			j->config = optarg;
		else
			err = cmd_usage(&cmd_attach, "%s: %s", argv[optind - 1],
					c == ':' ? "its value is missing" : "no such option");
	}
	if (!err && optind == argc)
		err = cmd_usage(&cmd_attach, "no interface named");
	for (int i = optind; i < argc; i++)
		for (int k = optind; k < i && !err; k++)
			if (!strcmp(argv[i], argv[k]))
				err = cmd_usage(&cmd_attach, "%s: named twice", argv[i]);
	return err;
}

static void tell(void *ctx, const char *line)
{
	cmd_note(ctx, "%s", line);
}

/* What is there is opened, or a new instance made; leftovers of a killed attach give way, and what is damaged. */
static int open_instance(struct job *j)
{
	bool changed = false;
	struct registry_row *rows;
	int err = instance_open(&j->in);

	if (err == -ENOENT || err == -ESTALE) {
		if (err == -ESTALE)
			cmd_note(j->g,
				 "%s had lost some of its pins: made anew, so its counters start at 0, and interfaces "
				 "that are not named now are no longer watched",
				 j->in.s.dir);
		err = iface_sweep(&j->in);
		if (!err)
			err = instance_clear(&j->in);
		return err ? err : instance_create(&j->in, &j->wish);
	}
	if (!err)
		err = instance_adapt(&j->in, &j->wish, &changed);
	if (err)
		return err;
	iface_mend(&j->in, tell, (void *)j->g);
	if (changed && registry_list(&j->in, &rows) > (u32)j->count)
		cmd_note(j->g, "the new timeouts hold where this command attaches; other interfaces keep theirs until "
			       "attached again");
	if (changed)
		free(rows);
	return 0;
}

/* By name or number. */
static bool find_group(const char *name, gid_t *gid)
{
	const struct group *g = getgrnam(name);
	unsigned long long number;

	if (!g && !words_number(name, 0, (gid_t)-2, &number))
		return false;
	*gid = g ? g->gr_gid : (gid_t)number;
	return true;
}

/* With the group asked for; else a new instance with the group of the usual name, where there is one and it can be. */
static int share(struct job *j)
{
	const char *name = j->group ? j->group : j->in.fresh ? SHARE_GROUP : NULL;
	gid_t gid;
	int err;

	if (!name)
		return 0;
	if (!find_group(name, &gid))
		return j->group ? store_fail(&j->in.s, -ENOENT, "--group %s: there is no such group", name) : 0;
	err = share_with(&j->in, gid, j->note, sizeof(j->note));
	if (!err || j->group)
		return err;
	memcpy(j->note, j->in.s.why, sizeof(j->note));
	return 0;
}

/* How the ingress program hangs there, in brackets. */
static void describe(const struct hook *h, const struct sw_iface *i, char *text, size_t size)
{
	const char *why = chain_why(i);

	*text = 0;
	if (i->ingress != SW_HOOK_XDP_NATIVE && i->ingress != SW_HOOK_XDP_GENERIC)
		return;
	if (i->chained == SW_CHAINED_PAD)
		snprintf(text, size, " (in libxdp's dispatcher, as %s: %s)", program_name[PROG_XDP_PAD], why);
	else if (i->chained)
		snprintf(text, size, " (in libxdp's dispatcher)");
	else
		snprintf(text, size, " (alone: %s)", *h->alone ? h->alone : why);
}

static void report(struct job *j, struct hook *h, bool had)
{
	char say[WHY_SIZE];
	struct sw_iface i;
	char how[256];

	if (registry_get(&j->in, &h->key, &i))
		return;
	if (*h->note)
		cmd_note(j->g, "%s", h->note);
	describe(h, &i, how, sizeof(how));
	cmd_note(j->g, "%s: %s, ingress %s%s, egress %s", h->name, had ? "replaced in place" : "attached",
		 hook_name(i.ingress), how, hook_name(i.egress));
	if (i.ingress == SW_HOOK_XDP_NATIVE && (!had || j->mode) && nic_judge(&h->nic, NIC_TELL, say))
		cmd_note(j->g, "%s: %s", h->name, say);
}

static int attach_all(struct job *j)
{
	int err = 0, done;

	for (done = 0; done < j->count && !err; done++)
		err = iface_attach(&j->hook[done], j->mode, j->in.s.info.conf.one_way, &j->had[done]);
	if (err) {
		char why[WHY_SIZE];
		memcpy(why, j->in.s.why, sizeof(why));
		for (int i = 0; i + 1 < done; i++) { /* the one that failed put itself back */
			struct registry_row row = {.key = j->hook[i].key};
			if (!j->had[i] && !registry_get(&j->in, &row.key, &row.iface) && iface_detach(&j->in, &row))
				cmd_note(j->g, "%s", j->in.s.why);
		}
		return store_fail(&j->in.s, err, "%s", why);
	}
	if (*j->note)
		cmd_note(j->g, "%s", j->note);
	if (j->in.fresh && !mounts_last(j->in.s.dir))
		cmd_note(j->g,
			 "%s: its BPF file system is mounted in this mount namespace alone; the instance ends with the "
			 "last process in it",
			 j->in.s.dir);
	for (int i = 0; i < j->count; i++)
		report(j, &j->hook[i], j->had[i]);
	return 0;
}

static int work(struct job *j, char **names)
{
	int err = instance_lock(&j->in, j->g->pin, true);

	j->loader.s = &j->in.s;
	for (int i = 0; i < j->count && !err; i++)
		err = hook_init(&j->hook[i], &j->in, &j->loader, names[i]);
	if (!err)
		err = open_instance(j);
	/* a new instance guards from its first packet on; a running one keeps its rules if the attach fails */
	if (!err && j->config && j->in.fresh)
		err = guard_write(&j->in.s, &j->rules);
	if (!err)
		err = share(j);
	if (!err)
		err = attach_all(j);
	if (!err && j->config && !j->in.fresh)
		err = guard_write(&j->in.s, &j->rules);
	if (err && j->in.lock >= 0) {
		struct registry_row *rows;
		char why[WHY_SIZE];
		memcpy(why, j->in.s.why, sizeof(why));
		if (j->in.fresh && !registry_list(&j->in, &rows))
			instance_remove(&j->in);
		rmdir(j->in.s.dir); /* only if it is empty */
		store_fail(&j->in.s, err, "%s", why);
	}
	return err;
}

static int run(int argc, char **argv, const struct global *g)
{
	struct job j = {.g = g, .wish.one_way = -1, .in.lock = -1};
	char why[WHY_SIZE];
	int err = parse(&j, argc, argv);

	if (err)
		return err;
	ruleset_init(&j.rules);
	if (j.config && ruleset_load(&j.rules, j.config, why))
		return cmd_fail("%s; nothing was attached", why);
	if (!privilege_check(why, sizeof(why)) || !realtime_check(why, sizeof(why)))
		return cmd_fail("%s", why);
	load_logs(g->verbose);
	j.count = argc - optind;
	j.hook = calloc(j.count + 1, sizeof(*j.hook));
	j.had = calloc(j.count + 1, sizeof(*j.had));
	if (!j.hook || !j.had)
		return cmd_fail("out of memory");
	err = work(&j, argv + optind);
	if (err)
		cmd_fail("%s", j.in.s.why);
	load_close(&j.loader);
	instance_close(&j.in);
	ruleset_free(&j.rules);
	free(j.hook);
	free(j.had);
	return err ? EXIT_FAILED : EXIT_DONE;
}

#define HELP4_(symbol, name, ms, help) "    " name ": " help "\n"

#define GROUP_HELP \
	"  --group GROUP    members of GROUP may read the maps, too: `export` without root. Default for a new\n" \
	"                   instance: " SHARE_GROUP ", if there is such a group; --group root: nobody but root\n"

const struct command cmd_attach = {
	.name = "attach",
	.run = run,
	.usage = "attach IFACE... [--mode MODE] [--ingress-only] [--flows N] [--half-open N] [--no-ladder] [--timeout "
		 "NAME=DURATION]... [--config FILE] [--group GROUP]",
	.summary = "Watch these interfaces; attaching again upgrades in place and keeps connections and counters",
	.help = "  --mode auto      native, else generic, else tc; says which and why (default for a new interface)\n"
		"  --mode native    XDP in the driver\n"
		"  --mode generic   XDP after the driver: works everywhere, slower\n"
		"  --mode tc        traffic control; on veth the fastest, the only one without an Ethernet header\n"
		"  --ingress-only   leave the egress alone; what the visible half proves is inferred\n"
		"  --flows N        connections that have a place (default 262144)\n"
		"  --half-open N    half-open ones, which can never take the place of others (default 65536)\n"
		"  --config FILE    the guard's rules, as in `synwave guard apply` (default: as they are; off when "
		"new)\n"
		"  --no-ladder      do not remember segments for `show`: less than half the memory\n"
		"  --timeout NAME=DURATION   like syn_recv=63s; DURATION in ms, s, m, h or d; NAME one "
		"of\n" SW_TIMEOUTS(HELP4_) GROUP_HELP "Sizes, --ingress-only and --no-ladder are fixed while the "
						      "instance lives; modes, timeouts and the group are "
						      "not.\n",
};
