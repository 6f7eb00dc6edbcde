"""Which streams flow, and which give way first: PATH-1, PATH-2 and US-1, one trial each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.devices.profile import AlarmProfile, Stream
from bench.devices.side import CONTROL
from bench.measure import events as ev
from bench.measure.metrics import delay_or_never, ranks
from bench.measure.pairing import flow_of
from bench.network.impairment import DIRECTIONS, FRAMING_BYTES
from bench.network.scenario import Window
from bench.sessions.packets import TAPS
from bench.sessions.recording import Recording
from bench.units import ns

FULL = 0.95
"""A stream that sends at least this share of its nominal packets takes its full rate."""

QUANTILE = 0.99
"""Of its delays, that a stream must keep below its limit."""

LEAST_S = 3.0
"""A shorter session shows no flows."""

_TAIL_NS = ns(0.1)
"""The last moment of a step: what is sent then meets the next one."""


def path_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The number of flows (stream, direction, link) that no declared stream accounts for.

    On a bench of real packets also one for packets at the taps that are none of the device's
    streams. Declared streams that never flowed are named in the details.
    """
    if recording.schedule.end_ns < ns(LEAST_S):
        raise ev.Cannot("the session is too short to show what flows")
    rows = recording.packets.rows
    rows = rows[rows["tap"] != TAPS.index("actuator")]
    seen = {tuple(flow) for flow in np.unique(rows[["stream", "direction", "link"]]).tolist()}
    declared = {
        (stream.code, way)
        for stream in recording.device.active_streams
        for way, direction in enumerate(DIRECTIONS)
        if stream.name == CONTROL or stream.direction == direction
    }
    flowing = {(stream, way) for stream, way, _ in seen}
    for way, direction in enumerate(DIRECTIONS):
        if not any(flow in declared and flow[1] == way for flow in flowing):
            raise ev.Cannot(f"no declared stream flowed {direction}: the capture shows nothing")
    foreign = recording.health.counters.get("tap/foreign", 0)
    unknown = sorted(flow for flow in seen if flow[:2] not in declared)
    silent = [
        stream.name
        for stream in recording.device.active_streams
        if not any(code == stream.code for code, _ in flowing)
    ]
    details: ev.Details = {
        "flows": float(len(seen)),
        "undeclared": ", ".join(f"stream {s} {DIRECTIONS[w]} link {n}" for s, w, n in unknown),
        "never_flowed": ", ".join(silent),
        "foreign_packets": float(foreign),
    }
    return float(len(unknown) + bool(foreign)), details


def path_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The capacity of the last step at which the first stream of each direction keeps its limits.

    Counted from the highest capacity down; a step that breaks the order anywhere is ``inf``. It
    shows something only if the streams wanted more than the path carried, and the capacity fell
    to the declared one.
    """
    declared_bps = recording.device.declares.get("top_stream_rate_bps", 0.0)
    steps = _steps(recording)
    if min(step.capacity_bps for step in steps) > declared_bps:
        raise ev.Cannot("the capacity did not fall to the declared one")
    violations = sum(step.violations for step in steps)
    details: ev.Details = {"order_violations": float(violations)}
    if violations:
        details["wrong"] = next(step.wrong for step in steps if step.wrong)
        return ev.NEVER, details
    lowest = ev.NEVER
    for step in steps:
        if not step.top_kept:
            details["lost_at_bps"] = step.capacity_bps
            break
        lowest = step.capacity_bps
    return lowest, details


def us_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """The number of steps of a falling capacity that break the declared order.

    It shows something only if two pictures, and sound both ways, kept their limits before it fell.
    """
    streams = recording.device.active_streams
    sound = [s for s in streams if "audio" in s.kinds or s.served.presents == "sound"]
    pictures = [s for s in streams if s.served.presents == "picture"]
    if len(pictures) < 2 or {s.source for s in sound} != {"patient", "doctor"}:
        raise ev.Cannot("the device does not carry two pictures and sound both ways")
    before = recording.schedule.windows[0]
    for stream in (*pictures, *sound):
        if not _service(recording, stream, before).kept:
            raise ev.Cannot(f"{stream.name} did not keep its limits before the capacity fell")
    steps = _steps(recording)
    violations = sum(step.violations for step in steps)
    details: ev.Details = {"steps": float(len(steps))}
    if violations:
        details["wrong"] = next(step.wrong for step in steps if step.wrong)
    return float(violations), details


@dataclass(frozen=True, slots=True)
class _Served:
    """What a stream got in a step: its full rate taken, its limits kept."""

    full: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a falling capacity, both directions together."""

    capacity_bps: float
    top_kept: bool
    violations: int
    wrong: str


def _steps(recording: Recording) -> list[_Step]:
    """Every step of the falling capacity, in order.

    Raises:
        Cannot: an order is not declared, or no step asks for one.
    """
    ordered = _ordered(recording)
    windows = [w for w in recording.schedule.windows if w.kind == "capacity"]
    steps = [_step(recording, window, ordered) for window in windows]
    wanted_bps = max(sum(_on_the_wire_bps(s) for s in streams) for streams in ordered)
    if not steps or min(step.capacity_bps for step in steps) >= wanted_bps:
        raise ev.Cannot("the capacity never fell below what the streams take")
    return steps


def _ordered(recording: Recording) -> list[list[Stream]]:
    """The streams of each direction in their declared order; the heartbeats stand outside it."""
    streams = [s for s in recording.device.active_streams if s.name != CONTROL]
    for stream in streams:
        if not stream.served.priority:
            raise ev.Cannot(f"not declared: the priority of {stream.name}")
        if stream.most_delay_s is None or stream.most_loss is None:
            raise ev.Cannot(f"not declared: the limits of {stream.name}")
    return [
        sorted((s for s in streams if s.direction == way), key=lambda s: s.served.priority)
        for way in DIRECTIONS
    ]


def _on_the_wire_bps(stream: Stream) -> float:
    return 8 * (stream.frame_bytes + FRAMING_BYTES) * stream.packets_per_s


def _step(recording: Recording, window: Window, ordered: Sequence[Sequence[Stream]]) -> _Step:
    top_kept, wrong = True, ""
    for streams in ordered:
        served = [_service(recording, stream, window) for stream in streams]
        top_kept &= all(found.kept for found in served[:1])
        for place, found in enumerate(served):
            if found.kept or wrong:
                continue
            lower = [s.name for s, f in zip(streams[place + 1 :], served[place + 1 :], strict=True)
                     if f.full]  # fmt: skip
            if lower:
                wrong = f"{window.name}: {streams[place].name} broke its limits before {lower[0]}"
    return _Step(_capacity_bps(recording, window), top_kept, int(bool(wrong)), wrong)


def _capacity_bps(recording: Recording, window: Window) -> float:
    """The least capacity of the primary link in a step."""
    rates = [
        change.impairment.rate_bps or math.inf
        for change in recording.schedule.changes
        if change.link == "primary" and window.start_ns <= change.t_ns < window.end_ns
    ]
    if not rates:
        raise ev.Cannot(f"no capacity was set in {window.name}")
    return min(rates)


def _service(recording: Recording, stream: Stream, window: Window) -> _Served:
    """What a stream got in the second half of a step, when what gives way has given way."""
    middle, end = (window.start_ns + window.end_ns) // 2, window.end_ns - _TAIL_NS
    flow = flow_of(recording, stream.name).sent_between(middle, end)
    wanted = stream.packets_per_s * (end - middle) / 1e9
    full = len(flow) >= FULL * wanted
    delays = delay_or_never(flow)
    if not full or not len(delays):
        return _Served(full, False)
    late_s = ranks(delays.copy(), (QUANTILE,))[0]
    lost = float(flow.lost.sum()) / len(flow)
    most_s, most = stream.most_delay_s, stream.most_loss
    assert most_s is not None, "checked in _ordered"
    assert most is not None, "checked in _ordered"
    return _Served(full, late_s <= most_s and lost <= most)
