"""The stimulus check: what each step was meant to do, was told to do, and did, from the taps.

The intended figures are those of the law itself, run over the packets that the taps saw being
sent. Nothing here looks at the device's response.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.measure.floor import NoiseFloor
from bench.measure.pairing import MISSING, pair
from bench.network.impairment import DIRECTIONS, Direction, Impairment
from bench.network.laws import DirectionLaw
from bench.network.scenario import Window
from bench.sessions.packets import TAPS, PacketTable
from bench.sessions.recording import Recording
from bench.units import show_duration

_GUARD_S = 0.005
"""A packet this close to a change may meet either state: it is not counted."""
_SLICE_S = 20.0
"""Of a longer phase, this much from its start is checked."""
_ERROR = 1e-6
"""Probability that a right loss is refused, two-sided."""
_LATENESS_P99_S = 0.001
_STALL_S = 0.05


@dataclass(frozen=True, slots=True)
class StepStimulus:
    """One phase of a step on one link direction. Delays in s, loss as a ratio.

    ``intended``/``commanded``: in words. ``intended_*``: from the law over the packets sent.
    ``achieved_*``: from the two taps. ``floor_p50_s``/``floor_p99_s``: the unimpaired path.
    """

    step: str
    phase: str
    role: str
    link: str
    direction: str
    intended: str
    commanded: str
    achieved: str
    floor: str
    sent: int
    intended_p50_s: float | None
    achieved_p50_s: float | None
    intended_p95_s: float | None
    achieved_p95_s: float | None
    intended_loss: float
    achieved_loss: float | None
    ok: bool
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class _Sent:
    """What one link direction carried: seen and modelled, arrays of shape ``(n,)``."""

    sent_ns: NDArray[np.int64]
    seen_ns: NDArray[np.int64]
    due_ns: NDArray[np.int64]
    decidable: NDArray[np.bool_]


def achieved(recording: Recording, floor: NoiseFloor | None) -> tuple[StepStimulus, ...]:
    """Every phase of every step, on every link and direction."""
    rows = []
    for link_index, link in enumerate(recording.schedule.links):
        for direction_index, direction in enumerate(DIRECTIONS):
            sent = _seen_and_modelled(recording, link_index, link, direction_index, direction)
            for window, phase, start, end in _phases(recording):
                state = _state_at(recording, link, direction, start)
                rows.append(
                    _check(recording, floor, sent, state, window, phase, (start, end),
                           (link, direction))
                )  # fmt: skip
    return tuple(rows)


def _phases(recording: Recording) -> Iterator[tuple[Window, str, int, int]]:
    for window in recording.schedule.windows:
        for phase, start, end in window.phases or ((window.name, window.start_ns, window.end_ns),):
            yield window, phase, start, end


def _state_at(
    recording: Recording, link: str, direction: Direction, start_ns: int
) -> tuple[Impairment, str]:
    """The last impairment set by ``start_ns``, and how it was commanded."""
    state = Impairment()
    for t_ns, impairment in recording.schedule.of(link, direction):
        if t_ns <= start_ns:
            state = impairment
    commanded = [
        c for c in recording.changes
        if c.link == link and c.direction == direction and c.t_ns <= start_ns
    ]  # fmt: skip
    return state, commanded[-1].intended if commanded else "nothing commanded"


def _seen_and_modelled(
    recording: Recording, link_index: int, link: str, way: int, direction: Direction
) -> _Sent:
    table = recording.packets.where(link=link_index, direction=way)
    near = table.where(tap=TAPS[0] if way == 0 else TAPS[1]).rows
    spans = [(start, min(end, start + int(_SLICE_S * 1e9))) for _, _, start, end in
             _phases(recording)]  # fmt: skip
    flows = [
        pair(PacketTable(table.rows[table.rows["stream"] == stream]), way, recording.schedule.end_ns)
        for stream in np.unique(near["stream"])
    ]
    if not flows:
        empty = np.zeros(0, dtype=np.int64)
        return _Sent(empty, empty, empty, np.zeros(0, dtype=bool))
    sent = np.concatenate([flow.sent_ns for flow in flows])
    order = np.argsort(sent, kind="stable")
    kept = np.zeros(len(sent), dtype=bool)
    for start, end in spans:
        kept |= (sent >= start) & (sent < end)
    order = order[kept[order]]
    sent = sent[order]
    size = np.concatenate([flow.size for flow in flows])[order]
    seen = np.concatenate([flow.received_ns for flow in flows])[order]
    decidable = np.concatenate([~flow.in_flight for flow in flows])[order]
    law = DirectionLaw(recording.schedule.of(link, direction), seed=1, name=f"model/{link}")
    pairs = zip(sent.tolist(), size.tolist(), strict=True)
    due = np.array([law.offer(t, size) for t, size in pairs], dtype=np.int64)
    return _Sent(sent, seen, due, decidable)


def _check(
    recording: Recording,
    floor: NoiseFloor | None,
    sent: _Sent,
    state: tuple[Impairment, str],
    window: Window,
    phase: str,
    span: tuple[int, int],
    place: tuple[str, str],
) -> StepStimulus:
    guard = int(_GUARD_S * 1e9) if recording.bench != "virtual" else 0
    start, end = span[0] + guard, min(span[1] - guard, span[0] + int(_SLICE_S * 1e9))
    mask = (sent.sent_ns >= start) & (sent.sent_ns < end) & sent.decidable
    sent_ns, seen, due = sent.sent_ns[mask], sent.seen_ns[mask], sent.due_ns[mask]
    arrived = seen != MISSING
    impairment, commanded = state
    down = not impairment.up
    loss = 1.0 if down else (impairment.loss.ratio if impairment.loss else 0.0)
    got = (seen - sent_ns)[arrived] / 1e9
    meant = (due - sent_ns)[due >= 0] / 1e9
    worst = floor.stream("") if floor is not None and recording.bench != "virtual" else None
    noise = (worst.p50, worst.p99) if worst is not None else (0.0, 0.0)
    lost = int((~arrived).sum())
    reason = _objection(len(sent_ns), lost, loss, got, meant, noise, impairment)
    p50, p95 = _quantiles(got)
    m50, m95 = _quantiles(meant)
    ratio = lost / len(sent_ns) if len(sent_ns) else None
    return StepStimulus(
        step=window.name,
        phase=phase,
        role=window.role,
        link=place[0],
        direction=place[1],
        intended=impairment.describe(),
        commanded=commanded,
        achieved=_words(p50, p95, ratio, lost, len(sent_ns)),
        floor=f"{show_duration(noise[0])} (p99 {show_duration(noise[1])})",
        sent=len(sent_ns),
        intended_p50_s=m50,
        achieved_p50_s=p50,
        intended_p95_s=m95,
        achieved_p95_s=p95,
        intended_loss=loss,
        achieved_loss=ratio,
        ok=not reason,
        reason=reason,
    )


def _quantiles(delay: NDArray[np.float64]) -> tuple[float | None, float | None]:
    if not len(delay):
        return None, None
    return float(np.quantile(delay, 0.5)), float(np.quantile(delay, 0.95))


def _words(
    p50: float | None, p95: float | None, ratio: float | None, lost: int, sent: int
) -> str:
    if not sent:
        return "no packet sent"
    if p50 is None:
        return f"nothing of {sent} arrived"
    return f"p50 {show_duration(p50)}, p95 {show_duration(p95)}, lost {lost} of {sent} ({ratio:.3g})"


def _objection(
    sent: int,
    lost: int,
    loss: float,
    got: NDArray[np.float64],
    meant: NDArray[np.float64],
    noise: tuple[float, float],
    impairment: Impairment,
) -> str:
    """Why the impairment was not achieved; empty if it was."""
    if sent == 0:
        return ""
    if loss >= 1.0:
        return "" if lost == sent else f"{sent - lost} of {sent} packets came through while down"
    effect = 1.0
    model = impairment.loss
    if model is not None and model.p_good_to_bad:
        rho = max(0.0, 1 - model.p_good_to_bad - model.p_bad_to_good)
        effect = (1 + rho) / (1 - rho) if rho < 1 else float(sent)
    trials, events = max(1, round(sent / effect)), round(lost / effect)
    low = stats.binom.cdf(events, trials, loss)
    high = stats.binom.sf(events - 1, trials, loss)
    if min(low, high) < _ERROR / 2:
        return f"lost {lost} of {sent} packets where {loss:.3g} was intended"
    if len(got) < 5 or len(meant) < 5:
        return ""
    for name, q, factor in (("median", 0.5, 1.0), ("95th percentile", 0.95, 2.0)):
        wanted, found = float(np.quantile(meant, q)), float(np.quantile(got, q))
        tolerance = factor * max(0.0005, 0.05 * wanted) + 3 * noise[0 if q == 0.5 else 1]
        if abs(found - wanted) > tolerance:
            return (
                f"{name} of the delay is {show_duration(found)} where {show_duration(wanted)} "
                f"± {show_duration(tolerance)} was intended"
            )
    return ""


def health_problems(recording: Recording) -> tuple[str, ...]:
    """Why the bench's own work in this session cannot be trusted as stimulus."""
    health = recording.health
    problems = []
    if recording.bench != "virtual" and not health.lateness_s:
        problems.append("the emulator did not report its lateness")
    if health.lateness_s.get("p99", 0.0) > _LATENESS_P99_S:
        problems.append(
            f"the emulator was late: p99 {show_duration(health.lateness_s['p99'])}, "
            f"limit {show_duration(_LATENESS_P99_S)}"
        )
    if health.lateness_s.get("max", 0.0) > _STALL_S:
        problems.append(f"the host stalled for {show_duration(health.lateness_s['max'])}")
    return tuple(problems)
