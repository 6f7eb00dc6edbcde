"""Carries trials out, in a network namespace of the caller's own: sender, two taps, emulator."""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroute2 import IPRoute

from bench.benches.base import BenchError
from bench.benches.fidelity.trial import LEAST_FRAME_BYTES, LINK, MOST_FRAME_BYTES, Seen, Trial
from bench.benches.local import kernel
from bench.benches.local.awake import processors_awake
from bench.benches.local.channel import Receiver, Sender
from bench.benches.local.emulation import emulate
from bench.benches.local.layout import address, interface
from bench.benches.local.ring import PacketRing
from bench.benches.local.tap import Streams, Tap, TapPoint
from bench.benches.local.topology import Topology
from bench.devices.wire import HEADER, MAGIC, VERSION
from bench.network.impairment import CLEAN, DIRECTIONS, Direction
from bench.network.scenario import Side
from bench.sessions.packets import ROW, TAPS
from instruments.emulators import timing
from instruments.emulators.base import EmulatorReport, LinkPlan, direction_report

PORT, STREAM = 40_000, 1
HEADERS_BYTES = 14 + 20 + 8
"""Ethernet, IPv4 and UDP."""

_RING_SLOTS = 65_536
_SPIN_NS = 60_000
_PRIORITY = 1
_ENDS_WITHIN_S = 10.0
_LAST_WORDS_S = 5.0
_READ_BYTES = 1 << 18


def sides(direction: Direction) -> tuple[Side, Side]:
    """The sender's side and the receiver's."""
    return ("patient", "doctor") if direction == "to-doctor" else ("doctor", "patient")


@dataclass(frozen=True, slots=True)
class Watch:
    """How stalls are looked for: a sleeper on each core wakes every ``every_ns``.

    A stall is where it woke ``stall_ns`` late. ``priority``: as :func:`timing.prefer_timing`.
    """

    every_ns: int = 500_000
    stall_ns: int = 150_000
    priority: int = _PRIORITY


class Stage:
    """Trials one after the other, each on interfaces of its own. Root in its namespaces only."""

    def __init__(self, watch: Watch = Watch()) -> None:
        self._watch = watch
        self._ipr = IPRoute()
        self._serial = 0

    def carry_out(self, trial: Trial) -> Seen:
        """Run a trial.

        Raises:
            InputError: the emulator would distort an impairment.
            BenchError: a process failed; its traceback is in the message.
            OSError: the host does not allow it.
        """
        self._serial += 1
        with contextlib.ExitStack() as stack:
            stack.enter_context(processors_awake())
            topology = Topology(self._ipr, 1, self._serial)
            stack.callback(topology.close)
            rings = {side: _ring(topology, side, stack) for side in sides(trial.direction)}
            near, far = sides(trial.direction)
            sink = _socket(topology, far, stack)
            sink.bind((address(0, far), PORT))
            source = _socket(topology, near, stack)
            source.connect((address(0, far), PORT))
            return _run(trial, topology, rings, source, self._watch, stack)

    def close(self) -> None:
        """Give the netlink socket back."""
        self._ipr.close()


def _ring(topology: Topology, side: Side, stack: contextlib.ExitStack) -> PacketRing:
    with topology.inside(side):
        ring = PacketRing(interface(side, 0), slots=_RING_SLOTS)
    stack.callback(ring.close)
    return ring


def _socket(topology: Topology, side: Side, stack: contextlib.ExitStack) -> socket.socket:
    with topology.inside(side):
        return stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))


def _run(
    trial: Trial,
    topology: Topology,
    rings: dict[Side, PacketRing],
    source: socket.socket,
    watch: Watch,
    stack: contextlib.ExitStack,
) -> Seen:
    points = [TapPoint(ring, TAPS.index(side), 0, 0, None) for side, ring in rings.items()]
    wire = topology.wires[0]
    ways = {way: trial.changes if way == trial.direction else ((0, CLEAN),) for way in DIRECTIONS}
    plan = LinkPlan(
        LINK,
        wire.patient_end,
        wire.doctor_end,
        to_patient=ways["to-patient"],
        to_doctor=ways["to-doctor"],
        seed=trial.seed,
    )
    t0_ns = time.monotonic_ns() + trial.lead_ns
    streams = Streams.of([("trial", PORT, STREAM)])
    jobs: dict[str, Callable[[Sender], None]] = {
        "tap": lambda out: Tap(points, streams, out, t0_ns).run(trial.end_ns),
        "emulator": lambda out: emulate(trial.backend, [plan], t0_ns, trial.end_ns, out),
        "sender": partial(_send, source, trial, t0_ns),
    }
    for core in sorted(os.sched_getaffinity(0)) if trial.watched else ():
        jobs[f"watch {core}"] = partial(_look, watch, core, t0_ns, trial.end_ns)
    gc.collect()
    gc.freeze()
    children = {name: _Child(name, job, stack) for name, job in jobs.items()}
    gc.unfreeze()
    _gather(children, t0_ns + trial.end_ns + int(_ENDS_WITHIN_S * 1e9))
    return _seen(trial, children, t0_ns)


class _Child:
    """A forked process of a trial and what it has said."""

    def __init__(
        self, name: str, job: Callable[[Sender], None], stack: contextlib.ExitStack
    ) -> None:
        self.name = name
        self.said: dict[str, Any] = {}
        self.rows: list[bytes] = []
        self.ended = False
        self._receiver = Receiver()
        self.sock, theirs = socket.socketpair()
        stack.enter_context(self.sock)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _live(job, theirs, parent)
        theirs.close()
        stack.callback(self._end)

    def hear(self) -> None:
        """Read what it says.

        Raises:
            BenchError: it failed.
        """
        data = self.sock.recv(_READ_BYTES)
        self.ended = not data
        for message, blob in self._receiver.feed(data):
            if "error" in message:
                raise BenchError(f"the {self.name} failed: {message['error']}")
            if "rows" in message:
                self.rows.append(blob)
            else:
                self.said.update(message)
        if self.ended and "done" not in self.said:
            raise BenchError(f"the {self.name} ended in the middle of a trial")

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _live(job: Callable[[Sender], None], sock: socket.socket, parent: int) -> None:
    """A child's whole life; never returns."""
    try:
        kernel.die_with_parent(parent)
        timing.set_timer_slack()
        gc.disable()
        out = Sender(sock)
        try:
            job(out)
        except BaseException:
            out.send({"error": traceback.format_exc()})
        out.drain(_LAST_WORDS_S)
    finally:
        os._exit(0)


def _gather(children: dict[str, _Child], deadline_ns: int) -> None:
    """Hear all children until each has ended.

    Raises:
        BenchError: one failed, or did not end in time.
    """
    while running := {child.sock: child for child in children.values() if not child.ended}:
        left_s = (deadline_ns - time.monotonic_ns()) * 1e-9
        ready = select.select(list(running), [], [], max(0.0, left_s))[0]
        if not ready:
            names = ", ".join(child.name for child in running.values())
            raise BenchError(f"not done in time: {names}")
        for sock in ready:
            running[sock].hear()


def _seen(trial: Trial, children: dict[str, _Child], t0_ns: int) -> Seen:
    rows = np.frombuffer(b"".join(children["tap"].rows), dtype=ROW)
    rows = rows[rows["direction"] == DIRECTIONS.index(trial.direction)]
    near, far = (rows[rows["tap"] == TAPS.index(side)] for side in sides(trial.direction))
    tap, sender = children["tap"].said["done"], children["sender"].said["done"]
    said = children["emulator"].said["done"]
    report = EmulatorReport(
        said["backend"],
        tuple(direction_report(entry) for entry in said["directions"]),
        tuple(said["notes"]),
    )
    ready = [child.said["ready"] for child in children.values()]
    stalls = [child.said["done"]["stalls"] for name, child in children.items() if "watch" in name]
    return Seen(
        near=near,
        far=far,
        report=report,
        tap_drops=tap["drops"],
        foreign=tap["foreign"],
        clock_step_s=tap["clock_step_ns"] * 1e-9,
        late_start=max(ready) >= t0_ns,
        scheduling=sender["scheduling"],
        stalls_ns=_joined([pair for part in stalls for pair in part]),
    )


def _joined(stalls: list[list[int]]) -> NDArray[np.int64]:
    """Intervals in ascending order, those that overlap made one; shape (k, 2)."""
    found: list[list[int]] = []
    for begin, end in sorted(stalls):
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _payloads(sizes: list[int]) -> Iterator[bytearray]:
    head = HEADER.pack(MAGIC, VERSION, STREAM, 0, 0, 0, 0)
    made = {size: bytearray(head.ljust(size - HEADERS_BYTES, b"\0")) for size in set(sizes)}
    return (made[size] for size in sizes)


def _send(source: socket.socket, trial: Trial, t0_ns: int, out: Sender) -> None:
    """Send every packet at its time, or at once where that is past.

    Raises:
        ValueError: a frame is too small for its number, or larger than Ethernet's.
    """
    sizes = trial.sizes.tolist()
    if sizes and not LEAST_FRAME_BYTES <= min(sizes) <= max(sizes) <= MOST_FRAME_BYTES:
        raise ValueError(f"frames have {LEAST_FRAME_BYTES} to {MOST_FRAME_BYTES} bytes")
    scheduling = timing.prefer_timing(_PRIORITY)
    now, pause = time.monotonic_ns, time.sleep
    number_at = struct.Struct("!I").pack_into
    place = len(MAGIC) + 2
    send = source.send
    out.send({"ready": now()})
    plan = zip((trial.send_ns + t0_ns).tolist(), _payloads(sizes), strict=True)
    for number, (due, payload) in enumerate(plan):
        number_at(payload, place, number)
        left = due - now()
        if left > _SPIN_NS:
            pause((left - _SPIN_NS) * 1e-9)
        while now() < due:
            pass
        send(payload)
    out.send({"done": {"scheduling": scheduling}})


def _look(watch: Watch, core: int, t0_ns: int, end_ns: int, out: Sender) -> None:
    """Sleep again and again on one core; tell when it woke late, ns of session time."""
    os.sched_setaffinity(0, {core})
    timing.prefer_timing(watch.priority)
    stalls = []
    now, last = time.monotonic_ns, t0_ns + end_ns
    out.send({"ready": now()})
    due = now()
    while due < last:
        due = max(due + watch.every_ns, now())
        time.sleep(max(0, due - now()) * 1e-9)
        woke = now()
        if woke - due > watch.stall_ns:
            stalls.append([due - t0_ns, woke - t0_ns])
    out.send({"done": {"stalls": stalls}})
