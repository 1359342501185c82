#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""matrix.py [CELL...]: the suites on Debian's releases and their kernels; what came of it goes into docs/compatibility.md.

A cell is a userland (bookworm, trixie, sid: built and tested there, on this machine's kernel), or USERLAND/KERNEL (a
virtual machine with that userland and that release's kernel). USERLAND-arm64 is built by the cross compiler, its unit
tests are run by an emulator. Without CELL: all. Results are kept below build/matrix, so
that cells may be run one by one; the table has the last one of each.
"""
import datetime
import json
import os
import re
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEPT = f"{TREE}/build/matrix"
PAGE = f"{TREE}/docs/compatibility.md"
RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13", "sid": "Debian sid"}
FOREIGN = {"bookworm-arm64": "Debian 12, arm64", "trixie-arm64": "Debian 13, arm64"}
NAMES = RELEASES | FOREIGN
USERLANDS = tuple(NAMES)
KERNELS = (*(f"{u}/{k}" for k in RELEASES for u in RELEASES), "bookworm-arm64/bookworm", "bookworm-arm64/trixie-16k")
SUITES = ("unit", "prog", "verifier", "e2e")
TOOLS = {"gcc": "gcc", "clang": "clang", "libbpf-dev": "libbpf", "libxdp-dev": "libxdp"}

# In the userland: everything built, what needs no virtual machine played.
BUILD = r"""
apt-get update -q > /tmp/log 2>&1 && apt-get install -qqy --no-install-recommends make >> /tmp/log 2>&1 && make deps >> /tmp/log 2>&1 ||
	{ tail /tmp/log; exit 1; }
dpkg-query -W -f 'version ${Package} ${Version}\n' gcc clang libbpf-dev libxdp-dev
make -s -j$(nproc) all build/test/unit build/test/unit-plain build/test/prog build/test/verifier build/test/{peers,flood,clients} || exit 1
. tests/suites.sh
suite "unit: natively" build/test/unit
suite "prog: on this machine's kernel" build/test/prog
suite "verifier: on this machine's kernel" build/test/verifier
sum "userland: "
"""


def command(cell):
    """What plays a cell, and with which environment."""
    userland, _, kernel = cell.partition("/")
    release, _, arch = userland.partition("-")
    if not kernel:
        return ["tests/foreign.sh", release, arch] if arch else ["tests/userland.sh", userland, "bash", "-c", BUILD], {}
    return ["tests/vm/run.sh"], {"KERNEL": kernel, "ROOT": f"{TREE}/build/userlands/{userland}", "TREE": "/synwave",
                                 "ARCH": arch or "amd64"}


def play(cell):
    """Plays it; what it said as a result."""
    words, env = command(cell)
    got = {"date": str(datetime.date.today()), "kernel": os.uname().release, "suites": {}, "versions": {}, "reason": ""}
    with open(f"{KEPT}/{cell.replace('/', '-')}.log", "w") as log, \
            subprocess.Popen(words, cwd=TREE, env=os.environ | env, text=True, errors="replace", stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) as p:
        suite = None
        for line in p.stdout:
            log.write(line)
            if not line.startswith("ok"):
                print(f"{cell}: {line}", end="", flush=True)
            if m := re.match(r"booting (\S+)", line):
                got["kernel"] = m[1]
            elif m := re.match(r"version (\S+) (\S+)", line):
                got["versions"][m[1]] = re.sub(r"^\d+:|[-+~].*", "", m[2])
            elif m := re.match(r"== (\w+):", line):
                suite = m[1]
            elif m := re.search(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?", line):
                if suite:
                    got["suites"][suite] = [int(n or 0) for n in m.groups()]
                suite = None
            elif m := re.match(r"skip - (vm.*)", line):
                got["reason"] = m[1]
    got["code"] = p.returncode
    return got


def verdict(got, suite):
    """A suite's field in the table."""
    counts = got["suites"].get(suite)
    if not counts:
        return ""
    passed, failed, skipped = counts
    return f"**{failed} failed** of {passed + failed}" if failed else f"{passed}" + (f" ({skipped} skipped)" if skipped else "")


def whole(got):
    """A cell's last word."""
    if got["reason"]:
        return f"skipped: {got['reason']}"
    return "passed" if got["code"] == 0 else "**failed**"


def table(results):
    """Both tables, as Markdown."""
    out = ["| userland | " + " | ".join(TOOLS.values()) + " | unit | prog | verifier | all | run on |", "|---" * 9 + "|"]
    for cell in USERLANDS:
        if got := results.get(cell):
            out.append(f"| {NAMES[cell]} | " + " | ".join(got["versions"].get(t, "") for t in TOOLS) + " | "
                       + " | ".join(verdict(got, s) for s in SUITES[:3]) + f" | {whole(got)} | {got['date']}, {got['kernel']} |")
    out += ["", "| kernel | userland | " + " | ".join(SUITES[1:]) + " | all | date |", "|---" * 7 + "|"]
    for cell in KERNELS:
        if got := results.get(cell):
            out.append(f"| {got['kernel']} | {NAMES[cell.split('/')[0]]} | " + " | ".join(verdict(got, s) for s in SUITES[1:])
                       + f" | {whole(got)} | {got['date']} |")
    return "\n".join(out)


def write(results):
    """The page's part between its marks anew."""
    with open(PAGE) as f:
        before, rest = f.read().split("<!-- make matrix -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
    with open(PAGE, "w") as f:
        f.write(f"{before}<!-- make matrix -->\n{table(results)}\n<!-- end -->{after}")


def main():
    cells = sys.argv[1:] or USERLANDS + KERNELS
    for cell in cells:
        if cell not in USERLANDS + KERNELS:
            sys.exit(f"matrix.py: no cell {cell}: " + " ".join(USERLANDS + KERNELS))
    os.makedirs(KEPT, exist_ok=True)
    for cell in cells:
        got = play(cell)
        with open(f"{KEPT}/{cell.replace('/', '-')}.json", "w") as f:
            json.dump(got, f)
    results = {}
    for cell in USERLANDS + KERNELS:
        path = f"{KEPT}/{cell.replace('/', '-')}.json"
        if os.path.exists(path):
            with open(path) as f:
                results[cell] = json.load(f)
    write(results)
    bad = [c for c in cells if results[c]["code"]]
    skipped = [c for c in cells if results[c]["reason"] and c not in bad]
    print(f"matrix: {len(cells) - len(bad) - len(skipped)} passed, {len(bad)} failed, {len(skipped)} skipped"
          + (f": {' '.join(bad + skipped)}" if bad or skipped else ""))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
