"""Runs inside User-Mode Linux: the netem emulator on a kernel that has netem.

Prints one line ``NETEM-RESULT {json}``; ``test_netem_uml.py`` judges it.
"""

import glob
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(os.path.dirname(HERE))]

from pyroute2 import IPRoute  # noqa: E402

from bench.network.impairment import CLEAN, Delay, GilbertElliott, Impairment, bernoulli  # noqa: E402
from conftest import Wire, enter_namespace  # noqa: E402
from instruments.emulators.base import LinkPlan  # noqa: E402
from instruments.emulators.netem import NetemEmulator, probe  # noqa: E402
from instruments.emulators.netem_state import netem_state  # noqa: E402
from instruments.emulators.qdiscs import TrafficControl  # noqa: E402

MS = 1_000_000
GAP_NS = 2 * MS
PORT = 40_000

# (impairment, the same for the tc program, packet_bytes)
SAME = [
    (Impairment(Delay(0.020), order="allow"), "limit 4000 delay 20ms", None),
    (
        Impairment(Delay(0.020, "normal", 0.001), loss=bernoulli(0.125)),
        "limit 4800 delay 20ms 1ms distribution normal loss random 12.5% rate 100gbit",
        None,
    ),
    (
        Impairment(Delay(0.012352), loss=GilbertElliott(0.01, 0.25, 0.0, 0.75)),
        "limit 2471 delay 12.352ms loss gemodel 1% 25% 75% 0% rate 100gbit",
        None,
    ),
    (
        Impairment(Delay(0.005), rate_bps=8e6, queue_s=0.1),
        "limit 71 delay 5ms rate 8mbit 24",
        1476,
    ),
    (Impairment(up=False), "limit 1000 delay 0ms loss random 100% rate 100gbit", None),
    (CLEAN, "limit 1000 delay 0ms rate 100gbit", None),
]


def run(command):
    done = subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def insmod(*names):
    (root,) = glob.glob(f"/usr/lib/uml/modules/{os.uname().release}/kernel")
    for name in names:
        run(f"insmod {root}/{name}.ko")


def options(route, ifname):
    index = route.link_lookup(ifname=ifname)[0]
    for entry in route.get_qdiscs(index):
        if entry["index"] == index and entry.get_attr("TCA_KIND") == "netem":
            return bytes(entry.get_attr("TCA_OPTIONS")).hex()
    return None


def against_tc():
    """The kernel's state after our message and after the tc program's, as bytes."""
    control, rows = TrafficControl(), []
    with IPRoute() as route:
        index = control.index("pa")
        control.add_netem(index, netem_state(Impairment(Delay(0.5, "uniform", 0.1))))
        run("tc qdisc add dev pb root handle 1: netem delay 1ms")
        for impairment, arguments, packet_bytes in SAME:
            state = netem_state(impairment, seed=99, packet_bytes=packet_bytes)
            control.change_netem(index, state)
            run(f"tc qdisc replace dev pb root handle 2: netem {arguments}")
            read, *_ = control.netem(index)
            rows.append(
                {
                    "tc": arguments,
                    "ours": options(route, "pa"),
                    "theirs": options(route, "pb"),
                    "read_back": read.visible() == state.visible(),
                }
            )
        shown = run("tc qdisc show dev pa")
    control.restore()
    control.close()
    run("tc qdisc del dev pb root")
    return {"rows": rows, "shown": shown}


def joined(link):
    """By what the two interfaces were joined, whether a frame passes, and what is left after."""
    control = TrafficControl()
    means = control.join(control.index("fa"), control.index("fb"))
    time.sleep(0.05)
    for _ in range(5):
        link.a.send(link.frame(1))
        link.b.send(link.frame(2))
    time.sleep(0.1)
    there = {number for number, *_ in link.received(link.b)}
    back = {number for number, *_ in link.received(link.a)}
    control.restore()
    time.sleep(0.05)
    link.a.send(link.frame(3))
    time.sleep(0.05)
    leaks = len(link.received(link.b))
    control.close()
    return {"means": means, "there": 1 in there, "back": 2 in back, "leaks": leaks}


class Host:
    """A forked host in its own namespace that gets ``ifname`` and does ``body(t0)``.

    It lives until :meth:`end`: interfaces go with their namespace.
    """

    def __init__(self, ifname, address, body):
        said, self.say = os.pipe()
        heard, say = os.pipe()
        self.heard = os.fdopen(heard)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.say)
            with os.fdopen(say, "w") as out:
                try:
                    enter_namespace()
                    print(flush=True, file=out)
                    os.read(said, 8)
                    with IPRoute() as route:
                        index = route.link_lookup(ifname=ifname)[0]
                        route.addr("add", index=index, address=address, prefixlen=24)
                        route.link("set", index=index, state="up")
                    print(flush=True, file=out)
                    answer = body(struct.unpack("q", os.read(said, 8))[0])
                except BaseException:
                    answer = {"failed": traceback.format_exc()}
                print(json.dumps(answer), flush=True, file=out)
            os.read(said, 8)
            os._exit(0)
        os.close(say)
        os.close(said)
        self.heard.readline()
        with IPRoute() as route:
            route.link("set", index=route.link_lookup(ifname=ifname)[0], net_ns_pid=self.pid)
        os.write(self.say, bytes(8))
        self.heard.readline()

    def start(self, t0):
        os.write(self.say, struct.pack("q", t0))

    def answer(self):
        return json.loads(self.heard.readline())

    def end(self):
        os.write(self.say, bytes(8))
        os.waitpid(self.pid, 0)


def sender(bursts):
    def body(t0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(("10.77.0.2", PORT))
        number = 0
        for start, count, gap, size in bursts:
            for step in range(count):
                wait = t0 + start + step * gap - time.monotonic_ns()
                if wait > 0:
                    time.sleep(wait * 1e-9)
                head = struct.pack("!IQ", number, time.monotonic_ns())
                sock.send(head + bytes(size - len(head)))
                number += 1
        return number

    return body


def receiver(end):
    def body(t0):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("10.77.0.2", PORT))
        rows = []
        while True:
            left = (t0 + end - time.monotonic_ns()) * 1e-9
            if left <= 0:
                return rows
            sock.settimeout(left)
            try:
                data = sock.recv(2048)
            except TimeoutError:
                return rows
            number, made = struct.unpack_from("!IQ", data)
            rows.append([number, made - t0, time.monotonic_ns() - made])

    return body


def flow(changes, bursts, end, packet_bytes=None):
    """A UDP flow from a patient host to a doctor host through the emulator."""
    wire = Wire()
    wire.a.close()
    wire.b.close()
    doctor = Host("pb", "10.77.0.2", receiver(end))
    patient = Host("pa", "10.77.0.1", sender(bursts))
    emulator = NetemEmulator(packet_bytes=packet_bytes)
    plan = LinkPlan("primary", "fa", "fb", ((0, CLEAN),), changes, seed=3)
    t0 = time.monotonic_ns() + 1000 * MS
    emulator.start([plan], t0)
    late = time.monotonic_ns() - t0
    doctor.start(t0)
    patient.start(t0)
    rows, sent = doctor.answer(), patient.answer()
    report = emulator.stop().to_json()
    left = run("tc qdisc show")
    patient.end()
    doctor.end()
    for name in ("fa", "fb"):
        subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)
    return {"rows": rows, "sent": sent, "report": report, "left": left, "start_late_ns": late}


def impaired_flow():
    """Several states one after the other; the host side knows them by the time of sending."""
    jitter = Delay(0.020, "normal", 0.001)
    changes = (
        (300 * MS, Impairment(jitter, loss=bernoulli(0.1))),
        (1800 * MS, Impairment(jitter, order="allow")),
        (2500 * MS, Impairment(Delay(0.010, "uniform", 0.002))),
        (3000 * MS, Impairment(up=False)),
        (3300 * MS, Impairment(Delay(0.005), loss=GilbertElliott(0.05, 0.25))),
        (4800 * MS, CLEAN),
    )
    return flow(changes, [(0, 2500, GAP_NS, 200)], 5300 * MS)


def limited_flow():
    """A burst of 20 frames of 1042 bytes onto 1 Mbit/s with a queue of 50 ms."""
    changes = ((100 * MS, Impairment(rate_bps=1e6, queue_s=0.05)),)
    bursts = [(0, 2, 40 * MS, 200), (200 * MS, 20, 0, 1000)]
    return flow(changes, bursts, 700 * MS, packet_bytes=1042)


def main():
    signal.alarm(80)
    insmod("drivers/net/veth")
    result = {"kernel": os.uname().release}
    capability = probe()
    result["before"] = [capability.netem, capability.reason]
    link = Wire()
    insmod("net/sched/sch_netem", "net/sched/sch_ingress", "net/sched/act_mirred")
    insmod("net/sched/cls_u32")
    result["joins"] = [joined(link)]
    insmod("net/sched/cls_matchall")
    result["joins"].append(joined(link))
    capability = probe()
    result["after"] = [capability.netem, capability.redirect, capability.seed, capability.reason]
    result["tc"] = against_tc()
    run("ip link del pa")
    run("ip link del pb")
    result["flow"] = impaired_flow()
    result["limited"] = limited_flow()
    return result


if __name__ == "__main__":
    try:
        answer = main()
    except BaseException:
        answer = {"failed": traceback.format_exc()}
    print(f"\nNETEM-RESULT {json.dumps(answer)}", flush=True)
