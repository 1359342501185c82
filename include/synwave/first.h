/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The short way for what a flood is made of: the first SYN of an IPv4 connection that no tag in its set looks like. It
 * leaves the table as sw_table_step would (tests hold both against each other), without a struct sw_conn in between. */
#ifndef SYNWAVE_FIRST_H
#define SYNWAVE_FIRST_H

#include "table.h"

SW_INLINE void sw_first_half(struct sw_half *h, const struct sw_packet *p, u64 now, const volatile struct sw_conf *conf)
{
	h->first_ns = now;
	SW_UNROLL
	for (u32 i = 0; i < 2; i++) {
		h->addr[i] = p->key.addr[i][3];
		h->port[i] = p->key.port[i];
		h->seen_at[i] = p->seen_at;
		h->rexmits[i] = 0;
	}
	h->isn[SW_CLIENT] = p->seq;
	h->len[SW_CLIENT] = p->len;
	h->window[SW_CLIENT] = p->window;
	h->mss[SW_CLIENT] = p->mss;
	h->wscale[SW_CLIENT] = p->wscale;
	h->bits[SW_CLIENT] = SW_E_SEEN | SW_E_OFFER | SW_E_ISN | p->options;
	h->isn[SW_SERVER] = 0;
	h->len[SW_SERVER] = h->window[SW_SERVER] = h->mss[SW_SERVER] = 0;
	h->wscale[SW_SERVER] = SW_WSCALE_NONE;
	h->bits[SW_SERVER] = 0;
	h->state = SW_LISTEN;
	h->flags = (p->from ? SW_C_CLIENT_HI : 0) | SW_ORIGIN_SYN << 1 | SW_C_HS_OPEN |
		   (p->local ? SW_C_CLIENT_LOCAL : 0) | (p->flags & SW_TCP_ECE ? SW_C_SYN_ECE : 0) |
		   (p->flags & SW_TCP_CWR ? SW_C_SYN_CWR : 0);
	h->synack = SW_NEVER;
	h->deadline = sw_tick(now + conf->timeout[SW_T_SYN_SENT]) + 1;
	h->rungs = h->left_out = h->pad = 0;
}

/* False: it is for sw_table_step. Called with the set locked; *out: events, way, came, dropped and server. */
SW_INLINE bool sw_table_first(const struct sw_shelf *f, u16 tag, const struct sw_packet *p, u64 now,
			      struct sw_step *out)
{
	struct sw_set *set = f->set;
	struct sw_step s = {0}; /* in registers */
	u32 waiting, way, half;

	if (p->kind != SW_KIND_SYN || p->v6 || p->len > 0xffff || sw_match(f->tags, tag, 0, &waiting))
		return false;
	way = sw_place_half(f, now, &s);
	half = way - f->conf->live_ways;
	if (half >= f->conf->half_ways || way >= SW_WAYS)
		return false; /* cannot be */
	sw_first_half(&f->half[half], p, now, f->conf);
	f->tags->tag[way] = tag | SW_WAITING;
	sw_mark_active(f->tags, way, p->generation);
	set->used |= 1u << way;
	set->version++;
	set->book[SW_HS_STARTED]++;
	if (s.events) {
		set->book[SW_HS_TIMED_OUT] += s.book[SW_HS_TIMED_OUT];
		set->book[SW_HS_EVICTED] += s.book[SW_HS_EVICTED];
	}
	out->events = s.events | 1ULL << SW_EV_SYN_NEW;
	out->dropped = s.dropped;
	out->way = way;
	out->came = SW_WAYS;
	out->server = !p->from;
	return true;
}

#endif
