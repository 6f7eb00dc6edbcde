"""The folder of a running run: made at once, kept readable at every moment, sealed at the end."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.judge.verdict import Verdict
from bench.runs.content import run_hash
from bench.runs.files import append_line, read_json, read_json_lines, write_json, writing
from bench.runs.host import describe_host
from bench.runs.ids import check_run_id
from bench.runs.reader import read_recording_from
from bench.runs.seal import refuse_sealed, seal
from bench.runs.session_writer import COMPLETE, FAILED, SessionWriter
from bench.runs.signature import signing_key
from bench.sessions.codec import to_json
from bench.sessions.recording import Recording, Session
from bench.units import NS_PER_S

FORMAT = 1
"""The layout of a run folder; another number is not read."""

_WAIT_MORE_S = 300.0
_POLL_S = 0.1


class SessionLost(Exception):
    """The worker that had claimed a session did not record it: the bench's own fault."""


class RunFolder:
    """One run's folder, while it is written. Made by :meth:`create` or :meth:`open`.

    Every method raises :class:`InputError` where the disk refuses, or where the run is sealed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._verdicts = path / "verdicts.jsonl"

    @classmethod
    def create(cls, results_dir: Path, run_id: str, identity: Mapping[str, Any]) -> RunFolder:
        """Make the folder with its run.json (``completion: "incomplete"``), both or neither.

        Args:
            results_dir: folder of run folders; made if missing.
            run_id: the new folder's name.
            identity: further fields of run.json: plan, bench, backend, device, options, defects,
                order data, seed … as models or plain JSON data. Host and versions are added.

        Raises:
            InputError: the name is unfit or taken, the folder cannot be written, the disk is
                full, or the configured signing key cannot sign.

        """
        path = results_dir / check_run_id(run_id)
        fields = _first_fields(run_id, identity)
        made = _missing_parents(results_dir)
        temporary = results_dir / f".{run_id}.{secrets.token_hex(4)}.tmp"
        try:
            with writing(results_dir):
                results_dir.mkdir(parents=True, exist_ok=True)
            if path.exists():
                raise InputError(
                    "exists already", remedy="choose another run id or --results", file=path
                )
            with writing(path):
                (temporary / "sessions").mkdir(parents=True)
                write_json(temporary / "run.json", fields)
                temporary.rename(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()
            raise
        return cls(path)

    @classmethod
    def open(cls, results_dir: Path, run_id: str, identity: Mapping[str, Any]) -> RunFolder:
        """Make the folder, or join it where another worker of the same invocation made it.

        Raises:
            InputError: as :meth:`create`, or the folder is of another invocation or has ended.

        """
        path = results_dir / check_run_id(run_id)
        if not path.exists():
            try:
                return cls.create(results_dir, run_id, identity)
            except InputError:
                if not path.exists():  # else another worker was faster
                    raise
        refuse_sealed(path)
        stored = read_json(path / "run.json")
        wanted = {key: to_json(value) for key, value in identity.items()}
        if stored.get("completion") != "incomplete" or any(
            stored.get(key) != value for key, value in wanted.items()
        ):
            raise InputError(
                "is another invocation's run", remedy="choose another run id", file=path
            )
        return cls(path)

    @property
    def identity(self) -> dict[str, Any]:
        """run.json as it is now."""
        return read_json(self.path / "run.json")

    def update(self, **fields: Any) -> None:
        """Set fields of run.json (models or plain JSON data); the others stay.

        Workers may set the same fields to the same values; other fields belong to one process.

        Raises:
            InputError: it cannot be written, or the run is sealed.

        """
        refuse_sealed(self.path)
        new = {key: to_json(value) for key, value in fields.items()}
        write_json(self.path / "run.json", self.identity | new)

    def verdict(self, entry: Verdict | Mapping[str, Any]) -> None:
        """Append one verdict; it is durable when this returns.

        Raises:
            InputError: it cannot be written, or the run is sealed.

        """
        refuse_sealed(self.path)
        append_line(self._verdicts, to_json(entry))

    def claim(
        self, session: Session, bench: str, backend: str, *, deadline_s: float | None = None
    ) -> SessionWriter | Recording:
        """The writer of a session, or its recording where another worker has the session.

        Args:
            session: what is to be recorded.
            bench: the bench's name.
            backend: what emulates the network.
            deadline_s: how long to wait for the other worker; default twice the session's length
                and five minutes.

        Raises:
            InputError: the folder cannot be written, or the run is sealed.
            SessionLost: the other worker gave up or took too long.

        """
        refuse_sealed(self.path)
        writer = SessionWriter.claim(self.path / "sessions", session, bench, backend)
        if writer is not None:
            return writer
        if deadline_s is None:
            deadline_s = 2 * session.schedule().end_ns / NS_PER_S + _WAIT_MORE_S
        return self.wait_for(session.id, deadline_s)

    def wait_for(self, session_id: str, deadline_s: float) -> Recording:
        """The recording of a session that another worker has claimed.

        Raises:
            InputError: what the other worker wrote is damaged.
            SessionLost: it gave up or took longer than ``deadline_s``.

        """
        folder = self.path / "sessions" / session_id
        end = time.monotonic() + deadline_s
        while True:
            if (folder / "session.json").exists():
                data = read_json(folder / "session.json")
                if data.get("completion") == COMPLETE:
                    return read_recording_from(folder)
                if data.get("completion") == FAILED:
                    raise SessionLost(f"session {session_id}: {data.get('reason')}")
            if time.monotonic() >= end:
                raise SessionLost(
                    f"session {session_id}: the worker that claimed it did not end it "
                    f"within {deadline_s:g} s"
                )
            time.sleep(_POLL_S)

    def conclude(
        self, completion: Literal["complete", "interrupted", "incomplete"] = "complete"
    ) -> None:
        """Make the final forms of everything but the reports and the seal.

        Called once, by one process, after the last session and verdict.

        Args:
            completion: what run.json says from now on; ``incomplete`` where what follows may
                still fail, and :meth:`update` says ``complete`` in the end.

        Raises:
            InputError: something cannot be written, or the run is sealed.

        """
        refuse_sealed(self.path)
        verdicts: list[Any] = []
        if self._verdicts.exists():
            verdicts, _ = read_json_lines(self._verdicts, cut_short=True)
        hashes, counts = _sessions(self.path / "sessions")
        write_json(self.path / "verdicts.json", {"verdicts": verdicts})
        with writing(self._verdicts):
            self._verdicts.unlink(missing_ok=True)
        self.update(
            completion=completion,
            end=_now(),
            content_hash=run_hash(hashes),
            sessions=counts,
            signed=signing_key() is not None,
        )

    def finish(
        self,
        completion: Literal["complete", "interrupted"] = "complete",
        *,
        before_seal: Callable[[Path], object] | None = None,
    ) -> None:
        """Conclude and seal the run.

        Args:
            completion: whether the run came to its end.
            before_seal: writes what belongs under the seal and needs the final forms (report,
                JUnit, Allure); called with the run folder.

        Raises:
            InputError: something cannot be written, or the run is sealed.

        """
        self.conclude(completion)
        if before_seal is not None:
            before_seal(self.path)
        seal(self.path)


def _first_fields(run_id: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: to_json(value) for key, value in identity.items()}
    device = identity.get("device")
    if isinstance(device, DeviceProfile):
        given.setdefault("simulated", device.simulated)
    signing_key()  # better now than after hours
    return {
        "format": FORMAT,
        "run_id": run_id,
        "completion": "incomplete",
        "start": _now(),
        "end": None,
        "content_hash": None,
        "order": os.environ.get("TELEMED_BENCH_ORDER"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        **describe_host(),
        "scope": [],
        "noise_floor": None,
        "emulator_proof": None,
        **given,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _missing_parents(folder: Path) -> list[Path]:
    """The folders that ``mkdir -p`` would make, innermost first."""
    return [path for path in (folder, *folder.parents) if not os.path.lexists(path)]


def _sessions(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """Content hashes of the complete sessions, and how many sessions came to what."""
    hashes: dict[str, str] = {}
    counts = {"complete": 0, "failed": 0, "incomplete": 0}
    for path in sorted(folder.iterdir()):
        data: dict[str, Any] = {}
        with suppress(InputError):  # killed before its description was written
            data = read_json(path / "session.json")
        completion = str(data.get("completion"))
        counts[completion if completion in counts else "incomplete"] += 1
        if completion == COMPLETE:
            hashes[path.name] = str(data.get("content_hash"))
    return hashes, counts
