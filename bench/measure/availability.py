"""Delivery in time, and the availability of a service that goes on for a while without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.measure.bounds import Availability, availability_of
from bench.measure.losses import runs
from bench.measure.pairing import Flow
from bench.units import ns

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Packets delivered in time (3GPP TS 22.261, 3.1: reliability); late is lost.

    ``missed``: late or lost, of ``sent`` whose fate is known; ``late``: of those, arrived.
    ``longest_run``: the most missed in a row.
    """

    sent: int
    missed: int
    late: int
    longest_run: int


def missed(flow: Flow, deadline_s: float | None) -> NDArray[np.bool_]:
    """Which packets are lost or, where there is a deadline, arrived later; shape ``(n,)``."""
    gone = flow.lost
    if deadline_s is None:
        return gone
    late = flow.arrived & (flow.received_ns - flow.sent_ns > ns(deadline_s))
    return np.asarray(gone | late, dtype=np.bool_)


def delivery(flow: Flow, deadline_s: float) -> Delivery:
    """Packets in time, those of unknown fate left out."""
    known = flow.decidable
    late_or_lost = missed(flow, deadline_s)
    lengths = runs(late_or_lost[known])[1]
    count = int(np.count_nonzero(late_or_lost))
    return Delivery(
        int(np.count_nonzero(known)), count, count - int(np.count_nonzero(flow.lost)),
        int(lengths.max(initial=0)),
    )  # fmt: skip


def interruptions(flow: Flow, deadline_s: float | None) -> tuple[Ints, Ints]:
    """From when to when no packet came in time, in ns.

    An interruption begins when the first packet that is missed was due and ends with the next that
    comes in time, at the latest when the last packet was due. Due is what was sent a deadline
    ago, without a deadline the least delay ago. Of unknown fate: left out.
    """
    flow = flow if bool(flow.decidable.all()) else flow.select(flow.decidable)
    gone = missed(flow, deadline_s)
    starts, lengths = runs(gone)
    if not len(starts):
        return starts, starts
    due = flow.sent_ns + _allowed_ns(flow, deadline_s)
    following = starts + lengths
    back = np.append(flow.received_ns, due[-1])[np.minimum(following, len(flow))]
    begin, end = due[starts], np.maximum(back, due[starts])
    # One that had begun before the packet came that would have ended the last goes on.
    newest = np.maximum.accumulate(end)
    fresh = np.flatnonzero(np.concatenate(([True], begin[1:] >= newest[:-1])))
    return begin[fresh], np.maximum.reduceat(end, fresh)


def _allowed_ns(flow: Flow, deadline_s: float | None) -> int:
    if deadline_s is not None:
        return ns(deadline_s)
    delays = (flow.received_ns - flow.sent_ns)[flow.arrived]
    return max(0, int(delays.min())) if len(delays) else 0


def availability(
    flow: Flow, survival_s: float, deadline_s: float | None
) -> tuple[Availability, float] | None:
    """Time that the service was there, and its longest downtime in s (3GPP TS 22.104, 3.1).

    Downtime begins only when the survival time has passed without a packet in time. Observed from
    when the first packet was due to when the last one was; None for no time.
    """
    known = np.flatnonzero(flow.decidable)
    if len(known) < 2:
        return None
    begin, end = interruptions(flow, deadline_s)
    first, last = int(flow.sent_ns[known[0]]), int(flow.sent_ns[known[-1]])
    allowed = _allowed_ns(flow, deadline_s)
    span_ns = max(last + allowed, int(end.max(initial=last))) - first - allowed
    if span_ns <= 0:
        return None
    gaps = (end - begin) / 1e9
    beyond = gaps[gaps > survival_s]
    found = availability_of(beyond.tolist(), max(span_ns / 1e9, float(beyond.sum())), survival_s)
    longest = max(0.0, float(gaps.max(initial=0.0)) - survival_s)
    return found, longest
