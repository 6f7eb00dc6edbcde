"""Reading the catalogue from its data files: strict, with one clear message for each mistake.

A catalogue file is TOML with ``[documents.DIGITS]``, ``[metrics.NAME]``, ``[terms.NAME]``,
``[defaults]``, ``[[requirements]]`` and ``[[statements]]``. A requirement names either a ``term``
(a word of the documents, which brings its rival metrics along) or a ``metric``, and gives its
figure as ``comparator`` with ``low`` and ``high`` (text with units), or as
``[[requirements.readings]]`` with exactly one default. A statement has no figure: it names the
behaviours whose tests answer it (``mission``).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar, cast, get_args

from bench.errors import InputError
from bench.requirements.model import (
    Comparator,
    Conversion,
    Kind,
    Reading,
    Requirement,
    Source,
    Statement,
)
from bench.requirements.vocabulary import Metrics, Sense, Terms, points, read_vocabulary, sense
from bench.tables import Table, read_toml

DATA = Path(__file__).parent / "data"

DEVICE_CLASSES = (
    "diagnosis", "therapy", "emergency", "monitoring", "rehabilitation",
    "consultation", "teaching", "hospital", "network", "any",
)  # fmt: skip
"""The five classes of remote medical devices; applications that the documents give figures for;
``network``: of the network itself, whatever it carries."""
DIRECTIONS = ("to-patient", "to-doctor", "both", "none")
RULES = ("simple", "guard-band", "safety", "demonstrated")

_Entry = TypeVar("_Entry")

_DEFAULTS = {"file", "device_class", "stream", "direction", "kind", "rule", "comparator"}
_REQUIRED = {"id", "place", "text", "title", "reading"}
_OPTIONAL = {"term", "metric", "reference_points", "low", "high", "readings"}
_OPTIONAL |= {"note", "declared", "also", "conflicts", "mission", "conversion"}
_READING = {"comparator", "low", "high", "metric", "reference_points", "default", "reason"}
_READING |= {"conversion"}
_STATEMENT = ("id", "place", "text", "reading", "mission")
_SECTIONS = ("documents", "metrics", "terms", "defaults", "requirements", "statements")


@dataclass(frozen=True, slots=True)
class Document:
    """A document that requirements cite; ``file`` is its three digits (or a laboratory's own)."""

    file: str
    title: str
    publisher: str
    year: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Catalogue(Mapping[str, Requirement]):
    """All requirements and statements by id, with the documents and metrics they refer to.

    A mapping, except that :meth:`get` refuses an unknown id (``requirements`` is the plain one).
    ``sha256``: of the content, independent of comments and layout.
    """

    requirements: Mapping[str, Requirement]
    statements: Mapping[str, Statement]
    documents: Mapping[str, Document]
    metrics: Metrics
    sha256: str

    def __getitem__(self, requirement: str) -> Requirement:
        return self.requirements[requirement]

    def __iter__(self) -> Iterator[str]:
        return iter(self.requirements)

    def __len__(self) -> int:
        return len(self.requirements)

    def get(self, requirement: str) -> Requirement:  # type: ignore[override]
        """The requirement of that id.

        Raises:
            InputError: there is none; the message names the closest.
        """
        return _found(requirement, self.requirements)

    def entry(self, name: str) -> Requirement | Statement:
        """The requirement or statement of that id.

        Raises:
            InputError: as :meth:`get`.
        """
        known: dict[str, Requirement | Statement] = {**self.requirements, **self.statements}
        return _found(name, known)

    def for_stream(
        self, kinds: Iterable[str], device_class: str | None = None
    ) -> tuple[Requirement, ...]:
        """The requirements on any of these kinds of stream, in catalogue order.

        Args:
            kinds: kinds of one stream (``("force", "vibration")``).
            device_class: only what is asked of this class (or of any), if given.
        """
        wanted = set(kinds)
        return tuple(
            r
            for r in self.requirements.values()
            if r.stream in wanted and r.device_class in (device_class or r.device_class, "any")
        )


def _found(name: str, known: Mapping[str, _Entry]) -> _Entry:
    if name in known:
        return known[name]
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, 3, 0.5)
    remedy = (
        f"did you mean {' or '.join(folded[each] for each in close)}?"
        if close
        else "list them with `bench requirements`"
    )
    raise InputError("no such requirement", remedy=remedy, field="requirement", value=name)


def load_catalogue(extra: Sequence[Path] = ()) -> Catalogue:
    """The built-in catalogue and the files in ``extra``, which follow the same rules.

    The built-in one alone is read once in a process.

    Raises:
        InputError: a broken file, entry or figure; names file, entry, field, value and remedy.
    """
    return _read(DATA, extra) if extra else _built_in(DATA)


@cache
def _built_in(folder: Path) -> Catalogue:
    return _read(folder, ())


def _read(folder: Path, extra: Sequence[Path]) -> Catalogue:
    tables = [
        read_toml(path, "the catalogue").only((), _SECTIONS)
        for path in [*sorted(folder.glob("*.toml")), *extra]
    ]
    metrics, terms = read_vocabulary(tables)
    documents = _documents(tables)
    requirements: dict[str, Requirement] = {}
    statements: dict[str, Statement] = {}
    for table in tables:
        defaults = table.table("defaults").only((), _DEFAULTS)
        for item in table.tables("requirements", "id"):
            entry = _entry(item, defaults, documents, metrics, terms)
            _once(item, entry.id, requirements, statements)
            requirements[entry.id] = entry
        for item in table.tables("statements", "id"):
            statement = _statement(item, defaults, documents)
            _once(item, statement.id, requirements, statements)
            statements[statement.id] = statement
    _check_links(tables, requirements, statements)
    fingerprint = _fingerprint(requirements, statements, metrics)
    return Catalogue(requirements, statements, documents, metrics, fingerprint)


def _documents(tables: Iterable[Table]) -> dict[str, Document]:
    documents: dict[str, Document] = {}
    for table in tables:
        for name, item in table.named("documents").items():
            if name in documents:
                item.fail("title", f"document {name} stands twice", "give it a name of its own")
            documents[name] = _document(name, item)
    return documents


def _once(item: Table, name: str, *known: Mapping[str, object]) -> None:
    if any(name in each for each in known):
        item.fail("id", "stands twice in the catalogue", "give each entry its own id")


def _check_links(
    tables: Iterable[Table],
    requirements: Mapping[str, Requirement],
    statements: Mapping[str, Statement],
) -> None:
    """Every id that an entry refers to must be there, and every conflict be told on both sides."""
    said = {
        name: each.conflicts for known in (requirements, statements) for name, each in known.items()
    }
    for table in tables:
        for item in (*table.tables("requirements", "id"), *table.tables("statements", "id")):
            name = item.text("id")
            for other in item.texts("conflicts"):
                if other not in said:
                    item.fail("conflicts", f"names the unknown entry {other!r}", "name one by id")
                if other == name:
                    item.fail("conflicts", "names the entry itself", "name another by id")
                if name not in said[other]:
                    item.fail(
                        "conflicts", f"{other} does not name {name} back", "add it there, too"
                    )
            for other in item.texts("mission"):
                found = requirements.get(other)
                if found is None or found.kind not in ("behaviour", "declaration"):
                    item.fail(
                        "mission", f"names {other!r}, which is no behaviour", "name one by id"
                    )


def _fingerprint(
    requirements: Mapping[str, Requirement],
    statements: Mapping[str, Statement],
    metrics: Metrics,
) -> str:
    content = {
        "requirements": [asdict(requirements[name]) for name in sorted(requirements)],
        "statements": [asdict(statements[name]) for name in sorted(statements)],
        "metrics": [asdict(metrics[name]) for name in sorted(metrics)],
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _document(name: str, table: Table) -> Document:
    table.only(("title", "publisher", "year", "sha256"))
    digest = table.text("sha256")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        table.fail("sha256", "is no SHA-256", "give 64 hexadecimal digits in lower case")
    return Document(name, table.text("title"), table.text("publisher"), table.text("year"), digest)


def _source(table: Table, file: str, documents: Mapping[str, Document]) -> Source:
    if file not in documents:
        known = ", ".join(documents) or "(none)"
        table.fail("file", f"cites the unknown document {file!r}", f"use one of {known}, or add it")
    document = documents[file]
    place, text = table.text("place"), table.text("text")
    return Source(file, document.title, place, text, document.sha256)


def _entry(
    item: Table,
    defaults: Table,
    documents: Mapping[str, Document],
    metrics: Metrics,
    terms: Terms,
) -> Requirement:
    item.only(_REQUIRED, _OPTIONAL | _DEFAULTS)
    entry = replace(item, data={**defaults.data, **item.data})
    file = entry.text("file")
    kind = cast(Kind, entry.choice("kind", get_args(Kind)))
    senses = _senses(entry, metrics, terms)
    readings = _readings(entry, senses, metrics, may_be_open=kind in ("behaviour", "declaration"))
    chosen = next(reading for reading in readings if reading.default)
    declared = entry.texts("declared")
    if chosen.low is None and not declared:
        entry.fail("declared", "nothing gives a limit", "give low, or the declaration that is one")
    return Requirement(
        id=entry.text("id"),
        source=_source(entry, file, documents),
        title=entry.text("title"),
        reading=entry.text("reading"),
        device_class=entry.choice("device_class", DEVICE_CLASSES),
        stream=entry.text("stream"),
        metric=chosen.metric,
        direction=entry.choice("direction", DIRECTIONS),
        reference_points=chosen.reference_points or "none",
        comparator=chosen.comparator,
        low=chosen.low,
        high=chosen.high,
        unit=metrics[chosen.metric].unit,
        kind=kind,
        readings=readings,
        note=entry.text("note", ""),
        declared=declared,
        rule=entry.choice("rule", RULES),
        also=tuple(
            _source(each.only(("place", "text"), ("file",)), each.text("file", file), documents)
            for each in entry.tables("also")
        ),
        conflicts=entry.texts("conflicts"),
        mission=entry.texts("mission"),
    )


def _statement(item: Table, defaults: Table, documents: Mapping[str, Document]) -> Statement:
    item.only(_STATEMENT, ("file", "device_class", "kind", "note", "conflicts"))
    entry = replace(item, data={**defaults.data, **item.data})
    if not entry.texts("mission"):
        entry.fail("mission", "names no behaviour", "name those whose tests answer it")
    kind = item.choice("kind", ("behaviour", "declaration"), "behaviour")
    return Statement(
        id=entry.text("id"),
        source=_source(entry, entry.text("file"), documents),
        reading=entry.text("reading"),
        device_class=entry.choice("device_class", DEVICE_CLASSES),
        kind="declaration" if kind == "declaration" else "behaviour",
        mission=entry.texts("mission"),
        note=entry.text("note", ""),
        conflicts=entry.texts("conflicts"),
    )


def _senses(entry: Table, metrics: Metrics, terms: Terms) -> tuple[Sense, ...]:
    """What the entry's term or metric may mean; the first is the default."""
    if ("term" in entry.data) == ("metric" in entry.data):
        entry.fail("metric", "needs either a term or a metric", "give exactly one of the two")
    if "metric" in entry.data:
        return (sense(entry, metrics),)
    first, *rivals = terms[entry.choice("term", terms)]
    return (replace(first, reference_points=points(entry, first.reference_points)), *rivals)


def _readings(
    entry: Table, senses: tuple[Sense, ...], metrics: Metrics, *, may_be_open: bool
) -> tuple[Reading, ...]:
    """The default reading first, then the rival figures, then the rival metrics."""
    first, *rivals = senses
    if "readings" not in entry.data:
        plain = [_reading(entry, entry, first, True, first.reason, may_be_open)]
    else:
        for key in ("low", "high"):
            if key in entry.data:
                entry.fail(key, "stands beside readings", "move it into the default reading")
        plain = []
        for item in entry.tables("readings"):
            item.only(("reason",), _READING)
            own = replace(item, data={"metric": first.metric.name, **item.data})
            metric = metrics[own.choice("metric", metrics)]
            same = metric is first.metric
            where = points(own, first.reference_points if same else metric.reference_points)
            meant = Sense(metric, where, "")
            default = item.flag("default")
            also = first.reason if default else ""
            reason = "; ".join(filter(None, (item.text("reason"), also)))
            plain.append(_reading(item, entry, meant, default, reason, may_be_open))
    defaults = [reading for reading in plain if reading.default]
    if len(defaults) != 1:
        problem = "has no default" if not defaults else f"has {len(defaults)} defaults"
        entry.fail("readings", problem, "write default = true in exactly one reading")
    others = [reading for reading in plain if not reading.default]
    crossed = [
        replace(
            defaults[0],
            metric=rival.metric.name,
            reference_points=rival.reference_points,
            default=False,
            reason=rival.reason,
        )
        for rival in rivals
    ]
    return (defaults[0], *others, *crossed)


def _holder(item: Table, entry: Table, key: str) -> Table:
    """What a reading leaves out is the entry's."""
    return item if key in item.data else replace(entry, where=item.where)


def _reading(
    item: Table, entry: Table, sense: Sense, default: bool, reason: str, may_be_open: bool
) -> Reading:
    """One figure; comparator and conversion, where left out, are the entry's."""
    holder = _holder(item, entry, "comparator")
    comparator = cast(Comparator, holder.choice("comparator", get_args(Comparator)))
    unit = sense.metric.unit
    low = item.quantity("low", unit) if "low" in item.data else None
    high = item.quantity("high", unit) if "high" in item.data else None
    if low is None and not may_be_open:
        item.fail("low", "is missing", "add it; a single figure stands in low")
    if comparator == "in":
        if low is None or high is None or not low < high:
            item.fail("high", "is no range", "give low and, above it, high")
    elif high is not None:
        item.fail("high", f"has no meaning with {comparator}", "write the figure in low")
    conversion = _holder(item, entry, "conversion").choice(
        "conversion", get_args(Conversion), "as-written"
    )
    return Reading(
        low,
        high,
        comparator,
        sense.metric.name,
        default,
        reason,
        sense.reference_points,
        cast(Conversion, conversion),
    )
