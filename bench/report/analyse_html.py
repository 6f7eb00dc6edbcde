"""The HTML report of two captures: one self-contained file with plots of every stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.errors import InputError
from bench.measure.pairing import Flow
from bench.report import view
from bench.report.analyse import WAYS, clock_line, figures_of, shown_name, source_line
from bench.report.analyse_plots import stream_plot
from bench.report.analyse_series import Drawn, drawn
from bench.report.html import write_whole
from bench.report.words import NONE, count
from bench.requirements.model import Requirement

MOST_PLOTS = 24
"""Streams that are drawn: those with the most packets."""


class Series:
    """Collects what is drawn, stream by stream; keeps the streams with the most packets.

    Args:
        bin_s: of the rates.
    """

    def __init__(self, bin_s: float) -> None:
        self._bin_s = bin_s
        self._kept: list[tuple[int, Drawn]] = []
        self.left_out = 0

    def add(self, name: str, direction: str, flow: Flow) -> None:
        """One stream while its packets are in memory."""
        if len(self._kept) == MOST_PLOTS:
            least = min(range(MOST_PLOTS), key=lambda index: self._kept[index][0])
            self.left_out += 1
            if self._kept[least][0] >= len(flow):
                return
            del self._kept[least]
        self._kept.append((len(flow), drawn(name, direction, flow, self._bin_s)))

    def of(self, direction: str) -> list[Drawn]:
        """What is drawn of one direction."""
        return [series for _, series in self._kept if series.direction == direction]


def write_analysis(
    path: Path, found: Mapping[str, Any], series: Series,
    requirements: Mapping[str, Requirement],
) -> None:  # fmt: skip
    """Write the report; it appears whole or not at all.

    Args:
        path: where.
        found: the JSON data of the analysis.
        series: what its plots show.
        requirements: the catalogue, for the limits of ranges.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        write_whole(path, render(found, series, requirements))
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror or error})",
            remedy="give a path that you may write, with room", file=path, field="--html",
        ) from error  # fmt: skip


def render(
    found: Mapping[str, Any], series: Series, requirements: Mapping[str, Requirement]
) -> str:
    """The report as HTML text. Every value from outside is escaped."""
    files = resources.files("bench.report") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files / "analyse.html.j2").read_text(encoding="utf-8"))
    left, right = (found["captures"][side] for side in ("left", "right"))
    notes = list(found["notes"])
    notes += [
        f"{stream['stream']} {stream['direction']}: {problem}"
        for stream in found["streams"]
        for problem in stream["problems"]
    ]
    if series.left_out:
        notes.append(f"{series.left_out} streams with fewer packets are in the tables, not drawn")
    facts = [source_line(side, found["captures"][side]) for side in ("left", "right")]
    facts.append(clock_line(found["clock"]))
    return template.render(
        css=Markup((files / "report.css").read_text(encoding="utf-8")),
        title=f"{left['file']} to {right['file']}: the path between",
        facts=[tuple(line.split(": ", 1)) for line in facts],
        verdicts=[view.row(verdict, requirements) for verdict in found["verdicts"]],
        notes=notes,
        groups=[_group(way, found["streams"], series) for way in WAYS],
    )


def _group(way: str, streams: Sequence[Mapping[str, Any]], series: Series) -> dict[str, Any]:
    rows = [(shown_name(each), figures_of(each)) for each in streams if each["direction"] == way]
    columns = list(dict.fromkeys(name for _, figures in rows for name in figures))
    plots = [
        {
            "title": each.name,
            "note": f"{count(each.left_out)} packets in flight or ambiguous are not drawn"
            if each.left_out
            else "",
            "svg": Markup(stream_plot(each, f"{way}-{number}")),
        }
        for number, each in enumerate(series.of(way))
    ]
    return {
        "way": way if rows else f"{way}: no streams",
        "columns": columns,
        "rows": [
            {"name": name, "cells": [cells.get(each, NONE) for each in columns]}
            for name, cells in rows
        ],
        "plots": plots,
    }
