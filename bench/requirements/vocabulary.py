"""What is measured, precisely, and how the words of the documents are read as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast, get_args

from bench.requirements.model import ReferencePoints
from bench.tables import Table
from bench.units import QUANTITIES


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured, precisely. ``unit``: SI. ``reference_points``: where, by default."""

    name: str
    title: str
    definition: str
    unit: str
    reference_points: ReferencePoints


@dataclass(frozen=True, slots=True)
class Sense:
    """One metric that a term may mean."""

    metric: Metric
    reference_points: ReferencePoints
    reason: str


Metrics = Mapping[str, Metric]
Terms = Mapping[str, tuple[Sense, ...]]


def read_vocabulary(tables: list[Table]) -> tuple[Metrics, Terms]:
    """The metrics and terms of all catalogue files; a term may use any file's metrics.

    Raises:
        InputError: one stands twice, or refers to a metric that nobody defines.
    """
    metrics: dict[str, Metric] = {}
    for table in tables:
        for name, item in table.named("metrics").items():
            if name in metrics:
                item.fail("title", f"metric {name} stands twice", "give it a name of its own")
            metrics[name] = _metric(name, item)
    terms: dict[str, tuple[Sense, ...]] = {}
    for table in tables:
        for name, item in table.named("terms").items():
            if name in terms:
                item.fail("metric", f"term {name} stands twice", "give it a name of its own")
            item.only(("metric", "reason"), ("rivals", "reference_points"))
            rivals = item.tables("rivals")
            for rival in rivals:
                rival.only(("metric", "reason"), ("reference_points",))
            terms[name] = tuple(sense(each, metrics) for each in (item, *rivals))
    return metrics, terms


def _metric(name: str, item: Table) -> Metric:
    item.only(("title", "definition", "unit", "reference_points"))
    return Metric(
        name,
        item.text("title"),
        item.text("definition"),
        item.choice("unit", QUANTITIES),
        points(item, "none"),
    )


def points(table: Table, default: ReferencePoints) -> ReferencePoints:
    """The reference points that a table names, or the default."""
    chosen = table.choice("reference_points", get_args(ReferencePoints), default)
    return cast(ReferencePoints, chosen)


def sense(table: Table, metrics: Metrics) -> Sense:
    """The metric that a table names, with its reference points and reason."""
    metric = metrics[table.choice("metric", metrics)]
    return Sense(metric, points(table, metric.reference_points), table.text("reason", ""))
