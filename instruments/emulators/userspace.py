"""The userspace emulator: a layer-2 forwarder between two interfaces, one process a direction."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Direction, Impairment
from bench.units import NS_PER_S
from instruments.emulators.base import (
    DirectionReport,
    EmulatorError,
    EmulatorReport,
    LinkPlan,
    Patience,
    direction_report,
)
from instruments.emulators.changelog import change_report
from instruments.emulators.forwarder import Forwarder, Options
from instruments.emulators.timing import prefer_timing, set_timer_slack
from instruments.emulators.workers import Commands, Workers, send_event

__all__ = ["Options", "UserspaceEmulator", "forward"]

_PRIORITY = 2
"""Above the endpoints, where they have precedence too: what is due must not wait for them."""
_NOTICE_NS = 5_000_000
"""A forwarder hears a command within 1 ms of a packet's arrival; the rest is for sending it."""
_TURN_NS = 50_000_000
"""From agreeing on the instant of a handover to that instant: two processes are to hear of it."""
_TURNS = 10


def forward(
    plan: LinkPlan,
    direction: Direction,
    t0_monotonic_ns: int,
    *,
    stop_fd: int | None = None,
    report_fd: int | None = None,
    end_ns: int | None = None,
    options: Options | None = None,
) -> DirectionReport:
    """Forward one direction of a link until told to stop. Meant for a forked child of its own.

    Packets that arrive before session time zero pass untouched. Packets still waiting at the end
    are counted as ``in_flight`` and not sent, unless told to drain. What arrives in a hold whose
    end is not known waits for a change that ends it.

    Args:
        plan: the link; its interfaces are up, in the current network namespace.
        direction: which way.
        t0_monotonic_ns: session time zero on CLOCK_MONOTONIC.
        stop_fd: a command pipe (:class:`~instruments.emulators.workers.Commands`); ends the work
            when closed (within 25 ms). Commands: ``("change", t_ns, impairment)``, answered by
            ``changed``, ``("snapshot",)``, answered by ``snapshot``, ``("open", since_ns)``,
            answered by ``opened``, ``("drain",)``, and ``("drain", until_ns)``, answered by
            ``ending``.
        report_fd: gets the ``ready`` event, answers, then the ``report`` (see ``workers``).
        end_ns: ends the work at this session time.
        options: use of the machine.

    Raises:
        EmulatorError: an interface is missing, or no right to packet sockets.
    """
    options = options or Options()
    commands = None if stop_fd is None else Commands(stop_fd)
    forwarder = Forwarder(plan, direction, t0_monotonic_ns, options, commands, report_fd)
    set_timer_slack()
    forwarder.scheduler = prefer_timing(_PRIORITY) if options.realtime else "normal"
    collecting = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        send_event(report_fd, "ready")
        forwarder.run(end_ns)
        report = forwarder.finish()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()
    send_event(report_fd, "report", report=asdict(report))
    return report


class _Known:
    """What the parent knows of one forwarder's changes."""

    def __init__(self, plan: LinkPlan, direction: Direction) -> None:
        self.planned = [t_ns for t_ns, _ in plan.changes(direction)]
        self.in_force = list(self.planned)
        self.effective: dict[int, int] = {}

    def report(self, answer: Mapping[str, Any]) -> DirectionReport:
        """A forwarder's answer to ``snapshot``, with the changes put in."""
        self.effective.update(answer["met"])
        changes = tuple(
            change_report(planned, in_force, self.effective.get(number), answer["now_ns"])
            for number, (planned, in_force) in enumerate(
                zip(self.planned, self.in_force, strict=True)
            )
        )
        return replace(direction_report(answer["report"]), changes=changes)


class UserspaceEmulator:
    """An :class:`instruments.emulators.base.Emulator` of forked forwarders.

    Start it in the namespace that holds the plans' interfaces, from a thread that outlives it.
    """

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()
        self._workers = Workers()
        self._known: dict[tuple[str, Direction], _Known] = {}
        self._t0 = 0

    def start(self, plans: Sequence[LinkPlan], t0_monotonic_ns: int) -> None:
        """Fork a forwarder per link direction and wait until they are ready.

        Where the machine has cores enough, each gets one of its own.

        Raises:
            EmulatorError: one of them cannot run.
        """
        self._t0 = t0_monotonic_ns
        ways = [(plan, direction) for plan in plans for direction in DIRECTIONS]
        cores = _own_cores(len(ways))
        for (plan, direction), core in zip(ways, cores, strict=True):
            self._known[plan.link, direction] = _Known(plan, direction)
            job = partial(_job, plan, direction, t0_monotonic_ns, self._options, core)
            self._workers.add(f"forwarder {plan.link}/{direction}", job)
        self._workers.wait_ready()

    @property
    def pids(self) -> tuple[int, ...]:
        """The forwarders' process ids, two per link, in the order of the plans."""
        return self._workers.pids

    def change(
        self, link: str, direction: Direction, impairment: Impairment, at_ns: int | None = None
    ) -> int:
        """Add a change while running; see :class:`~instruments.emulators.base.Emulator`.

        One that comes too late is in force from the next arrival on, and its report says so.

        Raises:
            InputError: no such link, or ``at_ns`` (None: a few ms from now) lies before a known
                change.
            EmulatorError: the forwarder does not answer.
        """
        known = self._known.get((link, direction))
        if known is None:
            raise InputError(
                "is no link direction of this emulator",
                remedy=f"use one of {', '.join('/'.join(key) for key in self._known)}",
                field="link",
                value=f"{link}/{direction}",
            )
        planned_ns = time.monotonic_ns() + _NOTICE_NS - self._t0 if at_ns is None else at_ns
        last_ns = max(known.planned, default=planned_ns)
        if at_ns is None and last_ns - planned_ns <= _NOTICE_NS:
            planned_ns = max(planned_ns, last_ns)
        if planned_ns < last_ns:
            raise InputError(
                f"lies before a change that is already known, at {last_ns * 1e-9:.6g} s",
                remedy="give a later time, or leave that change out of the plan",
                field="at_ns",
                value=planned_ns,
            )
        number = list(self._known).index((link, direction))
        self._workers.tell(number, ("change", planned_ns, impairment))
        answer = self._workers.answer(number, "changed")
        known.planned.append(planned_ns)
        known.in_force.append(answer["in_force_ns"])
        return planned_ns

    def snapshot(self) -> EmulatorReport:
        """What has been counted so far, without histograms.

        Raises:
            EmulatorError: a forwarder does not answer.
        """
        for number in range(len(self._known)):
            self._workers.tell(number, ("snapshot",))
        return self._report(
            known.report(self._workers.answer(number, "snapshot"))
            for number, known in enumerate(self._known.values())
        )

    def open(self) -> int:
        """Begin to pass packets on, where the options say that it waits.

        Whoever passes them on until then is told the answer in time (``until_ns`` of
        :meth:`stop`): each packet then goes once. Where a forwarder heard of the instant too late
        a later one is agreed on: none is missing.

        Returns:
            From when on, by the packets' receive stamps: CLOCK_REALTIME, ns.

        Raises:
            EmulatorError: a forwarder does not answer, or always hears too late.
        """
        for _ in range(_TURNS):
            since_ns = time.time_ns() + _TURN_NS
            for number in range(len(self._known)):
                self._workers.tell(number, ("open", since_ns))
            answers = [self._workers.answer(n, "opened") for n in range(len(self._known))]
            if all(answer["in_time"] for answer in answers):
                return since_ns
        raise EmulatorError("the host is too busy to hand the links over")

    def stop(
        self,
        drain: bool = False,
        patience: Patience | None = None,
        until_ns: int | None = None,
    ) -> EmulatorReport:
        """End the forwarders and collect their reports.

        Args:
            drain: first send all that waits, at once and in order (not counted as late or early);
                what is held is released.
            patience: not tried: it takes a second at most.
            until_ns: with ``drain``: what arrives from then on (CLOCK_REALTIME) is another's, who
                began at that instant (:meth:`open`). Where a forwarder heard of it too late, the
                report notes that packets may have gone twice.

        Raises:
            EmulatorError: one of them died or does not answer.
        """
        in_time = True
        try:
            if drain:
                in_time = self._drain(until_ns)
        except EmulatorError:
            self._workers.kill()
            raise
        notes = [] if in_time else ["handed over late: packets may have gone twice then"]
        return self._report((direction_report(entry) for entry in self._workers.stop()), notes)

    def _drain(self, until_ns: int | None) -> bool:
        """Let all drain until ``until_ns``, which is then over; whether they heard in time."""
        bounds = () if until_ns is None else (until_ns,)
        everybody = range(len(self._known))
        for number in everybody:
            self._workers.tell(number, ("drain", *bounds))
        if until_ns is None:
            return True
        answers = [self._workers.answer(number, "ending") for number in everybody]
        time.sleep(max(0, until_ns - time.time_ns()) / NS_PER_S)
        return all(answer["in_time"] for answer in answers)

    def _report(self, directions: Any, notes: Sequence[str] = ()) -> EmulatorReport:
        notes = list(notes)
        if self._options.super_packets:
            notes.append("super-packets: what counts as one packet may be up to 64 KB")
        return EmulatorReport("userspace", tuple(directions), tuple(notes))


def _own_cores(count: int) -> list[int | None]:
    """A core for each of ``count`` forwarders, where two others are left; else none."""
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    return list(cores[:count]) if len(cores) >= count + 2 else [None] * count


def _job(
    plan: LinkPlan,
    direction: Direction,
    t0_ns: int,
    options: Options,
    core: int | None,
    stop_fd: int,
    report_fd: int,
) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    forward(plan, direction, t0_ns, stop_fd=stop_fd, report_fd=report_fd, options=options)
