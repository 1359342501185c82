# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A flood of SYNs against a small table: what is established stays, what is evicted is counted."""
import os
import random
import resource

from instance import MODE_NAMES, Synwave, nothing_left, tally
from lib import SYNFLOOD, check, equal, inside, run, scenario
from net import FAMILIES, MAC, ghosts, listener, meet, pair, part, talk

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
