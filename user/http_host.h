/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The Host header. A page of any site can have its own name resolved to our address and then read our answers (DNS
 * rebinding); the browser still sends that name. So only those are answered that nobody else can own: IP addresses and
 * localhost, and those that the operator names. */
#ifndef SYNWAVE_HTTP_HOST_H
#define SYNWAVE_HTTP_HOST_H

#include <stdbool.h>

#define HTTP_HOST_SIZE 254

/* Letters, digits, '-', '_' and '.': no port, no address in brackets. */
bool http_host_is_name(const char *text);

/* The header without its port, brackets and final dot. False: it is none. */
bool http_host_split(const char *header, char name[HTTP_HOST_SIZE], bool *bracketed);

/* names: more of them, up to a NULL. In any case, with a final dot or without, with any port. */
bool http_host_known(const char *header, const char *const *names);

#endif
