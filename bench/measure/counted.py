"""KPI that are no statistic of single packets: frames, whole sets, whole reports of a stream.

Each is observed as a whole, so that its bounds are its value and no probability is claimed. What
cannot be seen whole is a problem of the evidence, never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bench.devices.monitor.streams import live_of, sources
from bench.devices.profile import HEADERS_BYTES, Stream
from bench.measure import events as ev
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import (
    METRICS,
    TIME_TERMS,
    evidence_problems,
    flow_problems,
    judged,
    measure_kpi,
    points_of,
    time_budget,
)
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.pairing import Flow, flow_of
from bench.measure.preserving import measurements
from bench.measure.reporting import SET_PERIOD_S, intervals_of
from bench.sessions.recording import Event, Recording

LEAST_FRAMES = 100
"""Frames that a frame rate is taken from."""

APART = 0.25
"""Packets of a burst lie closer together than this share of the time from burst to burst."""

LARGEST_SET_BYTES = 300_000_000
"""A set of CT or MRI data (CAICT report on remote medical devices, 2023, table 1)."""

Budget = tuple[UncertaintyTerm, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """One figure as one recording shows it; ``upper`` ``None`` where it may be any larger."""

    value: float
    lower: float
    upper: float | None
    n: int
    details: ev.Details = field(default_factory=dict)
    independent: bool = True


Trial = Callable[[Recording, Stream], Whole]


# ---- frame rate ----------------------------------------------------------------------------------


def frame_rate(recording: Recording, stream: Stream) -> Whole:
    """Frames each second that the source sends, in 1/s, over all judged steps.

    A frame leaves as one burst, or as the slices that the profile says: the first packet after a
    pause begins a burst. From the first burst's beginning to the last one's, so that the edges of
    a step do not count. Where a pause may be one between bursts or one within a burst, the bounds
    take it either way.
    """
    windows = judged(recording.schedule)
    flow = flow_of(recording, stream.name)
    parts = [flow.sent_between(w.start_ns, w.end_ns).sent_ns for w in windows]
    counts, longest = np.zeros(3, dtype=np.int64), 0
    spans_ns = 0
    for part in parts:
        apart = round(APART * stream.period_s * 1e9)
        for place, pause in enumerate((2 * apart, apart, apart // 2)):
            counts[place] += len(bursts(part, pause))
        starts = bursts(part, apart)
        if len(starts):
            counts -= 1
            spans_ns += int(starts[-1] - starts[0])
            longest = max(longest, int(np.diff(starts).max(initial=0)))
    if spans_ns <= 0:
        raise ev.Cannot("the stream sent no two frames in the judged steps")
    low, value, high = (float(count) * 1e9 / spans_ns / stream.slices for count in counts)
    details: ev.Details = {
        "bursts": float(counts[1]),
        "slices": float(stream.slices),
        "longest_pause_s": longest / 1e9,
    }
    return Whole(value, low, high, int(counts[1]) // stream.slices, details)


def bursts(sent_ns: NDArray[np.int64], pause_ns: int) -> NDArray[np.int64]:
    """When each burst began: after a pause of at least ``pause_ns``.

    Args:
        sent_ns: ascending, shape ``(n,)``.
        pause_ns: in ns.

    Returns:
        Shape ``(bursts,)``; empty where nothing was sent.
    """
    first = np.diff(sent_ns, prepend=sent_ns[:1] - pause_ns) >= pause_ns
    return sent_ns[first]


# ---- reporting interval --------------------------------------------------------------------------


def report_interval(recording: Recording, stream: Stream) -> Whole:
    """Of the time between two sets of the stream's source the one farthest from a minute, in s.

    Sets are what the station hands on (:func:`bench.measure.reporting.icu_1`); of a source that
    stops reporting, the time until the recording's end.
    """
    device = recording.device
    source = next((name for name in sources(device) if stream in live_of(device, name)), None)
    if source is None:
        raise ev.Cannot(f"{stream.name} is of no source that reports sets")
    first_ns = min((e.t_ns for (s, _), e in measurements(recording).items() if s == source),
                   default=None)  # fmt: skip
    if first_ns is None:
        raise ev.Cannot(f"no measurement of {source} was taken")
    end_ns = recording.schedule.end_ns
    if (end_ns - first_ns) / 1e9 < 2 * SET_PERIOD_S:
        raise ev.Cannot("the recording is shorter than two minutes")
    handed_on = recording.named("record", side="doctor")
    sets = [e for e in handed_on if e.value.get("kind") == "set" and e.value["source"] == source]
    found = intervals_of([e.t_ns for e in sets], first_ns, end_ns)
    value = max(found, key=lambda gap: abs(gap - SET_PERIOD_S))
    details: ev.Details = {"sets": float(len(sets)), "shortest_s": min(found),
                           "longest_s": max(found)}  # fmt: skip
    return Whole(value, value, value, len(found), details, _seen_from_outside(sets))


def _seen_from_outside(events: Sequence[Event]) -> bool:
    return all(event.independent for event in events)


# ---- transfer time -------------------------------------------------------------------------------


def transfer_time(recording: Recording, stream: Stream) -> Whole:
    """Time from the first packet of an image set at its sender's tap to the arrival of its last, s.

    The set must be as large as the documents' (:data:`LARGEST_SET_BYTES`), shown whole and
    unaltered, and all of it must have been seen at both taps. One that was not shown took longer
    than the recording lasts.
    """
    if recording.bench != "virtual" and recording.device.simulated:
        raise ev.Cannot(
            "how fast DICOM gets through here is the host's affair (the virtual bench shows the "
            "device's)"
        )
    windows = judged(recording.schedule)
    made = [
        event
        for event in recording.named("image-acquired", side="patient")
        if any(w.start_ns <= event.t_ns < w.end_ns for w in windows)
    ]
    if len(made) != 1:
        raise ev.Cannot(f"{len(made)} image sets were made where one was to be")
    size = int(made[0].value["bytes"])
    if size < LARGEST_SET_BYTES:
        raise ev.Cannot(f"the set has {size} bytes only, not {LARGEST_SET_BYTES}")
    flow = flow_of(recording, stream.name)
    sent = flow.select(flow.sent_ns >= made[0].t_ns)
    if not len(sent):
        raise ev.Cannot("no packet of the set was seen being sent")
    first_ns, end_ns = int(sent.sent_ns.min()), recording.schedule.end_ns
    same = [
        e for e in recording.named("image", side="doctor") if e.value["set"] == made[0].value["set"]
    ]
    whole = [e for e in same if e.value["sha256"] == made[0].value["sha256"]]
    details: ev.Details = {"bytes": float(size), "packets": float(len(sent))}
    if not whole:
        details["wrong"] = "shown altered" if same else "not shown"
        least_s = (end_ns - first_ns) / 1e9
        return Whole(least_s, least_s, None, 1, details)
    of_it = sent.select(sent.sent_ns <= whole[0].t_ns)
    seen = payload_bytes(of_it.select(of_it.arrived))
    if seen < size:
        raise ev.Cannot(f"the taps saw {seen} bytes arrive of a set of {size} that was shown whole")
    value = (int(of_it.received_ns.max()) - first_ns) / 1e9
    return Whole(value, value, value, 1, details, _seen_from_outside(whole))


def payload_bytes(flow: Flow) -> int:
    """What packets carry behind their headers, in bytes; each number once."""
    _, index = np.unique(flow.seq, return_index=True)
    return int((flow.size[index] - HEADERS_BYTES).sum())


# ---- all of them ---------------------------------------------------------------------------------

_TRIALS: Mapping[str, tuple[Trial, str]] = {
    "frame-rate": (frame_rate, "Hz"),
    "report-interval": (report_interval, "s"),
    "transfer-time": (transfer_time, "s"),
}

COUNTED = tuple(_TRIALS)
BY_STREAM = (*METRICS, "frame-rate")
"""Metrics that rest on the packets of their stream alone."""
MEASURED = (*METRICS, *COUNTED)
"""Every metric of a stream that is judged against the documents."""


def measure_stream(
    recordings: Sequence[Recording],
    stream: str,
    metric: str,
    *,
    confidence: float,
    floor: NoiseFloor | None,
) -> Measurement:
    """Any documented metric of one stream; of several recordings of a counted one, the worst.

    Raises:
        KeyError: a metric that the bench does not know.
    """
    if metric in METRICS:
        return measure_kpi(recordings, stream, metric, confidence=confidence, floor=floor)
    trial, unit = _TRIALS[metric]
    problems: list[str] = []
    found: list[Whole] = []
    for recording in recordings:
        problems += evidence_problems(recording)
        problems += flow_problems(recording, flow_of(recording, stream), stream)
        try:
            found.append(trial(recording, recording.device.stream(stream)))
        except ev.Cannot as reason:
            problems.append(str(reason))
    nothing = Measurement(None, unit, 0, metric, points_of(metric), problems=tuple(problems))
    if not found:
        return nothing
    far = max(found, key=lambda each: each.value)
    uppers = [each.upper for each in found]
    known = [upper for upper in uppers if upper is not None]
    return replace(
        nothing,
        value=far.value,
        n=min(each.n for each in found),
        lower=min(each.lower for each in found),
        upper=max(known) if len(known) == len(uppers) else None,
        extreme=far.value,
        confidence=confidence,
        budget=_budget(recordings, stream, floor, far if metric == "frame-rate" else None),
        required_terms=TIME_TERMS,
        independent=all(each.independent for each in found),
        details=far.details,
    )


def _budget(
    recordings: Sequence[Recording], stream: str, floor: NoiseFloor | None, frames: Whole | None
) -> Budget:
    """The terms of a time between taps; for a frame rate as its share of the time it is from."""
    terms = time_budget(recordings, stream, floor)
    if frames is None:
        return terms
    span_s = frames.n / frames.value if frames.value else 1.0
    return tuple(
        replace(term, standard=term.standard / span_s * frames.value if span_s else 0.0)
        for term in terms
    )
