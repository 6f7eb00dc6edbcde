"""How much a run may spend and how it decides, from the words of the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from bench.errors import InputError
from bench.judge.assess import CONFIDENCE
from bench.judge.verdict import ChosenRule
from bench.units import duration_s

_LOWEST, _HIGHEST = 0.5, 0.9999


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a run may spend. ``budget_s``: all sessions together; ``None``: quick or full."""

    full: bool = False
    budget_s: float | None = None
    confidence: float = CONFIDENCE


def read_effort(full: bool, budget: str | None, confidence: str | None) -> Effort:
    """The effort that options name.

    Args:
        full: ``--full``.
        budget: ``--budget``, like ``2h``.
        confidence: ``--confidence``, like ``0.95``.

    Raises:
        InputError: no time, no confidence, or a budget beside ``--full``.
    """
    if full and budget is not None:
        raise InputError(
            "cannot be combined with --full", remedy="leave one of the two out", field="--budget"
        )
    seconds = None if budget is None else duration_s(budget, field="--budget")
    if seconds == 0:
        raise InputError(
            "leaves no time", remedy="give some, like 2h", field="--budget", value=budget
        )
    return Effort(full, seconds, CONFIDENCE if confidence is None else _confidence(confidence))


def _confidence(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _LOWEST <= value <= _HIGHEST:
        raise InputError(
            f"is not a ratio from {_LOWEST} to {_HIGHEST}",
            remedy="give one, like 0.95",
            field="--confidence",
            value=text,
        )
    return value


def read_rule(text: str | None) -> ChosenRule | None:
    """The decision rule that ``--rule`` names; ``None``: each requirement's own.

    Raises:
        InputError: there is no such rule, or it cannot be chosen.
    """
    if text is None or text in get_args(ChosenRule):
        return cast(ChosenRule | None, text)
    raise InputError(
        "cannot be chosen for a run",
        remedy=f"use one of {', '.join(get_args(ChosenRule))}",
        field="--rule",
        value=text,
    )
