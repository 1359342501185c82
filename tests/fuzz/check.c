// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is true of every set after every step. */
#include "fuzz.h"

static void check_conn(const struct sw_conn *c)
{
	HOLDS(c->end[0].state < SW_STATE_COUNT && c->end[1].state < SW_STATE_COUNT);
	HOLDS(SW_ORIGIN(c->flags) <= SW_ORIGIN_MIDSTREAM);
	HOLDS(!(c->flags & SW_C_HS_OPEN && c->flags & SW_C_HS_DONE));
	HOLDS(!(c->flags & SW_C_PROVISIONAL) || (c->flags & SW_C_RESET && sw_closed(c)));
	HOLDS(!(c->flags & SW_C_RESET_SERVER) || c->flags & SW_C_RESET);
	HOLDS(!(c->flags & (SW_C_SAVED_HS | SW_C_SAVED_TD)) || c->flags & SW_C_PROVISIONAL);
	HOLDS(!sw_finished(c) || !(c->flags & (SW_C_HS_OPEN | SW_C_TD_OPEN)));
	/* an end past its own FIN has sent one; who waits for nothing has had the handshake */
	for (int i = 0; i < 2; i++)
		if (SW_IN(c->end[i].state, 1u << SW_FIN_WAIT_2 | 1u << SW_TIME_WAIT))
			HOLDS(c->end[i].flags & SW_E_FIN && c->end[i].flags & SW_E_ACKED);
	HOLDS((s64)(c->changed_ns - c->first_ns) >= 0);
}

/* The last rung tells the states as they are; the rungs' own are such as there are. */
static void check_ladder(const struct sw_conn *c, const struct sw_ladder *l)
{
	struct sw_rung rung[SW_RUNGS];
	u32 count = sw_rungs(rung, c, l);

	HOLDS(c->rungs <= SW_RUNGS && (c->rungs == SW_RUNGS || !c->left_out));
	HOLDS(c->rungs || (c->end[SW_CLIENT].flags & SW_E_OFFER && SW_ORIGIN(c->flags) == SW_ORIGIN_SYN));
	HOLDS(count && rung[count - 1].states == (c->end[0].state | c->end[1].state << 4));
	for (u32 i = 0; i < count; i++)
		HOLDS(rung[i].from <= SW_SERVER && (rung[i].states & 15) < SW_STATE_COUNT &&
		      rung[i].states >> 4 < SW_STATE_COUNT);
}

/* Whose rival lies there says so itself, and none has two. */
static void check_sides(const struct sw_shelf *f)
{
	const struct sw_side *side = f->set->side;
	struct sw_conn c;

	HOLDS(!side[0].owner || side[0].owner != side[1].owner);
	for (u32 i = 0; i < SW_SIDES; i++)
		HOLDS(!side[i].owner || (f->set->used >> (side[i].owner - 1) & 1 && sw_load(f, side[i].owner - 1, &c) &&
					 c.flags & SW_C_SIDED));
}

void fuzz_check_set(const struct sw_shelf *f)
{
	const struct sw_set *set = f->set;
	const struct sw_tags *tags = f->tags;
	u32 live = (1u << f->conf->live_ways) - 1;
	const u64 *b = set->book;
	u64 hs = 0, td = 0;

	HOLDS(!(set->used & ~SW_ALL_WAYS) && !(set->kept & ~set->used) && !(set->closed & ~set->used));
	HOLDS(!(set->kept & (set->closed | ~live)) && sw_bits(set->kept) + SW_LOOSE <= f->conf->live_ways);
	check_sides(f);
	for (u32 way = 0; way < SW_WAYS; way++) {
		struct sw_conn conn, *c = &conn;
		if (!(set->used >> way & 1)) {
			HOLDS(!tags->tag[way]);
			continue;
		}
		HOLDS(sw_load(f, way, c) && sw_fits_half(c) == (way >= f->conf->live_ways));
		HOLDS((tags->tag[way] & SW_TAG) == sw_tag_of(sw_hash(f->conf, &c->key)));
		HOLDS(!(set->closed >> way & 1) || sw_closed(c));
		HOLDS(!!(set->closed >> way & 1) == (sw_closed(c) && !(c->flags & SW_C_PROVISIONAL)));
		HOLDS((tags->tag[way] & SW_WAITING) == sw_waits(f->conf, c));
		for (u32 other = 0; other < way; other++)
			HOLDS(!(set->used >> other & 1) || !sw_is(f, other, &c->key));
		check_conn(c);
		check_ladder(c, &f->ladders->way[way]);
		hs += !!(c->flags & SW_C_HS_OPEN);
		td += !!(c->flags & SW_C_TD_OPEN);
	}
	HOLDS(b[SW_HS_STARTED] ==
	      b[SW_HS_COMPLETED] + b[SW_HS_REFUSED] + b[SW_HS_RESET] + b[SW_HS_TIMED_OUT] + b[SW_HS_EVICTED] + hs);
	HOLDS(b[SW_TD_STARTED] == b[SW_TD_COMPLETED] + b[SW_TD_RESET] + b[SW_TD_TIMED_OUT] + b[SW_TD_EVICTED] + td);
}
