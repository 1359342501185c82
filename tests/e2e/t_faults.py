# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Faults at an instance's pins: what is said, in one line, by every command, and what puts it right."""
import contextlib
import ctypes
import json
import os
import struct

from instance import BPF_OBJ_GET, Synwave, attached, bpf, exists, nothing_left, owned
from lib import check, equal, inside, run, scenario, until
from net import V4, listener, meet, pair, part, veth
from t_foreign import BPF_OBJ_PIN, PASS, SCHED_CLS, XDP, another

SMALL = ("--mode", "tc", "--flows", "4096", "--half-open", "1024")
READING = [("status",), ("stats",), ("flows",), ("show", "10.9.0.2:1", "10.9.0.1:80"), ("export",), ("guard", "show"),
           ("export", "--textfile", "/run/x.prom"), ("stats", "--watch"), ("trace", "--count", "1")]
CHANGING = [("guard", "set", "mode=dry-run"), ("guard", "allow", "192.0.2.0/24"), ("detach", "eth1"),
            ("detach", "eth9")]


def instance():
    """On two interfaces."""
    sw = Synwave()
    sw.cmd("attach", "eth0", "eth1", *SMALL)
    sw.owned |= owned(sw.pin, "srv")
    return sw


def two_devices():
    pair()
    veth("srv", "eth1", "02:00:00:00:02:01", "cli", "eth1", "02:00:00:00:02:02")


def line(sw, words, *said, code=1):
    """The command fails, in one line that has one of these words, and prints nothing else."""
    r = sw.cmd(*words, ok=None)
    lines = r.stderr.splitlines()
    check((r.returncode, r.stdout, len(lines)) == (code, "", 1) and any(w in lines[0] for w in said),
          f"{' '.join(words)}: exit {r.returncode}, {lines} {r.stdout!r}, expected one of {said}")


def seen(sw):
    """It works: one connection is counted."""
    server = listener("srv", V4, 80)
    before = sw.stats()["handshakes"]["completed"]
    part(*meet(server, "cli", V4))
    server.close()
    sw.expect(handshakes__completed=before + 1)


def maps_of(sw):
    return sorted(name for name in os.listdir(sw.pin) if name != "links")


@contextlib.contextmanager
def taken_away(path):
    """A pin is gone; afterwards it is there again, the same map."""
    name = ctypes.create_string_buffer(path.encode())
    fd, _ = bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))
    check(fd >= 0, f"cannot open {path}")
    os.unlink(path)
    yield
    if os.path.exists(path):
        os.unlink(path)
    check(bpf(BPF_OBJ_PIN, struct.pack("QI", ctypes.addressof(name), fd))[0] == 0, f"cannot pin {path}")
    os.close(fd)


@scenario(limit=120)
def pin_deleted():
    """Each pinned map once: every command says which it is and what to do, and touches nothing. A detach of one
    interface, or of none that there is, does not take down the others with it."""
    two_devices()
    sw = instance()
    names = maps_of(sw)
    check(len(names) > 10, names)
    there = attached("srv")
    for name in names:
        missing = f"{sw.pin}/{name} is missing: run `synwave attach` again, or `synwave detach --all`"
        with taken_away(f"{sw.pin}/{name}"):
            for words in READING:
                line(sw, words, missing, *(["nothing is attached"] if name == "meta" else []))
            for words in CHANGING:
                line(sw, words, missing)
            equal(attached("srv"), there, "on the devices")
        check(not os.path.exists("/run/x.prom"), "a text file of nothing")
        sw.stats()
    sw.detach()
    nothing_left(sw)
    return f"{len(names)} maps"


@scenario()
def pin_deleted_mended():
    """Attach again makes an instance anew out of a damaged one and says so; detach --all takes all of it off."""
    two_devices()
    for name in ("meta", "ifaces", "tags"):
        for again in (True, False):
            sw = instance()
            os.unlink(f"{sw.pin}/{name}")
            if again:
                r = sw.cmd("attach", "eth0", *SMALL)
                check("made anew" in r.stderr and sw.pin in r.stderr, r.stderr)
                equal([d["name"] for d in sw.stats()["interfaces"]], ["eth0"], "interfaces")
                check(all(i[0] != "link" or not exists(*i) for i in sw.owned), "links of the former instance")
                seen(sw)
            sw.detach()
            nothing_left(sw)


@scenario(limit=120)
def link_deleted_by_hand():
    """Each pinned link once: with it goes the program; status says so, attach puts it back, nothing is forgotten."""
    two_devices()
    for mode in ("tc", "native"):
        sw = Synwave()
        sw.cmd("attach", "eth0", *SMALL[2:], "--mode", mode)
        hooks = sorted(os.listdir(sw.pin + "/links"))
        equal(len(hooks), 2, f"links: {hooks}")
        sw.cmd("attach", "eth1", "--mode", mode)
        seen(sw)
        for n, name in enumerate(hooks):
            os.unlink(f"{sw.pin}/links/{name}")
            until(lambda: "incomplete" in sw.cmd("status").stdout, "status to say so")
            out = json.loads(sw.cmd("status", "--json").stdout)["interfaces"]
            equal(sorted(i["state"] for i in out), ["incomplete", "up"], "states")
            lost = next(i["name"] for i in out if i["state"] == "incomplete")
            r = sw.cmd("attach", lost, "--mode", mode)
            check(f"{lost} has lost a hook" in r.stderr, r.stderr)
            check("incomplete" not in sw.cmd("status").stdout, "still incomplete")
            equal(sw.stats()["handshakes"]["completed"], n + 1, "completed")
            seen(sw)
        sw.cmd("detach", "--all")
        nothing_left(sw)


@scenario()
def bpffs_unmounted():
    """The file system with all pins goes: the kernel takes the programs off, and the next attach makes all anew."""
    two_devices()
    for how in (["umount"], ["umount", "-l"]):
        sw = instance()
        seen(sw)
        while os.path.ismount("/sys/fs/bpf"):  # the one of the machine is below ours
            run(*how, "/sys/fs/bpf")
        until(lambda: not attached("srv"), "the programs to go with their pins")
        for words in READING:
            line(sw, words, "nothing is attached at " + sw.pin)
        for words in CHANGING:
            line(sw, words, "no BPF file system", "nothing is attached at " + sw.pin)
        r = sw.cmd("detach", "--all")
        check("nothing is attached" in r.stderr, r.stderr)
        fresh = sw.cmd("attach", "eth0", *SMALL, ok=(0, 1))
        if fresh.returncode:  # only the first mount namespace gets one mounted
            check(fresh.stderr.count("\n") == 1 and "mount" in fresh.stderr, fresh.stderr)
            run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
            sw.cmd("attach", "eth0", *SMALL)
        equal(sw.stats()["handshakes"]["completed"], 0, "counters of a new instance")
        seen(sw)
        sw.detach()
        nothing_left(sw)


FIRST = ("key", "0", "0", "0", "0")


def bpftool(*words):
    return run("bpftool", "-j", "map", *words).stdout


def another_map(path, make=True):
    """A map of somebody else's, full of sevens: its number and what it holds."""
    if make:
        bpftool("create", path, *"type array key 4 value 60 entries 3 name theirs".split())
        bpftool("update", "pinned", path, *FIRST, "value", *["7"] * 60)
    return bpftool("show", "pinned", path), bpftool("dump", "pinned", path)


@scenario()
def other_layout():
    """The maps of another version: every command says both numbers; what is there stays until detach --all."""
    two_devices()
    sw = instance()
    value = [int(b, 16) for b in json.loads(bpftool("lookup", "pinned", sw.pin + "/meta", *FIRST))["value"]]
    layout = json.loads(sw.cmd("status", "--json").stdout)["layout"]
    equal(int.from_bytes(bytes(value[8:12]), "little"), layout, "the layout, behind the eight bytes of magic")
    there = attached("srv")
    for other in (layout + 1, 0, 0xffffffff):
        value[8:12] = other.to_bytes(4, "little")
        bpftool("update", "pinned", sw.pin + "/meta", *FIRST, "value", *map(str, value))
        for words in READING + CHANGING + [("attach", "eth0")]:
            line(sw, words, f"layout {other}, this synwave reads layout {layout}: run `synwave detach --all`")
        equal(attached("srv"), there, "on the devices")
    sw.detach()
    nothing_left(sw)
    sw = instance()
    seen(sw)
    sw.detach()
    nothing_left(sw)


@scenario(limit=120)
def map_replaced():
    """A map of somebody else's lies where one of ours was: every command says which, none reads or changes it."""
    two_devices()
    sw = instance()
    names, there = maps_of(sw), attached("srv")
    for name in names:
        path = f"{sw.pin}/{name}"
        said = f"{path} is not synwave's" if name == "meta" else f"{path} holds 3 values of 60 bytes"
        with taken_away(path):
            theirs = another_map(path)
            for words in READING + CHANGING + [("attach", "eth0")]:
                line(sw, words, said)
            if name == "meta":
                line(sw, ("detach", "--all"), "take it away by hand")
            equal((attached("srv"), another_map(path, make=False)), (there, theirs), "what is there")
    os.unlink(sw.pin + "/tags")
    another_map(sw.pin + "/tags")
    sw.detach()
    nothing_left(sw)
    return f"{len(names)} maps"


def their_program(number):
    """An XDP program that uses a map; pinned."""
    fd, _ = bpf(14, struct.pack("III", number, 0, 0))  # BPF_MAP_GET_FD_BY_ID
    check(fd >= 0, "cannot open their map")
    mention = struct.pack("BBhiQ", 0x18, 0x11, 0, fd, 0)  # r1 = map
    return another(XDP, mention + struct.pack("BBhI", 0xb7, 0, 0, PASS[XDP]))[1]


@scenario()
def program_of_a_replaced_map():
    """The map that lies in our directory is used by a program of theirs: it does not make that program ours."""
    two_devices()
    sw = instance()
    os.unlink(sw.pin + "/tags")
    number = json.loads(another_map(sw.pin + "/tags")[0])["id"]
    with inside("srv"):
        run("ip", "link", "set", "dev", "lo", "xdpgeneric", "pinned", their_program(number))
        for dev in ("eth0", "eth1"):
            run("ip", "link", "set", "dev", dev, "xdpgeneric", "pinned", their_program(number))
    before = attached("srv")
    for words in (("detach", "eth1"), ("attach", "lo", "--mode", "tc")):
        line(sw, words, "tags holds")
    equal(attached("srv"), before, "on the devices")
    sw.cmd("detach", "--all")
    left = attached("srv")
    equal(len(left), 3, f"their programs, of {before}")
    with inside("srv"):
        for dev in ("lo", "eth0", "eth1"):
            run("ip", "link", "set", "dev", dev, "xdpgeneric", "off")
    sw.owned -= left
    nothing_left(sw)


@scenario()
def not_a_map():
    """A program's pin where a map was, and another's pin beside ours."""
    two_devices()
    _, path = another(SCHED_CLS)
    for name in ("sets", "guard"):
        sw = instance()
        os.unlink(f"{sw.pin}/{name}")
        run("bpftool", "prog", "pin", "pinned", path, f"{sw.pin}/{name}")
        there = attached("srv")
        for words in READING + CHANGING + [("attach", "eth0")]:
            line(sw, words, f"{sw.pin}/{name}")
        equal(attached("srv"), there, "on the devices")
        sw.cmd("detach", "--all")
        nothing_left(sw)
