"""What each requirement takes to be shown: how many of what, how long, in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.devices.profile import DeviceProfile, Stream
from bench.judge.planning import odds_of, samples_needed, seconds_needed, seconds_of
from bench.measure.bounds import (
    BIT_ERROR_OBSERVABLE,
    bits_needed,
    longest_recovery_s,
    mtbf_time_needed,
    outage_free_time_needed,
)
from bench.measure.counted import LEAST_FRAMES
from bench.measure.kpi import METRICS, QUANTILES
from bench.measure.sequential import Sprt
from bench.measure.statistics import trials_needed
from bench.requirements.model import Requirement
from bench.units import show, show_duration

DAY_S = 86400.0

PROXY_MTBF_S = 30 * DAY_S
"""3GPP TR 22.826 asks this mean time between failures beside its availability targets."""

TRIAL_SUCCESS = 0.95
"""The success probability that a full set of trials shows."""

LONGEST_INTERRUPTION_S: Mapping[str, float] = {"REC-1": 600.0}
"""The longest interruption that a behaviour is meant to be tried after."""


@dataclass(frozen=True, slots=True)
class Need:
    """What it takes to show one limit for one stream.

    ``of``: what is counted. ``n``: the fewest that show it, if none of them is beyond the limit;
    ``seconds``: how long that takes at the stream's rate, margin included. ``power_n``,
    ``power_seconds``: the same to decide often enough (see ``bench.judge.planning``). ``sprt_n``:
    samples that a sequential test takes on average on a device at half its limit. All ``None``
    where there is no such figure. ``text``: the sentence; empty where nothing is known.
    """

    of: str = ""
    n: float | None = None
    seconds: float | None = None
    power_n: float | None = None
    power_seconds: float | None = None
    sprt_n: float | None = None
    text: str = ""


def need_of(
    requirement: Requirement, stream: Stream | None, profile: DeviceProfile, confidence: float
) -> Need:
    """What a requirement takes for a stream (``None``: it concerns none)."""
    limit = limit_of(requirement)
    if limit is not None and stream is not None and requirement.metric in (*METRICS, *_BY_RATE):
        return _BY_RATE.get(requirement.metric, _sampled)(
            requirement.metric, limit, stream, confidence
        )
    if limit is not None and requirement.metric in _BY_TIME:
        return _BY_TIME[requirement.metric](limit, profile, confidence)
    return Need()


def limit_of(requirement: Requirement) -> float | None:
    """The figure that evidence must reach: the upper end of a range."""
    if requirement.comparator == "in" and requirement.high is not None:
        return requirement.high
    return requirement.limit


# ---- at the rate of a stream -----------------------------------------------------------------


def _sampled(metric: str, limit: float, stream: Stream, confidence: float) -> Need:
    """What is counted in packets or values of one."""
    odds = odds_of(metric, limit)
    n = samples_needed(metric, limit, confidence)
    seconds = seconds_needed(stream, metric, limit, confidence)
    if odds is None:
        return Need("samples", n, seconds, text=_unbounded(metric, limit, seconds))
    power_n = odds.needed_for_power(confidence)
    sprt = Sprt(odds.good, odds.p, alpha=0.05, beta=1 - confidence)
    return Need(
        of="packets" if metric in ("loss", "delivery-ratio") else "samples",
        n=n,
        seconds=seconds,
        power_n=power_n,
        power_seconds=seconds_of(stream, power_n),
        sprt_n=odds.each * sprt.expected_n(odds.good),
        text=f"{_claim(metric, limit)} at {percent(confidence)} needs "
        f"{rough_time(n / stream.packets_per_s)} at {rate(stream)}",
    )


def _unbounded(metric: str, limit: float, seconds: float) -> str:
    if metric in ("loss", "delivery-ratio"):
        return f"no number of packets shows {_claim(metric, limit)}"
    return f"{metric} needs {rough_time(seconds)}"


def _claim(metric: str, limit: float) -> str:
    if metric in QUANTILES:
        return f"{metric}, the {100 * QUANTILES[metric]:g}th percentile,"
    return percent(limit) if metric == "delivery-ratio" else f"{metric} {limit:g}"


def _bits(metric: str, limit: float, stream: Stream, confidence: float) -> Need:
    if not 0 < limit < 1:
        return Need("bits", text=f"no number of bits shows a bit error ratio of {limit:g}")
    bits = bits_needed(limit, confidence)
    seconds = bits / stream.rate_bps
    return Need(
        of="bits", n=bits, seconds=seconds,
        text=f"BER {limit:g} at {show(stream.rate_bps, 'bit/s')} needs {rough_time(seconds)} "
        f"without an error at {percent(confidence)}; observable: {BIT_ERROR_OBSERVABLE}",
    )  # fmt: skip


def _frames(metric: str, limit: float, stream: Stream, confidence: float) -> Need:
    """So many that one more or less does not matter."""
    seconds = (LEAST_FRAMES + 3) * stream.slices * stream.period_s
    return Need(
        of="frames", n=LEAST_FRAMES, seconds=seconds,
        text=f"{LEAST_FRAMES} frames take {rough_time(seconds)}",
    )  # fmt: skip


_BY_RATE: Mapping[str, Callable[[str, float, Stream, float], Need]] = {
    "bit-error-ratio": _bits,
    "frame-rate": _frames,
    "delivery-ratio": _sampled,
}


# ---- operating time --------------------------------------------------------------------------


def _mtbf(limit: float, profile: DeviceProfile, confidence: float) -> Need:
    if limit <= 0:
        return Need("s of operation")
    times = [mtbf_time_needed(limit, confidence, failures) for failures in range(3)]
    more = ", ".join(f"{rough_time(t)} with {r}" for r, t in enumerate(times) if r)
    return Need(
        of="s of operation", n=times[0], seconds=times[0],
        text=f"MTBF {rough_time(limit)} at {percent(confidence)} needs {rough_time(times[0])} "
        f"of operation without a failure ({more}); assumes a constant failure rate",
    )  # fmt: skip


def _availability(limit: float, profile: DeviceProfile, confidence: float) -> Need:
    """Outage-free time with the declared recovery time, and the proxy that can be tested."""
    if not 0 < limit < 1:
        return Need("s of operation", text=f"no time shows an availability of {percent(limit)}")
    proxy_s = longest_recovery_s(limit, PROXY_MTBF_S)
    proxy = (
        f"testable proxy: recovery within {show_duration(proxy_s)} at an MTBF of "
        f"{rough_time(PROXY_MTBF_S)}"
    )
    recovery_s = profile.declares.get("reconnect_within_s")
    if not recovery_s:
        return Need("s of operation", text=f"needs a declared recovery time; {proxy}")
    seconds = outage_free_time_needed(limit, recovery_s, confidence)
    return Need(
        of="s of operation", n=seconds, seconds=seconds,
        text=f"{percent(limit)} available at {percent(confidence)} needs {rough_time(seconds)} "
        f"without an interruption if none lasts beyond the declared {show_duration(recovery_s)} "
        f"(constant failure rate assumed); {proxy}",
    )  # fmt: skip


_BY_TIME: Mapping[str, Callable[[float, DeviceProfile, float], Need]] = {
    "mtbf": _mtbf,
    "availability": _availability,
}


# ---- trials ----------------------------------------------------------------------------------


def full_trials(confidence: float) -> int:
    """Trials that show :data:`TRIAL_SUCCESS` if all of them succeed (59 at 95 %)."""
    return trials_needed(1 - TRIAL_SUCCESS, confidence)


def trials_text(count: int, each_s: float, what: str = "trials") -> str:
    """``59 reconnections after 600 s need 9.8 h``: how long so many take, one after the other."""
    return f"{count} {what} need {rough_time(count * each_s)}"


# ---- words -----------------------------------------------------------------------------------


def percent(ratio: float) -> str:
    """A ratio as a percentage, every digit that it has."""
    return f"{100 * ratio:.10g} %"


def rate(stream: Stream) -> str:
    """The packet rate of a stream for people."""
    each_s = stream.packets_per_s
    return f"{each_s / 1000:.4g} kHz" if each_s >= 1000 else f"{each_s:.4g} packets/s"


def rough_time(seconds: float) -> str:
    """A time to plan with: two digits, in the unit that people count it in."""
    for unit_s, name in ((365 * DAY_S, "years"), (DAY_S, "days"), (3600.0, "h"), (60.0, "min")):
        value = seconds / unit_s
        if value >= (1.0 if name in ("years", "h") else 1.5):
            return f"{value:.0f} {name}" if value >= 10 else f"{value:.2g} {name}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
