#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""make bench AGAINST=COMMIT: this tree and that commit in turns, the best of each row side by side.

Times wander by a half between runs; in turns, whatever wanders hits both."""
import json
import os
import subprocess
import sys

ROUNDS = 5
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build(commit):
    """The bench of another commit, in a work tree of its own that does not stay."""
    tree, bench = f"{ROOT}/build/against", f"{ROOT}/build/test/bench-against"
    subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], capture_output=True, check=False)
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", tree, commit], check=True)
    try:
        subprocess.run(["make", "-s", "-C", tree, "build/test/bench"], check=True)
        os.replace(tree + "/build/test/bench", bench)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)
    return bench


def measure(bench, best):
    subprocess.run([bench], stdout=subprocess.DEVNULL, cwd=ROOT, check=True)
    with open(ROOT + "/build/bench.json") as f:
        for row in json.load(f):
            best[row["name"]] = min(best.get(row["name"], row["ns"]), row["ns"])


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make bench AGAINST=COMMIT")
    benches = {sys.argv[1][:12]: build(sys.argv[1]), "this tree": ROOT + "/build/test/bench"}
    best = {name: {} for name in benches}
    for _ in range(ROUNDS):
        for name, bench in benches.items():
            measure(bench, best[name])
    old, new = best.values()
    print(f"{'ns, best of ' + str(ROUNDS):42} {list(best)[0]:>12} {'this tree':>12}")
    def text(ns):
        return "-" if ns is None else f"{ns:.0f}"

    for name, ns in new.items():
        print(f"{name:42} {text(old.get(name)):>12} {text(ns):>12}")


main()
