#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""make bench: what a packet costs, as a table: each row next to a reference of the same round, to what was asked, and to
what was recorded. RECORD=1 records the ratios of all rounds, RECORD=add adds them to the recorded ones (another run, another
noise); rows that were not measured keep what they have. A filter measures a part of the rows."""
import json
import os
import statistics
import sys

import bench

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.json")
SYN = "SYN, new, beside 65,536 established"
# What a row's cost is divided by, and whether the empty program's own cost is left in on both sides.
REFERENCES = {
    "parse": (("reference: parse a segment",), True),
    "parse SYN": (("reference: parse a SYN",), True),
    "LRU insert": (("reference: LRU_HASH insert",), False),
    "SYN, new": ((SYN,), False),
    "helper + parse": (("reference: listener and cookie helper", "reference: parse a SYN"), False),
}
GROWTH = {
    "data, 1,024 to 1,048,576 established": ("data, 1,024 established", "data, 65,536 established",
                                             "data, 1,048,576 established"),
    "SYN, new, beside 1,024 to 1,048,576": ("SYN, new, beside 1,024 established", SYN,
                                            "SYN, new, beside 1,048,576 established"),
}
MOST_GROWTH = 2


def ratios_of(run, name):
    """Of each round; None: nothing to compare it with."""
    of = run.rows[name]["of"]
    if of == "one CPU":
        one = name.removeprefix(bench.TWO)
        return [2 * a / b for a, b in zip(run.ns(one), run.ns(name))] if one in run.rows else None
    if not of or any(r not in run.rows for r in REFERENCES[of][0]):
        return None
    references, floor = REFERENCES[of]
    below = [sum(each) for each in zip(*(run.ns(r) for r in references))]
    return [(a + floor * bare) / (b + floor * bare) for a, b, bare in zip(run.ns(name), below, run.bare)]


def growth_of(run, names):
    if any(n not in run.rows for n in names):
        return None
    return [max(each) / min(each) for each in zip(*(run.ns(n) for n in names))]


def spread(values, digits=0):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} .. {max(values):.{digits}f})"


def asked(ratio, reach, at_least=False):
    if not reach:
        return ""
    missed = ratio < reach if at_least else ratio > reach
    return f"{'>=' if at_least else '<='} {reach:.2f}" + (" **missed**" if missed else "")


def drift(name, ratios, recorded, more_is_better=False):
    """Next to what was recorded: a word only if the rounds lie beyond the recorded ones, whatever the noise."""
    then = recorded.get(name)
    if not then:
        return ""
    now, was = statistics.median(ratios), statistics.median(then)
    word = ""
    if now > max(then) and min(ratios) > was:
        word = " better" if more_is_better else " **worse**"
    elif now < min(then) and max(ratios) < was:
        word = " **worse**" if more_is_better else " better"
    return f"{was:.2f}{word}"


def table(run, recorded):
    print("| ns above the empty program, median of "
          f"{len(run.bare)} (least .. most) | | times | of | asked | recorded |\n| --- | ---: | ---: | --- | ---: | ---: |")
    for name, row in run.rows.items():
        if name.endswith("empty") or row["of"] == "one CPU":
            continue
        ratios = ratios_of(run, name)
        times = [f"{statistics.median(ratios):.2f}", row["of"], asked(statistics.median(ratios), row["reach"]),
                 drift(name, ratios, recorded)] if ratios else [""] * 4
        print("| " + " | ".join([name, spread(run.ns(name))] + times) + " |")


def extras(run, recorded):
    """Growth and two CPUs: [name, ratios, asked, recorded]"""
    found = []
    for name, names in GROWTH.items():
        ratios = growth_of(run, names)
        if ratios:
            found.append(["dearest by cheapest: " + name, ratios, asked(statistics.median(ratios), MOST_GROWTH),
                          drift(name, ratios, recorded)])
    for name, row in run.rows.items():
        ratios = ratios_of(run, name) if row["of"] == "one CPU" else None
        if ratios:
            found.append([f"two CPUs by one: {name.removeprefix(bench.TWO)}", ratios,
                          asked(statistics.median(ratios), row["reach"], True), drift(name, ratios, recorded, True)])
    if found:
        print("\n| | times (least .. most) | asked | recorded |\n| --- | ---: | ---: | ---: |")
    for name, ratios, reach, was in found:
        print("| " + " | ".join([name, spread(ratios, 2), reach, was]) + " |")


def record(run, recorded, add):
    found = {name: ratios_of(run, name) for name in run.rows} | {name: growth_of(run, n) for name, n in GROWTH.items()}
    for name, ratios in found.items():
        if ratios:
            recorded[name] = (recorded.get(name, []) if add else []) + [round(x, 3) for x in ratios]
    lines = [f" {json.dumps(name)}: {ratios}" for name, ratios in recorded.items()]
    with open(RECORDED, "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    run = bench.Run(bench.measure(bench.BENCH, sys.argv[1] if len(sys.argv) > 1 else ""))
    recorded = {}
    if os.path.exists(RECORDED):
        with open(RECORDED, encoding="ascii") as f:
            recorded = json.load(f)
    print(f"{bench.machine()}. An empty program, called without the driver: {statistics.median(run.bare):.0f} ns; with it, "
          f"taken off below: {statistics.median(run.rows['empty']['ns']):.0f} ns.\n")
    table(run, recorded)
    extras(run, recorded)
    if os.environ.get("RECORD"):
        record(run, recorded, os.environ["RECORD"] == "add")


main()
