"""Random numbers in blocks: one at a time or as arrays, in the same order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096


class Draws:
    """What ``fill(4096)`` gives, block after block; however it is taken, in the same order."""

    __slots__ = ("_array", "_fill", "_index", "_list")

    def __init__(self, fill: Callable[[int], NDArray[np.float64]]) -> None:
        self._fill = fill
        self._array = fill(_BLOCK)
        self._list: list[float] = self._array.tolist()
        self._index = 0

    def one(self) -> float:
        """The next number."""
        index = self._index
        if index == _BLOCK:
            self._refill()
            index = 0
        self._index = index + 1
        return self._list[index]

    def many(self, count: int) -> NDArray[np.float64]:
        """The next ``count`` numbers; shape (count,)."""
        start, end = self._index, self._index + count
        if end <= _BLOCK:
            self._index = end
            return self._array[start:end]
        parts = [self._array[start:]]
        left = end - _BLOCK
        while left > 0:
            self._refill()
            self._index = min(left, _BLOCK)
            parts.append(self._array[: self._index])
            left -= self._index
        return np.concatenate(parts)

    def _refill(self) -> None:
        self._array = self._fill(_BLOCK)
        self._list = self._array.tolist()


def truncated_normal(rng: np.random.Generator) -> Callable[[int], NDArray[np.float64]]:
    """Standard normal numbers, drawn again beyond ± 4."""

    def fill(count: int) -> NDArray[np.float64]:
        values = rng.standard_normal(count)
        while True:
            outside = np.abs(values) > 4
            if not outside.any():
                return values
            values[outside] = rng.standard_normal(int(outside.sum()))

    return fill
