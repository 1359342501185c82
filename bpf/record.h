/* SPDX-License-Identifier: GPL-2.0-only */
/* What a step reported, counted: per CPU, after the set is unlocked. */
#ifndef SYNWAVE_RECORD_H
#define SYNWAVE_RECORD_H

#include "synwave/hist.h"
#include "synwave/tracker.h"

#include "maps.h"
#include "uapi.h"

#define SERVICE_EVENTS \
	(1ULL << SW_EV_SYN_NEW | 1ULL << SW_EV_SYNACK_NEW | 1ULL << SW_EV_COMPLETED | 1ULL << SW_EV_REFUSED)

static __always_inline void service_add(struct sw_service *v, u64 events)
{
	v->syn += events >> SW_EV_SYN_NEW & 1;
	v->synack += events >> SW_EV_SYNACK_NEW & 1;
	v->completed += events >> SW_EV_COMPLETED & 1;
	v->refused += events >> SW_EV_REFUSED & 1;
}

/* An entry of its own gets only a service that was seen to answer, where nobody can do it in its name (sw_step.answered): a
 * scan of closed ports takes no memory, nor do forged SYN-ACKs. What was counted under "other" before moves along. */
static __always_inline void record_service(const struct sw_step *s, const struct sw_packet *p, struct sw_stats *st)
{
	struct sw_service_key key = {};
	struct sw_service *v, fresh = {};
	u32 side = s->server & 1;

	__builtin_memcpy(key.addr, side ? p->key.addr[1] : p->key.addr[0], sizeof(key.addr));
	key.port = side ? p->key.port[1] : p->key.port[0];
	v = bpf_map_lookup_elem(&services, &key);
	if (v) {
		service_add(v, s->events);
		return;
	}
	if (s->answered) {
		bool counted = !(s->events >> SW_EV_SYNACK_NEW & 1); /* its SYN-ACK, when another hook saw it */

		service_add(&fresh, s->events);
		u32 syn = s->syn_seen && !s->anew; /* a SYN on a connection that lived was not counted as a new one */

		fresh.syn += syn;
		fresh.synack += counted;
		long err = bpf_map_update_elem(&services, &key, &fresh, BPF_NOEXIST);
		v = err ? bpf_map_lookup_elem(&services, &key) : NULL; /* another CPU was first? */
		if (v) {
			service_add(v, s->events);
			v->syn += syn;
			v->synack += counted;
		}
		if (!err || v) {
			st->other.syn -= syn;
			st->other.synack -= counted;
			return;
		}
		st->services_full++;
	}
	service_add(&st->other, s->events);
}

/* The samples of a service, if it has a place or finds one. */
static __always_inline void record_times(const struct sw_step *s, const struct sw_packet *p)
{
	u32 side = s->server & 1, port = side ? p->key.port[1] : p->key.port[0];
	const u32 *addr = side ? p->key.addr[1] : p->key.addr[0];
	u32 first = (sw_guard_hash(&conf, addr, 512 + port) >> 48 & (SW_TIMED_SETS - 1)) * SW_TIMED_WAYS;
	struct sw_timed *found = NULL;

	for (u32 i = 0; i < SW_TIMED_WAYS; i++) {
		u32 at = first + i;
		struct sw_timed *t = bpf_map_lookup_elem(&timed, &at);

		if (!t)
			return;
		if (!t->port) {
			t->port = port;
			__builtin_memcpy(t->addr, addr, sizeof(t->addr));
		} else if (t->port != port || t->addr[3] != addr[3] || t->addr[2] != addr[2] || t->addr[1] != addr[1] ||
			   t->addr[0] != addr[0]) {
			continue;
		}
		found = t;
		break;
	}
	if (!found)
		return;
	sw_hist_add(&found->syn_synack, s->syn_synack_ns);
	sw_hist_add(&found->synack_ack, s->synack_ack_ns);
}

static __always_inline void record(const struct sw_step *s, const struct sw_packet *p, struct sw_stats *st)
{
	if (!s->events && !s->answered)
		return;
	if (s->events == 1ULL << SW_EV_SYN_NEW) { /* what a flood is made of */
		st->event[SW_EV_SYN_NEW]++;
		record_service(s, p, st);
		return;
	}
	SW_UNROLL
	for (u32 i = 0; i < SW_EVENT_COUNT; i++)
		st->event[i] += s->events >> i & 1;
	if (s->syn_synack_ns | s->synack_ack_ns) {
		sw_hist_add(&st->syn_synack, s->syn_synack_ns);
		sw_hist_add(&st->synack_ack, s->synack_ack_ns);
		record_times(s, p);
	}
	if (s->events & SERVICE_EVENTS || s->answered)
		record_service(s, p, st);
}

#endif
