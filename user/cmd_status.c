// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synwave status: where it hangs, what this kernel can do, how full the tables are. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "cmd.h"
#include "conf.h"
#include "feature.h"
#include "local.h"
#include "netns.h"
#include "render.h"
#include "snapshot.h"

static const char *const state_name[] = {
	[IFACE_UP] = "up", [IFACE_GONE] = "gone", [IFACE_ELSEWHERE] = "elsewhere", [IFACE_INCOMPLETE] = "incomplete"};

#define STATUS_SERVICES 20

struct row {
	struct registry_row reg;
	enum iface_state state;
	char program[16]; /* of the ingress; empty or "?": not known */
};

struct status {
	struct instance in;
	struct snapshot snap;
	struct utsname uts;
	bool has[FEATURE_COUNT];
	char cookies[192]; /* when the guard can answer with them, here */
	struct row *row;
	u32 rows;
	bool *local; /* of snap.service: answered by this host itself, so that the guard may answer for it */
};

/* The busiest; the others are seen in `stats`. */
static u32 shown_services(const struct status *s)
{
	return s->snap.services < STATUS_SERVICES ? s->snap.services : STATUS_SERVICES;
}

static void find_local(struct status *s)
{
	u64 *netns = calloc(s->rows + 1, sizeof(*netns));

	s->local = calloc(s->snap.services + 1, sizeof(*s->local));
	for (u32 i = 0; netns && i < s->rows; i++)
		netns[i] = s->row[i].reg.key.netns;
	for (u32 i = 0; netns && s->local && i < shown_services(s); i++)
		s->local[i] = local_service(&s->in.s, &s->snap.service[i].key, netns, s->rows);
	free(netns);
}

/* The modes really in use: what hangs there now, not what was meant. */
static void look(struct status *s, struct row *r)
{
	char name[IF_NAMESIZE];
	struct hooks now = {};

	r->state = iface_state(&s->in, &r->reg, &now);
	if (r->reg.key.netns != s->in.netns || r->state == IFACE_GONE || r->state == IFACE_ELSEWHERE)
		return;
	iface_describe(&now, &r->reg.iface);
	for (enum part p = 0; p < PART_COUNT; p++)
		if (now.have & PART_IN & 1 << p)
			xdp_name(now.prog[p], r->program);
	if (if_indextoname(r->reg.key.ifindex, name))
		memcpy(r->reg.iface.name, name, sizeof(r->reg.iface.name));
}

static int sysctl(const char *name)
{
	char path[64];
	FILE *in;
	int n = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	in = fopen(path, "re");
	if (in && fscanf(in, "%d", &n) != 1)
		n = -1;
	if (in)
		fclose(in);
	return n;
}

/* What the kernel lets the guard do in this network namespace. */
static void describe_cookies(struct status *s)
{
	int cookies = sysctl("tcp_syncookies"), stamps = sysctl("tcp_timestamps");
	const char *instead = s->snap.guard.flags & SW_GUARD_NO_COOKIE_DROP ? "dropped" : "passed";

	if (!s->has[FEATURE_COOKIES])
		snprintf(s->cookies, sizeof(s->cookies), "none, this kernel lacks the helpers (such SYNs are %s)",
			 instead);
	else if (cookies < 0)
		snprintf(s->cookies, sizeof(s->cookies),
			 "none, this kernel has no net.ipv4.tcp_syncookies (such SYNs are %s)", instead);
	else if (!cookies)
		snprintf(s->cookies, sizeof(s->cookies), "none, net.ipv4.tcp_syncookies=0 (such SYNs are %s)", instead);
	else if (!s->has[FEATURE_LISTENER])
		snprintf(s->cookies, sizeof(s->cookies),
			 "when a listener's queue is full, till then the kernel gets the SYN; SACK and timestamps "
			 "lost (this kernel's BTF lacks fields of the listener)");
	else
		snprintf(s->cookies, sizeof(s->cookies), "%s; no window scale, SACK and timestamps %s",
			 cookies == 2 ? "at once (net.ipv4.tcp_syncookies=2)"
				      : "when a listener's queue is full, till then the kernel gets the SYN "
					"(net.ipv4.tcp_syncookies=1)",
			 stamps == 2 ? "kept" : "lost (net.ipv4.tcp_timestamps=2 keeps them)");
}

static int collect(struct status *s, const char *dir)
{
	struct registry_row *reg;
	int err;

	s->in.netns = netns_own();
	snprintf(s->in.s.dir, sizeof(s->in.s.dir), "%s", dir);
	err = instance_open(&s->in);
	if (!err)
		err = snapshot_take(&s->snap, &s->in.s);
	if (err)
		return err;
	s->rows = registry_list(&s->in, &reg);
	s->row = calloc(s->rows + 1, sizeof(*s->row));
	for (u32 i = 0; s->row && i < s->rows; i++) {
		s->row[i].reg = reg[i];
		look(s, &s->row[i]);
		s->has[FEATURE_DISPATCHER] |= s->row[i].reg.iface.chained;
	}
	free(reg);
	if (!s->row)
		return store_fail(&s->in.s, -ENOMEM, "out of memory");
	uname(&s->uts);
	for (int f = 0; f < FEATURE_COUNT; f++)
		s->has[f] = s->has[f] || feature[f].works();
	describe_cookies(s);
	find_local(s);
	return s->local ? 0 : store_fail(&s->in.s, -ENOMEM, "out of memory");
}

static void date(u64 ns, char *text, size_t size)
{
	time_t t = ns / SW_NS_PER_S;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void json_iface(struct json *j, const struct row *r)
{
	const struct sw_iface *i = &r->reg.iface;
	char since[32];

	date(i->since_ns, since, sizeof(since));
	json_obj(j);
	json_ks(j, "name", i->name);
	json_kn(j, "ifindex", r->reg.key.ifindex);
	json_kn(j, "netns", r->reg.key.netns);
	json_ks(j, "ingress", hook_name(i->ingress));
	json_ks(j, "egress", hook_name(i->egress));
	json_key(j, "chained");
	json_bool(j, i->chained);
	json_ks(j, "program", *r->program && *r->program != '?' ? r->program : NULL);
	json_ks(j, "why", chain_why(i));
	json_ks(j, "since", since);
	json_ks(j, "state", state_name[r->state]);
	json_end_obj(j);
}

static void print_memory(const struct sw_conf *conf)
{
	printf("\nMemory     connections %.1f MiB, %u bytes a flow and %u a half-open one; ladders %.1f MiB\n",
	       conf_memory(conf) / 1048576.0, conf_place(sizeof(struct sw_live)), conf_place(sizeof(struct sw_half)),
	       conf_ladder_memory(conf) / 1048576.0);
}

static void json_tables(struct json *j, const struct snapshot *m)
{
	json_key(j, "tables");
	json_arr(j);
	for (int t = 0; t < TABLE_COUNT; t++) {
		json_obj(j);
		json_ks(j, "name", snapshot_table_name[t]);
		json_kn(j, "entries", m->table[t].entries);
		json_kn(j, "capacity", m->table[t].capacity);
		json_end_obj(j);
	}
	json_end_arr(j);
}

/* Bytes of kernel memory. */
static void json_memory(struct json *j, const struct sw_conf *conf)
{
	json_key(j, "memory");
	json_obj(j);
	json_kn(j, "connections", conf_memory(conf));
	json_kn(j, "ladders", conf_ladder_memory(conf));
	json_kn(j, "per_flow", conf_place(sizeof(struct sw_live)));
	json_kn(j, "per_half_open", conf_place(sizeof(struct sw_half)));
	json_end_obj(j);
}

static void json_flag(struct json *j, const char *key, bool b)
{
	json_key(j, key);
	json_bool(j, b);
}

static void json_services(struct json *j, const struct status *s)
{
	char addr[TEXT_SIZE];

	json_key(j, "services");
	json_arr(j);
	for (u32 i = 0; i < shown_services(s); i++) {
		const struct sw_service_key *k = &s->snap.service[i].key;

		json_obj(j);
		json_ks(j, "addr", text_addr(addr, k->addr));
		json_kn(j, "port", k->port);
		json_flag(j, "local", s->local[i]);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void print_json(const struct status *s)
{
	const struct sw_meta *m = &s->in.s.info;
	struct json *j = json_open(stdout);
	char created[32];

	date(m->created_ns, created, sizeof(created));
	json_obj(j);
	json_ks(j, "pin", s->in.s.dir);
	json_ks(j, "version", m->version);
	json_ks(j, "created", created);
	json_kn(j, "layout", m->layout);
	json_kn(j, "flows", m->flows);
	json_kn(j, "half_open", m->half_open);
	json_flag(j, "ingress_only", m->conf.one_way);
	json_flag(j, "ladders", m->conf.ladder);
	json_kn(j, "traces", s->snap.traces);
	json_ks(j, "kernel", s->uts.release);
	json_key(j, "features");
	json_obj(j);
	for (int f = 0; f < FEATURE_COUNT; f++)
		json_flag(j, feature[f].key, s->has[f]);
	json_end_obj(j);
	json_key(j, "interfaces");
	json_arr(j);
	for (u32 i = 0; i < s->rows; i++)
		json_iface(j, &s->row[i]);
	json_end_arr(j);
	json_tables(j, &s->snap);
	json_kn(j, "sets_changing", s->snap.sets_changing);
	json_memory(j, &m->conf);
	json_key(j, "guard");
	json_obj(j);
	json_ks(j, "mode", guard_mode_name[s->snap.guard.mode]);
	json_kn(j, "source_rows", s->snap.guard.rows);
	json_kn(j, "services", s->snap.guard.services);
	json_kn(j, "prefixes", s->snap.guard.listed);
	json_ks(j, "cookies", s->cookies);
	json_end_obj(j);
	json_services(j, s);
	json_end_obj(j);
	json_line(j);
	json_close(j);
}

static void print_ifaces(const struct status *s)
{
	char since[32], where[40], name[TEXT_SIZE];

	if (!s->rows)
		printf("\nNo interface is attached.\n");
	else
		printf("\n%-15s  %-10s  %-11s  %-7s  %-7s  %s\n", "INTERFACE", "STATE", "INGRESS", "EGRESS", "CHAINED",
		       "SINCE");
	for (u32 i = 0; i < s->rows; i++) {
		const struct registry_row *r = &s->row[i].reg;

		date(r->iface.since_ns, since, sizeof(since));
		snprintf(where, sizeof(where), "  netns %llu", (unsigned long long)r->key.netns);
		printf("%-15s  %-10s  %-11s  %-7s  %-7s  %s%s\n", text_name(name, sizeof(name), r->iface.name),
		       state_name[s->row[i].state], hook_name(r->iface.ingress), hook_name(r->iface.egress),
		       r->iface.chained ? "yes" : "no", since, r->key.netns == s->in.netns ? "" : where);
	}
}

/* Which program runs, where it is not the usual one in libxdp's dispatcher, and why; what holds for all interfaces is said
 * with the kernel. */
static void print_programs(const struct status *s)
{
	char name[TEXT_SIZE];

	for (u32 i = 0; i < s->rows; i++) {
		const struct row *r = &s->row[i];
		const struct sw_iface *f = &r->reg.iface;
		const char *why = *r->program ? chain_why(f) : NULL;

		if (why && s->has[FEATURE_DISPATCHER])
			printf("%s runs %s %s: %s\n", text_name(name, sizeof(name), f->name), r->program,
			       f->chained ? "in libxdp's dispatcher" : "alone", why);
	}
}

/* What is the matter where XDP is on. Its programs compare a frame's target with the address of the time of the attach. */
static void print_matters(const struct status *s)
{
	for (u32 i = 0; i < s->rows; i++) {
		const struct sw_iface *f = &s->row[i].reg.iface;
		bool native = f->ingress == SW_HOOK_XDP_NATIVE, xdp = native || f->ingress == SW_HOOK_XDP_GENERIC;
		char say[WHY_SIZE];
		struct nic n;
		u8 mac[6];

		if (s->row[i].state != IFACE_UP || !xdp)
			continue;
		if (hook_mac(f->name, mac) && memcmp(mac, f->mac, sizeof(mac)))
			printf("%s has another MAC address than when it was attached: no SYN is challenged there until "
			       "it is attached again\n",
			       f->name);
		nic_look(&n, f->name);
		if (native && nic_judge(&n, NIC_BLIND | NIC_NO_TX, say))
			printf("%s: %s\n", f->name, say);
	}
}

static void print_kernel(const struct status *s)
{
	printf("Kernel     %s:", s->uts.release);
	for (int f = 0; f < FEATURE_COUNT; f++) {
		const char *instead = s->has[f] ? NULL : feature[f].without;

		printf("%s %s %s%s%s%s", f ? "," : "", feature[f].name, s->has[f] ? "yes" : "no", instead ? " (" : "",
		       instead ? instead : "", instead ? ")" : "");
	}
	putchar('\n');
}

static void print_services(const struct status *s)
{
	char addr[TEXT_SIZE], name[TEXT_SIZE];

	if (s->snap.services)
		printf("\n%-40s  %s\n", "SERVICE", "ANSWERED BY");
	for (u32 i = 0; i < shown_services(s); i++) {
		const struct sw_service_key *k = &s->snap.service[i].key;

		printf("%-40s  %s\n", text_endpoint(name, text_addr(addr, k->addr), k->port),
		       s->local[i] ? "this host" : "another host, or not seen to");
	}
}

static void print_text(const struct status *s)
{
	const struct sw_meta *m = &s->in.s.info;
	char created[32];

	date(m->created_ns, created, sizeof(created));
	printf("Instance   %s (synwave %s, layout %u), since %s%s\n", s->in.s.dir, m->version, m->layout, created,
	       m->conf.one_way ? ", ingress only" : "");
	print_kernel(s);
	printf("Guard      %s; cookies: %s\n", guard_mode_name[s->snap.guard.mode], s->cookies);
	printf("Traces     %u of %d listen%s\n", s->snap.traces, SW_READERS,
	       m->conf.ladder ? "" : "; no ladders are kept");
	print_ifaces(s);
	print_programs(s);
	print_matters(s);
	printf("\n%-15s  %12s  %12s  %6s\n", "TABLE", "ENTRIES", "CAPACITY", "USED");
	for (int t = 0; t < TABLE_COUNT; t++) {
		const struct snapshot_table *tab = &s->snap.table[t];

		printf("%-15s  %12llu  %12llu  %5.1f%%\n", snapshot_table_name[t], (unsigned long long)tab->entries,
		       (unsigned long long)tab->capacity, tab->capacity ? 100.0 * tab->entries / tab->capacity : 0);
	}
	if (s->snap.sets_changing)
		printf("\n%llu of %u sets of connections changed faster than they could be read.\n",
		       s->snap.sets_changing, m->conf.sets);
	print_services(s);
	print_memory(&m->conf);
}

static int run(int argc, char **argv, const struct global *g)
{
	struct status s = {.in.lock = -1};
	int err;

	if (argc > 1)
		return cmd_usage(&cmd_status, "%s: status takes nothing more", argv[1]);
	load_logs(g->verbose);
	err = collect(&s, g->pin);
	if (err)
		cmd_fail("%s", s.in.s.why);
	else if (g->json)
		print_json(&s);
	else
		print_text(&s);
	snapshot_free(&s.snap);
	instance_close(&s.in);
	free(s.row);
	free(s.local);
	return err ? EXIT_FAILED : EXIT_DONE;
}

const struct command cmd_status = {
	.name = "status",
	.run = run,
	.usage = "status",
	.summary = "Interfaces, modes really in use, kernel features, table sizes and use",
	.help = "STATE is up, gone (the interface vanished; the next attach or detach cleans up), elsewhere (in "
		"another\n"
		"network namespace), or incomplete (a command was killed, or others removed a program).\n",
};
