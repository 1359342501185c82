# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The instance's own life: attached again, killed, beside another, its interfaces gone, its orders bad."""
import json
import mmap
import os
import random
import signal
import struct
import subprocess
import time

from instance import MODES, MODE_NAMES, Synwave, attached, exists, nothing_left, owned, pins, tally
from lib import SYNWAVE, check, equal, inside, run, scenario, until
from net import V4, address, dial, half_open, ip, listener, meet, netns, pair, part, ss, sysctl, talk, veth


@scenario(mode=MODE_NAMES)
def attach_again(mode):
    """Upgrade in place, in the same mode and through all the others: nothing is forgotten."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    for _ in range(8):
        part(*meet(server, "cli", V4))
    held = [meet(server, "cli", V4) for _ in range(11)]
    half_open(V4, 30, 80)
    before = sw.expect(half_open=30, handshakes__completed=19, teardowns__completed=8)
    others = [m for m in MODE_NAMES if m != mode]
    for n, to in enumerate([mode, *others, mode, mode]):
        sw.attach("eth0", mode=to, small=n % 2 == 0)  # asks without sizes, too: the tables stay
        stats = sw.stats()
        equal([(d["name"], d["ingress"]) for d in stats["interfaces"]], [("eth0", MODES[to])], "interfaces")
        for part_of in ("handshakes", "teardowns"):
            mine = {k: v for k, v in stats[part_of].items() if not k.endswith("retransmits")}
            equal(mine, {k: before[part_of][k] for k in mine}, f"{part_of} after attach --mode {to}")
        for k, v in before["segments"].items():
            check(stats["segments"][k] >= v, f"segments.{k} went back")
        equal(stats["latency"]["synack_ack"], before["latency"]["synack_ack"], "latency")
        sw.expect(half_open=lambda: ss("srv", "syn-recv"), states__local__ESTABLISHED=11)
        for pair_ in held:
            talk(*pair_)
        progs = sum(kind == "prog" for kind, _ in attached("srv"))
        equal(progs, 2, f"programs on eth0 in mode {to}")
    half_open(V4, 5, 80, start=31)
    for c, s in held:
        part(c, s)
    stats = sw.expect(half_open=35, handshakes__completed=19, teardowns__completed=19, states__local__ESTABLISHED=0,
                      time_wait=19)
    equal(tally(sw.flows("--state", "TIME_WAIT")), {("TIME_WAIT", "CLOSED", "SF"): 19}, "flows")
    sw.detach()
    nothing_left(sw)


class Traffic:
    """A server and a client, processes of their own: connections one after another until told to stop. `made` are
    the requests that were answered and whose connection was closed from both sides."""

    def __init__(self):
        self.shared = mmap.mmap(-1, 4096)
        sysctl("cli", ipv4__tcp_tw_reuse=1)  # there are more connections than ports
        server = listener("srv", V4, 80)
        self.pids = [self.child(self.serve, server), self.child(self.ask)]
        server.close()
        until(lambda: self.made() > 20, "traffic")

    def child(self, function, *args):
        pid = os.fork()
        if pid:
            return pid
        try:
            function(*args)
            os._exit(0)
        except BaseException as why:
            print("traffic:", repr(why), flush=True)
            os._exit(1)

    @staticmethod
    def serve(server):
        server.settimeout(None)
        while True:
            s, _ = server.accept()
            s.sendall(s.recv(64))
            equal(s.recv(64), b"", "end of stream")
            s.close()

    def ask(self):
        while not self.shared[8]:
            c = dial("cli", V4, 80)
            c.sendall(b"hello")
            equal(c.recv(64), b"hello", "answer")
            c.shutdown(1)
            equal(c.recv(64), b"", "end of stream")
            c.close()
            time.sleep(0.0005)  # a pace that leaves the machine something for the others
            self.shared[:8] = struct.pack("Q", self.made() + 1)

    def made(self):
        return struct.unpack("Q", self.shared[:8])[0]

    def stop(self):
        self.shared[8] = 1
        _, status = os.waitpid(self.pids[1], 0)
        os.kill(self.pids[0], signal.SIGKILL)
        os.waitpid(self.pids[0], 0)
        equal(status, 0, "the client's end")
        return self.made()


def killed(sw, seconds, *words):
    """Starts synwave and kills it after so many seconds; returns whether it was still running."""
    with inside(sw.ns):
        p = subprocess.Popen([SYNWAVE, "--pin", sw.pin, *words], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL)
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        p.kill()
    return p.wait() == -signal.SIGKILL


def seconds_of(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


@scenario(mode=MODE_NAMES)
def kill(mode):
    """Six attaches killed at random instants under traffic: not one connection is lost from the books."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    rnd = random.Random(seed)
    print("seed", seed, flush=True)
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    traffic = Traffic()
    order = ("attach", "eth0", "--mode", mode, "--flows", "16384", "--half-open", "4096")
    whole = seconds_of(lambda: sw.cmd(*order))
    hits = tries = 0
    while hits < 6:
        tries += 1
        check(tries < 100, "attach cannot be killed in time")
        hits += killed(sw, rnd.uniform(0, whole), *order)
        sw.owned |= owned(sw.pin, "srv")
        seen = traffic.made()
        until(lambda: traffic.made() > seen + 5, "traffic to go on")
        sw.stats()  # the laws hold while connections come and go
    sw.attach("eth0", mode=mode)
    made = traffic.stop()
    stats = sw.expect(handshakes__completed=made, teardowns__completed=made, handshakes__in_progress=0)
    equal(stats["handshakes"]["started"], made, "handshakes started")
    equal(stats["events"]["midstream"], 0, "picked up in the middle")
    hits = 0
    while hits < 3 and os.path.exists(sw.pin):  # and detach, killed
        hits += killed(sw, rnd.uniform(0, whole / 4), "detach", "--all")
    sw.cmd("detach", "--all", ok=(0, 1))
    nothing_left(sw)
    return f"{made} connections, attach takes {whole * 1000:.0f} ms, seed {seed}"


@scenario(mode=MODE_NAMES)
def kill_first(mode):
    """The first attach of all, killed: the next one puts things right; so does detach."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    rnd = random.Random(seed)
    print("seed", seed, flush=True)
    pair()
    sw = Synwave()
    order = ("attach", "eth0", "--mode", mode, "--flows", "16384", "--half-open", "4096")
    whole = seconds_of(lambda: sw.cmd(*order))
    sw.detach()
    for turn in range(8):
        for _ in range(1 + turn % 2):
            killed(sw, rnd.uniform(0, whole), *order)
        sw.owned |= owned(sw.pin, "srv") if os.path.exists(sw.pin) else set()
        if turn < 4:
            sw.attach("eth0", mode=mode)
            server = listener("srv", V4, 80)
            part(*meet(server, "cli", V4))
            server.close()
            sw.expect(handshakes__completed=1, teardowns__completed=1)
        r = sw.cmd("detach", "--all", ok=(0, 1))
        check(turn >= 4 or r.returncode == 0, r.stderr)
        nothing_left(sw)
    return f"seed {seed}"


@scenario(mode=["tc", "native"])
def side_by_side(mode):
    """Two instances on one interface, one of them in mode tc: both see everything, neither touches the other."""
    pair()
    one, two = Synwave("swt-one"), Synwave("swt-two")
    one.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    two.attach("eth0", mode=mode)
    held = [meet(server, "cli", V4) for _ in range(5)]
    half_open(V4, 7, 80)
    one.expect(half_open=7, handshakes__completed=6, states__local__ESTABLISHED=5)
    two.expect(half_open=7, handshakes__completed=5, states__local__ESTABLISHED=5)
    one.attach("eth0", mode="tc")  # again
    for c, s in held[:2]:
        part(c, s)
    one.expect(teardowns__completed=3)
    two.expect(teardowns__completed=2)
    two.detach()
    check(not os.path.exists(two.pin), "pins of the second instance are left")
    for c, s in held[2:]:
        part(c, s)
    one.expect(teardowns__completed=6)
    check(not [i for i in two.owned - one.owned if i[0] == "link" and exists(*i)], "links of the second are left")
    one.detach()
    nothing_left(one, two)


def gone(sw, name, ns):
    """`status`, text and JSON, say that the interface is gone."""
    text = sw.cmd("status", ns=ns).stdout
    out = json.dumps(json.loads(sw.cmd("status", "--json", ns=ns).stdout))
    return any(name in line and "gone" in line for line in text.splitlines()) and "gone" in out


@scenario(mode=MODE_NAMES)
def link_deleted(mode):
    pair()
    veth("srv", "eth1", "02:00:00:00:02:01", "cli", "eth1", "02:00:00:00:02:02")
    sw = Synwave()
    sw.attach("eth0", "eth1", mode=mode)
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    sw.expect(teardowns__completed=1)
    ip("srv", "link", "del", "eth1")
    until(lambda: gone(sw, "eth1", "srv"), "status to say that eth1 is gone")
    part(*meet(server, "cli", V4))
    sw.expect(teardowns__completed=2)
    sw.attach("eth0", mode=mode)
    equal([d["name"] for d in sw.stats()["interfaces"]], ["eth0"], "interfaces after attach")
    ip("srv", "link", "del", "eth0")
    until(lambda: gone(sw, "eth0", "srv"), "status to say that eth0 is gone")
    sw.detach()
    nothing_left(sw, spaces=("srv", "cli"))


@scenario(mode=MODE_NAMES)
def link_replaced(mode):
    """A new device of the same name is not the old one."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    ip("srv", "link", "del", "eth0")
    veth("srv", "eth0", "02:00:00:00:00:01", "cli", "eth0", "02:00:00:00:00:02")
    address("srv", "eth0", V4.srv, V4.bits)
    address("cli", "eth0", V4.cli, V4.bits)
    until(lambda: gone(sw, "eth0", "srv"), "status to say that the old eth0 is gone")
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    sw.expect(teardowns__completed=1)
    equal(len(sw.stats()["interfaces"]), 1, "interfaces after attach")
    sw.detach("eth0")
    nothing_left(sw, spaces=("srv", "cli"))


@scenario(mode=MODE_NAMES)
def namespace_deleted(mode):
    """One instance over two namespaces; one of them goes."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode, ns="srv")
    sw.attach("eth0", mode=mode, ns="cli")
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    sw.expect(handshakes__started=1, teardowns__completed=1)
    server.close()
    run("ip", "netns", "del", "srv")
    until(lambda: gone(sw, "eth0", "cli"), "status to say that the interface in the deleted namespace is gone")
    sw.ns = "cli"
    netns("new")
    veth("new", "eth0", "02:00:00:00:03:01", "cli", "eth1", "02:00:00:00:03:02")
    sw.attach("eth0", mode=mode, ns="new")
    equal(len(sw.stats()["interfaces"]), 1, "interfaces after attach: eth0 in `new` (the cable of cli went with srv)")
    run("ip", "netns", "del", "new")
    until(lambda: gone(sw, "eth0", "cli"), "status to say that `new` is gone")
    sw.detach(ns="cli")
    nothing_left(sw, spaces=("cli",))


@scenario()
def orders():
    """What cannot be done is refused: exit code, and one line on standard error that says what."""
    pair()
    sw = Synwave()
    os.mkdir("/run/plain")
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    at = ["--pin", sw.pin]
    cases = [  # what, exit code, words that the line must have, command
        ("no command", 2, [], [SYNWAVE]),
        ("unknown command", 2, ["frobnicate"], [SYNWAVE, *at, "frobnicate"]),
        ("unknown option", 2, ["--frobnicate"], [SYNWAVE, *at, "attach", "--frobnicate", "eth0"]),
        ("attach what", 2, [], [SYNWAVE, *at, "attach"]),
        ("detach what", 2, [], [SYNWAVE, *at, "detach"]),
        ("bad mode", 2, ["sideways"], [SYNWAVE, *at, "attach", "eth0", "--mode", "sideways"]),
        ("flows: no number", 2, ["many"], [SYNWAVE, *at, "attach", "eth0", "--flows", "many"]),
        ("flows: none", 2, ["0"], [SYNWAVE, *at, "attach", "eth0", "--flows", "0"]),
        ("flows: negative", 2, ["-1"], [SYNWAVE, *at, "attach", "eth0", "--flows=-1"]),
        ("unknown state", 2, ["DREAMING"], [SYNWAVE, *at, "flows", "--state", "DREAMING"]),
        ("bad service", 2, ["here"], [SYNWAVE, *at, "flows", "--service", "here"]),
        ("bad limit", 2, ["all"], [SYNWAVE, *at, "flows", "--limit", "all"]),
        ("bad interval", 2, ["often"], [SYNWAVE, *at, "stats", "--watch=often"]),
        ("a word too many", 2, ["now"], [SYNWAVE, *at, "stats", "now"]),
        ("no value", 2, ["--mode"], [SYNWAVE, *at, "attach", "eth0", "--mode"]),
        ("pin nowhere", 2, ["--pin"], [SYNWAVE, "--pin", "", "attach", "eth0"]),
        ("no native XDP on loopback", 1, ["lo"], [SYNWAVE, *at, "attach", "lo", "--mode", "native"]),
        ("pin is a root", 1, ["/sys/fs/bpf"], [SYNWAVE, "--pin", "/sys/fs/bpf", "attach", "eth0"]),
        ("pin with a dot", 1, ["/sys/fs/bpf/a.b"], [SYNWAVE, "--pin", "/sys/fs/bpf/a.b", "attach", "eth0"]),
        ("pin too deep", 1, ["/sys/fs/bpf/a/b"], [SYNWAVE, "--pin", "/sys/fs/bpf/a/b", "attach", "eth0"]),
        ("unknown interface", 1, ["eth9"], [SYNWAVE, *at, "attach", "eth9"]),
        ("interface name too long", 1, ["eth0eth0eth0eth0eth0"], [SYNWAVE, *at, "attach", "eth0eth0eth0eth0eth0"]),
        ("one good, one unknown", 1, ["eth9"], [SYNWAVE, *at, "attach", "eth0", "eth9"]),
        ("stats of nothing", 1, [sw.pin], [SYNWAVE, *at, "stats"]),
        ("flows of nothing", 1, [sw.pin], [SYNWAVE, *at, "flows"]),
        ("detach of nothing", 1, [], [SYNWAVE, *at, "detach", "eth0"]),
        ("pin on another file system", 1, ["/run/plain"], [SYNWAVE, "--pin", "/run/plain/x", "attach", "eth0"]),
        ("pin is a file", 1, ["/etc/passwd"], [SYNWAVE, "--pin", "/etc/passwd", "attach", "eth0"]),
        ("attach without privilege", 1, [], [*nobody, SYNWAVE, *at, "attach", "eth0"]),
        ("stats without privilege", 1, [], [*nobody, SYNWAVE, *at, "stats"]),
    ]
    wrong = []
    for what, code, words, argv in cases:
        with inside("srv"):
            r = run(*argv, ok=None)
        lines = r.stderr.splitlines()
        said = f"{what}: exit {r.returncode}, stderr {lines}"
        if r.returncode != code or not lines or r.stdout:
            wrong.append(said)
        elif len(lines) != 1 or not all(w in lines[0] for w in words):
            wrong.append(said)
        if os.path.exists(sw.pin) or pins() or attached("srv") or os.listdir("/run/plain"):
            wrong.append(f"{what}: something was left: {pins()} {attached('srv')} {os.listdir('/run/plain')}")
            run(SYNWAVE, *at, "detach", "--all", ok=None)
    check(not wrong, "\n".join([f"{len(wrong)} of {len(cases)}", *wrong]))
    for words in (["--help"], ["--version"], ["attach", "--help"]):
        check(run(SYNWAVE, *words).stdout.strip(), f"{words}: says nothing")


@scenario()
def detach_others():
    """What is not attached here is not detached, and what is another's stays."""
    pair()
    veth("srv", "eth1", "02:00:00:00:02:01", "cli", "eth1", "02:00:00:00:02:02")
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    with inside("srv"):
        r = run(SYNWAVE, "--pin", sw.pin, "detach", "eth1", ok=(1,))
    equal(len(r.stderr.splitlines()), 1, "lines on standard error")
    sw.attach("eth1", mode="tc")
    equal(sorted(d["name"] for d in sw.stats()["interfaces"]), ["eth0", "eth1"], "interfaces")
    sw.detach("eth1")
    equal([d["name"] for d in sw.stats()["interfaces"]], ["eth0"], "interfaces")
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    sw.expect(teardowns__completed=1)
    sw.detach("eth0")  # the last one takes the pins along
    nothing_left(sw)


@scenario()
def no_bpffs():
    """A missing BPF file system is mounted, or the error says how."""
    pair()
    run("umount", "/sys/fs/bpf")
    with open("/proc/self/mounts") as f:
        if any(line.split()[1] == "/sys/fs/bpf" for line in f):
            run("umount", "/sys/fs/bpf")
    sw = Synwave()
    r = sw.cmd("attach", "eth0", "--mode", "tc", ok=(0, 1))
    if r.returncode:
        equal(len(r.stderr.splitlines()), 1, "lines on standard error")
        check("mount" in r.stderr, r.stderr)
        return "said how"
    sw.expect(handshakes__started=0)
    sw.detach()
    nothing_left(sw)
    return "mounted"


@scenario()
def at_the_same_time():
    """Commands that change things wait for each other: attach and detach at once, many times."""
    pair()
    names = ["eth0"]
    for i in range(1, 4):
        veth("srv", f"eth{i}", f"02:00:00:00:02:{i:02x}", "cli", f"eth{i}", f"02:00:00:00:03:{i:02x}")
        names.append(f"eth{i}")
    sw = Synwave()
    order = ["--mode", "tc", "--flows", "4096", "--half-open", "1024"]
    for _ in range(2):
        with inside("srv"):
            all_ = [subprocess.Popen([SYNWAVE, "--pin", sw.pin, "attach", n, *order], stdin=subprocess.DEVNULL)
                    for n in names]
        equal([p.wait(20) for p in all_], [0] * 4, "exit codes of four attaches at once")
        equal(sorted(d["name"] for d in sw.stats()["interfaces"]), names, "interfaces")
        sw.owned |= owned(sw.pin, "srv")
        with inside("srv"):
            all_ = [subprocess.Popen([SYNWAVE, "--pin", sw.pin, "detach", n], stdin=subprocess.DEVNULL) for n in names]
        equal([p.wait(20) for p in all_], [0] * 4, "exit codes of four detaches at once")
        nothing_left(sw)


@scenario()
def without_root():
    """CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON suffice, given a BPF file system that the user may write to."""
    pair()
    os.chmod("/sys/fs/bpf", 0o777)
    caps = "+bpf,+net_admin,+perfmon"
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", caps,
            "--ambient-caps", caps, "--bounding-set", "-all," + caps]
    sw = Synwave()
    sysctl("srv", core__somaxconn=4096)
    for mode in MODE_NAMES:
        with inside("srv"):
            run(*user, SYNWAVE, "--pin", sw.pin, "attach", "eth0", "--mode", mode, "--flows", "4096")
            server = listener("srv", V4, 80)
            part(*meet(server, "cli", V4))
            server.close()
            out = json.loads(run(*user, SYNWAVE, "--pin", sw.pin, "stats", "--json").stdout)
            equal(out["handshakes"]["completed"], 1, "handshakes completed")
            run(*user, SYNWAVE, "--pin", sw.pin, "detach", "--all")
        nothing_left(sw)
