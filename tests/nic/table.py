#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""table.py KERNEL RELEASE QEMU: what `make nic` found, from standard input, into docs/compatibility.md: between two marks, a table a kernel.
A card that was not tried this time keeps its rows."""
import os
import re
import sys
import time

DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/compatibility.md")
MARKS = "<!-- make nic -->", "<!-- end -->"
HEAD = ("| Card | Queues | MTU | Offloads | native | generic | tc | auto takes |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |\n")


def rows(text):
    """By card, in the order of the text."""
    found = {}
    for line in re.findall(r"^\| .* \|$", text, re.M):
        if not line.startswith(("| Card |", "| --- |")):
            found.setdefault(line.split(" | ")[0][2:], []).append(line)
    return found


def main(kernel, release, qemu):
    new = rows(sys.stdin.read())
    with open(DOC) as f:
        doc = f.read()
    before, rest = doc.split(MARKS[0])
    old, after = rest.split(MARKS[1], 1)
    kernels = {re.search(r"KERNEL=(\S+)", part)[1]: part.strip() for part in old.split("\n\n**") if "KERNEL=" in part}
    kept = rows(kernels.get(kernel, ""))
    table = HEAD + "\n".join(line for card in {**kept, **new} for line in new.get(card) or kept[card])
    kernels[kernel] = f"{release}** (`KERNEL={kernel} make nic`, {time.strftime('%Y-%m-%d')}, QEMU {qemu})\n\n{table}"
    inner = "".join("\n**" + kernels[k].removeprefix("**") + "\n" for k in sorted(kernels))
    with open(DOC + ".tmp", "w") as f:
        f.write(before + MARKS[0] + "\n" + inner + "\n" + MARKS[1] + after)
    os.rename(DOC + ".tmp", DOC)


main(*sys.argv[1:])
