"""``bench certify-emulator`` as typer sees it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shared import Json, command


@command
def certify_emulator(
    backend: Annotated[str, typer.Option(help="auto, netem, userspace or virtual.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="25 s instead of 4 minutes.")] = False,
    seed: Annotated[str, typer.Option(help="Of the emulator's draws.")] = "7",
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the JSON there.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Show what an emulator on this host does to packets: intended against achieved."""
    from bench.benches.base import BenchError
    from bench.report.fidelity import print_certificate
    from bench.runs.files import json_bytes, replacing
    from bench.studies.certify import certify
    from bench.studies.emulate_words import read_seed

    number = read_seed(seed)
    if output is not None:
        _refuse_folder(output)
    try:
        found = certify(backend, seed=number, quick=quick, tell=_progress)
    except BenchError as error:
        print(f"bench: the bench's own fault: {error}", file=sys.stderr)
        return 4
    data = found.to_json()
    if output is not None:
        with replacing(output) as file:
            file.write(json_bytes(data, indent=1) + b"\n")
    if as_json:
        print(json.dumps(data))
    else:
        print_certificate(data)
    return found.exit_code


def _refuse_folder(output: Path) -> None:
    """Before the minutes that it takes.

    Raises:
        InputError: the file cannot be written there.
    """
    from bench.errors import InputError

    if output.is_dir() or not output.absolute().parent.is_dir():
        what = "is a folder" if output.is_dir() else "is in no folder that there is"
        raise InputError(what, remedy="name a file", field="--output", value=str(output))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
