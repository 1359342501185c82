/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The guard's rules as a whole: what a file says, what the maps hold, what a command changes. Functions that can fail
 * return 0 or -EINVAL / -ENOMEM with one line in `why` (WHY_SIZE bytes). */
#ifndef SYNWAVE_RULESET_H
#define SYNWAVE_RULESET_H

#include <stdio.h>

#include "synwave/abi.h"

#define RULESET_WHY 512

struct rule_service {
	u32 addr[4];
	u16 port;
	struct sw_limit limit;
};

struct rule_prefix {
	u32 addr[4];
	bool v6;
	u32 bits; /* of its family */
	u32 listed; /* SW_LIST_ALLOW or SW_LIST_DENY */
};

struct ruleset {
	struct sw_guard_rules rules; /* `listed` and `services` are filled in when it is stored */
	struct rule_service *service;
	u32 services;
	struct rule_prefix *prefix;
	u32 prefixes;
	u32 *slot; /* hash table over them: index + 1, 0 is free */
};

extern const char *const guard_mode_name[SW_GUARD_MODES];
extern const char *const guard_over_name[2];
extern const char *const guard_local_name[SW_LOCALS];

void ruleset_init(struct ruleset *rs); /* the guard is off, nothing is limited */
void ruleset_free(struct ruleset *rs);
/* From a YAML file; `why` begins with file and line. On error *rs is empty. */
int ruleset_load(struct ruleset *rs, const char *path, char *why);
/* The same as YAML, which ruleset_load understands. */
void ruleset_print(const struct ruleset *rs, FILE *out);

/* One statement each, as in the file; false: `why`. */
int ruleset_mode(struct ruleset *rs, const char *word, char *why);
int ruleset_flag(struct ruleset *rs, const char *key, const char *word,
		 char *why); /* cookie_fallback, bogus_acks, fragments */
int ruleset_verified(struct ruleset *rs, const char *duration, char *why);
int ruleset_source(struct ruleset *rs, bool v6, u32 prefix, const struct sw_limit *limit, char *why);
void ruleset_no_source(struct ruleset *rs, bool v6, u32 prefix);
/* `name`: "default" or ADDR:PORT; limit NULL: none. */
int ruleset_service(struct ruleset *rs, const char *name, const struct sw_limit *limit, char *why);
int ruleset_list(struct ruleset *rs, u32 listed, const char *prefix, char *why); /* 0: remove */

/* A limit from its words; NULL: as if not said (burst: a second's worth, over: cookie, local: learn). */
struct limit_words {
	const char *rate, *burst, *over, *local;
};
int ruleset_limit(struct sw_limit *l, const struct limit_words *w, char *why);
bool ruleset_flag_drops(const struct ruleset *rs, const char *key); /* as in force: drop, or pass */
/* What the lists say of an address: SW_LIST_* or 0. */
u32 ruleset_listed(const struct ruleset *rs, const u32 addr[4], bool v6);
/* What the lists say of the first 16 bits of each IPv4 address, in two bits: SW_LIST_*, 0 or SW_FIRST_ASK. */
void ruleset_first(const struct ruleset *rs, u64 word[SW_FIRST_WORDS]);
/* What holds for a prefix of the set: an allowed prefix around it wins. */
u32 ruleset_verdict(const struct ruleset *rs, const struct rule_prefix *p);

#endif
