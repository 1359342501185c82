# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Faults that come from outside: programs of others that come later, interfaces that move, commands at once, clocks."""
import contextlib
import fcntl
import json
import mmap
import os
import struct
import subprocess
import time

from lib import (MODE_NAMES, MODES, PATIENCE, SYNWAVE, TC, V4, Synwave, attached, check, equal, half_open, inside, ip,
                 listener, meet, netns, nothing_left, owned, pair, part, pins, run, scenario, talk, until)
from t_foreign import SCHED_CLS, XDP, another, tcx_link
from t_trace import Trace

SMALL = ("--flows", "4096", "--half-open", "1024")


def one_connection():
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    server.close()


@scenario(mode=MODE_NAMES)
def others_come_later(mode):
    """XDP, TCX and clsact of somebody else's, attached after ours: what the kernel takes works beside ours, attach
    again and detach leave it alone."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    ours = attached("srv")
    _, xdp = another(XDP)
    prog, tc = another(SCHED_CLS)
    took = []
    with inside("srv"):
        for how in ("xdpdrv", "xdpgeneric"):
            if not run("ip", "link", "set", "dev", "eth0", how, "pinned", xdp, ok=None).returncode:
                took.append(how)
        if not run("tc", "qdisc", "add", "dev", "eth0", "clsact", ok=None).returncode:
            took.append("clsact")
            run("tc", "filter", "add", "dev", "eth0", "ingress", "bpf", "direct-action", "object-pinned", tc)
    links = []
    if TC == "tcx":
        links = [tcx_link(prog, "eth0", hook) for hook in ("ingress", "egress")]
        took.append("tcx")
    equal(took[0] == "xdpdrv", mode == "tc", f"whether XDP was free ({took})")
    theirs = attached("srv") - ours
    check(ours <= attached("srv"), "ours went when theirs came")
    one_connection()
    sw.expect(handshakes__completed=1, teardowns__completed=1)
    if mode == "tc":
        r = sw.cmd("attach", "eth0", "--mode", "native", ok=(0, 1))
        if r.returncode:
            check(r.stderr.count("\n") == 1 and "XDP is taken by program" in r.stderr and "eth0" in r.stderr, r.stderr)
        equal(len(sw.stats()["interfaces"]), 1, "interfaces")
    sw.cmd("attach", "eth0", "--mode", mode)
    sw.owned |= attached("srv") - theirs
    check(theirs <= attached("srv"), "theirs went when ours was attached again")
    one_connection()
    sw.expect(handshakes__completed=2, teardowns__completed=2)
    sw.detach()
    equal(attached("srv"), theirs, "on the interface after our detach")
    for fd in links:
        os.close(fd)
    with inside("srv"):
        for how in took:
            if how.startswith("xdp"):
                run("ip", "link", "set", "dev", "eth0", how, "off")
        run("tc", "qdisc", "del", "dev", "eth0", "clsact", ok=None)
    nothing_left(sw)
    return "the kernel took theirs: " + ", ".join(took)


@scenario(mode=["native", "generic"])
def no_dispatcher(mode):
    """Where the kernel refuses what libxdp's dispatcher is made of, XDP is attached alone: attach says so, status
    reports it, and nothing of the attempt is left. Where it does not, ours is chained, and that is said."""
    pair()
    sw = Synwave()
    said = sw.cmd("attach", "eth0", "--mode", mode, *SMALL).stderr
    text, out = sw.cmd("status").stdout, json.loads(sw.cmd("status", "--json").stdout)
    works, chained = out["features"]["xdp_dispatcher"], out["interfaces"][0]["chained"]
    equal(chained, works, "chained, as the kernel can")
    equal(out["interfaces"][0]["ingress"], MODES[mode], "ingress")
    want = ("in libxdp's dispatcher", "XDP dispatcher yes") if works else (
        "alone: this kernel does not run libxdp's dispatcher", "XDP dispatcher no (XDP runs alone)")
    check(want[0] in said and want[1] in text, said + text)
    one_connection()
    sw.expect(handshakes__completed=1)
    if not works:
        check(not os.path.exists("/sys/fs/bpf/xdp"), "libxdp's directory was left")
        two = Synwave("swt-two")
        r = two.cmd("attach", "eth0", "--mode", mode, ok=(1,))
        check(r.stderr.count("\n") == 1 and "XDP is taken by program synwave_xdp" in r.stderr, r.stderr)
        check(not os.path.exists(two.pin), "pins of an attach that was refused")
        r = two.cmd("attach", "eth0", "--mode", "auto")
        check("auto took tc" in r.stderr and "XDP is taken by program synwave_xdp" in r.stderr, r.stderr)
        two.detach()
    sw.detach()
    nothing_left(sw)
    return want[0]


@scenario(mode=MODE_NAMES)
def moved_to_namespace(mode):
    """The interface goes to another network namespace: our programs go with it and are found, under it or from here;
    attached there again, it is not watched twice."""
    pair()
    netns("far")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    one_connection()
    sw.expect(teardowns__completed=1)
    ip("srv", "link", "set", "eth0", "netns", "far")
    ip("far", "link", "set", "eth0", "up")
    until(lambda: "LOWER_UP" in ip("far", "link", "show", "eth0").stdout, "the link to be up")
    sw.cmd("attach", "lo", "--mode", "tc")  # what another interface's attach makes of it: nothing
    for ns in ("srv", "far"):
        state = {i["name"]: i["state"] for i in json.loads(sw.cmd("status", "--json", ns=ns).stdout)["interfaces"]}
        equal(state["eth0"], "elsewhere", f"state, seen from {ns}")
    sw.cmd("detach", "lo")
    half_open(V4, 3, 80)
    sw.expect(handshakes__started=4, segments__syn=4)
    r = sw.cmd("detach", "eth0", ns="far", ok=(1,))
    check("another network namespace" in r.stderr and r.stderr.count("\n") == 1, r.stderr)
    for again in range(2):
        sw.cmd("attach", "eth0", "--mode", mode, ns="far")
        sw.owned |= owned(sw.pin, "far")
        out = json.loads(sw.cmd("status", "--json", ns="far").stdout)["interfaces"]
        equal([(i["name"], i["state"], i["ingress"]) for i in out], [("eth0", "up", MODES[mode])], "interfaces")
        equal(sum(kind == "prog" for kind, _ in attached("far")), 2, "programs on it")
        half_open(V4, 3, 80, start=10 * again + 10)
        sw.expect(handshakes__started=7 + 3 * again, segments__syn=7 + 3 * again, teardowns__completed=1)
    sw.cmd("detach", "eth0", ns="far")
    nothing_left(sw, spaces=("srv", "far"))


@scenario(mode=MODE_NAMES)
def moved_and_detached(mode):
    """From where it was, by its name; from where it is, by --all; and when it went down with the namespace."""
    pair()
    netns("far")
    sw = Synwave()
    for how in ("name", "all", "gone"):
        sw.attach("eth0", mode=mode)
        ip("srv", "link", "set", "eth0", "netns", "far")
        if how == "name":
            sw.cmd("detach", "eth0")
        elif how == "all":
            sw.detach(ns="far")
        else:
            run("ip", "netns", "del", "far")
            until(lambda: "gone" in sw.cmd("status").stdout, "status to say so")
            sw.detach()
        nothing_left(sw, spaces=("srv", "far") if how != "gone" else ("srv",))
        if how != "gone":
            ip("far", "link", "set", "eth0", "netns", "srv")


# --- at once -------------------------------------------------------------------------------------------------------


def together(sw, *commands):
    """Starts all of them, then waits: (exit code, lines on standard error) of each."""
    with inside("srv"):
        all_ = [subprocess.Popen([SYNWAVE, "--pin", sw.pin, *words], stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for words in commands]
    said = [p.communicate(timeout=50)[1].splitlines() for p in all_]
    return [(p.returncode, lines) for p, lines in zip(all_, said)]


@scenario(limit=120)
def attach_the_same_at_once():
    """Two attaches of one interface, in whatever order they get the lock: one instance, one set of programs."""
    pair()
    sw = Synwave()
    for a, b in ((("tc",), ("tc",)), (("tc",), ("native",)), (("native",), ("generic",))):
        for (code, lines) in together(sw, ("attach", "eth0", "--mode", *a), ("attach", "eth0", "--mode", *b),
                                      ("attach", "eth0", "lo", "--mode", "tc")):
            equal(code, 0, f"exit code of an attach that said {lines}")
        sw.owned |= owned(sw.pin, "srv")
        out = {i["name"]: i for i in sw.stats()["interfaces"]}
        check(out["eth0"]["ingress"] in {MODES[m] for m in (*a, *b, "tc")} and out["eth0"]["egress"] == TC, out)
        with inside("srv"):
            r = json.loads(run("ip", "-j", "-d", "link", "show", "dev", "eth0").stdout)[0]
        equal("xdp" in r and bool(r["xdp"]), out["eth0"]["ingress"].startswith("xdp"), "XDP on eth0")
        progs = sum(kind == "prog" for kind, _ in attached("srv"))
        check(2 <= progs <= 4, f"programs on eth0 and lo: {progs}")  # one command loads them once
        one_connection()
        sw.expect(handshakes__started=1, handshakes__completed=1, teardowns__completed=1)
        sw.detach()
        nothing_left(sw)


@scenario(limit=120)
def wishes_at_once():
    """Sizes that cannot both be: the one who comes first has it, the other is refused in a line. An attach beside
    a detach: either all of it or nothing is there."""
    pair()
    sw = Synwave()
    sizes = ("4096", "8192")
    ends = together(sw, *(("attach", "eth0", "--mode", "tc", "--flows", n) for n in sizes))
    equal(sorted(code for code, _ in ends), [0, 1], f"exit codes: {ends}")
    loser = next(lines for code, lines in ends if code)
    equal(len(loser), 1, "lines on standard error")
    kept = json.loads(sw.cmd("status", "--json").stdout)["flows"]
    check(f"runs with --flows {kept}" in loser[0] and sizes[[c for c, _ in ends].index(0)] == str(kept), loser)
    for _ in range(4):
        sw.owned |= owned(sw.pin, "srv") if os.path.exists(sw.pin) else set()
        (off, lines), (on, more) = together(sw, ("detach", "--all"), ("attach", "eth0", "--mode", "tc"))
        equal((off, on), (0, 0), f"exit codes: {lines} {more}")
        if os.path.exists(sw.pin):
            one_connection()
            check(sw.stats()["handshakes"]["completed"] >= 1, "nothing is seen")
        else:
            check(not pins() and not attached("srv"), "half of it is there")
    sw.detach()
    nothing_left(sw)


@scenario()
def lock_held():
    """A command that stands still with the lock: readers go on, those who change wait for their turn, and all of
    them get it."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    lock = os.open(sw.pin, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with inside("srv"):
        waiting = [subprocess.Popen([SYNWAVE, "--pin", sw.pin, "guard", "allow", f"198.51.{i}.0/24"],
                                    stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for i in range(8)]
    one_connection()
    sw.expect(handshakes__completed=1)
    for words in (("flows",), ("export",), ("guard", "show"), ("status",)):
        sw.cmd(*words)
    equal([p.poll() for p in waiting], [None] * 8, "exit codes while the lock is held")
    os.close(lock)
    equal([p.wait(PATIENCE * 2) for p in waiting], [0] * 8, "exit codes")
    rules = sw.cmd("guard", "show", "--yaml").stdout
    check(all(f"198.51.{i}.0/24" in rules for i in range(8)), rules)
    sw.detach()
    nothing_left(sw)


# --- rights and clocks ---------------------------------------------------------------------------------------------


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
    run(os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", "/run/clock.so", "/run/clock.c")
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
