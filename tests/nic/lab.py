# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What both machines have: the cards, found by the addresses that run.sh gave them, each in turn in a namespace of its
own, as tests/e2e has its hosts; and the wire on which one tells the other what to do."""
import glob
import json
import os
import re
import sys
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
sys.dont_write_bytecode = True

from lib import inside, run, until  # noqa: E402
from net import FAMILIES, MAC, address, ghosts, ip, neighbour, netns  # noqa: E402

Card = namedtuple("Card", "number name driver queues")
SIDES = {"srv": 1, "cli": 2}
CONTROL = {"srv": "10.8.0.1", "cli": "10.8.0.2"}
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro", "lro", "rxvlan")


def cards():
    with open(os.path.join(HERE, "nics")) as f:
        lines = [line.split() for line in f if not line.startswith("#")]
    found = [Card(n, w[0], w[1], int(w[2])) for n, w in enumerate(lines, 1)]
    return [c for c in found if device(c.number, "srv") or device(c.number, "cli")]


def mac(number, side):
    return f"02:00:00:00:{number:02x}:{SIDES[side]:02x}"


def device(number, side):
    for path in glob.glob("/sys/class/net/*/address"):
        with open(path) as f:
            if f.read().strip() == mac(number, side):
                return path.split("/")[-2]
    return None


def begin(side):
    """The drivers, and the wire between both."""
    for driver in ("virtio_net", "e1000", "e1000e", "igb", "vmxnet3"):
        run("/run/bin/modprobe", driver)
    dev = until(lambda: device(0, side), "the card between both machines")
    run("ip", "addr", "add", CONTROL[side] + "/24", "dev", dev)
    run("ip", "link", "set", dev, "up")
    os.makedirs("/run/netns", exist_ok=True)


def plug(number, side):
    """The card becomes eth0 of the side's host."""
    MAC.update(srv=mac(number, "srv"), cli=mac(number, "cli"))
    other = "cli" if side == "srv" else "srv"
    netns(side)
    run("ip", "link", "set", device(number, side), "netns", side, "name", "eth0", "mtu", "1500")
    ip(side, "link", "set", "eth0", "up")
    for f in FAMILIES:
        address(side, "eth0", getattr(f, side), f.bits)
        neighbour(side, "eth0", getattr(f, other), MAC[other])
        if side == "srv":
            ghosts(side, f, f.ghost)
    return True


def unplug(number, side):
    ip(side, "link", "set", "eth0", "netns", "1", "name", f"idle{number}")  # at once: its host lives as long as its last socket
    run("ip", "netns", "del", side)
    return True


def settle(side, mtu, offloads, channels):
    """All as asked for, and the link up again: some drivers take it down for that."""
    with inside(side):
        run("ethtool", "-L", "eth0", "combined", str(channels), ok=None)
        for one in OFFLOADS:
            run("ethtool", "-K", "eth0", one, "on" if offloads else "off", ok=None)
        # behind them: QEMU's vmxnet3 puts frames of several buffers together if it had LRO when it was started
        run("ip", "link", "set", "eth0", "mtu", str(mtu))
        until(lambda: "Link detected: yes" in run("ethtool", "eth0").stdout, "the link")
    return True


def queues(side):
    """To receive from: how many there are."""
    with inside(side):
        said = run("ethtool", "-l", "eth0", ok=None).stdout
    now = re.search(r"Current.*Combined:\s*(\d+)", said, re.S)
    return int(now[1]) if now else json.loads(ip(side, "-d", "-j", "link", "show", "eth0").stdout)[0]["num_rx_queues"]
