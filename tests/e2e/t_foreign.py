# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What is another's on the same interface goes on working and stays; what was there before us is picked up."""
import ctypes
import os
import struct

from instance import MODE_NAMES, TC, TCX, Synwave, attached, bpf, nothing_left
from lib import Skip, check, equal, inside, run, scenario, until
from net import FAMILIES, V4, ip, listener, meet, pair, part, ss, talk

BPF_MAP_CREATE, BPF_MAP_UPDATE, BPF_PROG_LOAD, BPF_OBJ_PIN, BPF_LINK_CREATE = 0, 2, 5, 6, 28
SCHED_CLS, XDP = 3, 6
PASS = {SCHED_CLS: 0xffffffff, XDP: 2}  # TC_ACT_UNSPEC, XDP_PASS
OTHERS = "/run/others"  # a BPF file system of their own


def another(kind, code=None, name=b""):
    """Loads a program, the least of all, `return PASS`, unless said otherwise, and pins it; returns its file and its
    path."""
    code = (code or struct.pack("BBhI", 0xb7, 0, 0, PASS[kind])) + struct.pack("BBhI", 0x95, 0, 0, 0)
    code, count = ctypes.create_string_buffer(code), len(code) // 8
    words = ctypes.create_string_buffer(b"GPL")
    fd, _ = bpf(BPF_PROG_LOAD, struct.pack("IIQQ24x16s", kind, count, ctypes.addressof(code), ctypes.addressof(words),
                                           name))
    check(fd >= 0, f"cannot load a program of type {kind}: {os.strerror(ctypes.get_errno())}")
    if not os.path.ismount(OTHERS):
        os.mkdir(OTHERS)
        run("mount", "-t", "bpf", "bpf", OTHERS)
    path = f"{OTHERS}/{fd}"
    name = ctypes.create_string_buffer(path.encode())
    check(bpf(BPF_OBJ_PIN, struct.pack("QI", ctypes.addressof(name), fd))[0] == 0, "cannot pin")
    return fd, path


def tcx_link(prog, dev, hook):
    index = int(ip("srv", "-o", "link", "show", dev).stdout.split(":")[0])
    with inside("srv"):
        fd, _ = bpf(BPF_LINK_CREATE, struct.pack("IIII", prog, index, TCX[hook], 0))
    if fd < 0 and TC == "clsact":
        raise Skip("no TCX in this kernel")
    check(fd >= 0, f"cannot attach to {hook}: {os.strerror(ctypes.get_errno())}")
    return fd


def traffic(f=V4):
    server = listener("srv", f, 80)
    part(*meet(server, "cli", f))
    server.close()


@scenario(mode=MODE_NAMES)
def other_tcx(mode):
    pair()
    prog, _ = another(SCHED_CLS)
    links = [tcx_link(prog, "eth0", "ingress"), tcx_link(prog, "eth0", "egress")]
    before = attached("srv")
    equal(len(before), 3, "their links and program")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.owned -= before
    traffic()
    sw.expect(handshakes__completed=1, teardowns__completed=1)
    check(before <= attached("srv"), "theirs is gone after our attach")
    sw.attach("eth0", mode=mode)
    sw.owned -= before
    sw.detach()
    equal(attached("srv"), before, "on the interface after our detach")
    for fd in links:
        os.close(fd)
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def other_clsact(mode):
    pair()
    _, path = another(SCHED_CLS)
    with inside("srv"):
        if run("tc", "qdisc", "add", "dev", "eth0", "clsact", ok=None).returncode:
            raise Skip("no clsact in this kernel")
        for hook in TCX:
            run("tc", "filter", "add", "dev", "eth0", hook, "bpf", "direct-action", "object-pinned", path)
    before = attached("srv")
    equal(len(before), 1, "their program")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.owned -= before
    traffic()
    sw.expect(handshakes__completed=1, teardowns__completed=1)
    check(before <= attached("srv"), "theirs is gone after our attach")
    sw.detach()
    equal(attached("srv"), before, "on the interface after our detach")
    with inside("srv"):
        run("tc", "qdisc", "del", "dev", "eth0", "clsact")
    nothing_left(sw)


def dispatcher(config):
    """An XDP program of that name, with such a configuration; the path of its pin."""
    fd, _ = bpf(BPF_MAP_CREATE, struct.pack("IIIII", 2, 4, len(config), 1, 0x80))  # an array, BPF_F_RDONLY_PROG
    check(fd >= 0, f"cannot make a map: {os.strerror(ctypes.get_errno())}")
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(config)
    rc, _ = bpf(BPF_MAP_UPDATE, struct.pack("IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))
    check(rc == 0, "cannot write a map")
    code = struct.pack("BBhiBBhi", 0x18, 0x11, 0, fd, 0, 0, 0, 0)  # r1 = the map
    return another(XDP, code + struct.pack("BBhI", 0xb7, 0, 0, PASS[XDP]), b"xdp_dispatcher")[1]


@scenario(mode=["native", "generic"])
def other_dispatcher(mode):
    """What calls itself libxdp's dispatcher, and is of a version to come, or lies about itself: it is not joined."""
    pair()
    sw, flag = Synwave(), {"native": "xdpdrv", "generic": "xdpgeneric"}[mode]
    for config in (struct.pack("4B124x", 236, 3, 1, 0), struct.pack("4B120x", 236, 2, 200, 0),
                   struct.pack("4B", 236, 1, 1, 0), struct.pack("84x")):
        path = dispatcher(config)
        with inside("srv"):
            run("ip", "link", "set", "dev", "eth0", flag, "pinned", path)
        before = attached("srv")
        r = sw.cmd("attach", "eth0", "--mode", mode, "--flows", "4096", ok=(1,))
        equal(len(r.stderr.splitlines()), 1, "lines on standard error")
        check("a dispatcher that the libxdp in synwave does not know" in r.stderr, r.stderr)
        equal(attached("srv"), before, "on the interface after an attach that was refused")
        with inside("srv"):
            run("ip", "link", "set", "dev", "eth0", flag, "off")
    nothing_left(sw)


@scenario(mode=["native", "generic"])
def other_xdp(mode):
    """Where libxdp's dispatcher cannot chain them, an XDP program that is not ours is in the way: `attach --mode
    native` says so, `auto` takes another way, and nobody removes it."""
    pair()
    _, path = another(XDP)
    with inside("srv"):
        run("ip", "link", "set", "dev", "eth0", {"native": "xdpdrv", "generic": "xdpgeneric"}[mode], "pinned", path)
    before = attached("srv")
    equal(len(before), 1, "their program")
    sw = Synwave()
    with inside("srv"):
        r = sw.cmd("attach", "eth0", "--mode", mode, ok=(0, 1))
    if r.returncode:
        equal(len(r.stderr.splitlines()), 1, "lines on standard error")
        check("eth0" in r.stderr, r.stderr)
        equal(attached("srv"), before, "on the interface after an attach that was refused")
        check(not os.path.exists(sw.pin), "pins of an attach that was refused")
    note = "refused" if r.returncode else "chained"
    sw.cmd("attach", "eth0", "--mode", "auto")
    sw.owned |= attached("srv") - before
    traffic()
    stats = sw.expect(handshakes__completed=1, teardowns__completed=1)
    note += ", auto took " + stats["interfaces"][0]["ingress"]
    check(before <= attached("srv") or note.startswith("chained"), "their program is gone after our attach")
    sw.detach()
    equal(attached("srv"), before, "on the interface after our detach")
    with inside("srv"):
        run("ip", "link", "set", "dev", "eth0", {"native": "xdpdrv", "generic": "xdpgeneric"}[mode], "off")
    nothing_left(sw)
    return note


@scenario(mode=["native", "generic"])
def usurped(mode):
    """Somebody takes our XDP program off by force and puts on another: status does not claim it, detach leaves it."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    _, path = another(XDP)
    flag = {"native": "xdpdrv", "generic": "xdpgeneric"}[mode]
    with inside("srv"):
        r = run("ip", "-force", "link", "set", "dev", "eth0", flag, "pinned", path, ok=None)
    if r.returncode:
        sw.detach()
        nothing_left(sw)
        return "the kernel does not let them: ours is a link"
    theirs = attached("srv") - sw.owned
    equal(len(theirs), 1, "their program")
    text = sw.cmd("status").stdout
    sw.detach()
    equal(attached("srv"), theirs, "on the interface after our detach")
    with inside("srv"):
        run("ip", "link", "set", "dev", "eth0", flag, "off")
    nothing_left(sw)
    check("gone" in text or "replaced" in text or "another" in text, f"status says nothing of it: {text}")


@scenario(mode=MODE_NAMES, family=FAMILIES)
def late(mode, f):
    """Connections that were there before us are picked up when they speak, and followed to their end."""
    pair()
    server = listener("srv", f, 80)
    held = [meet(server, "cli", f) for _ in range(12)]
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.expect(handshakes__started=0, states__local__ESTABLISHED=0)
    for c, s in held:
        talk(c, s)
    sw.expect(states__local__ESTABLISHED=lambda: ss("srv", "established"), handshakes__started=0,
              events__midstream=12)
    for r in sw.flows():
        equal((r["origin"], r["local"], r["server"]["port"], r["client"]["isn"]), ("midstream", "server", 80, None),
              "the record")
    for i, (c, s) in enumerate(held):
        part(*((c, s) if i < 5 else (s, c)))
    stats = sw.expect(teardowns__started=12, teardowns__completed=12, time_wait_local=lambda: ss("srv", "time-wait"),
                      time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"))
    equal(stats["time_wait_local"], 7, "TIME_WAIT here")
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def jumbo(mode):
    """Frames above a page."""
    pair()
    for ns in ("srv", "cli"):
        ip(ns, "link", "set", "eth0", "mtu", "9000")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    c, s = meet(server, "cli", V4)
    for a, b in ((c, s), (s, c)):
        for _ in range(20):
            a.sendall(b"x" * 60000)
            n = 0
            while n < 60000:
                n += len(b.recv(60000))
    r = sw.flow(c.getsockname()[1])
    equal((r["client"]["mss"], r["server"]["mss"], r["conn_state"]), (8960, 8960, "S1"), "the record")
    part(c, s)
    sw.expect(handshakes__completed=1, teardowns__completed=1, time_wait=1)
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def renamed(mode):
    """The interface gets another name: still ours, and detach knows it by the new one."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    ip("srv", "link", "set", "eth0", "down")
    ip("srv", "link", "set", "eth0", "name", "wan0")
    ip("srv", "link", "set", "wan0", "up")
    text = sw.cmd("status").stdout
    check("gone" not in text, f"status says that it is gone: {text}")
    equal(len(sw.stats()["interfaces"]), 1, "interfaces")
    sw.attach("wan0", mode=mode)
    equal([d["name"] for d in sw.stats()["interfaces"]], ["wan0"], "interfaces after another attach")
    ip("srv", "link", "set", "wan0", "down")
    ip("srv", "link", "set", "wan0", "name", "lan0")
    sw.detach("lan0")
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def down_and_up(mode):
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    held = meet(server, "cli", V4)
    ip("srv", "link", "set", "eth0", "down")
    check("gone" not in sw.cmd("status").stdout, "status says that an interface that is down is gone")
    ip("srv", "link", "set", "eth0", "up")
    ip("srv", "neigh", "replace", V4.cli, "lladdr", "02:00:00:00:00:02", "dev", "eth0", "nud", "permanent")
    until(lambda: "LOWER_UP" in ip("srv", "link", "show", "eth0").stdout, "the link to be up")
    talk(*held)
    part(*held)
    sw.expect(handshakes__completed=1, teardowns__completed=1, handshakes__started=1)
    sw.detach()
    nothing_left(sw)
