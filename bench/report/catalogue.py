"""The catalogue for people and for programs: which entries, the list, one entry in full, JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bench.errors import InputError
from bench.report import words
from bench.requirements.loader import DEVICE_CLASSES, Catalogue
from bench.requirements.model import Kind, Reading, Requirement, Source, Statement
from bench.requirements.vocabulary import Metrics

Entry = Requirement | Statement

_KEYS = (
    "id", "source", "title", "reading", "device_class", "stream", "metric", "metric_definition",
    "direction", "reference_points", "comparator", "low", "high", "unit", "kind", "readings",
    "declared", "rule", "also", "conflicts", "mission", "note",
)  # fmt: skip
_LISTS = ("readings", "declared", "also", "conflicts", "mission")
_CUSTOMARY: dict[str, tuple[tuple[float, float, str], ...]] = {
    "s": (
        (2 * 86400.0, 86400.0, "d"),
        (3600.0, 3600.0, "h"),
        (120.0, 60.0, "min"),
        (1.0, 1.0, "s"),
        (1e-3, 1e-3, "ms"),
        (0.0, 1e-6, "µs"),
    ),
    "bit/s": (
        (1e9, 1e9, "Gbit/s"),
        (1e6, 1e6, "Mbit/s"),
        (1e3, 1e3, "kbit/s"),
        (0.0, 1.0, "bit/s"),
    ),
    "bit": (
        (8e12, 8e12, "TB"),
        (8e9, 8e9, "GB"),
        (8e6, 8e6, "MB"),
        (8e3, 8e3, "kB"),
        (0.0, 1.0, "bit"),
    ),
    "Hz": ((1e9, 1e9, "GHz"), (1e6, 1e6, "MHz"), (1e3, 1e3, "kHz"), (0.0, 1.0, "Hz")),
    "m": ((1e3, 1e3, "km"), (1.0, 1.0, "m"), (0.0, 1e-3, "mm")),
    "m/s": ((0.0, 1 / 3.6, "km/h"),),
}
"""By SI unit, from large to small: from which value on, the multiple, its name."""
_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries to show; an empty filter takes all, several values of one filter any of them.

    A statement belongs to no stream: any filter by stream leaves statements out.
    """

    classes: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


def select(catalogue: Catalogue, wanted: Wanted) -> list[Entry]:
    """The entries that pass every filter, figures before statements, in catalogue order.

    Raises:
        InputError: a filter names what the catalogue does not know; the message lists what it does.
    """
    figures = catalogue.requirements.values()
    streams = sorted({entry.stream for entry in figures})
    _known("--class", wanted.classes, DEVICE_CLASSES)
    _known("--stream", wanted.streams, streams)
    _known("--source", wanted.sources, catalogue.documents)
    _known("--kind", wanted.kinds, get_args(Kind))
    everything: tuple[Entry, ...] = (*figures, *catalogue.statements.values())
    return [
        entry
        for entry in everything
        if (not wanted.classes or entry.device_class in wanted.classes)
        and (not wanted.sources or entry.source.file in wanted.sources)
        and (not wanted.kinds or entry.kind in wanted.kinds)
        and (not wanted.streams or getattr(entry, "stream", None) in wanted.streams)
    ]


def _known(option: str, asked: Iterable[str], known: Iterable[str]) -> None:
    for value in asked:
        if value not in known:
            remedy = f"use one of {', '.join(known)}"
            raise InputError("is not in the catalogue", remedy=remedy, field=option, value=value)


def entry_json(entry: Entry, metrics: Metrics) -> dict[str, Any]:
    """One entry as JSON-able data, every key present; SI values, ratios from 0 to 1.

    A statement has no figure: those keys are null, its lists empty.
    """
    data = asdict(entry) | {"source": _source_json(entry.source)}
    if isinstance(entry, Requirement):
        data["metric_definition"] = metrics[entry.metric].definition
        data["readings"] = [
            asdict(each) | {"reference_points": each.reference_points or entry.reference_points}
            for each in entry.readings
        ]
        data["also"] = [_source_json(each) for each in entry.also]
    whole = {key: data.get(key) for key in _KEYS}
    lists = {key: list(whole[key] or ()) for key in _LISTS}
    return {key: None if value == "" else value for key, value in (whole | lists).items()}


def _source_json(source: Source) -> dict[str, str | None]:
    return {key: value or None for key, value in asdict(source).items()}


def figure_text(entry: Requirement | Reading, unit: str) -> str:
    """Comparator and figure in customary units: ``≥ 99.99 %``; ``as declared`` without a figure."""
    if entry.low is None:
        return "as declared"
    if entry.high is not None:
        first, last = _customary(entry.low, unit), _customary(entry.high, unit)
        number, _, name = first.rpartition(" ")
        return f"{number if number and last.endswith(f' {name}') else first} … {last}"
    return f"{_SIGNS.get(entry.comparator, entry.comparator)} {_customary(entry.low, unit)}"


def _customary(value: float, unit: str) -> str:
    """The figure as documents write it, to six digits: what was printed must be recognisable."""
    if unit == "1":
        power = value > 0 and math.isclose(math.log10(value) % 1, 0, abs_tol=1e-12)
        return words.quantity(value, unit) if power and value < 0.01 else f"{100 * value:.10g} %"
    if unit == "1/m2":
        return f"{words.count(value * 1e6)} /km²"
    if unit in _CUSTOMARY:
        rows = _CUSTOMARY[unit]
        _, scale, name = next((row for row in rows if value >= row[0]), rows[-1])
        return f"{value / scale:.6g} {name}"
    return words.count(value) if unit == "count" else words.quantity(value, unit)


def print_list(
    catalogue: Catalogue, entries: Sequence[Entry], *, console: Console | None = None
) -> None:
    """The entries, grouped by document: two lines each, or one plain line for files and pipes."""
    console = console or Console()
    for document in catalogue.documents.values():
        own = [entry for entry in entries if entry.source.file == document.file]
        if not own:
            continue
        about = f"{document.title}, {document.publisher}, {document.year}"
        head = Text(document.file, style="bold").append(f"  {about}", style="default not bold")
        _print(console, head)
        if console.is_terminal:
            console.print(_table(own))
            console.print()
        else:
            for entry in own:
                _print(console, Text(_line(entry)))
    figures = sum(isinstance(entry, Requirement) for entry in entries)
    of = f"of {len(catalogue.requirements)} and {len(catalogue.statements)}"
    _print(console, Text(f"{figures} figures, {len(entries) - figures} statements ({of})"))


def _table(entries: Iterable[Entry]) -> Table:
    """Two lines per entry, so that ids and figures stay whole at 100 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("id\n  what it says", ratio=1)
    table.add_column("class\nstream")
    table.add_column("figure or what shows it\nkind", max_width=26)
    for entry in entries:
        what = Padding(Text(_what(entry), style="dim"), (0, 0, 0, 2))
        first = Group(Text(entry.id, style="bold", overflow="fold"), what)
        place = Text(entry.device_class).append(f"\n{_stream(entry)}", style="dim")
        figure = Text(_figure(entry)).append(f"\n{entry.kind}", style="dim")
        table.add_row(first, place, figure)
    return table


def _line(entry: Entry) -> str:
    place = ", ".join(filter(None, (entry.device_class, _stream(entry))))
    return f"{entry.id}: {_what(entry)}; {place}; {_figure(entry)}; {entry.kind}"


def _what(entry: Entry) -> str:
    return words.plain(entry.title if isinstance(entry, Requirement) else entry.reading)


def _stream(entry: Entry) -> str:
    return entry.stream if isinstance(entry, Requirement) else ""


def _figure(entry: Entry) -> str:
    if isinstance(entry, Requirement):
        return figure_text(entry, entry.unit)
    return ", ".join(entry.mission)


def print_entry(catalogue: Catalogue, entry: Entry, *, console: Console | None = None) -> None:
    """Everything about one entry: its source, its readings with reasons, what it is linked to."""
    console = console or Console()
    title = entry.title if isinstance(entry, Requirement) else entry.kind
    _print(console, Text(entry.id, style="bold").append(f"  {title}", style="default"))
    rows = [(label, words.plain(text)) for label, text in _facts(catalogue, entry) if text]
    if not console.is_terminal:
        for label, text in rows:
            _print(console, Text(f"{label:<12}{text}"))
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column()
    for label, text in rows:
        grid.add_row(label, Text(text))
    console.print(grid)


def _facts(catalogue: Catalogue, entry: Entry) -> Iterator[tuple[str, str]]:
    yield "reading", entry.reading
    yield from _quotation("source", entry.source)
    yield "sha256", entry.source.sha256
    yield "class", entry.device_class
    if isinstance(entry, Requirement):
        yield from _figure_facts(catalogue, entry)
    else:
        yield "kind", entry.kind
    yield "note", entry.note
    for label, names in (("conflict", entry.conflicts), ("mission", entry.mission)):
        for name in names:
            yield label, _named(catalogue.entry(name))
    everything: tuple[Entry, ...] = (
        *catalogue.requirements.values(),
        *catalogue.statements.values(),
    )
    yield "answers", ", ".join(each.id for each in everything if entry.id in each.mission)


def _figure_facts(catalogue: Catalogue, entry: Requirement) -> Iterator[tuple[str, str]]:
    metric = catalogue.metrics[entry.metric]
    yield "stream", f"{entry.stream}, direction {entry.direction}"
    yield "kind", entry.kind
    yield "metric", f"{entry.metric} ({metric.title}), reference points {entry.reference_points}"
    yield "definition", metric.definition
    yield "limit", figure_text(entry, entry.unit)
    yield "declared", ", ".join(entry.declared)
    yield "rule", entry.rule
    for number, each in enumerate(entry.readings, 1):
        yield f"reading {number}", _reading(each, entry, catalogue.metrics)
    for source in entry.also:
        yield from _quotation("also", source)


def _quotation(label: str, source: Source) -> Iterator[tuple[str, str]]:
    yield label, f"{source.file} {source.document}, {source.place}"
    yield "text", f"“{source.text}”"


def _reading(reading: Reading, entry: Requirement, metrics: Metrics) -> str:
    points = reading.reference_points or entry.reference_points
    figure = figure_text(reading, metrics[reading.metric].unit)
    head = f"{figure}, {reading.metric}, {points}, {reading.conversion}"
    role = "the default" if reading.default else "a rival"
    return f"{head}; {role}{': ' if reading.reason else ''}{reading.reason}"


def _named(entry: Entry) -> str:
    figure = f" ({_figure(entry)})" if isinstance(entry, Requirement) else ""
    return f"{entry.id}: {_what(entry)}{figure}"


def _print(console: Console, text: Text) -> None:
    """One line, never broken or coloured by its content."""
    console.print(text, soft_wrap=True, highlight=False)
