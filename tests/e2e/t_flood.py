# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A flood of SYNs against a small table: what is established stays, what is evicted is counted."""
import contextlib
import json
import os
import random
import resource
import subprocess

from frames import OPTIONS, SYN, ethernet, packet
from instance import MODE_NAMES, Synwave, nothing_left, tally
from lib import SYNFLOOD, check, equal, inside, run, scenario
from net import FAMILIES, MAC, V4, endpoint, ghosts, listener, meet, pair, part, talk

SOURCES = {"ipv4": ("198.18.0.0", "198.18.0.0/16"), "ipv6": ("fd00:66::", "fd00:66::/64")}


@scenario(mode=MODE_NAMES, family=FAMILIES, alone=True)
def flood(mode, f):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed, flush=True)
    pair()
    ghosts("srv", f, SOURCES[f.name][1])
    sw = Synwave()
    sw.cmd("attach", "eth0", "--mode", mode, "--flows", "4096", "--half-open", "1024")
    server = listener("srv", f, 80)
    held = [meet(server, "cli", f) for _ in range(500)]
    sw.expect(states__local__ESTABLISHED=500)
    with inside("cli"):
        run(SYNFLOOD, "eth0", "300000", MAC["cli"], MAC["srv"], SOURCES[f.name][0], f.srv, "80", str(seed))
    stats = sw.stats()
    check(stats["handshakes"]["started"] > 290000, f"handshakes started: {stats['handshakes']['started']}")
    check(stats["handshakes"]["evicted"] > 200000, f"handshakes evicted: {stats['handshakes']['evicted']}")
    table = {t["name"]: t for t in stats["tables"]}
    # IPv6 takes large ways, as does an IPv4 record that a second SYN of its tuple has made more of: a handful in 300,000
    room = table["half_open"]["capacity"] + (table["flows"]["capacity"] if f.name == "ipv6" else 20)
    check(stats["half_open"] <= room, f"half-open connections: {stats['half_open']}, room for {room}")
    check(any(t["evicted"] for t in table.values()), f"no table says that it evicted: {table}")
    check(all(t["entries"] <= t["capacity"] for t in table.values()), f"more entries than room: {table}")
    equal(tally(sw.flows("--state", "ESTABLISHED")), {("ESTABLISHED", "ESTABLISHED", "S1"): 500}, "held connections")
    for c, s in held:
        talk(c, s)
        part(c, s)
    stats = sw.expect(teardowns__completed=500, states__local__ESTABLISHED=0, handshakes__completed=500)
    equal(stats["teardowns"]["evicted"], 0, "teardowns evicted")
    equal(stats["time_wait"], 500, "TIME_WAIT")
    sw.detach()
    nothing_left(sw)
    return f"{stats['handshakes']['evicted']} evicted, seed {seed}"


@contextlib.contextmanager
def hammer(program, frame):
    """Somebody runs the attached program itself on this frame, as fast as the kernel can."""
    with open("/run/frame", "wb") as f:
        f.write(frame)
    p = subprocess.Popen(["bpftool", "prog", "run", "id", str(program), "data_in", "/run/frame", "repeat", "2147483647"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield p
        check(p.poll() is None, "the hammer ended")
    finally:
        p.kill()
        p.wait()


@scenario(mode=["tc"], alone=True)
def hot_set(mode):
    """One set of the table never stands still: its totals are right at each reading, no command fails, and what else is
    in it is listed."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    held = [meet(server, "cli", V4) for _ in range(50)]
    sw.expect(states__local__ESTABLISHED=50)
    client, ends = ("10.9.0.2", 7000), (endpoint("10.9.0.2", 7000), endpoint(V4.srv, 80))
    frame = ethernet(MAC["cli"], MAC["srv"], packet(client, (V4.srv, 80), 1, 0, SYN, options=OPTIONS))
    name = "synwave_xdp" if mode == "native" else "synwave_in"
    ids = [n for kind, n in sw.owned if kind == "prog"]
    program = next(n for n in ids if json.loads(run("bpftool", "-j", "prog", "show", "id", str(n)).stdout)["name"] == name)
    changing = last = 0
    with hammer(program, frame):
        sw.expect(half_open=0, handshakes__in_progress=1)
        for _ in range(30):
            stats = sw.stats()
            changing += stats["sets_changing"]
            now = stats["handshakes"]["syn_retransmits"]
            check(now > last, "nobody hammers")
            last = now
            check(stats["handshakes"]["started"] == 51 and stats["handshakes"]["completed"] == 50, stats["handshakes"])
            check(len(sw.flows("--state", "ESTABLISHED")) >= 50 - 30 * stats["sets_changing"], "flows")
            for words in ("status",), ("export",), ("stats",), ("flows",), ("show", *ends):
                sw.cmd(*words)
    for c, s in held:
        talk(c, s)
        part(c, s)
    sw.expect(sets_changing=0, handshakes__started=51)
    sw.detach()
    nothing_left(sw)
    return f"{last} SYNs, {changing} of 30 readings in doubt"
