"""The seal of a run folder: SHA-256 of every file, written last, checked by ``bench verify``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.runs_lead.files import write_bytes
from bench.runs_lead.reader import read_json

SEAL = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify`` found; ``ok`` only without any problem."""

    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Everything is as it was sealed."""
        return not self.problems


def seal(folder: Path) -> None:
    """Write SHA256SUMS over every file below ``folder`` (the format of ``sha256sum``).

    Raises:
        InputError: sealed already, or not writable.
    """
    if (folder / SEAL).exists():
        raise InputError("is sealed already", remedy="leave it as it is", file=folder)
    lines = [f"{_digest(folder / name)}  {name}\n" for name in _files(folder)]
    write_bytes(folder / SEAL, "".join(lines).encode())


def verify(folder: Path) -> Verification:
    """Compare a folder with its seal.

    Raises:
        InputError: not a run folder.
    """
    if not (folder / "run.json").is_file():
        raise InputError(
            "is not a run folder (no run.json)", remedy="name a folder below results", file=folder
        )
    sums = folder / SEAL
    if not sums.is_file():
        return Verification(("not sealed: the run did not come to its end",))
    problems = []
    sealed: dict[str, str] = {}
    for number, line in enumerate(sums.read_text(encoding="utf-8").splitlines(), 1):
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).is_absolute() or ".." in Path(name).parts:
            problems.append(f"{SEAL}: line {number} is damaged")
            continue
        sealed[name] = digest
    present = set(_files(folder))
    problems += [f"{name}: missing" for name in sorted(set(sealed) - present)]
    problems += [f"{name}: added after sealing" for name in sorted(present - set(sealed))]
    for name in sorted(present & set(sealed)):
        if _digest(folder / name) != sealed[name]:
            problems.append(f"{name}: changed after sealing")
    try:
        if read_json(folder / "run.json").get("completion") != "complete":
            problems.append("run.json: the run is incomplete")
    except (InputError, AttributeError):
        problems.append("run.json: cannot be read")
    return Verification(tuple(problems))


def _files(folder: Path) -> list[str]:
    names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    return sorted(name for name in names if name not in (SEAL, SIGNATURE))


def _digest(path: Path) -> str:
    if not path.is_file():
        return "0" * 64
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
