"""Which changes of one direction are known, and which of them packets have met."""

from __future__ import annotations

from bench.network.impairment import Impairment
from bench.network.laws import NEVER
from instruments.emulators.base import ChangeReport, Changes


class ChangeLog:
    """The changes of one direction in ascending time, ns of session time.

    Attributes:
        next_ns: when the next change comes that no packet has met; ``NEVER`` without one.
        open_ns: since when a hold is on whose end is not known; ``NEVER`` without one.
    """

    def __init__(self, changes: Changes) -> None:
        self._planned: list[int] = []
        self._in_force: list[int] = []
        self._effective: list[int | None] = []
        self._met = self._told = 0
        self.next_ns = self.open_ns = NEVER
        for t_ns, impairment in changes:
            self.add(t_ns, t_ns, impairment)

    @property
    def last_ns(self) -> int:
        """When the last known change is in force; below any time where there is none."""
        return self._in_force[-1] if self._in_force else -NEVER

    def add(self, planned_ns: int, in_force_ns: int, impairment: Impairment) -> None:
        """A change, in force not before the last one."""
        self._planned.append(planned_ns)
        self._in_force.append(in_force_ns)
        self._effective.append(None)
        self.next_ns = min(self.next_ns, in_force_ns)
        if not impairment.hold:
            self.open_ns = NEVER
        else:
            self.open_ns = min(self.open_ns, in_force_ns)

    def meet(self, t_ns: int) -> None:
        """A packet arrived at ``t_ns``, not before ``next_ns``."""
        count = self._met
        while count < len(self._in_force) and self._in_force[count] <= t_ns:
            count += 1
        self._effective[count - 1] = t_ns
        self._met = count
        self.next_ns = self._in_force[count] if count < len(self._in_force) else NEVER

    def news(self) -> list[tuple[int, int]]:
        """Changes newly met since this was last asked: (number, effective time)."""
        begin, self._told = self._told, self._met
        times = enumerate(self._effective[begin : self._met], begin)
        return [(number, t_ns) for number, t_ns in times if t_ns is not None]

    def report(self, end_ns: int) -> tuple[ChangeReport, ...]:
        """Every change, as things stand at ``end_ns``."""
        entries = zip(self._planned, self._in_force, self._effective, strict=True)
        return tuple(
            change_report(planned, in_force, effective, end_ns)
            for planned, in_force, effective in entries
        )


def change_report(
    planned_ns: int, in_force_ns: int, effective_ns: int | None, end_ns: int
) -> ChangeReport:
    """A change as things stand at ``end_ns``."""
    commanded_ns = in_force_ns if in_force_ns <= end_ns else None
    return ChangeReport(planned_ns, commanded_ns, effective_ns=effective_ns)
