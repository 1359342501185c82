# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The figures as text: what docs/guard.md shows."""


def ms(ns):
    return "-" if ns is None else f"{ns / 1e6:.2f}"


def row(cells, widths):
    first, *rest = cells
    print(f"{first:<{widths[0]}}" + "".join(f"{c:>{w}}" for c, w in zip(rest, widths[1:])))


def served(s):
    if "new" not in s:
        return "-"
    return " ".join(f"{s[k]['served']}/{s[k]['started']}" for k in ("new", "known"))


def mega(spread):
    return f"{spread['median'] / 1e6:.2f} ({spread['min'] / 1e6:.2f}..{spread['max'] / 1e6:.2f})"


def flood(out):
    widths = (56, 19, 8, 8, 9, 8, 16, 13, 8)
    row(("131,072 random sources", "Mpps taken", "ns each", "- floor", "x best", "of best", "new known served",
         "p50/p99 ms", "+MB"), widths)
    for s in out["flood"].values():
        best = [f"{s['times_best_pps']:.2f}", f"{s['share_of_best_ns']:.2f}"] if "times_best_pps" in s else ["-", "-"]
        c = s["connect_ns"]
        row((s["label"], mega(s["pps"]), f"{s['ns_each']['median']:.0f}", f"{s.get('ns_less_floor', 0):.0f}", *best,
             served(s), f"{ms(c['p50'])}/{ms(c['p99'])}", f"{s['memory_kb']['median'] / 1024:.0f}"), widths)
    print("\nns each: CPU time of generator and receiver for a SYN taken; x best: SYNs a second, next to the best of the\n"
          "kernel, synproxy and the set; of best: time less floor, next to theirs. p50/p99: connect, of those who are to\n"
          "be served. +MB: what the kernel cannot give back, at its most.\n")


def report(out):
    m = out["machine"]
    print(f"\n{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}, load {m['load'][0]} before, {out['load_after'][0]} after\n")
    if out.get("flood"):
        flood(out)
    for s in out.get("limits", ()):
        n = s["neighbours"]
        print(f"flood from {s['name']}, {s['flood_pps'] / 1e6:.2f} Mpps: {s['per_second']:.2f} a second passed in "
              f"{s['seconds']:.1f} s, the limit is {s['limit']} ({s['off_percent']:+.2f} %); neighbours served "
              f"{n['served']}/{n['started']}, connect p99 {ms(s['neighbours_connect_ns']['p99'])} ms")
    if out.get("replay", {}).get("rows"):
        print(f"\n{out['replay']['frames']} recorded frames, SYNs by what became of them:")
        for r in out["replay"]["rows"]:
            print(f"  over {r['over']}, {r['mode']}, {r['engine']}: " + ", ".join(f"{k} {n}" for k, n in r["syns"].items()))
    print()
    for why in out["failures"]:
        print("not ok -", why)
    print(f"{len(out['failures'])} failures")
