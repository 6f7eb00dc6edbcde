"""Captures: what two of them say about the path between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shared import Json, command


@command
def fit(
    left: Annotated[Path, typer.Argument(metavar="LEFT", help="Capture on the patient side.")],
    right: Annotated[Path, typer.Argument(metavar="RIGHT", help="Capture on the doctor side.")],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Write the link profile there.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the profile; default both files'.")] = None,
    only: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only flows with this in their name.")
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(metavar="TIME", help="Smaller differences are noise, like 50us.")
    ] = None,
    as_json: Json = False,
) -> int:
    """A link profile from two captures of one path, with its goodness of fit."""
    from bench.report.fit import print_fit
    from bench.studies.fit import fit as fit_captures
    from bench.studies.fit import write_profile
    from bench.units import duration_s

    noise_s = duration_s(resolution, field="--resolution") if resolution else 0.0
    found = fit_captures(left, right, name=name, only=only, resolution_s=noise_s)
    if output is not None:
        write_profile(found, output)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        print_fit(found)
        if output is not None:
            print(f"written: {output}")
    return 0
