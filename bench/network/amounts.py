"""Durations, laws to draw them from, and magnitudes, as TOML tables of a scenario give them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from bench.errors import InputError
from bench.network.drawn import (
    Between,
    Drawn,
    DrawnChoice,
    DrawnExponential,
    DrawnLognormal,
    DrawnNormal,
    choice,
    shortest_s,
)
from bench.network.effects import Effect
from bench.network.events import Phase
from bench.tables import Table

RELATIVE = ("delay_factor", "delay_shift", "rate_factor")
"""Keys that act on what a link has, whatever that is."""

_MAGNITUDES: Mapping[str, str] = {
    "delay_factor": "delay_factor",
    "delay_shift": "delay_shift_s",
    "rate_factor": "rate_factor",
    "loss": "loss",
    "duplication": "duplication",
}
"""Key in a file to the field of an effect."""


def phase_from(table: Table, phase: Phase) -> Phase:
    """The phase with what the table says instead."""
    table.only((), ("duration", *_MAGNITUDES))
    if "duration" in table.data:
        phase = replace(phase, duration_s=duration_from(table))
    return replace(phase, effect=relative(table, phase.effect, tuple(_MAGNITUDES)))


def relative(table: Table, effect: Effect, keys: tuple[str, ...]) -> Effect:
    """The effect with the magnitudes that the table gives under ``keys``."""
    changes = {_MAGNITUDES[key]: _magnitude(table, key) for key in keys if key in table.data}
    return replace(effect, **changes) if changes else effect  # type: ignore[arg-type]


def _magnitude(table: Table, key: str) -> float | Between:
    """A number, or ``{low = …, high = …}`` to draw it from."""
    if not isinstance(table.data[key], dict):
        return _amount(table, key, key)
    inner = table.table(key).only(("low", "high"))
    low, high = (_amount(inner, edge, key) for edge in ("low", "high"))
    made: Between = placed(table, key, lambda: Between(low, high))
    return made


def _amount(table: Table, key: str, meaning: str) -> float:
    if meaning in ("loss", "duplication"):
        return table.quantity(key, "1")
    value = table.data[key]
    if meaning == "delay_shift":
        sign = -1.0 if isinstance(value, str) and value.strip().startswith("-") else 1.0
        text = value.strip().lstrip("-") if isinstance(value, str) else value
        return sign * Table({key: text}, table.where, table.file).quantity(key, "s")
    if type(value) not in (int, float) or not 0 < cast(float, value) < math.inf:
        table.fail(key, "is not a number above zero", "write a factor without quotes, like 0.5")
    return float(cast(float, value))


def duration_from(table: Table, key: str = "duration") -> float | Drawn:
    """A duration, or a law to draw it from."""
    if not isinstance(table.data.get(key), dict):
        return fixed_s(table, key)
    inner = table.table(key)
    law = inner.choice("law", _LAWS, "uniform")
    must, may, make = _LAWS[law]
    inner.only(must, ("law", *may))
    drawn: Drawn = placed(table, key, lambda: make(inner))
    if not shortest_s(drawn):
        inner.fail("low", "a step cannot last no time", "draw from above zero, like 1ms")
    return drawn


def fixed_s(table: Table, key: str = "duration") -> float:
    """A duration that is not zero, s."""
    value_s = table.quantity(key, "s")
    if not value_s:
        table.fail(key, "lasts no time", "give a duration above zero")
    return value_s


def _bounds(table: Table) -> tuple[float, float]:
    return table.quantity("low", "s"), table.quantity("high", "s")


def _plain_number(table: Table, key: str) -> float:
    value = table.data[key]
    if type(value) not in (int, float):
        table.fail(key, "is not a number", "write it without quotes, like 0.8")
    return float(cast(float, value))


def _choice(table: Table) -> DrawnChoice:
    inner = [
        Table({str(n): value}, table.field("values"), table.file).quantity(str(n), "s")
        for n, value in enumerate(table.texts("values"), 1)
    ]
    weights = table.data.get("weights", [])
    if not isinstance(weights, list) or not all(type(w) in (int, float) for w in weights):
        table.fail("weights", "is not a list of numbers", "write it like [3, 1]")
    return choice(tuple(inner), tuple(float(w) for w in weights))


_Law = tuple[tuple[str, ...], tuple[str, ...], Callable[[Table], Drawn]]

_LAWS: Mapping[str, _Law] = {
    "uniform": (("low", "high"), (), lambda t: Drawn(*_bounds(t))),
    "normal": (
        ("low", "high", "mean", "sigma"),
        (),
        lambda t: DrawnNormal(*_bounds(t), t.quantity("mean", "s"), t.quantity("sigma", "s")),
    ),
    "lognormal": (
        ("low", "high", "median", "sigma"),
        (),
        lambda t: DrawnLognormal(*_bounds(t), t.quantity("median", "s"), _plain_number(t, "sigma")),
    ),
    "exponential": (
        ("low", "high", "mean"),
        (),
        lambda t: DrawnExponential(*_bounds(t), t.quantity("mean", "s")),
    ),
    "choice": (("values",), ("weights",), _choice),
}
"""Law to its keys and what makes it."""


def placed(table: Table, key: str, make: Callable[[], Any]) -> Any:
    """What ``make`` gives; a message of its that knows no file gets this file and field."""
    try:
        return make()
    except InputError as error:
        if error.file == str(table.file):
            raise
        where = f"{error.file}: " if error.file else ""
        raise InputError(
            where + error.problem,
            remedy=error.remedy,
            file=table.file,
            field=table.field(key) + (f" ({error.field})" if error.field else ""),
            value=error.value if error.value is not None else table.data.get(key),
        ) from error
