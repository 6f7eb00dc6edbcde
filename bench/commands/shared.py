"""What every subcommand shares: options, and from what it raises to its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.errors import InputError
from bench.neighbours import check_neighbours

Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, nothing else.")]
CatalogueFiles = Annotated[
    list[Path] | None, typer.Option("--catalogue", metavar="FILE", help="Also this catalogue.")
]
Full = Annotated[bool, typer.Option("--full/--quick", help="59 trials, or 1.")]
Budget = Annotated[str | None, typer.Option(metavar="TIME", help="What fits into it, like 2h.")]
Confidence = Annotated[str | None, typer.Option(metavar="C", help="Of the bounds, default 0.95.")]
Plans = Annotated[
    list[str],
    typer.Argument(
        metavar="PLAN…",
        help="Plans: folders below testplans, paths, or all that ask something of the device.",
    ),
]
RunFolderArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def command(function: Callable[..., int]) -> Callable[..., None]:
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
