"""Reading run folders: finished, interrupted or killed. Nothing here writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Verdict
from bench.measure.stimulus import StepStimulus
from bench.network.scenario import Schedule
from bench.requirements.model import Requirement
from bench.runs.content import recording_hash
from bench.runs.files import DAMAGED, read_json, read_json_lines
from bench.runs.packet_files import Columns, read_parquet, read_stream
from bench.runs.session_writer import COMPLETE, FAILED
from bench.sessions.codec import from_json, to_json
from bench.sessions.packets import ROW, PacketTable, merge
from bench.sessions.recording import AppliedChange, Event, Health, Recording

_FORMATS = (1,)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """One session of a stored run; :func:`read_recording` reads the rest.

    ``completion``: ``complete``, ``failed`` (the bench gave it up, for ``reason``) or
    ``incomplete`` (it was killed).
    """

    id: str
    scenario: str
    title: str
    seed: int
    trial: int
    attempt: int
    bench: str
    backend: str
    completion: str
    reason: str | None
    content_hash: str | None
    folder: Path


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A stored run. ``identity`` is run.json; ``notes`` says what a kill left out.

    ``sessions`` are in the order of the scope, trials and attempts in their own order.
    ``requirements``: those of the scope, as the catalogue had them when the run began.
    """

    path: Path
    identity: Mapping[str, Any]
    device: DeviceProfile
    scope: tuple[ScopeItem, ...]
    verdicts: tuple[Verdict, ...]
    sessions: tuple[StoredSession, ...]
    requirements: Mapping[str, Requirement]
    notes: tuple[str, ...] = ()

    @property
    def completion(self) -> str:
        """``complete``, ``interrupted`` or ``incomplete``."""
        return str(self.identity["completion"])

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return self.completion == "complete"

    def requirement(self, name: str) -> Requirement:
        """The requirement of that id, as the catalogue had it when the run began.

        Raises:
            InputError: the run holds none.

        """
        if name in self.requirements:
            return self.requirements[name]
        raise InputError(
            f"lacks {name}", remedy=DAMAGED, file=self.path / "run.json", field="requirements"
        )

    def session(self, session_id: str) -> StoredSession:
        """The session of that id.

        Raises:
            InputError: the run has none.

        """
        for session in self.sessions:
            if session.id == session_id:
                return session
        known = ", ".join(session.id for session in self.sessions) or "(it has none)"
        raise InputError(
            "the run has no such session",
            remedy=f"use one of {known}",
            file=self.path,
            field="session",
            value=session_id,
        )


def read_run(path: Path) -> StoredRun:
    """Read a run folder; sessions' packets are read later.

    Raises:
        InputError: not a run folder, or damaged.

    """
    if not (path / "run.json").exists():
        raise InputError(
            "is not a run folder (it has no run.json)", remedy="name a run's folder", file=path
        )
    file = path / "run.json"
    identity = read_json(file)
    if identity.get("format") not in _FORMATS:
        raise InputError(
            "is not a format that this version reads",
            remedy="read it with the version of telemed-bench that wrote it",
            file=file,
            field="format",
            value=identity.get("format"),
        )
    if not isinstance(identity.get("completion"), str):
        raise InputError("is missing", remedy=DAMAGED, file=file, field="completion")
    device = from_json(DeviceProfile, identity.get("device"), file=file, field="device")
    items = identity.get("scope") or []
    scope = from_json(tuple[ScopeItem, ...], items, file=file, field="scope")
    verdicts, notes = _verdicts(path)
    sessions, more = _sessions(path, [item.scenario for item in scope])
    known = from_json(
        tuple[Requirement, ...], identity.get("requirements") or [], file=file, field="requirements"
    )
    requirements = {entry.id: entry for entry in known}
    return StoredRun(
        path, identity, device, scope, verdicts, sessions, requirements, tuple(notes + more)
    )


def _verdicts(path: Path) -> tuple[tuple[Verdict, ...], list[str]]:
    file, lines = path / "verdicts.json", path / "verdicts.jsonl"
    notes = []
    if file.exists():
        data = read_json(file).get("verdicts")
    elif lines.exists():
        file = lines
        data, cut_short = read_json_lines(lines, cut_short=True)
        if cut_short:
            notes.append("verdicts.jsonl: the last line is not whole and is left out")
    else:
        data = []
    return from_json(tuple[Verdict, ...], data, file=file, field="verdicts"), notes


def _sessions(path: Path, scenarios: list[str]) -> tuple[tuple[StoredSession, ...], list[str]]:
    folder = path / "sessions"
    found, notes = [], []
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (place / "session.json").exists():
            found.append(_stored(place, _description(place)))
        elif place.is_dir():
            notes.append(f"sessions/{place.name}: killed before it was described; left out")
    order = {name: number for number, name in reversed(list(enumerate(scenarios)))}
    # A session that no test is judged from (the null path) comes first, as it runs first.
    found.sort(key=lambda s: (order.get(s.scenario, -1), s.scenario, s.trial, s.attempt))
    return tuple(found), notes


def _description(folder: Path) -> dict[str, Any]:
    return read_json(folder / "session.json")


def _stored(folder: Path, data: Mapping[str, Any]) -> StoredSession:
    file = folder / "session.json"

    def value(name: str, kind: Any) -> Any:
        if name not in data:
            raise InputError("is missing", remedy=DAMAGED, file=file, field=name)
        return from_json(kind, data[name], file=file, field=name)

    session = StoredSession(
        id=value("id", str),
        scenario=value("scenario", str),
        title=value("title", str),
        seed=value("seed", int),
        trial=value("trial", int),
        attempt=value("attempt", int),
        bench=value("bench", str),
        backend=value("backend", str),
        completion=value("completion", str),
        reason=value("reason", str | None),
        content_hash=value("content_hash", str | None),
        folder=folder,
    )
    if session.id != folder.name:
        raise InputError(
            f"lies in the folder {folder.name}",
            remedy=DAMAGED,
            file=file,
            field="id",
            value=session.id,
        )
    return session


def read_recording(run: StoredRun, session_id: str) -> Recording:
    """The recording of a session, equal to the one that was written.

    Of a session that was killed or given up, what is there: its health is not complete and its
    notes say why. So do those of a complete session whose content is not what was recorded.

    Raises:
        InputError: the run has no such session, or its files are damaged.

    """
    return read_recording_from(run.session(session_id).folder)


def read_recording_from(folder: Path) -> Recording:
    """As :func:`read_recording`, from a session's folder.

    Raises:
        InputError: missing or damaged files.

    """
    data = _description(folder)
    session = _stored(folder, data)
    file = folder / "session.json"
    recording = Recording(
        session_id=session.id,
        scenario=session.scenario,
        bench=session.bench,
        backend=session.backend,
        device=from_json(DeviceProfile, data.get("device"), file=file, field="device"),
        schedule=from_json(Schedule, data.get("schedule"), file=file, field="schedule"),
        packets=PacketTable(np.zeros(0, dtype=ROW)),
        events=(),
    )
    if session.completion == COMPLETE:
        return _complete(recording, session, data)
    return _incomplete(recording, session)


def _complete(recording: Recording, session: StoredSession, data: Mapping[str, Any]) -> Recording:
    folder = session.folder
    file = folder / "session.json"
    columns = Columns(recording.device, recording.schedule.links)
    events, _ = read_json_lines(folder / "events.jsonl", cut_short=False)
    transcript, _ = read_json_lines(folder / "transcript.jsonl", cut_short=False)
    recording = replace(
        recording,
        packets=PacketTable(read_parquet(folder / "packets.parquet", columns)),
        events=_events(events, folder / "events.jsonl"),
        changes=from_json(
            tuple[AppliedChange, ...], data.get("changes"), file=file, field="changes"
        ),
        health=from_json(Health, data.get("health"), file=file, field="health"),
        transcript=from_json(
            tuple[Mapping[str, Any], ...], transcript, file=folder / "transcript.jsonl"
        ),
    )
    if recording_hash(recording) == session.content_hash:
        return recording
    note = "the stored content is not what was recorded: its content hash differs"
    return _spoilt(recording, note)


def _incomplete(recording: Recording, session: StoredSession) -> Recording:
    folder = session.folder
    columns = Columns(recording.device, recording.schedule.links)
    if session.completion == FAILED:
        notes = [f"the bench gave the session up: {session.reason}"]
    else:
        notes = ["the session was not ended: what is recorded is used up to there"]
    rows, cut_short = np.zeros(0, dtype=ROW), False
    if (folder / "packets.parquet").exists():
        rows = read_parquet(folder / "packets.parquet", columns)
    elif (folder / "packets.arrows").exists():
        rows, cut_short = read_stream(folder / "packets.arrows", columns)
    if cut_short:
        notes.append(f"packets.arrows: cut short after {len(rows)} packets")
    lines: list[Any] = []
    if (folder / "events.jsonl").exists():
        lines, cut_short = read_json_lines(folder / "events.jsonl", cut_short=True)
        if cut_short:
            notes.append("events.jsonl: the last line is not whole and is left out")
    events = sorted(_events(lines, folder / "events.jsonl"), key=lambda event: event.t_ns)
    recording = replace(recording, packets=merge([rows]), events=tuple(events))
    return _spoilt(recording, *notes)


def _spoilt(recording: Recording, *notes: str) -> Recording:
    health = recording.health
    return replace(recording, health=replace(health, complete=False, notes=(*health.notes, *notes)))


def _events(lines: list[Any], file: Path) -> tuple[Event, ...]:
    return tuple(
        from_json(Event, line, file=file, field=f"line {number}")
        for number, line in enumerate(lines, 1)
    )


def read_stimulus(run: StoredRun, session_id: str) -> tuple[StepStimulus, ...]:
    """The stored stimulus check of a session, one entry per step; empty where there is none.

    Raises:
        InputError: the run has no such session, or the file is damaged.

    """
    file = run.session(session_id).folder / "stimulus.json"
    if not file.exists():
        return ()
    steps = read_json(file).get("steps")
    return from_json(tuple[StepStimulus, ...], steps, file=file, field="steps")


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """An entry of verdicts.json."""
    entry: dict[str, Any] = to_json(verdict)
    return entry
