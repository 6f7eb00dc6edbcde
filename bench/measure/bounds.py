"""Bounds of what is counted over bits, packets and operating time. One-sided at ``confidence``.

Each names its assumption. A lower and an upper bound together hold at 2·confidence − 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.measure.distributions import chi2_quantile, f_quantile
from bench.measure.statistics import binomial_lower, binomial_upper

BIT_ERROR_OBSERVABLE = (
    "bits compared behind the receiver and before any checksum; through UDP or TCP a bit error is "
    "a lost packet, and packets without loss bound it from above only"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """A value between its one-sided bounds. ``value`` is ``None`` where nothing was observed."""

    value: float | None
    lower: float
    upper: float


# ---- packets ---------------------------------------------------------------------------------


def effective_binomial(
    events: int, n: int, effect: float = 1.0, confidence: float = 0.95
) -> tuple[float, float]:
    """Exact bounds of a probability at the effective sample size ``n / effect``.

    Events are rounded outwards, so that the bounds only widen. Without samples: 0 and 1.
    """
    if n <= 0:
        return 0.0, 1.0
    size = max(1, int(n / effect))
    lower = binomial_lower(math.floor(events / effect), size, confidence)
    return lower, binomial_upper(math.ceil(events / effect), size, confidence)


def delivery_bounds(
    missed: int, sent: int, effect: float = 1.0, confidence: float = 0.95
) -> Bounds:
    """Packet reliability (3GPP TS 22.261): the share delivered in time; late is lost.

    Args:
        missed: packets that never came or came too late.
        sent: packets whose fate is known.
        effect: design effect of the misses (``burst_design_effect``).
        confidence: of each bound.
    """
    low, high = effective_binomial(missed, sent, effect, confidence)
    return Bounds(1 - missed / sent if sent else None, 1 - high, 1 - low)


# ---- bits ------------------------------------------------------------------------------------


def bit_error_bounds(errors: int, bits: float, confidence: float = 0.95) -> Bounds:
    """Bit error ratio, exact Poisson bounds (Garwood 1936).

    Assumes that errors are independent; errors in bursts are to be counted as bursts.
    :data:`BIT_ERROR_OBSERVABLE` says what must be observed.
    """
    if bits <= 0:
        return Bounds(None, 0.0, 1.0)
    lower = chi2_quantile(1 - confidence, 2 * errors) / 2 / bits if errors else 0.0
    upper = chi2_quantile(confidence, 2 * errors + 2) / 2 / bits
    return Bounds(errors / bits, float(lower), min(1.0, float(upper)))


def bits_needed(ratio: float, confidence: float = 0.95, allowed: int = 0) -> float:
    """Bits after which ``allowed`` errors still show a bit error ratio of at most ``ratio``."""
    return chi2_quantile(confidence, 2 * allowed + 2) / 2 / ratio


def bit_error_upper_from_loss(loss_upper: float, bits_per_packet: int) -> float:
    """What a bound on the loss of checked packets says of the bit error ratio.

    A packet with a bit error is dropped, so that loss ≥ 1 − (1 − ratio)^bits. Other losses only
    make the bound wider.
    """
    return -math.expm1(math.log1p(-loss_upper) / bits_per_packet) if loss_upper < 1 else 1.0


# ---- operating time --------------------------------------------------------------------------


def mtbf_bounds(time_s: float, failures: int, confidence: float = 0.95) -> Bounds:
    """Mean time between failures after a test that a clock ended (IEC 60605-4), in s.

    Assumes a constant failure rate: failures are Poisson. Without failure there is no upper bound.
    """
    if time_s <= 0:
        return Bounds(None, 0.0, math.inf)
    lower = 2 * time_s / chi2_quantile(confidence, 2 * failures + 2)
    upper = 2 * time_s / chi2_quantile(1 - confidence, 2 * failures) if failures else math.inf
    return Bounds(time_s / failures if failures else None, float(lower), float(upper))


def mtbf_time_needed(mtbf_s: float, confidence: float = 0.95, allowed: int = 0) -> float:
    """Operating time after which ``allowed`` failures still show an MTBF of ``mtbf_s``, in s."""
    return mtbf_s * chi2_quantile(confidence, 2 * allowed + 2) / 2


@dataclass(frozen=True, slots=True)
class Availability:
    """How long a service was there. ``failures``: interruptions beyond the survival time."""

    up_s: float
    down_s: float
    failures: int


def availability_of(gaps_s: Sequence[float], time_s: float, survival_s: float) -> Availability:
    """Time available with survival time (3GPP TS 22.104, 3.1).

    An interruption counts from the survival time on; a shorter one does not count.

    Args:
        gaps_s: durations of the interruptions within the observation.
        time_s: length of the observation.
        survival_s: how long the application goes on without its messages.

    Raises:
        ValueError: the interruptions are negative or longer than the observation.
    """
    if any(gap < 0 for gap in gaps_s) or sum(gaps_s) > time_s:
        raise ValueError("interruptions do not fit into the observation")
    down = [gap - survival_s for gap in gaps_s if gap > survival_s]
    return Availability(time_s - sum(down), sum(down), len(down))


def availability_bounds(found: Availability, confidence: float = 0.95) -> Bounds:
    """Availability as an alternating renewal process with exponential up and down times.

    The observation begins up and is ended by a clock. The ratio of mean down to mean up time
    times an F variate: F(2r + 2, 2r) for the lower bound, where the up time that the clock cut
    counts as one more failure, F(2r, 2r) for the upper one, where it counts as none. Without a
    failure nothing is known of the down time: the lower bound is 0, and
    :func:`availability_lower_outage_free` takes a declared one.
    """
    r, total = found.failures, found.up_s + found.down_s
    if total <= 0:
        return Bounds(None, 0.0, 1.0)
    if r == 0 or found.up_s <= 0:
        return Bounds(found.up_s / total, 0.0, 1.0)
    ratio = found.down_s / found.up_s
    most = ratio * (r + 1) / r * f_quantile(confidence, 2 * r + 2, 2 * r)
    least = ratio / f_quantile(confidence, 2 * r, 2 * r)
    return Bounds(found.up_s / total, 1 / (1 + most), 1 / (1 + least))


def availability_lower_outage_free(
    time_s: float, recovery_s: float, confidence: float = 0.95
) -> float:
    """Lower bound after ``time_s`` without an interruption, if none lasts beyond ``recovery_s``.

    Assumes a constant failure rate, and a recovery time that is shown otherwise (REC-1).
    """
    mtbf_s = mtbf_bounds(time_s, 0, confidence).lower
    return mtbf_s / (mtbf_s + recovery_s) if mtbf_s > 0 else 0.0


def outage_free_time_needed(
    availability: float, recovery_s: float, confidence: float = 0.95
) -> float:
    """Time without an interruption that shows an availability, in s; see above."""
    return mtbf_time_needed(recovery_s * availability / (1 - availability), confidence)


def longest_recovery_s(availability: float, mtbf_s: float) -> float:
    """The testable proxy: the mean recovery time that an availability leaves at an MTBF, in s."""
    return mtbf_s * (1 - availability) / availability
