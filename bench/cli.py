"""The ``bench`` command."""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import InputError
from bench.neighbours import check_neighbours

app = typer.Typer(
    name="bench",
    help="Test bench for remote medical devices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_END_WITHIN_S = 1.7

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, nothing else.")]
CatalogueFiles = Annotated[
    list[Path] | None, typer.Option("--catalogue", metavar="FILE", help="Also this catalogue.")
]
Full = Annotated[bool, typer.Option("--full/--quick", help="59 trials, or 1.")]
Budget = Annotated[str | None, typer.Option(metavar="TIME", help="What fits into it, like 2h.")]
Confidence = Annotated[str | None, typer.Option(metavar="C", help="Of the bounds, default 0.95.")]
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def _command(function: Callable[..., int]) -> Callable[..., None]:
    """Turn what a command raises into its exit code, without tracebacks for bad input."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        try:
            check_neighbours()
            code = function(*args, **kwargs)
        except InputError as error:
            print(f"bench: {error.line()}", file=sys.stderr)
            code = 2
        except KeyboardInterrupt:
            print("bench: interrupted", file=sys.stderr)
            code = 130
        except BrokenPipeError:
            # Nobody reads any more: nothing more is written, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 4
        except SystemExit:
            raise
        except BaseException:  # pytest's outcomes are no Exceptions
            traceback.print_exc()
            print("bench: the bench's own fault, see above", file=sys.stderr)
            code = 4
        raise typer.Exit(code)

    return call


@app.command("run")
@_command
def run_(
    plan: Annotated[str, typer.Argument(help="The plan: a folder below testplans, or a path.")],
    device: Annotated[str, typer.Option(help="NAME, FILE.toml or FILE.py:NAME.")],
    bench: Annotated[str, typer.Option(help="auto, virtual, local or FILE.toml.")] = "auto",
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
    as_json: Json = False,
) -> int:
    """Run a plan on a device, judge it, write a sealed report."""
    from bench.studies.invoke import Invocation, run_plan

    return run_plan(
        Invocation(
            plan=plan,
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
            display="json" if as_json else "live",
        )
    )


@app.command("plan")
@_command
def plan_(
    plan: Annotated[str, typer.Argument(help="The plan: a folder below testplans, or a path.")],
    device: Annotated[str, typer.Option(help="NAME, FILE.toml or FILE.py:NAME.")],
    bench: Annotated[str, typer.Option(help="auto, virtual or local.")] = "auto",
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
        plan,
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


@app.command()
@_command
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


@app.command()
@_command
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


@app.command()
@_command
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


@app.command()
@_command
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


@app.command()
@_command
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


@app.command()
@_command
def profiles(as_json: Json = False) -> int:
    """The library of link profiles and scenarios, with their sources."""
    from bench.network.library import SCENARIOS
    from bench.network.profiles import load_profiles
    from bench.report.profiles import print_profiles, profile_json, scenario_json

    known, scenarios = load_profiles(), [make() for make in SCENARIOS.values()]
    if as_json:
        found = {
            "profiles": [profile_json(profile) for profile in known.values()],
            "scenarios": [scenario_json(scenario) for scenario in scenarios],
        }
        print(json.dumps(found))
    else:
        print_profiles(known, scenarios)
    return 0


@app.command()
@_command
def check(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove leftovers of dead runs, and only those.")
    ] = False,
    as_json: Json = False,
) -> int:
    """What this host can do, what that means for each bench, and the remedy."""
    from bench.benches.check import best_bench, check_host, clean_leftovers

    removed = clean_leftovers() if clean else []
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
                }
            )
        )
    else:
        from bench.report.terminal import findings_table

        findings_table(findings)
        for path in removed:
            print(f"removed {path}")
        print(f"best bench here: {name} ({reason})")
    return 0


requirements_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)
app.add_typer(requirements_app, name="requirements")


@requirements_app.callback()
def requirements(
    context: typer.Context,
    device_class: Annotated[
        list[str] | None, typer.Option("--class", help="Only of this device class.")
    ] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Only on this stream.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="Only out of this document, like 000.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only of this kind.")] = None,
    catalogue: CatalogueFiles = None,
    as_json: Json = False,
) -> None:
    """The catalogue: what the documents demand or report, or one entry of it (show ID)."""
    asked = (device_class, stream, source, kind)
    context.obj = {"asked": any(asked), "files": catalogue or [], "as_json": as_json}
    if context.invoked_subcommand is None:
        _list_requirements([tuple(each or ()) for each in asked], catalogue or [], as_json)


@_command
def _list_requirements(asked: list[tuple[str, ...]], files: list[Path], as_json: bool) -> int:
    from bench.report.catalogue import Wanted, entry_json, print_list, select
    from bench.requirements.loader import load_catalogue

    known = load_catalogue(files)
    entries = select(known, Wanted(*asked))
    if as_json:
        print(json.dumps({"requirements": [entry_json(each, known.metrics) for each in entries]}))
    else:
        print_list(known, entries)
    return 0


@requirements_app.command("show")
@_command
def show_requirement(
    context: typer.Context,
    requirement: Annotated[str, typer.Argument(metavar="ID", help="Its id, like REC-1.")],
    catalogue: CatalogueFiles = None,
    as_json: Json = False,
) -> int:
    """One entry in full: source, figure, every reading with its reason, conflicts."""
    from bench.report.catalogue import entry_json, print_entry
    from bench.requirements.loader import load_catalogue

    if context.obj["asked"]:
        problem = "shows one entry: filters have no meaning"
        raise InputError(problem, remedy="leave them out", field="show", value=requirement)
    known = load_catalogue([*context.obj["files"], *(catalogue or ())])
    entry = known.entry(requirement)
    if as_json or context.obj["as_json"]:
        print(json.dumps({"requirements": [entry_json(entry, known.metrics)]}))
    else:
        print_entry(known, entry)
    return 0


def main() -> None:
    """Entry point. SIGTERM ends a command as Ctrl-C does, also where SIGINT came in ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    app()


def _interrupt(number: int, frame: object) -> None:
    """End the command in order, and within 2 s also where that hangs."""
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    _thread.start_new_thread(_end_in_any_case, ())
    raise KeyboardInterrupt


def _end_in_any_case() -> None:
    time.sleep(_END_WITHIN_S)
    os._exit(130)


if __name__ == "__main__":
    main()
