"""The kernel emulator: netem on the egress of each interface, packets redirected between them.

A child process holds one netlink socket, sends each change's whole state at its time, and reads
it back. Unlike the userspace emulator it cannot say which packet was the first to meet a
change, nor how late a packet left.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import select
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from bench.errors import InputError
from bench.network.impairment import CLEAN, DIRECTIONS, Direction, Impairment
from bench.network.laws import FATES
from bench.network.seeds import seed_sequence
from instruments.emulators.base import (
    ChangeReport,
    DirectionReport,
    EmulatorError,
    EmulatorReport,
    LinkPlan,
    direction_report,
)
from instruments.emulators.netem_state import NetemState, netem_state, refusal
from instruments.emulators.qdiscs import TrafficControl
from instruments.emulators.timing import set_timer_slack
from instruments.emulators.workers import Workers, send_event

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


class _Direction:
    """One direction of one link: its qdisc, its states in time, its counters."""

    def __init__(self, plan: LinkPlan, direction: Direction, packet_bytes: int | None) -> None:
        self.link, self.direction = plan.link, direction
        self.arrive, self.leave = plan.ends(direction)
        self.times = [t_ns for t_ns, _ in plan.changes(direction)]
        self.impairments = [impairment for _, impairment in plan.changes(direction)]
        self.states = [
            netem_state(impairment, seed=_seed(plan, direction, number), packet_bytes=packet_bytes)
            for number, impairment in enumerate(self.impairments)
        ]
        self.reports = [ChangeReport(t_ns) for t_ns in self.times]
        self.index = 0
        self.sent = self.waiting = self._dropped = 0
        self.fates = dict.fromkeys(FATES.values(), 0)
        self._acting = CLEAN

    def count(self, sent: int, dropped: int, waiting: int) -> None:
        """Take over the qdisc's counters; its drops go to what the state in force decides."""
        self.fates[_fate(self._acting)] += dropped - self._dropped
        self.sent, self._dropped, self.waiting = sent, dropped, waiting

    def act(self, impairment: Impairment) -> None:
        self._acting = impairment

    def report(self, cpu_s: float) -> DirectionReport:
        accepted = self.sent + self.waiting
        return DirectionReport(
            link=self.link,
            direction=self.direction,
            rx=accepted + sum(self.fates.values()),
            tx=self.sent,
            accepted=accepted,
            fates=self.fates,
            in_flight=self.waiting,
            changes=tuple(self.reports),
            cpu_s=cpu_s,
            scheduler="kernel",
        )


def _fate(impairment: Impairment) -> str:
    if not impairment.up:
        return "down"
    return "queue_drop" if impairment.loss is None else "lost"


def _seed(plan: LinkPlan, direction: Direction, number: int) -> int:
    sequence = seed_sequence(plan.seed, f"{plan.link}/{direction}", "netem", str(number))
    return int(sequence.generate_state(1, np.uint64)[0])


class _Driver:
    """Sets up the qdiscs, changes them in time, takes them away."""

    def __init__(self, plans: Sequence[LinkPlan], t0_ns: int, packet_bytes: int | None) -> None:
        self._t0 = t0_ns
        self._plans = plans
        self._directions = [
            _Direction(plan, direction, packet_bytes) for plan in plans for direction in DIRECTIONS
        ]
        self._control = TrafficControl()
        self.notes: list[str] = []

    def set_up(self) -> None:
        control = self._control
        for direction in self._directions:
            direction.index = control.index(direction.leave)
            control.add_netem(direction.index, netem_state(CLEAN))
        means = {
            control.join(control.index(plan.patient_ifname), control.index(plan.doctor_ifname))
            for plan in self._plans
        }
        self.notes.append(f"joined by {', '.join(sorted(means))}")

    def restore(self) -> None:
        self._control.restore()
        self._control.close()

    def follow(self, stop: select.poll) -> None:
        """Apply every change at its time until told to stop."""
        events = sorted(
            (t_ns, number, position)
            for number, direction in enumerate(self._directions)
            for position, t_ns in enumerate(direction.times)
        )
        for t_ns, group in groupby(events, key=lambda event: event[0]):
            if not self._sleep_until(t_ns + self._t0, stop):
                return
            self._change([(self._directions[number], position) for _, number, position in group])
        stop.poll()

    def _sleep_until(self, monotonic_ns: int, stop: select.poll) -> bool:
        """Sleep; False when told to stop."""
        while True:
            left_ns = monotonic_ns - time.monotonic_ns()
            if left_ns <= 3_000_000:
                break
            if stop.poll(min(1000.0, left_ns / 1e6 - 2)):
                return False
        if left_ns > 0:
            time.sleep(left_ns * 1e-9)
        return True

    def _change(self, due: list[tuple[_Direction, int]]) -> None:
        """Command all that is due at one time, then read all of it back."""
        now = time.monotonic_ns
        commanded = []
        for direction, position in due:
            begin = now()
            self._control.change_netem(direction.index, direction.states[position])
            commanded.append((begin - self._t0, now() - self._t0))
        for (direction, position), (begin, end) in zip(due, commanded, strict=True):
            state, *counters = self._control.netem(direction.index)
            # Drops between the change and this reading are taken for the state before.
            direction.count(*counters)
            direction.act(direction.impairments[position])
            same = _same(direction.states[position], state)
            direction.reports[position] = ChangeReport(
                direction.times[position], begin, end, read_back=same
            )

    def report(self, cpu_s: float) -> dict[str, Any]:
        """Counters at the end, as data."""
        for direction in self._directions:
            _, *counters = self._control.netem(direction.index)
            direction.count(*counters)
        share = cpu_s / len(self._directions) if self._directions else 0.0
        reports = [asdict(direction.report(share)) for direction in self._directions]
        return {"directions": reports, "notes": self.notes}


def _same(sent: NetemState, read: NetemState) -> bool:
    seeds = read.seed is None or read.seed == sent.seed
    return seeds and sent.visible() == read.visible()


def _drive(
    plans: Sequence[LinkPlan],
    t0_ns: int,
    packet_bytes: int | None,
    stop_fd: int,
    report_fd: int,
) -> None:
    """The child's job."""
    set_timer_slack()
    stop = select.poll()
    stop.register(stop_fd, select.POLLIN)
    driver = _Driver(plans, t0_ns, packet_bytes)
    try:
        driver.set_up()
        send_event(report_fd, "ready")
        before = time.process_time()
        driver.follow(stop)
        report = driver.report(time.process_time() - before)
    finally:
        driver.restore()
    send_event(report_fd, "report", report=report)


class NetemEmulator:
    """An :class:`instruments.emulators.base.Emulator` that lets the kernel's netem do the work.

    Start it in the namespace that holds the plans' interfaces, from a thread that outlives it.

    Args:
        packet_bytes: allows rates, by naming the frame size for which netem's queue, which is
            bounded in packets, is as long as the impairment says.
    """

    def __init__(self, packet_bytes: int | None = None) -> None:
        self._packet_bytes = packet_bytes
        self._workers = Workers()

    def start(self, plans: Sequence[LinkPlan], t0_monotonic_ns: int) -> None:
        """Put netem on every interface of the plans, join them, and follow the plans.

        Raises:
            InputError: a plan holds what netem would distort.
            EmulatorError: the kernel has no netem, or no right to use it.
        """
        refused = refused_plan(plans, self._packet_bytes)
        if refused is not None:
            raise refused
        job = partial(_drive, tuple(plans), t0_monotonic_ns, self._packet_bytes)
        self._workers.add("netem driver", job)
        self._workers.wait_ready()

    def stop(self) -> EmulatorReport:
        """Take the qdiscs away and give the counters.

        Raises:
            EmulatorError: the driver died, could not apply a change, or does not answer.
        """
        (report,) = self._workers.stop()
        notes = list(report["notes"])
        if self._packet_bytes is not None:
            notes.append(f"queues bounded for frames of {self._packet_bytes} bytes")
        directions = tuple(direction_report(entry) for entry in report["directions"])
        return EmulatorReport("netem", directions, tuple(notes))


def refused_plan(plans: Sequence[LinkPlan], packet_bytes: int | None = None) -> InputError | None:
    """Why netem cannot follow ``plans`` faithfully, or None when it can."""
    for plan in plans:
        for direction in DIRECTIONS:
            for _, impairment in plan.changes(direction):
                refused = refusal(impairment, packet_bytes)
                if refused is not None:
                    return refused
    return None


@dataclass(frozen=True, slots=True)
class Capability:
    """What this kernel offers for the netem emulator, and the reason where it does not.

    ``redirect``: how two interfaces can be joined (matchall, u32, bridge). ``seed``: whether
    netem takes a seed (Linux 6.6 and later).
    """

    netem: bool
    seed: bool
    redirect: str | None
    kernel: str
    reason: str = ""


def probe() -> Capability:
    """Try netem in a network namespace that exists only for the trial.

    Nothing stays behind (the kernel may have loaded its module).
    """
    workers = Workers()
    workers.add("netem probe", _probe)
    try:
        workers.wait_ready()
        return Capability(**workers.stop()[0])
    except EmulatorError as error:
        return Capability(False, False, None, platform.release(), str(error))


def _probe(stop_fd: int, report_fd: int) -> None:
    send_event(report_fd, "ready")
    answer = Capability(False, False, None, platform.release())
    values = asdict(answer)
    try:
        _enter_namespace()
        control = TrafficControl()
        with contextlib.closing(control):
            index = control.index("lo")
            control.add_netem(index, netem_state(Impairment(), seed=1))
            values["netem"] = True
            values["seed"] = control.netem(index)[0].seed == 1
            values["redirect"] = control.join(index, index)
    except (EmulatorError, OSError) as error:
        values["reason"] = str(error)
    send_event(report_fd, "report", report=values)


def _enter_namespace() -> None:
    """Leave for a new network namespace, through a user namespace where needed.

    Raises:
        EmulatorError: not possible here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        raise EmulatorError(f"no network namespaces here ({reason})")
    maps = (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1"))
    for name, text in maps:
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
