"""How long after an interferer had gone a device performed again.

A stream performs from the packet on from which each run of packets, as many as its limits take to
be seen, keeps what its maker states for it (:mod:`bench.measure.needs`); a drive from its last
start on. Image sets, records and what is sent on demand are not looked at: they come whole or not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bench.devices.profile import Stream
from bench.measure import events as ev
from bench.measure.needs import IMAGE_KIND, LEAST_PACKETS, LEAST_RATE, ON_DEMAND, RECORD_KIND
from bench.measure.pairing import Flow, by_sequence, flow_of
from bench.sessions.recording import Recording
from bench.units import NS_PER_S, ns

_LATE = 0.01
"""A 99th percentile bears so many late packets."""


def regained_s(recording: Recording, gone_ns: int, end_ns: int) -> float | None:
    """The time from ``gone_ns`` until all of the performance was back for good, in s.

    To a packet's period of the slowest stream. None: not before ``end_ns``, or nothing tells.
    """
    found: list[float | None] = []
    for stream in recording.device.active_streams:
        if {IMAGE_KIND, RECORD_KIND, ON_DEMAND}.isdisjoint(stream.kinds):
            flow = by_sequence(flow_of(recording, stream.name)).sent_between(gone_ns, end_ns)
            found.append(_performs_s(flow, stream, _clock_s(recording), gone_ns))
    if "motion" in recording.device.functions:
        found.append(_moves_s(recording, gone_ns, end_ns))
    times = [time_s for time_s in found if time_s is not None]
    return max(times) if times and len(times) == len(found) else None


def _clock_s(recording: Recording) -> float:
    health = recording.health
    return health.clock_step_s + health.lateness_s.get("p99", 0.0)


def _performs_s(flow: Flow, stream: Stream, clock_s: float, gone_ns: int) -> float | None:
    """From when on a stream keeps its limits; None: never, or its packets are too few to tell."""
    if stream.most_delay_s is None or stream.most_loss is None:
        return None
    flow = flow.select(np.flatnonzero(~flow.in_flight))
    run = max(LEAST_PACKETS, math.ceil(1 / stream.most_loss) if stream.most_loss else 0)
    if len(flow) < run:
        return None
    latest_ns = flow.sent_ns + ns(stream.most_delay_s + clock_s)
    missing = ~flow.arrived
    late = flow.arrived & (flow.received_ns > latest_ns)
    lost, tardy = _in_runs(missing, run), _in_runs(late, run)
    spans_ns = flow.sent_ns[run - 1 :] - flow.sent_ns[: len(lost)]
    longest_ns = run / stream.packets_per_s / LEAST_RATE * NS_PER_S
    bad = (lost > stream.most_loss * run) | (tardy > _LATE * (run - lost)) | (spans_ns > longest_ns)
    first = int(bad.nonzero()[0][-1]) + 1 if bad.any() else 0
    if first == len(bad):
        return None
    since_s = (int(flow.sent_ns[first]) - gone_ns) / NS_PER_S
    soon_s = stream.packets / stream.packets_per_s
    return 0.0 if first == 0 and since_s <= soon_s / LEAST_RATE else since_s


def _in_runs(flags: NDArray[np.bool_], run: int) -> NDArray[np.int64]:
    """How many are set in each run of so many in a row; shape (n − run + 1,)."""
    total = np.concatenate(([0], np.cumsum(flags)))
    counts: NDArray[np.int64] = total[run:] - total[:-run]
    return counts


def _moves_s(recording: Recording, gone_ns: int, end_ns: int) -> float | None:
    """From when on the drive moves without a further stop; None: it stands still at the end."""
    motion = ev.contact(recording, "motion")
    if ev.state_at(motion, end_ns) != 1:
        return None
    starts = [e.t_ns for e in motion if gone_ns < e.t_ns <= end_ns and e.value == 1]
    return (starts[-1] - gone_ns) / NS_PER_S if starts else 0.0
