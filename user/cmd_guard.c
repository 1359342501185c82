// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave guard: shows the rules and what they did; changes them, all at once. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "guard_store.h"
#include "instance.h"
#include "load.h"
#include "render.h"
#include "snapshot.h"

/* One change of the rules. `word`: what stands on the command line. */
typedef int change(struct ruleset *rs, char *word, char *why);

static int change_allow(struct ruleset *rs, char *word, char *why)
{
	return ruleset_list(rs, SW_LIST_ALLOW, word, why);
}

static int change_deny(struct ruleset *rs, char *word, char *why)
{
	return ruleset_list(rs, SW_LIST_DENY, word, why);
}

static int change_remove(struct ruleset *rs, char *word, char *why)
{
	return ruleset_list(rs, 0, word, why);
}

/* "50/s burst 100 over drop" or "none". 1: a limit, 0: none, or -EINVAL. */
static int parse_limit(char *text, struct sw_limit *l, bool service, char *why)
{
	struct limit_words w = {.rate = strtok(text, " \t")};
	struct {
		const char *name, **to;
	} words[] = {{"burst", &w.burst}, {"over", &w.over}, {"local", &w.local}};
	int err;

	if (w.rate && !strcmp(w.rate, "none") && !strtok(NULL, " \t"))
		return 0;
	for (char *word = strtok(NULL, " \t"); w.rate && word; word = strtok(NULL, " \t")) {
		const char **to = NULL;
		for (size_t i = 0; i < (service ? SW_ARRAY_SIZE(words) : 1); i++)
			if (!strcmp(word, words[i].name))
				to = words[i].to;
		if (!to || *to || !(*to = strtok(NULL, " \t"))) {
			snprintf(why, RULESET_WHY, "%.60s: not RATE [burst N]%s, or none", word,
				 service ? " [over cookie|drop] [local yes|no|learn]" : "");
			return -EINVAL;
		}
	}
	w.rate = w.rate ? w.rate : "";
	err = ruleset_limit(l, &w, why);
	return err ? err : 1;
}

/* source.ipv4/24=50/s burst 100 */
static int set_source(struct ruleset *rs, const char *name, char *value, char *why)
{
	unsigned int bits;
	struct sw_limit l;
	bool v6 = !strncmp(name, "ipv6/", 5);
	int end = 0, err;

	if ((!v6 && strncmp(name, "ipv4/", 5)) || sscanf(name + 5, "%3u%n", &bits, &end) != 1 || name[5 + end] ||
	    bits > (v6 ? 128 : 32)) {
		snprintf(why, RULESET_WHY, "source.%.40s: not source.ipv4/PREFIX or source.ipv6/PREFIX", name);
		return -EINVAL;
	}
	err = parse_limit(value, &l, false, why);
	if (!err)
		ruleset_no_source(rs, v6, bits);
	return err > 0 ? ruleset_source(rs, v6, bits, &l, why) : err;
}

static int set_service(struct ruleset *rs, const char *name, char *value, char *why)
{
	struct sw_limit l;
	int some = parse_limit(value, &l, true, why);

	return some < 0 ? some : ruleset_service(rs, name, some ? &l : NULL, why);
}

static int change_set(struct ruleset *rs, char *word, char *why)
{
	char *value = strchr(word, '=');

	if (!value) {
		snprintf(why, RULESET_WHY, "%.60s: not KEY=VALUE", word);
		return -EINVAL;
	}
	*value++ = 0;
	if (!strcmp(word, "mode"))
		return ruleset_mode(rs, value, why);
	if (!strcmp(word, "verified"))
		return ruleset_verified(rs, value, why);
	if (!strncmp(word, "source.", 7))
		return set_source(rs, word + 7, value, why);
	if (!strncmp(word, "service.", 8))
		return set_service(rs, word + 8, value, why);
	return ruleset_flag(rs, word, value, why);
}

/* Changes what is in force: under the lock from the reading to the writing, so that two at once both count. */
static int edit(change *each, char **words, const char *file, const struct global *g)
{
	struct instance in;
	struct ruleset rs;
	char why[RULESET_WHY];
	int err = 0, bad = 0;

	ruleset_init(&rs);
	if (file && ruleset_load(&rs, file, why))
		return cmd_fail("%s; what is in force stays in force", why);
	err = instance_lock(&in, g->pin, false);
	if (!err)
		err = instance_open(&in);
	if (!err && !file)
		err = guard_read(&in.s, &rs);
	for (; !err && !bad && words && *words; words++)
		bad = each(&rs, *words, why);
	if (!err && !bad)
		err = guard_write(&in.s, &rs);
	if (err)
		cmd_fail("%s", in.s.why);
	else if (bad)
		cmd_usage(&cmd_guard, "%s; nothing was changed", why);
	else
		cmd_note(g, "mode %s, %u source rows, %u services%s, %u prefixes", guard_mode_name[rs.rules.mode],
			 rs.rules.rows, rs.services, rs.rules.other.interval ? " and the default" : "", rs.prefixes);
	ruleset_free(&rs);
	instance_close(&in);
	return err ? EXIT_FAILED : bad ? EXIT_USAGE : EXIT_DONE;
}

static int show(const struct global *g, bool yaml)
{
	struct guard_view v = {0};
	struct store s;
	int err = store_open(&s, g->pin);

	if (!err)
		err = guard_read(&s, &v.rules);
	if (!err && !yaml) {
		v.now_ns = store_now();
		err = store_stats(&s, &v.count);
		v.tops = err ? err : guard_top(&s, v.top, GUARD_TOP);
		v.verified = v.tops < 0 ? v.tops : guard_verified(&s, &v.rules.rules, v.now_ns);
		err = v.verified < 0 ? v.verified : 0;
	}
	if (err) {
		cmd_fail("%s", s.why);
	} else if (yaml) {
		ruleset_print(&v.rules, stdout);
	} else if (g->json) {
		struct json *j = json_open(stdout);
		render_guard_json(j, &v);
		json_close(j);
	} else {
		render_guard_text(stdout, &v);
	}
	ruleset_free(&v.rules);
	store_close(&s);
	return err ? EXIT_FAILED : EXIT_DONE;
}

static const struct {
	const char *name;
	change *each;
} changes[] = {{"set", change_set}, {"allow", change_allow}, {"deny", change_deny}, {"remove", change_remove}};

static int run(int argc, char **argv, const struct global *g)
{
	const char *verb = argc > 1 ? argv[1] : "show";
	bool yaml = argc == 3 && !strcmp(argv[2], "--yaml");

	load_logs(g->verbose);
	if (!strcmp(verb, "show")) {
		if (argc > 2 + yaml)
			return cmd_usage(&cmd_guard, "show %s: nothing but --yaml", argv[2]);
		return show(g, yaml);
	}
	if (!strcmp(verb, "apply")) {
		if (argc != 3)
			return cmd_usage(&cmd_guard, "apply: one file");
		return edit(NULL, NULL, argv[2], g);
	}
	for (size_t i = 0; i < SW_ARRAY_SIZE(changes); i++) {
		if (strcmp(verb, changes[i].name))
			continue;
		if (argc < 3)
			return cmd_usage(&cmd_guard, "%s: what?", verb);
		return edit(changes[i].each, argv + 2, NULL, g);
	}
	return cmd_usage(&cmd_guard, "%s: neither show, set, allow, deny, remove nor apply", verb);
}

const struct command cmd_guard = {
	.name = "guard",
	.run = run,
	.usage = "guard [show [--yaml]|set KEY=VALUE...|allow CIDR...|deny CIDR...|remove CIDR...|apply FILE]",
	.summary = "Limit SYN rates, answer floods with SYN cookies; off until told otherwise",
	.help = "  show           the rules, what they did, and who is limited most (--yaml: the rules as a file)\n"
		"  set mode=off|dry-run|enforce   dry-run counts what enforce would do, and does nothing\n"
		"  set 'source.ipv4/32=50/s burst 100'   a limit per source prefix; =none removes it\n"
		"  set 'service.default=2000/s burst 4000 over cookie'   per listening address and port, over all "
		"sources;\n"
		"                 service.ADDR:PORT for one of them; over cookie challenges, over drop drops\n"
		"  set cookie_fallback=pass|drop  what becomes of a SYN that cannot be challenged here (pass)\n"
		"                 [local yes|no|learn]: does this host answer for it? learn: if it was seen to "
		"(default)\n"
		"  set bogus_acks=pass|drop       ACKs without a valid cookie, while cookies are out (pass)\n"
		"  set fragments=drop|pass        fragments that cut the TCP header, and more VLAN tags or extension\n"
		"                 headers than can be followed: what may hide a SYN (drop)\n"
		"  set verified=1h                how long a source that completed a handshake passes the service's "
		"limit\n"
		"  allow, deny, remove CIDR       never limited, never admitted, neither\n"
		"  apply FILE     replaces all rules by those of a YAML file, or changes nothing and says why\n"
		"Every SYN without ACK that comes in is judged.\n",
};
