/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What people write: numbers, durations, rates, addresses. The whole string or nothing: false, and the target is as it
 * was. Addresses as in sw_key: network order, IPv4 mapped. */
#ifndef SYNWAVE_WORDS_H
#define SYNWAVE_WORDS_H

#include "synwave/abi.h"

/* A state by its name in RFC 9293, node_exporter or ss, in any case; TIME_WAIT, time-wait and timewait are one. -1: none. */
int words_state(const char *word);
#define WORDS_STATE_(symbol, name, node) " " name
#define WORDS_STATES                     SW_STATES(WORDS_STATE_)

extern const char *const sw_event_name[SW_EVENT_COUNT], *const sw_kind_name[SW_KIND_COUNT];

/* In [min, max]. */
bool words_number(const char *text, unsigned long long min, unsigned long long max, unsigned long long *value);
/* 500ms, 60s, 5m, 2h, 5d, up to a year, in ns. */
bool words_duration(const char *text, u64 *ns);
/* How often something is looked at: seconds, fractions allowed. */
#define WORDS_EVERY_MIN 0.05
#define WORDS_EVERY_MAX 86400.0
bool words_every(const char *text, double *seconds);
/* 50/s, 3000/m, 10/h: so many, each so long (ns). */
bool words_rate(const char *text, u64 *n, u64 *per_ns);
/* The unit of a rate, from ns: "s". */
const char *words_unit(u64 per_ns);
/* 192.0.2.1 or 2001:db8::1, without brackets. *v6 may be NULL; an IPv4-mapped address is IPv4. */
bool words_addr(const char *text, u32 addr[4], bool *v6);
/* 192.0.2.1:80 or [2001:db8::1]:80 */
bool words_endpoint(const char *text, u32 addr[4], u16 *port);
/* The same, and also :80 and *:80: *any_addr. */
bool words_service(const char *text, u32 addr[4], u16 *port, bool *any_addr);
/* An address, or ADDR/BITS whatever bits are set: the mask says what counts. */
bool words_network(const char *text, u32 addr[4], u32 mask[4]);
/* 192.0.2.0/24, 2001:db8::/32, or an address alone; *bits: of its family. False as well when bits beyond the prefix are
 * set; then *bits is set and says that it is this. */
bool words_prefix(const char *text, u32 addr[4], bool *v6, u32 *bits);

/* The mask of `bits` of an address of the family, in the form of a key (IPv4: 96 more). */
void words_mask(u32 mask[4], bool v6, u32 bits);

#endif
