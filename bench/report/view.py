"""Verdicts, scope and budgets as rows of words, ready for a template."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.judge.verdict import Outcome
from bench.report import words
from bench.report.data import as_mapping, outcome_of, scenario_of, title_of
from bench.report.words import NONE, plain
from bench.requirements.model import Requirement

_POINTS = {
    "interface-interface": "between network interfaces",
    "app-app": "between applications",
    "glass-glass": "from lens to screen",
    "stop-motion": "from the stop to the end of motion",
    "fault-signal": "from the fault to the signal or action",
}
_GROUPS = (
    (
        "document",
        "Against documents",
        "The limit stands in the cited document. A declaration never loosens it.",
    ),
    (
        "declaration",
        "Against the manufacturer's declaration",
        "The document asks for the behaviour and gives no figure; the limit is the device's own.",
    ),
)


@dataclass(frozen=True, slots=True)
class Rival:
    """The verdict under one reading of an ambiguous figure."""

    text: str
    metric: str
    value: str
    limit: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict in words. ``place``: the stream, or the scenario where there is none."""

    id: str
    title: str
    stream: str
    place: str
    verdict: str
    value: str
    limit: str
    margin: str
    n: str
    rule: str
    confidence: str
    shows: str
    reason: str
    attempt: str
    against: str
    quote: str
    quote_lang: str
    source: str
    source_lang: str
    points: str
    independent: bool
    folded: str
    facts: tuple[tuple[str, str], ...] = ()
    readings: tuple[Rival, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading."""

    title: str
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """One entry of the scope in words."""

    id: str
    title: str
    stream: str
    test: str
    scenario: str
    reason: str
    figure: str


@dataclass(frozen=True, slots=True)
class Term:
    """One uncertainty term in words."""

    name: str
    standard: str
    origin: str


@dataclass(frozen=True, slots=True)
class Budget:
    """An uncertainty budget and the verdicts that carry it."""

    verdicts: str
    terms: tuple[Term, ...]
    expanded: str
    key: tuple[Any, ...] = field(default=(), repr=False)


def row(verdict: Mapping[str, Any], requirements: Mapping[str, Requirement]) -> Row:
    """A verdict entry in words. Unknown requirements and missing figures are said to be so."""
    requirement = requirements.get(str(verdict.get("requirement")))
    unit = str(verdict.get("unit") or "")
    rivals = _rivals(verdict, requirement, unit)
    attempt = verdict.get("attempt")
    confidence = words.percent(verdict.get("confidence"))
    outcome = outcome_of(verdict)
    # For behaviours the figure is what the trials show, not the level of a bound.
    rule = plain(verdict.get("rule"))
    trials = rule.startswith(("demonstrated", "safety"))
    return Row(
        id=plain(verdict.get("requirement")),
        title=plain(title_of(requirement, "not in the catalogue")),
        stream=plain(verdict.get("stream")),
        place=plain(verdict.get("stream")) or _within(plain(scenario_of(verdict))),
        verdict=outcome.value,
        value=words.with_uncertainty(verdict.get("value"), verdict.get("uncertainty"), unit),
        limit=words.limit_text(verdict, requirement),
        margin=margin(verdict.get("margin"), unit),
        n=words.count(verdict.get("n")),
        rule=re.split(r"[:(,]", rule)[0].strip() or NONE,
        confidence="" if confidence == NONE or trials else confidence,
        shows=(
            f"shows a success probability of at least {confidence} at 95 % confidence"
            if trials and confidence != NONE and outcome is Outcome.PASS
            else ""
        ),
        reason=plain(verdict.get("reason")) or "no reason was recorded",
        attempt=f"attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else "",
        against=str(verdict.get("against") or "document"),
        quote=requirement.source.text if requirement else "",
        quote_lang=_language(requirement.source.text) if requirement else "en",
        source=_source(requirement),
        source_lang=_language(_source(requirement)),
        points=_POINTS.get(str(verdict.get("reference_points")), ""),
        independent=bool(verdict.get("independent", True)),
        folded=f"Reading, and rival readings ({len(rivals)})" if rivals else "Reading",
        facts=tuple(_facts(verdict, requirement)),
        readings=rivals,
    )


def _within(scenario: str) -> str:
    return f"in {scenario}" if scenario else ""


def groups(rows: Sequence[Row]) -> list[Group]:
    """Rows against documents and rows against declarations, each under its own heading."""
    known = {key for key, _, _ in _GROUPS}
    result = []
    for key, title, note in _GROUPS:
        own = tuple(
            r for r in rows if r.against == key or (key == "document" and r.against not in known)
        )
        if own:
            result.append(Group(title, note, own))
    return result


def scope_row(item: Mapping[str, Any], requirements: Mapping[str, Requirement]) -> ScopeRow:
    """An entry of the scope in words."""
    requirement = requirements.get(str(item.get("requirement")))
    return ScopeRow(
        id=plain(item.get("requirement")),
        title=plain(title_of(requirement)),
        stream=plain(item.get("stream")) or (requirement.stream if requirement else "") or NONE,
        test=plain(item.get("test")),
        scenario=plain(item.get("scenario")),
        reason=plain(item.get("reason")) or "no reason was recorded",
        figure=plain(item.get("figure")) or NONE,
    )


def budgets(verdicts: Iterable[Mapping[str, Any]]) -> list[Budget]:
    """The uncertainty budgets, equal ones together."""
    named: dict[tuple[Any, ...], list[str]] = {}
    for verdict in verdicts:
        terms = tuple(
            (plain(t.get("name")), words.number(t.get("standard")), plain(t.get("origin")))
            for t in map(as_mapping, verdict.get("budget") or ())
        )
        if terms:
            name = " ".join(
                part for part in (plain(verdict.get(k)) for k in ("requirement", "stream")) if part
            )
            named.setdefault((str(verdict.get("unit") or ""), terms), []).append(name)
    return [_budget(key, names) for key, names in named.items()]


def margin(value: Any, unit: str) -> str:
    """A signed margin: positive is on the good side of the limit."""
    figure = words.number(value)
    if figure is None:
        return NONE
    sign = "−" if figure < 0 else "+" if figure > 0 else ""
    return f"{sign}{words.quantity(abs(figure), unit)}"


def _budget(key: tuple[Any, ...], names: list[str]) -> Budget:
    unit, terms = key
    sizes = [standard for _, standard, _ in terms]
    total = None if None in sizes else 2 * math.sqrt(sum(s * s for s in sizes))
    return Budget(
        verdicts=", ".join(dict.fromkeys(names)),
        terms=tuple(Term(n, words.quantity(s, unit), o or NONE) for n, s, o in terms),
        expanded=words.quantity(total, unit),
    )


def _source(requirement: Requirement | None) -> str:
    if requirement is None:
        return "Source unknown: the requirement is not in the catalogue"
    source = requirement.source
    return ", ".join(plain(part) for part in (source.document, source.place) if part)


def _language(text: str) -> str:
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"


def _facts(
    verdict: Mapping[str, Any], requirement: Requirement | None
) -> Iterable[tuple[str, str]]:
    yield "reading", plain(verdict.get("reading")) or (requirement.reading if requirement else NONE)
    if requirement and requirement.note:
        yield "note", plain(requirement.note)
    yield "decision rule", plain(verdict.get("rule")) or NONE
    yield "metric", plain(verdict.get("metric")) or NONE
    yield "reference points", plain(verdict.get("reference_points")) or NONE
    yield "test", plain(verdict.get("test")) or NONE
    yield "session", plain(verdict.get("session")) or NONE
    details = verdict.get("details") or ()
    for name, value in details.items() if isinstance(details, Mapping) else details:
        yield plain(name).replace("_", " "), words.anything(value, str(name))


def _rivals(
    verdict: Mapping[str, Any], requirement: Requirement | None, unit: str
) -> tuple[Rival, ...]:
    stated = [as_mapping(reading) for reading in verdict.get("readings") or ()]
    if not stated and requirement is not None:
        stated = [as_mapping(reading) for reading in requirement.readings]
    return tuple(_rival(reading, unit) for reading in stated)


def _rival(reading: Mapping[str, Any], unit: str) -> Rival:
    text = plain(reading.get("reading") or reading.get("reason")) or NONE
    if reading.get("default"):
        text = f"{text} (the one judged)"
    low, high = reading.get("low"), reading.get("high")
    comparator = str(reading.get("comparator") or "")
    if comparator == "in" or (low is not None and high is not None):
        limit = words.span(low, high, unit)
    else:
        figure = reading.get("limit", low if low is not None else high)
        limit = words.limit_text({"unit": unit, "comparator": comparator, "limit": figure}, None)
    verdict = reading.get("verdict")
    return Rival(
        text=text,
        metric=plain(reading.get("metric")) or NONE,
        value=words.quantity(reading.get("value"), unit),
        limit=limit,
        verdict=outcome_of(reading).value if verdict else "",
    )
