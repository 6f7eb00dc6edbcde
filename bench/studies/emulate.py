"""``bench emulate``: two interfaces of the current network namespace, joined until told to stop.

One process and no threads while it runs: signals, the control channel, the emulator's counters
and the end of a scenario all meet in one loop.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.benches.local.emulation import make_emulator, netem_problem
from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Direction, Impairment
from bench.network.impairment_files import from_plain, to_plain
from bench.studies.emulate_control import Client, ControlSocket, check_path
from bench.studies.emulate_words import WAYS, Asked, directions_of
from bench.studies.signals import ProcessEnds, Signals, children_deaf
from bench.units import NS_PER_S
from instruments.emulators.base import (
    DirectionReport,
    Emulator,
    EmulatorError,
    EmulatorReport,
    LinkPlan,
)
from instruments.emulators.custody import Custody, journal_folder, leftovers
from instruments.emulators.journal import Owner
from instruments.emulators.netem import refused_plan
from instruments.emulators.refusals import find_links, own_qdisc

INTERRUPTED = 130

_LEAD_NS = 300_000_000
"""From starting the emulator to time zero."""

_LOOK_S = 0.25
_GUARD_S = 1.0
_NOTICE_NS = 5_000_000
"""How far ahead "as soon as possible" may come to lie."""

_UNMET_NS = 1_000_000_000
"""How long a change waits for its first packet before it is reported as unmet so far."""


_LONG_DRAIN_S = 2.0


class Watcher(Protocol):
    """Who is told what happens; every record has ``event`` and plain data, SI units."""

    @property
    def wants_counters(self) -> bool:
        """Whether ``counters`` records are of use now."""

    def tell(self, record: Mapping[str, Any]) -> None:
        """``ready``, then ``change`` and ``counters``, ``draining`` where it is long, ``end``."""


@dataclass(slots=True)
class _Change:
    """A change of one direction, and who waits to hear that it is in force."""

    t_ns: int
    impairment: Impairment
    clients: list[Client] = field(default_factory=list)
    told: bool = False


def run_emulation(
    asked: Asked, watcher: Watcher, make: Callable[[Any], Emulator] = make_emulator
) -> int:
    """Join the interfaces until interrupted or the scenario ends, and give them back.

    Args:
        asked: what was asked for.
        watcher: is told what happens.
        make: makes the emulator of a backend's name.

    Returns:
        0 at the scenario's end, 130 when interrupted.

    Raises:
        InputError: an interface, the backend or the control path cannot be had as asked; nothing
            is changed then.
        EmulatorError: the emulator failed; the interfaces are given back.
    """
    with Signals() as signals:
        recovered = leftovers()  # first: what is left may decide what can be had
        backend = _backend(asked)
        path = check_path(asked.control) if asked.control is not None else _usual_path()
        custody = Custody(
            (asked.left, asked.right),
            force=asked.force,
            kernel=backend == "netem",
            socket_path=str(path),
        )
        custody.notes += recovered
        with custody, ControlSocket(path) as control:
            session = _Session(asked, backend, make(backend), custody, control, watcher)
            end = session.run(signals)
        watcher.tell(end)
        return INTERRUPTED if signals.came is not None else 0


def _usual_path() -> Path:
    me = Owner.me()
    return check_path(journal_folder() / f"control-{me.pid}-{me.start}.sock")


def _plan(asked: Asked) -> LinkPlan:
    return LinkPlan(
        link=asked.link,
        patient_ifname=asked.left,
        doctor_ifname=asked.right,
        to_patient=asked.changes["to-patient"],
        to_doctor=asked.changes["to-doctor"],
        seed=asked.seed,
    )


def _backend(asked: Asked) -> Any:
    """``netem`` or ``userspace``.

    Raises:
        InputError: netem was asked for and cannot do it here.
    """
    if asked.backend == "userspace":
        return "userspace"
    refused = refused_plan((_plan(asked),))
    if asked.backend == "auto":
        taken = any(own_qdisc(link) for link in find_links((asked.left, asked.right), asked.force))
        return "userspace" if refused or taken or netem_problem() else "netem"
    if refused is not None:
        raise refused
    if problem := netem_problem():
        raise InputError(
            f"does not work on this kernel: {problem}",
            remedy="load the kernel module sch_netem, or use --backend userspace",
            field="--backend",
            value="netem",
        )
    return "netem"


class _Patience:
    """Waits for the emulator to drain, until the next signal."""

    def __init__(self, signals: Signals, watcher: Watcher, now_ns: Callable[[], int]) -> None:
        signals.hear()
        self._signals, self._watcher, self._now_ns = signals, watcher, now_ns

    def fileno(self) -> int:
        """For select: readable once another signal has come."""
        return self._signals.fileno()

    def draining(self, waiting: int, within_s: float) -> None:
        """Tell it where it takes longer than a user expects of an end."""
        self._signals.allow(within_s)
        if within_s > _LONG_DRAIN_S:
            now_s = self._now_ns() / NS_PER_S
            self._watcher.tell(
                {"event": "draining", "time": now_s, "waiting": waiting, "within": within_s}
            )


class _Session:
    """From the emulator's start to its end."""

    def __init__(
        self,
        asked: Asked,
        backend: str,
        emulator: Emulator,
        custody: Custody,
        control: ControlSocket,
        watcher: Watcher,
    ) -> None:
        self._asked, self._backend, self._emulator = asked, backend, emulator
        self._custody, self._control, self._watcher = custody, control, watcher
        self._changes: dict[Direction, list[_Change]] = {
            direction: [_Change(t_ns, state) for t_ns, state in asked.changes[direction]]
            for direction in DIRECTIONS
        }
        self._t0 = 0
        self._guard_at = 0.0

    def run(self, signals: Signals) -> dict[str, Any]:
        """Until a signal or the end of the scenario; the ``end`` record."""
        self._t0 = time.monotonic_ns() + _LEAD_NS
        with children_deaf():
            self._emulator.start((_plan(self._asked),), self._t0)
        try:
            self._wait(signals, until_ns=0)
            if signals.came is None:
                self._watcher.tell(self._ready())
            self._follow(signals)
        except BaseException:
            self._abandon(signals)
            raise
        report = self._emulator.stop(drain=True, patience=self._patience(signals))
        self._tell_changes(report, final=True)
        return self._end(report, "interrupted" if signals.came is not None else "scenario")

    def _abandon(self, signals: Signals) -> None:
        with contextlib.suppress(EmulatorError, OSError):  # what had failed is said already
            self._emulator.stop(drain=True, patience=self._patience(signals))

    def _patience(self, signals: Signals) -> _Patience:
        return _Patience(signals, self._watcher, self._now_ns)

    def _now_ns(self) -> int:
        return time.monotonic_ns() - self._t0

    def _wait(self, signals: Signals, until_ns: int) -> None:
        while signals.came is None and (left := until_ns - self._now_ns()) > 0:
            select.select([signals], [], [], left / NS_PER_S)

    # ---- the loop

    def _follow(self, signals: Signals) -> None:
        with ProcessEnds(getattr(self._emulator, "pids", ())) as processes:
            while signals.came is None:
                left_s = self._left_s()
                if left_s is not None and left_s <= 0:
                    return
                pause = min(
                    _GUARD_S if left_s is None else min(left_s, _GUARD_S),
                    _LOOK_S if self._looking() else _GUARD_S,
                )
                clients = [client for client in self._control.clients if not client.gone]
                waiting: list[Any] = [signals, self._control, *clients, *processes.fds]
                ready = select.select(waiting, [], [], pause)[0]
                if any(fd in ready for fd in processes.fds) and signals.came is None:
                    raise EmulatorError("a process of the emulator ended while it was needed")
                if self._control in ready and (new := self._control.accept()) is not None:
                    ready.append(new)
                for client in ready:
                    if isinstance(client, Client):
                        for request in client.take():
                            self._answer(client, request)
                if signals.came is None:
                    self._look()

    def _left_s(self) -> float | None:
        if self._asked.end_ns is None:
            return None
        return (self._asked.end_ns - self._now_ns()) / NS_PER_S

    def _looking(self) -> bool:
        return self._watcher.wants_counters or any(
            not change.told and change.t_ns <= self._now_ns() + int(_LOOK_S * NS_PER_S)
            for changes in self._changes.values()
            for change in changes
        )

    def _look(self) -> None:
        if time.monotonic() >= self._guard_at:
            self._guard_at = time.monotonic() + _GUARD_S
            self._custody.keep_guarded()
        if self._looking():
            report = self._emulator.snapshot()
            self._tell_changes(report)
            if self._watcher.wants_counters:
                self._watcher.tell(self._counters(report))

    # ---- records

    def _ready(self) -> dict[str, Any]:
        asked = self._asked
        notes = list(self._custody.notes)
        for name in self._custody.without_carrier():
            notes.append(f"nothing is connected at {name} yet")
        return {
            "event": "ready",
            "time": self._now_ns() / NS_PER_S,
            "left": asked.left,
            "right": asked.right,
            "backend": self._backend,
            "seed": asked.seed,
            "profile": asked.profile,
            "scenario": asked.scenario,
            "link": asked.link,
            "ends": None if asked.end_ns is None else asked.end_ns / NS_PER_S,
            "draws": dict(asked.draws),
            "control": str(self._control.path),
            "t0_monotonic_ns": self._t0,
            "pid": os.getpid(),
            "notes": notes,
        }

    def _tell_changes(self, report: EmulatorReport, final: bool = False) -> None:
        now = self._now_ns()
        for direction in DIRECTIONS:
            known = self._changes[direction]
            reports = report.direction(self._asked.link, direction).changes
            for number, (change, found) in enumerate(zip(known, reports, strict=False)):
                if change.told or found.commanded_ns is None:
                    continue
                superseded = number + 1 < len(known) and known[number + 1].t_ns <= now
                settled = found.effective_ns is not None or found.confirmed_ns is not None
                if settled or superseded or final or now - change.t_ns >= _UNMET_NS:
                    change.told = True
                    record = {
                        "event": "change",
                        "direction": WAYS[direction],
                        "scheduled": _seconds(change.t_ns),
                        "commanded": _seconds(found.commanded_ns),
                        "confirmed": _seconds(found.confirmed_ns),
                        "effective": _seconds(found.effective_ns),
                        "read_back": found.read_back,
                        "impairment": to_plain(change.impairment),
                    }
                    self._watcher.tell(record)
                    for client in change.clients:
                        client.tell(record)

    def _counters(self, report: EmulatorReport) -> dict[str, Any]:
        now = self._now_ns()
        found: dict[str, Any] = {"event": "counters", "time": now / NS_PER_S}
        for direction, way in WAYS.items():
            acting = [each for each in self._changes[direction] if each.t_ns <= now]
            found[way] = _counted(report.direction(self._asked.link, direction))
            found[way]["impairment"] = acting[-1].impairment.describe() if acting else "clean"
        return found

    def _end(self, report: EmulatorReport, reason: str) -> dict[str, Any]:
        counters = self._counters(report)
        return {
            **counters,
            "event": "end",
            "reason": reason,
            "backend": self._backend,
            "notes": list(report.notes),
        }

    # ---- the control channel

    def _answer(self, client: Client, request: dict[str, Any]) -> None:
        try:
            if "get" in request:
                client.tell(self._got(request))
            else:
                self._command(client, request)
        except InputError as error:
            client.tell({"event": "error", "message": error.line()})

    def _got(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request != {"get": "counters"}:
            raise InputError(
                "is no question", remedy='ask {"get": "counters"}', field="get",
                value=request["get"],
            )  # fmt: skip
        return self._counters(self._emulator.snapshot())

    def _command(self, client: Client, request: Mapping[str, Any]) -> None:
        for key in request:
            if key not in ("direction", "impairment", "at"):
                raise InputError("unknown name", remedy="use direction, impairment, at", field=key)
        impairment = from_plain(request.get("impairment"))
        directions = directions_of(str(request.get("direction", "both")), field="direction")
        at_ns = self._at_ns(request.get("at"))
        self._refuse_before_known(directions, at_ns)
        for direction in directions:
            t_ns = self._emulator.change(self._asked.link, direction, impairment, at_ns)
            self._changes[direction].append(_Change(t_ns, impairment, [client]))
            client.tell(
                {"event": "scheduled", "direction": WAYS[direction], "scheduled": _seconds(t_ns)}
            )

    def _refuse_before_known(self, directions: Iterable[Direction], at_ns: int | None) -> None:
        """Refuse for all directions what one of them would refuse: never half of a command."""
        earliest = self._now_ns() + _NOTICE_NS if at_ns is None else at_ns
        for direction in directions:
            last_ns = max((change.t_ns for change in self._changes[direction]), default=0)
            if earliest < last_ns:
                raise InputError(
                    f"lies before a change that is already known, at {last_ns / NS_PER_S:.6g} s",
                    remedy="give a later time",
                    field="at",
                    value=None if at_ns is None else at_ns / NS_PER_S,
                )

    def _at_ns(self, at: object) -> int | None:
        if at is None:
            return None
        if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 1e9:
            raise InputError(
                "is no time", remedy="give seconds since ready, or null", field="at", value=at
            )
        return round(at * NS_PER_S)


def _seconds(t_ns: int | None) -> float | None:
    return None if t_ns is None else t_ns / NS_PER_S


def _counted(report: DirectionReport) -> dict[str, Any]:
    """The counters of one direction; lateness in seconds, without its histogram."""
    counted = asdict(report)
    for key in ("link", "direction", "changes"):
        del counted[key]
    if counted["lateness"] is not None:
        del counted["lateness"]["histogram"]
    counted["emulator_drops"] = report.emulator_drops
    return counted
