// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `show --svg`: the ladder as a picture. Lengths in pixels of the picture. */
#include <stdarg.h>
#include <string.h>

#include "ladder.h"
#include "render.h"
#include "synwave/parse.h"

enum {
	WIDTH = 790,
	CLIENT_X = 240, /* the lines of life */
	SERVER_X = 590,
	TIME_X = 90, /* times end here */
	TOP = 96, /* the lines begin here */
	DROP = 24, /* what an arrow falls on its way: time goes down */
	CROSS_DROP = 72, /* of two that cross */
	CROSS_STEP = 16, /* between their tails */
	LABEL = 34, /* room above an arrow's tail for its label */
	LINE = 15, /* a line of notes */
	GAP = 46, /* where data is exchanged */
};

static const char style[] =
	":root{--bg:#fff;--ink:#1b1f24;--dim:#667080;--line:#c3c9d2;--open:#1a7f37;--close:#6f42c1;--reset:#cf222e;"
	"--wait:#9a6700;--up:#2da44e;--end:#8250df;--tw:#0969da;--off:#c3c9d2}"
	"@media(prefers-color-scheme:dark){:root{--bg:#0d1117;--ink:#e6edf3;--dim:#8d96a0;--line:#3d444d;"
	"--open:#56d364;--close:#bc8cff;--reset:#ff7b72;--wait:#d29922;--up:#3fb950;--end:#a371f7;--tw:#58a6ff;"
	"--off:#3d444d}}"
	"svg{background:var(--bg)}"
	"text{font:13px ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:var(--ink)}"
	".m{text-anchor:middle}.e{text-anchor:end}"
	".h{font-size:15px;font-weight:600}.mono,.n{font-family:ui-monospace,'SF Mono',Menlo,Consolas,monospace;"
	"font-size:12px}"
	".n{fill:var(--dim);font-size:11px}.s{font-size:12px;font-weight:600;letter-spacing:.02em}"
	".f{font-weight:700}.d{fill:var(--dim)}"
	"line,path{fill:none;stroke:var(--ink);stroke-width:1.6}"
	".life{stroke-width:5}.LISTEN,.CLOSED{stroke:var(--off)}.SYN_SENT,.SYN_RCVD{stroke:var(--wait)}"
	".ESTABLISHED{stroke:var(--up)}.TIME_WAIT{stroke:var(--tw)}"
	".FIN_WAIT_1,.FIN_WAIT_2,.CLOSE_WAIT,.CLOSING,.LAST_ACK{stroke:var(--end)}"
	".dots{stroke-dasharray:2 7;stroke-linecap:round}"
	".o line,.o path{stroke:var(--open)}.o .f{fill:var(--open)}"
	".c line,.c path{stroke:var(--close)}.c .f{fill:var(--close)}"
	".r line,.r path{stroke:var(--reset)}.r .f{fill:var(--reset)}"
	".q line{stroke-dasharray:6 4}.dot{fill:var(--bg);stroke-width:1.6;stroke:var(--ink)}";

struct svg {
	FILE *out;
	const struct ladder *l;
	int y; /* how far down it is drawn */
	int since[2]; /* where the ends' states began */
	u8 state[2];
	struct {
		int x, y;
	} dot[2 * LADDER_MAX + 2]; /* drawn last, on top of the lines */
	int dots;
};

static int x_of(u32 role)
{
	return role == SW_CLIENT ? CLIENT_X : SERVER_X;
}

static void text(const struct svg *v, int x, int y, const char *class, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
static void text(const struct svg *v, int x, int y, const char *class, const char *format, ...)
{
	va_list args;

	fprintf(v->out, "<text x=\"%d\" y=\"%d\" class=\"%s\">", x, y, class);
	va_start(args, format);
	vfprintf(v->out, format, args);
	va_end(args);
	fputs("</text>\n", v->out);
}

/* --- the lines of life: a colour a state ------------------------------------------------------------------------- */

static void life(struct svg *v, u32 role, int to, bool dots)
{
	if (to > v->since[role])
		fprintf(v->out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" class=\"life %s%s\"/>\n", x_of(role),
			v->since[role], x_of(role), to, sw_state_name[v->state[role]], dots ? " dots" : "");
	v->since[role] = to;
}

static void enter(struct svg *v, u32 role, u8 state, int y)
{
	life(v, role, y, false);
	v->state[role] = state;
	if (v->dots < (int)SW_ARRAY_SIZE(v->dot)) {
		v->dot[v->dots].x = x_of(role);
		v->dot[v->dots++].y = y;
	}
	text(v, x_of(role) + (role == SW_CLIENT ? -14 : 14), y + 4, role == SW_CLIENT ? "s e" : "s", "%s",
	     sw_state_name[state]);
}

/* --- arrows -------------------------------------------------------------------------------------------------------- */

static const char *class_of(u8 flags)
{
	switch (term_segment(flags)) {
	case OPENS:
		return "o";
	case CLOSES:
		return "c";
	case RESETS:
		return "r";
	default:
		return "a";
	}
}

/* From (x1, y1) to (x2, y2), stopping short of the line of life, with an open head. */
static void arrow(const struct svg *v, u32 from, int y, int drop)
{
	int way = from == SW_CLIENT ? 1 : -1, x1 = x_of(from) + 6 * way, x2 = x_of(!from) - 7 * way;
	double slope = (double)drop / (SERVER_X - CLIENT_X);
	int y1 = y + 0, y2 = y + drop;

	fprintf(v->out, "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>", x1, y1, x2, y2);
	fprintf(v->out, "<path d=\"M%d %.1fL%d %dL%d %.1f\"/>\n", x2 - 10 * way, y2 - 10 * slope - 5, x2, y2,
		x2 - 10 * way, y2 - 10 * slope + 5);
}

static void number(FILE *out, const char *name, const struct ladder_number *n)
{
	if (n->known)
		fprintf(out, " %s %u", name, n->relative_known ? n->relative : n->is);
}

/* Lines of small print under an arrow. */
struct notes {
	char line[6][96];
	int count;
};

static void note(struct notes *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(struct notes *n, const char *format, ...)
{
	va_list args;

	if (n->count == (int)SW_ARRAY_SIZE(n->line))
		return;
	va_start(args, format);
	vsnprintf(n->line[n->count++], sizeof(n->line[0]), format, args);
	va_end(args);
}

static void take_notes(struct notes *n, const struct ladder *l, u32 i)
{
	const struct ladder_segment *g = &l->seg[i];
	char options[96], took[TEXT_SIZE];

	n->count = 0;
	if (g->flags & SW_TCP_SYN && g->seq.known)
		note(n, "ISN %u", g->seq.is);
	if (g->offer) {
		text_options(options, sizeof(options), g->offer);
		if (*options)
			note(n, "%s", options);
	}
	if (!ladder_moves(l, i))
		note(n, "changes no state");
	if (g->again && g->last_ns > g->ns)
		note(n, "sent %u times, the last %s later", g->again + 1, text_duration(took, g->last_ns - g->ns));
	else if (g->again)
		note(n, "sent %u times", g->again + 1);
}

/* The label stands on the arrow, in the middle of it. */
static void label(const struct svg *v, u32 i)
{
	const struct ladder_segment *g = &v->l->seg[i];
	char flags[TEXT_SIZE];
	struct notes n;

	fprintf(v->out, "<text y=\"-7\" class=\"m mono\"><tspan class=\"f\">%s</tspan>", text_flags(flags, g->flags));
	number(v->out, "seq", &g->seq);
	number(v->out, "ack", &g->ack);
	if (g->sized)
		fprintf(v->out, " win %u", g->scaled);
	if (g->sized && g->len)
		fprintf(v->out, " len %u%s", g->len, g->len == 0xffff ? "+" : "");
	fputs("</text>", v->out);
	take_notes(&n, v->l, i);
	for (int k = 0; k < n.count; k++)
		fprintf(v->out, "<text y=\"%d\" class=\"m n\">%s</text>", LINE * (k + 1), n.line[k]);
}

/* Of an arrow that is crossed: short lines, close to its tail. */
static void tail_label(const struct svg *v, u32 i)
{
	const struct ladder_segment *g = &v->l->seg[i];
	int x = g->from == SW_CLIENT ? 12 : -12, y = LINE;
	const char *end = g->from == SW_CLIENT ? "" : " e";
	char flags[TEXT_SIZE];

	fprintf(v->out, "<text x=\"%d\" y=\"-7\" class=\"mono%s\"><tspan class=\"f\">%s</tspan></text>", x, end,
		text_flags(flags, g->flags));
	if (g->seq.known)
		fprintf(v->out, "<text x=\"%d\" y=\"%d\" class=\"mono%s\">seq %u</text>", x, y, end,
			g->seq.relative_known ? g->seq.relative : g->seq.is);
	if (g->ack.known)
		fprintf(v->out, "<text x=\"%d\" y=\"%d\" class=\"mono%s\">ack %u</text>", x, y + LINE, end,
			g->ack.relative_known ? g->ack.relative : g->ack.is);
	else if (g->flags & SW_TCP_SYN && g->seq.known)
		fprintf(v->out, "<text x=\"%d\" y=\"%d\" class=\"n%s\">ISN %u</text>", x, y + LINE, end, g->seq.is);
}

/* The arrow, and its label turned as it is. */
static void segment(struct svg *v, u32 i, int y, int drop, bool crossed)
{
	const struct ladder_segment *g = &v->l->seg[i];
	int way = g->from == SW_CLIENT ? 1 : -1, length = SERVER_X - CLIENT_X, along = crossed ? 0 : length / 2;

	fprintf(v->out, "<g class=\"%s%s\">", class_of(g->flags), ladder_moves(v->l, i) ? "" : " q");
	arrow(v, g->from, y, drop);
	fprintf(v->out, "<g transform=\"translate(%d %d) rotate(%.2f)\">", x_of(g->from) + way * along,
		y + drop * along / length, way * 57.29578 * drop / length);
	if (crossed)
		tail_label(v, i);
	else
		label(v, i);
	fputs("</g></g>\n", v->out);
}

static void states(struct svg *v, u32 i, int y, int drop)
{
	const struct ladder_segment *g = &v->l->seg[i];

	for (u32 step = 0; step < 2; step++) { /* the sender's first: it stands higher */
		u32 role = step ? !g->from : g->from;
		if (!i || g->state[role] != v->state[role])
			enter(v, role, g->state[role], role == g->from ? y : y + drop);
	}
}

static void time_of(const struct svg *v, u32 i, int y)
{
	char took[TEXT_SIZE];
	u64 delta;

	if (ladder_delta(v->l, i, &delta))
		text(v, TIME_X, y + 4, "e mono d", "%s", text_delta(took, delta));
	else if (!v->l->seg[i].timed)
		text(v, TIME_X, y + 4, "e mono d", "?");
}

static int notes_of(const struct ladder *l, u32 i)
{
	struct notes n;

	take_notes(&n, l, i);
	return n.count * LINE;
}

/* Two that cross are one figure. Returns how many segments were drawn. */
static u32 draw(struct svg *v, u32 i)
{
	const struct ladder *l = v->l;
	bool pair = i + 1 < l->count && l->seg[i + 1].crosses;
	int y = v->y + LABEL;

	time_of(v, i, y);
	if (!pair) {
		segment(v, i, y, DROP, false);
		states(v, i, y, DROP);
		v->y = y + DROP + notes_of(l, i);
		return 1;
	}
	/* what the first does to its receiver is not known to that end when it sends the second */
	u32 first = l->seg[i].from;
	segment(v, i, y, CROSS_DROP, true);
	time_of(v, i + 1, y + CROSS_STEP);
	segment(v, i + 1, y + CROSS_STEP, CROSS_DROP, true);
	enter(v, first, l->seg[i].state[first], y);
	enter(v, !first, l->seg[i + 1].state[!first], y + CROSS_STEP);
	states(v, i + 1, y + CROSS_STEP, CROSS_DROP);
	v->y = y + CROSS_DROP + CROSS_STEP + 8;
	return 2;
}

static void gap(struct svg *v, bool data)
{
	for (u32 role = 0; role < 2; role++)
		life(v, role, v->y + 10, false);
	for (u32 role = 0; role < 2; role++)
		life(v, role, v->y + GAP, true);
	if (data)
		text(v, (CLIENT_X + SERVER_X) / 2, v->y + GAP / 2 + 9, "m d", "data");
	v->y += GAP - 10;
}

static void head(const struct svg *v, int height)
{
	const struct record *r = &v->l->rec;
	char end[2][TEXT_SIZE], at[TEXT_SIZE];

	for (int role = 0; role < 2; role++)
		text_endpoint(end[role], r->end[role].addr, r->end[role].port);
	fprintf(v->out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
		"role=\"img\" aria-labelledby=\"t d\">\n<title id=\"t\">TCP connection of %s to %s</title>\n"
		"<desc id=\"d\">%u segments in order, the states of both ends, and the times between; %s.</desc>\n"
		"<style>%s</style>\n<rect width=\"%d\" height=\"%d\" style=\"fill:var(--bg)\"/>\n",
		WIDTH, height, WIDTH, height, end[SW_CLIENT], end[SW_SERVER], v->l->count, r->conn_state, style, WIDTH,
		height);
	for (u32 role = 0; role < 2; role++) {
		bool mine = r->local && (!strcmp(r->local, role ? "server" : "client") || !strcmp(r->local, "both"));
		text(v, x_of(role), 34, "h m", "%s%s", role ? "Server" : "Client", mine ? " (this host)" : "");
		text(v, x_of(role), 54, "m mono d", "%s", end[role]);
	}
	text(v, TIME_X, 80, "e n", "time");
	text(v, WIDTH / 2, 80, "m n", "first segment %s", text_clock(at, r->first_ns, true));
}

static void foot(struct svg *v)
{
	const struct ladder *l = v->l;
	int y = v->y + 40;

	for (u32 role = 0; role < 2; role++) {
		u8 now = l->rec.end[role].state;
		if (!l->count || now != v->state[role])
			enter(v, role, now, v->y + 14);
		life(v, role, v->y + 22, false);
	}
	for (int i = 0; i < v->dots; i++)
		fprintf(v->out, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" class=\"dot\"/>\n", v->dot[i].x, v->dot[i].y);
	fprintf(v->out, "<text x=\"%d\" y=\"%d\" class=\"m d\">conn_state %s", WIDTH / 2, y + 6, l->rec.conn_state);
	if (l->rec.closed_first)
		fprintf(v->out, ", closed first by the %s", l->rec.closed_first);
	if (l->rec.reset_by)
		fprintf(v->out, ", reset by the %s", l->rec.reset_by);
	if (l->left_out)
		fprintf(v->out, "; %u%s more segments found no room", l->left_out, l->left_out == 0xff ? "+" : "");
	if (!l->remembered)
		fputs("; from the record alone", v->out);
	fputs("</text>\n</svg>\n", v->out);
}

static int height_of(const struct ladder *l)
{
	int y = TOP;

	for (u32 i = 0; i < l->count; i++) {
		bool pair = i + 1 < l->count && l->seg[i + 1].crosses;
		y += LABEL + (pair ? CROSS_DROP + CROSS_STEP + 8 : DROP + notes_of(l, i));
		i += pair;
		y += ladder_open(l, i) ? GAP - 10 : 0;
	}
	return y + 70;
}

void render_ladder_svg(FILE *out, const struct ladder *l)
{
	struct svg v = {.out = out, .l = l, .y = TOP - 6, .since = {TOP, TOP}};

	v.state[SW_CLIENT] = SW_CLOSED;
	v.state[SW_SERVER] = l->count ? l->seg[0].state[SW_SERVER] : SW_CLOSED;
	head(&v, height_of(l));
	for (u32 i = 0; i < l->count;) {
		i += draw(&v, i);
		if (ladder_open(l, i - 1))
			gap(&v, ladder_data(l, i - 1));
	}
	foot(&v);
}
