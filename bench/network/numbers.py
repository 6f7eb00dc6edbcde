"""Random numbers in blocks: one at a time or as arrays, in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from operator import length_hint
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 4096


class Draws:
    """What ``fill(4096)`` gives, block after block; however it is taken, in the same order.

    ``one()``: the next number. Most packets draw one: it runs over lists without a call in Python.
    """

    __slots__ = ("_array", "_fill", "_left", "one")

    def __init__(self, fill: Callable[[int], NDArray[np.float64]]) -> None:
        self._fill = fill
        self._refill()
        self.one: Callable[[], float] = chain.from_iterable(self._blocks()).__next__

    def _blocks(self) -> Iterator[Iterator[float]]:
        while True:
            if not length_hint(self._left):
                self._refill()
            yield self._left

    def many(self, count: int) -> NDArray[np.float64]:
        """The next ``count`` numbers; shape (count,)."""
        start = _BLOCK - length_hint(self._left)
        end = start + count
        if end <= _BLOCK:
            self._left.__setstate__(end)
            return self._array[start:end]
        self._left.__setstate__(_BLOCK)
        parts = [self._array[start:]]
        more = end - _BLOCK
        while more > 0:
            self._refill()
            taken = min(more, _BLOCK)
            self._left.__setstate__(taken)
            parts.append(self._array[:taken])
            more -= taken
        return np.concatenate(parts)

    def _refill(self) -> None:
        self._array = self._fill(_BLOCK)
        self._left: Any = iter(self._array.tolist())  # a list's iterator can be set forward


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
