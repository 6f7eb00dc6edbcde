"""Captures: what one says of its streams, and two of the path between."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.shared import CatalogueFiles, Json, command
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.requirements.loader import Catalogue
    from bench.studies.analyse import Question

_Text = str | None
_LARGE_BYTES = 64_000_000
"""Captures that are larger together show what goes on."""


@command
def analyse(
    captures: Annotated[
        list[Path],
        typer.Argument(metavar="LEFT [RIGHT]", help="Patient side and doctor side, or only one."),
    ],
    device: Annotated[
        _Text, typer.Option(help="NAME, FILE.toml or FILE.py:NAME: names the streams.")
    ] = None,
    only: Annotated[
        _Text, typer.Option(metavar="TEXT", help="Only streams with this in their name.")
    ] = None,
    nat: Annotated[
        bool, typer.Option("--nat", help="Addresses and ports may differ between the taps.")
    ] = False,
    clock_offset: Annotated[
        _Text, typer.Option(metavar="TIME", help="How far the right clock is ahead; may be -2ms.")
    ] = None,
    clock_uncertainty: Annotated[
        _Text, typer.Option(metavar="TIME", help="Of the offset: it lies within so much.")
    ] = None,
    survival: Annotated[
        _Text, typer.Option(metavar="TIME", help="For availability: longer gaps are downtime.")
    ] = None,
    deadline: Annotated[
        _Text, typer.Option(metavar="TIME", help="For on-time delivery: later is lost.")
    ] = None,
    bin_: Annotated[str, typer.Option("--bin", metavar="TIME", help="Of the throughput.")] = "1s",
    require: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Judge this entry of the catalogue.")
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Judge only the time that both captures cover.")
    ] = False,
    allow_inconclusive: Annotated[
        bool, typer.Option("--allow-inconclusive", help="INCONCLUSIVE does not fail.")
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every packet there.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report with plots there.")
    ] = None,
    freeze: Annotated[
        _Text, typer.Option(metavar="TIME", help="One capture: a picture so long is frozen.")
    ] = None,
    catalogue: CatalogueFiles = None,
    as_json: Json = False,
) -> int:
    """Every metric of every stream between two captures of one path, or within one capture."""
    from bench.requirements.loader import load_catalogue

    known = load_catalogue(catalogue or [])
    question = _question(
        device, only, nat, (clock_offset, clock_uncertainty), (survival, deadline, bin_),
        tuple(require or ()), known, overlap,
    )  # fmt: skip
    _check_outputs(captures, {"--parquet": parquet, "--html": html})
    if len(captures) == 1:
        pair_only = {
            "--nat": nat, "--clock-offset": clock_offset, "--clock-uncertainty": clock_uncertainty,
            "--survival": survival, "--deadline": deadline, "--require": require,
            "--overlap": overlap, "--parquet": parquet, "--html": html, "--only": only,
        }  # fmt: skip
        return _analyse_one(captures[0], question, pair_only, freeze, as_json)
    if len(captures) > 2:
        raise InputError(
            f"{len(captures)} captures are given", remedy="give the left one and the right one",
            field="analyse",
        )  # fmt: skip
    if freeze is not None:
        raise InputError("is for one capture", remedy="leave it out", field="--freeze")
    return _analyse_two(captures, question, known, (parquet, html), as_json, allow_inconclusive)


def _analyse_two(
    captures: Sequence[Path], question: Question, known: Catalogue,
    outputs: tuple[Path | None, Path | None], as_json: bool, allow_inconclusive: bool,
) -> int:  # fmt: skip
    from bench.measure.pairing import Flow
    from bench.report.analyse import print_analysis
    from bench.studies.analyse import StreamResult
    from bench.studies.analyse import analyse as analyse_captures

    parquet, html = outputs
    with ExitStack() as stack:
        series = table = None
        if parquet is not None:
            from bench.studies.analyse_table import packet_table

            table = stack.enter_context(packet_table(parquet))
        if html is not None:
            from bench.report.analyse_html import Series

            series = Series(question.bin_s)

        def each(result: StreamResult, flow: Flow) -> None:
            for taker in (table, series):
                if taker is not None:
                    taker.add(result.stream, result.direction, flow)

        kept = (
            as_json or html is not None or parquet is not None or bool(question.asked.requirements)
        )
        found = analyse_captures(
            captures[0], captures[1], question, each=each, tell=_progress(captures), digests=kept
        )
    data = found.to_json()
    if html is not None and series is not None:
        from bench.report.analyse_html import write_analysis

        write_analysis(html, data, series, known)
    if as_json:
        print(json.dumps(data, allow_nan=False))
    else:
        print_analysis(data)
        if found.requirements:
            from bench.report.terminal import verdict_table

            verdict_table(found.verdicts, ())
        for path in outputs:
            if path is not None:
                print(f"written: {path}")
    return found.exit_code(allow_inconclusive=allow_inconclusive)


def _analyse_one(
    path: Path,
    question: Question,
    pair_only: Mapping[str, object],
    freeze: str | None,
    as_json: bool,
) -> int:
    for name, value in pair_only.items():
        if value:
            raise InputError(
                "has no meaning for one capture", remedy="give a second one, or leave it out",
                field=name,
            )  # fmt: skip
    from bench.report.analyse_one import print_one
    from bench.studies.one_capture import analyse_one
    from bench.units import duration_s

    freeze_s = None if freeze is None else duration_s(freeze, field="--freeze")
    found = analyse_one(path, rules=question.rules, bin_s=question.bin_s, freeze_s=freeze_s)
    data = found.to_json()
    if as_json:
        print(json.dumps(data, allow_nan=False))
    else:
        print_one(data)
    return 0


def _question(
    device: str | None,
    only: str | None,
    nat: bool,
    clock: tuple[str | None, str | None],
    times: tuple[str | None, str | None, str],
    require: tuple[str, ...],
    known: Catalogue,
    overlap: bool,
) -> Question:
    """The options as what is asked.

    Raises:
        InputError: an option that cannot be read, an unknown device or entry.
    """
    from bench.devices.registry import find_device
    from bench.studies.analyse import Question
    from bench.studies.analyse_clock import given_clock
    from bench.studies.analyse_judge import find_asked
    from bench.units import duration_s

    def positive(text: str | None, field: str) -> float | None:
        seconds = None if text is None else duration_s(text, field=field)
        if seconds == 0:
            raise InputError("is zero", remedy="give more, like 100ms", field=field, value=text)
        return seconds

    profile = None if device is None else find_device(device)
    return Question(
        device=profile,
        only=only,
        nat=nat,
        clock=given_clock(*clock),
        survival_s=positive(times[0], "--survival"),
        deadline_s=positive(times[1], "--deadline"),
        bin_s=positive(times[2], "--bin") or 1.0,
        asked=find_asked(require, profile, known),
        overlap=overlap,
    )


def _check_outputs(captures: Sequence[Path], outputs: dict[str, Path | None]) -> None:
    """Before anything is read that takes long.

    Raises:
        InputError: an output that cannot be written there, or is an input or another output.
    """
    taken = {path.absolute().resolve(): "a capture to read" for path in captures}
    for field, path in outputs.items():
        if path is None:
            continue
        place = path.absolute()
        what = taken.get(place.resolve())
        if path.is_dir() or not place.parent.is_dir():
            what = "is a folder" if path.is_dir() else "is in no folder that there is"
            raise InputError(what, remedy="name a file", field=field, value=str(path))
        if what is not None:
            raise InputError(f"is {what}", remedy="name another file", field=field, value=str(path))
        taken[place.resolve()] = "another output"


def _progress(captures: Sequence[Path]) -> Callable[[str], None] | None:
    """Plain lines on stderr, for captures that take long."""
    if sum(path.stat().st_size for path in captures if path.is_file()) < _LARGE_BYTES:
        return None
    return lambda text: print(text, file=sys.stderr, flush=True)


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
