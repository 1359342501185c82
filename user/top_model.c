// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "top.h"

#include <math.h>

#define LABEL_(symbol, label, help)   label,
#define MEANING_(symbol, label, help) help,
const char *const top_label[TOP_LINES] = {TOP_GAUGES(LABEL_) TOP_RATES(LABEL_)};
const char *const top_meaning[TOP_LINES] = {TOP_GAUGES(MEANING_) TOP_RATES(MEANING_)};

static u64 all(const u64 *n, u32 count)
{
	u64 sum = 0;

	for (u32 i = 0; i < count; i++)
		sum += n[i];
	return sum;
}

/* A gauge, or the counter behind a rate. */
static u64 number(const struct snapshot *m, enum top_line line)
{
	const u64 *book = m->book;

	switch (line) {
	case TOP_HALF_OPEN:
		return m->half_open;
	case TOP_ESTABLISHED:
		return m->state[ROLE_SERVER][SW_ESTABLISHED];
	case TOP_TIME_WAIT:
		return m->time_wait;
	case TOP_TIME_WAIT_HERE:
		return m->time_wait_local;
	case TOP_SYN:
		return m->count.kind[SW_KIND_SYN];
	case TOP_HANDSHAKES:
		return book[SW_HS_COMPLETED];
	case TOP_TEARDOWNS:
		return book[SW_TD_COMPLETED] + book[SW_TD_RESET];
	case TOP_FAILURES:
		return book[SW_HS_REFUSED] + book[SW_HS_RESET] + book[SW_HS_TIMED_OUT] + book[SW_HS_EVICTED];
	case TOP_PASSED:
		return guard_act_sum(&m->count, SW_ACT_PASS);
	case TOP_DROPPED:
		return guard_act_sum(&m->count, SW_ACT_DROP);
	case TOP_CHALLENGED:
		return guard_act_sum(&m->count, SW_ACT_CHALLENGE);
	case TOP_COOKIES:
		return m->count.cookie[SW_COOKIE_VALID];
	case TOP_WOULD_DROP:
		return guard_act_sum(&m->count, SW_ACT_WOULD_DROP);
	case TOP_WOULD_CHALLENGE:
		return guard_act_sum(&m->count, SW_ACT_WOULD_CHALLENGE);
	case TOP_SEGMENTS:
		return all(m->count.kind, SW_KIND_COUNT);
	case TOP_IGNORED:
		return all(m->count.ignored, SW_REASON_COUNT) - m->count.ignored[SW_OK];
	case TOP_LINES:
		break;
	}
	return 0;
}

struct top_reading *top_blank(struct top_model *t)
{
	struct top_reading *r = &t->reading[t->now == &t->reading[0]];

	if (t->before == r)
		t->before = NULL;
	snapshot_free(&r->snap);
	memset(r, 0, sizeof(*r));
	return r;
}

static void remember(struct top_model *t)
{
	const struct snapshot *now = &t->now->snap, *was = t->before ? &t->before->snap : NULL;
	u32 at = t->readings++ % TOP_HISTORY;

	for (u32 line = 0; line < TOP_LINES; line++) {
		double value = number(now, line);

		if (line >= TOP_FIRST_RATE)
			value = was ? since_count(number(now, line), number(was, line)) / t->seconds : NAN;
		t->past[line][at] = value;
	}
}

void top_add(struct top_model *t)
{
	struct top_reading *before = t->now;

	t->now = &t->reading[t->now == &t->reading[0]];
	t->before = before && !t->missed && since_valid(&t->now->snap, &before->snap) ? before : NULL;
	t->missed = false;
	t->seconds = t->before ? since_seconds(&t->now->snap, &before->snap) : 0;
	memset(&t->syn_synack, 0, sizeof(t->syn_synack));
	memset(&t->synack_ack, 0, sizeof(t->synack_ack));
	if (t->before) {
		since_hist(&t->syn_synack, &t->now->snap.count.syn_synack, &before->snap.count.syn_synack);
		since_hist(&t->synack_ack, &t->now->snap.count.synack_ack, &before->snap.count.synack_ack);
	}
	remember(t);
}

void top_miss(struct top_model *t)
{
	u32 at = t->readings++ % TOP_HISTORY;

	for (u32 line = 0; line < TOP_LINES; line++)
		t->past[line][at] = NAN;
	t->missed = true;
}

void top_free(struct top_model *t)
{
	for (u32 i = 0; i < 2; i++)
		snapshot_free(&t->reading[i].snap);
}

double top_past(const struct top_model *t, enum top_line line, u32 ago)
{
	if (ago >= t->readings || ago >= TOP_HISTORY)
		return NAN;
	return t->past[line][(t->readings - 1 - ago) % TOP_HISTORY];
}

void top_spark(const struct top_model *t, enum top_line line, u8 *level, u32 columns)
{
	double highest = 0;

	for (u32 i = 0; i < columns; i++)
		if (top_past(t, line, i) > highest)
			highest = top_past(t, line, i);
	for (u32 i = 0; i < columns; i++) {
		double value = top_past(t, line, columns - 1 - i);
		u32 step = value > 0 ? value / highest * (TOP_LEVELS - 2) : 0; /* the highest reaches TOP_LEVELS - 2 */

		level[i] = isnan(value) ? 0 : value <= 0 ? 1 : 2 + (step < TOP_LEVELS - 3 ? step : TOP_LEVELS - 3);
	}
}
