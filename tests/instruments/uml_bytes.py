"""Runs inside User-Mode Linux: what we send for a netem qdisc, and what the ``tc`` program sends.

Both are read off the kernel's own monitor of netlink messages (nlmon).
"""

import os
import socket
import statistics
import subprocess
import time

from pyroute2 import IPRoute

from bench.network.delays import measured, unit_table
from bench.network.impairment import (
    CLEAN,
    Delay,
    FourState,
    GilbertElliott,
    Impairment,
    Reordering,
    Slot,
    bernoulli,
)
from instruments.emulators.netem_law import netem_state
from instruments.emulators.netem_messages import HANDLE, change_message
from instruments.emulators.netem_state import NetemState, SlotState, attributes, pack
from instruments.emulators.qdiscs import TrafficControl

MONITOR = "nlmon0"
TABLE = measured((0.011 + 0.0001 * (number % 97) ** 1.5) for number in range(1000)).table
RATE = "rate 100gbit"  # forbids overtaking


def part(percent):
    return round(percent / 100 * 0xFFFFFFFF)


def of(impairment, packet_bytes=None):
    return netem_state(impairment, seed=99, packet_bytes=packet_bytes)


# (state, the same for the tc program apart from the limit)
SAME = [
    (of(CLEAN), f"delay 0ms {RATE}"),
    (of(Impairment(Delay(0.020), order="allow")), "delay 20ms"),
    (
        of(Impairment(Delay(0.020, "normal", 0.001), loss=bernoulli(0.125))),
        f"delay 20ms 1ms distribution normal loss random 12.5% {RATE}",
    ),
    (
        of(Impairment(Delay(0.020, "uniform", 0.005))),
        f"delay 20ms 5ms distribution uniform {RATE}",
    ),
    (
        of(Impairment(Delay(0.020, "pareto", 0.005))),
        f"delay 20ms 5ms distribution pareto {RATE}",
    ),
    (
        of(Impairment(Delay(0.020, "paretonormal", 0.005), order="allow")),
        "delay 20ms 5ms distribution paretonormal",
    ),
    (
        of(Impairment(Delay(0.043296, "table", 0.0108, TABLE), order="allow")),
        "delay 43.296ms 10.8ms distribution measured",
    ),
    (
        of(Impairment(Delay(0.012352), loss=GilbertElliott(0.01, 0.25, 0.0, 0.75))),
        f"delay 12.352ms loss gemodel 1% 25% 75% 0% {RATE}",
    ),
    (
        of(Impairment(loss=FourState(p13=0.1, p31=0.3, p32=0.2, p23=0.5, p14=0.05))),
        f"delay 0ms loss state 10% 30% 20% 50% 5% {RATE}",
    ),
    (
        of(Impairment(Delay(0.005), rate_bps=8e6, queue_s=0.1), 1476),
        "delay 5ms rate 8mbit 24",
    ),
    (
        of(Impairment(rate_bps=8e6, queue_packets=16, framing_bytes=38)),
        "delay 0ms rate 8mbit 38",
    ),
    (of(Impairment(up=False)), f"delay 0ms loss random 100% {RATE}"),
    (of(Impairment(duplication=0.125)), f"delay 0ms duplicate 12.5% {RATE}"),
    (
        of(Impairment(Delay(0.05), "allow", reordering=Reordering(0.25, 5))),
        "delay 50ms reorder 25% gap 5",
    ),
    (of(Impairment(slot=Slot(0.02, 0.03))), f"delay 0ms slot 20ms 30ms {RATE}"),
    # What no impairment asks for, or not in such round figures
    (NetemState(corrupt=part(2.5)), "delay 0ms corrupt 2.5%"),
    (NetemState(loss=part(10), ecn=1), "delay 0ms loss random 10% ecn"),
    (
        NetemState(slot=SlotState(20_000_000, 30_000_000, 5, 4000)),
        "delay 0ms slot 20ms 30ms packets 5 bytes 4000",
    ),
    (
        NetemState(
            slot=SlotState(0, 0, 3, 0, 10_000_000, 2_000_000), slot_table=unit_table("paretonormal")
        ),
        "delay 0ms slot distribution paretonormal 10ms 2ms packets 3",
    ),
    (
        NetemState(
            latency_ns=10_000_000,
            jitter_ns=1_000_000,
            loss=part(10),
            duplicate=part(5),
            reorder=part(20),
            gap=1,
            corrupt=part(1),
            correlations=(part(25), part(15), part(30), part(10), part(50)),
        ),
        "delay 10ms 1ms 25% loss random 10% 15% duplicate 5% 30% reorder 20% 10% corrupt 1% 50%",
    ),
    (
        NetemState(rate=1_000_000, overhead=24, cell_size=53, cell_overhead=5),
        "delay 0ms rate 8mbit 24 53 5",
    ),
]


def write_tables(folder):
    """The tables that iproute2 does not bring, where ``tc`` finds them; it needs them all there."""
    for name, table in (("uniform", unit_table("uniform")), ("measured", TABLE)):
        with open(f"{folder}/{name}.dist", "w") as file:
            file.write("# by hand\n" + "\n".join(map(str, table)) + "\n")
    for root in ("/usr/lib/tc", "/usr/lib/x86_64-linux-gnu/tc", "/usr/lib64/tc"):
        for name in ("normal", "pareto", "paretonormal"):
            if os.path.exists(f"{root}/{name}.dist"):
                with open(f"{root}/{name}.dist") as source:
                    text = source.read()
                with open(f"{folder}/{name}.dist", "w") as file:
                    file.write(text)


class Monitor:
    """Sees the netlink messages of this network namespace."""

    def __init__(self):
        with IPRoute() as route:
            route.link("add", ifname=MONITOR, kind="nlmon")
            route.link("set", index=route.link_lookup(ifname=MONITOR)[0], state="up")
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
        self._socket.bind((MONITOR, 3))
        self._socket.setblocking(False)

    def sent(self):
        """The options in the netem requests since, as hexadecimal text."""
        found = []
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return found
            kind, flags = int.from_bytes(data[4:6], "little"), int.from_bytes(data[6:8], "little")
            if kind == 36 and flags & 1:  # RTM_NEWQDISC, NLM_F_REQUEST
                body = attributes(data[36:])
                if body[1] == b"netem\0":
                    found.append(body[2].hex())

    def close(self):
        self._socket.close()
        with IPRoute() as route:
            route.link("del", index=route.link_lookup(ifname=MONITOR)[0])


def run(command, **settings):
    done = subprocess.run(
        command.split(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **settings},
    )
    return done.returncode, done.stdout


def against_tc(tables):
    """For each setting what both send, and the kernel's state after each.

    Ours is a change of the state before; theirs a new qdisc.
    """
    write_tables(tables)
    control, monitor, rows = TrafficControl(), Monitor(), []
    ours, theirs = control.index("pa"), control.index("pb")
    control.add_netem(ours, of(Impairment(Delay(0.5, "uniform", 0.1))))
    for state, arguments in SAME:
        monitor.sent()
        control.qdiscs.change(change_message(ours, pack(state)))
        our_bytes = monitor.sent()
        command = f"tc qdisc add dev pb root handle 1: netem limit {state.limit} {arguments}"
        failed, said = run(command, TC_LIB_DIR=tables)
        row = {"tc": arguments, "sent": our_bytes, "tc_sent": monitor.sent()}
        row["seed"] = state.seed
        row["tc_failed"] = said if failed else ""
        row["kernel"] = control.qdiscs.read(ours)[0].hex()
        if not failed:
            row["tc_kernel"] = control.qdiscs.read(theirs)[0].hex()
            run("tc qdisc del dev pb root")
        read, _ = control.qdiscs.state(ours)
        row["read_back"] = read.visible() == state.visible()
        rows.append(row)
    shown = run("tc qdisc show dev pa")[1]
    monitor.close()
    control.restore()
    control.close()
    return {"rows": rows, "shown": shown}


def costs():
    """Median time of a change, µs: a prebuilt message, one with its table packed, pyroute2, tc."""
    control = TrafficControl()
    index = control.index("pa")
    plain = of(Impairment(Delay(0.02)))
    control.add_netem(index, plain)
    message = change_message(index, pack(plain))
    jitter = change_message(index, pack(of(Impairment(Delay(0.02, "normal", 0.001)))))
    with IPRoute() as route:
        ways = {
            "prebuilt": lambda: control.qdiscs.change(message),
            "prebuilt with a table": lambda: control.qdiscs.change(jitter),
            "read back": lambda: control.qdiscs.state(index),
            "pyroute2": lambda: route.tc(
                "change", "netem", index, HANDLE, delay=20_000, limit=4000
            ),
        }
        found = {name: _median_us(way, 100) for name, way in ways.items()}
    command = "tc qdisc change dev pa root handle 1: netem delay 20ms"
    found["tc"] = _median_us(lambda: run(command), 10)
    control.restore()
    control.close()
    return found


def _median_us(way, count):
    times = []
    for _ in range(count):
        begin = time.monotonic_ns()
        way()
        times.append((time.monotonic_ns() - begin) / 1e3)
    return statistics.median(times)
