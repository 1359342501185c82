// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tests/unit/model.c for as many seconds as asked, from a random seed on: model SECONDS [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"

void count_test(bool ok, const char *what);

void count_test(bool ok, const char *what)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
}

int main(int argc, char **argv)
{
	u64 seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 60;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 10) : (u64)time(NULL) << 24, first = seed;
	time_t end = time(NULL) + (time_t)seconds;
	struct engine e;
	u32 wrong = 0;

	if (!model_open(&e))
		return 1;
	while (time(NULL) < end && wrong < 10)
		for (int i = 0; i < 1000; i++)
			wrong += !model_run(&e, seed++, false);
	printf("model: %llu runs from seed %llu, %u disagree with the tracker\n", seed - first, first, wrong);
	engine_close(&e);
	return wrong != 0;
}
