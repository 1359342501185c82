# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Few rights, and a wall clock that is set."""
import contextlib
import json
import mmap
import os
import struct
import subprocess
import time

from instance import MODE_NAMES, Synwave, nothing_left
from lib import PATIENCE, SYNWAVE, check, equal, inside, run, scenario, until
from net import V4, half_open, listener, meet, pair, part, talk
from t_faults_net import SMALL, one_connection
from t_trace import Trace


@scenario(mode=MODE_NAMES)
def guard_without_root(mode):
    """Neither root's user id nor more than CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: attach with rules, and every change
    of them."""
    pair()
    os.chmod("/sys/fs/bpf", 0o777)
    os.mkdir("/run/own")
    os.chown("/run/own", 65534, 65534)
    with open("/run/rules", "w") as f:
        f.write("mode: dry-run\nallow: [192.0.2.0/24]\n")
    caps = "+bpf,+net_admin,+perfmon"
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs", "--inh-caps",
            "-all," + caps, "--ambient-caps", "-all," + caps, "--bounding-set", "-all," + caps]
    sw = Synwave()

    def do(*words):
        with inside("srv"):
            return run(*user, SYNWAVE, "--pin", sw.pin, *words)

    do("attach", "eth0", "--mode", mode, *SMALL, "--config", "/run/rules")
    one_connection()
    do("guard", "set", "mode=enforce", "source.ipv4/32=50/s burst 100")
    do("guard", "deny", "198.51.100.0/24")
    do("guard", "remove", "192.0.2.0/24")
    rules = do("guard", "show", "--yaml").stdout
    check("mode: enforce" in rules and "198.51.100.0/24" in rules and "192.0.2.0/24" not in rules, rules)
    do("guard", "apply", "/run/rules")
    check("mode: dry-run" in do("guard", "show", "--yaml").stdout, "apply")
    equal(json.loads(do("stats", "--json").stdout)["handshakes"]["completed"], 1, "completed")
    for words in (("status",), ("flows",), ("export", "--textfile", "/run/own/x.prom"), ("attach", "eth0")):
        do(*words)
    check("eth0             up " in do("status").stdout, "status")
    do("detach", "eth0")
    nothing_left(sw)


CLOCK = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *ahead; /* seconds, in a file that the test writes to */
__attribute__((constructor)) static void begin(void)
{
	ahead = mmap(0, 8, PROT_READ, MAP_SHARED, open("/run/ahead", O_RDONLY), 0);
}
int clock_gettime(clockid_t clock, struct timespec *t)
{
	long err = syscall(SYS_clock_gettime, clock, t);
	if (!err && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		t->tv_sec += *ahead;
	return err;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return 0;
}
time_t time(time_t *to)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return to ? (*to = now.tv_sec) : now.tv_sec;
}
"""


@contextlib.contextmanager
def wall_clock():
    """A wall clock for programs started from here that can be set; the machine's own stays as it is."""
    with open("/run/clock.c", "w") as f:
        f.write(CLOCK)
    run(os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", "/run/clock.so",
        "/run/clock.c")
    with open("/run/ahead", "wb+") as f:
        f.write(bytes(8))
        f.flush()
        ahead = mmap.mmap(f.fileno(), 8)
    os.environ["LD_PRELOAD"] = "/run/clock.so"
    yield lambda seconds: ahead.__setitem__(slice(0, 8), struct.pack("q", seconds))
    del os.environ["LD_PRELOAD"]


@scenario(mode=["tc"], limit=90)
def clock_steps(mode):
    """Somebody sets the wall clock, forward by a year, back by a month: times are of the new clock from then on, and
    nothing that has a duration notices: no timeout, no latency, no lease, no interval."""
    pair()
    with wall_clock() as set_ahead:
        sw = Synwave()
        sw.attach("eth0", mode=mode)
        server = listener("srv", V4, 80)
        held = [meet(server, "cli", V4) for _ in range(4)]
        half_open(V4, 5, 80)
        sw.expect(half_open=5, handshakes__completed=4)
        trace = Trace(sw)
        with inside("srv"), open("/run/watch", "wb") as out:
            watch = subprocess.Popen([SYNWAVE, "--pin", sw.pin, "--json", "stats", "--watch=0.1"], stdout=out)
        for n, ahead in enumerate((365 * 86400, -30 * 86400, 0)):
            set_ahead(ahead)
            near = lambda ns: abs(ns / 1e9 - time.time() - ahead) < 60  # noqa: E731
            until(lambda: step(server, trace, near), "events to have the time of the new clock")
            for r in sw.flows():
                check(near(r["first_ns"]) and near(r["changed_ns"]) and r["first_ns"] <= r["changed_ns"], r)
            with open("/run/watch") as f:
                lines = len(f.readlines())
            until(lambda: len(open("/run/watch").readlines()) > lines + 3, "stats --watch to go on")
            stats = sw.expect(half_open=5, states__local__ESTABLISHED=4)
            for group in ("handshakes", "teardowns"):
                equal(stats[group]["timed_out"], 0, f"{group}.timed_out")
            sw.cmd("attach", "eth0", "--mode", mode)
            for c, s in held:
                talk(c, s)
        equal(stats["events"]["midstream"], 0, "picked up in the middle")
        equal(stats["time_wait"], stats["teardowns"]["completed"], "TIME_WAIT")
        check(stats["latency"]["syn_synack"]["sum_ns"] < 60e9, stats["latency"])
        for e in trace.events():
            check(e["delta_ns"] is None or 0 <= e["delta_ns"] < 60e9, f"a delta: {e}")
        lines = trace.stop()
        check(len(lines) == 1 and lines[0].endswith(" 0 lost"), lines)
        watch.terminate()
        equal(watch.wait(PATIENCE), 0, "exit code of stats --watch")
        sw.detach()
        nothing_left(sw)


def step(server, trace, near):
    """One more connection; whether its last event has the right time."""
    port = (c := meet(server, "cli", V4))[0].getsockname()[1]
    part(*c)
    mine = until(lambda: [e for e in trace.events() if e["client"]["port"] == port and
                          e["server"]["state"] == "CLOSED"], "the end of a connection")
    return near(mine[-1]["time_ns"])
