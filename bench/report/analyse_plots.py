"""The plots of one stream between two captures: delay, losses and rate over time, and the tail."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bench.report.analyse_series import Drawn
from bench.report.plots import (
    COLOURS,
    FAINT,
    GRID,
    LIMIT,
    WIDTH_IN,
    bare,
    delay_axis,
    milliseconds,
    style,
    to_svg,
)
from bench.report.series import Floats
from bench.report.words import power_of_ten, quantity

_HEIGHT_IN = 3.3


def stream_plot(series: Drawn, name: str) -> str:
    """One figure as inline SVG; ``name`` tells it from the others on the page."""
    with style():
        figure = Figure(figsize=(WIDTH_IN, _HEIGHT_IN))
        grid = figure.add_gridspec(
            3, 2, height_ratios=(2.2, 1, 1), width_ratios=(2.1, 1), hspace=0.22, wspace=0.16,
            left=0.075, right=0.99, top=0.93, bottom=0.115,
        )  # fmt: skip
        delay = figure.add_subplot(grid[0, 0])
        losses = figure.add_subplot(grid[1, 0], sharex=delay)
        rate = figure.add_subplot(grid[2, 0], sharex=delay)
        _delay(delay, series)
        _losses(losses, series)
        _rate(rate, series)
        _tail(figure.add_subplot(grid[:, 1]), series)
        delay.set_xlim(0, max(series.span_s, 1e-9))
        for axes in (delay, losses):
            axes.tick_params(labelbottom=False)
        rate.set_xlabel("s since the stream's first packet", labelpad=1)
        return to_svg(figure, name, f"{series.name}, {series.direction}: delay, losses, rate")


def _title(axes: Axes, text: str, note: str = "") -> None:
    axes.set_title(text, loc="left", fontsize=7.2, fontweight="bold", pad=2)
    if note:
        axes.text(1, 1.01, note, transform=axes.transAxes, ha="right", va="bottom",
                  fontsize=6.2, color=FAINT)  # fmt: skip


def _empty(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT)
    axes.set_yticks([])


def _bars(axes: Axes, t: Floats, low: Floats, high: Floats, colour: str) -> None:
    """Upright lines as one path: hundreds of them stay small."""
    gaps = np.full(len(t), np.nan)
    heights = np.column_stack([low, high, gaps]).ravel()
    axes.plot(np.repeat(t, 3), heights, color=colour, linewidth=1.0, solid_capstyle="butt")


def _delay(axes: Axes, series: Drawn) -> None:
    bare(axes, "left", "bottom")
    found = series.delay
    shown = np.isfinite(found.p50_s)
    _title(axes, "one-way delay, ms", "least, median and largest per bin")
    if not shown.any():
        _empty(axes, "no packet arrived")
        return
    low, high = milliseconds(found.low_s[shown]), milliseconds(found.high_s[shown])
    middle = milliseconds(found.p50_s[shown])
    t = found.t_s[shown]
    _bars(axes, t, low, high, COLOURS[4])
    axes.plot(t, middle, ".", color=COLOURS[0], markersize=1.6)
    axes.set_yscale("log")
    bottom, top = float(low.min()) / 1.2, float(high.max()) * 1.2
    axes.set_ylim(bottom, top)
    axes.grid(True, axis="y", which="major", color=GRID, linewidth=0.4)
    delay_axis(axes.yaxis, bottom, top)


def _losses(axes: Axes, series: Drawn) -> None:
    bare(axes, "left", "bottom")
    note = f"{series.period_count} in all" if series.period_count else ""
    _title(axes, "loss periods, packets", note)
    if not len(series.periods):
        _empty(axes, "no loss")
        return
    _bars(axes, series.periods_t, np.zeros(len(series.periods)), series.periods, LIMIT)
    axes.set_ylim(0, float(series.periods.max()) * 1.15)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _rate(axes: Axes, series: Drawn) -> None:
    bare(axes, "left", "bottom")
    wide = quantity(series.bin_s, "s")
    _title(axes, "rate of frames, kbit/s", f"sent (line) and arrived (dots), bins of {wide}")
    axes.plot(series.rate_t, series.sent_bps / 1e3, color=COLOURS[1], linewidth=0.9)
    axes.plot(series.rate_t, series.got_bps / 1e3, ".", color=COLOURS[0], markersize=2.2)
    axes.set_ylim(0, 1.1 * float(max(series.sent_bps.max(), series.got_bps.max())) / 1e3 or 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _tail(axes: Axes, series: Drawn) -> None:
    bare(axes, "left", "bottom")
    _title(axes, "share of packets above a delay")
    if not len(series.above_x):
        _empty(axes, "no packet arrived")
        return
    x = milliseconds(series.above_x)
    low, high = float(x[0]) / 1.1, float(x[-1]) * 1.1
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.step(x, series.above, where="post", color=COLOURS[0], linewidth=1.1)
    axes.plot(x[-1:], series.above[-1:], "o", color=COLOURS[0], markersize=2.4)
    axes.set_xlim(low, high)
    axes.set_ylim(float(series.above.min()) / 2, 1.6)
    axes.grid(True, which="major", color=GRID, linewidth=0.4)
    delay_axis(axes.xaxis, low, high)
    _decades(axes.yaxis)
    axes.set_xlabel("one-way delay, ms (losses lie above all)", labelpad=1)


def _decades(axis: Any) -> None:
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())
