"""What the bench knows: the catalogue, link profiles, events and scenarios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shared import CatalogueFiles, Json, command
from bench.errors import InputError


@command
def profiles(as_json: Json = False) -> int:
    """The library of link profiles, events and scenarios, with their sources."""
    from bench.network.events import EVENTS
    from bench.network.library import SCENARIOS
    from bench.network.profiles import load_profiles
    from bench.report.profiles import library_json, print_profiles

    known, scenarios = load_profiles(), [make() for make in SCENARIOS.values()]
    if as_json:
        print(json.dumps(library_json(known, scenarios, EVENTS.values())))
    else:
        print_profiles(known, scenarios, EVENTS.values())
    return 0


requirements_app = typer.Typer(invoke_without_command=True, pretty_exceptions_enable=False)


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


@command
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
@command
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
