"""What the recorder of the virtual bench notes until it is next emptied.

Nearly every packet is seen twice, where it leaves and where it arrives: both go down as four plain
numbers, and become rows of the packet table all at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.sessions.packets import ROW, TAPS, in_order, packed, together

_DIRECTION, _STREAM, _LINK, _SIZE = 0, 8, 16, 24
_BYTE = 0xFF
_NEAR = np.array([TAPS.index(tap) for tap in ("doctor", "patient", "actuator")], dtype=np.uint8)
"""By direction, the tap where its packets leave; they arrive at the other. Last, for :data:`ACTED`,
the drive."""
ACTED = 2
"""In place of a direction: not a packet, but that the drive executes a command."""


def kind_of(direction: int, link: int, stream: int, size: int) -> int:
    """All about a packet but its number and its times, as one number; or about a command."""
    return size << _SIZE | link << _LINK | stream << _STREAM | direction << _DIRECTION


class RowNotes:
    """Rows in the making.

    ``singles``: rows as plain tuples in the order of :data:`~bench.sessions.packets.ROW`.
    ``crossings``: per packet four numbers: when it left and when it arrived (or any number below
    0), ns; :func:`kind_of` it; its sequence number. ``arrays``: rows as they are.
    """

    def __init__(self) -> None:
        self.singles: list[tuple[int, int, int, int, int, int, int]] = []
        self.crossings: list[int] = []
        self.arrays: list[NDArray[np.void]] = []

    def take(self, until_ns: int) -> NDArray[np.void]:
        """The rows of before ``until_ns`` that were not taken yet, in order; shape (n,).

        Later ones are kept for the next time.
        """
        parts = (*_crossed(self.crossings), packed(self.singles))
        rows = in_order(together((*self.arrays, *parts)))
        for noted in (self.singles, self.crossings, self.arrays):
            noted.clear()  # the ports hold them
        cut = int(np.searchsorted(rows["t_ns"], until_ns))
        self.arrays.append(rows[cut:])
        return rows[:cut]


def _crossed(crossings: list[int]) -> Sequence[NDArray[np.void]]:
    """The rows where packets left, then those where they arrived."""
    left_ns, came_ns, kind, seq = np.array(crossings, dtype=np.int64).reshape(-1, 4).T
    left = np.empty(len(kind), dtype=ROW)
    left["t_ns"], left["seq"], left["size"] = left_ns, seq, kind >> _SIZE
    way = kind >> _DIRECTION & _BYTE
    left["direction"], left["tap"] = way & 1, _NEAR[way]
    left["link"], left["stream"] = kind >> _LINK & _BYTE, kind >> _STREAM & _BYTE
    there = came_ns >= 0
    came = left.compress(there)
    came["t_ns"], came["tap"] = came_ns[there], _NEAR[1 - way[there]]
    return left, came
