/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Formats. One walk over the neutral model each; only these files know how JSON or a table looks. */
#ifndef SYNWAVE_RENDER_H
#define SYNWAVE_RENDER_H

#include <stdio.h>

#include "record.h"

/* JSON through yajl, straight to a stream. Short names: the callers read as the document they write. */
struct json;
struct json *json_open(FILE *out);
void json_close(struct json *j);
void json_line(struct json *j); /* ends the line; the next object begins a new one */
void json_key(struct json *j, const char *key);
void json_str(struct json *j, const char *s); /* NULL: null */
void json_num(struct json *j, long long n);
void json_bool(struct json *j, bool b);
void json_null(struct json *j);
void json_obj(struct json *j);
void json_end_obj(struct json *j);
void json_arr(struct json *j);
void json_end_arr(struct json *j);
void json_kn(struct json *j, const char *key, long long n); /* "key": n */
void json_ks(struct json *j, const char *key, const char *s); /* "key": "s" or null */

/* One connection, one line. */
void render_record_json(struct json *j, const struct record *r);
void render_record_text(FILE *out, const struct record *r, u64 now_ns);
void render_record_head(FILE *out);

#endif
