// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "feature.h"

#include <bpf/btf.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "hook.h"
#include "realtime.h"

static bool tcx(void)
{
	return tcx_works(if_nametoindex("lo"));
}

static bool btf(void)
{
	return !access("/sys/kernel/btf/vmlinux", R_OK);
}

static bool has_member(const struct btf *types, const char *structure, const char *member)
{
	int id = btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
	const struct btf_type *t = id > 0 ? btf__type_by_id(types, id) : NULL;

	for (int i = 0; t && i < btf_vlen(t); i++)
		if (!strcmp(btf__str_by_offset(types, btf_members(t)[i].name_off), member))
			return true;
	return false;
}

/* As the programs ask by bpf_core_field_exists. */
static bool listener(void)
{
	struct btf *types = btf__load_vmlinux_btf();
	bool all = types && has_member(types, "netns_ipv4", "sysctl_tcp_syncookies") &&
		   has_member(types, "netns_ipv4", "sysctl_tcp_timestamps") &&
		   has_member(types, "request_sock_queue", "qlen");

	btf__free(types);
	return all;
}

const struct feature_row feature[FEATURE_COUNT] = {
	[FEATURE_TCX] = {"tcx", "TCX", "clsact instead", tcx},
	[FEATURE_DISPATCHER] = {"xdp_dispatcher", "XDP dispatcher", "XDP runs alone", chain_works},
	[FEATURE_BTF] = {"btf", "BTF", NULL, btf},
	[FEATURE_COOKIES] = {"cookie_helpers", "cookie helpers", "the guard passes or drops instead", load_cookies},
	[FEATURE_SERIAL] = {"serial_softirqs", "serial softirqs", "PREEMPT_RT without its BH lock: attach refuses",
			    realtime_fits},
	[FEATURE_LISTENER] = {"listener_fields", "listener's fields", "cookies carry fewer options", listener},
};
