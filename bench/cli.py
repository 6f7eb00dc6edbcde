"""The ``bench`` command."""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time

import typer

from bench.commands import captures, certify, emulate, host, library, probe, prove, runs, simulate

app = typer.Typer(
    name="bench",
    help="Test bench for remote medical devices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_END_WITHIN_S = 1.7
_SAFE_WITHIN_S, _LOOK_S = 30.0, 0.1
"""With instruments in hand the end waits until they are safe: RF off comes first."""

for name, function in (
    ("run", runs.run_),
    ("plan", runs.plan_),
    ("verify", runs.verify),
    ("judge", runs.judge),
    ("coverage", runs.coverage),
    ("compare", runs.compare),
    ("prove", prove.prove),
    ("report", runs.report),
    ("profiles", library.profiles),
    ("emulate", emulate.emulate),
    ("certify-emulator", certify.certify_emulator),
    ("analyse", captures.analyse),
    ("fit", captures.fit),
    ("check", host.check),
):
    app.command(name)(function)
app.add_typer(library.requirements_app, name="requirements")
app.add_typer(probe.probe_app, name="probe")
app.add_typer(simulate.simulate_app, name="simulate")


def main() -> None:
    """Entry point. SIGTERM ends a command as Ctrl-C does, also where SIGINT came in ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    app()


def _interrupt(number: int, frame: object) -> None:
    """End the command in order, and also where that hangs: in 2 s, once instruments are safe."""
    for again in (signal.SIGINT, signal.SIGTERM):
        signal.signal(again, signal.SIG_IGN)
    _thread.start_new_thread(_end_in_any_case, ())
    raise KeyboardInterrupt


def _end_in_any_case() -> None:
    time.sleep(_END_WITHIN_S)
    until = time.monotonic() + _SAFE_WITHIN_S
    while _instruments_held() and time.monotonic() < until:
        time.sleep(_LOOK_S)
    os._exit(130)


def _instruments_held() -> bool:
    """Whether instruments are on their way to the safe state; not imported: nobody has them."""
    safety = sys.modules.get("instruments.safety")
    return safety is not None and bool(safety.entered())


if __name__ == "__main__":
    main()
