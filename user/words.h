/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What people type: states, endpoints, prefixes. And the words of tables.h by number. */
#ifndef SYNWAVE_WORDS_H
#define SYNWAVE_WORDS_H

#include "synwave/abi.h"

/* Names of RFC 9293, node_exporter and ss, in any case; TIME_WAIT, time-wait and timewait are one. -1: none of them. */
int word_state(const char *word);

#define WORD_STATE_(symbol, name, node) " " name
#define WORD_STATES                     SW_STATES(WORD_STATE_)

/* ADDR:PORT or [ADDR]:PORT (IPv6), address as in sw_key, port in host order. With `any_addr`, also :PORT and *:PORT. */
bool word_endpoint(const char *text, u32 addr[4], u16 *port, bool *any_addr);

/* ADDR or ADDR/BITS as an address and the mask of what counts of it, both as in sw_key. */
bool word_prefix(const char *text, u32 addr[4], u32 mask[4]);

extern const char *const sw_event_name[SW_EVENT_COUNT], *const sw_kind_name[SW_KIND_COUNT];

#endif
