"""Frozen dataclasses to plain JSON data and back, strictly.

Covers what the models use: dataclasses, tuples, lists, mappings with text keys, literals, enums,
optionals, unions and scalars. JSON has no infinite or missing floats: they are written as the
texts ``Infinity``, ``-Infinity`` and ``NaN``, which are read back as floats wherever a float may
stand. Where a model says only ``Any`` or ``object``, tuples come back as lists.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from bench.errors import InputError

T = TypeVar("T")

_SPECIAL = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
_PLAIN = frozenset({str, int, bool, type(None)})
_REMEDY = "take the file from an undamaged run"
_KINDS = {bool: "true or false", int: "a whole number", str: "text", type(None): "null"}


def to_json(value: Any) -> Any:
    """Plain JSON data for a model, or for data that holds models.

    Raises:
        TypeError: a kind of value that JSON cannot carry, or a key that is not text.

    """
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return _float(value)
    if kind is list or kind is tuple:  # most of what a session holds
        return [item if type(item) in _PLAIN else to_json(item) for item in value]
    if kind is dict:
        return {_key(key): to_json(item) for key, item in value.items()}
    names = _names(kind)
    if names is not None:
        return {name: to_json(getattr(value, name)) for name in names}
    return _unusual(value)


@cache
def _names(kind: Any) -> tuple[str, ...] | None:
    """The names of a model's fields; ``None`` where it is no model."""
    if issubclass(kind, Enum) or not dataclasses.is_dataclass(kind):
        return None
    return tuple(field.name for field in dataclasses.fields(kind))


def _unusual(value: Any) -> Any:
    """What is derived from a plain kind, or stands for one."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {_key(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    raise TypeError(f"{type(value).__name__} is not plain JSON data: {value!r}")


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key is not text: {key!r}")
    return key


def from_json(model: type[T], data: Any, *, file: object, field: str = "") -> T:
    """The model (or any type that the codec covers) that ``data`` stands for.

    Raises:
        InputError: unknown or missing keys, or a value of another kind; names file and field.

    """
    kind: Any = model
    value: T = _reader(kind)(data, _Place(file, field))
    return value


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in which file a value stands, for error messages."""

    file: object
    field: str

    def key(self, key: str) -> _Place:
        return _Place(self.file, f"{self.field}.{key}" if self.field else key)

    def item(self, index: int) -> _Place:
        return _Place(self.file, f"{self.field}[{index}]")

    def bad(self, problem: str, value: Any = None, remedy: str = _REMEDY) -> NoReturn:
        shown = None if isinstance(value, dict | list) else value
        raise InputError(
            problem, remedy=remedy, file=self.file, field=self.field or None, value=shown
        )


_Reader = Callable[[Any, _Place], Any]


@cache
def _reader(kind: Any) -> _Reader:
    """How values of ``kind`` are read. Found once per kind: a run holds many values of few."""
    origin, args = get_origin(kind), get_args(kind)
    if kind in (Any, object):
        return _revive
    if dataclasses.is_dataclass(kind):
        return lambda data, place: _dataclass(kind, data, place)
    if origin is Literal:
        return lambda data, place: _literal(args, data, place)
    if origin in (Union, types.UnionType):
        return lambda data, place: _union(args, data, place)
    if origin is tuple:
        return lambda data, place: _tuple(args, data, place)
    if origin is list:
        return lambda data, place: list(_tuple((args[0], ...), data, place))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return lambda data, place: _mapping(args[1], data, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda data, place: _literal(tuple(kind), data, place)
    if kind is float:
        return _number
    if kind in _KINDS:
        return lambda data, place: _scalar(kind, data, place)
    raise TypeError(f"the codec does not cover {kind!r}")


def _revive(data: Any, place: _Place) -> Any:
    if isinstance(data, str):
        return _SPECIAL.get(data, data)
    if isinstance(data, list):
        return [_revive(item, place) for item in data]
    if isinstance(data, dict):
        return {key: _revive(item, place) for key, item in data.items()}
    return data


def _number(data: Any, place: _Place) -> float:
    if isinstance(data, str) and data in _SPECIAL:
        return _SPECIAL[data]
    # A whole number stays an int: the device's fingerprint is made from what was written.
    if isinstance(data, int | float) and not isinstance(data, bool):
        return data
    place.bad("is not a number", data)


def _scalar(kind: type, data: Any, place: _Place) -> Any:
    if type(data) is not kind:
        place.bad(f"is not {_KINDS[kind]}", data)
    return data


def _literal(known: tuple[Any, ...], data: Any, place: _Place) -> Any:
    for value in known:
        plain = value.value if isinstance(value, Enum) else value
        if type(plain) is type(data) and plain == data:
            return value
    words = ", ".join(str(v.value if isinstance(v, Enum) else v) for v in known)
    place.bad("is unknown", data, f"use one of {words}")


def _union(kinds: tuple[Any, ...], data: Any, place: _Place) -> Any:
    problem: InputError | None = None
    for kind in kinds:
        try:
            return _reader(kind)(data, place)
        except InputError as error:
            if kind is not type(None):  # "is not null" helps nobody
                problem = problem or error
    assert problem is not None, "a union of nothing but None"
    raise problem


def _tuple(kinds: tuple[Any, ...], data: Any, place: _Place) -> tuple[Any, ...]:
    if not isinstance(data, list):
        place.bad("is not a list", data)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(data)
    if len(kinds) != len(data):
        place.bad(f"has {len(data)} items instead of {len(kinds)}")
    return tuple(
        _reader(kind)(item, place.item(i))
        for i, (kind, item) in enumerate(zip(kinds, data, strict=True))
    )


def _mapping(kind: Any, data: Any, place: _Place) -> dict[str, Any]:
    if not isinstance(data, dict):
        place.bad("is not an object", data)
    reader = _reader(kind)
    return {key: reader(item, place.key(key)) for key, item in data.items()}


@cache
def _fields(model: Any) -> tuple[dict[str, _Reader], frozenset[str]]:
    """The readers of a model's fields, and the names of those without a default."""
    hints = get_type_hints(model)
    fields = dataclasses.fields(model)
    required = frozenset(
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    return {f.name: _reader(hints[f.name]) for f in fields}, required


def _dataclass(model: Any, data: Any, place: _Place) -> Any:
    if not isinstance(data, dict):
        place.bad("is not an object", data)
    readers, required = _fields(model)
    for key in data.keys() - readers.keys():
        close = difflib.get_close_matches(key, readers, 1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(readers)}"
        place.key(key).bad("unknown key", remedy=hint)
    for name in sorted(required - data.keys()):
        place.key(name).bad("is missing")
    values = {key: readers[key](item, place.key(key)) for key, item in data.items()}
    try:
        return model(**values)
    except InputError as error:  # the model itself refused; add where
        inner = place.key(error.field) if error.field else place
        inner.bad(error.problem, error.value, error.remedy)
