"""``bench emulate`` as typer sees it: the options, and what they start."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.shared import command
from bench.errors import InputError

_Text = str | None


@command
def emulate(
    left: Annotated[_Text, typer.Option(metavar="IFACE", help="Patient side.")] = None,
    right: Annotated[_Text, typer.Option(metavar="IFACE", help="Doctor side.")] = None,
    bench_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A lab bench that names both instead.")
    ] = None,
    link: Annotated[
        _Text, typer.Option(metavar="NAME", help="Which link of bench file and scenario.")
    ] = None,
    delay: Annotated[_Text, typer.Option(metavar="TIME", help="One way, like 20ms.")] = None,
    jitter: Annotated[
        _Text, typer.Option(metavar="TIME", help="Half width (uniform) or spread, like 2ms.")
    ] = None,
    distribution: Annotated[
        _Text, typer.Option(metavar="LAW", help="uniform, normal, pareto or paretonormal.")
    ] = None,
    order: Annotated[_Text, typer.Option(help="preserve or allow overtaking.")] = None,
    loss: Annotated[_Text, typer.Option(metavar="RATIO", help="Independent, like 0.1%.")] = None,
    loss_model: Annotated[
        _Text,
        typer.Option(
            metavar="MODEL",
            help='In bursts: "gilbert-elliott 1% 25% [LOSS-BAD [LOSS-GOOD]]", '
            '"four-state P13 P31 [P32 [P23 [P14]]]".',
        ),
    ] = None,
    duplicate: Annotated[_Text, typer.Option(metavar="RATIO", help="Sent twice.")] = None,
    reorder: Annotated[_Text, typer.Option(metavar="RATIO", help="Skip the delay.")] = None,
    ber: Annotated[_Text, typer.Option(metavar="RATIO", help="Bit errors, like 1e-7.")] = None,
    rate: Annotated[_Text, typer.Option(metavar="RATE", help="Like 100mbit.")] = None,
    queue: Annotated[
        _Text, typer.Option(metavar="TIME|N", help="For the rate: 50ms, or 100 packets.")
    ] = None,
    slot: Annotated[
        _Text, typer.Option(metavar="TIME[-TIME]", help="Scheduled access: 5ms-10ms.")
    ] = None,
    mtu: Annotated[
        _Text, typer.Option(metavar="BYTES", help="Longer IP packets vanish: 1280.")
    ] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Let nothing go.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Drop everything.")] = False,
    profile: Annotated[_Text, typer.Option(metavar="NAME|FILE", help="A link profile.")] = None,
    scenario: Annotated[_Text, typer.Option(metavar="NAME|FILE", help="A timeline.")] = None,
    direction: Annotated[
        str, typer.Option(help="both, left-to-right or right-to-left; the other stays clean.")
    ] = "both",
    backend: Annotated[str, typer.Option(help="auto, netem or userspace.")] = "auto",
    seed: Annotated[str, typer.Option(help="Seed of every draw.")] = "7",
    control: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Where to make the control socket.")
    ] = None,
    force: Annotated[
        list[str] | None,
        typer.Option(metavar="IFACE", help="Though it carries the default route or is in use."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")] = False,
) -> int:
    """Join two interfaces through the network emulator until interrupted."""
    if sys.platform != "linux":
        raise InputError(
            f"{sys.platform} has no packet sockets and network namespaces",
            remedy="run it on Linux",
            field="emulate",
        )
    from bench.report.emulate import Display, JsonLines
    from bench.studies.emulate import run_emulation
    from bench.studies.emulate_words import (
        Asked,
        Words,
        changes_of,
        interfaces_of,
        read_backend,
        read_seed,
    )
    from instruments.emulators.base import EmulatorError

    words = Words(
        delay, jitter, distribution, order, loss, loss_model, duplicate, reorder, ber, rate,
        queue, slot, mtu, hold, down,
    )  # fmt: skip
    number = read_seed(seed)
    changes, schedule, link = changes_of(words, profile, scenario, direction, number, link)
    left, right = interfaces_of(left, right, bench_file, link)
    asked = Asked(
        left=left,
        right=right,
        changes=changes,
        seed=number,
        backend=read_backend(backend),
        force=tuple(force or ()),
        link=link or "primary",
        end_ns=None if schedule is None else schedule.end_ns,
        profile=profile,
        scenario=scenario,
        draws={} if schedule is None else dict(schedule.draws),
        control=control,
    )
    try:
        with JsonLines() if as_json else Display() as watcher:
            return run_emulation(asked, watcher)
    except EmulatorError as error:
        print(f"bench: the bench's own fault: {error}", file=sys.stderr)
        return 4
