"""Run ids, and finding the latest run."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path

from bench.errors import InputError
from bench.runs.files import read_json

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


def new_run_id(device: str, bench: str, now: datetime | None = None) -> str:
    """A new run id such as ``20261121T020500Z-telesurgery-robot-local-3fa9``.

    Args:
        device: the device's name; what a folder name cannot carry becomes a hyphen.
        bench: the bench's name.
        now: the time of day, default the present; shown in UTC.

    """
    stamp = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    words = [re.sub(r"[^A-Za-z0-9._]+", "-", word).strip("-.")[:60] for word in (device, bench)]
    return "-".join([stamp, *filter(None, words), secrets.token_hex(2)])


def check_run_id(run_id: str) -> str:
    """The same id, if a folder can bear it.

    Raises:
        InputError: it cannot.

    """
    if not _ID.fullmatch(run_id):
        raise InputError(
            "cannot name a run folder",
            remedy="use up to 200 letters, digits, dots, hyphens and underscores",
            field="run id",
            value=run_id,
        )
    return run_id


def latest_run(results_dir: Path) -> Path:
    """The run folder that started last.

    Raises:
        InputError: there is none.

    """
    found: list[tuple[str, str, Path]] = []
    try:
        folders = [p for p in results_dir.iterdir() if _ID.fullmatch(p.name) and p.is_dir()]
    except OSError:
        folders = []
    for folder in folders:
        try:
            start = str(read_json(folder / "run.json").get("start", ""))
        except InputError:
            continue  # not a run folder, or one that nothing can be said about
        found.append((start, folder.name, folder))
    if not found:
        raise InputError(
            "holds no run", remedy="make one with bench run, or name a run folder", file=results_dir
        )
    return max(found)[2]
