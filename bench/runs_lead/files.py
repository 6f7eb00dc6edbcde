"""Writing files so that a crash leaves the old one or the new one, never half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO, Any

from bench.errors import InputError
from bench.sessions.codec import to_json


def unwritable(path: Path, error: OSError) -> InputError:
    """The one line for a folder or a disk that takes nothing."""
    return InputError(
        f"cannot be written ({error.strerror or error})",
        remedy="free some space or name another folder with --results",
        file=path,
    )


def write_json(path: Path, value: Any) -> None:
    """Write JSON at once: a temporary file beside it, flushed, then renamed.

    Raises:
        InputError: the disk is full or not writable.
    """
    text = json.dumps(to_json(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """As :func:`write_json`, for bytes."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            sync(file)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def append_line(file: IO[bytes], value: Any) -> None:
    """One JSON line, flushed to the operating system."""
    line = json.dumps(to_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    file.write(line.encode() + b"\n")
    file.flush()


def sync(file: IO[bytes]) -> None:
    """Flush a file to the disk."""
    file.flush()
    os.fsync(file.fileno())
