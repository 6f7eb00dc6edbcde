"""The run folder: made at the start, appended to while the run goes on, sealed at the end."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import __version__
from bench.errors import InputError
from bench.judge.verdict import Verdict
from bench.runs_lead.files import append_line, sync, unwritable, write_json
from bench.runs_lead.hashes import run_hash
from bench.runs_lead.reader import read_json, read_recording, read_run
from bench.runs_lead.session_writer import SessionWriter
from bench.sessions.recording import Recording, Session

CLAIM_WAIT_S = 600.0
"""How long to wait for a session that another worker of the same run carries out."""

_LIBRARIES = ("numpy", "scipy", "pyarrow", "pyroute2", "pytest", "matplotlib")


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, results: Path, run_id: str, identity: Mapping[str, Any]) -> RunFolder:
        """Make the folder, or join it where another worker of this run has made it.

        Raises:
            InputError: the results folder cannot be written; nothing is left behind.
        """
        path = results / run_id
        try:
            results.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if not path.is_dir():
                raise unwritable(results, error) from error
            return cls._joined(path)
        except OSError as error:
            raise unwritable(results, error) from error
        try:
            (path / "sessions").mkdir()
            write_json(path / "run.json", _identity(run_id, identity))
        except BaseException:
            _remove_empty(path)
            raise
        return cls(path)

    @classmethod
    def _joined(cls, path: Path) -> RunFolder:
        deadline = time.monotonic() + 10
        while not (path / "run.json").exists():
            if time.monotonic() > deadline:
                raise InputError(
                    "has no run.json", remedy="remove the folder and start again", file=path
                )
            time.sleep(0.02)
        return cls(path)

    def update(self, **fields: Any) -> None:
        """Change fields of run.json."""
        now = read_json(self.path / "run.json")
        write_json(self.path / "run.json", {**now, **fields})

    def verdict(self, verdict: Verdict) -> None:
        """Append one verdict to verdicts.jsonl, on the disk before this returns."""
        path = self.path / "verdicts.jsonl"
        try:
            with path.open("ab") as file:
                append_line(file, verdict)
                sync(file)
        except OSError as error:
            raise unwritable(path, error) from error

    def claim(self, session: Session, bench: str, backend: str) -> SessionWriter | Recording:
        """The writer of a new session, or the recording of one that another worker made.

        Raises:
            InputError: the other worker does not finish, or the disk takes nothing.
        """
        folder = self.path / "sessions" / session.id
        try:
            folder.mkdir()
        except FileExistsError:
            return self._wait_for(session.id)
        except OSError as error:
            raise unwritable(folder, error) from error
        return SessionWriter(folder, session, bench, backend)

    def _wait_for(self, session_id: str) -> Recording:
        path = self.path / "sessions" / session_id / "session.json"
        deadline = time.monotonic() + CLAIM_WAIT_S
        while time.monotonic() < deadline:
            if path.exists() and read_json(path).get("completion") == "complete":
                return read_recording(read_run(self.path), session_id)
            time.sleep(0.05)
        raise InputError(
            "another worker did not finish this session",
            remedy="start the run again",
            file=path.parent,
        )

    def conclude(self) -> None:
        """Write the final forms of everything but the reports and the seal."""
        run = read_run(self.path)
        write_json(self.path / "verdicts.json", {"verdicts": run.verdicts})
        hashes = [(s.id, s.content_sha256) for s in run.sessions if s.content_sha256]
        self.update(
            end=_now(),
            completion="complete",
            content_sha256=run_hash(hashes),
            sessions=[s.id for s in run.sessions],
        )
        (self.path / "verdicts.jsonl").unlink(missing_ok=True)


def _identity(run_id: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": run_id,
        "completion": "incomplete",
        "start": _now(),
        "end": None,
        **identity,
        "versions": {
            "telemed-bench": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in _LIBRARIES},
        },
        "git_commit": _commit(),
        "host": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "order": os.environ.get("TELEMED_BENCH_ORDER"),
        "scope": [],
        "noise_floor": None,
        "content_sha256": None,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, with ``+`` where it was changed."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        words = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+"]
        found = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _remove_empty(path: Path) -> None:
    """Take back a folder that could not be begun."""
    for entry in sorted(path.rglob("*"), reverse=True):
        entry.rmdir() if entry.is_dir() else entry.unlink(missing_ok=True)
    path.rmdir()
