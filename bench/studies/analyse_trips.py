"""TCP's round trips at the tap of the sender, by stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.captures.flows import Capture, FlowName
from bench.captures.taps import Comparison
from bench.measure.figures import Spread
from bench.measure.metrics import ranks
from bench.measure.round_trip import Segments, round_trips
from bench.studies.analyse_streams import Stream


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """From the tap to the receiver and back, the time that the receiver took included, in s.

    ``n``: segments that were acknowledged by themselves, and sent once (Karn).
    """

    n: int
    rtt: Spread


Trips = Mapping[tuple[FlowName, bool], RoundTrip]
"""By the flow's name at the left tap and whether it goes from left to right."""


def trips_of(paired: Comparison, streams: Sequence[Stream]) -> Trips:
    """The round trips of every TCP stream that has some."""
    found: dict[tuple[FlowName, bool], RoundTrip] = {}
    taps = {True: _Tap(paired.left), False: _Tap(paired.right)}
    for stream in streams:
        for part in stream.parts:
            if part.name.protocol != "TCP":
                continue
            name = part.name if part.forward or part.far_name is None else part.far_name
            trip = taps[part.forward].trip(name)
            if trip is not None:
                found[part.name, part.forward] = trip
    return found


class _Tap:
    """One capture's TCP segments by flow."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._number = {name: index for index, name in enumerate(capture.names)}

    def trip(self, name: FlowName) -> RoundTrip | None:
        there, back = self._segments(name), self._segments(name.reverse)
        if there is None or back is None:
            return None
        rtt_ns = round_trips(there, back).rtt_ns
        if not len(rtt_ns):
            return None
        mean = float(np.mean(rtt_ns, dtype=np.float64)) / 1e9
        ordered = ranks(rtt_ns, (0.0, 0.5, 0.99, 0.999, 1.0))
        low, p50, p99, p999, high = (value / 1e9 for value in ordered)
        return RoundTrip(len(rtt_ns), Spread(low, p50, p99, p999, high, mean))

    def _segments(self, name: FlowName) -> Segments | None:
        if name not in self._number:
            return None
        capture = self._capture
        rows = np.flatnonzero(capture.flow == self._number[name])
        rows = rows[np.argsort(capture.t_ns[rows], kind="stable")]
        return Segments(capture.t_ns[rows], capture.head[rows], capture.tag[rows])
