"""What it takes to show something, said before anything runs."""

from __future__ import annotations

from bench.devices.profile import Stream
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import QUANTILES
from bench.measure.statistics import quantile_samples_needed, trials_needed
from bench.units import show_duration

MARGIN = 1.1
"""Planned evidence over needed evidence."""

RESOLUTION = 3.0
"""A limit must lie this many noise floors above what is intended."""

_SECONDS_FOR_A_RATE = 10.0

_PER_SAMPLE = {"ipdv-p99": 3}
"""Samples per independent one: one late packet gives two large variations in a row, for which
the design effect counts (1 + ½) / (1 − ½)."""


def samples_needed(metric: str, limit: float | None, confidence: float, allowed: int = 0) -> int:
    """Samples after which ``allowed`` exceedances or losses still show the limit.

    A loss limit is a probability; a percentile's is the share beyond it. Other metrics take one.
    """
    if metric == "loss":
        if limit is None or not 0 < limit < 1:
            return 1
        return trials_needed(limit, confidence, allowed)
    if metric in QUANTILES:
        return quantile_samples_needed(QUANTILES[metric], confidence, allowed)
    return 1


def seconds_needed(
    stream: Stream, metric: str, limit: float | None, confidence: float, allowed: int = 0
) -> float:
    """How long a stream must run for the evidence, with :data:`MARGIN`, in s."""
    if metric == "rate":
        return max(_SECONDS_FOR_A_RATE, 20 * stream.period_s)
    count = samples_needed(metric, limit, confidence, allowed)
    return MARGIN * count * _PER_SAMPLE.get(metric, 1) / stream.packets_per_s


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
