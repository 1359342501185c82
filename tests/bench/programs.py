# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the programs on the server's interface take of the CPU, by the kernel's own account (BPF_ENABLE_STATS: two readings
of the clock a run more, so in a turn of its own that no other figure comes from)."""
import json
import os
import struct
import time
from contextlib import contextmanager

import instance
import lib

BPF_ENABLE_STATS = 32


@contextmanager
def counting():
    fd, _ = instance.bpf(BPF_ENABLE_STATS, struct.pack("I", 0))
    if fd < 0:
        raise lib.Skip("BPF_ENABLE_STATS: Linux 5.8 or newer, and CAP_SYS_ADMIN")
    try:
        yield
    finally:
        os.close(fd)


def readings():
    """{name: (runs, ns)} of what hangs on the server's interface."""
    out = {}
    for kind, number in instance.attached("srv"):
        if kind == "prog":
            p = json.loads(lib.run("bpftool", "-j", "prog", "show", "id", str(number)).stdout)
            out[p["name"]] = (p.get("run_cnt", 0), p.get("run_time_ns", 0))
    return out


def during(load):
    """What `load()` gave, and of each program: runs, ns a run, share of all CPUs."""
    before, began = readings(), time.monotonic_ns()
    result = load()
    took, after = time.monotonic_ns() - began, readings()
    found = {}
    for name, (runs, ns) in after.items():
        runs, ns = runs - before[name][0], ns - before[name][1]
        found[name] = {"runs": runs, "ns_a_run": ns / max(runs, 1), "share": ns / took / os.cpu_count()}
    return result, found


def measure(beside, peer, loads):
    """loads: {column: a function}. The last one's result is (rate, connections)."""
    beside.setup(peer)
    out = {}
    with counting():
        for column, load in loads.items():
            result, out[column] = during(load)
            if isinstance(result, tuple):
                for program in out[column].values():
                    program["runs_a_connection"] = program["runs"] / result[1]
    return out


def report(found, columns):
    print("\n| program | while | runs a connection | ns a run | of all CPUs |\n| --- | --- | ---: | ---: | ---: |")
    for label, each in found.items():
        for column, programs in each.items():
            for name, p in sorted(programs.items()):
                often = f"{p['runs_a_connection']:.1f}" if "runs_a_connection" in p else ""
                print(f"| {label}: {name} | {columns[column]} | {often} | {p['ns_a_run']:.0f} | {p['share'] * 100:.2f} % |")
