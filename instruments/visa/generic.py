"""A SCPI instrument without a driver, described in a TOML file.

``[settings.NAME]`` with ``set``, ``get``, ``source`` and either ``unit``, ``low``, ``high`` (and
``step``, ``tolerance``) or ``values``; ``[measurements.NAME]`` with ``query``, ``unit`` and
``source``; ``[safe]`` with ``commands`` and what queries must answer afterwards. See
``docs/instruments.md``. ``compound``: it takes several queries in one message.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from bench.errors import InputError
from bench.tables import Table, read_toml
from instruments.visa.channels import SCPI, Check
from instruments.visa.properties import Choice, Instrument, Number, Setting
from instruments.visa.readings import Reading, number

T = TypeVar("T")

_TOP = ("title", "family", "manufacturer", "models", "manual")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One query for a number."""

    query: str
    unit: str
    source: str


class Generic(Instrument):
    """What a description becomes."""

    measurements: ClassVar[Mapping[str, Measurement]] = {}
    safe_commands: ClassVar[tuple[str, ...]] = ()
    safe_answers: ClassVar[Mapping[str, str]] = {}
    has_safe_state: ClassVar[bool] = False
    """Whether ``[safe]`` says what to send or to see."""
    description: ClassVar[str] = ""
    """SHA-256 of the file that describes it: another description is another driver."""

    def measure(self, name: str) -> Reading:
        """One of its measurements.

        Raises:
            InputError: it has none of that name.
        """
        one = self.measurements.get(name)
        if one is None:
            raise InputError(
                "is no measurement of it",
                remedy=f"use one of {', '.join(self.measurements)}",
                field=f"{self.channel.role}.measure",
                value=name,
            )
        return self.channel.read(one.query, name, one.unit, number)

    def restore(self, setting: Setting[T], value: T) -> None:
        """As before; what its safe state is verified by (its output) is made safe instead."""
        if setting.get in self.safe_answers:
            self._reach_safe()
        else:
            super().restore(setting, value)

    def make_safe(self) -> None:
        """As described, verified."""
        self.channel.settle()
        self._reach_safe()

    def _reach_safe(self) -> None:
        for text in self.safe_commands:
            self.channel.force(text)
        for query, wanted in self.safe_answers.items():
            self.channel.confirm(query, _exactly(wanted), wanted)


def _exactly(wanted: str) -> Check:
    return lambda got: "" if got.strip() == wanted else f"is not {wanted}"


def load_generic(path: Path) -> type[Generic]:
    """The driver that a file describes.

    Raises:
        InputError: a broken file; safe commands that nothing verifies.
    """
    table = read_toml(path, "the instrument's description").only(
        _TOP, ("error_query", "compound", "settings", "measurements", "safe")
    )
    manual = table.text("manual")
    safe = table.table("safe").only((), ("commands", "answers"))
    answers = safe.table("answers")
    if safe.texts("commands") and not answers.data:
        safe.fail("answers", "are missing", 'say how to verify it, like { "OUTP?" = "0" }')
    body: dict[str, Any] = {
        "__doc__": table.text("title"),
        "family": table.text("family"),
        "manufacturer": table.text("manufacturer"),
        "models": table.texts("models"),
        "dialect": replace(
            SCPI,
            name=table.text("title"),
            errors=table.text("error_query", SCPI.errors),
            # Not known of every instrument; one that does not would report an error each time.
            compound=table.flag("compound"),
        ),
        "measurements": {
            name: _measurement(item, manual) for name, item in table.named("measurements").items()
        },
        "safe_commands": safe.texts("commands"),
        "safe_answers": {query: answers.text(query) for query in answers.data},
        "has_safe_state": bool(safe.texts("commands") or answers.data),
        "description": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    for name, item in table.named("settings").items():
        taken = hasattr(Generic, name) or name in Instrument.__annotations__
        if not name.isidentifier() or name.startswith("_") or taken:
            item.fail("set", f"{name!r} cannot name a setting", "name it like frequency_hz")
        body[name] = _setting(item, manual)
    return type("Described", (Generic,), body)


def _measurement(table: Table, manual: str) -> Measurement:
    table.only(("query", "unit", "source"))
    return Measurement(table.text("query"), table.text("unit"), f"{manual}, {table.text('source')}")


def _setting(table: Table, manual: str) -> Setting[Any]:
    table.only(("set", "get", "source"), ("unit", "low", "high", "step", "tolerance", "values"))
    source = f"{manual}, {table.text('source')}"
    command, query = table.text("set"), table.text("get")
    for key, text, most in (("set", command, 1), ("get", query, 0)):
        if text.count("{value}") != most or text.count("{") != most or text.count("}") != most:
            wanted = "exactly one {value}" if most else "no braces"
            table.fail(key, "cannot be filled in", f"write it with {wanted}")
    if "values" in table.data:
        words = table.only(("set", "get", "source", "values")).table("values")
        return Choice(
            command, query, values={word: words.texts(word) for word in words.data}, source=source
        )
    low, high = _bare(table, "low"), _bare(table, "high")
    if low >= high:
        table.fail("high", "is not above low", "correct the range")
    return Number(
        command,
        query,
        unit=table.text("unit"),
        low=low,
        high=high,
        step=_bare(table, "step") if "step" in table.data else None,
        tolerance=_bare(table, "tolerance") if "tolerance" in table.data else None,
        source=source,
    )


def _bare(table: Table, key: str) -> float:
    value = table.data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        table.fail(key, "is not a number", "write it like 12.5, in the setting's unit")
    return float(value)
