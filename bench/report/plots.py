"""Drawing without a display: matplotlib figures as compact inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from bench.report.series import Floats
from bench.report.words import power_of_ten, xml_text

WIDTH_IN = 8.0
INK, FAINT, GRID, LIMIT = "#1a1a1a", "#6b6b6b", "#d9d9d9", "#B00020"

BACKED = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5b5b5b")
"""Okabe and Ito (2008): told apart with every common colour vision, and in grey by order."""

FLOOR_MS = 1e-3
"""Delays below 1 µs are drawn at 1 µs: the axis is logarithmic."""

_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.size": 7.2,
    "axes.linewidth": 0.6,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "ytick.minor.size": 1.5,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.fontsize": 6.8,
    "legend.handlelength": 1.8,
    "path.simplify": True,
    "path.simplify_threshold": 0.4,
}

_LONG = re.compile(r"(\d+\.\d{2})\d+")
_PATH = re.compile(r' d="[^"]*"')
_EMPTY = re.compile(r'<g(?: id="[^"]*")?/>')
_NUMBERED = re.compile(r'<g id="[A-Za-z0-9.]+_\d+">')
_INDENT = re.compile(r"\n\s*")
_HEAD = re.compile(r"^.*?(?=<svg)", re.S)
_META = re.compile(r"\s*<metadata>.*?</metadata>", re.S)
_SIZE = re.compile(r'(<svg[^>]*?) (?:width|height)="[^"]*"')


def style() -> AbstractContextManager[None]:
    """The one style of all plots, for use while a figure is made and written."""
    return mpl.rc_context(_STYLE)


def to_svg(figure: Figure, name: str, title: str) -> str:
    """A figure as an ``<svg>`` element that scales to the width it is given.

    ``name`` makes the element's internal ids its own among several on a page.
    """
    FigureCanvasSVG(figure)
    buffer = io.StringIO()
    metadata: dict[str, Any] = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=metadata)
    text = _META.sub("", _HEAD.sub("", buffer.getvalue()))
    for _ in range(2):
        text = _SIZE.sub(r"\1", text, count=1)
    text = _INDENT.sub("\n", _NUMBERED.sub("<g>", _EMPTY.sub("", text)))
    text = text.replace("*{stroke-linejoin", "svg *{stroke-linejoin")
    text = _PATH.sub(lambda match: _LONG.sub(r"\1", match.group().replace("\n", "")), text)
    label = (
        xml_text(title)
        .replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
    )
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()


def milliseconds(values: Floats) -> Floats:
    """Seconds to milliseconds, with what is below the axis drawn at its floor."""
    result: Floats = np.maximum(np.asarray(values, dtype=np.float64) * 1e3, FLOOR_MS)
    return result


def delay_axis(axis: Any, low: float, high: float) -> None:
    """A logarithmic axis in ms whose ticks are plain numbers, few and readable."""
    decades = np.log10(high / low)
    subs: tuple[float, ...] = (1.0,)
    if decades < 0.35:
        subs = tuple(np.arange(1.0, 10.0, 0.5))
    elif decades < 0.8:
        subs = (1.0, 2.0, 3.0, 5.0, 7.0)
    elif decades < 3.2:
        subs = (1.0, 2.0, 5.0) if decades < 1.9 else (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    if len(subs) > 1:  # its own ticks are near enough to each other
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_minor_locator(LogLocator(subs=tuple(np.arange(1.0, 10.0)), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def bare(axes: Axes, *keep: str) -> None:
    """Hide the spines that are not named."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)


@dataclass(frozen=True, slots=True, eq=False)
class TailPanel:
    """One panel of the distribution figure.

    ``x_s``/``above``: delay in s against the share of packets above it. ``limits``: label and
    limit in s of each requirement that judged it. ``note``: counts, in words.
    """

    title: str
    note: str
    x_s: Floats
    above: Floats
    limits: tuple[tuple[str, float], ...] = ()


def tails(panels: Sequence[TailPanel], name: str, watermark: str = "") -> str:
    """Small multiples of complementary distributions of delay, limits marked."""
    columns = 3
    rows = -(-len(panels) // columns)
    with style():
        figure = Figure(figsize=(WIDTH_IN, 1.75 * rows + 0.4))
        grid = figure.subplots(rows, columns, squeeze=False)
        for panel, axes in zip(panels, grid.flat, strict=False):
            _draw_tail(axes, panel)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel("share above")
        figure.subplots_adjust(
            left=0.075,
            right=0.99,
            top=1 - 0.25 / (1.75 * rows + 0.4),
            bottom=0.57 / (1.75 * rows + 0.4),
            hspace=0.62,
            wspace=0.22,
        )
        stamp(figure, watermark)
        return to_svg(figure, name, "Distribution of one-way delay, limits marked")


def _draw_tail(axes: Axes, panel: TailPanel) -> None:
    bare(axes, "left", "bottom")
    axes.set_title(panel.title, loc="left", fontsize=7.4, fontweight="bold", pad=3, color=INK)
    axes.text(1, 1.02, panel.note, transform=axes.transAxes, ha="right", va="bottom", color=FAINT,
              fontsize=6.2)  # fmt: skip
    if not len(panel.x_s):
        axes.text(0.5, 0.5, "no packets", transform=axes.transAxes, ha="center", color=FAINT)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    x = milliseconds(panel.x_s)
    marks = [limit * 1e3 for _, limit in panel.limits if limit > 0]
    low, high = min([x[0], *marks]) / 1.25, max([x[-1], *marks]) * 1.25
    least = float(panel.above.min())
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.step(x, panel.above, where="post", color=COLOURS[0], linewidth=1.1)
    axes.plot(x[-1:], panel.above[-1:], "o", color=COLOURS[0], markersize=2.4)
    axes.set_xlim(low, high)
    axes.set_ylim(least / 2, 1.6)
    axes.grid(True, which="major", color=GRID, linewidth=0.4)
    delay_axis(axes.xaxis, low, high)
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("one-way delay, ms", labelpad=1)
    for index, (label, limit) in enumerate(panel.limits):
        axes.axvline(limit * 1e3, color=LIMIT, linewidth=1.0, linestyle=(0, (4, 2)))
        left = np.log(limit * 1e3 / low) > 0.5 * np.log(high / low)
        axes.annotate(label, (limit * 1e3, 0.97 - 0.11 * index),
                      xycoords=("data", "axes fraction"), xytext=(-3 if left else 3, 0),
                      textcoords="offset points", ha="right" if left else "left", va="top",
                      fontsize=6.2, color=LIMIT,
                      bbox=BACKED)  # fmt: skip


def stamp(figure: Figure, watermark: str) -> None:
    """The watermark in the figure's own corner: it stays when the figure is copied elsewhere."""
    if watermark:
        height = float(figure.get_size_inches()[1])
        figure.text(0.995, 0.03 / height, watermark, ha="right", va="bottom", fontsize=5.6,
                    color=FAINT, style="italic")  # fmt: skip


def palette(names: Iterable[str]) -> Mapping[str, str]:
    """One colour per name, in order."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}
