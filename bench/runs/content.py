"""The content hash: what was recorded, apart from how and where it is stored.

SHA-256 over canonical JSON (keys sorted, no spaces, ASCII) of session, device, schedule, events
in order of time, stimulus and the bench's own health, followed by the packet rows as the
little-endian bytes of ``bench.sessions.packets.ROW`` in order of all their columns. Run id, wall
clock, host, paths and file encodings do not enter; neither does the instrument transcript, which
may carry the time of day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.devices.profile import without_radio, without_unstated
from bench.sessions.codec import to_json
from bench.sessions.packets import ROW
from bench.sessions.recording import Recording

_KEYS = ("t_ns", "tap", "direction", "stream", "seq", "link", "size")
"""The order of ``bench.sessions.packets.merge``, then size."""


def recording_hash(recording: Recording) -> str:
    """The content hash of a recording, 64 hex digits."""
    head = to_json(
        {
            "session": recording.session_id,
            "scenario": recording.scenario,
            "device": recording.device,
            "schedule": recording.schedule,
            "changes": recording.changes,
            "health": recording.health,
        }
    )
    # What need not be said does not enter: runs stored before it could be stay as they are.
    if not head["schedule"]["exposures"]:
        del head["schedule"]["exposures"]
    without_radio(head["device"])
    for stream in head["device"]["streams"]:
        for optional in ("wire", "service"):
            if stream[optional] is None:
                del stream[optional]
        if not stream["suite"]:
            del stream["suite"]
        without_unstated(stream)
    head["events"] = sorted((e.t_ns, _canonical(to_json(e))) for e in recording.events)
    digest = hashlib.sha256(_canonical(head).encode() + b"\n")
    rows = np.ascontiguousarray(in_order(recording.packets.rows), dtype=ROW)
    digest.update(rows.view("u1").data)
    return digest.hexdigest()


def run_hash(sessions: Mapping[str, str]) -> str:
    """The content hash of a run, from its sessions' ids and hashes."""
    return hashlib.sha256(_canonical(dict(sessions)).encode()).hexdigest()


def in_order(rows: NDArray[np.void]) -> NDArray[np.void]:
    """The rows (dtype ``ROW``, shape ``(n,)``) in order of all columns.

    The same array where they already are.
    """
    if _ordered(rows):
        return rows
    order: NDArray[np.intp] = np.lexsort([rows[key] for key in reversed(_KEYS)])
    return rows[order]


def _ordered(rows: NDArray[np.void]) -> bool:
    """Whether no row is less than its predecessor, compared column by column."""
    undecided = np.ones(max(len(rows) - 1, 0), dtype=bool)
    for key in _KEYS:
        column = rows[key]
        if (undecided & (column[1:] < column[:-1])).any():
            return False
        undecided &= column[1:] == column[:-1]
    return True


def _canonical(data: Any) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
