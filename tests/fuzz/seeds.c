// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes the corpus anew from the frame table and the exchanges: seeds tests/fuzz/corpus (`make corpus`). */
#include <sys/stat.h>

#include "../frames.h"
#include "fuzz.h"

static FILE *file(const char *root, const char *target, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", root, target);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/%s", root, target, name);
	for (char *c = path + strlen(path) - strlen(name); *c; c++)
		if (*c == ' ' || *c == ',' || *c == '\'')
			*c = '-';
	FILE *f = fopen(path, "wb");
	if (!f)
		abort();
	return f;
}

static void put(FILE *f, const void *bytes, size_t n)
{
	if (fwrite(bytes, 1, n, f) != n)
		abort();
}

static void put32(FILE *f, u32 v)
{
	put(f, &v, 4);
}

/* pcap, nanoseconds, Ethernet */
static void capture(const char *root, const struct exchange *x, bool v6)
{
	FILE *f = file(root, "replay", x->name);
	u64 ms = 0;

	put32(f, 0xa1b23c4d);
	put32(f, 0x00040002);
	put32(f, 0);
	put32(f, 0);
	put32(f, 65535);
	put32(f, 1);
	for (const struct segment *s = x->segment; s->from != END_OF_LIST; s++) {
		struct frame frame = {0};
		build_segment(&frame, s, v6, 0);
		ms += s->after_ms;
		put32(f, 1000 + ms / 1000);
		put32(f, ms % 1000 * 1000000);
		put32(f, frame.len);
		put32(f, frame.len);
		put(f, frame_data(&frame), frame.len);
	}
	fclose(f);
}

/* table.c's eight bytes: numbers near 8, in the order in which the exchange first names them */
static void steps(const char *root, const struct exchange *x)
{
	static const u8 kinds[] = {[SW_KIND_SYN] = 0, [SW_KIND_SYN_ACK] = 1, [SW_KIND_RST] = 4,
				   [SW_KIND_FIN] = 3, [SW_KIND_DATA] = 2,    [SW_KIND_ACK] = 2};
	FILE *f = file(root, "table", x->name);

	for (const struct segment *s = x->segment; s->from != END_OF_LIST; s++) {
		u8 kind = kinds[sw_kind_of(s->flags, s->len)];
		u32 mine = s->from == SW_SERVER ? 5000 : 1000, theirs = 6000 - mine;
		u8 seq = s->seq ? s->seq - mine + 8 : 0, ack = s->flags & SW_TCP_ACK ? s->ack - theirs + 8 : 0;
		put(f, (u8[]){1 | s->from << 7, kind | (s->len ? 0x40 : 0), seq, ack, s->after_ms, 20, 0, 0}, 8);
	}
	fclose(f);
}

int main(int argc, char **argv)
{
	const char *root = argc > 1 ? argv[1] : "tests/fuzz/corpus";

	mkdir(root, 0755);
	for (int i = 0; i < frame_count; i++) {
		struct frame frame = {0};
		FILE *f = file(root, "parse", frame_rows[i].name);
		frame_rows[i].build(&frame);
		put(f, &frame_rows[i].l3, 1);
		put(f, frame_data(&frame), frame.len);
		fclose(f);
	}
	for (int i = 0; i < exchange_count; i++) {
		steps(root, &exchanges[i]);
		if (i % 4 == 0)
			capture(root, &exchanges[i], i & 4);
	}
	return 0;
}
