"""Impairments as TOML tables for people, and as plain JSON values for programs.

A table gives quantities as text with units and may leave out what it does not impair; a plain
value carries every field in SI units and comes back equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, NoReturn, get_args

from bench.errors import InputError
from bench.network.delays import TABLE_SIZE, Delay, DelayLaw, measured
from bench.network.impairment import (
    CLEAN,
    FourState,
    GilbertElliott,
    Impairment,
    LossModel,
    OrderPolicy,
    Reordering,
    Slot,
    bernoulli,
)
from bench.tables import Table
from bench.units import size_bytes

KEYS = (
    "delay", "law", "jitter", "table", "order", "loss", "duplication", "reordering", "ber",
    "rate", "framing", "queue", "slot", "mtu", "up", "hold",
)  # fmt: skip
"""What the table of one impairment may say."""

_MODELS: Mapping[str, type[GilbertElliott] | type[FourState]] = {
    "gilbert-elliott": GilbertElliott,
    "four-state": FourState,
}
_CORRELATION = ("correlation", "correlated")
_REFUSED = tuple(
    f"{prefix}{word}"
    for word in _CORRELATION
    for prefix in ("", "loss_", "delay_", "jitter_", "duplication_", "reordering_")
)
_PACKETS = re.compile(r"^\s*(\d+)\s*(packets?)?\s*$")


def impairment_from(table: Table, base: Impairment = CLEAN) -> Impairment:
    """One impairment from a table with keys of :data:`KEYS`.

    Args:
        table: the table; files that it names lie beside its own.
        base: what holds where the table is silent.

    Raises:
        InputError: an unknown key, a value that cannot be read, or a state that would not be what
            it says; names file, field, value and remedy.
    """
    changes = fields_from(table, base.delay)
    made: Impairment = _within(table, lambda: base.with_(**changes))
    return made


def fields_from(table: Table, before: Delay = CLEAN.delay) -> dict[str, Any]:
    """The fields of an impairment that a table speaks of, and no others.

    Args:
        table: as for :func:`impairment_from`.
        before: the delay whose law holds where the table gives only parts of one.

    Raises:
        InputError: an unknown key, or a value that cannot be read.
    """
    for key in _REFUSED:
        if key in table.data:
            _refuse_correlation(table, key)
    table.only((), KEYS)
    changes: dict[str, Any] = {}
    if {"delay", "law", "jitter", "table"} & set(table.data):
        changes["delay"] = _within(table, lambda: _delay(table, before))
    for key, read in _READERS.items():
        if key in table.data:
            changes |= _within(table, lambda key=key, read=read: read(table, key))  # type: ignore[misc]
    return changes


def _within(table: Table, make: Callable[[], Any]) -> Any:
    """Add the place to what an impairment says, which knows neither file nor table."""
    try:
        return make()
    except InputError as error:
        if error.file is not None:
            raise
        raise InputError(
            error.problem,
            remedy=error.remedy,
            file=table.file,
            field=table.field(error.field or ""),
            value=error.value,
        ) from error


def _refuse_correlation(table: Table, key: str) -> NoReturn:
    table.fail(
        key,
        "correlation is refused: drawn the kernel's way, it changes the ratio itself (1 % with "
        "25 % correlation loses 0.0003 %)",
        'give bursts a model of their own: loss = {model = "gilbert-elliott", …}',
    )


def _refuse_second_word(table: Table, key: str) -> None:
    value = table.data[key]
    if isinstance(value, str) and len(value.split()) > 1 and value.count("%") > 1:
        _refuse_correlation(table, key)


# Delay


def _delay(table: Table, before: Delay) -> Delay:
    law = table.choice("law", get_args(DelayLaw), before.law)
    for key in ("delay", "jitter"):
        value = table.data.get(key)
        if isinstance(value, str) and re.search(r"\d\s*\S+\s+[+-]?\d", value):
            table.fail(key, "is more than one value", "give delay, jitter and law a key each")
    mean_s = table.quantity("delay", "s") if "delay" in table.data else before.mean_s
    spread_s = table.quantity("jitter", "s") if "jitter" in table.data else before.spread_s
    if law == "constant" and "jitter" not in table.data:
        spread_s = 0.0
    if law != "table":
        if "table" in table.data:
            table.fail("table", "belongs to the law table", 'add law = "table"')
        return Delay(mean_s, law, spread_s)  # type: ignore[arg-type]
    if "table" not in table.data:
        if before.law != "table":
            table.fail("table", "is missing", "name a file of measured delays")
        return replace(before, mean_s=mean_s, spread_s=spread_s)
    given = table.data["table"]
    if isinstance(given, list):
        return Delay(mean_s, "table", spread_s, _steps(table, given))
    found = _measured(table, table.file.parent / table.text("table"))
    scale = {"mean_s": mean_s} if "delay" in table.data else {}
    scale |= {"spread_s": spread_s} if "jitter" in table.data else {}
    return replace(found, **scale)  # type: ignore[arg-type]


def _steps(table: Table, given: list[Any]) -> tuple[int, ...]:
    if len(given) != TABLE_SIZE or not all(type(value) is int for value in given):
        table.fail(
            "table",
            f"is not a list of {TABLE_SIZE} whole numbers",
            "use what bench fit wrote, or name a file of measured delays",
        )
    for key in ("delay", "jitter"):
        if key not in table.data:
            table.fail(key, "is missing", "a table of numbers needs its mean and its spread")
    return tuple(given)


def _measured(table: Table, path: Path) -> Delay:
    """The law of a file of measured delays: one with its unit per line, ``#`` for comments."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        table.fail("table", f"cannot be read ({error})", "name a readable file beside this one")
    kept = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    values = [
        Table({"delay": line}, f"line {n}", path).quantity("delay", "s")
        for n, line in kept
        if not line.startswith("#")
    ]
    return measured(values)


# All else: key to the fields of an impairment


def _loss(table: Table, key: str) -> dict[str, Any]:
    if not isinstance(table.data[key], dict):
        _refuse_second_word(table, key)
        ratio = table.quantity(key, "1")
        return {"loss": bernoulli(ratio) if ratio else None}
    inner = table.table(key)
    for word in _CORRELATION:
        if word in inner.data:
            _refuse_correlation(inner, word)
    kind = _MODELS[inner.choice("model", _MODELS, "")] if "model" in inner.data else None
    if kind is None:
        inner.fail("model", "is missing", f"add one of {', '.join(_MODELS)}")
    names = [item.name for item in fields(kind)]
    must = [item.name for item in fields(kind) if item.default is MISSING]
    inner.only(("model", *must), names)
    values = {name: inner.quantity(name, "1") for name in names if name in inner.data}
    return {"loss": kind(**values)}


def _ratio(table: Table, key: str) -> dict[str, Any]:
    _refuse_second_word(table, key)
    return {key: table.quantity(key, "1")}


def _reordering(table: Table, key: str) -> dict[str, Any]:
    if not isinstance(table.data[key], dict):
        _refuse_second_word(table, key)
        ratio = table.quantity(key, "1")
        return {"reordering": Reordering(ratio) if ratio else None}
    inner = table.table(key).only(("ratio",), ("gap",))
    return {"reordering": Reordering(inner.quantity("ratio", "1"), _whole(inner, "gap", 1))}


def _slot(table: Table, key: str) -> dict[str, Any]:
    if not isinstance(table.data[key], dict):
        width_s = table.quantity(key, "s")
        return {"slot": Slot(width_s, width_s)}
    inner = table.table(key).only(("low", "high"), ("packets", "bytes"))
    low_s, high_s = inner.quantity("low", "s"), inner.quantity("high", "s")
    return {"slot": Slot(low_s, high_s, _whole(inner, "packets", 0), _bytes(inner, "bytes", 0))}


def _queue(table: Table, key: str) -> dict[str, Any]:
    value = table.data[key]
    packets = _PACKETS.match(value) if isinstance(value, str) else None
    if packets is not None:
        return {"queue_packets": int(packets.group(1))}
    if type(value) is int:
        return {"queue_packets": value}
    return {"queue_s": table.quantity(key, "s")}


def _whole(table: Table, key: str, default: int) -> int:
    value = table.data.get(key, default)
    if type(value) is not int:
        table.fail(key, "is not a whole number", "write it without quotes, like 5")
    return value


def _bytes(table: Table, key: str, default: int) -> int:
    value = table.data.get(key, default)
    if type(value) is int:
        return value
    return size_bytes(value, field=table.field(key), file=table.file)  # type: ignore[arg-type]


_READERS: Mapping[str, Callable[[Table, str], dict[str, Any]]] = {
    "order": lambda table, key: {"order": table.choice(key, get_args(OrderPolicy))},
    "loss": _loss,
    "duplication": _ratio,
    "reordering": _reordering,
    "ber": _ratio,
    "rate": lambda table, key: {"rate_bps": table.quantity(key, "bit/s")},
    "framing": lambda table, key: {"framing_bytes": _bytes(table, key, 0)},
    "queue": _queue,
    "slot": _slot,
    "mtu": lambda table, key: {"mtu_bytes": _bytes(table, key, 0)},
    "up": lambda table, key: {"up": table.flag(key)},
    "hold": lambda table, key: {"hold": table.flag(key)},
}


# Plain values


def to_plain(impairment: Impairment) -> dict[str, Any]:
    """Every field as JSON values, SI; :func:`from_plain` gives the same impairment back."""
    plain = {item.name: getattr(impairment, item.name) for item in fields(impairment)}
    delay = _record(impairment.delay)
    plain["delay"] = delay | {"table": list(impairment.delay.table)}
    if impairment.loss is not None:
        name = next(name for name, kind in _MODELS.items() if type(impairment.loss) is kind)
        plain["loss"] = {"model": name, **_record(impairment.loss)}
    if impairment.reordering is not None:
        plain["reordering"] = _record(impairment.reordering)
    if impairment.slot is not None:
        plain["slot"] = _record(impairment.slot)
    return plain


def from_plain(plain: object, field: str = "impairment") -> Impairment:
    """The impairment of a plain value; what is left out is as on a clean link.

    Args:
        plain: as :func:`to_plain` gives it.
        field: what it is called in messages.

    Raises:
        InputError: unknown names, values of another kind, or a state that is none.
    """
    given = _object(plain, [item.name for item in fields(Impairment)], field)
    values: dict[str, Any] = {}
    for name, value in given.items():
        place = f"{field}.{name}"
        if name in ("delay", "reordering", "slot", "loss"):
            values[name] = _part(name, value, place)
        else:
            values[name] = _checked(_KINDS[name], value, place)
    try:
        return Impairment(**values)
    except InputError as error:
        raise InputError(
            error.problem,
            remedy=error.remedy,
            field=f"{field}.{error.field}",
            value=error.value,
        ) from error


_KINDS: Mapping[str, str] = {
    "order": "order",
    "rate_bps": "number or null",
    "queue_s": "number",
    "queue_packets": "whole number or null",
    "framing_bytes": "whole number",
    "mtu_bytes": "whole number or null",
    "up": "flag",
    "hold": "flag",
    "duplication": "number",
    "ber": "number",
    "law": "law",
    "table": "list",
    "gap": "whole number",
    "packets": "whole number",
    "bytes": "whole number",
}
"""What a plain value must be, by name; any other is a number."""


def _record(value: Any) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _part(name: str, value: object, place: str) -> Delay | LossModel | Reordering | Slot | None:
    if value is None and name != "delay":
        return None
    kinds: Mapping[str, Any] = {"delay": Delay, "reordering": Reordering, "slot": Slot}
    if name != "loss":
        kind = kinds[name]
    else:
        model = value.get("model") if isinstance(value, dict) else None
        if not isinstance(value, dict) or model not in _MODELS:
            _wrong(f"{place}.model", model, "unknown", f"use one of {', '.join(_MODELS)}")
        value = {key: item for key, item in value.items() if key != "model"}
        kind = _MODELS[str(model)]
    given = _object(value, [item.name for item in fields(kind)], place)
    must = [item.name for item in fields(kind) if item.default is MISSING]
    for key in must:
        if key not in given:
            _wrong(f"{place}.{key}", None, "is missing", "add it")
    values = {
        key: _checked(_KINDS.get(key, "number"), item, f"{place}.{key}")
        for key, item in given.items()
    }
    try:
        made: Delay | LossModel | Reordering | Slot = kind(**values)
    except InputError as error:
        raise InputError(
            error.problem, remedy=error.remedy, field=place, value=error.value
        ) from error
    return made


def _object(value: object, names: list[str], place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _wrong(place, value, "is not an object", "give its fields by name")
    for key in value:
        if key not in names:
            _wrong(f"{place}.{key}", None, "unknown name", f"use {', '.join(names)}")
    return value


def _checked(kind: str, value: object, place: str) -> Any:
    if kind.endswith(" or null"):
        return None if value is None else _checked(kind.removesuffix(" or null"), value, place)
    if kind in ("order", "law"):
        known = get_args(OrderPolicy if kind == "order" else DelayLaw)
        return value if value in known else _wrong(place, value, "unknown", f"use {known}")
    if kind == "flag":
        return value if isinstance(value, bool) else _wrong(place, value, "no flag", "true, false")
    if kind == "list":
        fits = isinstance(value, list) and all(type(item) is int for item in value)
        if not fits:
            _wrong(place, None, "is not a list of whole numbers", "give the table of the law")
        return tuple(value)  # type: ignore[arg-type]
    if kind == "whole number":
        return value if type(value) is int else _wrong(place, value, f"is no {kind}", "give one")
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        _wrong(place, value, "is not a finite number", "give it in SI units")
    return value


def _wrong(place: str, value: object, problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, field=place, value=value)
