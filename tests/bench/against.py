#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""make bench AGAINST=COMMIT: this tree and that commit in turns, side by side.

Times wander by a half between runs; in turns, whatever wanders hits both."""
import os
import statistics
import subprocess
import sys

import bench
from bench import ROOT

ROUNDS = 3


def build(commit):
    """The bench of another commit, in a work tree of its own that does not stay."""
    tree, other = f"{ROOT}/build/against", f"{ROOT}/build/test/bench-against"
    subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], capture_output=True, check=False)
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", tree, commit], check=True)
    try:
        subprocess.run(["make", "-s", "-C", tree, "build/test/bench"], check=True)
        os.replace(tree + "/build/test/bench", other)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)
    return other


def add(all_ns, program, rows):
    run = bench.Run(bench.measure(program, rows))
    for name in run.rows:
        if not name.endswith("empty"):
            all_ns.setdefault(name, []).extend(run.ns(name))


def main():
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: make bench AGAINST=COMMIT [ROWS=PART OF A NAME]")
    programs = {sys.argv[1][:12]: build(sys.argv[1]), "this tree": bench.BENCH}
    all_ns = {name: {} for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            add(all_ns[name], program, "".join(sys.argv[2:]))
    old, new = all_ns.values()

    def text(ns):
        return f"{min(ns):8.0f} {statistics.median(ns):8.0f}" if ns else "-"

    print(f"{'ns, least and median':50} {list(all_ns)[0]:>18} {'this tree':>18}")
    for name, ns in new.items():
        print(f"{name:50} {text(old.get(name)):>18} {text(ns):>18}")


main()
