"""The host and the laboratory: what they can do, and what that means for each bench."""

from __future__ import annotations

import json
import select
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.shared import Json, command
from bench.errors import InputError

if TYPE_CHECKING:
    from datetime import date

    from bench.benches.lab.accepting import Person
    from bench.benches.lab.checking import Checked
    from bench.benches.lab.file import BenchFile
    from bench.benches.lab.laboratory import Laboratory


@command
def check(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="A laboratory's bench file, or simulated-lab; else this host."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose radio says where paths are verified; FILE only."),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Site acceptance: record what was verified of FILE.")
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="What the instruments of FILE did in a run, again from its transcript; opens "
            "nothing.",
        ),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove and restore what dead runs left, and only that.")
    ] = False,
    as_json: Json = False,
) -> int:
    """What this host or a laboratory can do, what that means for each bench, and the remedy."""
    if file is not None and replay is not None:
        for option, given in (("--device", device), ("--accept", accept), ("--clean", clean)):
            if given:
                raise InputError(
                    "is for a laboratory that is there", remedy="leave it out, or --replay",
                    field=option,
                )  # fmt: skip
        return _replayed(file, replay, as_json)
    if file is not None:
        return _laboratory(file, device, accept, clean, as_json)
    for option, given in (
        ("--device", device is not None),
        ("--accept", accept),
        ("--replay", replay is not None),
    ):
        if given:
            raise InputError(
                "is for a laboratory", remedy="name its bench file before it", field=option
            )
    from bench.benches.check import best_bench, check_host, clean_leftovers
    from instruments.emulators.custody import leftovers

    removed = clean_leftovers() if clean else []
    restored = list(leftovers()) if clean else []
    findings = check_host()
    name, reason = best_bench()
    if as_json:
        print(
            json.dumps(
                {
                    "findings": [finding.to_json() for finding in findings],
                    "best_bench": name,
                    "reason": reason,
                    "removed": removed,
                    "restored": restored,
                }
            )
        )
    else:
        from bench.report.terminal import findings_table

        findings_table(findings)
        for path in removed:
            print(f"removed {path}")
        for line in restored:
            print(f"restored {line}")
        print(f"best bench here: {name} ({reason})")
    return 0


def _laboratory(file: str, device: str | None, accepting: bool, clean: bool, as_json: bool) -> int:
    """``bench check FILE``: 0 where nothing is missing, else 3."""
    from bench.benches.lab.acceptance import acceptance_path
    from bench.benches.lab.checking import check_laboratory
    from bench.benches.lab.file import SHIPPED, load_bench_file, today
    from bench.devices.registry import find_device

    if clean:
        raise InputError("is for the host", remedy="leave FILE or --clean out", field="--clean")
    path = SHIPPED if file == "simulated-lab" else Path(file)
    bench_file = load_bench_file(path)
    profile = None if device is None else find_device(device)
    checked, laboratory = check_laboratory(
        bench_file, profile, exercise=accepting, person=_person()
    )
    accepted = _accepted(bench_file, checked, laboratory, today()) if accepting else ()
    if as_json:
        print(
            json.dumps(
                {
                    "file": str(path),
                    "title": bench_file.title,
                    "findings": [finding.to_json() for finding in checked.findings],
                    "instruments": list(checked.standing),
                    "complete": checked.complete,
                    "accepted": list(accepted),
                    "acceptance_file": str(acceptance_path(path)) if accepted else None,
                }
            )
        )
    else:
        from bench.report.terminal import findings_table

        print(f"{bench_file.title} ({path})")
        findings_table(checked.findings)
        for role in accepted:
            print(f"accepted {role}: recorded in {acceptance_path(path)}")
    return 0 if checked.complete else 3


def _replayed(file: str, run: Path, as_json: bool) -> int:
    """``bench check FILE --replay RUN``: 0 where all is the same, else 1."""
    from bench.benches.lab.file import SHIPPED, load_bench_file
    from bench.studies.replay import replay_run

    path = SHIPPED if file == "simulated-lab" else Path(file)
    again = replay_run(load_bench_file(path), run)
    again = replace(again, unlike=(*again.unlike, *_attended(run)))
    if as_json:
        print(json.dumps({"file": str(path), "run": str(run), **again.to_json()}))
    else:
        print(*again.lines(), sep="\n")
    return 0 if again.same else 1


def _attended(run: Path) -> list[str]:
    """Stored events of contacts and power that are not those of the run's transcripts."""
    from bench.benches.lab.attended import told_events, unlike
    from bench.benches.lab.telling import ROLE
    from bench.runs.files import read_json_lines
    from bench.runs.reader import read_run
    from instruments.visa.transcript import read_transcript

    entries = (entry for path in sorted(run.glob("transcript*.jsonl")) for entry in
               read_transcript(path))  # fmt: skip
    told = told_events(json.loads(entry.data) for entry in entries if entry.role == ROLE)
    found = []
    for session in read_run(run).sessions:
        if session.completion == "complete" and session.id in told:
            events, _ = read_json_lines(session.folder / "events.jsonl", cut_short=False)
            name = f"sessions/{session.id}/events.jsonl"
            found += [f"{name}: {text}" for text in unlike(events, told[session.id])]
    return found


_ANSWER_S = 120.0
"""So long a person may take to answer."""


def _person() -> Person:
    """Who answers at this terminal; stdout is for the findings alone."""
    from bench.benches.lab.accepting import NOBODY, Person

    def tell(request: str) -> None:
        print(f"bench: {request}", file=sys.stderr, flush=True)

    def confirm(question: str) -> str:
        tell(f"{question} Type your name if so, nothing if not.")
        ready, _, _ = select.select([sys.stdin], [], [], _ANSWER_S)
        return sys.stdin.readline().strip() if ready else ""

    return Person(tell, confirm) if sys.stdin.isatty() else replace(NOBODY, tell=tell)


def _accepted(
    bench_file: BenchFile, checked: Checked, laboratory: Laboratory | None, on: date
) -> tuple[str, ...]:
    """Accept what was verified on hardware.

    Raises:
        InputError: something is missing, or nothing here is hardware.
    """
    from bench.benches.lab.acceptance import accept

    if laboratory is None or not checked.complete:
        return ()
    seen = {r: s for r, s in checked.verified.items() if r not in bench_file.simulated}
    if not seen:
        raise InputError(
            "nothing here is hardware",
            remedy="give an instrument its address; what is simulated is never accepted",
            field="--accept",
            file=bench_file.path,
        )
    return tuple(one.role for one in accept(bench_file.path, laboratory, seen, on))
