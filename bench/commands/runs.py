"""Runs: plan, carry out, check, judge again, compare, report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shared import (
    Budget,
    Confidence,
    Full,
    Json,
    Plans,
    RunFolderArgument,
    command,
)


@command
def run_(
    plans: Plans,
    device: Annotated[str, typer.Option(help="NAME, FILE.toml or FILE.py:NAME.")],
    bench: Annotated[
        str, typer.Option(help="auto, virtual, local, simulated-lab or FILE.toml.")
    ] = "auto",
    seed: Annotated[str, typer.Option(help="Seed of the run.")] = "7",
    results: Annotated[Path, typer.Option(help="Folder of run folders.")] = Path("results"),
    only: Annotated[list[str] | None, typer.Option(help="Judge only this requirement.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the device.")] = None,
    defect: Annotated[list[str] | None, typer.Option(help="A deliberate defect.")] = None,
    full: Full = False,
    budget: Budget = None,
    confidence: Confidence = None,
    rule: Annotated[
        str | None, typer.Option(help="Decision rule on bounds: simple or guard-band.")
    ] = None,
    certify: Annotated[bool, typer.Option(help="Independent observations only.")] = False,
    allow_inconclusive: Annotated[
        bool, typer.Option("--allow-inconclusive", help="INCONCLUSIVE does not fail the run.")
    ] = False,
    coexistence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Coexistence plan; default the shipped one.")
    ] = None,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print what a laboratory's instruments would be sent; open nothing."
        ),
    ] = False,
    as_json: Json = False,
) -> int:
    """Run plans on a device, judge it, write a sealed report."""
    if dry:
        from bench.studies.dry_run import dry_run
        from bench.studies.effort import read_effort

        planned = dry_run(
            plans,
            device,
            bench=bench,
            only=tuple(only or ()),
            options=tuple(option or ()),
            effort=read_effort(full, budget, confidence),
            coexistence=coexistence,
        )
        print(json.dumps(planned.to_json()) if as_json else "\n".join(planned.lines()))
        return planned.exit_code
    from bench.studies.invoke import Invocation, run_plan

    return run_plan(
        Invocation(
            plans=tuple(plans),
            device=device,
            bench=bench,
            seed=seed,
            results=results,
            only=tuple(only or ()),
            options=tuple(option or ()),
            defects=tuple(defect or ()),
            full=full,
            certify=certify,
            allow_inconclusive=allow_inconclusive,
            rule=rule,
            confidence=confidence,
            budget=budget,
            coexistence=coexistence,
            display="json" if as_json else "live",
        )
    )


@command
def plan_(
    plans: Plans,
    device: Annotated[str, typer.Option(help="NAME, FILE.toml or FILE.py:NAME.")],
    bench: Annotated[str, typer.Option(help="auto, virtual, local or FILE.toml.")] = "auto",
    only: Annotated[list[str] | None, typer.Option(help="Only this requirement.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option of the device.")] = None,
    full: Full = False,
    budget: Budget = None,
    confidence: Confidence = None,
    as_json: Json = False,
) -> int:
    """What a run would judge, with which evidence, and how long it takes: before it starts."""
    from bench.report.plan import print_plan
    from bench.studies.effort import read_effort
    from bench.studies.foresee import foresee

    found = foresee(
        plans,
        device,
        bench=bench,
        only=tuple(only or ()),
        options=tuple(option or ()),
        effort=read_effort(full, budget, confidence),
    )
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        print_plan(found)
    return 0


@command
def verify(run: RunFolderArgument, as_json: Json = False) -> int:
    """Check the seal of a run folder."""
    from bench.runs.seal import verify as verify_seal

    found = verify_seal(run)
    if as_json:
        print(json.dumps({"run": str(run), "ok": found.ok, "problems": list(found.problems)}))
    else:
        for problem in found.problems:
            print(f"{run}: {problem}")
        print(f"{run}: {'verified' if found.ok else 'NOT VERIFIED'}")
    return 0 if found.ok else 1


@command
def judge(run: RunFolderArgument, as_json: Json = False) -> int:
    """Derive every verdict again from the stored recordings, without running anything."""
    from bench.report.terminal import verdict_table
    from bench.studies.rejudge import rejudge

    again = rejudge(run)
    if as_json:
        print(json.dumps(again.to_json()))
    else:
        verdict_table(again.verdicts, again.scope)
        for difference in again.differences:
            print(f"differs: {difference}")
        print(f"{len(again.verdicts)} verdicts derived again, {len(again.differences)} differ")
    return again.exit_code


@command
def coverage(
    device: Annotated[list[str] | None, typer.Option(help="Only these devices.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of run folders.")] = Path("results"),
    fail_uncovered: Annotated[
        bool, typer.Option("--fail-uncovered", help="Exit 1 where something is not covered.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Requirement × test × last verdict, both ways, and what is covered by nothing."""
    from bench.report.coverage import print_coverage
    from bench.studies.coverage import coverage_of_plans

    found = coverage_of_plans(tuple(device or ()), results)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        print_coverage(found)
    return 1 if fail_uncovered and (found.uncovered or found.uncited) else 0


@command
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="Run folders.")],
    force: Annotated[
        bool, typer.Option("--force", help="Also with another stimulus or catalogue.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Verdicts, values and margins of runs side by side: each change significant or noise."""
    from bench.report.comparison import print_comparison
    from bench.studies.compare import compare as compare_runs

    found = compare_runs(runs, force=force)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        print_comparison(found)
    return 1 if found.worse else 0


@command
def report(
    run: RunFolderArgument,
    output: Annotated[Path | None, typer.Option(help="Where to write; default beside it.")] = None,
) -> int:
    """Write the report of a run again (a sealed run is never written into)."""
    from bench.report.write import write_report
    from bench.runs.files import writing

    with writing(output or run.parent):
        print(write_report(run, output))
    return 0
