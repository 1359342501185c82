# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The benchmark of a packet's cost, run."""
import json
import os
import platform
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BENCH = ROOT + "/build/test/bench"
TWO = "two CPUs: "


def measure(bench, rows=""):
    """{"bare": [ns], "rows": [{"name", "of", "reach", "ns": [ns of each round]}]}; `rows`: those with this in their name."""
    out = subprocess.run([bench] + [rows] * bool(rows), stdout=subprocess.PIPE, check=True).stdout
    try:
        return json.loads(out)
    except ValueError:
        sys.exit(f"{bench}: prints no figures that this can read: it is of a commit before they were JSON")


class Run:
    """What measure() found: ns of each round above the empty program, on as many CPUs as the row's."""

    def __init__(self, found):
        self.bare = found["bare"]
        self.rows = {r["name"]: r for r in found["rows"] if r["ns"]}

    def ns(self, name):
        empty = TWO + "empty" if name.startswith(TWO) else "empty"
        return [a - b for a, b in zip(self.rows[name]["ns"], self.rows[empty]["ns"])]


def machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        model = next((line.split(": ", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} CPUs, Linux {platform.release()}"
