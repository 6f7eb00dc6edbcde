"""The clocks of two taps: how far apart they may be, given or estimated."""

from __future__ import annotations

from dataclasses import dataclass

from bench.captures.matching import Fate
from bench.captures.taps import Comparison
from bench.units import NS_PER_S, duration_s, show_duration

_MOST_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Clock:
    """How far the right tap's clock is ahead of the left one's.

    ``offset_s``: what was given, and is taken off the right tap's stamps; 0 where nothing was.
    ``uncertainty_s``: the true offset lies within this of it; ``None`` where that is not known.
    ``origin``: where the uncertainty is from. ``lower_s``, ``upper_s``: between these the offset
    lies by the smallest delays of both directions, ``None`` where one direction has none.
    ``drift``: s per s that the difference grows by; ``None`` where it cannot be told. ``steps_s``:
    sudden changes of it.
    """

    offset_s: float
    uncertainty_s: float | None
    origin: str
    lower_s: float | None = None
    upper_s: float | None = None
    drift: float | None = None
    steps_s: tuple[float, ...] = ()

    def problems(self) -> tuple[str, ...]:
        """Why nothing may be judged by these clocks."""
        return tuple(
            f"the difference between the taps' clocks jumps by {show_duration(abs(step))}"
            for step in self.steps_s
        )

    def notes(self) -> list[str]:
        """What a reader must know of them."""
        if self.lower_s is None or self.upper_s is None:
            return ["packets went one way only: the captures do not tell how far the clocks differ"]
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


def clock_of(paired: Comparison, given: GivenClock) -> Clock:
    """What is given and what the packets tell.

    No packet arrives before it is sent: the smallest delay of one direction bounds the offset from
    above, that of the other from below.
    """
    least: dict[bool, int] = {}
    for flow in paired.flows:
        arrived = flow.pairs.fate == Fate.ARRIVED.value
        if arrived.any():
            delays = flow.pairs.received_ns[arrived] - flow.pairs.sent_ns[arrived]
            least[flow.forward] = min(least.get(flow.forward, _MOST_NS), int(delays.min()))
    upper = least[True] / NS_PER_S if True in least else None
    lower = -least[False] / NS_PER_S if False in least else None
    uncertainty_s, origin = given.uncertainty_s, "given"
    if uncertainty_s is None:
        origin = ""
        if lower is not None and upper is not None:
            uncertainty_s, origin = max(-lower, upper), "smallest delays of both directions"
    return Clock(
        given.offset_s, uncertainty_s, origin,
        None if lower is None else given.offset_s + lower,
        None if upper is None else given.offset_s + upper,
    )  # fmt: skip
