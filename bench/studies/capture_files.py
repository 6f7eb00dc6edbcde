"""A capture file in words: its name, its digest, and what a reader must know of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.captures.flows import Capture
from bench.captures.headers import PAYLOAD_BYTES


def text_of(name: str) -> str:
    """A name as text that can be written, also where its bytes are none."""
    return name.encode("utf-8", "replace").decode("utf-8")


def file_name(path: Path) -> str:
    """The name of a file, for people."""
    return text_of(path.name)


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def capture_notes(capture: Capture) -> list[str]:
    """What of it is missing or was left out, one line each."""
    notes = []
    if capture.truncated:
        notes.append("the last record is cut; used up to there")
    if capture.dropped:
        notes.append(f"the tap missed {capture.dropped} packets, which count as lost")
    if capture.without_time:
        notes.append(f"{capture.without_time} packets without time stamp left out")
    if capture.others:
        notes.append(f"{capture.others} packets that are no whole IP packet left out")
    if capture.snap_cut and capture.least_payload < PAYLOAD_BYTES:
        notes.append(
            f"{capture.snap_cut} packets whose payload is cut, to {capture.least_payload} bytes at "
            f"least (up to {PAYLOAD_BYTES} are used)"
        )
    if capture.fragments:
        notes.append(
            f"{capture.fragments} IP fragments whose first one was not seen left out of their flows"
        )
    return notes
