// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A guard file: refused with a line that names it and leaves nothing behind, or taken; then what is printed of it must be
 * taken again, and print the same. */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "ruleset.h"

static int load(struct ruleset *rs, const void *bytes, size_t size, char *why)
{
	int fd = memfd_create("rules", MFD_CLOEXEC), err;
	char path[40];

	HOLDS(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*why = 0;
	err = ruleset_load(rs, path, why);
	if (err)
		HOLDS(!strncmp(why, path, strlen(path)) && strlen(why) > strlen(path) + 3 && strlen(why) < RULESET_WHY);
	close(fd);
	return err;
}

static char *print(const struct ruleset *rs, size_t *size)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, size);

	HOLDS(out);
	ruleset_print(rs, out);
	HOLDS(!fclose(out));
	return text;
}

static void check_limit(const struct sw_limit *l)
{
	HOLDS(l->interval && l->burst && l->over <= SW_OVER_DROP);
	HOLDS(l->tolerance / l->interval == l->burst - 1);
}

static void check(const struct ruleset *rs)
{
	HOLDS(rs->rules.mode < SW_GUARD_MODES && rs->rules.rows <= SW_GUARD_ROWS && rs->rules.verified_s);
	for (u32 i = 0; i < rs->rules.rows; i++)
		check_limit(&rs->rules.row[i].limit);
	for (u32 i = 0; i < rs->services; i++)
		check_limit(&rs->service[i].limit);
	for (u32 i = 0; i < rs->prefixes; i++) {
		const struct rule_prefix *p = &rs->prefix[i];

		HOLDS(p->bits <= (p->v6 ? 128u : 32u));
		HOLDS(p->listed == SW_LIST_ALLOW || p->listed == SW_LIST_DENY);
		u32 verdict = ruleset_verdict(rs, p);
		HOLDS(p->listed == SW_LIST_DENY || verdict == SW_LIST_ALLOW);
		HOLDS(ruleset_listed(rs, p->addr, p->v6));
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct ruleset rs, again;
	char why[RULESET_WHY];
	size_t length, length2;

	if (load(&rs, data, size, why)) {
		HOLDS(!rs.services && !rs.prefixes && !rs.rules.rows && !rs.rules.mode && !rs.service && !rs.prefix);
		ruleset_free(&rs);
		return 0;
	}
	check(&rs);
	char *text = print(&rs, &length);
	HOLDS(!load(&again, text, length, why));
	char *text2 = print(&again, &length2);
	HOLDS(length == length2 && !memcmp(text, text2, length));
	free(text);
	free(text2);
	ruleset_free(&rs);
	ruleset_free(&again);
	return 0;
}
