"""``bench prove``: that the bench fails faulty devices, and no healthy one."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bench.commands.shared import Json, command


@command
def prove(
    plan: Annotated[
        list[str] | None, typer.Option(help="Only by these plans, and the defects that they judge.")
    ] = None,
    defect: Annotated[
        list[str] | None, typer.Option(help="Only this defect: NAME[=SIZE] or FILE.py:NAME[=SIZE].")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these devices, and what is judged on them: NAME, FILE.toml, FILE.py:NAME."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds per defect and healthy device.")] = 10,
    healthy: Annotated[
        int | None, typer.Option(help="Seeds per healthy device, if not as many.")
    ] = None,
    every_device: Annotated[
        bool, typer.Option("--every-device", help="Each defect on every device that can have it.")
    ] = False,
    find_size: Annotated[
        bool, typer.Option("--find-size", help="The size from which detection is certain.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Faulty and healthy devices over many seeds: every defect caught, and no other FAIL."""
    from bench.report.prove import Lines, print_proved
    from bench.studies.prove import to_json
    from bench.studies.prove_run import Hands, Wish, prove

    wish = Wish(
        plans=tuple(plan or ()),
        devices=tuple(device or ()),
        defects=tuple(defect or ()),
        seeds=seeds,
        healthy_seeds=healthy,
        everywhere=every_device,
        find_size=find_size,
    )
    with Lines() as watch, Hands(watch=watch) as hands:
        proved = prove(wish, hands)
    if as_json:
        print(json.dumps(to_json(proved)))
    else:
        print_proved(proved)
    return 0 if proved.ok else 1
