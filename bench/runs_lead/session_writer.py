"""Writing one session as it happens; what is on disk is readable at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bench.runs_lead.columns import Names, to_batch
from bench.runs_lead.files import append_line, sync, unwritable, write_json
from bench.runs_lead.hashes import recording_hash
from bench.sessions.recording import Event, Recording, Session

ROW_GROUP = 1 << 17
"""Rows per Parquet row group: groups close by count, so equal rows give equal bytes."""


class SessionWriter:
    """The sink of one session: ``sessions/<id>/``.

    Raises:
        InputError: the disk is full or not writable (from every method that writes).
    """

    def __init__(self, folder: Path, session: Session, bench: str, backend: str) -> None:
        self.folder = folder
        self._names = names_of(session)
        self._head: dict[str, Any] = {
            "id": session.id,
            "plan": session.plan,
            "scenario": session.scenario.name,
            "title": session.scenario.title,
            "source": session.scenario.source,
            "seed": session.seed,
            "trial": session.trial,
            "attempt": session.attempt,
            "bench": bench,
            "backend": backend,
            "device": session.device,
            "schedule": session.schedule(),
            "completion": "incomplete",
        }
        try:
            (folder / "captures").mkdir()
            write_json(folder / "session.json", self._head)
            self._events = (folder / "events.jsonl").open("wb")
            self._arrows = (folder / "packets.arrows").open("wb")
            self._stream = pa.ipc.new_stream(self._arrows, self._names.schema)
        except OSError as error:
            raise unwritable(folder, error) from error

    def packets(self, rows: NDArray[np.void]) -> None:
        """Append rows, flushed."""
        try:
            self._stream.write_batch(to_batch(rows, self._names))
            self._arrows.flush()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def event(self, event: Event) -> None:
        """Append one event, flushed."""
        try:
            append_line(self._events, event)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def capture_path(self, name: str) -> Path | None:
        """Where a capture goes."""
        return self.folder / "captures" / name

    def finish(self, recording: Recording, stimulus: Sequence[Any]) -> None:
        """Write the final forms; the packets as Parquet, sorted."""
        try:
            write_json(self.folder / "stimulus.json", {"steps": list(stimulus)})
            self._write_parquet(recording)
            self._write_events(recording)
            if recording.transcript:
                with (self.folder / "transcript.jsonl").open("wb") as file:
                    for line in recording.transcript:
                        append_line(file, line)
            head = self._head | {
                "completion": "complete",
                "health": recording.health,
                "changes": recording.changes,
                "content_sha256": recording_hash(recording),
            }
            write_json(self.folder / "session.json", head)
            self._close()
            (self.folder / "packets.arrows").unlink()
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def abandon(self, reason: str) -> None:
        """Leave the session as it stands, marked incomplete with the reason."""
        self._close()
        write_json(self.folder / "session.json", self._head | {"reason": reason})

    def _write_parquet(self, recording: Recording) -> None:
        path = self.folder / "packets.parquet"
        rows = recording.packets.rows
        with path.open("wb") as file:
            with pq.ParquetWriter(
                file, self._names.schema, compression="zstd", compression_level=3
            ) as writer:
                for start in range(0, len(rows), ROW_GROUP):
                    batch = to_batch(rows[start : start + ROW_GROUP], self._names)
                    writer.write_batch(batch, row_group_size=ROW_GROUP)
            sync(file)

    def _write_events(self, recording: Recording) -> None:
        """The events again, in the recording's order."""
        self._events.close()
        path = self.folder / "events.jsonl"
        temporary = path.with_name(".events.jsonl")
        with temporary.open("wb") as file:
            for event in recording.events:
                append_line(file, event)
            sync(file)
        temporary.replace(path)

    def _close(self) -> None:
        if not self._arrows.closed:
            self._stream.close()
            self._arrows.close()
        self._events.close()


def names_of(session: Session) -> Names:
    """The names of a session's links and streams."""
    return Names(session.scenario.links, tuple(s.name for s in session.device.streams))
