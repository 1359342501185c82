// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `trace`: a step, a line; as text and as JSON. */
#include <arpa/inet.h>
#include <string.h>

#include "ladder.h"
#include "render.h"
#include "synwave/trace.h"
#include "words.h"

static u32 side_of(const struct sw_trace *t, u32 role)
{
	return !!(t->about & SW_TRACE_CLIENT_HI) ^ role;
}

/* Counted from the ISN. */
struct relative {
	bool known;
	u32 is;
};

static struct relative counted(const struct sw_trace *t, u32 role, u32 number)
{
	u32 n = number - t->isn[role];

	return (struct relative){t->about >> role & 1 && ladder_relative(n, t->state), n};
}

/* A SYN's own number is the ISN, whatever the connection's was before. */
static struct relative relative_seq(const struct sw_trace *t)
{
	u32 own = t->from & 1;

	if (t->flags & SW_TCP_SYN)
		return (struct relative){true, 0};
	return counted(t, own, t->seq);
}

static struct relative relative_ack(const struct sw_trace *t)
{
	return t->flags & SW_TCP_ACK ? counted(t, !(t->from & 1), t->ack) : (struct relative){false, 0};
}

static const char *state_name(u8 state)
{
	return state < SW_STATE_COUNT ? sw_state_name[state] : NULL;
}

/* --- text ---------------------------------------------------------------------------------------------------------- */

#define REPEATED (1ULL << SW_EV_SYN_REXMIT | 1ULL << SW_EV_SYNACK_REXMIT)

#define HEAD "%-15s %8s %-*s %s %-*s %-11s %-14s %-14s %-11s %-11s %-10s %s\n"

void render_trace_begin(struct trace_text *x, FILE *out, struct term term)
{
	x->out = out;
	x->term = term;
	x->width[0] = x->width[1] = sizeof("255.255.255.255:65535") - 1;
	fprintf(out, HEAD, "TIME", "DELTA", x->width[0], "CLIENT", "   ", x->width[1], "SERVER", "FLAGS", "SEQ", "ACK",
		"CLIENT IS", "SERVER IS", "INTERFACE", "EVENT");
}

static const char *arrow(const struct trace_text *x, u8 from)
{
	static const char *const stroke[2][2] = {{"-->", "<--"}, {"──►", "◄──"}};

	return stroke[x->term.utf8][from & 1];
}

/* relative/absolute */
static char *text_number(char buf[TEXT_SIZE], struct relative r, u32 is)
{
	if (r.known)
		snprintf(buf, TEXT_SIZE, "%u/%u", r.is, is);
	else
		snprintf(buf, TEXT_SIZE, "-/%u", is);
	return buf;
}

static void put_events(FILE *out, u64 events)
{
	const char *comma = " ";

	for (u32 i = 0; i < SW_EVENT_COUNT; i++)
		if (events >> i & 1) {
			fprintf(out, "%s%s", comma, sw_event_name[i]);
			comma = ",";
		}
}

void render_trace_line(struct trace_text *x, const struct trace_line *l)
{
	const struct sw_trace *t = l->t;
	char at[TEXT_SIZE], delta[TEXT_SIZE] = "-", end[2][TEXT_SIZE], addr[TEXT_SIZE], flags[TEXT_SIZE];
	char seq[TEXT_SIZE], ack[TEXT_SIZE] = "-", name[TEXT_SIZE], where[TEXT_SIZE + 4];
	const char *colour = term_colour(&x->term, t->events & REPEATED ? AGAIN : term_segment(t->flags));
	const char *state[2] = {state_name(t->state[0]) ?: "-", state_name(t->state[1]) ?: "-"};

	if (l->before_ns)
		text_delta(delta, t->ns > l->before_ns ? t->ns - l->before_ns : 0);
	for (u32 role = 0; role < 2; role++) {
		u32 side = side_of(t, role);
		int len = strlen(text_endpoint(end[role], text_addr(addr, t->key.addr[side]), t->key.port[side]));

		x->width[role] = len > x->width[role] ? len : x->width[role];
	}
	text_number(seq, relative_seq(t), t->seq);
	if (t->flags & SW_TCP_ACK)
		text_number(ack, relative_ack(t), t->ack);
	snprintf(where, sizeof(where), "%s %s", text_name(name, sizeof(name), l->iface),
		 t->about & SW_TRACE_EGRESS ? "out" : "in");
	fprintf(x->out, "%-15s %8s %-*s %s%s%s %-*s %s%-11s%s %-14s %-14s %-11s %-11s %-*s",
		text_clock(at, t->ns + l->epoch_ns, false), delta, x->width[0], end[0], colour, arrow(x, t->from),
		*colour ? term_colour(&x->term, PLAIN) : "", x->width[1], end[1], colour, text_flags(flags, t->flags),
		*colour ? term_colour(&x->term, PLAIN) : "", seq, ack, state[0], state[1], t->events ? 10 : 0, where);
	put_events(x->out, t->events);
	fputc('\n', x->out);
}

/* --- JSON ---------------------------------------------------------------------------------------------------------- */

static void json_end(struct json *j, const char *key, const struct sw_trace *t, u32 role)
{
	u32 side = side_of(t, role);
	char addr[TEXT_SIZE];

	json_key(j, key);
	json_obj(j);
	json_ks(j, "addr", text_addr(addr, t->key.addr[side]));
	json_kn(j, "port", t->key.port[side]);
	json_ks(j, "state", state_name(t->state[role]));
	json_end_obj(j);
}

static void json_numbers(struct json *j, const struct sw_trace *t)
{
	struct relative seq = relative_seq(t), ack = relative_ack(t);

	json_kn(j, "seq", t->seq);
	json_kn_if(j, "seq_relative", seq.known, seq.is);
	json_kn_if(j, "ack", t->flags & SW_TCP_ACK, t->ack);
	json_kn_if(j, "ack_relative", ack.known, ack.is);
	json_kn(j, "length", t->len);
	json_kn(j, "window", t->window);
}

static void json_offer(struct json *j, const struct sw_trace *t)
{
	bool syn = t->flags & SW_TCP_SYN;

	json_kn_if(j, "mss", syn && t->options & SW_E_MSS, t->mss);
	json_kn_if(j, "wscale", syn && t->wscale != SW_WSCALE_NONE, t->wscale);
	json_kb_if(j, "sack_permitted", syn, t->options & SW_E_SACK);
	json_kb_if(j, "timestamps", syn, t->options & SW_E_TS);
}

void render_trace_json(struct json *j, const struct trace_line *l)
{
	const struct sw_trace *t = l->t;

	json_obj(j);
	json_kn(j, "time_ns", t->ns + l->epoch_ns);
	json_kn_if(j, "delta_ns", l->before_ns, t->ns > l->before_ns ? t->ns - l->before_ns : 0);
	json_end(j, "client", t, SW_CLIENT);
	json_end(j, "server", t, SW_SERVER);
	json_ks(j, "from", t->from == SW_CLIENT ? "client" : "server");
	json_flags(j, t->flags);
	json_numbers(j, t);
	json_offer(j, t);
	json_key(j, "events");
	json_arr(j);
	for (u32 i = 0; i < SW_EVENT_COUNT; i++)
		if (t->events >> i & 1)
			json_str(j, sw_event_name[i]);
	json_end_arr(j);
	json_ks(j, "interface", l->iface);
	json_ks(j, "direction", t->about & SW_TRACE_EGRESS ? "out" : "in");
	json_end_obj(j);
	json_line(j);
}
