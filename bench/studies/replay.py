"""``bench check FILE --replay RUN``: the instruments' part of a run again, without instruments."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.benches.lab.chapters import FILE, numbered
from bench.benches.lab.file import BenchFile
from bench.benches.lab.replaying import Again, Difference, replay
from bench.benches.lab.telling import ROLE
from bench.errors import InputError
from bench.runs.files import read_json_lines
from bench.runs.reader import StoredRun, StoredSession, read_run
from bench.sessions.codec import to_json
from bench.sessions.exposing import EXPOSURE
from instruments.visa.transcript import check_entries, read_transcript


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """What came of a run's transcripts.

    ``presented``: how many exposures of the stored sessions, on which verdicts rest, have the level
    that the transcript of the run tells; ``unlike``: those that have not.
    """

    transcripts: tuple[Again, ...]
    presented: int
    unlike: tuple[str, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The first difference of each transcript."""
        return tuple(one for again in self.transcripts for one in again.differences)

    @property
    def same(self) -> bool:
        """Whether it went to the end and nothing differs."""
        cut_short = any(again.ends for again in self.transcripts)
        return not (self.differences or self.unlike or cut_short)

    def lines(self) -> list[str]:
        """For people."""
        found = []
        for again in self.transcripts:
            sent = ", ".join(f"{role} {count}" for role, count in again.messages.items())
            found += [
                f"{again.file}: {sum(again.messages.values())} messages sent again as recorded "
                f"({sent})",
                f"{again.file}: {again.readings} levels read and {again.actions} actions of "
                f"{len(again.sessions)} sessions came to the same",
            ]
            for role, count in again.left_out.items():
                found.append(f"{again.file}: {role}: {count} messages are not carried out again")
            if again.ends:
                found.append(f"{again.file}: not to its end: {again.ends}")
        found.append(
            f"{self.presented} exposures that verdicts rest on are stored with the level that the "
            "transcript tells"
        )
        found += [f"differs: {one.words()}" for one in self.differences]
        found += [f"differs: {text}" for text in self.unlike]
        return [*found, "the same as recorded" if self.same else "NOT THE SAME"]

    def to_json(self) -> dict[str, Any]:
        """``{"same": ..., "transcripts": [...], "presented": ..., "unlike": [...]}``."""
        return {"same": self.same, **{key: to_json(getattr(self, key)) for key in self.__slots__}}


def replay_run(file: BenchFile, run: Path) -> ReplayedRun:
    """Carry out again what a laboratory did in a run.

    Args:
        file: the bench file, as it is now.
        run: the run's folder; nothing is written there.

    Raises:
        InputError: no run of a laboratory, or a transcript whose hash chain is broken.
    """
    stored = read_run(run)
    paths = list(_transcripts(run))
    if not paths:
        raise InputError(
            "holds no transcript of a laboratory", file=run / FILE,
            remedy="name a run that was made in one: --bench simulated-lab or FILE.toml",
        )  # fmt: skip
    found = tuple(replay(file, path) for path in paths)
    presented, unlike = _presented(stored, _told(paths))
    return ReplayedRun(found, presented, tuple(unlike))


def _transcripts(run: Path) -> Iterator[Path]:
    number = 1
    while (path := run / numbered(number)).exists():
        yield path
        number += 1


def _told(paths: list[Path]) -> Mapping[str, list[Mapping[str, Any]]]:
    """What was seen of each exposure, by session."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for path in paths:
        session = ""
        for entry in read_transcript(path):
            note = json.loads(entry.data) if entry.role == ROLE else {}
            session = note.get("session", session)
            came = note.get("came")
            if isinstance(came, dict) and "monitor_dbm" in came:
                found[session].append(came)
    return found


def _presented(
    run: StoredRun, told: Mapping[str, list[Mapping[str, Any]]]
) -> tuple[int, list[str]]:
    """Hold the stored exposures, from which verdicts are derived, against the transcript."""
    count, unlike = 0, []
    for session in run.sessions:
        if session.completion != "complete":
            continue
        _check_chain(session)
        seen = _seen(session)
        again = told.get(session.id, [])[-len(seen) :] if seen else []
        for step, level_dbm, uncertainty_db in seen:
            fits = [
                one
                for one in again
                if (one["level_dbm"], one["uncertainty_db"]) == (level_dbm, uncertainty_db)
            ]
            if fits:
                count += 1
                continue
            unlike.append(
                f"sessions/{session.id}/events.jsonl: {step}: {level_dbm:g} dBm ± "
                f"{uncertainty_db:g} dB was presented, and the transcript of the run has no such"
            )
    return count, unlike


def _seen(session: StoredSession) -> list[tuple[str, float, float]]:
    """Step, level and uncertainty of every exposure that was verified."""
    events, _ = read_json_lines(session.folder / "events.jsonl", cut_short=False)
    values = [event["value"] for event in events if event.get("name") == EXPOSURE]
    return [
        (value["step"], value["exposures"][0]["level_dbm"], value["uncertainty_db"])
        for value in values
        if value["exposures"] and not value["problem"] and value["verified_by"]
    ]


def _check_chain(session: StoredSession) -> None:
    """Raises: InputError: the session's own transcript was changed."""
    file = session.folder / FILE
    lines, _ = read_json_lines(file, cut_short=False)
    check_entries(lines, file)
