"""The instruments of a bench file: which driver, where, who it must be, and what it may be set to.

``[instruments.ROLE]``; see ``docs/instruments.md``. Ports and paths: ``instruments.rf.wiring``.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.errors import InputError
from bench.tables import Table, read_toml
from instruments.power.supplies import E36312A
from instruments.rf.analysers import KeysightX, RohdeSchwarzFs
from instruments.rf.attenuators import Rcdat, RcdatScpi
from instruments.rf.generators import KeysightMxg, RohdeSchwarzSmw
from instruments.rf.oscilloscopes import KeysightInfiniiVision
from instruments.rf.switches import SpdtSwitches
from instruments.rf.testers import Cmw500Lte
from instruments.visa.channels import Channel
from instruments.visa.generic import load_generic
from instruments.visa.plan import Plan, Rehearsal
from instruments.visa.properties import Instrument
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript

KINDS: Mapping[str, type[Instrument]] = {
    "rohde-schwarz-smw": RohdeSchwarzSmw,
    "keysight-mxg": KeysightMxg,
    "rohde-schwarz-fs": RohdeSchwarzFs,
    "keysight-x": KeysightX,
    "mini-circuits-rcdat": Rcdat,
    "mini-circuits-rcdat-scpi": RcdatScpi,
    "mini-circuits-spdt": SpdtSwitches,
    "keysight-e36312a": E36312A,
    "rohde-schwarz-cmw500-lte": Cmw500Lte,
    "keysight-infiniivision": KeysightInfiniiVision,
}
"""The drivers. ``generic`` takes a ``description`` instead."""

_REQUIRED = ("kind", "address", "manufacturer", "model", "connect", "reply")
_OPTIONAL = (
    "serial", "firmware", "write_termination", "read_termination", "library", "physical", "wait",
    "baud", "limits", "description", "path", "output", "switches",
)  # fmt: skip
_OWN: Mapping[type[Instrument], str] = {
    RohdeSchwarzSmw: "path",
    E36312A: "output",
    SpdtSwitches: "switches",
}


P = TypeVar("P", bound=Plan)


@dataclass(frozen=True, slots=True)
class Configured:
    """One instrument of a bench file; nothing is opened yet."""

    kind: type[Instrument]
    resource: Resource
    make: Callable[[Channel], Instrument]

    @property
    def role(self) -> str:
        """Its role."""
        return self.resource.role

    def session(self, transcript: Transcript, **options: Any) -> Session:
        """A session, to be entered; ``options`` as those of :class:`Session`."""
        return Session(self.resource, transcript, self.kind.dialect, **options)

    def plan(self, lines: list[str] | None = None) -> Plan:
        """A plan instead of a session; it begins with what opening would send."""
        return self._planned(Plan, lines)

    def rehearsal(self, lines: list[str]) -> Rehearsal:
        """A plan that goes on where an answer is needed."""
        return self._planned(Rehearsal, lines)

    def _planned(self, kind: type[P], lines: list[str] | None) -> P:
        plan = kind(self.role, self.kind.dialect, lines, http=self.resource.is_http)
        plan.opening(self.resource.identity)
        return plan


def load_instruments(path: Path) -> dict[str, Configured]:
    """The instruments of a file, by role.

    Raises:
        InputError: a broken file, an unknown kind, a missing deadline or terminator, a limit wider
            than the driver's.
    """
    table = read_toml(path, "the bench file").only(("instruments",), ("ports", "paths"))
    return instruments_of(table.named("instruments"), path)


def instruments_of(tables: Mapping[str, Table], path: Path) -> dict[str, Configured]:
    """The instruments of ``[instruments.ROLE]`` tables, by role; ``path``: their file.

    Raises:
        InputError: as :func:`load_instruments`.
    """
    return {role: _configured(role, item, path) for role, item in tables.items()}


def _configured(role: str, table: Table, path: Path) -> Configured:
    table.only(_REQUIRED, _OPTIONAL)
    kind = _kind(table, path)
    resource = Resource(
        role,
        table.text("address"),
        Identity(
            table.text("manufacturer"),
            table.text("model"),
            table.text("serial", ""),
            table.text("firmware", ""),
        ),
        _end(table, "write_termination"),
        _end(table, "read_termination"),
        table.quantity("connect", "s"),
        table.quantity("reply", "s"),
        table.text("library", "@py"),
        table.text("physical", ""),
        table.quantity("wait", "s") if "wait" in table.data else 0.0,
        _whole(table, "baud") if "baud" in table.data else None,
    )
    _refuse_other_models(table, kind)
    limits = table.table("limits")
    given = {name: _range(limits, name) for name in limits.data}
    own = {}
    for key in ("path", "output", "switches"):
        if key in table.data:
            if _OWN.get(kind) != key:
                table.fail(key, f"is nothing of a {table.text('kind')}", "leave it out")
            own[key] = _whole(table, key)
    make: Any = kind
    configured = Configured(kind, resource, lambda channel: make(channel, given, **own))
    try:
        configured.make(configured.plan())
    except InputError as error:
        raise InputError(
            error.problem,
            remedy=error.remedy,
            file=path,
            field=f"instruments.{error.field}",
            value=error.value,
        ) from error
    return configured


def _refuse_other_models(table: Table, kind: type[Instrument]) -> None:
    """A driver is for its models; a pattern (``SMM100*``) is taken as said on purpose."""
    model = table.text("model")
    if "*" in model or "?" in model:
        return
    if not any(fnmatch.fnmatchcase(model.lower(), known.lower()) for known in kind.models):
        known = ", ".join(kind.models)
        table.fail("model", "is none that this kind was written for", f"use {known}, or a pattern")


def _kind(table: Table, path: Path) -> type[Instrument]:
    name = table.choice("kind", (*KINDS, "generic"))
    if name != "generic":
        if "description" in table.data:
            table.fail("description", "is for generic instruments", "leave it out")
        return KINDS[name]
    return load_generic(path.parent / table.text("description"))


def _end(table: Table, key: str) -> str:
    value = table.data.get(key, "")
    if not isinstance(value, str):
        table.fail(key, "is not text", r'give "\n", "\r" or "\r\n"')
    return value


def _whole(table: Table, key: str) -> int:
    value = table.data[key]
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        table.fail(key, "is not a whole number above 0", "write it without quotes, like 1")
    return value


def _range(table: Table, key: str) -> tuple[float, float]:
    value = table.data[key]
    good = isinstance(value, list) and len(value) == 2
    if not good or any(isinstance(x, bool) or not isinstance(x, int | float) for x in value):  # type: ignore[attr-defined]
        table.fail(key, "is no range", "write it like [-100, -20]")
    assert isinstance(value, list)
    return float(value[0]), float(value[1])
