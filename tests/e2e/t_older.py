# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the kernel may lack is found out, said by `status`, and done without: each choice the other way than this
kernel would have it. A library in front of bpf(2) makes the kernel older (older.c), a changed copy of its BTF hides
fields of its structures. What the kernel has is tested by all the other scenarios."""
import json
import os
import socket
import subprocess

from instance import MODE_NAMES, Synwave, attached, nothing_left
from lib import OLDER, PATIENCE, SYNWAVE, check, equal, inside, run, scenario, until
from net import V4, listener, meet, pair, part, sysctl
from t_guard import client, guard, meet_from, offered

BTF = "/sys/kernel/btf"


def older(*what):
    """From here on, for the programs that this test starts."""
    os.environ.update(LD_PRELOAD=OLDER, OLDER=" ".join(what))


def hide_fields(*names):
    """Of the kernel's structures: their names are others now."""
    with open(BTF + "/vmlinux", "rb") as f:
        types = f.read()
    for name in names:
        word = b"\0" + name.encode() + b"\0"
        equal(types.count(word), 1, f"{name} in the kernel's BTF")
        types = types.replace(word, word[:-2] + b"?\0")
    with open("/run/btf", "wb") as f:
        f.write(types)
    run("mount", "--bind", "/run/btf", BTF + "/vmlinux")


def status(sw, **features):
    """These features, in both forms of `status`; returns the object."""
    out = json.loads(sw.cmd("status", "--json").stdout)
    equal({k: out["features"][k] for k in features}, features, "features")
    kernel = next(line for line in sw.cmd("status").stdout.splitlines() if line.startswith("Kernel"))
    equal(kernel.count(" no"), sum(not yes for yes in out["features"].values()), f"what is missing in: {kernel}")
    return out


def traffic(sw):
    before = sw.stats()["handshakes"]["completed"]
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    server.close()
    sw.expect(handshakes__completed=before + 1, teardowns__completed=before + 1, segments__syn_ack=before + 1)


def attach(sw, mode):
    """lib's looks for the hooks that this kernel has."""
    r = sw.cmd("attach", "eth0", "--mode", mode, "--flows", "16384", "--half-open", "4096")
    sw.owned |= attached("srv")
    return r


@scenario(mode=MODE_NAMES)
def older_kernel_tcx(mode):
    """clsact instead, also to replace ourselves; and on the day of the new kernel, TCX takes the place of clsact."""
    pair()
    older("tcx")
    sw = Synwave()
    for _ in range(2):
        attach(sw, mode)
        one = status(sw, tcx=False)["interfaces"][0]
        equal((one["egress"], one["ingress"]), ("clsact", "clsact" if mode == "tc" else "xdp-" + mode), "hooks")
        traffic(sw)
    sw.detach()
    nothing_left(sw)
    with inside("srv"):
        check("clsact" not in run("tc", "qdisc", "show", "dev", "eth0").stdout, "the qdisc is still there")


@scenario(mode=["native", "generic"])
def older_kernel_dispatcher(mode):
    pair()
    older("freplace")
    sw = Synwave()
    for _ in range(2):
        r = attach(sw, mode)
        one = status(sw, xdp_dispatcher=False)["interfaces"][0]
        equal((one["chained"], one["ingress"], one["state"]), (False, "xdp-" + mode, "up"), "the interface")
        traffic(sw)
    check(mode == "native" or "alone" not in r.stderr or "dispatcher" in r.stderr, r.stderr)
    sw.detach()
    nothing_left(sw)


@scenario(mode=["native", "generic"])
def older_dispatcher(mode):
    """Where it takes no program that moves packets, the one that keeps the length of frames runs in it; the whole one takes
    its place as soon as it may."""
    pair()
    older("moving")
    sw = Synwave()
    for _ in range(2):
        r = attach(sw, mode)
        out = json.loads(sw.cmd("status", "--json").stdout)
        one, works = out["interfaces"][0], out["features"]["xdp_dispatcher"]
        equal((one["chained"], one["ingress"], one["state"]), (works, "xdp-" + mode, "up"), "the interface")
        equal(one["program"], "synwave_xdp_pad" if works else "synwave_xdp", "the program")
        check(one["why"] and one["why"] in r.stderr, f"{one['why']} is not in {r.stderr}")
        traffic(sw)
    os.environ.pop("OLDER")
    r = attach(sw, mode)
    one = json.loads(sw.cmd("status", "--json").stdout)["interfaces"][0]
    padded = works and bool(one["why"])
    equal((one["chained"], one["program"]), (works, "synwave_xdp_pad" if padded else "synwave_xdp"), "afterwards")
    traffic(sw)
    sw.detach()
    nothing_left(sw)
    return "this kernel runs no dispatcher" if not works else "its dispatcher refuses" if padded else None


def over_the_limit(sw, mode):
    """Every SYN for port 80 is to be challenged."""
    sysctl("srv", ipv4__tcp_syncookies=2, ipv4__tcp_timestamps=2)
    far = Synwave("far", ns="cli")
    far.attach("eth0", mode="native")  # veth: else what XDP sends back is left lying in the ring
    attach(sw, mode)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    server = listener("srv", V4, 80)
    meet_from(client(1, V4), V4, server)  # the one that is within
    return far, server


@scenario(mode=MODE_NAMES)
def older_kernel_cookies(mode):
    """The verifier takes the programs without the helper; what cannot be challenged is passed, or dropped if so asked."""
    pair()
    older("gen_syncookie")
    sw = Synwave()
    far, server = over_the_limit(sw, mode)
    check("lacks the helpers (such SYNs are passed)" in status(sw, cookie_helpers=False)["guard"]["cookies"], "cookies")
    meet_from(client(2, V4), V4, server)
    g = guard(sw)
    equal((g["challenged"], g["dropped"], g["passed"]), (0, 0, 2), "challenged, dropped, passed")
    sw.cmd("guard", "set", "cookie_fallback=drop")
    check("(such SYNs are dropped)" in status(sw)["guard"]["cookies"], "cookies")
    third = client(3, V4)
    with inside("cli"):
        c = socket.socket()
    c.bind((third, 0))
    c.setblocking(False)
    c.connect_ex((V4.srv, 80))
    until(lambda: guard(sw)["by_reason"]["no_cookie"], "a SYN dropped for want of a cookie")
    c.close()
    equal(guard(sw)["challenged"], 0, "challenged")
    far.detach(ns="cli")
    sw.detach()
    nothing_left(far, sw, spaces=("srv", "cli"))


@scenario(mode=MODE_NAMES)
def older_kernel_fields(mode):
    """Where the listener's namespace cannot be looked at, the kernel's helper decides alone."""
    pair()
    hide_fields("sysctl_tcp_syncookies", "sysctl_tcp_timestamps", "qlen")
    sw = Synwave()
    far, server = over_the_limit(sw, mode)
    check("lacks fields of the listener" in status(sw, listener_fields=False)["guard"]["cookies"], "cookies")
    c, s = meet_from(client(2, V4), V4, server)
    equal(guard(sw)["challenged"], 1, "challenged")
    equal((offered(c), offered(s)), (0, 0), "options that a challenged connection kept")
    part(c, s)
    sysctl("srv", ipv4__tcp_syncookies=0)
    meet_from(client(3, V4), V4, server)
    equal(guard(sw)["challenged"], 1, "challenged with net.ipv4.tcp_syncookies=0")
    far.detach(ns="cli")
    sw.detach()
    nothing_left(far, sw, spaces=("srv", "cli"))


@scenario()
def older_kernel_syncookies():
    """Built without CONFIG_SYN_COOKIES."""
    pair()
    sw = Synwave()
    attach(sw, "tc")
    with inside("srv"):
        run("mount", "-t", "tmpfs", "none", "/proc/sys/net/ipv4")
    text = status(sw)["guard"]["cookies"]
    check("no net.ipv4.tcp_syncookies" in text, text)
    sw.detach()
    nothing_left(sw)


@scenario()
def older_kernel_btf():
    """Nothing to be found by name: attach says so, in a line, and leaves nothing."""
    pair()
    run("mount", "-t", "tmpfs", "none", BTF)
    sw = Synwave()
    r = sw.cmd("attach", "eth0", "--mode", "tc", ok=(1,))
    equal(len(r.stderr.splitlines()), 1, "lines on standard error")
    check("BTF" in r.stderr, r.stderr)
    nothing_left(sw)


@scenario()
def realtime_kernel():
    """A kernel that says it is PREEMPT_RT: with softirqs that exclude each other (before 6.18 and 6.12.57) all is well,
    else attach refuses, and what runs goes on and is taken off."""
    pair()
    sw = Synwave()
    release = [int(n) for n in os.uname().release.split("-")[0].split(".")[:2]]
    fits = release < [6, 18] and release != [6, 12]
    attach(sw, "tc")
    older("serial_softirqs")
    r = sw.cmd("attach", "eth0", "--mode", "tc", ok=(0 if fits else 1,))
    check(fits or (r.stderr.count("\n") == 1 and "CONFIG_PREEMPT_RT_NEEDS_BH_LOCK" in r.stderr), r.stderr)
    status(sw, serial_softirqs=fits)
    traffic(sw)
    sw.detach()
    nothing_left(sw)


@scenario()
def kernel_without_ipv6():
    """`export --listen :PORT` is every address that there is; an address that is named is not replaced by another."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    older("inet6")
    with inside("srv"):
        run("ip", "link", "set", "lo", "up")
        exporter = subprocess.Popen([SYNWAVE, "--pin", sw.pin, "export", "--listen", ":9465"])
        until(lambda: run("curl", "-sf", "http://127.0.0.1:9465/metrics", ok=None).returncode == 0, "a scrape by IPv4")
    r = sw.cmd("export", "--listen", "[::1]:9466", ok=(1,))
    check("[::1]:9466" in r.stderr and len(r.stderr.splitlines()) == 1, r.stderr)
    exporter.terminate()
    equal(exporter.wait(PATIENCE), 0, "the exporter's exit code")
    traffic(sw)
    sw.detach()
    nothing_left(sw)
