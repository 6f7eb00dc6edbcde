"""The streams of one capture, and every figure that one place can give of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.captures.flows import Capture
from bench.captures.recognise import NO_RULE
from bench.captures.rules import StreamRule
from bench.measure.figures import RateBins, Spread
from bench.measure.rtp import (
    MAX_DROPOUT,
    MediaClock,
    Numbers,
    interarrival_jitter,
    media_clock,
    numbers_of,
    unwrapped,
)
from bench.measure.throughput import rates
from bench.sessions.codec import to_json
from bench.studies.freeze import VideoFreeze, rtp_freeze
from bench.units import NS_PER_S

Ints = NDArray[np.int64]

_FEWEST_RTP = 16
"""Packets of one source below which it is not taken for RTP."""

_IN_SEQUENCE = 0.5
"""The share of packets whose number must be near the one before for them to be RTP."""

_VIDEO_TYPES = frozenset((25, 26, 28, 31, 32, 34))
_DYNAMIC = 96
_VIDEO_CLOCK_HZ = 90_000


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One stream's packets: ``rows`` of the capture in order of time; ``ssrc`` where it is RTP."""

    flow: int
    rule: int
    ssrc: int | None
    rows: Ints


@dataclass(frozen=True, slots=True)
class LossPeriods:
    """How losses come together (RFC 3357); as :class:`bench.measure.figures.LossPattern`."""

    periods: int
    period_mean: float | None
    period_max: int | None
    lengths: tuple[tuple[int, int], ...]
    p_good_to_bad: float | None
    p_bad_to_good: float | None


@dataclass(frozen=True, slots=True)
class OneStream:
    """One stream at one place. Times in s from the start of the capture, rates in bit/s.

    ``numbers``: ``rtp`` or ``application``, what loss is told by. ``packets``: all;
    ``received``: distinct ones, ``lost`` of ``expected`` (RFC 3550, A.3); ``cumulative_lost``: as
    RTCP has it (RFC 3550, 6.4.1), duplicates counted as received. ``restarts``: of the numbering;
    ``undecided``: those with an unknown number of packets missing; ``stray``: numbers that fit
    nowhere. ``clock_rate``: of RTP timestamps, in Hz, ``clock_origin``: ``static`` or
    ``estimated``.
    """

    stream: str
    flow: str | None = None
    rule: str | None = None
    ssrc: int | None = None
    payload_types: tuple[int, ...] = ()
    numbers: str | None = None
    packets: int | None = None
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    expected: int | None = None
    received: int | None = None
    lost: int | None = None
    loss: float | None = None
    cumulative_lost: int | None = None
    duplicated: int | None = None
    reordered: int | None = None
    restarts: int | None = None
    undecided: int | None = None
    stray: int | None = None
    loss_pattern: LossPeriods | None = None
    clock_rate: int | None = None
    clock_origin: str | None = None
    rfc3550_jitter: float | None = None
    rfc3550_jitter_max: float | None = None
    rfc3550_jitter_mean: float | None = None
    throughput: float | None = None
    longest_gap: float | None = None
    bins: RateBins | None = None
    video: VideoFreeze | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """With the keys of a stream between two captures; ``null`` for what one cannot tell."""
        unknown = dict.fromkeys(
            ("direction", "sent", "ambiguous", "unmatched", "in_flight", "ipdv_p99", "pdv_p999")
        )
        own = {name: to_json(getattr(self, name)) for name in self.__slots__ if name != "video"}
        video = None if self.video is None else self.video.to_json()
        return own | unknown | {"delay": to_json(Spread()), "video": video}


def parts_of(capture: Capture, rules: Sequence[StreamRule]) -> Iterator[Part]:
    """The streams of a capture: per flow, rule and RTP source."""
    rule = capture.rule if rules else np.full(len(capture), NO_RULE, dtype=np.int16)
    order = np.lexsort((capture.t_ns, rule, capture.flow))
    changes = (np.diff(capture.flow[order]) != 0) | (np.diff(rule[order]) != 0)
    for rows in np.split(order, np.flatnonzero(changes) + 1):
        flow, own = int(capture.flow[rows[0]]), int(rule[rows[0]])
        left = np.ones(len(rows), dtype=np.bool_)
        for ssrc, places in _sources(capture, rows):
            left[places] = False
            yield Part(flow, own, ssrc, rows[places])
        if left.any():
            yield Part(flow, own, None, rows[left])


def _sources(capture: Capture, rows: Ints) -> list[tuple[int, Ints]]:
    """RTP sources of a flow: SSRC, and places in ``rows`` of its packets."""
    if capture.names[capture.flow[rows[0]]].protocol != "UDP":
        return []
    could = np.flatnonzero(capture.head[rows] >> np.uint64(62) == 2)
    if len(could) < _FEWEST_RTP:
        return []
    order = could[np.argsort(capture.tag[rows[could]], kind="stable")]
    tags = capture.tag[rows[order]]
    found = []
    for places in np.split(order, np.flatnonzero(np.diff(tags)) + 1):
        if len(places) < _FEWEST_RTP:
            continue
        mine = rows[places]
        steps = np.abs(np.diff(unwrapped(_sequence(capture, mine), 16)))
        if np.mean(steps < MAX_DROPOUT) >= _IN_SEQUENCE and np.any(steps > 0):
            found.append((int(capture.tag[mine[0]]), places))
    return found


def one_stream(
    capture: Capture, part: Part, rules: Sequence[StreamRule], *, bin_s: float,
    freeze_s: float | None,
) -> OneStream:  # fmt: skip
    """Every figure of one stream.

    Args:
        capture: where its packets are.
        part: which packets.
        rules: that the capture was read with.
        bin_s: width of the bins of the throughput.
        freeze_s: a picture that stands for so long is frozen.
    """
    flow = str(capture.names[part.flow])
    rule = rules[part.rule] if part.rule != NO_RULE else None
    source = "" if part.ssrc is None else f" SSRC 0x{part.ssrc:08x}"
    found: dict[str, Any] = _pace(capture, part.rows, bin_s)
    notes: list[str] = []
    numbers = _application(capture, part, rule)
    if numbers is not None:
        found |= {"numbers": "application", **_by_numbers(numbers, notes)}
    if part.ssrc is not None:
        own = numbers_of(_sequence(capture, part.rows), capture.t_ns[part.rows])
        if numbers is None:
            found |= {"numbers": "rtp", **_by_numbers(own, notes)}
        found |= _by_rtp(capture, part, own, notes, freeze_s)
    elif numbers is None:
        notes.append("its packets carry no numbers: loss, duplicates and order cannot be told")
    return OneStream(
        (flow if rule is None else rule.name) + source, flow=flow,
        rule=None if rule is None else rule.name, ssrc=part.ssrc, notes=tuple(notes), **found,
    )  # fmt: skip


def _pace(capture: Capture, rows: Ints, bin_s: float) -> dict[str, Any]:
    """Counts, rate and gaps: what needs no numbers."""
    t_ns, size = capture.t_ns[rows], capture.size[rows].astype(np.int64)
    origin, first, last = int(capture.t_ns.min()), int(t_ns[0]), int(t_ns[-1])
    seconds = (last - first) / NS_PER_S
    binned = rates(t_ns, size, bin_s, first, last + 1)
    whole = np.sort(binned.whole) if binned is not None else np.zeros(0)
    bins = RateBins(bin_s)
    if len(whole):
        middle = float(whole[(len(whole) - 1) // 2])
        bins = RateBins(bin_s, len(whole), float(whole[0]), middle, float(whole[-1]))
    return {
        "packets": len(rows),
        "start": (first - origin) / NS_PER_S,
        "end": (last - origin) / NS_PER_S,
        "duration": seconds,
        "throughput": float(size.sum()) * 8 / seconds if seconds > 0 else None,
        "longest_gap": int(np.diff(t_ns).max()) / NS_PER_S if len(t_ns) > 1 else None,
        "bins": bins,
    }


def _application(capture: Capture, part: Part, rule: StreamRule | None) -> Numbers | None:
    if rule is None or rule.sequence is None:
        return None
    bits = 8 * rule.sequence.bytes
    return numbers_of(capture.number[part.rows].astype(np.int64), capture.t_ns[part.rows], bits)


def _by_numbers(numbers: Numbers, notes: list[str]) -> dict[str, Any]:
    lengths = numbers.loss_periods()
    lost, received, expected = numbers.lost, numbers.received, numbers.expected
    values, counts = np.unique(lengths, return_counts=True)
    followed = received - numbers.runs
    periods = len(lengths)
    pattern = LossPeriods(
        periods,
        float(lengths.mean()) if periods else None,
        int(lengths.max()) if periods else None,
        tuple(zip(values.tolist(), counts.tolist(), strict=True)),
        periods / followed if followed > 0 else None,
        periods / lost if lost else None,
    )
    if numbers.undecided:
        notes.append(
            f"its numbers began anew {numbers.undecided} times: how many packets are missing "
            "there cannot be told; loss does not count them"
        )
    if numbers.stray:
        notes.append(f"{numbers.stray} packets have a number that fits nowhere; left out")
    return {
        "expected": expected, "received": received, "lost": lost,
        "loss": lost / expected if expected else None,
        "cumulative_lost": numbers.rfc3550_lost,
        "duplicated": int(np.count_nonzero(numbers.duplicate)),
        "reordered": int(np.count_nonzero(numbers.reordered)),
        "restarts": numbers.runs - 1, "undecided": numbers.undecided, "stray": numbers.stray,
        "loss_pattern": pattern,
    }  # fmt: skip


def _sequence(capture: Capture, rows: Ints) -> Ints:
    return (capture.head[rows] >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.int64)


def _by_rtp(
    capture: Capture, part: Part, numbers: Numbers, notes: list[str], freeze_s: float | None
) -> dict[str, Any]:
    """Clock, jitter and frames."""
    head, t_ns = capture.head[part.rows], capture.t_ns[part.rows]
    timestamp = (head & np.uint64(0xFFFFFFFF)).astype(np.int64)
    kinds = np.bincount((head >> np.uint64(48) & np.uint64(0x7F)).astype(np.intp))
    types = np.flatnonzero(kinds).tolist()
    marker = (head >> np.uint64(55) & np.uint64(1)).astype(np.bool_)
    clock = media_clock(types[0] if len(types) == 1 else None, timestamp, t_ns)
    if clock.rate_hz is None:
        notes.append("the clock rate of its timestamps is not known: no jitter")
    elif clock.origin == "estimated":
        notes.append(f"clock rate {clock.rate_hz} Hz is estimated from its timestamps")
    found: dict[str, Any] = {
        "payload_types": tuple(types), "clock_rate": clock.rate_hz, "clock_origin": clock.origin,
    }  # fmt: skip
    found |= _jitter(t_ns, timestamp, numbers, clock)
    if _is_video(types, clock, timestamp, marker):
        video = rtp_freeze(
            t_ns, numbers, timestamp, marker, origin_ns=int(capture.t_ns.min()),
            until_ns=int(capture.t_ns.max()), freeze_s=freeze_s,
        )  # fmt: skip
        found["video"] = video
        notes += ["no frame of it is whole"] if video is None else video.notes
    return found


def _jitter(t_ns: Ints, timestamp: Ints, numbers: Numbers, clock: MediaClock) -> dict[str, Any]:
    """Jitter per run of numbers, one after the other: timestamps begin anew with them."""
    if clock.rate_hz is None:
        return {}
    parts = []
    for run in range(numbers.runs):
        rows = np.flatnonzero(numbers.run == run)
        parts.append(interarrival_jitter(t_ns[rows], timestamp[rows], clock.rate_hz))
    values = np.concatenate(parts)
    if not len(values):
        return {}
    return {
        "rfc3550_jitter": float(values[-1]), "rfc3550_jitter_max": float(values.max()),
        "rfc3550_jitter_mean": float(values.mean()),
    }  # fmt: skip


def _is_video(
    types: Sequence[int], clock: MediaClock, timestamp: Ints, marker: NDArray[np.bool_]
) -> bool:
    """Video by its static type; by its clock or packets of one time, and markers that end frames.

    A transport stream (type 33) has no frames that its timestamps show.
    """
    if set(types) & _VIDEO_TYPES:
        return True
    if not types or min(types) < _DYNAMIC:
        return False
    together = np.count_nonzero(np.diff(timestamp) == 0)
    frames = len(timestamp) - together
    ended = int(np.count_nonzero(marker)) >= frames / 2
    return bool(ended and (clock.rate_hz == _VIDEO_CLOCK_HZ or together > 0))
