/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the guard must say: rules and SYNs, played through an engine by its clock, natively and in the kernel. */
#ifndef SYNWAVE_TEST_GUARDS_H
#define SYNWAVE_TEST_GUARDS_H

#include "engine.h"

/* Rules from YAML in memory. On error the line is in `why`. */
int load_text(struct ruleset *rs, const char *yaml, char why[RULESET_WHY]);

/* Opens an engine for each case by `open`, plays it, and reports each wrong verdict through `report`. */
void play_guard_cases(int (*open)(struct engine *e), void (*report)(bool ok, const char *what));

#endif
