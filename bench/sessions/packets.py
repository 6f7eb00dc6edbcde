"""The packet table of a recording: columns of numpy arrays, one row per packet and tap."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TAPS = ("doctor", "patient", "actuator", "third-party")
"""Where a row was seen. ``doctor`` and ``patient``: the network interface of that side.
``actuator``: the command was executed (a contact on the drive, not a network tap).
``third-party``: packets from or to further clients and attackers, where they arrive, so that they
are told apart from the device's own; of a packet that was altered on the way the arrival also."""

ROW = np.dtype(
    [
        ("t_ns", "<i8"),
        ("tap", "u1"),
        ("direction", "u1"),
        ("link", "u1"),
        ("stream", "u1"),
        ("seq", "<u4"),
        ("size", "<u4"),
    ]
)
"""One row. ``t_ns``: ns from the session's start. ``tap``: index into :data:`TAPS`.
``direction``: index into ``bench.network.impairment.DIRECTIONS``. ``link``: index into the
session's links, 255 for the actuator. ``stream``: index into the device's streams.
``seq``: the application's sequence number (a burst may carry more than one packet per frame,
each with its own number); of streams over DTLS the record's, over TCP the segment's. ``size``:
captured bytes, Ethernet header to payload, no FCS."""

NO_LINK = 255

_WHOLE = np.dtype((np.void, ROW.itemsize))
"""A row as so many bytes: numpy copies rows of fields field by field, and these at once."""


@dataclass(frozen=True, slots=True, eq=False)
class PacketTable:
    """All packets of a session, sorted by time.

    ``rows`` is a structured array of dtype :data:`ROW`, shape ``(n,)``.
    """

    rows: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> NDArray[np.int64]:
        """One column as int64, shape ``(n,)``."""
        return self.rows[name].astype(np.int64)

    def where(
        self,
        *,
        tap: str | None = None,
        direction: int | None = None,
        link: int | None = None,
        stream: int | None = None,
    ) -> PacketTable:
        """The rows that match all that is given."""
        rows = self.rows
        at = None if tap is None else TAPS.index(tap)
        # One after the other, the one that leaves the fewest first: masks over all rows are slow.
        wanted = (("stream", stream), ("link", link), ("tap", at), ("direction", direction))
        for name, value in wanted:
            if value is not None:
                rows = rows.compress(rows[name] == value)
        return PacketTable(rows)

    def between(self, start_ns: int, end_ns: int) -> PacketTable:
        """The rows with ``start_ns <= t_ns < end_ns``."""
        t_ns = self.rows["t_ns"]
        return PacketTable(self.rows.compress((t_ns >= start_ns) & (t_ns < end_ns)))


_PACKED = struct.Struct("<qBBBBII")


def packed(rows: Iterable[tuple[int, int, int, int, int, int, int]]) -> NDArray[np.void]:
    """Plain tuples in the order of :data:`ROW` as an array, shape ``(n,)``.

    As ``np.array(rows, dtype=ROW)``, which takes four times as long.
    """
    pack = _PACKED.pack
    return np.frombuffer(b"".join([pack(*row) for row in rows]), dtype=ROW)


def table(rows: Sequence[tuple[int, int, int, int, int, int, int]]) -> PacketTable:
    """A table from plain tuples in the order of :data:`ROW`, sorted by time."""
    return merge([packed(rows)])


def merge(parts: Iterable[NDArray[np.void]]) -> PacketTable:
    """One table out of several arrays: sorted by time, then tap, stream, sequence, link."""
    return PacketTable(in_order(together(list(parts))))


def in_order(rows: NDArray[np.void]) -> NDArray[np.void]:
    """The rows in the order of :func:`merge`."""
    return rows.take(_order(rows))


def together(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """The rows of all parts, one part after the other, shape ``(n,)``; of no parts: no rows."""
    rows = [part.view(_WHOLE) for part in parts if len(part)]
    return np.concatenate(rows).view(ROW) if rows else np.zeros(0, dtype=ROW)


def joined(parts: Sequence[NDArray[np.void]]) -> PacketTable:
    """As :func:`merge`, of arrays that are each :func:`in_order`; quick where they follow on."""
    filled = [part for part in parts if len(part)]
    following = all(
        int(before["t_ns"][-1]) < int(after["t_ns"][0]) for before, after in pairwise(filled)
    )
    if not (filled and following):
        return merge(filled)
    return PacketTable(together(filled))


def _order(rows: NDArray[np.void]) -> NDArray[np.intp]:
    """The order by time, and by the other columns of what was seen at the same moment."""
    t_ns = rows["t_ns"]
    order = np.argsort(t_ns, kind="stable")
    again = np.diff(t_ns[order]) == 0
    at = np.flatnonzero(np.append(again, False) | np.append(False, again))
    same = order[at]
    order[at] = same[np.lexsort((_rank(rows.take(same)), t_ns[same]))]
    return order


def _rank(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    """Tap, direction, stream, sequence and link, the first the weightiest, as one number each."""
    rank = rows["tap"].astype(np.uint64)
    for name, bits in (("direction", 8), ("stream", 8), ("seq", 32), ("link", 8)):
        rank = rank << np.uint64(bits) | rows[name]
    return rank
