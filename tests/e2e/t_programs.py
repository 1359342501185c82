# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Real servers and clients: nginx, python3's http.server, curl. And with one eye closed: --ingress-only."""
import os
import shutil
import socket
import subprocess
import sys
import threading

from instance import MODE_NAMES, Synwave, nothing_left, tally
from lib import Skip, check, equal, inside, run, scenario, until
from net import (FAMILIES, HERE, MAC, V4, V6, address, endpoint, half_open, listener, meet, neighbour, netns, netstat,
                 pair, part, refused, ss, sysctl, talk)

NGINX = """
daemon off; master_process off; pid {dir}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{
  access_log off; keepalive_timeout 0;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir};
  uwsgi_temp_path {dir}; scgi_temp_path {dir};
  server {{ {listen} location / {{ return 200 "hello\\n"; }} }}
}}
"""


def start(ns, *argv, **more):
    with inside(ns):
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, **more)


def nginx():
    path = shutil.which("nginx")
    if not path:
        raise Skip("nginx is not installed")
    home = "/run/nginx-swt"
    os.mkdir(home)
    with open(home + "/conf", "w") as f:
        f.write(NGINX.format(dir=home, listen=" ".join(f"listen {endpoint(f.srv, 80)};" for f in HERE)))
    return start("srv", path, "-p", home, "-c", home + "/conf")


def curl(url, count, answer):
    with inside("cli"):
        out = run("curl", "-sS", "--max-time", "20", "-H", "Connection: close", f"{url}/?[1-{count}]").stdout
    equal(out.count(answer), count, "answers that curl got")


@scenario(mode=MODE_NAMES, family=FAMILIES)
def programs(mode, f):
    """Default table sizes here."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode, small=False)
    host = f"[{f.srv}]" if f is V6 else f.srv
    servers = [nginx(), start("srv", sys.executable, "-u", "-m", "http.server", "8000", "--bind", f.srv,
                              "-d", "/run/netns", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    for port in (80, 8000):
        until(lambda: listens("srv", port), f"a listener on port {port}")
    curl(f"http://{host}:80", 60, "hello\n")
    curl(f"http://{host}:8000", 20, "<h1>Directory listing for")
    stats = sw.expect(handshakes__started=80, handshakes__completed=80, teardowns__started=80,
                      teardowns__completed=80, half_open=0, time_wait_local=lambda: ss("srv", "time-wait"),
                      time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"))
    equal(stats["handshakes"]["syn_retransmits"], netstat("cli", "TCPSynRetrans"), "SYN retransmissions")
    equal(stats["handshakes"]["synack_retransmits"], netstat("srv", "TCPSynRetrans"), "SYN-ACK retransmissions")
    again = sum(1 for r in sw.flows() if r["syn_retransmits"] or r["synack_retransmits"])
    for leg in ("syn_synack", "synack_ack"):
        latency = stats["latency"][leg]
        check(80 - again <= latency["count"] <= 80, f"samples of {leg}: {latency['count']}, retransmitted {again}")
        equal(sum(n for _, n in latency["buckets"]), latency["count"], f"sum of the buckets of {leg}")
        check(0 < latency["sum_ns"] < 80e9, f"sum of {leg}: {latency['sum_ns']}")
    services = {(v["addr"], v["port"]): v for v in stats["services"]}
    for port, n in ((80, 60), (8000, 20)):
        v = services.get((f.srv, port))
        check(v, f"no service {f.srv} {port} in {list(services)}")
        equal([v[k] for k in ("syn", "completed", "half_open", "refused")], [n, n, 0, 0], f"service on port {port}")
    for p in servers:
        p.kill()
        p.wait()
    sw.detach()
    nothing_left(sw)


def listens(ns, port):
    with inside(ns):
        return run("ss", "-Hltn", f"sport = {port}").stdout


@scenario(mode=MODE_NAMES, family=FAMILIES)
def ingress_only(mode, f):
    """Only what the clients send is seen: completed handshakes are inferred, nothing else is claimed."""
    pair()
    sw = Synwave()
    sw.attach("eth0", "--ingress-only", mode=mode)
    server = listener("srv", f, 80)
    for i in range(20):
        c, s = meet(server, "cli", f)
        part(*((s, c) if i % 2 else (c, s)))
    held = [meet(server, "cli", f) for _ in range(6)]
    stats = sw.expect(handshakes__started=26, handshakes__completed=26, handshakes__in_progress=0,
                      teardowns__started=20)  # whether they completed, only the server's FIN could tell
    equal(stats["segments"]["syn_ack"], 0, "SYN-ACKs seen")
    equal(stats["latency"]["syn_synack"]["count"], 0, "samples that nobody can have")
    half_open(f, 10, 80)
    stats = sw.expect(handshakes__started=36, handshakes__completed=26, handshakes__in_progress=10)
    equal(tally(sw.flows())["ESTABLISHED", "ESTABLISHED", "S0"], 6, "held")
    for r in sw.flows():
        equal((r["local"], r["syn_synack_ns"], r["server"]["window"], r["server"]["mss"]), (None,) * 4,
              "what cannot be known")
    for c, s in held:
        part(c, s)
    sw.expect(teardowns__started=26, time_wait_local=0)
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def client_side(mode):
    """Attached at the client: the same numbers, the other end is ours."""
    pair()
    sw = Synwave(ns="cli")
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    for i in range(12):
        c, s = meet(server, "cli", V4)
        part(*((s, c) if i < 5 else (c, s)))
    held = [meet(server, "cli", V4) for _ in range(3)]
    with inside("cli"):
        lonely = socket.socket()
    lonely.setblocking(False)
    neighbour("cli", "eth0", "10.9.0.77", MAC["ghost"])
    lonely.connect_ex(("10.9.0.77", 80))  # nobody answers: SYN_SENT
    sw.expect(time_wait_local=lambda: ss("cli", "time-wait"), half_open=0,
              time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"),
              states__local__ESTABLISHED=lambda: ss("cli", "established"), handshakes__started=16,
              handshakes__in_progress=1, states__local__SYN_SENT=lambda: ss("cli", "syn-sent"))
    equal({r["local"] for r in sw.flows()}, {"client"}, "local")
    equal(len(held), 3, "held")
    sw.detach(ns="cli")
    nothing_left(sw, spaces=("srv", "cli"))


def take(sock, size):
    got = bytearray()
    while len(got) < size:
        more = sock.recv(size - len(got))
        check(more, "end of stream")
        got += more
    return got


@scenario(mode=MODE_NAMES, family=FAMILIES)
def bulk(mode, f):
    """Tens of megabytes each way, as large segments: they pass, and they disturb nothing."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    c, s = meet(server, "cli", f)
    block = os.urandom(1 << 20)
    for a, b in ((c, s), (s, c)):
        sender = threading.Thread(target=lambda: [a.sendall(block) for _ in range(24)])
        sender.start()
        for i in range(24):
            check(take(b, len(block)) == block, f"megabyte {i} is not what was sent")
        sender.join()
    stats = sw.expect(states__local__ESTABLISHED=1)
    check(stats["segments"]["data"] > 100, f"data segments: {stats['segments']['data']}")
    equal({k: v for k, v in stats["events"].items() if v},
          {"syn_new": 1, "synack_new": 1, "completed": 1}, "events")
    part(c, s)
    sw.expect(handshakes__started=1, handshakes__completed=1, teardowns__completed=1, time_wait=1)
    sw.detach()
    nothing_left(sw)


@scenario(mode=["generic", "tc"], family=FAMILIES)
def loopback(mode, f):
    """Both ends are this host; every segment passes the egress hook and the ingress hook of one device."""
    netns("srv")
    address("srv", "lo", f.srv, 32 if f is V4 else 128)
    sw = Synwave()
    sw.attach("lo", mode=mode)
    server = listener("srv", f, 80)
    for i in range(10):
        c, s = meet(server, "srv", f)
        part(*((s, c) if i % 2 else (c, s)))
    held = [meet(server, "srv", f) for _ in range(4)]
    refused("srv", f, 81)
    stats = sw.expect(handshakes__started=15, handshakes__completed=14, handshakes__refused=1,
                      teardowns__completed=10, half_open=0, time_wait=lambda: ss("srv", "time-wait"),
                      time_wait_local=lambda: ss("srv", "time-wait"),
                      states__local__ESTABLISHED=lambda: ss("srv", "established"))
    equal(stats["handshakes"]["syn_retransmits"], 0, "SYN retransmissions")
    equal(stats["handshakes"]["synack_retransmits"], 0, "SYN-ACK retransmissions")
    equal(len(held), 4, "held")
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def fast_open(mode, f):
    """TCP Fast Open: the second connection brings its data along with the SYN."""
    pair()
    for ns in ("srv", "cli"):
        sysctl(ns, ipv4__tcp_fastopen=3)
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    with inside("srv"):
        server = socket.socket(f.af)
    server.bind((f.srv, 80))
    server.setsockopt(socket.IPPROTO_TCP, 23, 16)  # TCP_FASTOPEN
    server.listen(16)
    for i in range(4):
        with inside("cli"):
            c = socket.socket(f.af)
        c.sendto(b"hello", 0x20000000, (f.srv, 80))  # MSG_FASTOPEN
        s, _ = server.accept()
        equal(s.recv(64), b"hello", "what the server got")
        s.sendall(b"answer")
        equal(c.recv(64), b"answer", "what the client got")
        part(*((s, c) if i % 2 else (c, s)))
    check(netstat("cli", "TCPFastOpenActive") >= 3, "the kernel did not do Fast Open")
    stats = sw.expect(handshakes__started=4, handshakes__completed=4, teardowns__completed=4,
                      time_wait_local=lambda: ss("srv", "time-wait"),
                      time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"))
    equal(stats["handshakes"]["syn_retransmits"], 0, "SYN retransmissions")
    equal(tally(sw.flows()), {("TIME_WAIT", "CLOSED", "SF"): 2, ("CLOSED", "TIME_WAIT", "SF"): 2}, "flows")
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def same_port_again(mode, f):
    """A client calls again from the same port, over a connection that is in TIME_WAIT: a new one, the old is gone."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    for i in range(1, 6):
        with inside("cli"):
            c = socket.socket(f.af)
        c.settimeout(10)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        c.bind((f.cli, 5555))
        c.connect((f.srv, 80))
        s, _ = server.accept()
        s.settimeout(10)
        talk(c, s)
        equal(sw.flow(5555)["conn_state"], "S1", "the new connection")
        equal(ss("srv", "time-wait"), 0, "the kernel's TIME_WAIT")
        sw.expect(time_wait=0, states__local__ESTABLISHED=1)
        part(s, c)
        sw.expect(handshakes__started=i, handshakes__completed=i, teardowns__completed=i, time_wait_local=1)
    equal(len(sw.flows()), 1, "flows")
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def crossing_syns(mode, f):
    """Simultaneous open: srv's SYN is on its way (and lost) when cli's arrives."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    a, b = (f.srv, 4444), (f.cli, 5555)
    neighbour("srv", "eth0", f.cli, MAC["ghost"])
    socks = {}
    for ns, own, peer in (("srv", a, b), ("cli", b, a)):
        with inside(ns):
            socks[ns] = socket.socket(f.af)
        socks[ns].bind(own)
        socks[ns].setblocking(False)
        socks[ns].connect_ex(peer)
        if ns == "srv":
            sw.expect(handshakes__in_progress=1, states__local__SYN_SENT=1)
            neighbour("srv", "eth0", f.cli, MAC["cli"])
    sw.expect(handshakes__started=1, handshakes__completed=1,
              states__local__ESTABLISHED=lambda: ss("srv", "established"), states__client__ESTABLISHED=1, states__server__ESTABLISHED=1)
    for s in socks.values():
        s.settimeout(10)
    talk(socks["cli"], socks["srv"])
    r = sw.flow(4444)
    equal([r[k] for k in ("simultaneous_open", "local", "conn_state")], [True, "client", "S1"], "the record")
    part(socks["srv"], socks["cli"])
    sw.expect(teardowns__completed=1, time_wait_local=1, time_wait=1)
    sw.detach()
    nothing_left(sw)
