// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which PREEMPT_RT kernels the programs can run on: the decision, by what can be known of a kernel. */
#include "realtime.h"

#include "tap.h"

void test_realtime(void);

#define RT    "CONFIG_PREEMPT_RT=y\n"
#define SET   "CONFIG_PREEMPT_RT_NEEDS_BH_LOCK=y\n"
#define UNSET "# CONFIG_PREEMPT_RT_NEEDS_BH_LOCK is not set\n"

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order of the questions
static const struct {
	const char *release, *version;
	bool flag;
	const char *config[3];
	bool fits;
} row[] = {
	/* not PREEMPT_RT */
	{"6.18.44", "#1 SMP PREEMPT_DYNAMIC @0", false, {NULL}, true},
	{"6.18.44", "#1 SMP PREEMPT_DYNAMIC @0", false, {UNSET}, true},
	{"7.2.0-amd64", "#1 SMP PREEMPT Debian 7.2.1-1", false, {"CONFIG_PREEMPT=y\n"}, true},
	/* by either sign */
	{"6.18.1-rt-amd64", "#1 SMP PREEMPT_RT Debian 6.18.1-1", false, {NULL}, false},
	{"6.18.1", "#1 SMP", true, {NULL}, false},
	{"6.18.1", "#1 SMP PREEMPT RT", false, {NULL}, false},
	/* by the release alone */
	{"5.19.0-rt10", "#1 SMP PREEMPT_RT", true, {NULL}, true},
	{"6.1.0-50-rt-amd64", "#1 SMP PREEMPT_RT Debian 6.1.170-1", true, {NULL}, true},
	{"6.12.56-rt", "#1 SMP PREEMPT_RT", true, {NULL}, true},
	{"6.12.57+deb13-rt-amd64", "#1 SMP PREEMPT_RT", true, {NULL}, false},
	{"6.12.90", "#1 SMP PREEMPT_RT", true, {NULL}, false},
	{"6.17.13", "#1 SMP PREEMPT_RT", true, {NULL}, true},
	{"6.18-rc1", "#1 SMP PREEMPT_RT", true, {NULL}, false},
	{"7.0", "#1 SMP PREEMPT_RT", true, {NULL}, false},
	{"custom", "#1 SMP PREEMPT_RT", true, {NULL}, false},
	/* by the configuration, whatever the release */
	{"6.18.1", "#1 SMP PREEMPT_RT", true, {RT, SET}, true},
	{"6.18.1", "#1 SMP PREEMPT_RT", true, {RT, UNSET}, false},
	{"6.6.30", "#1 SMP PREEMPT_RT", true, {RT, UNSET}, false},
	{"6.6.30", "#1 SMP PREEMPT_RT", true, {RT}, true},
	{"6.12.60", "#1 SMP PREEMPT_RT", true, {RT, "CONFIG_HZ=250\n"}, true},
	/* that of another kernel */
	{"6.18.1", "#1 SMP PREEMPT_RT", true, {"# CONFIG_PREEMPT_RT is not set\n"}, false},
	{"6.18.1", "#1 SMP PREEMPT_RT", true, {SET}, false},
};

void test_realtime(void)
{
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct realtime_facts f = {row[i].release, row[i].version, row[i].flag, {0}};

		for (int k = 0; k < 3 && row[i].config[k]; k++)
			realtime_config_line(&f.config, row[i].config[k]);
		TEST(realtime_judge(&f) == row[i].fits, "realtime, row %zu: %s %s should%s fit", i, f.release,
		     f.version, row[i].fits ? "" : " not");
	}
}
