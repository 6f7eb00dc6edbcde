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
    full: Annotated[bool, typer.Option("--full/--quick", help="59 trials, or 1.")] = False,
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
            display="json" if as_json else "live",
        )
    )


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
