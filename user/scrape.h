/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One reading for an exporter: a snapshot and what is remembered from the readings before. */
#ifndef SYNWAVE_SCRAPE_H
#define SYNWAVE_SCRAPE_H

#include <sys/utsname.h>

#include "snapshot.h"

#define SCRAPE_SERVICES 20 /* the busiest get a series of their own */

struct scrape {
	const char *pin;
	struct utsname uts;
	struct snapshot snap; /* valid if `taken` */
	bool taken;
	u64 took_ns; /* reading it */
	u64 other_syn, other_half_open; /* of all services but the busiest */
	char why[WHY_SIZE];

	/* So that `other` does not go back when a service enters or leaves the busiest. */
	struct {
		u64 created_ns; /* the instance that this is about */
		u64 moved; /* what `other` keeps of services that left it, less what others brought along; modulo 2^64 */
		u32 count;
		struct snapshot_service top[SCRAPE_SERVICES];
	} before;
};

void scrape_init(struct scrape *s, const char *pin);
void scrape_free(struct scrape *s);

/* A reading no older than max_age_ns: 0, or -errno with s->why. The pins are opened anew each time: after a detach and
 * an attach, the maps of before would stand still for ever. */
int scrape_take(struct scrape *s, u64 max_age_ns);
/* Something is attached and can be read: 0, or -errno with s->why. Touches no table. */
int scrape_health(struct scrape *s);

#endif
