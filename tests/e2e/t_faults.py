# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Faults at an instance's pins and around it: what is said, in one line, by every command, and what puts it right."""
import contextlib
import ctypes
import json
import os
import struct
import subprocess

from lib import (BPF_OBJ_GET, SYNWAVE, V4, Skip, Synwave, attached, bpf, check, equal, exists, inside, listener, meet,
                 nothing_left, owned, pair, part, pins, run, scenario, until, veth)
from t_foreign import BPF_OBJ_PIN, SCHED_CLS, another

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


@scenario()
def link_deleted_by_hand():
    """Each pinned link once: with it goes the program; status says so, attach puts it back, nothing is forgotten."""
    two_devices()
    for mode in ("tc", "native"):
        sw = Synwave()
        sw.cmd("attach", "eth0", "eth1", *SMALL[2:], "--mode", mode)
        seen(sw)
        for n, name in enumerate(sorted(os.listdir(sw.pin + "/links"))):
            os.unlink(f"{sw.pin}/links/{name}")
            until(lambda: "incomplete" in sw.cmd("status").stdout, "status to say so")
            out = json.loads(sw.cmd("status", "--json").stdout)["interfaces"]
            equal(sorted(i["state"] for i in out)[:2], ["incomplete", "up"], "states")
            lost = next(i["name"] for i in out if i["state"] == "incomplete")
            r = sw.cmd("attach", "lo", "--mode", "tc")
            check(f"{lost} has lost a hook" in r.stderr, r.stderr)
            sw.cmd("attach", lost, "--mode", mode)
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


def another_map(path, make=True):
    """A map of somebody else's, full of sevens: its number and what it holds."""
    if make:
        run("bpftool", "map", "create", path, "type", "array", "key", "4", "value", "60", "entries", "3", "name", "theirs")
        run("bpftool", "map", "update", "pinned", path, "key", "0", "0", "0", "0", "value", *["7"] * 60)
    return run("bpftool", "-j", "map", "show", "pinned", path).stdout, run("bpftool", "map", "dump", "pinned", path).stdout


@scenario()
def other_layout():
    """The maps of another version: every command says both numbers; what is there stays until detach --all."""
    two_devices()
    sw = instance()
    value = json.loads(run("bpftool", "-j", "map", "lookup", "pinned", sw.pin + "/meta", "key", "0", "0", "0", "0").stdout)
    value = [int(b, 16) for b in value["value"]]
    layout = json.loads(sw.cmd("status", "--json").stdout)["layout"]
    equal(int.from_bytes(bytes(value[8:12]), "little"), layout, "the layout, behind the eight bytes of magic")
    there = attached("srv")
    for other in (layout + 1, 0, 0xffffffff):
        value[8:12] = other.to_bytes(4, "little")
        run("bpftool", "map", "update", "pinned", sw.pin + "/meta", "key", "0", "0", "0", "0",
            "value", *map(str, value))
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


# --- memory and disks ----------------------------------------------------------------------------------------------


class Cgroup:
    """A control group with a limit of memory: version 2, or 1 where memory is there."""

    def __init__(self):
        two = "/sys/fs/cgroup"
        one = two + "/memory"
        if os.path.exists(one + "/memory.limit_in_bytes"):
            self.top, self.limit, self.peak = one, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
        elif "memory" in self.read(two + "/cgroup.subtree_control"):
            self.top, self.limit, self.peak = two, "memory.max", "memory.peak"
        else:
            raise Skip("no control group that limits memory can be made here")
        for name in os.listdir(self.top):  # of tests that were killed; what is in use refuses
            if name.startswith("synwave-test-"):
                self.drop(f"{self.top}/{name}")

    @staticmethod
    def read(path):
        try:
            with open(path) as f:
                return f.read()
        except OSError:
            return ""

    @staticmethod
    def drop(path):
        try:
            os.rmdir(path)
        except OSError:
            pass

    def run(self, number, *argv):
        """In a group of its own: (what came of it, the peak of its memory)."""
        path = f"{self.top}/synwave-test-{os.urandom(8).hex()}"
        while True:  # another test may take an empty group away
            try:
                os.mkdir(path)
                with open(f"{path}/{self.limit}", "w") as f:
                    f.write(str(number))
                inherit = 'echo 0 > "$0/cgroup.procs" && shift && exec "$@"'
                with inside("srv"):
                    r = run("sh", "-c", inherit, path, "", *argv, ok=None)
                break
            except FileNotFoundError:
                continue
            except OSError as why:
                self.drop(path)
                raise Skip(f"cannot limit memory: {why}")
        peak = self.read(f"{path}/{self.peak}")
        until(lambda: self.drop(path) or not os.path.exists(path), "the control group to be empty")
        return r, int(peak or 0)


@scenario(limit=120)
def out_of_memory():
    """The kernel has no memory for the maps, or for some of them: one line, nothing left; an instance that was there
    stays as it is. Where so little is left that the kernel kills the command, the next one puts it right."""
    two_devices()
    group, sw = Cgroup(), Synwave()
    order = (SYNWAVE, "--pin", sw.pin, "attach", "eth0", "--mode", "tc", "--flows", "65536")
    r, peak = group.run(1 << 40, *order)
    equal(r.returncode, 0, r.stderr)
    sw.owned |= owned(sw.pin, "srv")
    sw.detach()
    if peak < 50 << 20:
        raise Skip(f"maps are not charged to control groups here: {peak} bytes")
    ends = {0: 0, 1: 0, -9: 0, 137: 0}
    for percent in (10, 25, 40, 55, 70, 80, 85, 90, 93, 96, 98):
        r, _ = group.run(peak * percent // 100, *order)
        said = f"{percent} % of {peak} bytes: exit {r.returncode}: {r.stderr!r}"
        check(r.returncode in ends, said)
        ends[r.returncode] += 1
        if r.returncode == 1:
            check(r.stderr.count("\n") == 1 and "Cannot allocate memory" in r.stderr, said)
            check(not pins() and not attached("srv"), f"{said}; left: {pins()} {attached('srv')}")
        elif r.returncode:
            sw.cmd(*order[3:])
        if os.path.exists(sw.pin):
            sw.detach()
        nothing_left(sw)
    check(ends[1] >= 3, f"ends: {ends}")
    sw.cmd(*order[3:])
    seen(sw)
    r, _ = group.run(3 << 20, *order)
    check(r.returncode in (1, -9, 137), f"attach again with no memory: {r.returncode} {r.stderr}")
    equal(sw.stats()["handshakes"]["completed"], 1, "completed")
    seen(sw)
    sw.detach()
    nothing_left(sw)
    return f"refused {ends[1]}, killed {ends[-9] + ends[137]}, attached {ends[0]} times"


@scenario()
def disk_full():
    """No room for the text file: the one that was there stays whole, and nothing lies beside it."""
    two_devices()
    sw = instance()
    os.mkdir("/run/text")
    run("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", "/run/text")
    path, order = "/run/text/synwave.prom", ("export", "--textfile", "/run/text/synwave.prom")
    sw.cmd(*order)
    with open(path) as f:
        before = f.read()
    with open("/run/text/ballast", "wb") as f:
        room = os.statvfs("/run/text")
        f.write(bytes(room.f_bavail * room.f_bsize))
    line(sw, order, f"cannot write {path}: No space left on device; make room")
    with open(path) as f:
        equal(f.read(), before, "the file")
    equal(sorted(os.listdir("/run/text")), ["ballast", "synwave.prom"], "files")
    os.truncate("/run/text/ballast", 0)
    sw.cmd(*order)
    run("mount", "-o", "remount,ro", "/run/text")
    line(sw, order, f"cannot write {path}: Read-only file system; name a file")
    run("umount", "/run/text")
    os.rmdir("/run/text")
    line(sw, order, f"cannot write {path}: No such file or directory; make its directory")
    with open("/dev/full", "w") as full:  # standard output
        with inside("srv"):
            r = subprocess.run([SYNWAVE, "--pin", sw.pin, "export"], stdout=full, stderr=subprocess.PIPE, text=True)
    check(r.returncode == 1 and r.stderr.count("\n") == 1 and "No space left" in r.stderr, r.stderr)
    sw.detach()
    nothing_left(sw)


@scenario()
def text_file_name_taken():
    """What lies under the temporary file's name: a killed command's is taken over, somebody else's is not written to."""
    two_devices()
    sw = instance()
    os.mkdir("/run/text")
    path, temp, order = "/run/text/x.prom", "/run/text/.x.prom.new", ("export", "--textfile", "/run/text/x.prom")
    with open(temp, "w") as f:
        f.write("half a line")
    sw.cmd(*order)
    equal(os.listdir("/run/text"), ["x.prom"], "files")
    victim = "/run/text/victim"
    for make in (lambda: os.symlink(victim, temp), lambda: os.link(victim, temp), lambda: os.mkfifo(temp),
                 lambda: (open(temp, "w").close(), os.chown(temp, 65534, 65534))):
        with open(victim, "w") as f:
            f.write("precious")
        make()
        line(sw, order, f"cannot write {path}: File exists; the hidden .new")
        with open(victim) as f:
            equal(f.read(), "precious", "what is another's")
        os.unlink(temp)
    sw.cmd(*order)
    sw.detach()
    nothing_left(sw)
