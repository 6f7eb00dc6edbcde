"""The per-packet table of two captures as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.errors import InputError
from bench.measure.pairing import MISSING, Flow
from bench.runs.files import replacing

GROUP_ROWS = 1 << 20
"""Rows of a row group, and the most that wait in memory."""

FATES = ("lost", "arrived", "in-flight", "ambiguous")
"""What the column ``fate`` says."""

_TIMES = ("sent_ns", "received_ns", "delay_ns", "earliest_ns", "latest_ns")
_NUMBERS = ("size", "link", "sequence")
_NAMED = ("stream", "direction", "fate")
_LEVEL = 3

SCHEMA = pa.schema(
    [
        ("stream", pa.dictionary(pa.int32(), pa.string())),
        ("direction", pa.dictionary(pa.int32(), pa.string())),
        ("sent_ns", pa.int64()),
        ("received_ns", pa.int64()),
        ("delay_ns", pa.int64()),
        ("size", pa.int32()),
        ("link", pa.int32()),
        ("sequence", pa.int64()),
        ("fate", pa.dictionary(pa.int32(), pa.string())),
        ("earliest_ns", pa.int64()),
        ("latest_ns", pa.int64()),
    ]
)
"""One row per packet sent. ``received_ns``, ``delay_ns``: null unless it is known to have arrived;
``earliest_ns``, ``latest_ns``: of ambiguous packets only, null where no arrival may be theirs."""


class PacketTable:
    """Writes the rows of one stream after the other.

    Args:
        file: an open binary file.
    """

    def __init__(self, file: Any) -> None:
        self._writer = pq.ParquetWriter(
            file,
            SCHEMA,
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=list(_NAMED),
            column_encoding=dict.fromkeys((*_TIMES, *_NUMBERS), "DELTA_BINARY_PACKED"),
        )
        self._waiting: list[Any] = []
        self._rows = 0

    def add(self, stream: str, direction: str, flow: Flow) -> None:
        """The packets of one stream, in order of sending."""
        for start in range(0, len(flow), GROUP_ROWS):
            part = slice(start, start + GROUP_ROWS)
            batch = _batch(stream, direction, flow, part)
            if self._rows + batch.num_rows > GROUP_ROWS:
                self._flush()
            self._waiting.append(batch)
            self._rows += batch.num_rows

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """End without what waits; the file is of no use."""
        with suppress(OSError):
            self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, schema=SCHEMA).unify_dictionaries()
            self._writer.write_table(table, row_group_size=GROUP_ROWS)
        self._waiting, self._rows = [], 0


def _batch(stream: str, direction: str, flow: Flow, part: slice) -> Any:
    sent, got = flow.sent_ns[part], flow.received_ns[part]
    arrived, ambiguous = flow.arrived[part], flow.ambiguous[part]
    fate = np.select([ambiguous, arrived, flow.in_flight[part]], [3, 1, 2], 0).astype(np.int32)
    n = len(sent)
    columns = {
        "stream": _word(stream, n),
        "direction": _word(direction, n),
        "sent_ns": pa.array(sent),
        "received_ns": pa.array(got, mask=~arrived),
        "delay_ns": pa.array(got - sent, mask=~arrived),
        "size": pa.array(flow.size[part].astype(np.int32)),
        "link": pa.array(flow.link[part].astype(np.int32)),
        "sequence": pa.array(flow.seq[part].astype(np.int64)),
        "fate": pa.DictionaryArray.from_arrays(pa.array(fate), pa.array(FATES)),
        "earliest_ns": _bound(flow.earliest_ns[part], ambiguous),
        "latest_ns": _bound(flow.latest_ns[part], ambiguous),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _word(text: str, n: int) -> Any:
    indices = pa.array(np.zeros(n, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text], type=pa.string()))


def _bound(times_ns: NDArray[np.int64], ambiguous: NDArray[np.bool_]) -> Any:
    return pa.array(times_ns, mask=~ambiguous | (times_ns == MISSING))


@contextmanager
def packet_table(path: Path) -> Iterator[PacketTable]:
    """A table that appears whole at ``path`` when the block ends without error, or not at all.

    Raises:
        InputError: the file cannot be written; what was there before stays.
    """
    try:
        with replacing(path) as file:
            table = PacketTable(file)
            try:
                yield table
                table.close()
            except BaseException:
                table.discard()
                raise
    except InputError as error:
        if error.file != str(path) or error.field is not None:
            raise
        raise InputError(
            error.problem, remedy="give a path that you may write, with room", file=path,
            field="--parquet",
        ) from error  # fmt: skip
