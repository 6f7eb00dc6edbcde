"""What the plots show, as small arrays: binned delay and loss, tail distributions, intervals.

Pure functions of a recording. Every result is bounded in size, whatever the recording's length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.measure.pairing import Flow, flow_of
from bench.network.impairment import DIRECTIONS
from bench.sessions.recording import Event, Recording
from bench.units import NS_PER_S

Floats = NDArray[np.float64]

_SOURCE_TAP = ("doctor", "patient")


@dataclass(frozen=True, slots=True, eq=False)
class Flights:
    """The packets of one stream in one direction over one link, in order of sending.

    ``sent_s``: shape ``(n,)``, seconds from the session's start at the source's tap.
    ``delay_s``: shape ``(n,)``, one way, tap to tap; NaN where the packet never arrived.
    """

    sent_s: Floats
    delay_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """A delay series in equal bins, arrays of shape ``(bins,)``, NaN in bins without a packet.

    ``loss``: lost by sent in the bin; NaN where nothing was sent.
    """

    t_s: Floats
    p50_s: Floats
    low_s: Floats
    high_s: Floats
    loss: Floats


@dataclass(frozen=True, slots=True)
class Span:
    """Something that held from ``start_s`` to ``end_s``; ``open`` where its end was not seen."""

    start_s: float
    end_s: float
    label: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class AlarmLane:
    """One alarm on one side: when its signal was on, and what the device's log says of it."""

    side: str
    alarm: str
    priority: str
    signals: tuple[Span, ...]
    conditions: tuple[Span, ...]


def flights(flow: Flow, link: int | None = None) -> Flights:
    """One link's part of a paired stream, or all; packets still on their way are left out."""
    known = flow.arrived | ~flow.in_flight
    if link is not None:
        known &= flow.link == link
    delay_s = np.full(len(flow), np.nan)
    delay_s[flow.arrived] = flow.delay_s
    return Flights(flow.sent_ns[known] / NS_PER_S, delay_s[known])


def envelope(series: Flights, stop_s: float, bins: int = 240) -> Envelope:
    """Median, least and largest delay and the loss in ``bins`` equal bins from 0 to ``stop_s``."""
    edges = np.linspace(0.0, max(stop_s, 1e-9), bins + 1)
    place = np.clip(np.searchsorted(edges, series.sent_s, side="right") - 1, 0, bins - 1)
    p50, low, high, loss = (np.full(bins, np.nan) for _ in range(4))
    sent = np.bincount(place, minlength=bins)
    arrived = ~np.isnan(series.delay_s)
    there, delays = place[arrived], series.delay_s[arrived]
    order = np.lexsort((delays, there))
    delays = delays[order]
    count = np.bincount(there, minlength=bins)
    first = np.cumsum(count) - count
    some, any_sent = count > 0, sent > 0
    n, begin = count[some], first[some]
    p50[some] = (delays[begin + (n - 1) // 2] + delays[begin + n // 2]) / 2
    low[some], high[some] = delays[begin], delays[begin + n - 1]
    loss[any_sent] = 1 - count[any_sent] / sent[any_sent]
    return Envelope((edges[:-1] + edges[1:]) / 2, p50, low, high, loss)


def tail(delay_s: Floats, points: int = 160) -> tuple[Floats, Floats]:
    """The complementary distribution: ``(x, share of packets with a delay above x)``.

    Losses (NaN) stay in the share to the end, as late for ever. At most ``points`` points,
    spaced evenly in the logarithm of the share, so that the tail keeps its detail.
    """
    total = len(delay_s)
    x = np.sort(delay_s[~np.isnan(delay_s)])
    if not len(x):
        return np.zeros(0), np.zeros(0)
    above = (total - np.arange(len(x))) / total
    if len(x) > points:
        ranks = total - np.geomspace(total, total - len(x) + 1, points)
        keep = np.unique(np.clip(np.round(ranks).astype(np.int64), 0, len(x) - 1))
        x, above = x[keep], above[keep]
    return x, above


def judged_delays(recording: Recording, stream: str) -> Floats:
    """The delays of a stream over all links inside the judged steps ``within`` and ``at``."""
    flow, parts = flow_of(recording, stream), []
    for window in recording.schedule.windows:
        if window.judged and window.role != "beyond":
            parts.append(flights(flow.sent_between(window.start_ns, window.end_ns)).delay_s)
    return np.concatenate(parts) if parts else np.zeros(0)


def present(recording: Recording) -> tuple[tuple[int, int, int], ...]:
    """The (stream, direction, link) that carried packets, as a source's tap saw them."""
    rows = recording.packets.rows
    found: set[tuple[int, int, int]] = set()
    for direction in range(len(DIRECTIONS)):
        part = recording.packets.where(tap=_SOURCE_TAP[direction], direction=direction).rows
        if len(part):
            pairs = np.unique(part["stream"].astype(np.int64) * 256 + part["link"])
            found |= {(int(p) // 256, direction, int(p) % 256) for p in pairs}
    return tuple(sorted(found)) if len(rows) else ()


def end_s(recording: Recording) -> float:
    """The end of the time axis in s: the schedule's, never before the last thing seen."""
    last_ns = [recording.schedule.end_ns]
    if len(recording.packets):
        last_ns.append(int(recording.packets.rows["t_ns"].max()))
    last_ns += [event.t_ns for event in recording.events]
    return max(last_ns) / NS_PER_S


def alarm_lanes(recording: Recording) -> tuple[AlarmLane, ...]:
    """When each alarm signalled, per side, with the condition from the device's own log."""
    stop = end_s(recording)
    lanes: dict[tuple[str, str], str] = {}
    for event in recording.named("alarm-signal"):
        value = _mapping(event)
        key = (event.side, str(value.get("alarm", "?")))
        lanes[key] = str(value.get("priority") or lanes.get(key) or "?")
    result = []
    for (side, alarm), priority in sorted(lanes.items()):
        signals = _of_alarm(recording.named("alarm-signal", side=side), alarm)
        conditions = _of_alarm(recording.named("alarm-condition", side=side), alarm)
        result.append(
            AlarmLane(side, alarm, priority, on_off(signals, stop), on_off(conditions, stop))
        )
    return tuple(result)


def contact_spans(recording: Recording, name: str, side: str | None = None) -> tuple[Span, ...]:
    """When a contact (``motion``, ``brake``, ``stop-button``) was closed."""
    marks = [(e.t_ns, _truth(e.value)) for e in recording.named(name, side=side)]
    return on_off(marks, end_s(recording))


def connected_spans(recording: Recording, side: str) -> tuple[Span, ...]:
    """When a side's log says that it was connected."""
    marks = [
        (e.t_ns, _truth(_mapping(e).get("up"))) for e in recording.named("connection", side=side)
    ]
    return on_off(marks, end_s(recording))


def state_spans(recording: Recording, name: str, side: str) -> tuple[Span, ...]:
    """Successive values of a log entry with ``from`` and ``to`` (``state``, ``link-switch``)."""
    events = recording.named(name, side=side)
    if not events:
        return ()
    stop = end_s(recording)
    first = _mapping(events[0])
    spans = []
    start, label = 0.0, _name(first.get("from"))
    for event in events:
        now = event.t_ns / NS_PER_S
        if label and now > start:
            spans.append(Span(start, now, label))
        start, label = now, _name(_mapping(event).get("to"))
    spans.append(Span(start, stop, label, open=True))
    return tuple(spans)


def on_off(marks: Iterable[tuple[int, bool]], stop_s: float) -> tuple[Span, ...]:
    """Intervals out of switching marks ``(t_ns, on)``; the last may still be on at the stop."""
    spans: list[Span] = []
    since: float | None = None
    for t_ns, on in sorted(marks, key=lambda mark: mark[0]):
        now = t_ns / NS_PER_S
        if on and since is None:
            since = now
        elif not on and since is not None:
            spans.append(Span(since, now))
            since = None
    if since is not None:
        spans.append(Span(since, max(stop_s, since), open=True))
    return tuple(spans)


def finite_range(arrays: Iterable[Floats]) -> tuple[float, float] | None:
    """Least and largest positive finite value, or ``None`` where there is none."""
    low, high = math.inf, -math.inf
    for array in arrays:
        good = array[np.isfinite(array) & (array > 0)]
        if len(good):
            low, high = min(low, float(good.min())), max(high, float(good.max()))
    return (low, high) if low <= high else None


def _of_alarm(events: Iterable[Event], alarm: str) -> list[tuple[int, bool]]:
    return [
        (event.t_ns, _truth(_mapping(event).get("on")))
        for event in events
        if str(_mapping(event).get("alarm", "?")) == alarm
    ]


def _mapping(event: Event) -> Mapping[str, Any]:
    return event.value if isinstance(event.value, Mapping) else {}


def _truth(value: Any) -> bool:
    return value in (1, True)


def _name(value: Any) -> str:
    return "" if value is None else str(value)
