"""The transcript: every byte that went to or came from an instrument, chained by hashes.

One JSON object per line, flushed as it happens:

``n``          number of the entry, from 0
``t_ns``       monotonic time, ns (only differences mean something)
``utc_ns``     time since 1970 by this host's clock, ns
``role``       the instrument's role
``kind``       ``open``, ``tx``, ``rx``, ``timeout``, ``lost``, ``close`` or ``note``
``data``       the bytes, each as the character of the same number (ISO 8859-1): lossless;
               of ``timeout`` and ``lost`` what had come so far; of ``note`` text for people
``sha256``     over the previous entry's ``sha256`` and this entry without it

An entry that was changed, left out, added or moved breaks the chain. (Cutting off the end does
not: the seal of the run folder shows that.)
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.errors import InputError

_quoted = json.encoder.encode_basestring_ascii

KINDS = ("open", "tx", "rx", "timeout", "lost", "close", "note")

START = hashlib.sha256(b"telemed-bench instrument transcript 1").hexdigest()
"""What the first entry is chained to."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a transcript; see the module."""

    n: int
    t_ns: int
    utc_ns: int
    role: str
    kind: str
    data: str
    sha256: str

    @property
    def raw(self) -> bytes:
        """The bytes (of a ``note``: its text in UTF-8)."""
        return self.data.encode("utf-8" if self.kind == "note" else "latin-1")


class Transcript:
    """Writes entries of any number of instruments, from any thread.

    Args:
        path: a file that does not exist yet; None keeps the entries in memory only.
        monotonic_ns, utc_ns: the clocks.

    Attributes:
        entries: all so far, as plain mappings (what a recording carries).
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._clocks = monotonic_ns, utc_ns
        self._lock = threading.Lock()
        self._last = START
        self._file: FileIO | None = None
        self._refused: OSError | None = None
        self.entries: list[Mapping[str, Any]] = []
        if path is not None:
            self.keep(path)

    def keep(self, path: Path) -> None:
        """Write into a file from now on, and what there is so far.

        What the disk refuses later does not stand in the way of the instruments' safe state: the
        entries are kept in memory, and :meth:`refuse_lost` says it.

        Args:
            path: a file that does not exist yet.

        Raises:
            InputError: there is one.
            OSError: it cannot be written.
        """
        with self._lock:
            file = _create(path)
            for entry in self.entries:
                file.write(_line(entry))
            self._file = file

    def refuse_lost(self) -> None:
        """Raises: OSError: the disk refused an entry."""
        if self._refused is not None:
            raise self._refused

    def now_ns(self) -> int:
        """The monotonic clock of the entries, ns."""
        return self._clocks[0]()

    def add(self, role: str, kind: str, data: bytes | str = b"") -> int:
        """Write one entry; it is in the file when this returns.

        Returns:
            Its monotonic time, ns.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of entry: {kind}")
        text = data if isinstance(data, str) else data.decode("latin-1")
        with self._lock:
            fields: dict[str, Any] = {
                "n": len(self.entries),
                "t_ns": self._clocks[0](),
                "utc_ns": self._clocks[1](),
                "role": role,
                "kind": kind,
                "data": text,
            }
            body = _body(fields)
            self._last = _chained(self._last, body)
            if self._file is not None:
                self._written(self._file, f'{body[:-1]},"sha256":"{self._last}"}}\n')
            self.entries.append({**fields, "sha256": self._last})
            return int(fields["t_ns"])

    def _written(self, file: FileIO, line: str) -> None:
        try:
            if file.write(line.encode("ascii")) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._refused = error
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _create(path: Path) -> FileIO:
    """Without a buffer: each line is in the file at once."""
    try:
        return path.open("xb", buffering=0)
    except FileExistsError as error:
        raise InputError(
            "there is a transcript already", remedy="name a new file", file=path
        ) from error


def _body(fields: Mapping[str, Any]) -> str:
    """An entry without its hash, as it is chained and written: JSON, keys sorted, no spaces.

    Put together by hand: ``json.dumps`` took a third of the time of a transaction.
    """
    text = {key: _quoted(fields[key]) for key in ("data", "kind", "role")}
    return (
        f'{{"data":{text["data"]},"kind":{text["kind"]},"n":{fields["n"]},"role":{text["role"]},'
        f'"t_ns":{fields["t_ns"]},"utc_ns":{fields["utc_ns"]}}}'
    )


def _chained(last: str, body: str) -> str:
    return hashlib.sha256((last + body).encode("ascii")).hexdigest()


def _line(entry: Mapping[str, Any]) -> bytes:
    return f'{_body(entry)[:-1]},"sha256":"{entry["sha256"]}"}}\n'.encode("ascii")


def rechained(entries: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """A part of a transcript as one of its own: numbered from 0, with a chain of its own."""
    last, found = START, []
    for number, entry in enumerate(entries):
        fields = {**entry, "n": number}
        last = _chained(last, _body(fields))
        found.append({**fields, "sha256": last})
    return tuple(found)


def read_transcript(path: Path) -> tuple[Entry, ...]:
    """The entries of a file, its chain checked. A last line that a kill cut in two is left out.

    Raises:
        InputError: unreadable, not a transcript, or the chain is broken; names the line.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", remedy="give a transcript.jsonl", file=path
        ) from error
    return tuple(_checked(_parsed(lines[:-1], path), path))


def check_entries(entries: Iterable[Mapping[str, Any]], file: object = None) -> tuple[Entry, ...]:
    """Entries as a recording carries them, their chain checked.

    Raises:
        InputError: as :func:`read_transcript`.
    """
    return tuple(_checked(enumerate(entries, 1), file))


def _parsed(lines: list[str], path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict):
            raise _broken("is not a JSON object", number, path)
        yield number, entry


def _checked(entries: Iterable[tuple[int, Mapping[str, Any]]], file: object) -> Iterator[Entry]:
    last = START
    for number, fields in entries:
        try:
            entry = Entry(**fields)
        except TypeError as error:
            raise _broken("has other keys than a transcript", number, file) from error
        plain = asdict(entry)
        del plain["sha256"]
        last = _chained(last, _body(plain))
        if entry.sha256 != last or entry.n != number - 1 or entry.kind not in KINDS:
            raise _broken("breaks the hash chain", number, file)
        yield entry


def _broken(problem: str, number: int, file: object) -> InputError:
    return InputError(
        f"line {number} {problem}",
        remedy="use the transcript as it was written: this one was changed",
        file=file,
    )
