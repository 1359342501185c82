#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""make bench: what a packet costs, as a table: each row next to a reference of the same round, to what was asked, and to
what was recorded. RECORD=1 records the ratios of all rounds, RECORD=add adds them to the recorded ones (other runs, other noise). A filter measures a part of the rows."""
import json
import os
import statistics
import sys

import bench

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.json")
SYN = "SYN, new, beside 65,536 established"
TWO = "two CPUs: "
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


class Run:
    """The rounds of one run, ns above the empty program."""

    def __init__(self, found):
        self.bare = found["bare"]
        self.rows = {r["name"]: r for r in found["rows"] if r["ns"]}
        self.rounds = range(len(self.bare))

    def above(self, name, i):
        empty = TWO + "empty" if name.startswith(TWO) else "empty"
        return self.rows[name]["ns"][i] - self.rows[empty]["ns"][i]

    def ns(self, name):
        return [self.above(name, i) for i in self.rounds]

    def ratios(self, name):
        """Of each round; None: nothing to compare it with."""
        of = self.rows[name]["of"]
        if of == "one CPU":
            one = name.removeprefix(TWO)
            return [2 * self.above(one, i) / self.above(name, i) for i in self.rounds] if one in self.rows else None
        if not of or any(r not in self.rows for r in REFERENCES[of][0]):
            return None
        references, floor = REFERENCES[of]
        return [(self.above(name, i) + floor * self.bare[i]) /
                (sum(self.above(r, i) for r in references) + floor * self.bare[i]) for i in self.rounds]

    def growth(self, names):
        if any(n not in self.rows for n in names):
            return None
        return [max(self.above(n, i) for n in names) / min(self.above(n, i) for n in names) for i in self.rounds]


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
          f"{len(run.rounds)} (least .. most) | | times | of | asked | recorded |\n| --- | ---: | ---: | --- | ---: | ---: |")
    for name, row in run.rows.items():
        if name.endswith("empty") or row["of"] == "one CPU":
            continue
        ratios = run.ratios(name)
        times = [f"{statistics.median(ratios):.2f}", row["of"], asked(statistics.median(ratios), row["reach"]),
                 drift(name, ratios, recorded)] if ratios else [""] * 4
        print("| " + " | ".join([name, spread(run.ns(name))] + times) + " |")


def extras(run, recorded):
    """Growth and two CPUs: [name, ratios, asked, recorded]"""
    found = []
    for name, names in GROWTH.items():
        ratios = run.growth(names)
        if ratios:
            found.append(["dearest by cheapest: " + name, ratios, asked(statistics.median(ratios), MOST_GROWTH),
                          drift(name, ratios, recorded)])
    for name, row in run.rows.items():
        ratios = run.ratios(name) if row["of"] == "one CPU" else None
        if ratios:
            found.append([f"two CPUs by one: {name.removeprefix(TWO)}", ratios,
                          asked(statistics.median(ratios), row["reach"], True), drift(name, ratios, recorded, True)])
    if found:
        print("\n| | times (least .. most) | asked | recorded |\n| --- | ---: | ---: | ---: |")
    for name, ratios, reach, was in found:
        print("| " + " | ".join([name, spread(ratios, 2), reach, was]) + " |")


def record(run, recorded):
    found = {name: run.ratios(name) for name in run.rows} | {name: run.growth(n) for name, n in GROWTH.items()}
    lines = [f" {json.dumps(name)}: {[round(x, 3) for x in recorded.get(name, []) + ratios]}"
             for name, ratios in found.items() if ratios]
    with open(RECORDED, "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    run = Run(bench.measure(bench.BENCH, sys.argv[1] if len(sys.argv) > 1 else ""))
    recorded = {}
    if os.path.exists(RECORDED):
        with open(RECORDED, encoding="ascii") as f:
            recorded = json.load(f)
    print(f"{bench.machine()}. An empty program, called without the driver: {statistics.median(run.bare):.0f} ns; with it, "
          f"taken off below: {statistics.median(run.rows['empty']['ns']):.0f} ns.\n")
    table(run, recorded)
    extras(run, recorded)
    if os.environ.get("RECORD"):
        record(run, recorded if os.environ["RECORD"] == "add" else {})


main()
