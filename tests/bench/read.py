#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What it takes to read a table of a million connections: `make bench-read`. They are put there by the attached program
itself (fill.c), so it holds for any layout of the table. Markdown on standard output, everything in
build/bench-read.json. Exit code 1 when something took longer than it may."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import namedtuple

from stage import instance, isolate, lib, machine, net, prepare, write

OUT = lib.ROOT + "/build/bench-read.json"
# reach: seconds of the CPU, which on a quiet machine are those of the clock; lines: it is for a million of them
Row = namedtuple("Row", "words reach lines")
ROWS = [
    Row("stats --json", 0.2, False),
    Row("stats", 0.2, False),
    Row("export", 0.2, False),
    Row("flows --json", 3, True),
    Row("flows", 3, True),
    Row("flows --json --state time-wait", None, False),
    Row("flows --json --limit 10", 0.05, False),
    Row("flows --limit 10", 0.05, False),
]
STAYING = ("time_wait", "closed", "syn_recv", "syn_sent", "last_ack", "fin_wait", "close_wait")


def fill(scale):
    """An instance whose table holds 2^scale connections, none of which leaves it while it is read."""
    net.netns("srv")
    net.netns("cli")
    net.veth("srv", "eth0", net.MAC["srv"], "cli", "eth0", net.MAC["cli"])
    sw = instance.Synwave("bench")
    timeouts = [word for name in STAYING for word in ("--timeout", name + "=1d")]
    sw.cmd("attach", "eth0", "--mode", "native", "--flows", str(3 << (scale - 1)), "--half-open", str(1 << 18), *timeouts)
    with lib.inside("srv"):
        filled = json.loads(lib.run(lib.ROOT + "/build/test/fill", "eth0", str(scale), timeout=300).stdout)
    return sw, filled


def once(sw, words, out):
    """Seconds by the clock, of the CPU in the program, and in the kernel."""
    with lib.inside(sw.ns):
        began = time.monotonic()
        p = subprocess.Popen([lib.SYNWAVE, "--pin", sw.pin, *words.split()], stdout=out, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(p.pid, 0)
        took = time.monotonic() - began
    if status:
        raise lib.Fail(f"synwave {words}: wait status {status}")
    return {"s": took, "user_s": used.ru_utime, "kernel_s": used.ru_stime}


def lines_of(sw, words):
    with open("/run/out", "w+b") as out:
        once(sw, words, out)
        out.seek(0)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: out.read(1 << 20), b""))


def measure(sw, rounds):
    """Each row in turn: what it takes until all is written, to /dev/null."""
    found = {row.words: [] for row in ROWS}
    with open(os.devnull, "wb") as out:
        for _ in range(rounds):
            for row in ROWS:
                found[row.words].append(once(sw, row.words, out))
    return found


def summary(row, runs, lines):
    each = {key: [r[key] for r in runs] for key in runs[0]}
    out = {"lines": lines, "reach_s": row.reach, **{key: statistics.median(v) for key, v in each.items()},
           "least_s": min(each["s"]), "most_s": max(each["s"])}
    out["per"] = 1e6 / lines if row.lines else 1
    out["missed"] = bool(row.reach and (out["user_s"] + out["kernel_s"]) * out["per"] > row.reach)
    return out


def report(out):
    m = out["machine"]
    print(f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}; {out['connections']} connections, median of "
          f"{out['rounds']}\n\n| `synwave ...` | lines | s (least .. most) | CPU: program | kernel | asked of the CPU |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: |")
    for words, s in out["rows"].items():
        asked = "" if s["reach_s"] is None else f"<= {s['reach_s']}{' a million' if s['per'] != 1 else ''}"
        print(f"| {words} | {s['lines']} | {s['s']:.3f} ({s['least_s']:.3f} .. {s['most_s']:.3f}) | {s['user_s']:.3f} "
              f"| {s['kernel_s']:.3f} | {asked}{' **missed**' if s['missed'] else ''} |")


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--scale", type=int, default=20, help="2^SCALE connections (20)")
    args.add_argument("--rounds", type=int, default=5, help="of each command, in turn (5)")
    args = args.parse_args()
    isolate()
    prepare()
    sw, filled = fill(args.scale)
    lines = {row.words: lines_of(sw, row.words) for row in ROWS}
    found = measure(sw, args.rounds)
    stats = sw.stats()
    sw.detach()
    rows = {row.words: summary(row, found[row.words], lines[row.words]) for row in ROWS}
    there = rows["flows --json"]["lines"]
    out = {"machine": machine(), "rounds": args.rounds, "connections": there, "fill_ns": filled["ns"], "rows": rows}
    write(OUT, out)
    report(out)
    if there < 0.99 * filled["connections"]:
        sys.exit(f"bench-read: {there} connections of {filled['connections']} are in the table: {stats['tables']}")
    return any(row["missed"] for row in rows.values())


sys.exit(main())
