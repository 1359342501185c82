# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Faults that a reader of maps meets: a map of another kind in the place of ours, no meta, a time namespace."""
import json
import os
import time

from instance import nothing_left
from lib import SYNWAVE, Skip, check, equal, inside, run, scenario
from net import V4, half_open, listener
from t_faults import READING, bpftool, instance, line, seen, taken_away, two_devices

KINDS = {"array": "percpu_array", "percpu_array": "array", "hash": "percpu_hash", "percpu_hash": "hash"}


@scenario(limit=90)
def map_of_another_kind():
    """Same sizes, same number of entries, but per CPU where ours is not: the kernel would write more than there is
    room for."""
    two_devices()
    sw = instance()
    for name in sorted(n for n in os.listdir(sw.pin) if n not in ("links", "meta")):
        path = f"{sw.pin}/{name}"
        is_ = json.loads(bpftool("show", "pinned", path))
        if is_["type"] not in KINDS:
            continue
        with taken_away(path):
            r = run("bpftool", "map", "create", path, "type", KINDS[is_["type"]], "key", str(is_["bytes_key"]), "value",
                    str(is_["bytes_value"]), "entries", str(is_["max_entries"]), "name", name, ok=None)
            if r.returncode:  # too large for a CPU's share
                continue
            for words in READING:
                line(sw, words, path)
    sw.detach()
    nothing_left(sw)


@scenario()
def meta_deleted():
    """What runs without meta is not nothing."""
    two_devices()
    sw = instance()
    with taken_away(sw.pin + "/meta"):
        for words in READING:
            line(sw, words, f"{sw.pin}/meta is missing: run `synwave attach` again, or `synwave detach --all`")
    sw.detach()
    nothing_left(sw)


def machine_clock():
    """CLOCK_MONOTONIC as the programs read it, in whole seconds, whatever time namespace the tests run in."""
    with open("/proc/self/timens_offsets") as f:
        ahead = next(int(line_.split()[1]) for line_ in f if line_.startswith("monotonic"))
    return int(time.monotonic()) - ahead


@scenario()
def time_namespace():
    """The programs' clock is the machine's; a reader may live in a time namespace, with another CLOCK_MONOTONIC: one far
    ahead, and one that begins now. No clock can be set below 0, so the second depends on how long the machine is up."""
    two_devices()
    if run("unshare", "--time", "true", ok=None).returncode:
        raise Skip("no time namespaces here")
    sw = instance()
    seen(sw)
    server = listener("srv", V4, 80)
    half_open(V4, 3, 80)
    sw.expect(half_open=3)
    want = {r["client"]["port"]: r["first_ns"] for r in sw.flows()}
    for offset in ("1000000", f"-{max(machine_clock() - 1, 0)}"):
        there = ["unshare", "--time", "--monotonic", offset, "--fork", SYNWAVE, "--pin", sw.pin]
        with inside("srv"):
            stats = json.loads(run(*there, "stats", "--json").stdout)
            flows = [json.loads(line_) for line_ in run(*there, "flows", "--json").stdout.splitlines()]
            for words in ("status",), ("export",), ("guard", "show"):
                run(*there, *words)
        equal(stats["half_open"], 3, f"half-open, seen from {offset} s away")
        equal(sorted(r["client"]["port"] for r in flows), sorted(want), "connections")
        for r in flows:
            check(abs(r["first_ns"] - want[r["client"]["port"]]) < 10**9, f"first_ns: {r}")
    server.close()
    sw.detach()
    nothing_left(sw)
