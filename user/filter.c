// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "filter.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "record.h"
#include "synwave/trace.h"
#include "words.h"

static bool bad(char why[WHY_SIZE], const char *format, const char *value)
{
	snprintf(why, WHY_SIZE, format, value);
	return false;
}

static bool twice(char why[WHY_SIZE], const char *key)
{
	return bad(why, "%s= is given twice", key);
}

/* Words of one list: each is a bit. */
struct names {
	const char *key, *what;
	const char *const *name;
	u32 count;
	u64 left_out; /* bits that no segment has */
};

static bool no_name(const struct names *n, const char *value, char why[WHY_SIZE])
{
	size_t len = snprintf(why, WHY_SIZE, "%s=%.60s: no such %s; there are", n->key, value, n->what);

	for (u32 i = 0; i < n->count && len < WHY_SIZE; i++)
		if (!(n->left_out >> i & 1))
			len += snprintf(why + len, WHY_SIZE - len, " %s", n->name[i]);
	return false;
}

static bool take_name(const struct names *n, const char *value, u64 *bits)
{
	for (u32 i = 0; i < n->count; i++)
		if (!strcmp(n->name[i], value) && !(n->left_out >> i & 1)) {
			*bits |= 1ULL << i;
			return true;
		}
	return false;
}

/* A list with commas. */
static bool take_names(const struct names *n, const char *list, u64 *bits, char why[WHY_SIZE])
{
	char copy[256], *rest = copy, *name;

	if (strlen(list) >= sizeof(copy))
		return no_name(n, list, why);
	strcpy(copy, list);
	while ((name = strsep(&rest, ","))) {
		int state = n->name == sw_state_name ? words_state(name) : -1; /* known by more words */

		if (state >= 0)
			*bits |= 1ULL << state;
		else if (!take_name(n, name, bits))
			return no_name(n, name, why);
	}
	return true;
}

static bool take_state(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	static const struct names states = {"state", "state", sw_state_name, SW_STATE_COUNT, 0};
	u64 bits = f->filter.states;
	bool ok = take_names(&states, value, &bits, why);

	f->filter.states = bits;
	return ok;
}

static bool take_event(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	static const struct names events = {"event", "event", sw_event_name, SW_EVENT_COUNT, SW_EVENTS_OF_OTHERS};

	return take_names(&events, value, &f->filter.events, why);
}

static bool take_kind(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	static const struct names kinds = {"kind", "kind of segment", sw_kind_name, SW_KIND_COUNT,
					   1ULL << SW_KIND_OTHER};
	u64 bits = f->filter.kinds;
	bool ok = take_names(&kinds, value, &bits, why);

	f->filter.kinds = bits;
	return ok;
}

static bool take_addr(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	struct sw_filter *to = &f->filter;

	if (to->mask[0] | to->mask[1] | to->mask[2] | to->mask[3])
		return twice(why, "addr");
	if (!words_network(value, to->addr, to->mask))
		return bad(why, "addr=%s: not an address or prefix, like 192.0.2.1, 192.0.2.0/24, 2001:db8::/32",
			   value);
	return true;
}

static bool take_port(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	unsigned long long n;

	if (f->filter.port)
		return twice(why, "port");
	if (!words_number(value, 1, 65535, &n))
		return bad(why, "port=%s: not a number from 1 to 65535", value);
	f->filter.port = n;
	return true;
}

static bool take_iface(struct filter_words *f, const char *value, char why[WHY_SIZE])
{
	if (f->iface)
		return twice(why, "iface");
	f->iface = value;
	return *value ? true : bad(why, "iface=%s: no interface named", value);
}

static const struct {
	const char *key;
	bool (*take)(struct filter_words *f, const char *value, char why[WHY_SIZE]);
} keys[] = {
	{"addr", take_addr},   {"port", take_port}, {"state", take_state},
	{"event", take_event}, {"kind", take_kind}, {"iface", take_iface},
};

bool filter_word(struct filter_words *f, const char *word, char why[WHY_SIZE])
{
	const char *eq = strchr(word, '=');

	if (!eq)
		return bad(why, "%s: a filter is KEY=VALUE, like port=443", word);
	for (size_t i = 0; i < SW_ARRAY_SIZE(keys); i++)
		if (strlen(keys[i].key) == (size_t)(eq - word) && !strncmp(word, keys[i].key, eq - word))
			return keys[i].take(f, eq + 1, why);
	return bad(why, "%s: no such filter; there are addr= port= state= event= kind= iface=", word);
}

struct search {
	const char *name;
	u64 netns;
	struct sw_iface_key found;
	u32 here, elsewhere;
};

static int look(void *ctx, const struct sw_iface_key *key, const struct sw_iface *iface)
{
	struct search *s = ctx;

	if (!iface->ready || strncmp(iface->name, s->name, sizeof(iface->name)))
		return 0;
	if (key->netns == s->netns) {
		s->here++;
		s->found = *key;
	} else if (!s->here) {
		s->elsewhere++;
		s->found = *key;
	}
	return 0;
}

int filter_iface(struct filter_words *f, struct store *s, u64 netns)
{
	struct search want = {.name = f->iface, .netns = netns};
	int err = 0;

	if (!f->iface)
		return 0;
	err = store_ifaces(s, look, &want);
	if (err)
		return err;
	if (!want.here && want.elsewhere > 1)
		return store_fail(s, -EINVAL,
				  "iface=%s: several network namespaces have one: run the trace in the right one",
				  f->iface);
	if (!want.here && !want.elsewhere)
		return store_fail(s, -EINVAL, "iface=%s: not attached (`synwave status` lists the interfaces)",
				  f->iface);
	f->filter.ifindex = want.found.ifindex;
	f->filter.netns = want.found.netns;
	return 0;
}
