// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* JSON: yajl does the quoting, we do the streaming. */
#include "render.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>

#include "ladder.h"

#define JSON_BUF 4096

/* yajl says a line in some two hundred pieces: they are gathered here, and the stream gets it in one. */
struct json {
	yajl_gen gen;
	FILE *out;
	size_t len;
	char buf[JSON_BUF];
};

static void hand_on(struct json *j)
{
	fwrite_unlocked(j->buf, 1, j->len, j->out);
	j->len = 0;
}

static void put(void *ctx, const char *text, size_t len)
{
	struct json *j = ctx;

	if (len > JSON_BUF - j->len)
		hand_on(j);
	if (len == 1) { /* two of three: quotes, commas, colons */
		j->buf[j->len++] = *text;
	} else if (len <= JSON_BUF) {
		memcpy(j->buf + j->len, text, len);
		j->len += len;
	} else {
		fwrite_unlocked(text, 1, len, j->out);
	}
}

struct json *json_open(FILE *out)
{
	struct json *j = malloc(sizeof(*j));

	if (!j)
		abort();
	j->out = out;
	j->len = 0;
	j->gen = yajl_gen_alloc(NULL);
	if (!j->gen)
		abort();
	yajl_gen_config(j->gen, yajl_gen_print_callback, put, j);
	yajl_gen_config(j->gen, yajl_gen_validate_utf8, 1);
	return j;
}

void json_close(struct json *j)
{
	hand_on(j);
	yajl_gen_free(j->gen);
	free(j);
}

/* U+0080 to U+009F: characters to JSON, orders to a terminal. */
static bool orders(const char *s)
{
	while ((s = strchr(s, '\xc2')))
		if ((*++s & 0xe0) == 0x80)
			return true;
	return false;
}

void json_str(struct json *j, const char *s)
{
	char plain[1024];

	if (!s)
		yajl_gen_null(j->gen);
	else if (orders(s) || yajl_gen_string(j->gen, (const unsigned char *)s, strlen(s)) == yajl_gen_invalid_string)
		json_str(j, text_name(plain, sizeof(plain), s)); /* names may hold any byte, JSON may not */
}

void json_key(struct json *j, const char *key)
{
	json_str(j, key);
}

/* Written from the end of `buf` backwards, without a NUL; where it begins. */
#define DECIMAL_SIZE (sizeof("-9223372036854775808") - 1)
static char *text_decimal(char buf[DECIMAL_SIZE], long long n)
{
	unsigned long long left = n < 0 ? 0 - (unsigned long long)n : (unsigned long long)n;
	char *at = buf + DECIMAL_SIZE;

	do
		*--at = (char)('0' + left % 10);
	while (left /= 10);
	if (n < 0)
		*--at = '-';
	return at;
}

void json_num(struct json *j, long long n)
{
	char text[DECIMAL_SIZE], *at = text_decimal(text, n);

	yajl_gen_number(j->gen, at, text + sizeof(text) - at); /* yajl_gen_integer is a sprintf */
}

void json_bool(struct json *j, bool b)
{
	yajl_gen_bool(j->gen, b);
}

void json_null(struct json *j)
{
	yajl_gen_null(j->gen);
}

void json_obj(struct json *j)
{
	yajl_gen_map_open(j->gen);
}

void json_end_obj(struct json *j)
{
	yajl_gen_map_close(j->gen);
}

void json_line(struct json *j)
{
	put(j, "\n", 1);
	hand_on(j);
	yajl_gen_reset(j->gen, NULL);
}

void json_arr(struct json *j)
{
	yajl_gen_array_open(j->gen);
}

void json_end_arr(struct json *j)
{
	yajl_gen_array_close(j->gen);
}

void json_kn(struct json *j, const char *key, long long n)
{
	json_key(j, key);
	json_num(j, n);
}

void json_ks(struct json *j, const char *key, const char *s)
{
	json_key(j, key);
	json_str(j, s);
}

void json_kn_if(struct json *j, const char *key, bool known, long long n)
{
	json_key(j, key);
	if (known)
		json_num(j, n);
	else
		json_null(j);
}

void json_kb_if(struct json *j, const char *key, bool known, bool b)
{
	json_key(j, key);
	if (known)
		json_bool(j, b);
	else
		json_null(j);
}

static void render_end(struct json *j, const char *key, const struct record_end *e)
{
	json_key(j, key);
	json_obj(j);
	json_ks(j, "addr", e->addr);
	json_kn(j, "port", e->port);
	json_ks(j, "state", sw_state_name[e->state]);
	json_kn_if(j, "isn", e->isn_known, e->isn);
	json_kn_if(j, "window", e->offered, e->window);
	json_kn_if(j, "mss", e->has_mss, e->mss);
	json_kn_if(j, "wscale", e->has_wscale, e->wscale);
	json_kb_if(j, "sack_permitted", e->offered, e->sack);
	json_kb_if(j, "timestamps", e->offered, e->timestamps);
	json_end_obj(j);
}

void json_record(struct json *j, const struct record *r)
{
	json_ks(j, "family", r->v6 ? "ipv6" : "ipv4");
	render_end(j, "client", &r->end[SW_CLIENT]);
	render_end(j, "server", &r->end[SW_SERVER]);
	json_ks(j, "local", r->local);
	json_ks(j, "origin", r->origin);
	json_ks(j, "conn_state", r->conn_state);
	json_kn(j, "syn_retransmits", r->end[SW_CLIENT].rexmits);
	json_kn(j, "synack_retransmits", r->end[SW_SERVER].rexmits);
	json_kn_if(j, "syn_synack_ns", r->has_syn_synack, r->syn_synack_ns);
	json_kn_if(j, "synack_ack_ns", r->has_synack_ack, r->synack_ack_ns);
	json_kb_if(j, "simultaneous_open", true, r->simultaneous_open);
	json_kb_if(j, "simultaneous_close", true, r->simultaneous_close);
	json_ks(j, "closed_first", r->closed_first);
	json_ks(j, "reset_by", r->reset_by);
	json_kn(j, "first_ns", r->first_ns);
	json_kn(j, "changed_ns", r->changed_ns);
}

void render_record_json(struct json *j, const struct record *r)
{
	json_obj(j);
	json_record(j, r);
	json_end_obj(j);
	json_line(j);
}

void json_flags(struct json *j, u8 flags)
{
	json_key(j, "flags");
	json_arr(j);
	for (u32 i = 0; i < 8; i++)
		if (flags >> i & 1)
			json_str(j, tcp_flag_name[i]);
	json_end_arr(j);
}

static void json_segment(struct json *j, const struct ladder *l, u32 i)
{
	const struct ladder_segment *g = &l->seg[i];
	u64 delta = 0;
	bool known = ladder_delta(l, i, &delta);

	json_obj(j);
	json_kn_if(j, "time_ns", g->timed, g->ns);
	json_kn_if(j, "delta_ns", known, delta);
	json_ks(j, "from", g->from == SW_CLIENT ? "client" : "server");
	json_flags(j, g->flags);
	json_kn_if(j, "seq", g->seq.known, g->seq.is);
	json_kn_if(j, "seq_relative", g->seq.relative_known, g->seq.relative);
	json_kn_if(j, "ack", g->ack.known, g->ack.is);
	json_kn_if(j, "ack_relative", g->ack.relative_known, g->ack.relative);
	json_kn_if(j, "length", g->sized, g->len);
	json_kn_if(j, "window", g->sized, g->window);
	json_ks(j, "client_state", sw_state_name[g->state[SW_CLIENT]]);
	json_ks(j, "server_state", sw_state_name[g->state[SW_SERVER]]);
	json_kn(j, "repeated", g->again);
	json_kn_if(j, "repeated_last_ns", g->again && g->timed, g->last_ns);
	json_kb_if(j, "crosses", true, g->crosses);
	json_end_obj(j);
}

void render_ladder_json(struct json *j, const struct ladder *l)
{
	json_obj(j);
	json_record(j, &l->rec);
	json_kb_if(j, "expired", true, l->expired);
	json_kb_if(j, "remembered", true, l->remembered);
	json_kn(j, "left_out", l->left_out);
	json_key(j, "segments");
	json_arr(j);
	for (u32 i = 0; i < l->count; i++)
		json_segment(j, l, i);
	json_end_arr(j);
	json_end_obj(j);
	json_line(j);
}
