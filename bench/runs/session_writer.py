"""Writing one session as it happens: the sink of a bench, and the final forms at its end."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.runs.content import in_order, recording_hash
from bench.runs.files import json_bytes, sync_folder, write_json, write_json_lines, writing
from bench.runs.packet_files import Columns, PacketStream, write_parquet
from bench.runs.seal import refuse_sealed
from bench.sessions.codec import to_json
from bench.sessions.packets import merge
from bench.sessions.recording import Event, Recording, Session

INCOMPLETE, COMPLETE, FAILED = "incomplete", "complete", "failed"
"""Completion of a session: going on or killed; wholly recorded; given up by the bench."""


class SessionWriter:
    """The sink of one session (protocol ``bench.benches.base.Sink``), writing as things happen.

    Made by :meth:`claim`. A killed session stays readable: packets, events and the session's
    description are on disk as far as it came. Ends with :meth:`finish` or :meth:`abandon`.
    """

    def __init__(self, folder: Path, session: Session, bench: str, backend: str) -> None:
        self.folder = folder
        self.session = session
        self._run = folder.parent.parent
        self._bench, self._backend = bench, backend
        self._columns = Columns(session.device, session.scenario.links)
        self._describe(INCOMPLETE)
        self._packets = PacketStream(folder / "packets.arrows", self._columns)
        with writing(folder / "events.jsonl"):
            self._events = (folder / "events.jsonl").open("xb", buffering=0)

    @classmethod
    def claim(
        cls, sessions: Path, session: Session, bench: str, backend: str
    ) -> SessionWriter | None:
        """Claim the session by making its folder below ``sessions``.

        Returns:
            The writer, or ``None`` where the folder exists: somebody else has the session.

        Raises:
            InputError: the folder cannot be written.

        """
        folder = sessions / session.id
        with writing(folder):
            try:
                folder.mkdir()
            except FileExistsError:
                return None
        return cls(folder, session, bench, backend)

    def packets(self, rows: NDArray[np.void]) -> None:
        """Append rows of dtype ``bench.sessions.packets.ROW``, shape ``(n,)``.

        Raises:
            InputError: they cannot be written, or the run is sealed.

        """
        refuse_sealed(self._run)
        self._packets.append(rows)

    def event(self, event: Event) -> None:
        """Append one event.

        Raises:
            InputError: it cannot be written, or the run is sealed.
            TypeError: its value is not plain JSON data.

        """
        refuse_sealed(self._run)
        line = json_bytes(to_json(event)) + b"\n"
        with writing(self.folder / "events.jsonl"):
            self._events.write(line)

    def capture_path(self, name: str) -> Path | None:
        """Where the capture file ``name`` is to be written; its folder exists then.

        Raises:
            InputError: the folder cannot be made, or the run is sealed.
            ValueError: ``name`` is not a plain file name.

        """
        if not name or Path(name).name != name or name.startswith("."):
            raise ValueError(f"not a plain file name: {name!r}")
        refuse_sealed(self._run)
        captures = self.folder / "captures"
        with writing(captures):
            captures.mkdir(exist_ok=True)
        return captures / name

    def progress(self, progress: object) -> None:
        """Progress is for those who watch; nothing is stored."""

    def finish(self, recording: Recording, stimulus: Sequence[Any] = ()) -> None:
        """Write the final forms; from then on the session says that it is complete.

        Args:
            recording: all that was observed.
            stimulus: the stimulus check per step, as models or plain JSON data.

        Raises:
            InputError: something cannot be written, or the run is sealed.
            ValueError: the recording is of another session.

        """
        refuse_sealed(self._run)
        if recording.session_id != self.session.id:
            raise ValueError(f"{recording.session_id} is not a recording of {self.session.id}")
        self._packets.close()
        self._events.close()
        rows = recording.packets.rows
        if in_order(rows) is not rows:
            rows = merge([rows]).rows
        write_parquet(self.folder / "packets.parquet", rows, self._columns)
        write_json_lines(self.folder / "events.jsonl", [to_json(e) for e in recording.events])
        write_json(self.folder / "stimulus.json", {"steps": [to_json(step) for step in stimulus]})
        write_json_lines(
            self.folder / "transcript.jsonl", [to_json(entry) for entry in recording.transcript]
        )
        self._describe(COMPLETE, recording)
        with writing(self.folder):
            (self.folder / "packets.arrows").unlink()
            sync_folder(self.folder)

    def abandon(self, reason: str) -> None:
        """Mark the session as given up by the bench; what was recorded stays.

        Raises nothing where the disk refuses: another error is on its way already.
        """
        self._events.close()
        with suppress(InputError):
            refuse_sealed(self._run)
            self._packets.close()
        with suppress(InputError):
            refuse_sealed(self._run)
            self._describe(FAILED, reason=reason)

    def _describe(
        self, completion: str, recording: Recording | None = None, reason: str | None = None
    ) -> None:
        """Write session.json. It holds no time of day, host or path: one seed, one content."""
        session = self.session
        write_json(
            self.folder / "session.json",
            {
                "id": session.id,
                "completion": completion,
                "reason": reason,
                "plan": session.plan,
                "scenario": session.scenario.name,
                "title": session.scenario.title,
                "source": session.scenario.source,
                "seed": session.seed,
                "trial": session.trial,
                "attempt": session.attempt,
                "links": list(session.scenario.links),
                "bench": recording.bench if recording else self._bench,
                "backend": recording.backend if recording else self._backend,
                "content_hash": recording_hash(recording) if recording else None,
                "health": to_json(recording.health) if recording else None,
                "changes": to_json(recording.changes) if recording else None,
                "schedule": to_json(recording.schedule if recording else session.schedule()),
                "device": to_json(recording.device if recording else session.device),
            },
        )
