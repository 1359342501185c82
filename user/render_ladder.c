// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `show`: a connection as a ladder of 80 columns, after the figures of the textbooks. */
#include <string.h>

#include "ladder.h"
#include "render.h"
#include "synwave/parse.h"

#define INNER 44 /* columns between the two lines of life */

/* Strokes, UTF-8 or not. */
struct strokes {
	const char *life, *gap, *dash, *right, *left;
};
static const struct strokes strokes[2] = {
	{"|", ":", "-", ">", "<"},
	{"│", "┊", "─", "►", "◄"},
};

struct drawing {
	FILE *out;
	const struct term *term;
	const struct strokes *s;
	const struct ladder *l;
};

static void colour(const struct drawing *d, enum colour c)
{
	fputs(term_colour(d->term, c), d->out);
}

static void repeat(const struct drawing *d, const char *stroke, int n)
{
	while (n-- > 0)
		fputs(stroke, d->out);
}

/* What stands left and right of the lines of life. NULL: nothing. */
static void begin_row(const struct drawing *d, const char *time, const char *client, const char *life)
{
	fprintf(d->out, "%9s %11s ", time ?: "", client ?: "");
	fputs(life, d->out);
}

static void end_row(const struct drawing *d, const char *server, const char *life)
{
	fprintf(d->out, "%s%s%s\n", life, server ? " " : "", server ?: "");
}

/* A row of words between the lines, at the sender's side; role 2: in the middle. */
static void words(const struct drawing *d, int role, const char *text, const char *life)
{
	int len = strlen(text), free = INNER - len,
	    before = role == SW_CLIENT   ? 4
		     : role == SW_SERVER ? free - 4
					 : free / 2;

	before = before < 0 ? 0 : before;
	begin_row(d, NULL, NULL, life);
	colour(d, DIM);
	fprintf(d->out, "%*s%s%*s", before, "", text, free - before > 0 ? free - before : 0, "");
	colour(d, PLAIN);
	end_row(d, NULL, life);
}

/* Words of a segment, put into lines of at most `width` columns. */
struct label {
	char line[8][INNER + 1];
	int lines;
};

static void add_word(struct label *b, int width, const char *word)
{
	char *line = b->line[b->lines ? b->lines - 1 : 0];

	if (!b->lines || strlen(line) + 1 + strlen(word) > (size_t)width) {
		if (b->lines == (int)SW_ARRAY_SIZE(b->line))
			return;
		line = b->line[b->lines++];
		snprintf(line, sizeof(b->line[0]), "%s", word);
	} else {
		snprintf(line + strlen(line), sizeof(b->line[0]) - strlen(line), " %s", word);
	}
}

static void add_number(struct label *b, int width, const char *name, const struct ladder_number *n)
{
	char word[32];

	if (!n->known)
		return;
	snprintf(word, sizeof(word), "%s %u", name, n->relative_known ? n->relative : n->is);
	add_word(b, width, word);
}

static void make_label(struct label *b, const struct ladder_segment *g)
{
	char text[TEXT_SIZE];
	int width = INNER - 7; /* two strokes, a blank on either side, two strokes and a head at least */

	memset(b, 0, sizeof(*b));
	add_word(b, width, text_flags(text, g->flags));
	add_number(b, width, "seq", &g->seq);
	add_number(b, width, "ack", &g->ack);
	if (g->sized) {
		snprintf(text, sizeof(text), "win %u", g->scaled);
		add_word(b, width, text);
	}
	if (g->sized && g->len) {
		snprintf(text, sizeof(text), g->len == 0xffff ? "len 65535+" : "len %u", g->len);
		add_word(b, width, text);
	}
}

static void put_arrow(const struct drawing *d, const struct ladder_segment *g, const char *label)
{
	int len = strlen(label), rest = INNER - len - 5;

	colour(d, term_segment(g->flags));
	if (g->from == SW_CLIENT) {
		repeat(d, d->s->dash, 2);
		fprintf(d->out, " %s ", label);
		repeat(d, d->s->dash, rest);
		fputs(d->s->right, d->out);
	} else {
		fputs(d->s->left, d->out);
		repeat(d, d->s->dash, rest);
		fprintf(d->out, " %s ", label);
		repeat(d, d->s->dash, 2);
	}
	colour(d, PLAIN);
}

/* Under the arrow: what did not fit on it, the ISN, the options, and what is odd. */
static void put_notes(const struct drawing *d, const struct ladder_segment *g, const struct label *b, bool moves)
{
	char text[TEXT_SIZE * 2], took[TEXT_SIZE];

	for (int i = 1; i < b->lines; i++)
		words(d, g->from, b->line[i], d->s->life);
	if (g->flags & SW_TCP_SYN && g->seq.known) {
		snprintf(text, sizeof(text), "ISN %u", g->seq.is);
		words(d, g->from, text, d->s->life);
	}
	if (g->offer) {
		text_options(text, sizeof(text), g->offer);
		if (*text)
			words(d, g->from, text, d->s->life);
	}
	if (g->again) {
		int len = snprintf(text, sizeof(text), "sent %u times", g->again + 1);
		if (g->last_ns > g->ns)
			snprintf(text + len, sizeof(text) - len, ", the last %s later",
				 text_duration(took, g->last_ns - g->ns));
		words(d, g->from, text, d->s->life);
	}
	if (g->crosses)
		words(d, g->from, "does not acknowledge the one above", d->s->life);
	if (!moves)
		words(d, g->from, "changes no state", d->s->life);
}

static void put_segment(const struct drawing *d, u32 i)
{
	const struct ladder *l = d->l;
	const struct ladder_segment *g = &l->seg[i];
	const char *state[2];
	char time[TEXT_SIZE] = "";
	struct label b;
	u64 delta;

	if (ladder_delta(l, i, &delta))
		text_delta(time, delta);
	else if (!g->timed)
		strcpy(time, "?");
	for (u32 role = 0; role < 2; role++)
		state[role] = ladder_moved(l, i, role) ? sw_state_name[g->state[role]] : NULL;
	make_label(&b, g);
	begin_row(d, time, state[SW_CLIENT], d->s->life);
	put_arrow(d, g, b.line[0]);
	end_row(d, state[SW_SERVER], d->s->life);
	put_notes(d, g, &b, ladder_moves(l, i));
}

static void put_head(const struct drawing *d)
{
	const struct record *r = &d->l->rec;
	char end[2][TEXT_SIZE], left[TEXT_SIZE * 2], right[TEXT_SIZE * 2], at[TEXT_SIZE];
	const char *mine[2] = {"", ""};
	int room;

	for (int role = 0; role < 2; role++) {
		text_endpoint(end[role], r->end[role].addr, r->end[role].port);
		if (r->local && (!strcmp(r->local, role ? "server" : "client") || !strcmp(r->local, "both")))
			mine[role] = " (this host)";
	}
	snprintf(left, sizeof(left), "client %s%s", end[SW_CLIENT], mine[SW_CLIENT]);
	snprintf(right, sizeof(right), "server %s%s", end[SW_SERVER], mine[SW_SERVER]);
	room = 80 - (int)strlen(left);
	colour(d, BOLD);
	fprintf(d->out, "%s%s%*s\n", left, room > (int)strlen(right) ? "" : "\n", room > (int)strlen(right) ? room : 80,
		right);
	colour(d, PLAIN);
	fprintf(d->out, "first segment %s\n", text_clock(at, r->first_ns, true));
}

static const char *state_after(const struct ladder *l, u32 role)
{
	u8 last = l->count ? l->seg[l->count - 1].state[role] : 0, now = l->rec.end[role].state;

	return l->count && last == now ? NULL : sw_state_name[now];
}

static void put_foot(const struct drawing *d)
{
	const struct ladder *l = d->l;
	const char *state[2] = {state_after(l, SW_CLIENT), state_after(l, SW_SERVER)};

	if (state[0] || state[1]) { /* it is in another state than that segment left it */
		begin_row(d, "now", state[0], d->s->life);
		fprintf(d->out, "%*s", INNER, "");
		end_row(d, state[1], d->s->life);
	}
	fprintf(d->out, "conn_state %s", l->rec.conn_state);
	if (l->rec.closed_first)
		fprintf(d->out, ", closed first by the %s", l->rec.closed_first);
	if (l->rec.reset_by)
		fprintf(d->out, ", reset by the %s", l->rec.reset_by);
	fputc('\n', d->out);
	if (!strcmp(l->rec.origin, "midstream"))
		fputs("Its beginning was not seen: who is the client is a guess.\n", d->out);
	if (l->expired)
		fputs("Its time is over: it is no longer counted.\n", d->out);
	if (l->left_out)
		fprintf(d->out, "%u%s segments more found no room here.\n", l->left_out,
			l->left_out == 0xff ? " or more" : "");
	if (!l->remembered)
		fputs("Attached with --no-ladder: this is what the record alone tells; ? is not known.\n", d->out);
}

void render_ladder_text(FILE *out, const struct term *term, const struct ladder *l)
{
	struct drawing d = {out, term, &strokes[term->utf8], l};

	put_head(&d);
	for (u32 i = 0; i < l->count; i++) {
		put_segment(&d, i);
		if (ladder_open(l, i))
			words(&d, 2, ladder_data(l, i) ? "data" : "", d.s->gap);
	}
	put_foot(&d);
}
