"""The packet table as Arrow: readable columns, and back to the rows of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.network.impairment import DIRECTIONS
from bench.sessions.packets import NO_LINK, ROW, TAPS

_NO_LINK_NAME = "none"


@dataclass(frozen=True, slots=True)
class Names:
    """What the indices of a packet table stand for in one session."""

    links: tuple[str, ...]
    streams: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """Columns: t_ns, seq, size, and dictionary-encoded tap, direction, link, stream."""
        name = pa.dictionary(pa.int8(), pa.string())
        stream = pa.dictionary(pa.int16(), pa.string())
        return pa.schema(
            [
                ("t_ns", pa.int64()),
                ("tap", name),
                ("direction", name),
                ("link", name),
                ("stream", stream),
                ("seq", pa.uint32()),
                ("size", pa.uint32()),
            ]
        )


def to_batch(rows: NDArray[np.void], names: Names) -> pa.RecordBatch:
    """Rows of dtype ``ROW`` as one record batch."""
    link = rows["link"].astype(np.int16)
    link[link == NO_LINK] = len(names.links)

    def encoded(values: NDArray[np.int8] | NDArray[np.int16], words: Sequence[str]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(values), pa.array(list(words), pa.string()))

    return pa.record_batch(
        [
            pa.array(rows["t_ns"]),
            encoded(rows["tap"].astype(np.int8), TAPS),
            encoded(rows["direction"].astype(np.int8), DIRECTIONS),
            encoded(link.astype(np.int8), (*names.links, _NO_LINK_NAME)),
            encoded(rows["stream"].astype(np.int16), names.streams),
            pa.array(rows["seq"]),
            pa.array(rows["size"]),
        ],
        schema=names.schema,
    )


def to_rows(table: pa.Table, names: Names) -> NDArray[np.void]:
    """The rows that :func:`to_batch` wrote.

    Raises:
        KeyError: a column is missing.
        ValueError: a name that the session does not know.
    """
    rows = np.zeros(table.num_rows, dtype=ROW)
    for column in ("t_ns", "seq", "size"):
        rows[column] = table[column].to_numpy()
    known = {
        "tap": TAPS,
        "direction": DIRECTIONS,
        "link": (*names.links, _NO_LINK_NAME),
        "stream": names.streams,
    }
    for column, words in known.items():
        rows[column] = _indices(table[column], words)
    rows["link"][rows["link"] == len(names.links)] = NO_LINK
    return rows


def _indices(column: pa.ChunkedArray, words: Sequence[str]) -> NDArray[np.int64]:
    parts = [np.zeros(0, dtype=np.int64)]
    for chunk in column.chunks:
        place = [words.index(word) for word in chunk.dictionary.to_pylist()]
        parts.append(np.array(place, dtype=np.int64)[chunk.indices.to_numpy()])
    return np.concatenate(parts)
