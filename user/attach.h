/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Interfaces of an instance: attached, moved, mended, taken off. Functions return 0 or -errno with a line in s.why. */
#ifndef SYNWAVE_ATTACH_H
#define SYNWAVE_ATTACH_H

#include "hook.h"

enum mode { MODE_KEEP, MODE_AUTO, MODE_NATIVE, MODE_GENERIC, MODE_TC };

/* Whatever state h is in: attached in that mode afterwards, or as before. *had: it was attached before. */
int iface_attach(struct hook *h, enum mode mode, bool one_way, bool *had);
/* Takes ours off and out of the registry; what cannot be taken off stays in it. row: of any network namespace. */
int iface_detach(struct instance *in, const struct registry_row *row);

enum iface_state { IFACE_UP, IFACE_GONE, IFACE_ELSEWHERE, IFACE_INCOMPLETE };
/* now: what was found, if it is here. */
enum iface_state iface_state(struct instance *in, const struct registry_row *row, struct hooks *now);

/* Puts right what killed commands and vanished interfaces left; `why` of what it did goes to `told`. */
void iface_mend(struct instance *in, void (*told)(void *ctx, const char *line), void *ctx);
/* Takes everything that uses this instance's pinned maps off every interface in reach, without the registry. Does
 * nothing where this process may not ask for programs by id, or meta is another's. All of it is tried, whatever fails. */
int iface_sweep(struct instance *in);

/* For these: a row's interface, of this network namespace; and what is left of libxdp's dispatchers there. */
struct hook iface_hook(struct instance *in, const struct registry_row *row);
void iface_sweep_dispatchers(struct instance *in, const struct sw_iface_key *key);

/* What really hangs there, as the registry and status say it. */
void iface_describe(const struct hooks *now, struct sw_iface *iface);

#endif
