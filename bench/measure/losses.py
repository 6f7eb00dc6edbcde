"""Patterns of loss: periods, distances, and the models that explain them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]


def runs(flags: Flags) -> tuple[Ints, Ints]:
    """Where each run of flags starts, and its length (RFC 3357, 6.3: loss periods)."""
    at = np.flatnonzero(flags).astype(np.int64)
    if not len(at):
        return at, at
    fresh = np.flatnonzero(np.concatenate(([True], np.diff(at) > 1)))
    ends = np.append(fresh[1:], len(at))
    return at[fresh], np.asarray(ends - fresh, dtype=np.int64)


def loss_distances(lost: Flags) -> Ints:
    """How many packets after the loss before it each loss came (RFC 3357, 5.4.1).

    The first loss has none. A distance of 1 is a loss in the same period.

    Args:
        lost: in order of sending; shape ``(n,)``.
    """
    return np.diff(np.flatnonzero(lost)).astype(np.int64)


def noticeable_rate(lost: Flags, delta: int) -> float | None:
    """The share of the losses within ``delta`` packets of the loss before (RFC 3357, 6.1).

    None without a loss.
    """
    count = int(np.count_nonzero(lost))
    if not count:
        return None
    return int(np.count_nonzero(loss_distances(lost) <= delta)) / count


def transitions(lost: Flags) -> tuple[float | None, float | None]:
    """Gilbert's two-state chain by counting: P(lost after arrived), P(arrived after lost).

    The model of Gilbert and Elliott with a bad state that loses everything and a good one that
    loses nothing: maximum likelihood (Hasslinger and Hohlfeld 2008, II.B). None where the state
    was never left from.
    """
    before, after = lost[:-1], lost[1:]
    arrived, gone = int(np.count_nonzero(~before)), int(np.count_nonzero(before))
    p = int(np.count_nonzero(~before & after)) / arrived if arrived else None
    r = int(np.count_nonzero(before & ~after)) / gone if gone else None
    return p, r
