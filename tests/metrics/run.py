# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""In namespaces of its own (metrics.sh makes them): prepares two hosts, runs the tests of a suite, counts."""
import importlib
import os
import shutil
import sys

from tools import TESTS, World
import instance
import lib
import net
from lib import Fail, Skip, check

SUITES = {  # in this order
    "metrics": ("values", "clients", "page", "browser", "crowd", "life"),
    "deploy": ("prometheus", "kubernetes"),
}


def prepare():
    lib.check(lib.libc.mount(b"none", b"/", None, 0x44000, None) == 0, "private mounts")
    for kind, where in ((b"tmpfs", b"/run"), (b"bpf", b"/sys/fs/bpf")):
        check(lib.libc.mount(kind, where, kind, 0, None) == 0, f"mount {kind}")
    os.mkdir("/run/netns")
    shutil.copy(os.environ["SYNWAVE"], lib.SYNWAVE)
    net.pair()
    net.ip("srv", "link", "set", "lo", "up")


def main(suite):
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    for module in SUITES[suite]:
        importlib.import_module(module)
    count = {"passed": 0, "failed": 0, "skipped": 0}
    prepare()
    w = World()
    w.sw = instance.Synwave("swm")
    for one in TESTS:
        name = suite + ": " + one.__name__.replace("_", " ")
        try:
            note = one(w)
            print(f"ok - {name}" + (f" ({note})" if note else ""), flush=True)
            count["passed"] += 1
        except Skip as why:
            print(f"skip - {name}: {why}", flush=True)
            count["skipped"] += 1
        except Exception as why:  # the others still run
            at = why.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename.startswith(os.path.dirname(__file__)):
                at = at.tb_next
            kind = "" if isinstance(why, Fail) else type(why).__name__ + ": "
            print(f"not ok - {name}: line {at.tb_lineno}: {kind}{why}", flush=True)
            count["failed"] += 1
    print(suite + ": " + ", ".join(f"{n} {word}" for word, n in count.items()))
    return 1 if count["failed"] else 0


sys.exit(main(sys.argv[1]))
