# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What cannot be taken off: said in one line, nothing goes round in circles, nothing is counted twice or forgotten."""
import contextlib
import json
import os

from instance import MODES, Synwave, attached, nothing_left, owned
from lib import OLDER, check, equal, inside, run, scenario
from net import pair
from t_faults import line, seen

SIZES = ("--flows", "4096", "--half-open", "1024")
WAYS = [(old, new) for old in MODES for new in MODES if old != new]


@contextlib.contextmanager
def stuck(*older, where=""):
    """For the commands that are run meanwhile, the kernel does not let go of what ends with that."""
    os.environ.update(LD_PRELOAD=OLDER, OLDER=" ".join([*older, "stuck=" + where]))
    try:
        yield
    finally:
        del os.environ["LD_PRELOAD"], os.environ["OLDER"]


def ingress(sw):
    i = json.loads(sw.cmd("status", "--json").stdout)["interfaces"]
    return [(one["name"], one["ingress"], one["state"]) for one in i]


@scenario(mode=[f"{old}-{new}" for old, new in WAYS])
def old_hook_stays(mode):
    """Another mode, but the old program stays: the new one does not, each segment is counted once, and all is as it was
    before; nor does detach forget what it cannot take off."""
    old, new = mode.split("-")
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=old)
    seen(sw)
    before = attached("srv")
    with stuck(where="-in" if old == "tc" else "-xdp"):
        line(sw, ("attach", "eth0", "--mode", new), "eth0: cannot take off")
    equal(ingress(sw), [("eth0", MODES[old], "up")], "the interface")
    equal({kind for kind, _ in attached("srv") - before} - {"prog"}, set(), "links of the new mode")
    seen(sw)
    with stuck():
        line(sw, ("detach", "eth0"), "eth0: cannot take off")
        line(sw, ("detach", "--all"), "eth0: cannot take off")
    equal(ingress(sw)[0][0], "eth0", "in the registry")
    seen(sw)
    sw.owned |= owned(sw.pin, "srv")
    sw.cmd("attach", "eth0", "--mode", new)
    seen(sw)
    sw.cmd("detach", "--all")
    nothing_left(sw)


@scenario()
def filters_stay():
    """The same by netlink: clsact filters, and an XDP program that hangs there without a link."""
    pair()
    sw = Synwave()
    with stuck("tcx", where="none of them"):
        sw.cmd("attach", "eth0", "--mode", "tc", *SIZES)
        sw.owned |= owned(sw.pin, "srv")
        line(sw, ("attach", "eth0", "--mode", "native"), "eth0: cannot take off the ingress filter: Device or resource busy")
        line(sw, ("detach", "eth0"), "eth0: cannot take off the ingress filter")
        line(sw, ("detach", "--all"), "eth0: cannot take off the ingress filter")
    equal([name for name, _, _ in ingress(sw)], ["eth0"], "in the registry")
    sw.detach()
    nothing_left(sw)

    sw.attach("eth0", mode="generic")
    link = next(name for name in os.listdir(sw.pin + "/links") if name.endswith("-xdp"))
    number = json.loads(run("bpftool", "-j", "link", "show", "pinned", f"{sw.pin}/links/{link}").stdout)["prog_id"]
    run("bpftool", "prog", "pin", "id", str(number), "/sys/fs/bpf/bare")
    run("bpftool", "link", "detach", "pinned", f"{sw.pin}/links/{link}")
    os.unlink(f"{sw.pin}/links/{link}")
    with inside("srv"):
        run("ip", "link", "set", "dev", "eth0", "xdpgeneric", "pinned", "/sys/fs/bpf/bare")
    os.unlink("/sys/fs/bpf/bare")
    with stuck(where="none of them"):
        line(sw, ("attach", "eth0", "--mode", "native"), "eth0: cannot take off the XDP program: Device or resource busy")
        r = sw.cmd("detach", "eth0", ok=(1,))  # its other half did go: that is said, too
        check("eth0: cannot take off the XDP program: Device" in r.stderr.splitlines()[-1], r.stderr)
    equal([name for name, _, _ in ingress(sw)], ["eth0"], "in the registry")
    sw.detach()
    nothing_left(sw)


@scenario()
def first_attach_stays():
    """The second of two interfaces is refused, and the first cannot be taken off again: it stays known."""
    pair()
    sw = Synwave()
    with stuck():
        r = sw.cmd("attach", "eth0", "lo", "--mode", "native", *SIZES, ok=(1,))
    check("has no native XDP" in r.stderr and "eth0: cannot take off" in r.stderr, r.stderr)
    equal([name for name, _, _ in ingress(sw)], ["eth0"], "in the registry")
    sw.owned |= owned(sw.pin, "srv")
    sw.cmd("detach", "--all")
    nothing_left(sw)
