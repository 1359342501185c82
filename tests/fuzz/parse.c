// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A frame; the first byte says whether it begins with Ethernet or IP, and whether it was cut. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct sw_packet p = {0};

	if (size < 1 || size > 9000)
		return 0;
	bool l3 = data[0] & 1;
	u32 cap = size - 1, wire = cap + (data[0] & 2 ? 1000 * (data[0] >> 2) : 0);
	u8 *room = malloc(cap + 2); /* exactly: ASan watches the end; at 2 mod 4, as on the wire */
	u8 *frame = room + 2;

	HOLDS(room);
	memcpy(frame, data + 1, cap);
	enum sw_reason why = sw_parse(frame, frame + cap, wire, l3, &p);
	HOLDS(why < SW_REASON_COUNT);
	if (why == SW_OK) {
		HOLDS(p.kind < SW_KIND_OTHER);
		HOLDS(p.from <= 1 && (!p.cut || (p.fragment && !p.len)));
		HOLDS(p.len <= wire && p.options_at <= cap && p.options_size <= 40);
		bool less = sw_addr_less(p.key.addr[0], p.key.addr[1]),
		     more = sw_addr_less(p.key.addr[1], p.key.addr[0]);
		HOLDS(less || (!more && p.key.port[0] < p.key.port[1]));
		HOLDS(!p.options_size || p.kind == SW_KIND_SYN || p.kind == SW_KIND_SYN_ACK);
	}
	if (why == SW_OK && p.options_size) {
		u8 list[SW_OPTIONS_ROOM] = {0};
		u32 there = cap - p.options_at;
		p.options_size = there < p.options_size ? there : p.options_size;
		memcpy(list, frame + p.options_at, p.options_size);
		sw_parse_options(list, &p);
		HOLDS(p.options_done <= p.options_size);
		HOLDS(!(p.options & ~(SW_E_MSS | SW_E_SACK | SW_E_TS)));
		HOLDS(p.options & SW_E_MSS || !p.mss);
	}
	free(room);
	return 0;
}
