// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* JSON: yajl does the quoting, we do the streaming. */
#include "render.h"

#include <stdlib.h>
#include <yajl/yajl_gen.h>

struct json {
	yajl_gen gen;
	FILE *out;
};

static void put(void *ctx, const char *text, size_t len)
{
	fwrite_unlocked(text, 1, len, ctx); /* one thread; the lock doubles the cost of a line */
}

struct json *json_open(FILE *out)
{
	struct json *j = calloc(1, sizeof(*j));

	if (!j)
		abort();
	j->out = out;
	j->gen = yajl_gen_alloc(NULL);
	if (!j->gen)
		abort();
	yajl_gen_config(j->gen, yajl_gen_print_callback, put, out);
	return j;
}

void json_close(struct json *j)
{
	yajl_gen_free(j->gen);
	free(j);
}

void json_str(struct json *j, const char *s)
{
	if (!s)
		yajl_gen_null(j->gen);
	else
		yajl_gen_string(j->gen, (const unsigned char *)s, strlen(s));
}

void json_key(struct json *j, const char *key)
{
	json_str(j, key);
}

void json_num(struct json *j, long long n)
{
	yajl_gen_integer(j->gen, n);
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
	fputc('\n', j->out);
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

static void opt_num(struct json *j, const char *key, bool known, long long n)
{
	json_key(j, key);
	if (known)
		json_num(j, n);
	else
		json_null(j);
}

static void opt_bool(struct json *j, const char *key, bool known, bool b)
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
	opt_num(j, "isn", e->isn_known, e->isn);
	opt_num(j, "window", e->offered, e->window);
	opt_num(j, "mss", e->has_mss, e->mss);
	opt_num(j, "wscale", e->has_wscale, e->wscale);
	opt_bool(j, "sack_permitted", e->offered, e->sack);
	opt_bool(j, "timestamps", e->offered, e->timestamps);
	json_end_obj(j);
}

void render_record_json(struct json *j, const struct record *r)
{
	json_obj(j);
	json_ks(j, "family", r->v6 ? "ipv6" : "ipv4");
	render_end(j, "client", &r->end[SW_CLIENT]);
	render_end(j, "server", &r->end[SW_SERVER]);
	json_ks(j, "local", r->local);
	json_ks(j, "origin", r->origin);
	json_ks(j, "conn_state", r->conn_state);
	json_kn(j, "syn_retransmits", r->end[SW_CLIENT].rexmits);
	json_kn(j, "synack_retransmits", r->end[SW_SERVER].rexmits);
	opt_num(j, "syn_synack_ns", r->has_syn_synack, r->syn_synack_ns);
	opt_num(j, "synack_ack_ns", r->has_synack_ack, r->synack_ack_ns);
	opt_bool(j, "simultaneous_open", true, r->simultaneous_open);
	opt_bool(j, "simultaneous_close", true, r->simultaneous_close);
	json_ks(j, "closed_first", r->closed_first);
	json_ks(j, "reset_by", r->reset_by);
	json_kn(j, "first_ns", r->first_ns);
	json_kn(j, "changed_ns", r->changed_ns);
	json_end_obj(j);
	json_line(j);
}
