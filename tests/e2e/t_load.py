# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The loads of tests/load, at the size of seconds: the same code as `make load-handshakes`, `load-flood`, `load-live`
and `soak`, which docs/reliability.md tells of."""
import os
import sys

from lib import ROOT, scenario

sys.path += [ROOT + "/tests/load", ROOT + "/tests/bench"]


def told(load, found):
    print("\n".join(load.lines(found)), flush=True)
    return next(load.lines(found))


@scenario(mode=("tc", "native"), limit=240)
def load_handshakes(mode):
    import handshakes
    return told(handshakes, handshakes.play(20000, mode=mode, inflight=64, flows=1 << 17,
                                            timeouts=("time_wait=1s", "closed=1s")))


@scenario(limit=240)
def load_losses():
    """More in flight than the ring before native XDP holds."""
    import handshakes
    r = handshakes.play(30000, mode="native", inflight=4096, flows=1 << 17, timeouts=("time_wait=1s", "closed=1s"))
    told(handshakes, r)
    return f"{r['kernel']['lost']} segments lost, {r['open']} RSTs among them"


@scenario(limit=240, alone=True)
def load_flood():
    import flooded
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    return told(flooded, flooded.play(8, pps=50000))


@scenario(limit=240)
def load_live():
    import live
    return told(live, live.play(8000, flows=1 << 17, half_open=8192))


@scenario(limit=300)
def load_soak():
    import soak
    return told(soak, soak.play(12, rate=50, hold=3000, every=8))
