// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A capture file through the reader and the native engine, and its records. */
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "fuzz.h"
#include "ladder.h"
#include "render.h"

static void on_frame(void *ctx, const u8 *frame, u32 cap, u32 size, bool l3, u64 now)
{
	engine_frame(ctx, frame, cap, size, l3, now);
}

/* No line is longer than 80 columns; a picture is whole. */
static void draw(const struct ladder *l)
{
	char *text = NULL, *at, *line;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	HOLDS(out);
	render_ladder_text(out, &(struct term){0}, l);
	fclose(out);
	for (at = text; (line = strsep(&at, "\n"));)
		HOLDS(strlen(line) <= 80);
	free(text);
	out = open_memstream(&text, &size);
	HOLDS(out);
	render_ladder_svg(out, l);
	fclose(out);
	HOLDS(size > 7 && !strcmp(text + size - 7, "</svg>\n"));
	free(text);
}

static void gone(void *ctx, const struct sw_conn *c, const struct sw_ladder *l, u64 birth)
{
	const struct engine *e = ctx;
	struct ladder ladder;
	struct record r;

	HOLDS(birth >= 1 && birth <= e->frames);
	record_from(&r, c, false, 0);
	HOLDS(r.end[0].addr[0] && r.end[1].addr[0]);
	ladder_from(&ladder, c, l, false, 0);
	HOLDS(ladder.count && ladder.count <= SW_RUNGS);
	draw(&ladder);
	ladder_from(&ladder, c, NULL, false, 0); /* and what the record alone tells */
	HOLDS(ladder.count <= LADDER_MAX);
	draw(&ladder);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char path[40], why[256];
	struct engine e;
	int fd = memfd_create("capture", MFD_CLOEXEC);

	HOLDS(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	HOLDS(!engine_open(&e, 16, 8));
	e.gone = gone;
	e.ctx = &e;
	capture_read(path, on_frame, &e, why, sizeof(why));
	for (u32 at = 0; at < e.conf.sets; at++) {
		struct sw_shelf f = engine_shelf(&e, at);
		fuzz_check_set(&f);
	}
	engine_finish(&e);
	engine_close(&e);
	close(fd);
	return 0;
}
