"""Reading a run folder, finished or killed: run.json, verdicts, sessions, recordings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Verdict
from bench.measure.stimulus import StepStimulus
from bench.network.scenario import Schedule
from bench.runs_lead.columns import Names, to_rows
from bench.sessions.codec import from_json
from bench.sessions.packets import merge
from bench.sessions.recording import AppliedChange, Event, Health, Recording

_REMEDY = "take the folder from an undamaged run"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What session.json says, the recording left aside."""

    id: str
    scenario: str
    trial: int
    attempt: int
    completion: str
    content_sha256: str | None


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run folder as it stands. ``identity`` is run.json as it is."""

    path: Path
    identity: Mapping[str, Any]
    device: DeviceProfile
    scope: tuple[ScopeItem, ...]
    verdicts: tuple[Verdict, ...]
    sessions: tuple[StoredSession, ...]

    @property
    def complete(self) -> bool:
        """The run came to its end."""
        return self.identity.get("completion") == "complete"


def read_run(path: Path) -> StoredRun:
    """Read a run folder; a killed run is read as far as it came.

    Raises:
        InputError: not a run folder, or damaged; names file, field and remedy.
    """
    file = path / "run.json"
    if not file.is_file():
        raise InputError(
            "is not a run folder (no run.json)", remedy="name a folder below results", file=path
        )
    identity = read_json(file)
    if not isinstance(identity, dict) or "device" not in identity:
        raise InputError("names no device", remedy=_REMEDY, file=file, field="device")
    scope = identity.get("scope") or []
    return StoredRun(
        path=path,
        identity=identity,
        device=from_json(DeviceProfile, identity["device"], file=file, field="device"),
        scope=from_json(tuple[ScopeItem, ...], scope, file=file, field="scope"),
        verdicts=tuple(_verdicts(path)),
        sessions=tuple(_sessions(path)),
    )


def read_json(path: Path) -> Any:
    """A JSON file.

    Raises:
        InputError: missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", remedy=_REMEDY, file=path
        ) from error
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", remedy=_REMEDY, file=path) from error


def _lines(path: Path) -> Iterator[Any]:
    """The whole lines of a JSON-lines file; a torn last line is left out."""
    data = path.read_bytes()
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise InputError(
                f"line {number} is not JSON ({error})", remedy=_REMEDY, file=path
            ) from error


def _verdicts(path: Path) -> Iterator[Verdict]:
    final, growing = path / "verdicts.json", path / "verdicts.jsonl"
    if final.exists():
        entries = read_json(final).get("verdicts", [])
        file = final
    elif growing.exists():
        entries, file = list(_lines(growing)), growing
    else:
        return
    for number, entry in enumerate(entries):
        yield from_json(Verdict, entry, file=file, field=f"verdicts[{number}]")


def _sessions(path: Path) -> Iterator[StoredSession]:
    for file in sorted((path / "sessions").glob("*/session.json")):
        head = read_json(file)
        try:
            yield StoredSession(
                id=head["id"],
                scenario=head["scenario"],
                trial=head["trial"],
                attempt=head["attempt"],
                completion=head["completion"],
                content_sha256=head.get("content_sha256"),
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"lacks {error}", remedy=_REMEDY, file=file) from error


def read_recording(run: StoredRun, session_id: str) -> Recording:
    """The recording of a session, equal to the one that was written.

    A session that was cut off comes back as far as it was written, its health not complete.

    Raises:
        InputError: no such session, or damaged.
    """
    folder = run.path / "sessions" / session_id
    file = folder / "session.json"
    head = read_json(file)
    device = from_json(DeviceProfile, head.get("device"), file=file, field="device")
    schedule = from_json(Schedule, head.get("schedule"), file=file, field="schedule")
    names = Names(schedule.links, tuple(stream.name for stream in device.streams))
    complete = head.get("completion") == "complete"
    table = _packets(folder, names, complete)
    events = folder / "events.jsonl"
    transcript = folder / "transcript.jsonl"
    try:
        rows = to_rows(table, names)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"holds packets of another session ({error})", remedy=_REMEDY, file=folder
        ) from error
    health = Health(complete=False, notes=("the session was cut off",))
    if complete:
        health = from_json(Health, head.get("health"), file=file, field="health")
    return Recording(
        session_id=head["id"],
        scenario=head["scenario"],
        bench=head["bench"],
        backend=head["backend"],
        device=device,
        schedule=schedule,
        packets=merge([rows]),
        events=tuple(
            from_json(Event, e, file=events, field=f"line {i}")
            for i, e in enumerate(_lines(events) if events.exists() else (), 1)
        ),
        changes=from_json(
            tuple[AppliedChange, ...],
            head.get("changes") or [],
            file=file,
            field="changes",
        ),
        health=health,
        transcript=tuple(_lines(transcript)) if transcript.exists() else (),
    )


def _packets(folder: Path, names: Names, complete: bool) -> pa.Table:
    final, growing = folder / "packets.parquet", folder / "packets.arrows"
    if complete or not growing.exists():
        try:
            return pq.read_table(final, schema=names.schema)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"cannot be read ({error})", remedy=_REMEDY, file=final) from error
    batches = []
    with growing.open("rb") as file:
        try:
            with pa.ipc.open_stream(file) as stream:
                for batch in stream:
                    batches.append(batch)
        except (OSError, pa.ArrowException, StopIteration):
            pass  # a torn last batch: everything before it counts
    return pa.Table.from_batches(batches, schema=names.schema)


def read_stimulus(run: StoredRun, session_id: str) -> tuple[StepStimulus, ...]:
    """The stimulus check as it was written; empty where there is none."""
    file = run.path / "sessions" / session_id / "stimulus.json"
    if not file.exists():
        return ()
    steps = read_json(file).get("steps", [])
    return from_json(tuple[StepStimulus, ...], steps, file=file, field="steps")
