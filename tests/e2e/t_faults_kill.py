# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""kill -9 of whatever changes something, at random instants: SEED=N repeats a run, KILLS=N asks for N in each."""
import os

from killer import OWNERSHIP, Victim, kills, seeded
from instance import MODE_NAMES, Synwave, attached, nothing_left, owned, pins
from lib import SYNWAVE, check, equal, inside, run, scenario, until
from net import V4, half_open, listener, meet, pair, part, talk, veth
from t_foreign import SCHED_CLS, XDP, another, tcx_link
from t_life import Traffic
from t_share import GROUP, closed, mode as mode_of

SIZES = ("--flows", "8192", "--half-open", "2048")
TEXT = "/run/text/synwave.prom"
RULES = {  # of the guard, by the command that makes them out of any others
    "set": ("guard", "set", "mode=dry-run", "source.ipv4/32=60000/s burst 6000", "service.default=70000/s"),
    "apply": ("guard", "apply", "/run/rules"),
}
FILE = """mode: dry-run
source:
  - {family: ipv4, prefix: 24, rate: 50000/s, burst: 5000}
allow: [192.0.2.0/24, "2001:db8::/32"]
deny: [198.51.100.0/24]
"""


class Others:
    """Programs of somebody else's: TCX on both sides of eth0, XDP and a qdisc on eth1."""

    def __init__(self):
        prog, _ = another(SCHED_CLS)
        self.links = [tcx_link(prog, "eth0", hook) for hook in ("ingress", "egress")]
        _, path = another(XDP)
        with inside("srv"):
            run("ip", "link", "set", "dev", "eth1", "xdpgeneric", "pinned", path)
            run("tc", "qdisc", "add", "dev", "eth1", "clsact", ok=None)
        self.there, self.qdiscs = attached("srv"), self.look()
        equal(len(self.there), 4, "their programs and links")

    @staticmethod
    def look():
        with inside("srv"):
            return run("tc", "qdisc", "show").stdout

    def check(self, alone=False):
        now = attached("srv")
        check(self.there <= now, f"of others was taken off: {self.there - now}")
        check(not alone or now == self.there, f"left on the devices: {now - self.there}")
        check(not alone or self.look() == self.qdiscs, f"qdiscs: {self.look()}, before: {self.qdiscs}")

    def leave(self):
        for fd in self.links:
            os.close(fd)
        with inside("srv"):
            run("ip", "link", "set", "dev", "eth1", "xdpgeneric", "off")
            run("tc", "qdisc", "del", "dev", "eth1", "clsact", ok=None)


def hosts():
    pair()
    veth("srv", "eth1", "02:00:00:00:02:01", "cli", "eth1", "02:00:00:00:02:02")
    os.makedirs(os.path.dirname(TEXT))
    with open("/run/rules", "w") as f:
        f.write(FILE)
    return Others()


def note_ours(sw, others):
    """All that we have ever owned is to be gone in the end."""
    if os.path.exists(sw.pin):
        sw.owned |= owned(sw.pin, "srv") - others.there


def whole_file():
    """The text file is a whole one, and of half ones there is one at most."""
    names = os.listdir(os.path.dirname(TEXT))
    check(len([n for n in names if n.startswith(".")]) < 2, f"temporary files are piled up: {names}")
    if os.path.exists(TEXT):
        with open(TEXT) as f:
            text = f.read()
        last = text.splitlines()[-1].split() if text.endswith("\n") else []  # a killed trace may have lost some
        check(text.startswith("# HELP synwave_build_info") and len(last) == 2 and last[0] == "synwave_events_lost_total"
              and last[1].isdigit(), f"half a file: {text[-200:]!r}")


def guard_rules(sw):
    return sw.cmd("guard", "show", "--yaml").stdout


def held(sw):
    """The connections that are to stay: five that are open, three that are half-open."""
    all_ = [(r["client"]["addr"], r["client"]["port"], r["server"]["state"]) for r in sw.flows("--service", ":8080")]
    equal(len(all_), 8, "connections that were held")
    return sorted(all_)


def judge(sw, before):
    """No counter goes back."""
    now = sw.stats()
    for group in ("handshakes", "teardowns", "segments", "events"):
        for key, value in before[group].items():
            check(key == "in_progress" or now[group][key] >= value, f"{group}.{key} went back")
    return now


@scenario(mode=MODE_NAMES, limit=90 + 3 * kills(0))
def killed_at_work(mode):
    """An instance at work: attach, attach in another mode, detach of one interface of two, guard, export, stats, trace
    are killed under traffic. Connections, counters and what is others' stay; rules are the old or the new ones."""
    others, (seed, rnd), wanted = hosts(), seeded(), kills(8)
    sw = Synwave()
    sw.cmd("attach", "eth0", "--mode", mode, *SIZES, "--timeout", "syn_recv=1h")
    sw.cmd("attach", "eth1", "--mode", "tc")
    server = listener("srv", V4, 8080)
    pairs = [meet(server, "cli", V4) for _ in range(5)]
    half_open(V4, 3, 8080)
    sw.expect(half_open=3, handshakes__completed=5)
    traffic = Traffic()
    at = (SYNWAVE, "--pin", sw.pin)
    other = "native" if mode == "tc" else "tc"  # no gap in between: one comes before the other goes
    victims = {
        "again": Victim("srv", *at, "attach", "eth0", "--mode", mode),
        "there": Victim("srv", *at, "attach", "eth0", "--mode", other, "--config", "/run/rules"),
        "back": Victim("srv", *at, "attach", "eth0", "eth1", "--mode", mode if mode == "tc" else "tc"),
        "detach": Victim("srv", *at, "detach", "eth1"),
        "set": Victim("srv", *at, *RULES["set"]),
        "apply": Victim("srv", *at, *RULES["apply"]),
        "deny": Victim("srv", *at, "guard", "deny", "203.0.113.0/24"),
        "export": Victim("srv", *at, "export", "--textfile", TEXT),
        "watch": Victim("srv", *at, "stats", "--watch=0.05", most=1500),
        "trace": Victim("srv", *at, "trace", most=600),
    }
    sw.cmd("attach", "eth1", "--mode", "tc")
    order = [name for name in victims for _ in range(2)] * (wanted // 20 + 1)
    rnd.shuffle(order)
    last, there, done = sw.stats(), held(sw), 0
    for name in order[:wanted]:
        rules = guard_rules(sw)
        done += victims[name].kill(rnd)
        last = judge(sw, last)
        equal(held(sw), there, "connections that were held")
        whole_file()
        if name in RULES or name == "deny":
            left = guard_rules(sw)
            sw.cmd(*victims[name].argv[3:])
            check(left in (rules, guard_rules(sw)), f"neither the old rules nor the new ones: {left}")
        if name in ("again", "there", "back", "detach"):
            note_ours(sw, others)
            others.check()
        if name == "detach":
            sw.cmd("attach", "eth1", "--mode", "tc")
        seen = traffic.made()
        until(lambda: traffic.made() > seen + 5, "traffic to go on")
    sw.cmd("attach", "eth0", "--mode", mode)
    made = traffic.stop() + 5
    for c, s in pairs:
        talk(c, s)
        part(c, s)
    stats = sw.expect(handshakes__completed=made, teardowns__completed=made, handshakes__started=made + 3, half_open=3)
    equal(stats["events"]["midstream"], 0, "picked up in the middle")
    sw.cmd("export", "--textfile", TEXT)
    equal(os.listdir(os.path.dirname(TEXT)), [os.path.basename(TEXT)], "files beside the text file")
    finish(sw, others)
    return f"{done} kills, {made} connections, seed {seed}"


def finish(sw, others):
    sw.cmd("detach", "--all")
    others.check(alone=True)
    others.leave()
    nothing_left(sw)


def works(sw):
    """One connection is seen, whatever was there before."""
    before = sw.stats()
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    server.close()
    sw.expect(handshakes__completed=before["handshakes"]["completed"] + 1,
              teardowns__completed=before["teardowns"]["completed"] + 1)


@scenario(mode=MODE_NAMES, limit=90 + 6 * kills(0))
def killed_first_and_last(mode):
    """The attach that makes an instance and the detach that ends it: whatever comes after, it works."""
    others, (seed, rnd), wanted = hosts(), seeded(), kills(4)
    sw = Synwave()
    order = ("attach", "eth0", "--mode", mode, *SIZES, "--config", "/run/rules")
    first = Victim("srv", SYNWAVE, "--pin", sw.pin, *order)
    note_ours(sw, others)
    last = Victim("srv", SYNWAVE, "--pin", sw.pin, "detach", "--all")
    done = 0
    for turn in range(wanted):
        victim = (first, last)[turn % 2]
        if victim is last:
            sw.cmd(*order)
            note_ours(sw, others)
        done += victim.kill(rnd)
        if rnd.random() < 0.3:
            done += victim.kill(rnd)
        note_ours(sw, others)
        others.check()
        for words in (("status",), ("stats",), ("guard", "show")):
            r = sw.cmd(*words, ok=(0, 1))
            check(len(r.stderr.splitlines()) == r.returncode, f"{words}: exit {r.returncode}: {r.stderr}")
        if rnd.random() < 0.5:
            sw.cmd(*order)
            works(sw)
        sw.cmd("detach", "--all")
        others.check(alone=True)
        equal(pins(), [], "pins")
    finish(sw, others)
    return f"{done} kills, seed {seed}"


@scenario(limit=120)
def killed_while_sharing():
    """attach --group opens the way to its directory, detach closes it: killed at each step of that, nobody but root
    may pass in the end."""
    pair()
    closed()
    sw = Synwave()
    at = (SYNWAVE, "--pin", sw.pin)
    order = ("attach", "eth0", "--mode", "tc", *SIZES, "--group")
    give = Victim("srv", *at, *order, str(GROUP), calls=OWNERSHIP)
    sw.owned |= owned(sw.pin, "srv")
    other = Victim("srv", *at, *order, str(GROUP + 1), calls=OWNERSHIP)
    back = Victim("srv", *at, "detach", "--all", calls=OWNERSHIP)
    steps = [(give, None, m) for m in give.marks[-6:]] + [(back, GROUP, m) for m in back.marks]
    steps += [(other, GROUP, m) for m in other.marks[-8:]]
    for victim, before, mark in steps:
        if before:
            sw.cmd(*order, str(before))
        victim.kill_at(mark)
        sw.cmd("detach", "--all")
        equal((mode_of("/sys/fs/bpf"), pins()), ("0700 0", []), f"the way, {victim.argv[3:]} killed at {mark}")
    nothing_left(sw)
    return f"{len(steps)} kills"
