"""Exposures while real packets flow: set when they are due, and the link follows the reception.

What is presented has been rehearsed: paths are verified, and all of an exposure but RF is set
before its time. At its time RF goes on, the radio's reception is read, and the emulator is told
what it makes of the link. When that was is when the exposure began: the recording's schedule says
so. A real radio receives for itself: its exposure begins and ends when RF is commanded on and off,
and nobody tells the emulator anything.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from bench.benches.lab.in_thread import AtWork
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.presenting import UNVERIFIED, alone, exposed, flaws_of, unverified
from bench.benches.local.conductor import Order
from bench.benches.local.protocol import Live
from bench.errors import InputError
from bench.network.impairment import DIRECTIONS
from bench.network.radio.exposure import Presented
from bench.network.scenario import Interference, Schedule, Window, interferences
from bench.sessions.recording import Session
from bench.units import NS_PER_S

NOTICE_NS = 20_000_000
"""From reading a reception to the change of the link: the command has arrived by then."""

_LAST_LOOK_NS = 700_000_000
"""Before the end of an exposure: time enough to look, so that it ends when it is due."""


class Conducting(AtWork):
    """Presents the exposures of one session when they are due.

    Args:
        laboratory: entered.
        session: with what was rehearsed as ``presented``.

    Raises:
        InputError: an exposure that is not followed by the radio being alone.
    """

    def __init__(self, laboratory: Laboratory, session: Session) -> None:
        self._lab, self._session = laboratory, session
        self._segments = interferences(session.scenario)
        self._flaws = flaws_of(session.device)
        self._plan = session.schedule()
        self._shown = list(session.presented)
        self._began: list[int] = []
        super().__init__("laboratory")
        _refuse_open_ended(self._plan)
        due = self._plan.exposures
        later = [one.start_ns for one in due if one.start_ns > 0]
        self.live = Live(due[0].radio.link, min(later, default=self._plan.end_ns))

    def begin(self, t0_ns: int, order: Order) -> None:
        """Start; see :class:`~bench.benches.local.conductor.Conductor`."""
        self._work.start(lambda: self._run(t0_ns, order))

    def end(self) -> tuple[Session, Schedule]:
        """What the session was, and when; see :class:`~bench.benches.local.conductor.Conductor`.

        Raises:
            BenchError: an instrument failed, or does not come to an end.
        """
        self._work.join()
        session = replace(self._session, presented=tuple(self._shown))
        planned = [one.start_ns for one in self._plan.exposures]
        return session, retimed(session.schedule(), planned, self._began, self.live.link)

    def _run(self, t0_ns: int, order: Order) -> None:
        for number, segment in enumerate(self._segments):
            self._present(number, segment, t0_ns, order)
            if self._work.stopped.is_set():
                return

    def _present(self, number: int, segment: Interference, t0_ns: int, order: Order) -> None:
        radio, due = segment.radio, self._plan.exposures[number]
        assert radio is not None, "the schedule was compiled"
        try:
            if segment.exposures:
                self._lab.arm(*segment.exposures)
            if not self._waited(t0_ns + due.start_ns):
                return
            commanded_ns = time.monotonic_ns() - t0_ns
            self._lab.fire() if segment.exposures else self._lab.quiet()
            reception = self._lab.reception(radio, self._flaws)
            shown = replace(self._shown[number], reception=reception)
            self._command(number, shown, t0_ns, order, commanded_ns)
            if segment.exposures:
                self._lab.witness()
                self._shown[number] = exposed(self._lab, reception)
                self._see_again(number, t0_ns)
            else:
                self._shown[number] = alone(self._lab, reception)
        except UNVERIFIED as error:
            shown = unverified(self._lab, segment, self._flaws, str(error))
            if len(self._began) > number:  # the link has had what was received by then
                shown = replace(shown, reception=self._shown[number].reception)
                self._shown[number] = shown
            elif self._waited(t0_ns + due.start_ns):
                self._command(number, shown, t0_ns, order, time.monotonic_ns() - t0_ns)

    def _see_again(self, number: int, t0_ns: int) -> None:
        """Shortly before an exposure ends, whether it still holds; a short one was just seen."""
        look_ns = t0_ns + self._until(number) - _LAST_LOOK_NS
        if look_ns <= time.monotonic_ns() or not self._waited(look_ns):
            return
        problem = self._shown[number].problem or self._lab.holds()
        self._shown[number] = replace(self._shown[number], problem=problem)

    def _waited(self, until_ns: int) -> bool:
        """Whether that time has come; false where the session was given up before."""
        left_ns = until_ns - time.monotonic_ns()
        return not self._work.stopped.wait(max(0.0, left_ns / NS_PER_S))

    def _command(
        self, number: int, shown: Presented, t0_ns: int, order: Order, commanded_ns: int
    ) -> None:
        """Tell the emulator what the link of a simulated radio is from now on.

        ``commanded_ns``: when RF was, session time.
        """
        self._shown[number] = shown
        due = self._plan.exposures[number]
        if due.start_ns < self.live.from_ns:  # the emulator has known it from the start
            self._began.append(due.start_ns)
            return
        began = commanded_ns
        if shown.reception is not None:
            began = time.monotonic_ns() - t0_ns + NOTICE_NS
        self._began.append(began)
        compiled = replace(self._session, presented=tuple(self._shown)).schedule()
        for direction in DIRECTIONS:
            for t_ns, state in compiled.of(self.live.link, direction):
                if due.start_ns <= t_ns < self._until(number):
                    order(self.live.link, direction, began + t_ns - due.start_ns, state)

    def _until(self, number: int) -> int:
        following = self._plan.exposures[number + 1 :]
        return following[0].start_ns if following else self._plan.end_ns + 1


def _refuse_open_ended(plan: Schedule) -> None:
    """Real packets need RF off when an exposure ends, and somebody to say so.

    Raises:
        InputError: an exposure that is not followed by the radio being alone.
    """
    for one, following in zip(plan.exposures, (*plan.exposures[1:], None), strict=True):
        if one.exposures and (
            following is None or following.exposures or following.start_ns != one.end_ns
        ):
            raise InputError(
                "an exposure is not followed by the radio being alone",
                remedy='add such a step after it, or use packets = "virtual"',
                field="scenario",
                value=one.step,
            )


def retimed(
    schedule: Schedule, planned: Sequence[int], began: Sequence[int], link: str
) -> Schedule:
    """A schedule with the exposures where they began in fact.

    Args:
        schedule: as planned.
        planned, began: per exposure, ns; both ascend.
        link: the radio's; the changes of other links were not moved.
    """

    def moved(t_ns: int) -> int:
        number = bisect_right(planned, t_ns) - 1
        if number < 0:
            return t_ns
        latest = began[number + 1] if number + 1 < len(began) else schedule.end_ns
        return min(t_ns + began[number] - planned[number], latest, schedule.end_ns)

    def window(one: Window) -> Window:
        phases = tuple((name, moved(start), moved(end)) for name, start, end in one.phases)
        return replace(one, start_ns=moved(one.start_ns), end_ns=moved(one.end_ns), phases=phases)

    changes = [
        replace(change, t_ns=moved(change.t_ns)) if change.link == link else change
        for change in schedule.changes
    ]
    return replace(
        schedule,
        windows=tuple(window(one) for one in schedule.windows),
        changes=tuple(sorted(changes, key=lambda change: change.t_ns)),
        exposures=tuple(
            replace(one, start_ns=moved(one.start_ns), end_ns=moved(one.end_ns))
            for one in schedule.exposures
        ),
    )
