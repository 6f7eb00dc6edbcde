"""The clocks of two taps: how far apart they may be, given or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.captures.matching import Fate
from bench.captures.taps import SharedFlow
from bench.measure.clocks import Apparent, compare_clocks
from bench.units import duration_s, show_duration


@dataclass(frozen=True, slots=True)
class Clock:
    """How far the right tap's clock is ahead of the left one's.

    ``offset_s``: what was given, and is taken off the right tap's stamps; 0 where nothing was.
    ``uncertainty_s``: the true offset lies within this of it; ``None`` where that is not known.
    ``origin``: where the uncertainty is from. ``lower_s``, ``upper_s``: between these the offset
    lies by the smallest delays of both directions, ``None`` where one direction has none.
    ``drift``: s per s that the difference grows by, between ``drift_low`` and ``drift_high``;
    ``None`` where it cannot be told. ``steps_s``: sudden changes of it. ``even``: an even drift
    explains all packets.
    """

    offset_s: float
    uncertainty_s: float | None
    origin: str
    lower_s: float | None = None
    upper_s: float | None = None
    drift: float | None = None
    drift_low: float | None = None
    drift_high: float | None = None
    steps_s: tuple[float, ...] = ()
    even: bool = True

    def problems(self) -> tuple[str, ...]:
        """Why nothing may be judged by these clocks."""
        found = [
            f"the difference between the taps' clocks jumps by {show_duration(abs(step))}"
            for step in self.steps_s
        ]
        half_s = self.uncertainty_s or 0.0
        low, high = self.offset_s - half_s, self.offset_s + half_s
        if self.lower_s is not None and self.lower_s > high:
            found.append(
                f"packets arrive before they are sent unless the right clock is ahead by "
                f"{show_duration(self.lower_s)}"
            )
        if self.upper_s is not None and self.upper_s < low:
            found.append(
                f"packets arrive before they are sent unless the right clock is ahead by at most "
                f"{show_duration(self.upper_s)}"
            )
        return tuple(found)

    def notes(self) -> list[str]:
        """What a reader must know of them."""
        if self.lower_s is None or self.upper_s is None:
            return ["packets went one way only: the captures do not tell how far the clocks differ"]
        if not self.even:
            return ["no even drift of the clocks explains all packets: they wander, or one was set"]
        return []


def signed_duration_s(text: str, field: str) -> float:
    """A duration that may be negative, in s.

    Raises:
        InputError: as :func:`bench.units.duration_s`.
    """
    plain = text.strip()
    sign = -1.0 if plain.startswith(("-", "−")) else 1.0
    return sign * duration_s(plain.lstrip("+-−") if plain[:1] in "+-−" else plain, field=field)


@dataclass(frozen=True, slots=True)
class GivenClock:
    """What is known of the clocks before the captures are read.

    ``offset_s``: how far the right one is ahead; it is taken off. ``uncertainty_s``: of that;
    ``None`` where the captures must tell.
    """

    offset_s: float = 0.0
    uncertainty_s: float | None = None


def given_clock(offset: str | None, uncertainty: str | None) -> GivenClock:
    """From the text of the options.

    Raises:
        InputError: a text that is no duration.
    """
    return GivenClock(
        0.0 if offset is None else signed_duration_s(offset, "--clock-offset"),
        None if uncertainty is None else duration_s(uncertainty, field="--clock-uncertainty"),
    )


def clock_of(flows: Sequence[SharedFlow], given: GivenClock, steps_s: float) -> Clock:
    """What is given, and what the packets of all streams tell.

    Args:
        flows: all that both captures saw.
        given: what is known of the clocks.
        steps_s: of both taps' stamps together.
    """
    forward, backward = (_apparent(flows, way) for way in (True, False))
    seen = compare_clocks(forward, backward, resolution_s=steps_s)
    uncertainty_s, origin = given.uncertainty_s, "given"
    if uncertainty_s is None:
        origin = ""
        if seen.lower_s is not None and seen.upper_s is not None:
            uncertainty_s = max(abs(seen.lower_s), abs(seen.upper_s))
            origin = "by the smallest delays of both directions"
    return Clock(
        given.offset_s, uncertainty_s, origin,
        None if seen.lower_s is None else given.offset_s + seen.lower_s,
        None if seen.upper_s is None else given.offset_s + seen.upper_s,
        seen.drift, seen.drift_low, seen.drift_high,
        tuple(step.size_s for step in seen.steps), seen.even,
    )  # fmt: skip


def _apparent(flows: Sequence[SharedFlow], forward: bool) -> Apparent:
    """The packets of one direction: when the left tap saw them, and their delay by the stamps."""
    times, delays = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for flow in flows:
        if flow.forward == forward:
            arrived = flow.pairs.fate == Fate.ARRIVED.value
            sent, got = flow.pairs.sent_ns[arrived], flow.pairs.received_ns[arrived]
            times.append(sent if forward else got)
            delays.append(got - sent)
    return Apparent(np.concatenate(times), np.concatenate(delays))
