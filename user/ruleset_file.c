// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The guard's file: YAML by libyaml, keys by tables. All or nothing; what is wrong is said with file and line. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "ruleset.h"
#include "words.h"

/* More than the largest set of rules needs. libyaml's time and memory grow with the square of some of these. */
#define FILE_MAX    (4 << 20)
#define DEPTH_MAX   16
#define ANCHORS_MAX 100
#define TOKENS_MAX  1000000

struct load {
	struct ruleset *rs;
	const char *path;
	yaml_document_t doc;
	char *why;
};

static int wrong(struct load *l, const yaml_node_t *at, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int wrong(struct load *l, const yaml_node_t *at, const char *format, ...)
{
	char text[RULESET_WHY / 2];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(l->why, RULESET_WHY, "%.200s:%zu: %s", l->path, at ? at->start_mark.line + 1 : 1, text);
	return -EINVAL;
}

static yaml_node_t *node(struct load *l, yaml_node_item_t item)
{
	return yaml_document_get_node(&l->doc, item);
}

/* A plain value as a string; NULL: it is none. */
static const char *value(const yaml_node_t *n)
{
	const char *text = n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;

	return text && strlen(text) == n->data.scalar.length ? text : NULL;
}

/* A table of keys, and where a mapping's values go. */
struct key {
	const char *name;
	int (*take)(struct load *l, const struct key *k, yaml_node_t *v, void *to);
	size_t at; /* take_text: of the const char * in `to` */
	bool needed;
};

static int take_text(struct load *l, const struct key *k, yaml_node_t *v, void *to)
{
	const char *text = value(v);

	if (!text || !*text)
		return wrong(l, v, "%s: not a plain value", k->name);
	*(const char **)((char *)to + k->at) = text;
	return 0;
}

static int take_one(struct load *l, const struct key *keys, yaml_node_pair_t *pair, u32 *had, void *to)
{
	yaml_node_t *name = node(l, pair->key);
	const char *text = value(name);

	for (u32 i = 0; text && keys[i].name; i++) {
		if (strcmp(text, keys[i].name))
			continue;
		if (*had & 1u << i)
			return wrong(l, name, "%s: said twice", text);
		*had |= 1u << i;
		return keys[i].take(l, &keys[i], node(l, pair->value), to);
	}
	return wrong(l, name, "%.60s: no such key here", text ? text : "(not a plain key)");
}

static int take_mapping(struct load *l, const char *what, const struct key *keys, yaml_node_t *n, void *to)
{
	u32 had = 0;
	int err = 0;

	if (n->type != YAML_MAPPING_NODE)
		return wrong(l, n, "%s: not a list of `key: value`", what);
	for (yaml_node_pair_t *p = n->data.mapping.pairs.start; p < n->data.mapping.pairs.top && !err; p++)
		err = take_one(l, keys, p, &had, to);
	for (u32 i = 0; !err && keys[i].name; i++)
		if (keys[i].needed && !(had & 1u << i))
			err = wrong(l, n, "%s: %s is missing", what, keys[i].name);
	return err;
}

struct row_words {
	struct limit_words limit;
	const char *family, *prefix;
};
/* versions differ on braces in macros */
/* clang-format off */
#define TEXT_(name, field, needed_) {name, take_text, offsetof(struct row_words, field), needed_}
/* clang-format on */
static const struct key source_keys[] = {TEXT_("family", family, true),
					 TEXT_("prefix", prefix, true),
					 TEXT_("rate", limit.rate, true),
					 TEXT_("burst", limit.burst, false),
					 {0}};
static const struct key service_keys[] = {TEXT_("rate", limit.rate, true),
					  TEXT_("burst", limit.burst, false),
					  TEXT_("over", limit.over, false),
					  TEXT_("local", limit.local, false),
					  {0}};

static int take_source_row(struct load *l, yaml_node_t *n)
{
	struct row_words w = {0};
	unsigned long long bits;
	struct sw_limit limit;
	char why[RULESET_WHY];
	int err = take_mapping(l, "source", source_keys, n, &w);
	bool v6;

	if (err)
		return err;
	v6 = !strcmp(w.family, "ipv6");
	if (!v6 && strcmp(w.family, "ipv4"))
		return wrong(l, n, "family: %.40s: neither ipv4 nor ipv6", w.family);
	if (!words_number(w.prefix, 0, v6 ? 128 : 32, &bits))
		return wrong(l, n, "prefix: %.40s: not a number from 0 to %d", w.prefix, v6 ? 128 : 32);
	for (u32 i = 0; i < l->rs->rules.rows; i++)
		if (l->rs->rules.row[i].v6 == v6 && l->rs->rules.row[i].prefix == bits)
			return wrong(l, n, "source: a second row for %s /%llu", w.family, bits);
	err = ruleset_limit(&limit, &w.limit, why);
	if (!err)
		err = ruleset_source(l->rs, v6, bits, &limit, why);
	return err ? wrong(l, n, "%s", why) : 0;
}

static int take_source(struct load *l, const struct key *k, yaml_node_t *v, void *to)
{
	int err = 0;

	(void)to;
	if (v->type != YAML_SEQUENCE_NODE)
		return wrong(l, v, "%s: not a list", k->name);
	for (yaml_node_item_t *i = v->data.sequence.items.start; i < v->data.sequence.items.top && !err; i++)
		err = take_source_row(l, node(l, *i));
	return err;
}

static int take_service_row(struct load *l, yaml_node_t *name, yaml_node_t *v)
{
	const char *text = value(name);
	struct row_words w = {0};
	u32 before = l->rs->services;
	bool is_default = text && !strcmp(text, "default");
	struct sw_limit limit;
	char why[RULESET_WHY];
	int err;

	if (!text)
		return wrong(l, name, "service: not a plain name");
	if (is_default && l->rs->rules.other.interval)
		return wrong(l, name, "default: said twice");
	err = take_mapping(l, text, service_keys, v, &w);
	if (err)
		return err;
	err = ruleset_limit(&limit, &w.limit, why);
	if (!err)
		err = ruleset_service(l->rs, text, &limit, why);
	if (!err && !is_default && before == l->rs->services)
		return wrong(l, name, "%.60s: said twice", text);
	return err ? wrong(l, name, "%s", why) : 0;
}

static int take_service(struct load *l, const struct key *k, yaml_node_t *v, void *to)
{
	int err = 0;

	(void)to;
	if (v->type != YAML_MAPPING_NODE)
		return wrong(l, v, "%s: not a list of `ADDR:PORT: {rate: ...}`", k->name);
	for (yaml_node_pair_t *p = v->data.mapping.pairs.start; p < v->data.mapping.pairs.top && !err; p++)
		err = take_service_row(l, node(l, p->key), node(l, p->value));
	return err;
}

static int take_list(struct load *l, const struct key *k, yaml_node_t *v, void *to)
{
	char why[RULESET_WHY];

	(void)to;
	if (v->type != YAML_SEQUENCE_NODE)
		return wrong(l, v, "%s: not a list of prefixes", k->name);
	for (yaml_node_item_t *i = v->data.sequence.items.start; i < v->data.sequence.items.top; i++) {
		yaml_node_t *n = node(l, *i);
		const char *text = value(n);

		if (!text)
			return wrong(l, n, "%s: not a plain prefix", k->name);
		if (ruleset_list(l->rs, *k->name == 'a' ? SW_LIST_ALLOW : SW_LIST_DENY, text, why))
			return wrong(l, n, "%s: %s", k->name, why);
	}
	return 0;
}

static int take_word(struct load *l, const struct key *k, yaml_node_t *v, void *to)
{
	const char *text = value(v);
	char why[RULESET_WHY];
	int err;

	(void)to;
	if (!text)
		return wrong(l, v, "%s: not a plain value", k->name);
	err = !strcmp(k->name, "mode")       ? ruleset_mode(l->rs, text, why)
	      : !strcmp(k->name, "verified") ? ruleset_verified(l->rs, text, why)
					     : ruleset_flag(l->rs, k->name, text, why);
	return err ? wrong(l, v, "%s", why) : 0;
}

static const struct key file_keys[] = {
	{"mode", take_word, 0, false},       {"cookie_fallback", take_word, 0, false},
	{"source", take_source, 0, false},   {"bogus_acks", take_word, 0, false},
	{"fragments", take_word, 0, false},  {"allow", take_list, 0, false},
	{"service", take_service, 0, false}, {"deny", take_list, 0, false},
	{"verified", take_word, 0, false},   {0},
};

static int parse_failed(struct load *l, const yaml_parser_t *p)
{
	snprintf(l->why, RULESET_WHY, "%.200s:%zu: not YAML: %.120s%s%.120s", l->path, p->problem_mark.line + 1,
		 p->context ? p->context : "", p->context ? ", " : "", p->problem ? p->problem : "unreadable");
	return -EINVAL;
}

/* One document, and nothing behind it. */
static int load_document(struct load *l, yaml_parser_t *p)
{
	yaml_document_t more;
	yaml_node_t *root;
	int err;

	if (!yaml_parser_load(p, &l->doc))
		return parse_failed(l, p);
	root = yaml_document_get_root_node(&l->doc);
	err = root ? take_mapping(l, "the file", file_keys, root, NULL) : wrong(l, NULL, "nothing in it");
	if (!err) {
		if (!yaml_parser_load(p, &more)) {
			err = parse_failed(l, p);
		} else {
			root = yaml_document_get_root_node(&more);
			err = root ? wrong(l, root, "a second document") : 0;
			yaml_document_delete(&more);
		}
	}
	yaml_document_delete(&l->doc);
	return err;
}

/* What would keep libyaml busy for hours is refused token by token, before it builds anything. What is no YAML at all is left
 * to load_document, which says so. */
static const char *too_much(const yaml_token_t *t, int *depth, u32 *anchors, u32 *tokens)
{
	switch (t->type) {
	case YAML_BLOCK_SEQUENCE_START_TOKEN:
	case YAML_BLOCK_MAPPING_START_TOKEN:
	case YAML_FLOW_SEQUENCE_START_TOKEN:
	case YAML_FLOW_MAPPING_START_TOKEN:
		++*depth;
		break;
	case YAML_BLOCK_END_TOKEN:
	case YAML_FLOW_SEQUENCE_END_TOKEN:
	case YAML_FLOW_MAPPING_END_TOKEN:
		--*depth;
		break;
	case YAML_ANCHOR_TOKEN:
		++*anchors;
		break;
	case YAML_TAG_DIRECTIVE_TOKEN:
		return "%TAG: not understood here";
	default:
		break;
	}
	return *depth > DEPTH_MAX       ? "nested deeper than any rule"
	       : *anchors > ANCHORS_MAX ? "too many anchors"
	       : ++*tokens > TOKENS_MAX ? "longer than any set of rules"
					: NULL;
}

static int look_through(struct load *l, FILE *in)
{
	u32 anchors = 0, tokens = 0;
	const char *what = NULL;
	yaml_parser_t p;
	yaml_token_t t;
	int depth = 0;
	bool end;

	if (!yaml_parser_initialize(&p)) {
		snprintf(l->why, RULESET_WHY, "%.200s: out of memory", l->path);
		return -ENOMEM;
	}
	yaml_parser_set_input_file(&p, in);
	do {
		if (!yaml_parser_scan(&p, &t))
			break;
		end = t.type == YAML_STREAM_END_TOKEN;
		what = too_much(&t, &depth, &anchors, &tokens);
		if (what)
			snprintf(l->why, RULESET_WHY, "%.200s:%zu: %s", l->path, t.start_mark.line + 1, what);
		yaml_token_delete(&t);
	} while (!end && !what);
	yaml_parser_delete(&p);
	rewind(in);
	return what ? -EINVAL : 0;
}

static FILE *open_file(const char *path, char *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
	FILE *in = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		snprintf(why, RULESET_WHY, "%.200s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		snprintf(why, RULESET_WHY, "%.200s: not a regular file", path);
	else if (st.st_size > FILE_MAX)
		snprintf(why, RULESET_WHY, "%.200s: larger than %d MB", path, FILE_MAX >> 20);
	else if (!(in = fdopen(fd, "r")))
		snprintf(why, RULESET_WHY, "%.200s: %s", path, strerror(errno));
	if (!in && fd >= 0)
		close(fd);
	return in;
}

int ruleset_load(struct ruleset *rs, const char *path, char *why)
{
	struct load l = {.rs = rs, .path = path, .why = why};
	yaml_parser_t parser;
	FILE *in;
	int err;

	ruleset_init(rs);
	in = open_file(path, why);
	if (!in)
		return -EINVAL;
	err = look_through(&l, in);
	if (!err && !yaml_parser_initialize(&parser)) {
		snprintf(why, RULESET_WHY, "%.200s: out of memory", path);
		err = -ENOMEM;
	}
	if (!err) {
		yaml_parser_set_input_file(&parser, in);
		err = load_document(&l, &parser);
		yaml_parser_delete(&parser);
	}
	fclose(in);
	if (err)
		ruleset_free(rs);
	return err;
}
