"""RFC 3550's estimator of the jitter as a recursive filter over many packets at once."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GAIN = 1 / 16


def smoothed(differences: Floats, before: float = 0.0) -> Floats:
    """The estimator after each difference: J += (|D| − J) / 16 (RFC 3550, 6.4.1 and A.8).

    Exact to rounding: the differences are cut into as many pieces as each is long; all pieces are
    filtered in step from nothing, and what a piece inherits from those before it is added.

    Args:
        differences: |D|, shape ``(n,)``.
        before: its value before the first.
    """
    n = len(differences)
    if not n:
        return np.zeros(0)
    width = math.isqrt(n - 1) + 1
    pieces = -(-n // width)
    steps = np.zeros((width, pieces))
    padded = np.zeros(width * pieces)
    padded[:n] = differences
    values = padded.reshape(pieces, width).T
    state = np.zeros(pieces)
    for row in range(width):
        state = state + (values[row] - state) * _GAIN
        steps[row] = state
    fading = (1 - _GAIN) ** np.arange(1, width + 1)
    inherited, carried = np.empty(pieces), before
    for piece in range(pieces):
        inherited[piece] = carried
        carried = float(state[piece]) + carried * float(fading[-1])
    steps += fading[:, None] * inherited
    return np.ascontiguousarray(steps.T).reshape(-1)[:n]
