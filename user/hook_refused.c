// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Why a device takes no program, in words: its own kind, devices above or beneath it, or what the kernel says. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "hook.h"

int hook_refuse_blind(struct hook *h)
{
	u32 count;
	struct device *d = devices_list(&count);
	const struct device *own = devices_find(d, count, h->key.ifindex);
	char names[200] = "";
	size_t len = 0;
	int err = 0;

	for (u32 i = 0; own && own->blind && i < count && len < sizeof(names); i++)
		if (device_is_above(own, &d[i]))
			len += snprintf(names + len, sizeof(names) - len, " %s", d[i].name);
	if (own && own->blind)
		err = store_fail(&h->in->s, -EOPNOTSUPP,
				 "%s: a frame passes the hooks of the device beneath a device of type %s, not its own: "
				 "attach to %s instead",
				 h->name, own->kind, *names ? names + 1 : "that one (there is none here)");
	free(d);
	return err;
}

/* The kernel takes no XDP program beneath another. */
static int refused_for_upper(struct hook *h, const char *mode)
{
	u32 count;
	struct device *d = devices_list(&count);
	const struct device *own = devices_find(d, count, h->key.ifindex);
	int found = 0;

	for (u32 i = 0; own && i < count && !found; i++)
		if (d[i].xdp && device_is_above(&d[i], own))
			found = store_fail(&h->in->s, -EEXIST,
					   "%s: no %s XDP: its upper device %s has an XDP program (id %u): attach "
					   "to that device instead, or use --mode tc",
					   h->name, mode, d[i].name, d[i].xdp);
	free(d);
	return found;
}

/* What the kernel says of a refusal by netlink, and has no words for when it is by link. NULL: nothing. */
static const char *kernel_says(void)
{
	static const char begin[] = "Kernel error message: ",
			  no_driver[] = "driver does not support XDP in native mode";
	const char *said = strstr(load_last(), begin);

	return said && !strstr(said, no_driver) ? said + strlen(begin) : NULL;
}

int hook_refused(struct hook *h, u32 mode, int fd, int err)
{
	u32 flags = mode == SW_HOOK_XDP_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	const char *word = mode == SW_HOOK_XDP_GENERIC ? "generic" : "native", *said;
	char say[WHY_SIZE], large[64];

	load_forget();
	if (!bpf_xdp_attach(h->key.ifindex, fd, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL))
		return 0; /* what was in the way is gone */
	if (err == -EEXIST && refused_for_upper(h, word))
		return err;
	said = kernel_says();
	if (mode == SW_HOOK_XDP_NATIVE && nic_judge(&h->nic, NIC_REFUSES, say))
		return store_fail(&h->in->s, err, "%s: %.400s: use --mode generic or tc", h->name, say);
	if (err == -EOPNOTSUPP && mode == SW_HOOK_XDP_NATIVE && !said)
		return store_fail(&h->in->s, err, "%s: driver %s has no native XDP%s: use --mode generic or tc",
				  h->name, h->nic.driver, h->nic.mtu > 1500 ? ", or none for an MTU above 1500" : "");
	snprintf(large, sizeof(large), " (MTU %u too large for it, or LRO?)", h->nic.mtu);
	return store_fail(&h->in->s, err, "%s: %s XDP refused (driver %s): %s%s", h->name, word, h->nic.driver,
			  said ?: strerror(-err),
			  said                               ? "; use another --mode"
			  : err == -EINVAL || err == -ERANGE ? large
							     : "");
}
