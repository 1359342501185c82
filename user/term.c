// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "synwave/parse.h"

struct term term_of(int fd)
{
	const char *no = getenv("NO_COLOR"), *kind = getenv("TERM"); /* no-color.org */
	bool dumb = !kind || !strcmp(kind, "dumb");

	setlocale(LC_CTYPE, "");
	return (struct term){
		.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
		.colour = isatty(fd) && !dumb && !(no && *no),
	};
}

const char *term_colour(const struct term *t, enum colour c)
{
	static const char *const sequence[COLOURS] = {
		[PLAIN] = "\033[0m",   [DIM] = "\033[2m",     [BOLD] = "\033[1m",   [OPENS] = "\033[32m",
		[CLOSES] = "\033[36m", [RESETS] = "\033[31m", [AGAIN] = "\033[33m",
	};

	return t->colour ? sequence[c] : "";
}

enum colour term_segment(u8 flags)
{
	return flags & SW_TCP_RST ? RESETS : flags & SW_TCP_SYN ? OPENS : flags & SW_TCP_FIN ? CLOSES : PLAIN;
}
