"""How much evidence shows a limit, said before anything runs.

Two counts throughout: what suffices if nothing goes wrong (no loss, no value beyond the
percentile's limit), and what decides with power: a device at half its limit passes, one at twice
its limit fails, each in nine of ten runs (``bench.measure.power``).
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.devices.profile import Stream
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import QUANTILES
from bench.measure.power import pass_power, samples_for_power
from bench.measure.statistics import trials_needed
from bench.units import show_duration

MARGIN = 1.1
"""Planned time over needed time."""

RESOLUTION = 3.0
"""A limit must lie this many noise floors above what is intended."""

_SECONDS_FOR_A_RATE = 10.0

_PER_SAMPLE = {"ipdv-p99": 4}
"""Samples per independent one. One late packet gives two large variations in a row, for which the
design effect counts (1 + ½) / (1 − ½); a sample fixes that effect badly."""


@dataclass(frozen=True, slots=True)
class Odds:
    """A limit as the probability of an event, and the probability at half and at twice the limit.

    ``each``: samples that count for one independent one. For a percentile the event is a value
    beyond the limit. Where half and twice the limit put the share beyond it depends on the tail:
    here it falls exponentially, so that half the limit squares the share and twice the limit takes
    its root. A longer tail has less power.
    """

    p: float
    good: float
    bad: float
    each: int = 1

    def needed(self, confidence: float, allowed: int = 0) -> int:
        """Samples after which ``allowed`` events still show the limit."""
        return self.each * trials_needed(self.p, confidence, allowed)

    def needed_for_power(self, confidence: float) -> int:
        """Samples that decide on half and on twice the limit often enough."""
        return self.each * samples_for_power(self.p, self.good, self.bad, confidence)

    def power_at_half(self, n: int, confidence: float) -> float:
        """How often ``n`` samples pass a device at half its limit."""
        return pass_power(n // self.each, self.p, self.good, confidence)


def odds_of(metric: str, limit: float | None) -> Odds | None:
    """The odds that a limit of a metric stands for; ``None`` where it is none.

    That is where the metric is no share of samples, or where no number of samples shows the limit
    (a loss of zero) or none is needed (a loss of one).
    """
    if metric in QUANTILES:
        p = 1 - QUANTILES[metric]
        return Odds(p, p**2, p**0.5, _PER_SAMPLE.get(metric, 1))
    share = {"loss": limit, "delivery-ratio": None if limit is None else 1 - limit}.get(metric)
    if share is None or not 0 < share < 1:
        return None
    return odds_of_share(share)


def odds_of_share(share: float) -> Odds:
    """A limit that is a share itself: of packets that may be lost, of trials that may fail."""
    return Odds(share, share / 2, min(1.0, 2 * share))


def samples_needed(metric: str, limit: float | None, confidence: float, allowed: int = 0) -> int:
    """Samples after which ``allowed`` exceedances or losses still show the limit.

    A loss limit is a probability; a percentile's is the share beyond it. Other metrics take one.
    """
    odds = odds_of(metric, limit)
    return odds.needed(confidence, allowed) if odds is not None else 1


def seconds_of(stream: Stream, count: float) -> float:
    """How long a stream must run for so many samples, with :data:`MARGIN`, in s."""
    return MARGIN * count / stream.packets_per_s


def seconds_needed(
    stream: Stream, metric: str, limit: float | None, confidence: float, allowed: int = 0
) -> float:
    """How long a stream must run for the evidence, with :data:`MARGIN`, in s."""
    if metric == "rate":
        return max(_SECONDS_FOR_A_RATE, 20 * stream.period_s)
    return seconds_of(stream, samples_needed(metric, limit, confidence, allowed))


def resolvable(
    limit: float, intended: float, floor: NoiseFloor, stream: str, metric: str
) -> tuple[bool, str]:
    """Whether this host can tell a limit from its own noise, and the figures as text."""
    found = floor.stream(stream)
    if found is None:
        return False, "no noise floor was measured"
    noise = found.of(metric)
    room = limit - intended
    text = (
        f"limit {show_duration(limit)}, intended {show_duration(intended)}, "
        f"noise floor {show_duration(noise)} ({metric}); "
        f"{RESOLUTION:g} floors must fit into {show_duration(room)}"
    )
    return room > RESOLUTION * noise, text
