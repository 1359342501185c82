// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Random but legal exchanges under a network that misbehaves. `MODEL_RUNS=n MODEL_SEED=s build/test/unit`;
 * MODEL_TRACE=1 prints each segment. A run is its seed: it fails again with MODEL_RUNS=1 and that seed. */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

void count_test(bool ok, const char *what);
void test_model(void);

u32 model_rnd(struct world *w, u32 below)
{
	w->rnd = w->rnd * 6364136223846793005ULL + 1442695040888963407ULL;
	return (w->rnd >> 33) % below;
}

bool model_chance(struct world *w, u32 per_mille)
{
	return model_rnd(w, 1000) < per_mille;
}

static bool sooner(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void model_push(struct world *w, u64 at, enum happening what, u32 pair, u32 side, const struct segment_sent *seg)
{
	int i = w->queued++;

	if (w->queued >= QUEUE - 4)
		w->over = true;
	if (i >= QUEUE)
		abort();
	struct event e = {.at = at, .order = w->order++, .what = what, .pair = pair, .side = side};
	if (seg)
		e.seg = *seg;
	while (i && sooner(&e, &w->queue[(i - 1) / 2])) {
		w->queue[i] = w->queue[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	w->queue[i] = e;
}

static struct event pop(struct world *w)
{
	struct event top = w->queue[0], last = w->queue[--w->queued];
	int i = 0, child;

	while ((child = 2 * i + 1) < w->queued) {
		if (child + 1 < w->queued && sooner(&w->queue[child + 1], &w->queue[child]))
			child++;
		if (!sooner(&w->queue[child], &last))
			break;
		w->queue[i] = w->queue[child];
		i = child;
	}
	w->queue[i] = last;
	return top;
}

/* One half of the way: from an end to us, or from us to the other end. */
void model_leg(struct world *w, u32 pair, enum happening what, const struct segment_sent *seg)
{
	u32 half = seg->from ^ (what == ARRIVES), copies = 1 + model_chance(w, w->dup);

	for (u32 i = 0; i < copies; i++) {
		if (model_chance(w, w->loss))
			continue;
		u64 us = 1000ull * w->base[half] + model_rnd(w, 1000 * w->jitter[half] + 1);
		w->pair[pair].flying++;
		model_push(w, w->now + us * 1000, what, pair, !seg->from, seg);
	}
}

void model_now_is(struct world *w, struct pair *p, u32 side, u8 state)
{
	struct tcp *t = &p->tcp[side];
	struct life *l = &p->life[t->life];

	if (l->pasts[side] == PASTS)
		w->over = true;
	else
		l->past[side][l->pasts[side]++] = state;
	t->state = state;
	if (state != SW_CLOSED)
		return;
	t->timer = 0;
	t->state = t->listens ? SW_LISTEN : SW_CLOSED;
}

/* Numbers do not part what happens in it from now on: model_watch.c. */
void model_vague(struct world *w, struct pair *p, u32 life)
{
	p->life[life].vague = p->vague = w->blurred = true;
}

static bool at_rest(const struct tcp *t)
{
	return t->state == SW_LISTEN || t->state == SW_CLOSED;
}

/* A new connection of the tuple, from a side that has none: no segment of an older one is left (2 MSL keeps them away). */
static void opens(struct world *w, u32 pair, u32 side)
{
	struct pair *p = &w->pair[pair];
	struct tcp *x = &p->tcp[side], *y = &p->tcp[!side];

	if (p->lives == LIVES || p->patience++ == 40) /* an end whose peer died may stay half closed for ever */
		return;
	if (p->flying || !(at_rest(x) || (x->state == SW_TIME_WAIT && model_chance(w, 300)))) {
		model_push(w, w->now + (1 + model_rnd(w, 9000)) * 1000000ull, OPENS, pair, side, NULL);
		return;
	}
	if (!at_rest(x))
		model_now_is(w, p, side, SW_CLOSED);
	y->listens = !model_chance(w, 100);
	if (at_rest(y))
		y->state = y->listens ? SW_LISTEN : SW_CLOSED;
	p->passed[p->lives].mark[0] = p->passed[p->lives].mark[1] = -1;
	if (!p->lives && model_chance(w, 250))
		model_push(w, w->now + model_rnd(w, 100) * 1000000, JOINS, pair, !side, NULL);
	tcp_open(w, p, side, p->lives++);
	model_push(w, w->now + model_rnd(w, 100000) * 1000000ull, OPENS, pair, side, NULL);
}

static void happens(struct world *w, const struct event *e)
{
	struct pair *p = &w->pair[e->pair];

	w->now = e->at;
	switch ((enum happening)e->what) {
	case PASSES:
		p->flying--;
		model_watch(w, e->pair, &e->seg);
		model_leg(w, e->pair, ARRIVES, &e->seg);
		break;
	case ARRIVES:
		p->flying--;
		tcp_receives(w, p, e->side, &e->seg);
		break;
	case TIMER:
		tcp_timer(w, p, e->side);
		break;
	case APP:
		tcp_app(w, p, e->side);
		break;
	case OPENS:
		opens(w, e->pair, e->side);
		break;
	case JOINS: /* both open at once: it has not heard of the other's SYN */
		if (at_rest(&p->tcp[e->side]) && !p->life[p->lives - 1].pasts[e->side]) {
			tcp_open(w, p, e->side, p->lives - 1);
			p->patience = 40; /* the last life: who opens the next could cross with this one */
		}
		break;
	}
}

static void network(struct world *w)
{
	static const u32 jitter[] = {0, 1, 20, 300, 2000};

	w->loss = model_rnd(w, 3) ? model_rnd(w, 200) : 0;
	w->dup = model_rnd(w, 2) ? model_rnd(w, 200) : 0;
	for (int i = 0; i < 2; i++) {
		w->base[i] = 1 + model_rnd(w, 60);
		w->jitter[i] = jitter[model_rnd(w, SW_ARRAY_SIZE(jitter))];
	}
}

bool model_open(struct engine *e)
{
	if (engine_open(e, 1, 1) || conf_defaults(&e->conf))
		return false;
	for (int i = 0; i < 10; i++)
		e->conf.hash_key[i] = 0x9e3779b97f4a7c15ULL * (i + 1);
	return true;
}

bool model_run(struct engine *e, u64 seed, bool trace)
{
	static struct world w;

	memset(&w, 0, sizeof(w));
	memset(e->set, 0, e->conf.sets * sizeof(*e->set));
	memset(e->tags, 0, e->conf.sets * sizeof(*e->tags));
	w.e = e;
	w.trace = trace;
	w.seed = seed;
	w.rnd = seed * 0x9e3779b97f4a7c15ULL;
	w.now = 3600 * SW_NS_PER_S;
	network(&w);
	for (int i = 0; i < PAIRS; i++) {
		for (int side = 0; side < 2; side++) {
			w.pair[i].tcp[side].state = SW_CLOSED;
			w.pair[i].isn[side] =
				model_rnd(&w, 2) ? 0 - (1 << 24) - model_rnd(&w, 70000) : model_rnd(&w, 1u << 31) * 2;
		}
		model_push(&w, w.now + model_rnd(&w, 5000) * 1000000, OPENS, i, model_rnd(&w, 2), NULL);
	}
	while (w.queued && !w.over && !w.wrong) {
		struct event next = pop(&w);
		happens(&w, &next);
	}
	if (!w.wrong && !w.over)
		model_books(&w);
	if (w.wrong)
		printf("# seed %llu, at %.3f s: %s\n", seed, w.now / 1e9, w.wrong);
	return !w.wrong;
}

static u64 number(const char *name, u64 usual)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : usual;
}

void test_model(void)
{
	u64 runs = number("MODEL_RUNS", 3000), seed = number("MODEL_SEED", 1);
	char line[100];
	struct engine e;
	u32 wrong = 0;

	if (!model_open(&e))
		abort();
	for (u64 i = 0; i < runs && wrong < 10; i++)
		wrong += !model_run(&e, seed + i, getenv("MODEL_TRACE"));
	snprintf(line, sizeof(line), "model: %u of %llu runs disagree with the tracker", wrong, runs);
	count_test(!wrong, line);
	engine_close(&e);
}
