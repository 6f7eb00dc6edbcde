"""KPI of one stream over the judged steps: value, bounds, budget and what stands against it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.measure import doubt, metrics
from bench.measure import statistics as st
from bench.measure.bounds import effective_binomial
from bench.measure.copies import copies_problem
from bench.measure.floor import NoiseFloor
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.pairing import Flow, by_sequence, distinct, flow_of
from bench.network.scenario import Schedule, Window
from bench.sessions.cells import unverified_changes
from bench.sessions.exposing import unverified_exposures
from bench.sessions.recording import Recording
from bench.units import show_duration

QUANTILES = {"delay-p99": 0.99, "delay-p999": 0.999, "ipdv-p99": 0.99, "pdv-p999": 0.999}
METRICS = (*QUANTILES, "delay-max", "rfc3550-jitter", "loss", "rate")
TIME_TERMS = ("tap", "clock")

_POINTLESS = frozenset({"rate", "frame-rate", "report-interval"})
"""Metrics of a stream at one place."""

LOSS_CHANCE = 5
"""One in how many independent losses may be taken for bursty: losses are rare where they are
judged, so that a burst is easily missed and costs little to suspect."""


def measure_kpi(
    recordings: Sequence[Recording],
    stream: str,
    metric: str,
    *,
    confidence: float,
    floor: NoiseFloor | None,
) -> Measurement:
    """One metric of one stream over every judged ``within`` or ``at`` step.

    Raises:
        KeyError: a metric that the bench does not know.
    """
    if metric not in METRICS:
        raise KeyError(metric)
    problems: list[str] = []
    parts: list[Flow] = []
    seconds = 0.0
    for recording in recordings:
        problems += evidence_problems(recording)
        flow = flow_of(recording, stream)
        whole = by_sequence(flow)
        for window in judged(recording.schedule):
            parts.append(whole.sent_between(window.start_ns, window.end_ns))
            seconds += (window.end_ns - window.start_ns) / 1e9
        problems += flow_problems(recording, flow, stream)
    sent = any(len(part) for part in parts)
    budget, terms = _budget(recordings, stream, metric, floor, seconds) if sent else ((), ())
    return measure_flow(
        parts, seconds, metric,
        confidence=confidence, budget=budget, terms=terms, problems=problems,
        known_effect=max(_intended_effect(recording, stream) for recording in recordings),
    )  # fmt: skip


def measure_flow(
    parts: Sequence[Flow], seconds: float, metric: str, *,
    confidence: float, budget: tuple[UncertaintyTerm, ...], terms: tuple[str, ...],
    problems: Sequence[str] = (), known_effect: float = 1.0,
) -> Measurement:  # fmt: skip
    """One metric of one stream, of all parts together.

    The value is that of the packets whose fate is known. Where the fate of some cannot be told,
    the lower bound takes them at their better end and the upper bound at their worse.

    Args:
        parts: what was observed of the stream, in order of time.
        seconds: how long the parts are together.
        metric: one of :data:`METRICS`.
        confidence: of each bound.
        budget: contributions to the uncertainty.
        terms: names of those without which nothing passes.
        problems: why this evidence cannot back a verdict.
        known_effect: design effect of losses that the path is known to have.

    Raises:
        KeyError: a metric that the bench does not know.
    """
    if metric not in METRICS:
        raise KeyError(metric)
    if not sum(len(part) for part in parts):
        problems = (*problems, "the stream sent nothing in the judged steps")
        return Measurement(
            None, _unit(metric), 0, metric, points_of(metric), problems=tuple(problems)
        )
    found = _figures(list(parts), seconds, metric, confidence, known_effect)
    return Measurement(
        unit=_unit(metric),
        method=metric,
        reference_points=points_of(metric),
        confidence=confidence,
        budget=budget,
        required_terms=terms,
        problems=tuple(problems),
        **found,  # type: ignore[arg-type]
    )


def judged(schedule: Schedule) -> list[Window]:
    """The steps that KPI are judged in: inside the device's limits, or at them."""
    return [w for w in schedule.windows if w.judged and w.role in ("within", "at")]


def evidence_problems(recording: Recording) -> list[str]:
    """Why a recording as a whole cannot back a verdict on the device."""
    health = recording.health
    problems = []
    if not health.complete:
        problems.append("the recording is incomplete")
    if health.tap_drops:
        problems.append(f"the taps dropped {health.tap_drops} packets")
    if health.emulator_drops:
        problems.append(f"the emulator dropped {health.emulator_drops} packets on its own")
    if not health.clock_step_s <= 1e-3:
        problems.append(f"the clock stepped by {show_duration(health.clock_step_s)}")
    return [*problems, *unverified_exposures(recording), *unverified_changes(recording)]


def flow_problems(recording: Recording, flow: Flow, stream: str) -> list[str]:
    """Why the packets of a stream cannot back a verdict: the taps contradict each other."""
    problems = []
    if len(flow.delay_s) and flow.delay_s.min() < 0:
        problems.append(f"negative delay {show_duration(float(flow.delay_s.min()))} of {stream}")
    if flow.unmatched:
        problems.append(f"{flow.unmatched} packets of {stream} arrived that no tap saw being sent")
    repeated = len(flow) - distinct((flow.link << 32) | flow.seq)
    if repeated:
        problems.append(f"{repeated} packets of {stream} were sent under a number already used")
    elif problem := copies_problem(recording, flow, recording.device.stream(stream).direction):
        problems.append(f"{problem} of {stream}")
    return problems


def _intended_effect(recording: Recording, stream: str) -> float:
    """Design effect of the losses that the judged steps intend: known, also where none came."""
    schedule, direction = recording.schedule, recording.device.stream(stream).direction
    largest = 1.0
    for link in schedule.links:
        changes = schedule.of(link, direction)
        ends = [t_ns for t_ns, _ in changes[1:]] + [schedule.end_ns]
        for (start_ns, state), end_ns in zip(changes, ends, strict=False):
            met = any(w.start_ns < end_ns and start_ns < w.end_ns for w in judged(schedule))
            if met and state.loss is not None:
                largest = max(largest, state.loss.effect)
    return largest


def points_of(metric: str) -> str:
    """Between which reference points a metric is measured here."""
    return "none" if metric in _POINTLESS else "interface-interface"


def _unit(metric: str) -> str:
    return {"loss": "1", "rate": "bit/s"}.get(metric, "s")


def _figures(
    parts: list[Flow], seconds: float, metric: str, confidence: float, known_effect: float
) -> dict[str, object]:
    if metric == "rate":
        return _rate(parts, seconds)
    if metric == "loss":
        return doubt.loss_bounds(parts, lambda of: _loss(of, confidence, known_effect))
    if metric == "rfc3550-jitter":
        return _jitter(parts)
    if metric == "delay-max":
        return doubt.largest_delay(parts)
    values = {
        "delay-p99": doubt.delays,
        "delay-p999": doubt.delays,
        "ipdv-p99": doubt.variations,
        "pdv-p999": doubt.above_least,
    }[metric]
    return doubt.bounded(
        [values(part) for part in parts],
        lambda series: _quantile(series, QUANTILES[metric], confidence),
    )


def _quantile(series: st.Floats, q: float, confidence: float) -> dict[str, object]:
    """Distribution-free bounds; ranks are taken at the effective sample size.

    A series that follows itself is thinned to that size.
    """
    n = len(series)
    if n == 0:
        return {"value": None, "n": 0, "needed_n": st.quantile_samples_needed(q, confidence)}
    ordered = np.sort(series)
    value = st.quantile(ordered, q)
    finite = ordered[np.isfinite(ordered)]
    largest = float(finite[-1]) if len(finite) else math.inf
    followed = st.autocorrelation_effect(np.minimum(series, largest)) if len(finite) else 1.0
    effect = max(followed, st.burst_design_effect(series > min(value, largest)))
    effective = ordered
    if effect > 1.0:
        count = max(1, int(n / effect))
        positions = np.linspace(0, n - 1, count).round().astype(int)
        effective = ordered[positions]
    upper = st.quantile_upper(effective, q, confidence)
    needed = math.ceil(st.quantile_samples_needed(q, confidence) * effect)
    return {
        "value": value,
        "n": n,
        "lower": st.quantile_lower(effective, q, confidence),
        "upper": upper,
        "extreme": largest,
        "needed_n": needed if upper is None else None,
        "details": {"effective_n": float(len(effective))},
    }


def _loss(parts: list[Flow], confidence: float, known_effect: float) -> dict[str, object]:
    counts = [metrics.loss(part) for part in parts]
    lost, n = sum(k for k, _ in counts), sum(d for _, d in counts)
    flags = np.concatenate([part.lost[part.decidable] for part in parts])
    effect = max(known_effect, st.burst_design_effect(flags, LOSS_CHANCE))
    lower, upper = effective_binomial(lost, n, effect, confidence)
    runs = [length for part in parts for length in metrics.loss_periods(part)]
    return {
        "value": lost / n if n else None,
        "n": n,
        "lower": lower,
        "upper": upper if n else None,
        "details": {
            "lost": float(lost),
            "loss_periods": float(len(runs)),
            "longest_loss_period": float(max(runs, default=0)),
            "in_flight": float(sum(int(part.in_flight.sum()) for part in parts)),
            "design_effect": effect,
        },
    }


def _rate(parts: list[Flow], seconds: float) -> dict[str, object]:
    rates = [metrics.payload_rate_bps(part, 1.0) for part in parts]
    value = sum(rates) / seconds if seconds else None
    return {"value": value, "n": sum(len(p) for p in parts), "lower": value, "upper": value}


def _jitter(parts: list[Flow]) -> dict[str, object]:
    found = [doubt.jitter(part) for part in parts]
    lower, value, upper = (float(np.max(column)) for column in zip(*found, strict=True))
    n = sum(int(part.arrived.sum()) for part in parts)
    return {"value": value, "n": n, "lower": lower, "upper": upper}


def _budget(
    recordings: Sequence[Recording],
    stream: str,
    metric: str,
    floor: NoiseFloor | None,
    seconds: float,
) -> tuple[tuple[UncertaintyTerm, ...], tuple[str, ...]]:
    """Terms of a time or of a rate; a count of packets has none beyond its bounds."""
    if metric == "loss":
        return (), ()
    if metric == "rate":
        packet_bits = 8 * recordings[0].device.stream(stream).payload_bytes
        count = recordings[0].device.stream(stream).packets
        edge = packet_bits * count / seconds / math.sqrt(3)
        return (UncertaintyTerm("edge", edge, "one period at the window's edges, rectangular"),), (
            "edge",
        )
    return time_budget(recordings, stream, floor), TIME_TERMS


def time_budget(
    recordings: Sequence[Recording], stream: str, floor: NoiseFloor | None
) -> tuple[UncertaintyTerm, ...]:
    """The uncertainty of a time between two taps, in s.

    ``tap``: two software stamps differ from the interface by at most what an unimpaired path
    takes (median of the noise floor), rectangular. ``clock``: the largest disagreement of the
    clock pairs, rectangular. Both are zero, and present, on a virtual clock. ``emulator``: how far
    its delays were off, where that was proven.
    """
    if all(recording.bench == "virtual" for recording in recordings):
        exact = "virtual clock: exact"
        return UncertaintyTerm("tap", 0.0, exact), UncertaintyTerm("clock", 0.0, exact)
    step = max(recording.health.clock_step_s for recording in recordings)
    clock = UncertaintyTerm("clock", step / math.sqrt(3), "clock pairs, rectangular")
    found = floor.stream(stream) if floor is not None else None
    if found is None or not math.isfinite(found.p50):
        return (clock,)
    origin = "median of the noise floor, rectangular"
    tap = UncertaintyTerm("tap", found.p50 / math.sqrt(3), origin)
    if floor is None or floor.emulator_s is None:
        return tap, clock
    origin = "worst median error of the emulator's delays in the proof before the run, rectangular"
    return tap, clock, UncertaintyTerm("emulator", floor.emulator_s / math.sqrt(3), origin)
