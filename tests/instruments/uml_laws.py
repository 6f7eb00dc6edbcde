"""Runs inside User-Mode Linux: frames through the netem emulator while its state is changed.

Where a law can be shown without a clock, by counts and by order, it is.
"""

import socket
import threading
import time

from bench.errors import InputError
from bench.network.impairment import CLEAN, Delay, FourState, Impairment, Reordering, Slot
from conftest import Wire
from instruments.emulators.base import LinkPlan
from instruments.emulators.netem import NetemEmulator

MS = 1_000_000
SIZE = 100
WITHIN_S = 10.0
TRIES = 5
SENDING_NS, LATE_NS = 120 * MS, 150 * MS  # what a burst may take, and a packet may be late
CHAIN = {"p13": 0.05, "p31": 0.3, "p32": 0.1, "p23": 0.8, "p14": 0.2}
TWO_POINTS = tuple([-8192] * 1024 + [8192] * 3072)

# name: (impairment, frames)
BURSTS = {
    "duplication": (Impairment(duplication=0.25), 4000),
    "four-state": (Impairment(loss=FourState(**CHAIN)), 4000),
    "bit errors": (Impairment(ber=0.02 / (8 * SIZE)), 3000),
    "reordering": (Impairment(Delay(0.4), "allow", reordering=Reordering(0.25, 5)), 1000),
    "table": (Impairment(Delay(0.2, "table", 0.1, TWO_POINTS), "allow"), 1000),
    "paretonormal": (Impairment(Delay(0.5, "paretonormal", 0.25), "allow"), 2000),
    "slot": (Impairment(slot=Slot(0.2, 0.2)), 200),
    "queue": (Impairment(rate_bps=0.2e6, queue_packets=7, queue_s=1.0), 60),
}

AT_ONCE = ("reordering", "table", "slot", "queue")  # sent before the first is due
IN_TIME = ("table", "paretonormal", "slot")


class Rig:
    """A wire with a running emulator, and what is sent and received through it."""

    def __init__(self):
        self.wire = Wire()
        self.emulator = NetemEmulator(packet_bytes=SIZE)
        self.t0 = time.monotonic_ns()
        link = LinkPlan("primary", "fa", "fb", ((0, CLEAN),), (), seed=3)
        self.emulator.start([link], self.t0)
        self.number = 0
        self.late_ns = 0  # at worst, of this process, which does little but wait

    def state(self):
        """The emulator's report of the direction, so far."""
        return self.emulator.snapshot().direction("primary", "to-doctor")

    def change(self, impairment):
        """Change the state and wait until it is confirmed; its report."""
        t_ns = self.emulator.change("primary", "to-doctor", impairment)
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            last = self.state().changes[-1]
            if last.t_ns == t_ns and last.confirmed_ns is not None:
                return [last.commanded_ns - t_ns, last.read_back]
            time.sleep(0.005)
        return None

    def burst(self, count):
        """Send frames at once; ``[number, made]`` of each."""
        sent = []
        for _ in range(count):
            frame = self.wire.frame(self.number, SIZE)
            self.wire.a.send(frame)
            sent.append([self.number, int.from_bytes(frame[18:26], "big"), frame])
            self.number += 1
        return sent

    def arrive(self):
        """All that arrives until nothing waits: ``(number, made, arrived, frame)``."""
        looked = time.monotonic_ns()
        deadline, waiting = looked + WITHIN_S * 1_000_000_000, True
        while waiting and looked < deadline:
            time.sleep(0.005)
            waiting = self.state().in_flight > 0
            before, looked = looked, time.monotonic_ns()
            self.late_ns = max(self.late_ns, looked - before - 5 * MS)
        return [row[:4] for row in self.wire.received(self.wire.b)]

    def counters(self):
        state = self.state()
        names = ("rx", "tx", "accepted", "copies", "skipped", "in_flight")
        return {**{name: getattr(state, name) for name in names}, **state.fates}

    def end(self, drain=False):
        return self.emulator.stop(drain)


def _difference(now, before):
    return {name: value - before[name] for name, value in now.items()}


def _bits(frame, other):
    pairs = zip(frame, other, strict=True)
    return sum((a ^ b).bit_count() for a, b in pairs)


def kept(attempt):
    """The result of an attempt during which this machine kept time, else of the last one."""
    tries, result = 0, {"kept_time": False}
    while not result["kept_time"] and tries < TRIES:
        tries, result = tries + 1, attempt()
    return {**result, "tries": tries}


def one_burst(rig, name):
    impairment, count = BURSTS[name]
    before = rig.counters()
    changed = rig.change(impairment)
    rig.late_ns, begin = 0, time.monotonic_ns()
    sent = rig.burst(count)
    sending_ns = time.monotonic_ns() - begin
    arrived = rig.arrive()
    first = sent[0][0]
    result = {
        "changed": changed,
        "sending_ns": sending_ns,
        "late_ns": rig.late_ns,
        "kept_time": (name not in AT_ONCE or sending_ns < SENDING_NS)
        and (name not in IN_TIME or rig.late_ns < LATE_NS),
        "order": [number - first for number, *_ in arrived],
        "delays": [at - made for _, made, at, _ in arrived],
        "since_first": [at - sent[0][1] for *_, at, _ in arrived],
        "counters": _difference(rig.counters(), before),
    }
    if name == "bit errors":
        result["order"] = []
        pairs = zip(arrived, sent, strict=True) if len(arrived) == len(sent) else ()
        result["wrong_bits"] = [_bits(got[3], made[2]) for got, made in pairs]
    return result


def slots(rig, count=40):
    """Single frames, each long after the slot of the one before: how long each waited."""
    changed, late_ns, waits = rig.change(Impairment(slot=Slot(0.010, 0.040))), 0, []
    for _ in range(count):
        ((_, made, _),) = rig.burst(1)
        rig.late_ns = 0
        arrived = rig.arrive()
        late_ns = max(late_ns, rig.late_ns)
        waits += [at - made for *_, at, _ in arrived]
    kept_time = late_ns < LATE_NS
    return {"changed": changed, "waits": waits, "late_ns": late_ns, "kept_time": kept_time}


def dense(rig, count=100, gap_ns=5 * MS):
    """Changes that are told beforehand, close together; looked at while they go on."""
    start = time.monotonic_ns() - rig.t0 + 200 * MS
    planned = []
    for step in range(count):
        impairment = Impairment(Delay(0.001 * (step + 1), "uniform", 0.0005))
        at_ns = start + step * gap_ns
        planned.append(rig.emulator.change("primary", "to-doctor", impairment, at_ns))
    looks = 0
    while not rig.state().changes[-1].confirmed_ns and looks < 1000:
        looks += 1
        time.sleep(0.01)
    found = [
        [each.t_ns, each.commanded_ns, each.confirmed_ns, each.read_back]
        for each in rig.state().changes[-count:]
    ]
    return {"planned": planned, "found": found, "looks": looks}


def places(rig):
    """More frames wait than a clean state has places, then others come."""
    rig.change(Impairment(Delay(0.6)))
    first = rig.burst(1500)[0][0]
    waited = rig.state().in_flight
    changed = rig.change(CLEAN)
    rig.burst(100)
    still = rig.state().in_flight
    order = [number - first for number, *_ in rig.arrive()]
    return {"order": order, "kept_time": waited == 1500 and still > 1000, "changed": changed}


def refusals(rig):
    """What a running emulator refuses, and that it goes on."""
    said = []
    planned = rig.emulator.change(
        "primary", "to-doctor", CLEAN, time.monotonic_ns() - rig.t0 + 3600 * 1000 * MS
    )
    for impairment, at_ns in (
        (Impairment(hold=True), None),
        (CLEAN, planned - 1),
        (CLEAN, None),
    ):
        try:
            rig.emulator.change("primary", "to-doctor", impairment, at_ns)
            said.append(None)
        except InputError as error:
            said.append(error.field)
    return said


def drained(clear):
    """Frames that wait for 400 ms, and others that come while the emulator drains."""
    rig = Rig()
    changed = rig.change(Impairment(Delay(0.4)))
    rig.burst(50)
    waiting = rig.state().in_flight

    def more():
        for _ in range(20):
            time.sleep(0.01)
            rig.burst(1)

    thread = threading.Thread(target=more)
    thread.start()
    report = rig.end(drain=True)
    in_time = not thread.is_alive()
    thread.join()
    there = [number for number, *_ in rig.wire.received(rig.wire.b)]
    left = report.direction("primary", "to-doctor").in_flight
    clear()
    return {
        "changed": changed,
        "there": there,
        "in_flight": left,
        "sent": rig.number,
        "kept_time": in_time and waiting == 50,
    }


class Hurried:
    """Who gives a drain a second."""

    def __init__(self):
        self.sock, self.other = socket.socketpair()
        self.told = []

    def fileno(self):
        return self.sock.fileno()

    def draining(self, waiting, within_s):
        self.told.append([waiting, within_s])
        threading.Timer(1.0, self.other.send, (b"!",)).start()


def cut(drain):
    """Frames that wait longer than anybody does."""
    rig = Rig()
    rig.change(Impairment(Delay(30.0)))
    rig.burst(20)
    begin = time.monotonic()
    patience = Hurried() if drain else None
    report = rig.emulator.stop(drain, patience)
    took_s = time.monotonic() - begin
    there = len(rig.wire.received(rig.wire.b))
    state = report.direction("primary", "to-doctor")
    return {
        "there": there, "in_flight": state.in_flight, "balanced": state.balanced, "s": took_s,
        "told": patience and patience.told, "notes": report.notes,
    }  # fmt: skip


def laws(clear):
    """Everything; ``clear()`` takes the interfaces of the last wire away."""
    rig = Rig()
    result = {name: kept(lambda name=name: one_burst(rig, name)) for name in BURSTS}
    result["slots"] = kept(lambda: slots(rig))
    result["places"] = kept(lambda: places(rig))
    result["dense"] = dense(rig)
    result["refused"] = refusals(rig)
    report = rig.end()
    result["notes"] = report.notes
    state = report.direction("primary", "to-doctor")
    result["read_back"] = [change.read_back for change in state.changes[:-1]]
    result["balanced"] = state.balanced
    clear()
    result["drained"] = kept(lambda: drained(clear))
    result["cut"] = [cut(drain=False)]
    clear()
    result["cut"].append(cut(drain=True))
    clear()
    return result
