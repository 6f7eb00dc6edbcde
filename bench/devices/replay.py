"""The replay window of RFC 4303, 3.4.3 (and RFC 9147, 4.5.1): each number is taken once."""

from __future__ import annotations

SIZE = 64
"""Default of RFC 4303: numbers this far behind the highest can still be told apart."""


class ReplayWindow:
    """Which numbers were taken: the highest, and a bitmap of those behind it."""

    __slots__ = ("_highest", "_mask", "_seen", "_size")

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self._highest = -1
        self._seen = 0

    @property
    def highest(self) -> int:
        """The highest number taken; -1 before the first."""
        return self._highest

    def take(self, number: int) -> bool:
        """Whether ``number`` is new; it is not from then on."""
        ahead = number - self._highest
        if ahead == 1:
            self._seen = (self._seen << 1 | 1) & self._mask
            self._highest = number
            return True
        if ahead > 1:
            kept = self._seen << ahead if ahead < self._size else 0
            self._seen = (kept | 1) & self._mask
            self._highest = number
            return True
        if number < 0 or -ahead >= self._size:
            return False
        bit = 1 << -ahead
        if self._seen & bit:
            return False
        self._seen |= bit
        return True
