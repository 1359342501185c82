// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "record.h"

#include <arpa/inet.h>

#include "synwave/table.h"

#define NAME_(symbol, name, word) [SW_##symbol] = name,
const char *const sw_state_name[SW_STATE_COUNT] = {SW_STATES(NAME_)};

const char *const tcp_flag_name[8] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};

static const char *const role_name[] = {"client", "server"};
static const char *const origin_name[] = {"syn", "syn-ack", "midstream", "cookie"};

static bool silent(const struct sw_conn *c, int role)
{
	bool ours = SW_ORIGIN(c->flags) == SW_ORIGIN_COOKIE && role == SW_SERVER; /* the guard spoke for it */

	return !(c->end[role].flags & SW_E_SEEN) && !ours;
}

static const char *after_reset(const struct sw_conn *c)
{
	bool syn = SW_ORIGIN(c->flags) == SW_ORIGIN_SYN, synack = c->end[SW_SERVER].flags & SW_E_OFFER;

	if (c->flags & SW_C_RESET_SERVER) {
		if (syn && !synack && !(c->flags & SW_C_HS_DONE))
			return "REJ";
		return !syn && silent(c, SW_CLIENT) ? "RSTRH" : "RSTR";
	}
	return !synack && (syn || silent(c, SW_SERVER)) && !(c->flags & SW_C_HS_DONE && !silent(c, SW_SERVER))
		       ? "RSTOS0"
		       : "RSTO";
}

const char *conn_state(const struct sw_conn *c)
{
	bool fin[2] = {c->end[SW_CLIENT].flags & SW_E_FIN, c->end[SW_SERVER].flags & SW_E_FIN};
	unsigned origin = SW_ORIGIN(c->flags);

	if (fin[SW_CLIENT] && fin[SW_SERVER])
		return "SF";
	if (c->flags & SW_C_RESET)
		return after_reset(c);
	if (fin[SW_CLIENT])
		return silent(c, SW_SERVER) ? "SH" : "S2";
	if (fin[SW_SERVER])
		return silent(c, SW_CLIENT) ? "SHR" : "S3";
	if (origin == SW_ORIGIN_COOKIE)
		return "S1";
	if (origin == SW_ORIGIN_SYN)
		return c->end[SW_SERVER].flags & SW_E_OFFER               ? "S1"
		       : c->flags & SW_C_HS_DONE && !silent(c, SW_SERVER) ? "OTH"
									  : "S0";
	return origin == SW_ORIGIN_SYN_ACK && c->flags & SW_C_HS_DONE && !silent(c, SW_CLIENT) ? "S1" : "OTH";
}

static void end_from(struct record_end *to, const struct sw_conn *c, int role)
{
	const struct sw_end *e = &c->end[role];
	int side = !!(c->flags & SW_C_CLIENT_HI) ^ role;
	const u32 *addr = c->key.addr[side];

	if (c->flags & SW_C_V6)
		inet_ntop(AF_INET6, addr, to->addr, sizeof(to->addr));
	else
		inet_ntop(AF_INET, &addr[3], to->addr, sizeof(to->addr));
	to->port = c->key.port[side];
	to->state = e->state;
	to->offered = to->isn_known = e->flags & SW_E_OFFER;
	to->isn = e->isn;
	to->window = e->window;
	to->has_mss = to->offered && e->flags & SW_E_MSS;
	to->mss = e->mss;
	to->has_wscale = to->offered && e->wscale != SW_WSCALE_NONE;
	to->wscale = e->wscale;
	to->sack = e->flags & SW_E_SACK;
	to->timestamps = e->flags & SW_E_TS;
	to->rexmits = e->rexmits;
}

static const char *local_name(u32 flags)
{
	switch (flags & (SW_C_CLIENT_LOCAL | SW_C_SERVER_LOCAL)) {
	case SW_C_CLIENT_LOCAL:
		return "client";
	case SW_C_SERVER_LOCAL:
		return "server";
	case 0:
		return NULL;
	default:
		return "both"; /* loopback */
	}
}

void record_from(struct record *r, const struct sw_conn *c, bool expired, u64 epoch_ns)
{
	memset(r, 0, sizeof(*r));
	r->v6 = c->flags & SW_C_V6;
	for (int role = 0; role < 2; role++) {
		end_from(&r->end[role], c, role);
		if (expired && r->end[role].state == SW_TIME_WAIT)
			r->end[role].state = SW_CLOSED;
	}
	r->local = local_name(c->flags);
	r->origin = origin_name[SW_ORIGIN(c->flags) & 3];
	r->conn_state = conn_state(c);
	r->has_syn_synack = c->synack_ns && SW_ORIGIN(c->flags) == SW_ORIGIN_SYN;
	r->syn_synack_ns = c->synack_ns - c->first_ns;
	r->has_synack_ack =
		c->ack_ns && c->synack_ns && c->ack_ns >= c->synack_ns; /* not of a SYN-ACK that came late */
	r->synack_ack_ns = c->ack_ns - c->synack_ns;
	r->simultaneous_open = c->flags & SW_C_SIMOPEN;
	r->simultaneous_close = c->flags & SW_C_SIMCLOSE;
	if (c->flags & SW_C_CLOSED_FIRST)
		r->closed_first = role_name[!!(c->flags & SW_C_FIRST_SERVER)];
	if (c->flags & SW_C_RESET)
		r->reset_by = role_name[!!(c->flags & SW_C_RESET_SERVER)];
	r->first_ns = c->first_ns + epoch_ns;
	r->changed_ns = c->changed_ns + epoch_ns;
}
