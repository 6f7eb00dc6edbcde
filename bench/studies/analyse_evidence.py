"""What stands against judging two captures: each line is a reason for INCONCLUSIVE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.captures.matching import Arrival, Fate
from bench.captures.taps import Comparison
from bench.measure.pairing import Flow
from bench.studies.analyse_streams import Stream, Way
from bench.units import NS_PER_S, show_duration

COVER = (
    "cut both captures to the same time (editcap -A … -B …), or judge only the time that both "
    "cover (--overlap)"
)

_EDGE = 3
"""The taps of one path end within so many delays of each other where they end together."""

_PAUSES = 10
"""A tap that sees nothing for so many times its usual pause may not have been capturing."""

_MOST_HOLES = 1000


@dataclass(frozen=True, slots=True)
class Watched:
    """From the first to the last packet of any kind at a tap, ns.

    ``pause_ns``: longer than it usually is between two packets. ``holes``: when it saw nothing for
    longer than that, while the other tap saw packets: start, end.
    """

    start_ns: int
    end_ns: int
    pause_ns: int
    holes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Taps:
    """When both taps captured, by the left one's clock, and the steps of their stamps in s."""

    left: Watched
    right: Watched
    steps_s: tuple[float, float]

    def of(self, way: Way) -> tuple[Watched, Watched]:
        """The sending tap and the receiving one."""
        pair = self.left, self.right
        return pair if way == "left-to-right" else pair[::-1]


def taps_of(paired: Comparison) -> Taps:
    """When the taps captured, as far as their packets show."""
    left, right = paired.left, paired.right
    steps = left.resolution_s, right.resolution_s
    return Taps(_watched(left.t_ns, right.t_ns), _watched(right.t_ns, left.t_ns), steps)


def _watched(t_ns: NDArray[np.int64], other_ns: NDArray[np.int64]) -> Watched:
    gaps = np.diff(t_ns)
    pause = _PAUSES * _usual_ns(gaps)
    at = np.flatnonzero(gaps > pause)
    at = at[np.argsort(-gaps[at], kind="stable")[:_MOST_HOLES]]
    starts, ends = t_ns[at], t_ns[at + 1]
    # Stamps of several interfaces may be a little out of order: the other tap's are sorted.
    there = other_ns if bool(np.all(other_ns[1:] >= other_ns[:-1])) else np.sort(other_ns)
    seen = np.searchsorted(there, ends - pause // 2) - np.searchsorted(there, starts + pause // 2)
    holes = zip(starts[seen > 0].tolist(), ends[seen > 0].tolist(), strict=True)
    return Watched(int(t_ns.min()), int(t_ns.max()), pause, tuple(sorted(holes)))


def capture_problems(paired: Comparison) -> list[str]:
    """What either capture says of itself."""
    problems = []
    for capture in (paired.left, paired.right):
        file = capture.path.name
        if capture.truncated:
            problems.append(f"{file} ends inside a record: what followed is not known")
        if capture.dropped:
            problems.append(f"the tap of {file} dropped {capture.dropped} packets")
        if capture.without_time:
            problems.append(f"{file} has {capture.without_time} packets without a time stamp")
    return problems


def stream_problems(stream: Stream, flow: Flow, taps: Taps, *, overlap: bool) -> list[str]:
    """What the packets of one stream say against themselves.

    A capture that began later or ended earlier than the other hides losses, and so does one from
    which packets were cut. What both taps could not see for the path's own delay is no problem.

    Args:
        stream: the stream.
        flow: its packets, paired.
        taps: both taps.
        overlap: only the time that both captures cover is judged; what lies outside is left out.
    """
    sending, receiving = taps.of(stream.direction)
    problems = _hidden(stream, flow, sending, receiving, overlap=overlap)
    outside, inside = _unseen(stream, sending, receiving)
    if inside:
        problems.append(f"{inside} packets arrived that the sending tap did not see")
    if outside and not overlap:
        problems.append(
            f"{outside} packets arrived while the sending tap was not capturing; {COVER}"
        )
    missed = _unwatched(flow, sending, receiving)
    if missed and not overlap:
        problems.append(
            f"{missed} packets were sent while the receiving tap was not capturing; {COVER}"
        )
    least_s = -sum(taps.steps_s)
    delay = flow.delay_s
    if len(delay) and float(delay.min()) < least_s:
        early = int(np.count_nonzero(delay < least_s))
        worst = show_duration(-float(delay.min()))
        problems.append(f"{early} packets arrived up to {worst} before they were sent")
    if repeated := stream.repeated():
        problems.append(f"{repeated} packets were sent under a number already used")
    if skipped := stream.skipped():
        problems.append(
            f"{skipped} numbers are missing among the packets that the sending tap saw: lost "
            "before it, or missed by it"
        )
    return problems


def _hidden(
    stream: Stream, flow: Flow, sending: Watched, receiving: Watched, *, overlap: bool
) -> list[str]:
    """Times of which the sending tap tells nothing, so that losses in them leave no trace."""
    problems = []
    edge = sending.pause_ns + _EDGE * _usual_ns((flow.received_ns - flow.sent_ns)[flow.arrived])
    late, early = sending.start_ns - receiving.start_ns, receiving.end_ns - sending.end_ns
    for ahead, what in ((late, "begins {} after"), (early, "ends {} before")):
        if ahead > edge and not overlap:
            words = what.format(show_duration(ahead / NS_PER_S))
            problems.append(f"the sending tap's capture {words} the receiving one's; {COVER}")
    holes = [end - start for start, end in sending.holes if end - start > edge]
    if holes and not stream.numbered:
        problems.append(
            f"the sending tap saw nothing for up to {show_duration(max(holes) / NS_PER_S)}, "
            f"{len(holes)} times, while the other saw packets: what was lost then is not known"
        )
    return problems


def _unseen(stream: Stream, sending: Watched, receiving: Watched) -> tuple[int, int]:
    """Arrivals that nobody sent: outside the sending tap's time, and inside.

    Those that were on the path when the captures began are neither.
    """
    outside = inside = 0
    for part in stream.parts:
        got = part.pairs.got_ns[part.pairs.kind == Arrival.UNMATCHED.value]
        if not len(got):
            continue
        arrived = part.pairs.fate == Fate.ARRIVED.value
        usual = _usual_ns((part.pairs.received_ns - part.pairs.sent_ns)[arrived])
        got = got[got >= receiving.start_ns + usual]
        away = (got > sending.end_ns) | (got < sending.start_ns + usual)
        outside += int(np.count_nonzero(away))
        inside += int(np.count_nonzero(~away))
    return outside, inside


def _unwatched(flow: Flow, sending: Watched, receiving: Watched) -> int:
    """Packets of unknown fate because the receiving tap captured at another time.

    One that the sending tap saw so shortly before its own end that it could not have arrived by
    then is merely in flight. The tap sees what comes the other way for a delay longer.
    """
    sent = flow.sent_ns[flow.in_flight]
    if not len(sent):
        return 0
    usual = _usual_ns((flow.received_ns - flow.sent_ns)[flow.arrived])
    late = sent + _EDGE * usual <= sending.end_ns
    return int(np.count_nonzero(late | (sent < receiving.start_ns)))


def _usual_ns(delays: NDArray[np.int64]) -> int:
    """What all but a few packets stay below: a single damaged stamp does not move it."""
    return int(np.quantile(delays, 0.99, method="inverted_cdf")) if len(delays) else 0
