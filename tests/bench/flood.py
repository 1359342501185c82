#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the guard is worth under a flood of SYNs, next to the kernel's own cookies, nft's synproxy and a dynamic set of
nft, in one run: `make bench-flood`. A table on standard output, everything in build/bench-flood.json. Exit code 1 when
a client was not served, an established connection lost, a law of the books broken, a limit missed by more than 1 %."""
import argparse
import json
import os
import platform
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/../e2e"]
sys.dont_write_bytecode = True
import isolated  # noqa: E402
import lib  # noqa: E402

OUT = lib.ROOT + "/build/bench-flood.json"


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    return {"kernel": platform.release(), "cpu": model, "cpus": len(os.sched_getaffinity(0)),
            "load": [round(x, 2) for x in os.getloadavg()]}


def flood_rounds(args, failures):
    from defences import DEFENCES
    from rounds import compare, play, summary

    chosen = [d for d in DEFENCES if not args.only or d.name in args.only or d.name == "floor"]
    rounds = {d.name: [] for d in chosen}
    for n in range(args.rounds):
        for d in chosen:
            try:
                r = play(d, args.seconds)
            except lib.Fail as why:
                failures.append(f"{d.name}, round {n + 1}: {why}")
                continue
            failures += [f"{d.name}, round {n + 1}: {why}" for why in r["failures"]]
            rounds[d.name].append(r)
            print(f"round {n + 1}: {d.label}: {r['pps'] / 1e6:.3f} Mpps, {r['ns_each']:.0f} ns", file=sys.stderr)
    found = {d.name: summary(d, rounds[d.name]) for d in chosen if rounds[d.name]}
    for d in chosen:
        if d.name in found:
            found[d.name]["other"] = d.other
    if "floor" in found:
        compare(found)
    return found


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--seconds", type=float, default=3, help="of flood a round (3)")
    args.add_argument("--rounds", type=int, default=3, help="of each defence, in turn (3)")
    args.add_argument("--limit-seconds", type=float, default=10, help="of the limits' measurement (10)")
    args.add_argument("--only", nargs="*", help="these defences, or: limits, replay")
    args = args.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid():
        sys.exit("bench-flood: needs root (namespaces and BPF)")
    isolated.isolate(__file__)
    isolated.prepare("bench-flood")
    from limits import limits, replays
    from report import report

    failures = []
    out = {"machine": machine(), "seconds": args.seconds}
    if not args.only or set(args.only) - {"limits", "replay"}:
        out["flood"] = flood_rounds(args, failures)
    if not args.only or "limits" in args.only:
        out["limits"] = limits(args.limit_seconds, failures)
    if not args.only or "replay" in args.only:
        out["replay"] = replays(failures)
    out["load_after"] = [round(x, 2) for x in os.getloadavg()]
    out["failures"] = failures
    with open(OUT, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")
    report(out)
    return 1 if failures else 0


sys.exit(main())
