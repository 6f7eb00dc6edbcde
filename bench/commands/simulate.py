"""``bench simulate`` as typer sees it: one simulated instrument, or a whole laboratory."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.shared import command
from bench.errors import InputError

if TYPE_CHECKING:
    from bench.network.radio.world import World
    from instruments.simulators.lab import Described, Reachable

_JsonLines = Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")]
_Strict = Annotated[
    bool, typer.Option("--strict", help="What is not understood ends the connection, and is told.")
]

simulate_app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Simulated instruments on real sockets.",
)


@simulate_app.command()
@command
def instrument(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="signal-generator, spectrum-analyser, attenuator, switch, radio-tester, "
            "power-supply, oscilloscope or modem.",
        ),
    ],
    port: Annotated[int, typer.Option(metavar="N", help="TCP port; 0: a free one.")] = 0,
    dialect: Annotated[
        str | None, typer.Option(metavar="NAME", help="Like mxg; else the kind's usual one.")
    ] = None,
    world: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Emitters and paths around it.")
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE][@COMMAND][xCOUNT]", help="See docs.")
    ] = None,
    strict: _Strict = False,
    as_json: _JsonLines = False,
) -> int:
    """Serve one instrument until interrupted."""
    from bench.network.radio.world import World
    from bench.network.radio.world_files import read_world
    from instruments.simulators.faults import read_fault
    from instruments.simulators.kinds import kind_of
    from instruments.simulators.lab import Described

    kind_of(kind)
    if not 0 <= port <= 65535:
        raise InputError(
            "is no TCP port", remedy="give 0 (a free one) to 65535", field="--port", value=port
        )
    faults = tuple(read_fault(text) for text in fault or ())
    around = World() if world is None else read_world(world)
    return _serve({kind: Described(kind, dialect, port, faults)}, around, strict, as_json, kind)


@simulate_app.command()
@command
def lab(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A laboratory in TOML.")],
    strict: _Strict = False,
    as_json: _JsonLines = False,
) -> int:
    """Serve a whole laboratory until interrupted."""
    from bench.studies.simulated_lab import read_lab

    world, described = read_lab(file)
    return _serve(described, world, strict, as_json, None)


def _serve(
    described: Mapping[str, Described],
    world: World,
    strict: bool,
    as_json: bool,
    only: str | None,
) -> int:
    """Serve; ``only``: the one instrument whose resource the ready line names."""
    from instruments.simulators.lab import Lab, serve_for_ever, strangers

    def tell(event: dict[str, object]) -> None:
        if as_json:
            print(json.dumps(event), flush=True)
        else:
            print(f"refused ({event['role']}): {event['message']}", file=sys.stderr, flush=True)

    def ready(reachable: Mapping[str, Reachable]) -> None:
        print(_ready(reachable, strangers(world, described), only, as_json), flush=True)

    laboratory = Lab(described, world, strict=strict, tell=tell)
    asyncio.run(serve_for_ever(laboratory, ready))
    return 0


def _ready(
    reachable: Mapping[str, Reachable], absent: list[str], only: str | None, as_json: bool
) -> str:
    if not as_json:
        lines = [f"{role}: {entry.url or entry.resource}" for role, entry in reachable.items()]
        return "\n".join([*lines, "simulated; Ctrl-C ends it"])
    event: dict[str, object] = {"event": "ready"}
    if only is None:
        event["resources"] = {role: entry.resource for role, entry in reachable.items()}
        event["instruments"] = {role: asdict(entry) for role, entry in reachable.items()}
    else:
        event |= {**asdict(reachable[only]), "absent": absent}
    return json.dumps(event)
