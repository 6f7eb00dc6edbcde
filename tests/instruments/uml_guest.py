"""Runs inside User-Mode Linux: the netem emulator on a kernel that has netem.

Prints one line ``NETEM-RESULT {json}``; ``test_netem_uml.py`` judges it.
"""

import glob
import json
import os
import select
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
from uml_bytes import against_tc, costs  # noqa: E402
from uml_laws import laws  # noqa: E402

from bench.network.impairment import CLEAN, Delay, GilbertElliott, Impairment, bernoulli  # noqa: E402
from conftest import Wire, clock_shift_ns, enter_namespace  # noqa: E402
from instruments.emulators.base import LinkPlan  # noqa: E402
from instruments.emulators.netem import NetemEmulator, probe  # noqa: E402
from instruments.emulators.qdiscs import TrafficControl  # noqa: E402

MS = 1_000_000
PORT = 40_000
ADDRESS = {"pa": "10.77.0.1", "pb": "10.77.0.2"}
HARDWARE = {"pa": "02:00:00:00:00:0a", "pb": "02:00:00:00:00:0b"}

# Around each change nothing is sent: every packet surely meets one state, on a slow host too.
# The later tries leave more room, as a host needs it that stalls now and then.
BEFORE_NS, LATER_BEFORE_NS, AFTER_NS = 200 * MS, 600 * MS, 400 * MS
TICK_NS = 10 * MS
# From setting up to the start. The emulator's own start, with its guardian process, takes 1.4 s.
LEAD_NS, LATER_LEAD_NS = 2500 * MS, 5000 * MS
TRIES, SHORT_TRIES = 5, 8
# What the sender, which does nothing but keep time, may be late, else nothing is shown.
MEDIAN_NS, SPARE_NS = 3 * MS, 20 * MS
LIMITED_WORST_NS = 100 * MS

TABLES = "/run/tables"


def run(command):
    done = subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def insmod(*names):
    (root,) = glob.glob(f"/usr/lib/uml/modules/{os.uname().release}/kernel")
    for name in names:
        run(f"insmod {root}/{name}.ko")


def written():
    """What a check may write to, apart from memory: nothing of the host's."""
    found = []
    for folder in ("/", "/tmp", "/var/tmp", "/etc", HERE):
        try:
            open(f"{folder}/written-by-a-guest", "w").close()
            found.append(folder)
        except OSError:
            continue
    return found


def joined(link):
    """By what the two interfaces were joined, whether a frame passes, and what is left after."""
    control = TrafficControl()
    means = control.join(control.index("fa"), control.index("fb"))
    link.a.send(link.frame(1))
    link.b.send(link.frame(2))
    there = link.wait_received(link.b, bool)
    back = link.wait_received(link.a, bool)
    control.restore()
    link.a.send(link.frame(3))
    time.sleep(0.1)
    leaks = sum(number == 3 for number, *_ in link.received(link.b))
    control.close()
    numbers = [[number for number, *_ in part] for part in (there, back)]
    return {"means": means, "there": numbers[0] == [1], "back": numbers[1] == [2], "leaks": leaks}


class Host:
    """A forked host in its own namespace that gets ``ifname`` and does ``prepare()(t0, told)``.

    Its neighbour is entered by hand: nothing but the flow is sent. It lives until :meth:`end`:
    interfaces go with their namespace.
    """

    def __init__(self, ifname, prepare):
        told, self.tell = os.pipe()
        heard, say = os.pipe()
        self.heard = os.fdopen(heard)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.tell)
            with os.fdopen(say, "w") as out:
                try:
                    enter_namespace()
                    print(flush=True, file=out)
                    os.read(told, 8)
                    set_up(ifname)
                    body = prepare()
                    print(flush=True, file=out)
                    answer = body(struct.unpack("q", os.read(told, 8))[0], told)
                except BaseException:
                    answer = {"failed": traceback.format_exc()}
                print(json.dumps(answer), flush=True, file=out)
            os.read(told, 8)
            os._exit(0)
        os.close(say)
        os.close(told)
        self.heard.readline()
        with IPRoute() as route:
            route.link("set", index=route.link_lookup(ifname=ifname)[0], net_ns_pid=self.pid)
        self.go_on()
        self.heard.readline()

    def go_on(self, number=0):
        os.write(self.tell, struct.pack("q", number))

    def answer(self):
        answer = json.loads(self.heard.readline())
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer

    def end(self):
        self.go_on()
        os.waitpid(self.pid, 0)


def set_up(ifname):
    """Give the interface its addresses and its neighbour, and no other talk."""
    for name in ("all", "default"):
        path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
        if os.path.exists(path):
            with open(path, "w") as file:
                file.write("1")
    (other,) = set(ADDRESS) - {ifname}
    with IPRoute() as route:
        index = route.link_lookup(ifname=ifname)[0]
        route.link("set", index=index, address=HARDWARE[ifname])
        route.addr("add", index=index, address=ADDRESS[ifname], prefixlen=24)
        route.link("set", index=index, state="up")
        route.neigh(
            "replace", dst=ADDRESS[other], lladdr=HARDWARE[other], ifindex=index, state="permanent"
        )


def sender(plan):
    """Sends by ``plan`` ((t_ns, size) in order; size 0 only looks at the clock).

    Answers ``[number or -1, planned, made, gone]`` for each, ns of session time.
    """

    def prepare():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect((ADDRESS["pb"], PORT))

        def body(t0, told):
            rows, number = [], 0
            for planned, size in plan:
                wait = t0 + planned - time.monotonic_ns()
                if wait > 0:
                    time.sleep(wait * 1e-9)
                made = time.monotonic_ns()
                if size:
                    sock.send(struct.pack("!I", number) + bytes(size - 4))
                gone = time.monotonic_ns()
                rows.append([number if size else -1, planned, made - t0, gone - t0])
                number += size > 0
            return {"sent": rows}

        return body

    return prepare


def receiver():
    """Answers ``[number, arrived]`` by the kernel's stamps, once told to."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, 33, 4 << 20)  # SO_RCVBUFFORCE
    sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
    sock.bind((ADDRESS["pb"], PORT))
    sock.setblocking(False)

    def body(t0, told):
        shift, rows, last = clock_shift_ns(), [], False
        while not last:
            last = bool(select.select([told], [], [], 0.1)[0])
            while True:
                try:
                    data, extra, _, _ = sock.recvmsg(2048, 256)
                except BlockingIOError:
                    break
                seconds, ns = struct.unpack("qq", extra[0][2])
                arrived = seconds * 1_000_000_000 + ns + shift - t0
                rows.append([struct.unpack_from("!I", data)[0], arrived])
        os.read(told, 8)
        return {"rows": rows}

    return body


def schedule(phases, before_ns):
    """Changes, the sender's plan, and the numbers of each phase, of phases one after the other.

    A phase is (name, impairment, packets, gap in ms, size).
    """
    changes, plan, numbers, t_ns, number = [], [], {}, 0, 0
    for name, impairment, count, gap_ms, size in phases:
        changes.append((t_ns, impairment))
        start = t_ns + AFTER_NS
        plan += [(tick, 0) for tick in range(t_ns, start, TICK_NS)]
        plan += [(start + step * gap_ms * MS, size) for step in range(count)]
        numbers[name] = [number, number + count]
        end = start + max(1, count * gap_ms) * MS + before_ns
        plan += [(tick, 0) for tick in range(end - before_ns, end, TICK_NS)]
        number += count
        t_ns = end
    plan += [(tick, 0) for tick in range(t_ns, t_ns + 500 * MS, TICK_NS)]
    return tuple(changes), plan, numbers


def flow(phases, lead_ns, before_ns, worst_ns, packet_bytes):
    """A UDP flow from a patient host to a doctor host through the emulator, once."""
    changes, plan, numbers = schedule(phases, before_ns)
    wire = Wire()
    wire.a.close()
    wire.b.close()
    doctor = Host("pb", receiver)
    patient = Host("pa", sender(plan))
    emulator = NetemEmulator(packet_bytes=packet_bytes)
    link = LinkPlan("primary", "fa", "fb", ((0, CLEAN),), changes, seed=3)
    t0 = time.monotonic_ns() + lead_ns
    emulator.start([link], t0)
    start_late = time.monotonic_ns() >= t0
    doctor.go_on(t0)
    patient.go_on(t0)
    sent = patient.answer()["sent"]
    doctor.go_on()
    rows = doctor.answer()["rows"]
    report = emulator.stop().to_json()
    left = run("tc qdisc show")
    patient.end()
    doctor.end()
    for name in ("fa", "fb"):
        subprocess.run(["ip", "link", "del", name], stderr=subprocess.DEVNULL)
    late = sorted(gone - planned for _, planned, _, gone in sent)
    median, worst = late[len(late) // 2], late[-1]
    return {
        "phases": numbers,
        "changes": [t_ns for t_ns, _ in changes],
        "sent": [row for row in sent if row[0] >= 0],
        "ticks": [[planned, gone - planned] for number, planned, _, gone in sent if number < 0],
        "rows": rows,
        "report": report,
        "left": left,
        "late_ns": [median, worst],
        "kept_time": not start_late and median <= MEDIAN_NS and worst <= worst_ns,
    }


def kept_flow(phases, worst_ns=None, packet_bytes=None, most=TRIES):
    """A flow during which this machine kept time; the last one tried where it never did."""
    tries, result = 0, {"kept_time": False}
    while not result["kept_time"] and tries < most:
        early = tries < 2
        before_ns = BEFORE_NS if early else LATER_BEFORE_NS
        lead_ns = LEAD_NS if early else LATER_LEAD_NS
        worst = before_ns - SPARE_NS if worst_ns is None else worst_ns
        tries, result = tries + 1, flow(phases, lead_ns, before_ns, worst, packet_bytes)
    return {**result, "tries": tries}


def impaired_flow():
    """Several states one after the other."""
    delay = Delay(0.050, "normal", 0.005)
    return kept_flow(
        [
            ("before", CLEAN, 20, 10, 200),
            ("jitter", Impairment(delay, loss=bernoulli(0.25)), 200, 10, 200),
            ("overtaking", Impairment(delay, order="allow"), 200, 5, 200),
            ("uniform", Impairment(Delay(0.050, "uniform", 0.010)), 60, 20, 200),
            ("down", Impairment(up=False), 30, 10, 200),
            ("bursts", Impairment(Delay(0.020), loss=GilbertElliott(0.1, 0.25)), 400, 5, 200),
            ("after", CLEAN, 20, 10, 200),
        ]
    )


def limited_flow():
    """A burst of 20 frames of 1042 bytes onto 0.2 Mbit/s with a queue of 250 ms."""
    limited = Impairment(rate_bps=0.2e6, queue_s=0.25)
    return kept_flow([("burst", limited, 20, 0, 1000)], LIMITED_WORST_NS, 1042, SHORT_TRIES)


def clear():
    """Take the wire away."""
    run("ip link del pa")
    run("ip link del pb")


def main():
    signal.alarm(165)
    insmod("drivers/net/veth", "drivers/net/nlmon")
    os.mkdir(TABLES)
    result = {"kernel": os.uname().release, "written": written()}
    capability = probe()
    result["before"] = [capability.netem, capability.reason]
    link = Wire()
    insmod("net/sched/sch_netem", "net/sched/sch_ingress", "net/sched/act_mirred")
    insmod("net/sched/cls_u32")
    result["joins"] = [joined(link)]
    insmod("net/sched/cls_matchall")
    result["joins"].append(joined(link))
    capability = probe()
    result["after"] = [capability.netem, capability.redirect, capability.reason]
    result["keeps"] = capability.keeps
    begin = time.monotonic()
    result["tc"] = against_tc(TABLES)
    result["costs_us"] = costs()
    clear()
    result["laws"] = laws(clear)
    result["took_s"] = [time.monotonic() - begin]
    result["flow"] = impaired_flow()
    result["limited"] = limited_flow()
    result["took_s"].append(time.monotonic() - begin)
    return result


if __name__ == "__main__":
    try:
        answer = main()
    except BaseException:
        answer = {"failed": traceback.format_exc()}
    print(f"\nNETEM-RESULT {json.dumps(answer)}", flush=True)
