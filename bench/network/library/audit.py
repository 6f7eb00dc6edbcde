"""What a device's log is to show: faults that it records, an operation, troubles of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain

from bench.network.attacks import Attack
from bench.network.impairment import Delay, bernoulli
from bench.network.library.parts import changed, only, settle, usual_links
from bench.network.scenario import Action, LinkState, Scenario, Segment, Side, Step

_SIDES: tuple[Side, ...] = ("doctor", "patient")
_LOSS = 0.2
_DELAY_S = 0.4
"""Far beyond what any device of the catalogue takes for normal."""


def _both(step: str, after_s: float, name: str) -> tuple[Action, ...]:
    """The same done at both sides."""
    return tuple(Action(step, after_s, side, name) for side in _SIDES)


def _good(links: Mapping[str, LinkState], name: str, seconds: float) -> Step:
    """Nothing is wrong; not judged."""
    return Step(name, "hold", "within", (Segment(name, seconds, links),), judged=False)


def _fault(kind: str, name: str, seconds: float, links: Mapping[str, LinkState]) -> Step:
    return Step(name, kind, "beyond", (Segment(name, seconds, links),))


def _rise(links: Mapping[str, LinkState], rise_s: float, top_s: float) -> Step:
    high = changed(links, delay=Delay(_DELAY_S, "uniform", 0.0003))
    return Step(
        "delay", "ramp", "beyond",
        (Segment("rise", rise_s, high, ramp=True), Segment("top", top_s, high)),
    )  # fmt: skip


def logged_faults() -> Scenario:
    """An outage, losses and a long delay, each to be found in the log; the clock is read."""
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    lossy = changed(links, loss=bernoulli(_LOSS))
    return Scenario(
        "logged-faults",
        "Three network faults that the log is to hold",
        (
            settle(links),
            _fault("outage", "outage", 1.0, down),
            _good(links, "after-outage", 2.5),
            _fault("loss", "loss", 1.5, lossy),
            _good(links, "after-loss", 2.0),
            _rise(links, 1.5, 0.8),
            _good(links, "end", 2.0),
        ),
        actions=(
            *_both("settle", 0.5, "read-clock"),
            *_both("after-outage", 1.0, "read-clock"),
            *_both("after-loss", 1.0, "read-clock"),
            *_both("end", 1.4, "read-clock"),
            *_both("end", 1.5, "export-log"),
        ),
    )


def operation() -> Scenario:
    """An operation from signing in to signing out: commands, local stop, outage, losses.

    A device that watches a patient has one to alarm on.
    """
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    lossy = changed(links, loss=bernoulli(_LOSS))
    return Scenario(
        "operation",
        "An operation with network trouble, and its audit afterwards",
        (
            settle(links, 2.5),
            _fault("outage", "outage", 1.0, down),
            _good(links, "after-outage", 3.0),
            _fault("loss", "loss", 1.5, lossy),
            _good(links, "after-loss", 3.5),
            _good(links, "closing", 2.0),
        ),
        actions=(
            *_both("settle", 0.2, "read-clock"),
            Action("settle", 0.3, "doctor", "sign-in:surgeon"),
            Action("settle", 0.3, "patient", "sign-in:nurse"),
            *_both("settle", 1.2, "procedure-start:P-17"),
            *_both("after-outage", 1.0, "read-clock"),
            Action("after-outage", 1.2, "patient", "patient-alarm"),
            Action("after-outage", 2.2, "patient", "patient-well"),
            Action("after-loss", 2.2, "patient", "local-stop"),
            Action("after-loss", 2.6, "patient", "local-release"),
            *_both("after-loss", 1.0, "read-clock"),
            *_both("closing", 0.2, "procedure-end:P-17"),
            Action("closing", 0.6, "doctor", "sign-out:surgeon"),
            Action("closing", 0.6, "patient", "sign-out:nurse"),
            *_both("closing", 1.0, "read-clock"),
            *_both("closing", 1.2, "export-log"),
        ),
    )


def attacked_operation() -> Scenario:
    """An operation with an outage, in which a stranger wants in and commands are made up."""
    links = usual_links()
    down = changed(only(links, "primary"), up=False)
    foreign, made_up = Attack("connect", "foreign"), Attack("inject", count=30, rate_per_s=30.0)
    return Scenario(
        "attacked-operation",
        "An operation under attack, and its audit afterwards",
        (
            settle(links, 2.5),
            _fault("outage", "outage", 1.0, down),
            _good(links, "after-outage", 3.0),
            _good(links, "attacks", 4.5),
            _good(links, "closing", 2.0),
        ),
        actions=(
            *_both("settle", 0.2, "read-clock"),
            Action("settle", 0.3, "doctor", "sign-in:surgeon"),
            Action("settle", 0.3, "patient", "sign-in:nurse"),
            *_both("settle", 1.2, "procedure-start:P-20"),
            foreign.action("attacks", 0.2),
            made_up.action("attacks", 1.2),
            *_both("attacks", 0.1, "read-clock"),
            *_both("attacks", 4.0, "read-clock"),
            *_both("closing", 0.2, "procedure-end:P-20"),
            Action("closing", 0.6, "doctor", "sign-out:surgeon"),
            Action("closing", 0.6, "patient", "sign-out:nurse"),
            *_both("closing", 1.0, "read-clock"),
            *_both("closing", 1.2, "export-log"),
        ),
    )


_EDITS = ("change", "delete", "swap", "rewrite")
_CYCLE_S = 0.5
_DARK_S = 0.1
"""How long a side that has a power switch is without power."""


def log_survival() -> Scenario:
    """The power is cut just after an entry, the stored log is edited, its medium fills up."""
    links = usual_links()
    edits = chain.from_iterable(
        (
            *_both("edits", number * _CYCLE_S, f"edit-log:{how}"),
            *_both("edits", number * _CYCLE_S + 0.1, "export-log"),
            *_both("edits", number * _CYCLE_S + 0.2, "restore-log"),
            *_both("edits", number * _CYCLE_S + 0.3, "export-log"),
        )
        for number, how in enumerate(_EDITS)
    )
    return Scenario(
        "log-survival",
        "The log under power cut, edits and a full medium",
        (
            settle(links),
            _good(links, "power", 1.0),
            _good(links, "edits", len(_EDITS) * _CYCLE_S),
            _good(links, "full", 1.5),
        ),
        actions=(
            *_both("settle", 1.0, "sign-in:first"),
            *_both("settle", 1.5, "procedure-start:P-18"),
            *_both("power", 0.1, "export-log"),
            *_both("power", 0.4, "sign-in:second"),
            *_both("power", 0.45, "procedure-start:P-19"),
            *_both("power", 0.5, f"power-cut:{_DARK_S:g}s"),
            *_both("power", 0.7, "export-log"),
            *edits,
            *_both("full", 0.1, "disk-full"),
            *_both("full", 0.3, "sign-out:second"),
            *_both("full", 0.5, "procedure-end:P-19"),
            *_both("full", 1.2, "export-log"),
        ),
    )


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "logged-faults": logged_faults,
    "operation": operation,
    "attacked-operation": attacked_operation,
    "log-survival": log_survival,
}
