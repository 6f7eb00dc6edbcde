"""The seal of a run folder: SHA256SUMS over everything in it, made last (``sha256sum -c``)."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.runs.files import read_bytes, read_json, write_bytes
from bench.runs.signature import (
    SIGNERS_VARIABLE,
    signature_problem,
    signing_key,
    write_signature,
)

SEAL = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
_LINE = re.compile(rb"([0-9a-f]{64})  (\S.*)")


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of a seal came to. ``ok`` only where ``problems`` is empty.

    Problems begin with ``changed``, ``missing``, ``extra``, ``unsealed``, ``incomplete``,
    ``unsigned`` or ``damaged`` and name the file. ``signed``: a signature was found and holds.
    ``files``: how many files the seal covers.
    """

    ok: bool
    problems: tuple[str, ...] = ()
    signed: bool = False
    files: int = 0


def is_sealed(folder: Path) -> bool:
    """Whether nothing may be written into the run any more."""
    return os.path.lexists(folder / SEAL)


def refuse_sealed(folder: Path) -> None:
    """Keep a sealed run as it is.

    Raises:
        InputError: it is sealed.

    """
    if is_sealed(folder):
        raise InputError(
            "is sealed and stays as it is", remedy="write elsewhere, or make a new run", file=folder
        )


def seal(folder: Path, *, key: Path | None = None) -> None:
    """Seal a run folder; nothing may be written into it afterwards.

    Args:
        folder: the run folder, everything in place.
        key: signs the seal; default the configured key, if there is one.

    Raises:
        InputError: sealed already, not a run folder, a link or device in it, a file that
            cannot be read or written, or a key that cannot sign.

    """
    refuse_sealed(folder)
    if not (folder / "run.json").is_file():
        raise InputError("is not a run folder", remedy="name one that has a run.json", file=folder)
    files, odd = _contents(folder)
    if odd:
        raise InputError(
            "is neither a file nor a folder, so it cannot be sealed",
            remedy="put a copy of the file in its place",
            file=folder / os.fsdecode(min(odd)),
        )
    sums = b"".join(
        _sum(folder / os.fsdecode(name)) + b"  " + name + b"\n" for name in sorted(files)
    )
    key = key or signing_key()
    if key is not None:
        write_signature(sums, key, folder / SIGNATURE)
    write_bytes(folder / SEAL, sums)


def verify(folder: Path) -> Verification:
    """Check a run folder against its seal. Writes nothing.

    Raises:
        InputError: not a run folder.

    """
    if not is_sealed(folder):
        if not (folder / "run.json").exists():
            raise InputError(
                "is not a run folder", remedy="name one that has a run.json", file=folder
            )
        return Verification(False, (*_completion(folder), f"unsealed: it has no {SEAL}"))
    if (folder / SEAL).is_symlink() or not (folder / SEAL).is_file():
        return Verification(False, (f"damaged: {SEAL} is not a file",))
    text = read_bytes(folder / SEAL)
    sums, problems = _read_seal(text)
    files, odd = _contents(folder)
    for name in sorted(files | odd | sums.keys()):
        shown = os.fsdecode(name)
        if name not in sums:
            problems.append(f"extra: {shown}")
        elif name in odd:
            problems.append(f"changed: {shown} (not a file)")
        elif name not in files:
            problems.append(f"missing: {shown}")
        elif _readable_sum(folder / shown) != sums[name]:
            problems.append(f"changed: {shown}")
    if b"run.json" not in sums:
        problems.append("damaged: the seal does not cover run.json")
    signed, more = _signature(folder, text)
    problems += [*more, *_completion(folder)]
    return Verification(not problems, tuple(problems), signed, len(sums))


def _read_seal(text: bytes) -> tuple[dict[bytes, bytes], list[str]]:
    """Sums by name, and what is wrong with the lines.

    Names never lead out of the folder: they are compared with what is in it, not opened.
    """
    sums: dict[bytes, bytes] = {}
    problems = []
    lines = text.split(b"\n")
    if lines.pop():
        problems.append(f"damaged: {SEAL} does not end with a line end")
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in sums:
            problems.append(f"damaged: {SEAL} line {number}")
        else:
            sums[match[2]] = match[1]
    return sums, problems


def _contents(folder: Path) -> tuple[set[bytes], set[bytes]]:
    """Names of the files below ``folder`` but the seal's own, and of what is not a file."""
    files: set[bytes] = set()
    odd: set[bytes] = set()
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                name = os.fsencode(Path(entry.path).relative_to(folder).as_posix())
                if name in (SEAL.encode(), SIGNATURE.encode()):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False) and b"\n" not in name:
                    files.add(name)
                else:
                    odd.add(name)
    return files, odd


def _sum(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest().encode()
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror or error})",
            remedy="make it readable; a seal covers every file",
            file=path,
        ) from error


def _readable_sum(path: Path) -> bytes:
    try:
        return _sum(path)
    except InputError:
        return b""


def _completion(folder: Path) -> list[str]:
    try:
        completion = read_json(folder / "run.json").get("completion")
    except InputError:
        return []  # then run.json is missing or changed, which is said already
    return [] if completion == "complete" else [f"incomplete: the run is {completion}"]


def _signature(folder: Path, text: bytes) -> tuple[bool, list[str]]:
    path = folder / SIGNATURE
    if not path.is_file() or path.is_symlink():
        if os.environ.get(SIGNERS_VARIABLE):
            return False, [f"unsigned: it has no {SIGNATURE}, and {SIGNERS_VARIABLE} is set"]
        if _says_signed(folder):
            return False, [f"missing: {SIGNATURE}"]
        return False, []
    problem = signature_problem(text, path)
    return problem is None, [] if problem is None else [f"changed: {SIGNATURE} ({problem})"]


def _says_signed(folder: Path) -> bool:
    try:
        return bool(read_json(folder / "run.json").get("signed"))
    except InputError:
        return False
