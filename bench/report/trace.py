"""Traceability of one run: requirement, source, tests and verdicts; and what it did not ask."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.data import ReportData, Unasked, outcome_of
from bench.report.words import plain
from bench.requirements.model import Requirement, Statement
from bench.units import show

_ASKED = ("requirement", "sizing", "behaviour", "declaration")
_WORST_FIRST = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS")


@dataclass(frozen=True, slots=True)
class Traced:
    """A requirement of the run. ``verdict``: the worst; empty where it was out of scope."""

    id: str
    title: str
    source: str
    text: str
    tests: tuple[str, ...]
    verdict: str


def traced(report: ReportData) -> tuple[Traced, ...]:
    """Every requirement of the run's scope, in its order, with the tests that judge it."""
    tests: dict[str, dict[str, None]] = {}
    for item in report.scope:
        name = plain(item.get("test", "")).rpartition("/")[2].partition("[")[0]
        tests.setdefault(str(item.get("requirement")), {})[name] = None
    outcomes: dict[str, list[str]] = {}
    for verdict in report.verdicts:
        outcomes.setdefault(str(verdict.get("requirement")), []).append(str(outcome_of(verdict)))
    return tuple(
        _traced(name, report.requirements.get(name), tuple(found), outcomes.get(name, []))
        for name, found in tests.items()
    )


def _traced(
    name: str, entry: Requirement | None, tests: tuple[str, ...], outcomes: list[str]
) -> Traced:
    worst = next((word for word in _WORST_FIRST if word in outcomes), "")
    if entry is None:
        return Traced(plain(name), "", "", "", tests, worst)
    source = plain(f"{entry.source.document}, {entry.source.place}")
    return Traced(plain(name), plain(entry.title), source, plain(entry.source.text), tests, worst)


def unasked(
    run: Mapping[str, Any],
    requirements: Iterable[Requirement],
    statements: Iterable[Statement] = (),
) -> tuple[Unasked, ...]:
    """What a catalogue asks of the run's class of device beyond the run's scope.

    Args:
        run: run.json.
        requirements: the catalogue's.
        statements: the catalogue's; one is asked as long as a behaviour of its is in the scope.
    """
    device = run.get("device")
    device_class = device.get("device_class") if isinstance(device, Mapping) else None
    scope = {item.get("requirement") for item in run.get("scope") or () if _is_mapping(item)}
    classes = (device_class, "any")
    found = [
        Unasked(plain(entry.id), plain(f"{entry.title}: {_figure(entry)}").rstrip(": "))
        for entry in requirements
        if entry.device_class in classes and entry.kind in _ASKED and entry.id not in scope
    ]
    found += [
        Unasked(plain(entry.id), plain(entry.reading))
        for entry in statements
        if entry.device_class in classes and not scope.intersection(entry.mission)
    ]
    return tuple(found)


def _is_mapping(item: object) -> bool:
    return isinstance(item, Mapping)


def _figure(entry: Requirement) -> str:
    if entry.low is None:
        return ""
    if entry.comparator == "in":
        return f"{show(entry.low, entry.unit)} to {show(entry.high, entry.unit)}"
    return f"{entry.comparator} {show(entry.low, entry.unit)}"
