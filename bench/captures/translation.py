"""Which flow at one tap is which at the other, where the path rewrites addresses or ports (NAT)."""

from __future__ import annotations

import numpy as np

from bench.captures.blocks import Ints
from bench.captures.flows import Capture
from bench.captures.lining import meet
from bench.captures.walking import Mask
from bench.errors import InputError

_CLEAR = 2
"""A flow's best partner must share so many times as many packets as its second best."""


def associate(left: Capture, right: Capture) -> list[tuple[int, int]]:
    """Flows that share most of their packets with each other: numbers at the left and right tap.

    By the packets that are unique in each capture as a whole, addresses and ports apart.

    Raises:
        InputError: no flow has a partner.
    """
    at = meet(left.key, right.key)
    near, far = left.flow[at.left].astype(np.int64), right.flow[at.right].astype(np.int64)
    codes, votes = np.unique(near * len(right.names) + far, return_counts=True)
    near, far = codes // len(right.names), codes % len(right.names)
    chosen = _clear(near, votes, len(left.names)) & _clear(far, votes, len(right.names))
    if not chosen.any():
        raise InputError(
            "no flow of one capture can be told to be one of the other, addresses and ports apart",
            remedy="give captures of the same traffic at the same time; encrypted tunnels between "
            "the taps hide it",
            file=f"{left.path.name}, {right.path.name}",
        )
    return list(zip(near[chosen].tolist(), far[chosen].tolist(), strict=True))


def _clear(flow: Ints, votes: Ints, count: int) -> Mask:
    """Which entries have by far the most votes of their flow."""
    most = np.zeros(count, dtype=np.int64)
    np.maximum.at(most, flow, votes)
    total = np.zeros(count, dtype=np.int64)
    np.add.at(total, flow, votes)
    found: Mask = (votes == most[flow]) & (votes >= _CLEAR * (total[flow] - votes))
    return found
