"""The process behind the netem emulator: holds the netlink sockets and changes qdiscs in time."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bench.network.impairment import CLEAN, DIRECTIONS, Direction, Impairment
from bench.network.laws import FATES, NEVER
from bench.network.seeds import seed_sequence
from bench.units import NS_PER_S, ns
from instruments.emulators.base import ChangeReport, DirectionReport, EmulatorError, LinkPlan
from instruments.emulators.netem_drain import LONGEST_DRAIN_S, Waiting, drain_s
from instruments.emulators.netem_law import drained, netem_state, wide_enough
from instruments.emulators.netem_messages import QdiscCounters, change_message
from instruments.emulators.netem_state import NetemState, pack
from instruments.emulators.qdiscs import TrafficControl
from instruments.emulators.timing import prefer_timing, set_timer_slack
from instruments.emulators.workers import Commands, send_event

_SLEEP_NS, _SPIN_NS = 3_000_000, 60_000
_LOOK_MS = 1
_AGREE = 20


class _Direction:
    """One direction of one link: its qdisc, its states in time, its counters."""

    def __init__(self, plan: LinkPlan, direction: Direction, packet_bytes: int | None) -> None:
        self.plan, self.direction, self._packet_bytes = plan, direction, packet_bytes
        self.arrive, self.leave = plan.ends(direction)
        self.changes = list(plan.changes(direction))
        self.reports = [ChangeReport(t_ns) for t_ns, _ in self.changes]
        self.arrive_index = self.index = 0
        self.state = netem_state(CLEAN)
        self.message = bytearray()
        self._place = 0
        self._prepared = -1
        self._acting = CLEAN
        self._counters = QdiscCounters(0, 0, 0, 0)
        self.fates = dict.fromkeys(FATES.values(), 0)
        self.arrived: int | None = None
        self.copies = self.skips = False
        self._waiting = Waiting()
        self._state = self.state

    @property
    def due_ns(self) -> int:
        """When the next change is due, session time."""
        return self.changes[self._place][0] if self._place < len(self.changes) else NEVER

    def add(self, t_ns: int, impairment: Impairment) -> bool:
        """Plan a change, unless it lies before the last one."""
        if self.changes and t_ns < self.changes[-1][0]:
            return False
        self.changes.append((t_ns, impairment))
        self.reports.append(ChangeReport(t_ns))
        return True

    def prepare(self) -> None:
        """Make the message of the next change."""
        if self._prepared == self._place or self._place >= len(self.changes):
            return
        _, impairment = self.changes[self._place]
        seed = _seed(self.plan, self.direction, self._place)
        state = netem_state(impairment, seed=seed, packet_bytes=self._packet_bytes)
        self.state = wide_enough(state, self.state, impairment)
        self.message = change_message(self.index, pack(self.state))
        self.copies |= bool(self.state.duplicate)
        self.skips |= bool(self.state.gap)
        self._prepared = self._place

    def changed(self, report: ChangeReport) -> None:
        """The change that was prepared is in force; the counters were read after it."""
        self.waits(report.confirmed_ns or report.t_ns)
        self._acting, self._state = self.changes[self._place][1], self.state
        self.reports[self._place] = report
        self._place += 1

    def count(self, counters: QdiscCounters) -> None:
        """Take over the qdisc's counters; its drops go to what the state in force decides."""
        self.fates[_fate(self._acting)] += counters.dropped - self._counters.dropped
        self._counters = counters

    @property
    def waiting(self) -> int:
        """Packets that waited when the counters were read."""
        return self._counters.waiting

    def waits(self, now_ns: int) -> int:
        """Until when the last of them waits at most, session time."""
        self._waiting.under(now_ns, self._acting, self._state, self._counters)
        return self._waiting.end_ns(now_ns, self._counters)

    def end(self) -> None:
        """Nothing is planned any more, and what is dropped found no place."""
        self._place = len(self.changes)
        self._acting = CLEAN

    def report(self, cpu_s: float) -> DirectionReport:
        """Counters so far. Without an own count of arrivals, packets that left are taken for it."""
        left = self._counters.sent + self._counters.waiting
        lost = sum(self.fates.values())
        accepted = left if self.arrived is None else min(left, self.arrived - lost)
        return DirectionReport(
            link=self.plan.link,
            direction=self.direction,
            rx=accepted + lost,
            tx=self._counters.sent,
            accepted=accepted,
            fates=dict(self.fates),
            in_flight=self._counters.waiting,
            changes=tuple(self.reports),
            cpu_s=cpu_s,
            scheduler="kernel",
            copies=left - accepted,
            skipped=self._counters.requeued if self.skips else 0,
        )

    def notes(self) -> list[str]:
        """What the counters cannot tell."""
        name = f"{self.plan.link}/{self.direction}"
        every = [impairment for _, impairment in self.changes]
        found = []
        if any(each.loss is not None and each.rate_bps is not None for each in every):
            found.append(f"{name}: netem counts losses and a full queue together, as lost")
        if any(each.ber for each in every):
            found.append(f"{name}: netem does not count damaged packets")
        if any(each.duplication for each in every) and self.arrived is None:
            found.append(f"{name}: netem counts copies as packets")
        return found


def _fate(impairment: Impairment) -> str:
    if not impairment.up:
        return "down"
    return "queue_drop" if impairment.loss is None else "lost"


def _seed(plan: LinkPlan, direction: Direction, number: int) -> int:
    sequence = seed_sequence(plan.seed, f"{plan.link}/{direction}", "netem", str(number))
    return int(sequence.generate_state(1, np.uint64)[0])


class _Driver:
    """Sets up the qdiscs, changes them in time, does what it is told, takes them away."""

    def __init__(
        self,
        plans: Sequence[LinkPlan],
        t0_ns: int,
        packet_bytes: int | None,
        commands: Commands,
        report_fd: int,
    ) -> None:
        self._t0, self._plans = t0_ns, plans
        self._directions = [
            _Direction(plan, direction, packet_bytes) for plan in plans for direction in DIRECTIONS
        ]
        self._commands, self._report_fd = commands, report_fd
        self._poll = select.poll()
        self._poll.register(commands.fd, select.POLLIN)
        self._control = TrafficControl()
        self._notes: list[str] = []
        self._cpu_before = time.process_time()

    def set_up(self) -> None:
        """Put clean qdiscs up and join the interfaces."""
        control = self._control
        for direction in self._directions:
            direction.index = control.index(direction.leave)
            direction.arrive_index = control.index(direction.arrive)
            control.add_netem(direction.index, direction.state)
        means = {
            control.join(control.index(plan.patient_ifname), control.index(plan.doctor_ifname))
            for plan in self._plans
        }
        self._notes.append(f"joined by {', '.join(sorted(means))}")
        self._cpu_before = time.process_time()

    def restore(self) -> None:
        """Take everything away."""
        self._control.restore()
        self._control.close()

    def _now(self) -> int:
        return time.monotonic_ns() - self._t0

    # ---- changes

    def follow(self) -> None:
        """Apply every change at its time, and obey, until the commands end."""
        while not self._commands.closed:
            due_ns = min((direction.due_ns for direction in self._directions), default=NEVER)
            due = [direction for direction in self._directions if direction.due_ns == due_ns]
            if due_ns < NEVER:
                for direction in due:
                    direction.prepare()
            if self._reached(due_ns):
                self._change([each for each in due if each.due_ns == due_ns])

    def _reached(self, t_ns: int) -> bool:
        """Wait for session time ``t_ns``; False where something else is to be looked at first."""
        pause_ms = (t_ns - self._now() - _SLEEP_NS) / 1e6
        told = bool(self._poll.poll(min(1000.0, max(0.0, pause_ms))))
        if told:
            self._obey()
        left_ns = t_ns - self._now()
        if self._commands.closed or left_ns > _SLEEP_NS + 1_000_000 or (told and left_ns > 0):
            return False
        if left_ns > _SPIN_NS:
            time.sleep((left_ns - _SPIN_NS) * 1e-9)
        while self._now() < t_ns:  # at most as long as a wakeup may be late
            pass
        return True

    def _change(self, due: Sequence[_Direction]) -> None:
        """Command all that is due at one time, then read all of it back."""
        commanded = []
        for direction in due:
            begin = self._now()
            self._control.qdiscs.change(direction.message)
            commanded.append((begin, self._now()))
        for direction, (begin, end) in zip(due, commanded, strict=True):
            read, counters = self._control.qdiscs.state(direction.index)
            # Drops between the change and this reading are taken for the state before.
            direction.count(counters)
            same = _same(direction.state, read)
            direction.changed(ChangeReport(direction.due_ns, begin, end, read_back=same))

    # ---- commands

    def _obey(self) -> None:
        for command in self._commands.take():
            if command[0] == "change":
                _, link, direction, impairment, t_ns = command
                planned_ns = self._now() if t_ns is None else t_ns
                added = self._find(link, direction).add(planned_ns, impairment)
                send_event(self._report_fd, "changed", t_ns=planned_ns, added=added)
            elif command[0] == "snapshot":
                send_event(self._report_fd, "snapshot", report=self.report())
            else:
                self._drain()
                send_event(self._report_fd, "drained")

    def _find(self, link: str, direction: Direction) -> _Direction:
        for each in self._directions:
            if (each.plan.link, each.direction) == (link, direction):
                return each
        raise EmulatorError(f"no link direction {link}/{direction}")

    def _drain(self) -> None:
        """Pass all that comes from now on, and wait until nothing waits any more.

        Not longer than what waits can take by its law, nor than the longest drain, nor once the
        commands have ended.
        """
        left_ns = 0
        for direction in self._directions:
            self._read(direction)
            now_ns = self._now()
            left_ns = max(left_ns, direction.waits(now_ns) - now_ns)
            message = change_message(direction.index, pack(drained(direction.state)))
            self._control.qdiscs.change(message)
            direction.end()
        within_s = drain_s(left_ns)
        if waiting := self._waiting():
            send_event(self._report_fd, "draining", waiting=waiting, within_s=within_s)
        begin_ns = self._now()
        until_ns = begin_ns + ns(within_s)
        while waiting and not self._commands.closed and self._now() < until_ns:
            if self._poll.poll(_LOOK_MS):
                self._commands.take()
            for direction in self._directions:
                self._read(direction)
            waiting = self._waiting()
        if waiting:
            took_s = (self._now() - begin_ns) / NS_PER_S
            self._notes.append(_left_waiting(waiting, took_s, left_ns, self._commands.closed))

    def _waiting(self) -> int:
        return sum(direction.waiting for direction in self._directions)

    def _read(self, direction: _Direction) -> None:
        direction.count(self._control.qdiscs.read(direction.index)[1])

    # ---- counters

    def report(self) -> dict[str, Any]:
        """Counters so far, as data."""
        for direction in self._directions:
            self._count(direction)
        used_s = time.process_time() - self._cpu_before
        share = used_s / len(self._directions) if self._directions else 0.0
        reports = [asdict(direction.report(share)) for direction in self._directions]
        notes = [note for direction in self._directions for note in direction.notes()]
        return {"directions": reports, "notes": [*self._notes, *notes]}

    def _count(self, direction: _Direction) -> None:
        """Read the counters; where copies are made also the arrivals, at one moment if possible."""
        qdiscs = self._control.qdiscs
        counters = qdiscs.read(direction.index)[1]
        if direction.copies and self._control.counts_arrivals(direction.arrive_index):
            for _ in range(_AGREE):
                arrived = qdiscs.arrivals(direction.arrive_index)
                counters = qdiscs.read(direction.index)[1]
                if qdiscs.arrivals(direction.arrive_index) == arrived:
                    break
            direction.arrived = arrived
        direction.count(counters)


def _left_waiting(waiting: int, took_s: float, left_ns: int, closed: bool) -> str:
    """What an end that drops packets says of itself."""
    if closed:
        why = "interrupted again"
    elif drain_s(left_ns) == LONGEST_DRAIN_S:
        why = f"the longest drain; the last was due after {left_ns / NS_PER_S:.3g} s at most"
    else:
        why = "all were due: an interface does not take them, or more came all the time"
    return f"{waiting} packets still waited in netem after {took_s:.3g} s and were dropped: {why}"


def _same(sent: NetemState, read: NetemState) -> bool:
    seeds = read.seed is None or read.seed == sent.seed
    return seeds and sent.visible() == read.visible()


def drive(
    plans: Sequence[LinkPlan], t0_ns: int, packet_bytes: int | None, stop_fd: int, report_fd: int
) -> None:
    """The job of the child process: until its command pipe is closed."""
    set_timer_slack()
    prefer_timing(1)
    driver = _Driver(plans, t0_ns, packet_bytes, Commands(stop_fd), report_fd)
    try:
        driver.set_up()
        send_event(report_fd, "ready")
        driver.follow()
        report = driver.report()
    finally:
        driver.restore()
    send_event(report_fd, "report", report=report)
