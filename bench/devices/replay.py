"""The replay window of RFC 4303, 3.4.3 (and RFC 9147, 4.5.1): each number is taken once."""

from __future__ import annotations

SIZE = 64
"""Default of RFC 4303: numbers this far behind the highest can still be told apart."""


class ReplayWindow:
    """Which numbers were taken: the highest, and a bitmap of those behind it.

    ``next``: one above the highest. Taking just that one is no more than adding 1 to it, which
    callers in a hurry may do themselves.
    """

    __slots__ = ("_highest", "_mask", "_seen", "_size", "next")

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        self._highest = -1
        self._seen = 0
        self.next = 0

    def take(self, number: int) -> bool:
        """Whether ``number`` is new; it is not from then on."""
        if number == self.next:
            self.next = number + 1
            return True
        self._forward(self.next - 1, taken=True)
        if number > self._highest:
            self._forward(number, taken=False)
            self.next = number + 1
            return True
        if number < 0 or self._highest - number >= self._size:
            return False
        bit = 1 << (self._highest - number)
        if self._seen & bit:
            return False
        self._seen |= bit
        return True

    def _forward(self, highest: int, *, taken: bool) -> None:
        """Move the bitmap up to ``highest``; the numbers on the way were ``taken`` or were not."""
        ahead = highest - self._highest
        if ahead <= 0:
            return
        between = (1 << min(ahead, self._size)) - 1 if taken else 1
        kept = self._seen << ahead if ahead < self._size else 0
        self._seen = (kept | between) & self._mask
        self._highest = highest
