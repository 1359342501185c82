// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "scrape.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "netns.h"
#include "since.h"

void scrape_init(struct scrape *s, const char *pin)
{
	memset(s, 0, sizeof(*s));
	s->pin = pin;
	uname(&s->uts);
}

static void forget(struct scrape *s)
{
	snapshot_free(&s->snap);
	s->taken = false;
}

void scrape_free(struct scrape *s)
{
	forget(s);
}

/* A service that becomes one of the busiest takes its past along, one that ceases to be brings it: for Prometheus, a
 * counter that goes back has begun anew, and `other` would show its whole sum as a rate. So `other` counts what
 * happened while a service was in it, and nothing else. */
static void follow_other(struct scrape *s, u64 rest)
{
	struct snapshot_service *top = s->snap.service;
	u32 count = s->snap.services < SCRAPE_SERVICES ? s->snap.services : SCRAPE_SERVICES;
	u64 last = s->other_syn;
	bool first = s->before.created_ns != s->snap.created_ns;

	if (first)
		s->before.moved = 0;
	for (u32 i = 0; i < count && !first; i++)
		if (!since_service(s->before.top, s->before.count, &top[i].key))
			s->before.moved += top[i].count.syn;
	for (u32 i = 0; i < s->before.count && !first; i++)
		if (!since_service(top, count, &s->before.top[i].key))
			s->before.moved -= s->before.top[i].count.syn;
	s->other_syn = rest + s->before.moved;
	/* services and the rest are not read at the same instant */
	if (!first && (s64)(s->other_syn - last) < 0)
		s->other_syn = last;
	s->before.created_ns = s->snap.created_ns;
	s->before.count = count;
	memcpy(s->before.top, top, count * sizeof(*top));
}

static int take(struct scrape *s, struct store *store)
{
	u64 begin = store_now();
	struct snapshot_service rest;
	int err = snapshot_take(&s->snap, store);

	if (err)
		return err;
	rest = snapshot_rest(&s->snap, SCRAPE_SERVICES);
	follow_other(s, rest.count.syn);
	s->other_half_open = rest.half_open;
	s->took_ns = store_now() - begin;
	s->taken = true;
	return 0;
}

int scrape_take(struct scrape *s, u64 max_age_ns)
{
	struct store store;
	int err = store_open(&store, s->pin);

	if (!err && s->taken && s->snap.created_ns == store.info.created_ns &&
	    store_now() - s->snap.now_ns < max_age_ns) {
		store_close(&store);
		return 0;
	}
	forget(s);
	if (!err) {
		err = take(s, &store);
		store_close(&store);
	}
	if (err) {
		forget(s);
		memcpy(s->why, store.why, sizeof(s->why));
	}
	return err;
}

struct health {
	u64 netns;
	u32 ready, gone;
};

static int look(void *ctx, const struct sw_iface_key *key, const struct sw_iface *iface)
{
	struct health *h = ctx;
	char name[IF_NAMESIZE];

	if (!iface->ready)
		return 0;
	h->ready++;
	/* other network namespaces cannot be looked into from here */
	h->gone += key->netns == h->netns && !if_indextoname(key->ifindex, name) && errno == ENXIO;
	return 0;
}

int scrape_health(struct scrape *s)
{
	struct health h = {.netns = netns_own()};
	struct store store;
	int err = store_open(&store, s->pin);

	if (!err) {
		err = store_ifaces(&store, look, &h);
		if (!err && !h.ready)
			err = store_fail(&store, -ENODEV, "no interface is attached at %s (synwave attach IFACE)",
					 s->pin);
		else if (!err && h.gone == h.ready)
			err = store_fail(&store, -ENODEV, "the interfaces attached at %s are gone", s->pin);
		store_close(&store);
	}
	if (err)
		memcpy(s->why, store.why, sizeof(s->why));
	return err;
}
