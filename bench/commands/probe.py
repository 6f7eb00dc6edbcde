"""``bench probe`` as typer sees it: ``send HOST`` (also without the word) and ``reflect``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from bench.commands.shared import command
from bench.errors import InputError

_Text = str | None
_JsonLines = Annotated[bool, typer.Option("--json", help="JSON lines on stdout.")]
_Port = Annotated[int, typer.Option(metavar="PORT", help="UDP port of the reflector.")]
_Timestamps = Annotated[str, typer.Option(help="On the wire: ntp or ptp.")]
_KeyFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Authenticated: a file with a key in hex.")
]


class _SendUnlessSaid(TyperGroup):
    """``bench probe HOST …`` is ``bench probe send HOST …``."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["send", *args]
        return super().parse_args(ctx, args)


probe_app = typer.Typer(
    cls=_SendUnlessSaid,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure a path with STAMP (RFC 8762): HOST, or reflect to be measured.",
)


@probe_app.command()
@command
def send(
    host: Annotated[str, typer.Argument(metavar="HOST", help="Where a reflector runs.")],
    port: _Port = 862,
    count: Annotated[int | None, typer.Option(metavar="N", help="Packets, default 100.")] = None,
    duration: Annotated[_Text, typer.Option(metavar="TIME", help="Instead of a count.")] = None,
    rate: Annotated[_Text, typer.Option(metavar="RATE", help="Like 50/s.")] = None,
    interval: Annotated[_Text, typer.Option(metavar="TIME", help="Default 100ms.")] = None,
    poisson: Annotated[bool, typer.Option("--poisson", help="At random times.")] = False,
    size: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Of UDP payload: 44, or 48 and more.")
    ] = None,
    wait: Annotated[str, typer.Option(metavar="TIME", help="For an answer.")] = "2s",
    seed: Annotated[int, typer.Option(metavar="N", help="Of everything drawn.")] = 7,
    reflector: Annotated[
        str, typer.Option(metavar="KIND", help="auto, stateful or stateless.")
    ] = "auto",
    timestamps: _Timestamps = "ntp",
    key_file: _KeyFile = None,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The packets, one row each.")
    ] = None,
    as_json: _JsonLines = False,
) -> int:
    """Send test packets to a reflector: round trip, loss and variation of both directions."""
    _linux()
    from bench.report.probe import Display, Lines
    from bench.studies.probe import run_sender
    from bench.studies.probe_words import SendWords, read_sending

    words = SendWords(
        host, port, count, duration, rate, interval, poisson, size, wait, seed, reflector,
        timestamps, key_file,
    )  # fmt: skip
    sending, watcher = read_sending(words), Lines() if as_json else Display()
    if parquet is None:
        return run_sender(sending, watcher)
    from bench.studies.probe_table import check_place, write_packets

    check_place(parquet)
    return run_sender(sending, watcher, partial(write_packets, parquet))


@probe_app.command()
@command
def reflect(
    address: Annotated[
        _Text, typer.Option(metavar="ADDRESS", help="Where to listen; everywhere by default.")
    ] = None,
    port: Annotated[int, typer.Option(metavar="PORT", help="UDP port; 0: a free one.")] = 862,
    stateful: Annotated[
        bool, typer.Option("--stateful/--stateless", help="Number the answers of each session.")
    ] = True,
    duration: Annotated[
        _Text, typer.Option(metavar="TIME", help="End after it; else when interrupted.")
    ] = None,
    timestamps: _Timestamps = "ntp",
    key_file: _KeyFile = None,
    as_json: _JsonLines = False,
) -> int:
    """Send the test packets of others back, until interrupted."""
    _linux()
    from bench.report.probe import Display, Lines
    from bench.studies.probe import run_reflector
    from bench.studies.probe_words import read_key, read_port, read_timestamps
    from bench.units import duration_s

    for_s = None if duration is None else duration_s(duration, field="--duration")
    return run_reflector(
        address,
        read_port(port, least=0),
        stateful=stateful,
        watcher=Lines() if as_json else Display(),
        ptp=read_timestamps(timestamps),
        key=read_key(key_file),
        for_s=for_s,
    )


def _linux() -> None:
    if sys.platform != "linux":
        raise InputError(
            f"{sys.platform} has no timestamps of the kernel as this uses them",
            remedy="run it on Linux",
            field="probe",
        )
