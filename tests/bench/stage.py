# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the benchmarks with namespaces share: a place of their own, which ends with them, and the machine in words."""
import ctypes
import json
import os
import platform
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, HERE + "/../e2e"]
sys.dont_write_bytecode = True
import instance  # noqa: E402, F401 (for the benchmarks)
import lib  # noqa: E402
import net  # noqa: E402, F401

PROGRAM = os.environ.get("SYNWAVE", lib.ROOT + "/build/synwave")


def isolate():
    """This program once more, in mount, process and network namespaces that end with this process, however it ends."""
    if os.environ.get("BENCH_INSIDE") == str(os.getppid()):
        return
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if os.geteuid():
        sys.exit("bench: needs root (namespaces and BPF)")
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", sys.executable,
            os.path.abspath(sys.argv[0]), *sys.argv[1:]]

    def die_too():
        lib.libc.prctl(1, signal.SIGKILL)

    os.environ["BENCH_INSIDE"] = "0"  # inside, the parent is not visible
    sys.exit(subprocess.run(argv, preexec_fn=die_too).returncode)


def prepare():
    for kind, where in (("tmpfs", "/run"), ("bpf", "/sys/fs/bpf")):
        if lib.libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
            sys.exit(f"bench: mount {kind} on {where}: {os.strerror(ctypes.get_errno())}")
    os.mkdir("/run/netns")
    with open(PROGRAM, "rb") as source, open(os.open(lib.SYNWAVE, os.O_WRONLY | os.O_CREAT, 0o755), "wb") as f:
        f.write(source.read())


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    return {"kernel": platform.release(), "cpu": model, "cpus": len(os.sched_getaffinity(0)),
            "load": [round(x, 2) for x in os.getloadavg()]}


def write(path, out):
    with open(path, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")
