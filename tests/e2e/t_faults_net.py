# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Faults from outside: programs of others that come later, interfaces that move or come again, commands at once."""
import fcntl
import json
import os
import subprocess

from instance import MODES, MODE_NAMES, TC, Synwave, attached, nothing_left, owned, pins
from lib import PATIENCE, SYNWAVE, Skip, check, equal, inside, run, scenario, until
from net import MAC, V4, address, half_open, ip, listener, meet, neighbour, netns, pair, part
from t_foreign import SCHED_CLS, XDP, another, tcx_link

SMALL = ("--flows", "4096", "--half-open", "1024")


def one_connection(ns="srv"):
    server = listener(ns, V4, 80)
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


def one_more(sw, mode, number, ns="srv"):
    """Attached again: one row, up, one set of programs, and the counters go on."""
    sw.cmd("attach", "eth0", "--mode", mode, ns=ns)
    sw.owned |= owned(sw.pin, ns)
    out = json.loads(sw.cmd("status", "--json", ns=ns).stdout)["interfaces"]
    equal([(i["name"], i["state"], i["ingress"]) for i in out], [("eth0", "up", MODES[mode])], "interfaces")
    equal(sum(kind == "prog" for kind, _ in attached(ns)), 2, "programs on it")
    one_connection(ns)
    sw.expect(handshakes__completed=number, handshakes__started=number, teardowns__completed=number)


def cable(ns, index):
    """As pair() makes it, with this index at the server's end."""
    ip(ns, "link", "add", "eth0", "index", str(index), "address", MAC["srv"], "type", "veth",
       "peer", "name", "eth0", "address", MAC["cli"], "netns", "cli")
    for where, addr, peer, mac in ((ns, V4.srv, V4.cli, MAC["cli"]), ("cli", V4.cli, V4.srv, MAC["srv"])):
        ip(where, "link", "set", "eth0", "up")
        address(where, "eth0", addr, V4.bits)
        neighbour(where, "eth0", peer, mac)


@scenario(mode=MODE_NAMES)
def index_again(mode):
    """A new device has the name and the index of the one that was deleted: it is not taken for that."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    one_connection()
    for number in (2, 3):
        index = sw.stats()["interfaces"][0]["ifindex"]
        ip("srv", "link", "del", "eth0")
        cable("srv", index)
        equal(attached("srv"), set(), "on the new device")
        states = [i["state"] for i in json.loads(sw.cmd("status", "--json").stdout)["interfaces"]]
        check(states in (["gone"], ["incomplete"]), f"state: {states}")
        one_more(sw, mode, number)
    sw.detach("eth0")
    nothing_left(sw)


def box_again(sw, mode, turn):
    """A namespace with the instance's only interface goes; the name of a new one of its number, or None if somebody
    else has got it."""
    names = [f"box{turn}-{n}" for n in range(20)]
    netns(names[0])
    cable(names[0], 7)
    sw.cmd("attach", "eth0", "--mode", mode, *SMALL, ns=names[0])
    one_connection(names[0])
    inode = os.stat("/run/netns/" + names[0]).st_ino
    run("ip", "netns", "del", names[0])
    until(lambda: "gone" in sw.cmd("status").stdout, "status to say so")
    until(lambda: "eth0" not in ip("cli", "link").stdout, "the other end to go, too")
    for name in names[1:]:
        netns(name)
        if os.stat("/run/netns/" + name).st_ino == inode:
            return name
    sw.detach()
    return None


@scenario(mode=MODE_NAMES)
def namespace_again(mode):
    """A new namespace has the number (inode) of the one that was deleted, its device the index."""
    pair()
    sw = Synwave(ns="cli")
    ip("srv", "link", "del", "eth0")
    name = None
    for turn in range(5):
        name = name or box_again(sw, mode, turn)
    if not name:
        raise Skip("the kernel does not give the number again")
    cable(name, 7)
    one_more(sw, mode, 2, name)
    sw.detach()
    nothing_left(sw, spaces=("cli", name))


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
