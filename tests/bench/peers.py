#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a server loses while it is watched, next to others that watch or guard: `make bench-peers`. iperf3 and wrk against
a server behind a veth pair, every row in every round, in a namespace of its own, as a share of what the server does with
nothing in the same round. Markdown on standard output, everything in build/bench-peers.json. Exit code 1 when a share is
below what is asked, or a row did not see the traffic."""
import argparse
import contextlib
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time

from stage import isolate, lib, machine, net, prepare, write

OUT = lib.ROOT + "/build/bench-peers.json"
CPUS = sorted(os.sched_getaffinity(0))
COLUMNS = {"one": "iperf3, 1 stream", "four": "iperf3, 4 streams", "new": "new connections",
           "cpu": "CPU time of a new connection"}
NGINX = """daemon off; pid /run/nginx/pid; error_log stderr crit; worker_processes 2; worker_cpu_affinity auto;
events { worker_connections 8192; }
http { access_log off; server { listen 80 backlog=8192; return 200 "served\\n"; } }
"""


class Peer:
    """Two hosts and a cable as anybody makes them; nginx and iperf3 on the one."""

    def __init__(self):
        self.close = contextlib.ExitStack()

    def __enter__(self):
        try:
            self.close.callback(lambda: [lib.run("ip", "netns", "del", ns, ok=None) for ns in ("srv", "cli")])
            net.pair()
            os.makedirs("/run/nginx", exist_ok=True)
            with open("/run/nginx/conf", "w") as f:
                f.write(NGINX)
            self.start("nginx", "-e", "stderr", "-p", "/run/nginx", "-c", "/run/nginx/conf")
            self.start("iperf3", "-s")
            lib.until(lambda: net.ss("srv", "listening") >= 2, "nginx and iperf3 to listen")
        except BaseException:
            self.close.close()
            raise
        return self

    def __exit__(self, *why):
        self.close.close()

    def start(self, *argv):
        with lib.inside("srv"):
            p = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.close.callback(p.wait, 20)
        self.close.callback(p.terminate)


def cpu_ns():
    """That the processes of this bench have used until now, with what the kernel did on their account (packets, too)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    alive = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/schedstat") as f:
            alive += int(f.read().split()[0]) if int(pid) != os.getpid() else 0
    return alive + int((used.ru_utime + used.ru_stime) * 1e9)


def iperf(streams, seconds):
    """Bits a second. The ends have a CPU each: who shares one with whom is not left to chance."""
    with lib.inside("cli"):
        r = lib.run("iperf3", "-c", net.V4.srv, "-J", "-P", str(streams), "-t", str(seconds), "-A",
                    f"{CPUS[0]},{CPUS[-1]}", timeout=seconds + 20)
    found = json.loads(r.stdout)
    if "sum_received" not in found["end"]:
        raise lib.Fail(f"iperf3: {found.get('error', 'says nothing')}")
    return found["end"]["sum_received"]["bits_per_second"]


def wrk(seconds):
    """(connections a second, connections): each with one request, closed by the server."""
    with lib.inside("cli"):
        out = lib.run("wrk", "-t", "2", "-c", "64", "-d", f"{seconds}s", "-H", "Connection: close", f"http://{net.V4.srv}/",
                      timeout=seconds + 20).stdout
    done = int(re.search(r"(\d+) requests in", out)[1])
    if "Non-2xx" in out or not done:
        raise lib.Fail(f"wrk: {out.strip()}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), done


def play(beside, seconds):
    """A turn of a row. Raises Skip if it does not run here, Fail if it did not see what passed."""
    with Peer() as peer:
        beside.setup(peer)
        before = beside.seen(peer) if beside.seen else 0
        out = {"one": iperf(1, seconds), "four": iperf(4, seconds)}
        before_ns = cpu_ns()
        out["new"], done = wrk(seconds)
        out["cpu"] = (cpu_ns() - before_ns) / done
        if beside.seen and beside.seen(peer) - before < min(done, 20000) / 2:
            raise lib.Fail(f"{beside.label}: saw {beside.seen(peer) - before} of {done} connections")
    return out


def rounds_of(chosen, args, skipped, failures):
    """In every round each row has its turn, each time after another one: memory of the one before is still being freed."""
    rounds = []
    for n in range(args.rounds):
        found = {}
        for beside in random.Random(n).sample(chosen, len(chosen)):
            if beside.name in skipped:
                continue
            try:
                found[beside.name] = play(beside, args.seconds)
            except lib.Skip as why:
                skipped[beside.name] = str(why)
                continue
            except (lib.Fail, subprocess.TimeoutExpired) as why:
                failures.append(f"round {n + 1}: {beside.label}: {why}")
                continue
            print(f"round {n + 1}: {beside.label}: " + ", ".join(f"{found[beside.name][c]:.4g}" for c in COLUMNS),
                  file=sys.stderr)
        rounds.append(found)
    return rounds


def programs_of(chosen, seconds, skipped):
    """Of the rows with programs on the interface: what those take."""
    import programs

    loads = {"four": lambda: iperf(4, seconds), "new": lambda: wrk(seconds)}
    found = {}
    for beside in chosen:
        if not beside.programs:
            continue
        with Peer() as peer:
            try:
                found[beside.label] = programs.measure(beside, peer, loads)
            except lib.Skip as why:
                skipped[beside.name + ", programs"] = str(why)
    return found


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(chosen, rounds):
    out = {}
    for beside in chosen:
        mine = [r for r in rounds if beside.name in r and "bare" in r]
        if mine:
            out[beside.name] = {"label": beside.label,
                                "is": {c: spread([r[beside.name][c] for r in mine]) for c in COLUMNS},
                                "share": {c: spread([r[beside.name][c] / r["bare"][c] for r in mine]) for c in COLUMNS}}
    return out


def judge(chosen, rows):
    for beside in chosen:
        for column, least in dict(beside.reach).items():
            share = rows[beside.name]["share"][column]["median"]
            if share < least:
                yield f"{beside.label}: {COLUMNS[column]}: {share:.3f} of bare, asked {least}"
        if beside.reach and "conntrack" in rows:
            mine, other = (rows[name]["share"]["new"]["median"] for name in (beside.name, "conntrack"))
            if mine <= other:
                yield f"{beside.label}: new connections: {mine:.3f} of bare, conntrack {other:.3f}"


def report(out):
    import programs

    m = out["machine"]
    print(f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}; {out['rounds']} rounds of {out['seconds']} s a figure\n")
    print("| on the server | " + " | ".join(COLUMNS.values()) + " |\n| --- |" + " ---: |" * len(COLUMNS))
    for name, row in out["rows"].items():
        if name == "bare":
            bare = row["is"]
            cells = [f"{bare[c]['median'] / 1e9:.1f} Gbit/s" for c in ("one", "four")]
            cells += [f"{bare['new']['median']:,.0f} a second", f"{bare['cpu']['median'] / 1e3:.1f} us"]
        else:
            cells = [f"{s['median'] * 100:.1f} % ({s['min'] * 100:.1f} .. {s['max'] * 100:.1f})"
                     for s in row["share"].values()]
        print(f"| {row['label']} | " + " | ".join(cells) + " |")
    programs.report(out["programs"], COLUMNS)
    print()
    for name, why in out["skipped"].items():
        print(f"skip - {name}: {why}")
    for why in out["missed"]:
        print("not ok -", why)


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--seconds", type=int, default=1, help="of each figure (1)")
    args.add_argument("--rounds", type=int, default=7, help="of each row, in turn (7)")
    args.add_argument("--only", nargs="*", help="these rows, and bare")
    args = args.parse_args()
    isolate()
    prepare()
    from beside import BESIDES, TOOLS, missing

    if missing(TOOLS):
        sys.exit(f"bench-peers: not installed: {', '.join(missing(TOOLS))}")
    chosen = [b for b in BESIDES if not args.only or b.name in ("bare", *args.only)]
    skipped = {b.name: missing(dict([b.needs]))[0] for b in chosen if b.needs and missing(dict([b.needs]))}
    began = time.monotonic()
    failures = []
    rounds = rounds_of(chosen, args, skipped, failures)
    rows = summary(chosen, rounds)
    chosen = [b for b in chosen if b.name in rows]
    programs = programs_of(chosen, args.seconds, skipped)
    out = {"machine": machine(), "seconds": args.seconds, "rounds": args.rounds, "took_s": time.monotonic() - began,
           "rows": rows, "programs": programs, "each": rounds, "skipped": skipped, "missed": failures + list(judge(chosen, rows))}
    write(OUT, out)
    report(out)
    return bool(out["missed"])


sys.exit(main())
