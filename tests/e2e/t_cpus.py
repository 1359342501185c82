# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""CPUs that go and come: what was counted on one that is gone is still counted, and nothing is counted twice."""
import os
import threading

from frames import OPTIONS, SYN, ethernet, packet
from instance import Synwave, nothing_left
from lib import PATIENCE, Skip, check, equal, inside, scenario, until
from net import MAC, V4, listener, meet, pair, part, wire

CPUS = "/sys/devices/system/cpu/"
ROUND = 25  # connections on each CPU


def switch(cpu):
    return f"{CPUS}cpu{cpu}/online"


def numbers(text):
    """"0-2,5" -> {0, 1, 2, 5}"""
    found = set()
    for part_ in filter(None, text.strip().split(",")):
        first, _, last = part_.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def read(name):
    with open(CPUS + name) as f:
        return numbers(f.read())


def turn(cpu, on):
    try:
        with open(switch(cpu), "w") as f:
            f.write("1" if on else "0")
    except OSError as why:
        raise Skip(f"CPU {cpu} cannot be taken {'on' if on else 'off'} line: {why.strerror}")
    until(lambda: (cpu in read("online")) == on, f"CPU {cpu} to go {'on' if on else 'off'} line")


def all_on():
    """Whatever became of the test: those that can be switched and are present are on line again."""
    for cpu in read("present"):
        if os.access(switch(cpu), os.W_OK):
            with open(switch(cpu), "w") as f:
                f.write("1")


def pinned(cpu, work):
    """Does the work in a thread that runs on that CPU only; softirqs of what it sends run there, too."""
    bad = []

    def body():
        try:
            os.sched_setaffinity(0, {cpu})
            work()
        except BaseException as why:  # a thread's own would be lost
            bad.append(why)

    t = threading.Thread(target=body)
    t.start()
    t.join(PATIENCE * 4)
    if bad:
        raise bad[0]


def segments():
    """Those that the server's kernel took and sent, and those it sent again."""
    with inside("srv"), open("/proc/thread-self/net/snmp") as f:
        names, values = [line.split() for line in f if line.startswith("Tcp:")]
    k = dict(zip(names[1:], map(int, values[1:])))
    return k["InSegs"] + k["OutSegs"], k["RetransSegs"]


class Traffic:
    def __init__(self, sw):
        self.sw, self.server, self.begun, self.shot = sw, listener("srv", V4, 80), 0, 0
        self.zero, self.last = segments(), None

    def round(self, cpu):
        """Connections on the CPU, then what every reader must say of all rounds together."""
        def work():
            for i in range(ROUND):
                c, s = meet(self.server, "cli", V4)
                part(*((s, c) if i % 2 else (c, s)))

        pinned(cpu, work)
        self.begun += ROUND
        self.read()

    def read(self):
        n = self.begun
        stats = self.sw.expect(handshakes__started=n, handshakes__completed=n, teardowns__completed=n,
                               latency__synack_ack__count=lambda: n - self.repeated())
        took, again = segments()
        seen, at_least = sum(stats["segments"].values()), took - self.zero[0]
        check(at_least <= seen <= at_least + again - self.zero[1],
              f"{seen} segments, the kernel's {at_least} and {again - self.zero[1]} sent again")
        for group in ("segments", "handshakes", "teardowns") if self.last else ():
            for key, value in stats[group].items():
                check(key == "in_progress" or value >= self.last[group][key], f"{group}.{key} went back to {value}")
        service = next(s for s in stats["services"] if s["port"] == 80)
        equal((service["syn"], service["completed"]), (n + stats["handshakes"]["syn_retransmits"], n), "SYNs, completed")
        equal(self.scraped("synwave_handshakes_completed_total"), n, "handshakes completed, by export")
        equal(self.scraped('synwave_segments_total{kind="syn"}'), stats["segments"]["syn"], "SYNs, by export")
        self.last = stats

    def repeated(self):
        return self.sw.stats()["handshakes"]["synack_retransmits"]

    def scraped(self, series):
        return next(int(float(line.split()[-1])) for line in self.sw.cmd("export").stdout.splitlines()
                    if line.startswith(series + " "))


def guarded(sw, cpus):
    """The guard's verdicts are counted per CPU, too: SYNs of a denied source from each."""
    sw.cmd("guard", "set", "mode=enforce")
    sw.cmd("guard", "deny", "10.77.0.0/16")
    out, sent = wire("cli"), 0
    for cpu, count in cpus:
        def work(count=count, first=sent):
            for i in range(count):
                syn = packet(("10.77.1.1", 2000 + first + i), (V4.srv, 80), 1000 * i, 0, SYN, options=OPTIONS)
                out.send(ethernet(MAC["cli"], MAC["srv"], syn))

        pinned(cpu, work)
        sent += count
    out.close()
    return sent


def movable():
    """A CPU that can be switched off while another one stays."""
    online = sorted(read("online"))
    can = [cpu for cpu in online if os.access(switch(cpu), os.W_OK)]
    if len(online) < 2 or not can:
        raise Skip(f"CPUs {online}: none that can be taken off line")
    return can[-1], next(cpu for cpu in online if cpu != can[-1])


@scenario(limit=120, alone=True, restore=all_on)
def cpus_go_and_come():
    gone, stays = movable()
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="native")
    traffic = Traffic(sw)
    for cpu in (gone, stays):
        traffic.round(cpu)
    try:
        turn(gone, False)
        check(len(read("possible")) > len(read("online")), "as many CPUs on line as possible")
        traffic.read()
        traffic.round(stays)
        dropped = guarded(sw, [(stays, 30)])
        sw.expect(guard__dropped=dropped)
        turn(gone, True)
        sw.expect(guard__dropped=dropped, handshakes__completed=traffic.begun)
        dropped += guarded(sw, [(gone, 20), (stays, 10)])
        sw.expect(guard__dropped=dropped, guard__by_reason__deny=dropped)
        sw.cmd("guard", "set", "mode=off")
        sw.detach()
    finally:
        all_on()
    nothing_left(sw)


@scenario(limit=120, alone=True, restore=all_on)
def cpu_comes_later():
    """Attached while a CPU is off line: what it does when it has come counts."""
    gone, stays = movable()
    pair()
    sw = Synwave()
    try:
        turn(gone, False)
        sw.attach("eth0", mode="native")
        traffic = Traffic(sw)
        traffic.round(stays)
        turn(gone, True)
        for cpu in (gone, stays):
            traffic.round(cpu)
        turn(gone, False)
        traffic.round(stays)
        turn(gone, True)
        traffic.round(gone)
        sw.detach()
    finally:
        all_on()
    nothing_left(sw)
