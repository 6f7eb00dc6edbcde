"""Files that survive a kill: atomic replacement, whole lines, and clear words when a disk fails."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bench.errors import InputError

REMEDY = "free some space, or choose a folder you may write with --results"
DAMAGED = "restore the file from a copy of the run; bench verify RUN lists what changed"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write ``path`` into one line for people.

    Raises:
        InputError: the operating system refused (no space, no permission, no such folder).

    """
    try:
        yield
    except OSError as error:
        problem = f"cannot be written ({error.strerror or error})"
        raise InputError(problem, remedy=REMEDY, file=path) from error


def json_bytes(data: Any, *, indent: int | None = None) -> bytes:
    """JSON in UTF-8 without a line end; non-ASCII text stays readable.

    Raises:
        TypeError, ValueError: not plain JSON data.

    """
    try:
        return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent).encode()
    except UnicodeEncodeError:  # half a surrogate pair, from a file name that is not UTF-8
        return json.dumps(data, allow_nan=False, indent=indent).encode()


def sync_folder(folder: Path) -> None:
    """Make names in ``folder`` durable, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is either wholly there or not at all: temporary file, fsync, rename.

    Raises:
        InputError: it cannot be written; what was there before stays.

    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with writing(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` atomically.

    Raises:
        InputError: it cannot be written; what was there before stays.

    """
    with replacing(path) as file:
        file.write(data)


def write_json(path: Path, data: Any) -> None:
    """Replace ``path`` by indented JSON atomically.

    Raises:
        InputError: it cannot be written.

    """
    write_bytes(path, json_bytes(data, indent=2) + b"\n")


def write_json_lines(path: Path, items: list[Any]) -> None:
    """Replace ``path`` by one line of JSON per item, atomically.

    Raises:
        InputError: it cannot be written.

    """
    write_bytes(path, b"".join(json_bytes(item) + b"\n" for item in items))


def append_line(path: Path, data: Any) -> None:
    """Append one line of JSON in one system call and make it durable.

    Several processes may append to the same file.

    Raises:
        InputError: it cannot be written.

    """
    line = json_bytes(data) + b"\n"
    with writing(path):
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            written = os.write(handle, line)
            if written < len(line):  # the disk filled up: the second call says why
                os.write(handle, line[written:])
            os.fsync(handle)
        finally:
            os.close(handle)


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        InputError: missing or unreadable.

    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("is missing", remedy=DAMAGED, file=path) from error
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
        raise InputError(problem, remedy=DAMAGED, file=path) from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file.

    Raises:
        InputError: missing, unreadable, not JSON, or not an object.

    """
    data = _parsed(read_bytes(path), path, None)
    if not isinstance(data, dict):
        raise InputError("is not a JSON object", remedy=DAMAGED, file=path)
    return data


def read_json_lines(path: Path, *, cut_short: bool) -> tuple[list[Any], bool]:
    """One JSON value per line.

    Args:
        path: the file; lines end with a line feed and nothing else.
        cut_short: the writer may have been killed: a last line that is not whole is left out.

    Returns:
        The values, and whether a last line was left out.

    Raises:
        InputError: missing, unreadable, or a line that is not JSON.

    """
    *lines, rest = read_bytes(path).split(b"\n")
    if rest and not cut_short:
        raise InputError("is not whole", remedy=DAMAGED, file=path, field=f"line {len(lines) + 1}")
    return [_parsed(line, path, number) for number, line in enumerate(lines, 1)], bool(rest)


def _parsed(text: bytes, path: Path, line: int | None) -> Any:
    try:
        return json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        field = None if line is None else f"line {line}"
        problem = f"is not JSON ({error})"
        raise InputError(problem, remedy=DAMAGED, file=path, field=field) from error
