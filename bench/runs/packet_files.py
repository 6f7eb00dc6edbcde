"""Packet tables on disk: an Arrow stream while a session runs, Parquet when it is over.

Both hold the same columns: ``t_ns`` int64, ``tap``, ``direction``, ``link`` (null at the
actuator) and ``stream`` as dictionary-encoded names, ``seq`` and ``size`` uint32. Parquet files
carry no time, path or host, and their row groups close by count: the same rows give the same
bytes within one version of Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.network.impairment import DIRECTIONS
from bench.runs.files import DAMAGED, replacing, writing
from bench.sessions.packets import NO_LINK, ROW, TAPS

GROUP_ROWS = 1 << 20
"""Rows of a Parquet row group, and the most that is held twice in memory."""

_COMPRESSION_LEVEL = 3
_NAMED = ("tap", "direction", "link", "stream")
_PLAIN = {"t_ns": pa.int64(), "seq": pa.uint32(), "size": pa.uint32()}


class Columns:
    """Codes of a session's packet rows to names and back.

    A code that the session has no name for (a damaged packet) is called ``unknown-<code>``.

    Args:
        device: names the streams.
        links: the session's links.

    Raises:
        InputError: two links or two streams have the same name.

    """

    def __init__(self, device: DeviceProfile, links: Sequence[str]) -> None:
        streams = {stream.code: stream.name for stream in device.streams}
        codes = range(max(streams, default=-1) + 1)
        known = {
            "tap": TAPS,
            "direction": DIRECTIONS,
            "link": tuple(links),
            "stream": tuple(streams.get(code, f"unknown-{code}") for code in codes),
        }
        self._known = {name: len(words) for name, words in known.items()}
        self._names = {name: _all_codes(name, words) for name, words in known.items()}
        self._codes = {
            name: {word: code for code, word in enumerate(words)}
            for name, words in self._names.items()
        }
        self._dictionaries: dict[tuple[str, int], Any] = {}
        named = pa.dictionary(pa.uint8(), pa.string())
        self.schema = pa.schema([(n, named if n in _NAMED else _PLAIN[n]) for n in ROW.names or ()])

    def batch(self, rows: NDArray[np.void]) -> Any:
        """Rows of dtype ``ROW``, shape ``(n,)``, as a record batch."""
        arrays = [
            self._named(name, rows[name])
            if name in _NAMED
            else pa.array(np.ascontiguousarray(rows[name]), type=_PLAIN[name])
            for name in self.schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _named(self, name: str, codes: NDArray[np.uint8]) -> Any:
        codes = np.ascontiguousarray(codes)
        missing = codes == NO_LINK if name == "link" else None
        seen = codes if missing is None else codes[~missing]
        # Names beyond the known ones enter the file only where they occur.
        count = max(self._known[name], int(seen.max()) + 1 if len(seen) else 0)
        key = (name, count)
        if key not in self._dictionaries:
            self._dictionaries[key] = pa.array(self._names[name][:count], type=pa.string())
        indices = pa.array(codes, mask=missing)
        return pa.DictionaryArray.from_arrays(indices, self._dictionaries[key])

    def rows(self, batch: Any) -> NDArray[np.void]:
        """The rows of a record batch whose columns hold what :meth:`batch` gave.

        Raises:
            ValueError: other columns, values outside their range, or a name that the session
                does not know.

        """
        if batch.schema.names != self.schema.names:
            raise ValueError(f"has the columns {', '.join(batch.schema.names)}")
        batch.validate(full=True)
        rows = np.empty(batch.num_rows, dtype=ROW)
        for name in self.schema.names:
            column = batch.column(name)
            if name in _NAMED:
                rows[name] = self._coded(name, column)
            elif column.type != _PLAIN[name] or column.null_count:
                raise ValueError(f"the column {name} is not whole numbers throughout")
            else:
                rows[name] = column.to_numpy()
        return rows

    def _coded(self, name: str, column: Any) -> NDArray[np.uint8]:
        if not pa.types.is_dictionary(column.type):
            raise ValueError(f"the column {name} is not dictionary-encoded")
        if column.null_count and name != "link":
            raise ValueError(f"the column {name} has empty places")
        words = column.dictionary.to_pylist()
        unknown = [word for word in words if word not in self._codes[name]]
        if unknown:
            raise ValueError(f"the session has no {name} {unknown[0]!r}")
        codes = np.array([self._codes[name][word] for word in words] + [NO_LINK], dtype=np.uint8)
        indices: NDArray[np.int32] = pc.fill_null(
            column.indices.cast(pa.int32()), len(words)
        ).to_numpy()
        return codes[indices]


def _all_codes(name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """A name for every code that a byte can carry (255 is no link)."""
    last = NO_LINK if name == "link" else NO_LINK + 1
    names = known + tuple(f"unknown-{code}" for code in range(len(known), last))
    if len(set(names)) < len(names):
        raise InputError(
            f"two of the {name}s have the same name",
            remedy="give each a name of its own",
            value=", ".join(known),
        )
    return names


class PacketStream:
    """``packets.arrows``: record batches, each handed to the system as it comes.

    Raises:
        InputError: from every method, where the file cannot be written.

    """

    def __init__(self, path: Path, columns: Columns) -> None:
        self._path = path
        self._columns = columns
        with writing(path):
            self._file = path.open("xb")
            self._writer = pa.ipc.new_stream(self._file, columns.schema)
            self._file.flush()

    def append(self, rows: NDArray[np.void]) -> None:
        """Append rows of dtype ``ROW``, shape ``(n,)``, in pieces of bounded size."""
        with writing(self._path):
            for start in range(0, len(rows), GROUP_ROWS):
                self._writer.write_batch(self._columns.batch(rows[start : start + GROUP_ROWS]))
            self._file.flush()

    def close(self) -> None:
        """Mark the end and make the file durable. A second time does nothing."""
        if self._file.closed:
            return
        try:
            with writing(self._path):
                self._writer.close()
                self._file.flush()
        finally:
            # Closing flushes again, which fails again on a full disk.
            with suppress(OSError):
                self._file.close()


def read_stream(path: Path, columns: Columns) -> tuple[NDArray[np.void], bool]:
    """The rows of an Arrow stream, as far as they can be read.

    Returns:
        The rows in the order written, shape ``(n,)``, and whether the stream ends in the middle
        of a batch.

    Raises:
        InputError: unreadable, or written by something else.

    """
    parts: list[NDArray[np.void]] = []
    cut_short = False
    try:
        source = path.open("rb")
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise InputError(problem, remedy=DAMAGED, file=path) from error
    with source:
        try:
            reader = pa.ipc.open_stream(source)
            columns_match = reader.schema.names == columns.schema.names
        except (pa.ArrowException, OSError, ValueError):
            return np.zeros(0, dtype=ROW), True  # killed before the first batch was whole
        if not columns_match:
            raise InputError("holds no packets of this session", remedy=DAMAGED, file=path)
        while True:
            try:
                parts.append(columns.rows(reader.read_next_batch()))
            except StopIteration:
                break
            except (pa.ArrowException, OSError, ValueError):
                cut_short = True
                break
    return (np.concatenate(parts) if parts else np.zeros(0, dtype=ROW)), cut_short


def write_parquet(path: Path, rows: NDArray[np.void], columns: Columns) -> None:
    """Write rows (dtype ``ROW``, shape ``(n,)``, sorted) to a Parquet file, atomically.

    Raises:
        InputError: it cannot be written.

    """
    with (
        replacing(path) as file,
        pq.ParquetWriter(
            file,
            columns.schema,
            version="2.6",
            data_page_version="1.0",
            compression="zstd",
            compression_level=_COMPRESSION_LEVEL,
            use_dictionary=list(_NAMED),
            column_encoding={name: "DELTA_BINARY_PACKED" for name in _PLAIN},
            write_statistics=True,
            write_page_checksum=True,
            store_schema=False,
        ) as writer,
    ):
        for start in range(0, len(rows), GROUP_ROWS):
            writer.write_batch(columns.batch(rows[start : start + GROUP_ROWS]))


def read_parquet(path: Path, columns: Columns) -> NDArray[np.void]:
    """The rows of a Parquet file, shape ``(n,)``, in the order written.

    Raises:
        InputError: missing, damaged, or written by something else.

    """
    return _readable(path, lambda: _read_groups(path, columns))


def _read_groups(path: Path, columns: Columns) -> NDArray[np.void]:
    with pq.ParquetFile(
        path, read_dictionary=list(_NAMED), page_checksum_verification=True, pre_buffer=False
    ) as file:
        rows = np.empty(file.metadata.num_rows, dtype=ROW)
        start = 0
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group).to_batches():
                part = columns.rows(batch)
                rows[start : start + len(part)] = part
                start += len(part)
    if start != len(rows):
        raise ValueError(f"holds {start} of {len(rows)} rows")
    return rows


def _readable(path: Path, read: Callable[[], NDArray[np.void]]) -> NDArray[np.void]:
    try:
        return read()
    except FileNotFoundError as error:
        raise InputError("is missing", remedy=DAMAGED, file=path) from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"is not a packet table of this session: {problem}", remedy=DAMAGED, file=path
        ) from error
