"""The content of a recording as one SHA-256: what was observed, not how it is stored.

Independent of run id, wall clock, path, host and file encoding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from bench.sessions.codec import to_json
from bench.sessions.recording import Recording


def recording_hash(recording: Recording) -> str:
    """SHA-256 over device, schedule, packets and events of a recording."""
    digest = hashlib.sha256()
    head = {
        "scenario": recording.scenario,
        "bench": recording.bench,
        "device": to_json(recording.device),
        "schedule": to_json(recording.schedule),
    }
    digest.update(_canonical(head))
    digest.update(recording.packets.rows.tobytes())
    for event in recording.events:
        digest.update(_canonical(to_json(event)))
    return digest.hexdigest()


def run_hash(hashes: Iterable[tuple[str, str]]) -> str:
    """One hash over the sessions' (id, hash), in order of their ids."""
    return hashlib.sha256(_canonical(sorted(hashes))).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"
