# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""synwave as the scenarios use it: an instance and its commands, what belongs to it, and whether it is gone."""
import contextlib
import ctypes
import json
import os
import struct

from lib import SYNWAVE, Fail, check, dig, equal, inside, libc, run, until

TC = "tcx" if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 6) else "clsact"
MODES = {"native": "xdp-native", "generic": "xdp-generic", "tc": TC}
MODE_NAMES = list(MODES)


def tally(flows):
    """How many of each: (client's state, server's state, conn_state)."""
    n = {}
    for r in flows:
        key = (r["client"]["state"], r["server"]["state"], r["conn_state"])
        n[key] = n.get(key, 0) + 1
    return n


class Synwave:
    """An instance: a pin directory of its own."""

    def __init__(self, name="swt", ns="srv"):
        self.pin, self.ns, self.owned = "/sys/fs/bpf/" + name, ns, set()

    def cmd(self, *words, ok=(0,), ns=None):
        with inside(ns or self.ns):
            return run(SYNWAVE, "--pin", self.pin, *words, ok=ok)

    def attach(self, *words, mode, ns=None, small=True):
        size = ["--flows", "16384", "--half-open", "4096"] if small else []
        r = self.cmd("attach", *words, "--mode", mode, *size, ns=ns)
        for dev in self.stats()["interfaces"]:
            if dev["name"] in words:
                equal(dev["ingress"], MODES[mode], f"ingress hook of {dev['name']}")
                equal(dev["egress"], "none" if "--ingress-only" in words else TC, f"egress hook of {dev['name']}")
        self.owned |= owned(self.pin, ns or self.ns)
        return r

    def detach(self, *words, ns=None):
        return self.cmd("detach", *(words or ["--all"]), ns=ns)

    def stats(self):
        """The numbers; that the two laws hold is asked at every reading."""
        out = json.loads(self.cmd("stats", "--json").stdout)
        h, t = out["handshakes"], out["teardowns"]
        equal(h["started"], sum(h[k] for k in ("completed", "refused", "reset", "timed_out", "evicted", "in_progress")),
              "the law of handshakes: started")
        equal(t["started"], sum(t[k] for k in ("completed", "reset", "timed_out", "evicted", "in_progress")),
              "the law of teardowns: started")
        return out

    def flows(self, *words):
        return [json.loads(line) for line in self.cmd("flows", "--json", *words).stdout.splitlines()]

    def flow(self, port):
        """The one connection whose client has this port."""
        found = [r for r in self.flows() if r["client"]["port"] == port]
        equal(len(found), 1, f"connections of client port {port}")
        return found[0]

    def expect(self, **want):
        """Polls `stats` until these numbers are there; keys are paths with __ for the dot. A value that is a function
        is asked anew each time: a number of the kernel's."""
        seen = {}

        def met():
            stats = self.stats()
            seen.clear()
            for path, value in want.items():
                path = path.replace("__", ".")
                value, got = value() if callable(value) else value, dig(stats, path)
                if got is None and value == 0 and path.startswith("states."):
                    got = 0
                if got != value:
                    seen[path] = (got, value)
            return None if seen else stats

        return until(met, lambda: "; ".join(f"{k} is {g}, expected {w}" for k, (g, w) in seen.items()))


# --- what belongs to an instance, and whether it is gone -----------------------------------------------------------

BPF_OBJ_GET, BPF_OBJ_GET_INFO_BY_FD, BPF_PROG_QUERY = 7, 15, 16
BY_ID = {"prog": 13, "map": 14, "link": 30}  # BPF_*_GET_FD_BY_ID
TCX = {"ingress": 46, "egress": 47}


def bpf(command, attr):
    attr = ctypes.create_string_buffer(attr, max(len(attr), 128))
    return libc.syscall(321 if os.uname().machine == "x86_64" else 280, command, attr, 128), attr.raw


def pinned(path):
    """(kind, id) of a pinned object, and of a link its program."""
    name = ctypes.create_string_buffer(path.encode())
    fd, _ = bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))
    check(fd >= 0, f"{path}: {os.strerror(ctypes.get_errno())}")
    with open(f"/proc/self/fdinfo/{fd}") as f:
        info = dict(line.split(":", 1) for line in f if ":" in line)
    os.close(fd)
    kind = next(k for k in ("link", "map", "prog") if k + "_id" in info)
    found = {(kind, int(info[kind + "_id"]))}
    return found | {("prog", int(info["prog_id"]))} if kind == "link" else found


def attached(ns):
    """(kind, id) of what hangs on the devices of a namespace: XDP programs, TCX programs and links, clsact filters."""
    found = set()
    with inside(ns):
        qdiscs = json.loads(run("tc", "-j", "qdisc", "show").stdout or "[]")
        clsact = {q["dev"] for q in qdiscs if q["kind"] in ("clsact", "ingress")}
        for link in json.loads(run("ip", "-j", "-d", "link").stdout):
            xdp = link.get("xdp", {})
            for one in [xdp.get("prog", {})] + [a.get("prog", {}) for a in xdp.get("attached", [])]:
                if one.get("id"):
                    found.add(("prog", one["id"]))
            for hook in TCX if link["ifname"] in clsact else ():
                for one in json.loads(run("tc", "-j", "filter", "show", "dev", link["ifname"], hook, ok=None).stdout
                                      or "[]"):
                    if one.get("options", {}).get("prog"):
                        found.add(("prog", one["options"]["prog"]["id"]))
            for hook in TCX.values():
                progs, links = (ctypes.c_uint32 * 64)(), (ctypes.c_uint32 * 64)()
                rc, attr = bpf(BPF_PROG_QUERY, struct.pack("IIIIQIIQQQQ", link["ifindex"], hook, 0, 0,
                                                           ctypes.addressof(progs), 64, 0, 0,
                                                           ctypes.addressof(links), 0, 0))
                count = struct.unpack_from("I", attr, 24)[0] if rc == 0 else 0
                found |= {("prog", progs[i]) for i in range(count)} | {("link", links[i]) for i in range(count)}
    return found - {("link", 0)}


def pins(top="/sys/fs/bpf"):
    return [os.path.join(where, name) for where, _, names in os.walk(top) for name in names
            if name not in ("maps.debug", "progs.debug")]  # the BPF file system's own


def owned(pin, *spaces):
    """Everything of an instance: pinned, attached, and the maps that its programs use."""
    found = set()
    for path in pins(pin):
        if not os.path.islink(path):
            with contextlib.suppress(Fail):  # a plain file (lock), or gone in between
                found |= pinned(path)
    for ns in spaces:
        found |= attached(ns)
    for kind, number in list(found):
        if kind == "prog":
            found |= {("map", m) for m in maps_of(number)}
    return found


def maps_of(number):
    """The ids of the maps that a program uses; none if there is no such program."""
    fd, _ = bpf(BY_ID["prog"], struct.pack("III", number, 0, 0))
    if fd < 0:
        return []
    maps, info = (ctypes.c_uint32 * 256)(), ctypes.create_string_buffer(232)
    struct.pack_into("=IQ", info, 52, 256, ctypes.addressof(maps))  # struct bpf_prog_info: nr_map_ids, map_ids
    rc, _ = bpf(BPF_OBJ_GET_INFO_BY_FD, struct.pack("IIQ", fd, len(info), ctypes.addressof(info)))
    os.close(fd)
    check(rc == 0, f"program {number}: {os.strerror(ctypes.get_errno())}")
    return maps[:struct.unpack_from("I", info, 52)[0]]


def exists(kind, number):
    fd, _ = bpf(BY_ID[kind], struct.pack("III", number, 0, 0))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def nothing_left(*instances, spaces=("srv",)):
    """No pin, no program on a device, and of the ids that the instances ever had none is alive."""
    for sw in instances:
        check(not os.path.exists(sw.pin), f"{sw.pin} is still there: {pins(sw.pin)}")
    equal(pins(), [], "pins left in the BPF file system")
    for ns in spaces:
        equal(attached(ns), set(), f"programs left on the devices of {ns}")
    ids = set().union(*(sw.owned for sw in instances))
    until(lambda: not [i for i in ids if exists(*i)], lambda: f"still alive: {[i for i in ids if exists(*i)]}")
