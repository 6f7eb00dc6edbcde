"""Frozen dataclasses to plain JSON data and back, strictly.

Covers what the models use: dataclasses, tuples, mappings, literals, enums, optionals and plain
scalars. Infinite and missing floats are written as text, because JSON has none.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.errors import InputError

T = TypeVar("T")

_SPECIAL = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(value: Any) -> Any:
    """Plain JSON data for a model."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | frozenset | set):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


@cache
def _hints(model: type) -> dict[str, Any]:
    return get_type_hints(model)


def from_json(model: type[T], data: Any, *, file: object, field: str = "") -> T:
    """The model that ``data`` stands for.

    Raises:
        InputError: unknown or missing keys, or a value of another type; names file and field.
    """
    return _read(model, data, file, field)  # type: ignore[no-any-return]


def _read(kind: Any, data: Any, file: object, field: str) -> Any:
    if kind is Any:
        return data
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, data, file, field)
    origin = get_origin(kind)
    if origin is Literal:
        if data not in get_args(kind):
            _bad(data, f"is not one of {get_args(kind)}", file, field)
        return data
    if origin in (Union, types.UnionType):
        return _union(kind, data, file, field)
    if origin is tuple:
        return _tuple(kind, data, file, field)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, dict):
            _bad(data, "is not an object", file, field)
        value_kind = get_args(kind)[1]
        return {k: _read(value_kind, v, file, f"{field}.{k}") for k, v in data.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    if kind is float and data in _SPECIAL:
        return _SPECIAL[data]
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        _bad(data, f"is not {getattr(kind, '__name__', kind)}", file, field)
    return data


def _dataclass(kind: Any, data: Any, file: object, field: str) -> Any:
    if not isinstance(data, dict):
        _bad(data, "is not an object", file, field)
    hints = _hints(kind)
    for key in data:
        if key not in hints:
            _bad(None, "unknown key", file, f"{field}.{key}")
    values = {k: _read(hints[k], v, file, f"{field}.{k}".lstrip(".")) for k, v in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(
            f"is incomplete: {error}",
            remedy="take the file from an undamaged run",
            file=file,
            field=field,
        ) from error


def _union(kind: Any, data: Any, file: object, field: str) -> Any:
    kinds = get_args(kind)
    if data is None and type(None) in kinds:
        return None
    rest = [k for k in kinds if k is not type(None)]
    for candidate in rest[:-1]:
        try:
            return _read(candidate, data, file, field)
        except InputError:
            continue
    return _read(rest[-1], data, file, field)


def _tuple(kind: Any, data: Any, file: object, field: str) -> Any:
    if not isinstance(data, list):
        _bad(data, "is not a list", file, field)
    kinds = get_args(kind)
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_read(kinds[0], v, file, f"{field}[{i}]") for i, v in enumerate(data))
    if len(kinds) != len(data):
        _bad(data, f"does not have {len(kinds)} items", file, field)
    pairs = zip(kinds, data, strict=True)
    return tuple(_read(k, v, file, f"{field}[{i}]") for i, (k, v) in enumerate(pairs))


def _bad(value: Any, problem: str, file: object, field: str) -> None:
    raise InputError(
        problem, remedy="take the file from an undamaged run", file=file, field=field, value=value
    )
