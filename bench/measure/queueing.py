"""The queue before the rate of a link, from the packets that are known to have joined it.

Near its rate the queue of a link is a matter of chance: two draws of one law differ by far more
than the delays of one of them, because the packets lost before the queue are others. But which
were lost, the taps tell; what the others made of the queue is then certain (Lindley's recursion),
and only the delay behind it is still drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.measure.distributions import binomial_sf
from bench.measure.pairing import MISSING
from bench.measure.percentiles import ERROR
from bench.network.impairment import NO_DELAY, Impairment
from bench.network.laws import LOST, NEVER, DirectionLaw
from bench.network.seeds import generator
from bench.units import NS_PER_S, show_duration

Changes = Sequence[tuple[int, Impairment]]

_LONGEST = (0.5, 0.05)
"""Shares of the packets, those that found the longest queue, whose losses are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """What became of each packet sent, and what it found; arrays of shape ``(n,)``.

    ``due_ns``: when the law lets it go, or its negative fate; of those that were lost, LOST.
    ``wait_ns``: for how long the line was not free. ``ahead``: how many waited or were in service.
    """

    due_ns: NDArray[np.int64]
    wait_ns: NDArray[np.int64]
    ahead: NDArray[np.int64]


def shares_line(changes: Changes) -> bool:
    """Whether packets ever wait for each other, so that a loss alters the delay of others."""
    return any(impairment.rate_bps or impairment.slot for _, impairment in changes)


def order_of_sending(sent_ns: NDArray[np.int64], seen_ns: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order in which packets joined the queue; of those sent at once, as they arrived.

    A recording does not tell which of them went first, and who waits for whom alters the
    percentiles of the delay. Those that never arrived come last.
    """
    order = np.argsort(sent_ns, kind="stable")
    again = np.diff(sent_ns[order]) == 0
    at = np.flatnonzero(np.append(again, False) | np.append(False, again))
    same = order[at]
    seen = np.where(seen_ns[same] == MISSING, NEVER, seen_ns[same])
    order[at] = same[np.lexsort((seen, sent_ns[same]))]
    return order


def queue_of(
    changes: Changes,
    name: str,
    sent_ns: NDArray[np.int64],
    size: NDArray[np.int64],
    joined: NDArray[np.bool_],
) -> Queue:
    """The law's queue, where just the packets that did not join it were lost.

    Args:
        changes: the states of the link direction, in ascending time.
        name: keys the draws.
        sent_ns: of all packets, ascending; shape (n,).
        size: captured bytes; shape (n,).
        joined: which of them were not lost before the queue; shape (n,). A full queue, a link that
            is down and one that is too narrow still drop them.
    """
    due_ns = np.full(len(sent_ns), LOST, dtype=np.int64)
    due_ns[joined] = _offered(changes, name, sent_ns[joined], size[joined], loss=None)
    free_ns = np.full(len(sent_ns), LOST, dtype=np.int64)
    free_ns[joined] = _offered(
        changes, name, sent_ns[joined], size[joined], loss=None, delay=NO_DELAY, order="preserve",
        reordering=None, slot=None, duplication=0.0, ber=0.0,
    )  # fmt: skip
    served = free_ns >= 0
    before = np.cumsum(served, dtype=np.int64) - served
    free_ns = np.concatenate([np.zeros(1, np.int64), free_ns[served]])
    wait_ns = np.maximum(free_ns[before] - sent_ns, 0)
    gone = np.searchsorted(free_ns[1:], sent_ns, side="right")
    return Queue(due_ns, wait_ns, np.maximum(before - gone, 0))


def _offered(
    changes: Changes,
    name: str,
    sent_ns: NDArray[np.int64],
    size: NDArray[np.int64],
    **altered: object,
) -> NDArray[np.int64]:
    states = [(t_ns, impairment.with_(**altered)) for t_ns, impairment in changes]
    return DirectionLaw(states, seed=1, name=name).offer_many(sent_ns, size)


def damaged(
    changes: Changes,
    name: str,
    sent_ns: NDArray[np.int64],
    size: NDArray[np.int64],
    missing: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which of the missing packets had passed the queue, and were thrown away for a bit error.

    The taps do not tell: where the law has losses as well, it is drawn, as likely as the law has
    it, and the queue near a rate remains a matter of chance.
    """
    share = np.zeros(len(sent_ns))
    ends = [t_ns for t_ns, _ in changes[1:]] + [NEVER]
    for (start, impairment), end in zip(changes, ends, strict=True):
        if impairment.ber and impairment.up:
            part = slice(*np.searchsorted(sent_ns, (start, end)))
            passed = 1 - impairment.loss_ratio
            hurt = -passed * np.expm1(8 * size[part] * math.log1p(-impairment.ber))
            share[part] = hurt / (impairment.loss_ratio + hurt)
    if not share.any():
        return share > 0
    draws = generator(1, name, "damaged").random(len(sent_ns))
    return missing & (draws < share)


def crowding_objection(
    wait_ns: NDArray[np.int64],
    ahead: NDArray[np.int64],
    lost: NDArray[np.bool_],
    loss: float,
    impairment: Impairment,
) -> str:
    """Why losses are not those of the law: they hit the packets that found the longest queue.

    So does a queue that is shorter than intended, which the packets that it let pass do not show.
    A right law, whose losses know nothing of the queue, is refused with a probability of
    ``ERROR`` / 2 for each of the two shares that are looked at.

    Args:
        wait_ns: as in :class:`Queue`, of packets that were offered in one state; shape (n,).
        ahead: likewise.
        lost: which of them were lost; shape (n,).
        loss: the intended ratio of those that found a place.
        impairment: the state; what its queue has no place for is rightly lost.
    """
    place = wait_ns <= impairment.queue_s * NS_PER_S
    if impairment.queue_packets is not None:
        place &= ahead < impairment.queue_packets
    wait_ns, lost = wait_ns[place], lost[place]
    effect = impairment.loss.effect if impairment.loss is not None else 1.0
    for share in _LONGEST if len(wait_ns) else ():
        least = float(np.quantile(wait_ns, 1 - share))
        longest = wait_ns > least
        count, gone = int(longest.sum()), int((longest & lost).sum())
        trials, events = math.ceil(count / effect), math.floor(gone / effect)
        if binomial_sf(events - 1, trials, loss) < ERROR / 2:
            return (
                f"lost {gone} of the {count} packets that met a queue of more than "
                f"{show_duration(least / NS_PER_S)} where {loss:.3g} was intended"
            )
    return ""
