"""The kernel emulator: netem on the egress of each interface, packets redirected between them.

A child process (:mod:`instruments.emulators.netem_driver`) sends each change's whole state at its
time and reads it back. Unlike the userspace emulator it cannot say which packet was the first to
meet a change, nor how late a packet left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Direction, Impairment
from instruments.emulators.base import (
    EmulatorError,
    EmulatorReport,
    LinkPlan,
    Patience,
    direction_report,
)
from instruments.emulators.netem_driver import drive
from instruments.emulators.netem_law import netem_state, refusal
from instruments.emulators.netem_probe import Capability, probe
from instruments.emulators.netem_state import NetemState
from instruments.emulators.workers import Workers

__all__ = ["Capability", "NetemEmulator", "probe", "refused_plan"]

_DRIVER = 0
_READY_S = 10.0
_DRAIN_BEGINS_S = 5.0


class NetemEmulator:
    """An :class:`instruments.emulators.base.Emulator` that lets the kernel's netem do the work.

    Start it in the namespace that holds the plans' interfaces, from a thread that outlives it.

    Args:
        packet_bytes: allows rates with a queue in time, by naming the frame size for which netem's
            queue, which is bounded in packets, is as long as the impairment says; and bit errors,
            of which netem knows only the share of damaged packets.
        capability: what this kernel can do; None: tried at the start.
    """

    def __init__(
        self, packet_bytes: int | None = None, capability: Capability | None = None
    ) -> None:
        self._packet_bytes = packet_bytes
        self._capability = capability
        self._workers = Workers()
        self._known: set[tuple[str, Direction]] = set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The driver's process id."""
        return self._workers.pids

    def start(self, plans: Sequence[LinkPlan], t0_monotonic_ns: int) -> None:
        """Put netem on every interface of the plans, join them, and follow the plans.

        Raises:
            InputError: a plan holds what netem would distort, or what this kernel's lacks.
            EmulatorError: the kernel has no netem, or no right to use it.
        """
        refused = refused_plan(plans, self._packet_bytes)
        if refused is not None:
            raise refused
        self._capability = self._capability or probe()
        if not self._capability.netem:
            raise EmulatorError(self._capability.reason)
        lacking = self._capability.lacking(_states(plans, self._packet_bytes))
        if lacking is not None:
            raise lacking
        self._known = {(plan.link, direction) for plan in plans for direction in DIRECTIONS}
        job = partial(drive, tuple(plans), t0_monotonic_ns, self._packet_bytes)
        self._workers.add("netem driver", job)
        self._workers.wait_ready(_READY_S)

    def change(
        self, link: str, direction: Direction, impairment: Impairment, at_ns: int | None = None
    ) -> int:
        """Add a change while running; see :class:`~instruments.emulators.base.Emulator`.

        Raises:
            InputError: netem would distort it, or cannot do it here; no such link; or ``at_ns``
                (None: now) lies before a known change.
            EmulatorError: the driver does not answer.
        """
        if (link, direction) not in self._known:
            raise InputError(
                "is no link direction of this emulator",
                remedy=f"use one of {', '.join(sorted('/'.join(key) for key in self._known))}",
                field="link",
                value=f"{link}/{direction}",
            )
        state = netem_state(impairment, packet_bytes=self._packet_bytes)
        lacking = self._capability.lacking([state]) if self._capability is not None else None
        if lacking is not None:
            raise lacking
        self._workers.tell(_DRIVER, ("change", link, direction, impairment, at_ns))
        answer = self._workers.answer(_DRIVER, "changed")
        planned_ns = int(answer["t_ns"])
        if not answer["added"]:
            raise InputError(
                "lies before a change that is already known",
                remedy="give a later time, or leave that change out of the plan",
                field="at_ns",
                value=planned_ns,
            )
        return planned_ns

    def snapshot(self) -> EmulatorReport:
        """What has been counted so far.

        Raises:
            EmulatorError: the driver does not answer.
        """
        self._workers.tell(_DRIVER, ("snapshot",))
        return self._report(self._workers.answer(_DRIVER, "snapshot")["report"])

    def stop(self, drain: bool = False, patience: Patience | None = None) -> EmulatorReport:
        """Take the qdiscs away and give the counters.

        Args:
            drain: first pass everything that comes, and wait until nothing waits any more: a
                packet in netem keeps its due time. As long as what waits can take by its law,
                and a second; a minute at most. What then still waits is dropped, counted as in
                flight, and noted.
            patience: is told what waits and for how long, and may end it.

        Raises:
            EmulatorError: the driver died, could not apply a change, or does not answer.
        """
        try:
            if drain:
                self._drain(patience)
        except EmulatorError:
            self._workers.kill()
            raise
        (report,) = self._workers.stop()
        return self._report(report)

    def _drain(self, patience: Patience | None) -> None:
        self._workers.tell(_DRIVER, ("drain",))
        answer = self._workers.first(_DRIVER, ("draining", "drained"), _DRAIN_BEGINS_S)
        if answer is None or answer["event"] == "drained":
            return
        if patience is not None:
            patience.draining(int(answer["waiting"]), float(answer["within_s"]))
        self._workers.first(_DRIVER, ("drained",), answer["within_s"] + _DRAIN_BEGINS_S, patience)

    def _report(self, report: Mapping[str, Any]) -> EmulatorReport:
        notes = list(report["notes"])
        if self._packet_bytes is not None:
            notes.append(f"queues and bit errors reckoned for frames of {self._packet_bytes} bytes")
        if self._capability is not None and not self._capability.seed:
            notes.append("this kernel's netem takes no seed: its draws differ from run to run")
        directions = tuple(direction_report(entry) for entry in report["directions"])
        return EmulatorReport("netem", directions, tuple(notes))


def _impairments(plans: Iterable[LinkPlan]) -> Iterator[Impairment]:
    for plan in plans:
        for direction in DIRECTIONS:
            for _, impairment in plan.changes(direction):
                yield impairment


def _states(plans: Iterable[LinkPlan], packet_bytes: int | None) -> Iterator[NetemState]:
    for impairment in _impairments(plans):
        yield netem_state(impairment, packet_bytes=packet_bytes)


def refused_plan(
    plans: Sequence[LinkPlan],
    packet_bytes: int | None = None,
    capability: Capability | None = None,
) -> InputError | None:
    """Why netem cannot follow ``plans`` faithfully, or None when it can.

    Args:
        packet_bytes: see :class:`NetemEmulator`.
        capability: what a kernel can do, if that is to be asked as well.
    """
    for impairment in _impairments(plans):
        refused = refusal(impairment, packet_bytes)
        if refused is not None:
            return refused
    return capability.lacking(_states(plans, packet_bytes)) if capability is not None else None
