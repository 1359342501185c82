// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What killed commands, vanished interfaces and lost pins leave: put right, or swept away. */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attach.h"
#include "netns.h"

/* An attach was killed while it moved an interface that worked: the new hook stays if it is there. */
static int settle(struct instance *in, struct registry_row *row)
{
	struct hook h = iface_hook(in, row);
	struct hooks now;
	int err = 0;

	hook_look(&h, &now);
	if (now.have & PART_XDP && now.have & PART_IN & ~PART_XDP)
		err = hook_drop(&h,
				row->iface.ingress == SW_HOOK_XDP_NATIVE || row->iface.ingress == SW_HOOK_XDP_GENERIC
					? PART_XDP
					: PART_IN & ~PART_XDP);
	if (!err)
		err = xdp_settle(&h, &now);
	if (err) /* the next command tries again */
		return err;
	iface_sweep_dispatchers(in, &row->key);
	hook_look(&h, &now);
	iface_describe(&now, &row->iface);
	row->iface.ready &= ~SW_READY_CHANGE;
	return registry_put(in, &row->key, &row->iface);
}

void iface_mend(struct instance *in, void (*told)(void *ctx, const char *line), void *ctx)
{
	struct registry_row *rows;
	u32 n = registry_list(in, &rows);
	char line[WHY_SIZE];

	for (u32 i = 0; i < n; i++) {
		const char *what = NULL;
		struct hooks now = {.have = 1};
		enum iface_state state = iface_state(in, &rows[i], &now);

		if (state == IFACE_GONE)
			what = "has vanished: cleaned up";
		else if (!rows[i].iface.ready)
			what = "was left half attached by a killed command: taken off";
		else if (!now.have)
			what = "had its programs removed by others: forgotten";
		if ((what && iface_detach(in, &rows[i])) || (!what && rows[i].iface.ready & SW_READY_CHANGE &&
							     rows[i].key.netns == in->netns && settle(in, &rows[i]))) {
			told(ctx, in->s.why);
			continue;
		}
		if (!what && state == IFACE_INCOMPLETE)
			what = "has lost a hook (a killed command, or another's hand): attach it again";
		if (!what)
			continue;
		snprintf(line, sizeof(line), "%.15s %s", rows[i].iface.name, what);
		told(ctx, line);
	}
	free(rows);
}

struct sweeping {
	struct instance *in;
	int err; /* the first, with s.why */
	char why[WHY_SIZE];
};
static int sweep_here(void *ctx)
{
	struct sweeping *s = ctx;
	struct instance *in = s->in;
	struct if_nameindex *all = if_nameindex();

	for (struct if_nameindex *i = all; i && i->if_index; i++) {
		struct hook h = {.in = in, .key = {.netns = netns_own(), .ifindex = i->if_index}};
		int err;

		snprintf(h.name, sizeof(h.name), "%.15s", i->if_name);
		err = hook_drop(&h, ALL_PARTS);
		chain_sweep(in, i->if_index);
		if (err && !s->err) {
			s->err = err;
			memcpy(s->why, in->s.why, sizeof(s->why));
		}
	}
	if_freenameindex(all);
	return 0;
}

int iface_sweep(struct instance *in)
{
	struct sweeping s = {.in = in};

	if (in->map_ids && instance_sees_ids() && (!in->meta_id || instance_is_ours(in)))
		netns_each(sweep_here, &s);
	return s.err ? store_fail(&in->s, s.err, "%s", s.why) : 0;
}
