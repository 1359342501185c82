# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""SYNs and answers that somebody forges on connections of this host's clients, and on half-open ones."""
import socket

import lib
from frames import ACK, OPTIONS, PSH, SYN, ethernet, packet
from instance import Synwave, nothing_left
from lib import equal, inside, scenario, until
from net import FAMILIES, MAC, deaf, hearing, listener, pair, part, talk, wire
from t_trust import HOOKS
from t_trust_table import forged_on_the_living, isns


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_syn_and_answer_to_a_client(mode, f):
    """The same, with the client here: its own new SYN does."""
    forged_on_the_living(mode, f, "cli", "srv")


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_on_the_half_open(mode, f):
    """A connection that waits for its last ACK stays what it is, whatever SYN and answer are forged on it."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    w, server = wire("cli"), listener("srv", f, 80)
    with inside("cli"):
        c = socket.socket(f.af)
    deaf(c)
    c.bind((f.cli, 0))
    c.setblocking(False)
    c.connect_ex((f.srv, 80))
    sw.expect(half_open=1)
    port = c.getsockname()[1]
    x, y, before = (f.cli, port), (f.srv, 80), isns(sw.flow(port))
    for n, l3 in enumerate((packet(x, y, 7, 0, SYN, options=OPTIONS), packet(y, x, 9, 8, SYN | ACK, options=OPTIONS),
                            packet(x, y, 8, 10, ACK), packet(y, x, 10, 8, PSH | ACK, b"data"),
                            packet(y, x, 3, 0, SYN, options=OPTIONS), packet(x, y, 7, 4, SYN | ACK))):
        seen = sum(sw.stats()["segments"].values())
        w.send(ethernet(MAC["cli"], MAC["srv"], l3))
        until(lambda: sum(sw.stats()["segments"].values()) > seen, "the forged segment to be counted")
        r = sw.flow(port)
        equal((r["client"]["state"], r["server"]["state"], isns(r)), ("SYN_SENT", "SYN_RCVD", before),
              f"the half-open connection after forged segment {n}")
    hearing(c)
    c.settimeout(lib.PATIENCE)
    s, _ = server.accept()
    s.settimeout(lib.PATIENCE)
    talk(c, s)
    sw.expect(half_open=0, handshakes__started=1, handshakes__completed=1, states__local__ESTABLISHED=1)
    part(c, s)
    sw.detach()
    nothing_left(sw)
