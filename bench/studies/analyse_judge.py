"""Catalogue entries judged on two captures: which stream, what stands against it, the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.devices.profile import HEADERS_BYTES, DeviceProfile
from bench.errors import InputError
from bench.judge.assess import CONFIDENCE
from bench.judge.judge import judge
from bench.judge.specify import specify
from bench.judge.verdict import Verdict
from bench.measure.kpi import METRICS, TIME_TERMS, measure_flow, points_of
from bench.measure.measurement import Measurement, UncertaintyTerm
from bench.measure.pairing import Flow
from bench.requirements.loader import Catalogue
from bench.requirements.model import Reading, Requirement
from bench.studies.analyse_clock import Clock
from bench.studies.analyse_streams import Stream, Way

TEST = "analyse"

TOWARDS: dict[Way, str] = {"left-to-right": "to-doctor", "right-to-left": "to-patient"}
"""The left capture is the patient's side, as for ``bench fit``."""

QUARTZ_DRIFT = 2e-4
"""Two free-running quartz clocks drift apart by at most 100 ppm each."""

_VARIATIONS = ("ipdv-p99", "pdv-p999", "rfc3550-jitter")
_IPV6_MORE = 20
"""Bytes that an IPv6 header has more than an IPv4 one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: catalogue entries on the streams that one was found to mean.

    ``device``: the profile, ``None`` without one.
    """

    requirements: tuple[Requirement, ...]
    device: DeviceProfile | None

    def of(self, stream: Stream, alone: bool) -> list[Requirement]:
        """The entries that are judged on this stream; ``alone``: it is the only one."""
        return [each for each in self.requirements if self._means(each, stream, alone)]

    def _means(self, requirement: Requirement, stream: Stream, alone: bool) -> bool:
        if requirement.direction not in ("both", "none", TOWARDS[stream.direction]):
            return False
        if self.device is None or requirement.stream == "any":
            return alone
        if stream.rule is None or stream.name not in carriers(requirement, self.device):
            return False
        return self.device.stream(stream.name).direction == TOWARDS[stream.direction]


def carriers(requirement: Requirement, device: DeviceProfile | None) -> list[str]:
    """The device's streams that an entry is about, as a run on the device judges it."""
    if device is None:
        return []
    return [
        each.name
        for each in device.streams
        if requirement.stream in each.kinds
        and requirement.direction in ("both", "none", each.direction)
    ]


def find_asked(names: Sequence[str], device: DeviceProfile | None, known: Catalogue) -> Asked:
    """The catalogue entries of these ids.

    Raises:
        InputError: an unknown id, or one that no two captures can answer.
    """
    found = []
    for name in dict.fromkeys(names):
        entry = _known(name, known)
        if entry.kind in ("behaviour", "declaration"):
            raise _refused(name, f"is a {entry.kind}, which captures do not show", "bench run")
        if entry.metric not in METRICS:
            raise _refused(
                name, f"asks for {entry.metric}, which is not measured on captures",
                "an entry on " + ", ".join(METRICS),
            )  # fmt: skip
        if entry.limit is None:
            raise _refused(name, "gives no figure", "an entry with one")
        if device is not None and entry.stream != "any":
            _check_carried(entry, device)
        found.append(entry)
    return Asked(tuple(found), device)


def _known(name: str, catalogue: Catalogue) -> Requirement:
    try:
        return catalogue.get(name)
    except InputError as error:
        raise InputError(
            error.problem, remedy=error.remedy, field="--require", value=name
        ) from error


def _refused(name: str, problem: str, instead: str) -> InputError:
    return InputError(problem, remedy=f"use {instead}", field="--require", value=name)


def _check_carried(entry: Requirement, device: DeviceProfile) -> None:
    if any(entry.stream in stream.kinds for stream in device.streams):
        return
    kinds = sorted({kind for stream in device.streams for kind in stream.kinds})
    raise InputError(
        f"is about {entry.stream}, which {device.name} does not carry",
        remedy=f"use an entry on {', '.join(kinds)}, or another --device",
        field="--require",
        value=entry.id,
    )


def check_sides(device: DeviceProfile | None, streams: Sequence[Stream]) -> str:
    """Why the captures seem to be in the wrong order; empty where nothing says so.

    A stream of a device has a side that it comes from.
    """
    if device is None:
        return ""
    source = {each.name: each.direction for each in device.streams}
    ways: dict[str, set[str]] = {}
    for stream in streams:
        if stream.rule is not None:
            ways.setdefault(stream.name, set()).add(TOWARDS[stream.direction])
    own = {name: source[name] in found for name, found in ways.items()}
    if not own or any(own[name] for name, found in ways.items() if len(found) == 1):
        return ""
    if all(own.values()):
        return ""
    return f"every stream of {device.name} goes the other way than its profile says"


def check_alone(asked: Asked, streams: Sequence[Stream]) -> None:
    """Where nothing else says which stream is meant, there must be one.

    Raises:
        InputError: several streams, or the one goes the other way.
    """
    for entry in asked.requirements:
        if asked.device is not None and entry.stream != "any":
            continue
        if len(streams) != 1:
            names = "; ".join(f"{each.name} {each.direction}" for each in streams[:3])
            raise InputError(
                f"may mean any of {len(streams)} streams",
                remedy=f"choose one with --only (here: {names}{' …' if len(streams) > 3 else ''})"
                + ("" if asked.device else ", or name the device with --device"),
                field="--require",
                value=entry.id,
            )
        if entry.direction not in ("both", "none", TOWARDS[streams[0].direction]):
            raise InputError(
                f"is asked for {entry.direction}; the stream goes {TOWARDS[streams[0].direction]}",
                remedy="give the capture of the patient's side first",
                field="--require",
                value=entry.id,
            )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict rests on beside the packets: the clocks, and what stands against it.

    ``steps_s``: the stamps' steps, left and right. ``problems``: why nothing may be judged.
    ``session``: names the captures.
    """

    clock: Clock
    steps_s: tuple[float, float]
    problems: tuple[str, ...]
    session: str
    confidence: float = CONFIDENCE


def judged(
    requirement: Requirement, device: DeviceProfile | None, stream: Stream, flow: Flow,
    evidence: Evidence,
) -> Verdict:  # fmt: skip
    """One entry judged on one stream, with its rival readings beside.

    Packets whose fate or delay cannot be told count at the end that is worse for the verdict:
    nothing passes that would not at their worst, nothing fails that would not at their best.
    """
    profile = device or _nobody()

    def verdict_of(reading: Reading | None) -> Verdict:
        metric = requirement.metric if reading is None else reading.metric
        spec = specify(
            requirement, profile, stream.name,
            planned_n=1, confidence=evidence.confidence, reading=reading,
        )  # fmt: skip
        found = measured(metric, requirement.unit, stream, flow, evidence)
        return judge(spec, found, test=TEST, session=evidence.session)

    rivals: list[dict[str, object]] = [
        {
            "verdict": str(verdict.verdict),
            "metric": reading.metric,
            "reference_points": verdict.reference_points,
            "comparator": reading.comparator,
            "low": reading.low,
            "high": reading.high,
            "value": verdict.value,
            "reason": reading.reason,
        }
        for reading, verdict in (
            (each, verdict_of(each)) for each in requirement.readings if not each.default
        )
    ]
    return replace(verdict_of(None), readings=tuple(rivals))


def unseen(
    requirement: Requirement, device: DeviceProfile | None, stream: str, session: str
) -> Verdict:
    """The verdict on a stream of which the captures share no packet."""
    reason = "no packets of the stream are in both captures"
    found = Measurement(
        None, requirement.unit, 0, requirement.metric, points_of(requirement.metric),
        problems=(reason,),
    )  # fmt: skip
    spec = specify(requirement, device or _nobody(), stream, planned_n=1, confidence=CONFIDENCE)
    return judge(spec, found, test=TEST, session=session)


def measured(metric: str, unit: str, stream: Stream, flow: Flow, evidence: Evidence) -> Measurement:
    """One metric of one stream, with its uncertainty and all that stands against it."""
    if metric not in METRICS:
        reason = f"not measured on captures: {metric}"
        return Measurement(None, unit, 0, metric, points_of(metric), problems=(reason,))
    seconds, gap_s = _sending(flow)
    budget, terms = _budget(metric, flow, seconds, gap_s, evidence)
    problems = evidence.problems
    if metric == "rate":
        headers = headers_bytes(stream)
        if headers is None:
            problems = (*problems, "the payload rate is measured of UDP only")
        else:
            flow = replace(flow, size=flow.size - (headers - HEADERS_BYTES))
    return measure_flow(
        [flow], seconds, metric,
        confidence=evidence.confidence, budget=budget, terms=terms, problems=problems,
    )  # fmt: skip


def headers_bytes(stream: Stream) -> int | None:
    """What is no payload in each Ethernet frame of a stream; ``None`` where frames differ."""
    if any(part.name.protocol != "UDP" for part in stream.parts):
        return None
    versions = {":" in part.name.source for part in stream.parts}
    if len(versions) > 1:
        return None
    return HEADERS_BYTES + (_IPV6_MORE if versions.pop() else 0)


def _nobody() -> DeviceProfile:
    return DeviceProfile(
        name="", title="", device_class="", manufacturer="", model="", version="", machine="",
        streams=(), limits={}, alarms=(), declares={},
    )  # fmt: skip


def _sending(flow: Flow) -> tuple[float, float]:
    """How long the stream was sent, and the longest pause between two packets, in s."""
    if len(flow) < 2:
        return 0.0, 0.0
    gap_s = float(np.diff(flow.sent_ns).max()) / 1e9
    return float(flow.sent_ns[-1] - flow.sent_ns[0]) / 1e9 + gap_s, gap_s


def _budget(
    metric: str, flow: Flow, seconds: float, gap_s: float, evidence: Evidence
) -> tuple[tuple[UncertaintyTerm, ...], tuple[str, ...]]:
    """Terms of a time or of a rate; a count of packets has none beyond its bounds."""
    if metric == "loss":
        return (), ()
    if metric == "rate":
        if seconds <= 0:
            return (), ("edge",)
        bits = 8.0 * float(flow.size.sum())
        edge = bits / seconds * gap_s / seconds / math.sqrt(3)
        origin = "the longest pause in sending at the edges of the capture, rectangular"
        return (UncertaintyTerm("edge", edge, origin),), ("edge",)
    origin = "steps of both captures' time stamps, rectangular"
    tap = UncertaintyTerm("tap", sum(evidence.steps_s) / math.sqrt(3), origin)
    clock = _clock_term(metric, seconds, gap_s, evidence.clock)
    return (tap,) if clock is None else (tap, clock), TIME_TERMS


def _clock_term(metric: str, seconds: float, gap_s: float, clock: Clock) -> UncertaintyTerm | None:
    """What the clocks of the taps leave open; of a variation, only how far they drift apart."""
    if metric not in _VARIATIONS:
        if clock.uncertainty_s is None:
            return None
        half_s = clock.uncertainty_s / math.sqrt(3)
        return UncertaintyTerm("clock", half_s, f"offset between the taps, {clock.origin}")
    over_s = seconds if metric == "pdv-p999" else gap_s
    drift, origin = QUARTZ_DRIFT, "two free-running quartz clocks, 100 ppm each, rectangular"
    if clock.drift_low is not None and clock.drift_high is not None:
        seen = max(abs(clock.drift_low), abs(clock.drift_high))
        if seen < drift:
            drift, origin = seen, "drift between the taps' clocks by the packets, rectangular"
    half_s = drift * over_s
    if clock.uncertainty_s is not None and 2 * clock.uncertainty_s < half_s:
        half_s, origin = 2 * clock.uncertainty_s, f"offset between the taps, {clock.origin}"
    return UncertaintyTerm("clock", half_s / math.sqrt(3), origin)
