"""The report's part on coexistence: where the device fails beside other radios."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.measure.disturbing import Carried, Disturbed
from bench.measure.failure_region import Column, Other, Region, column_name
from bench.measure.likelihood import Likelihood
from bench.network.interference import describe
from bench.report.data import ReportData
from bench.report.plots import (
    COLOURS,
    FAINT,
    GRID,
    INK,
    LIMIT,
    WIDTH_IN,
    bare,
    stamp,
    style,
    to_svg,
)
from bench.sessions.codec import from_json
from bench.units import show_duration

KEY = "coexistence"
"""Of run.json."""

_DECLARED = Mapping[str, Any]


def coexistence_part(report: ReportData, watermark: str) -> dict[str, Any]:
    """What the template shows; ``coexistence`` is None where the run explored nothing."""
    stored = report.run.get(KEY)
    if stored is None:
        return {"coexistence": None}
    region = from_json(Region, stored, file="run.json", field=KEY)
    return {
        "coexistence": {
            "facts": _facts(region),
            "svg": Markup(plot(region, _environment(report), watermark)),
            "columns": [_row(column, region) for column in region.columns],
            "likelihood": _likelihood(region),
            "others": [_other(one) for one in region.others],
        }
    }


def _other(one: Other) -> dict[str, str]:
    """One other network: reckoned, measured, and what the measurement shows."""
    alone, beside = ("" if r is None else describe(r) for r in (one.alone, one.beside))
    seen = one.measured or Disturbed(one.name, problem="this bench has no laboratory")
    answer, why = seen.answer()
    return {
        "name": one.name, "technology": one.technology, "alone": alone, "beside": beside,
        "measured_alone": _carried(seen.alone), "measured_beside": _carried(seen.beside),
        "answer": f"{answer}: {why}", "by": seen.measured_by,
    }  # fmt: skip


def _carried(found: Carried | None) -> str:
    """What a link carried, with the uncertainty of each figure."""
    if found is None:
        return ""
    rate = found.throughput()
    low, high = found.lost_bounds()
    return (
        f"{rate.value / 1e6:.4g} ± {rate.uncertainty / 1e6:.2g} Mbit/s; blocks lost "
        f"{found.lost:.2g} ({low:.2g} to {high:.2g}) of {found.blocks}"
    )


def _facts(region: Region) -> list[tuple[str, str]]:
    radio = region.radio
    saved = 1 - region.points / region.full_points
    return [
        *region.plan.items(),
        (
            "radio",
            f"{radio.technology} at {radio.frequency_hz / 1e6:g} MHz on the link {radio.link}, "
            f"intended signal {radio.wanted_dbm:g} dBm at the antenna port",
        ),
        ("points", f"{region.points} of {region.full_points}, {100 * saved:.0f} % saved"),
    ]


def _environment(report: ReportData) -> list[tuple[float, float]]:
    """Offset in MHz and I/U in dB of each signal that the device declares to bear."""
    device = report.recordings[0].device if report.recordings else None
    if device is None or device.radio is None or device.coexistence is None:
        return []
    radio = device.radio
    return [
        (radio.offset_hz(one) / 1e6, radio.ratio_db(one)) for one in device.coexistence.environment
    ]


def _row(column: Column, region: Region) -> dict[str, str]:
    wanted = region.radio.wanted_dbm
    failing = column.failing()
    boundary = column.boundary
    if boundary.problem:
        fails = f"not known: {boundary.problem}"
    elif math.isinf(failing.fails_dbm):
        fails = f"at none; kept up to {failing.kept_dbm - wanted:+.3g} dB"
    elif math.isinf(failing.kept_dbm):
        fails = f"at the lowest level, {failing.fails_dbm - wanted:+.3g} dB"
    else:
        fails = f"{failing.kept_dbm - wanted:+.3g} to {failing.fails_dbm - wanted:+.3g} dB"
    monotone = (
        f"{100 * boundary.confidence:g} %" if boundary.monotone else "not monotone: full grid"
    )
    return {
        "name": column_name(column.signal, column.offset_hz, column.duty),
        "fails": fails,
        "uncertainty": f"{failing.uncertainty_db:.2g} dB",
        "confidence": "" if boundary.problem else monotone,
        "points": f"{boundary.points} of {boundary.count}",
        "recovery": _recovery(column),
        "verified": "; ".join(sorted({p.verified_by for p in column.points if p.verified_by})),
    }


def _recovery(column: Column) -> str:
    """The longest of the points at which the performance was lost, and how many show none."""
    lost = [p.recovery_s for p in column.points if p.failed]
    times = [time_s for time_s in lost if time_s is not None]
    words = [show_duration(max(times))] if times else []
    if len(times) < len(lost):
        words.append(f"not regained or not shown at {len(lost) - len(times)} of {len(lost)} points")
    return "; ".join(words)


def _likelihood(region: Region) -> dict[str, Any]:
    if region.likelihood is None:
        return {"all": "", "rows": [], "problem": region.problem}
    rows = [(name, _share(one)) for name, one in region.each.items()]
    return {"all": _share(region.likelihood), "rows": rows, "problem": ""}


def _share(one: Likelihood) -> str:
    return f"{100 * one.value:.4g} % ({100 * one.low:.4g} to {100 * one.high:.4g} %)"


def plot(region: Region, declared: Sequence[tuple[float, float]], watermark: str = "") -> str:
    """I/U of every point against its offset from the channel, with the failing ratio."""
    with style():
        figure = Figure(figsize=(WIDTH_IN, 3.0))
        axes = figure.subplots()
        bare(axes, "left", "bottom")
        axes.grid(True, axis="y", color=GRID, linewidth=0.4)
        names = []
        for place, column in enumerate(region.columns):
            _draw(axes, place, column, region.radio.wanted_dbm)
            names.append(column_name(column.signal, column.offset_hz, column.duty))
        for offset_mhz, ratio_db in declared:
            for place, column in enumerate(region.columns):
                if abs(column.offset_hz / 1e6 - offset_mhz) < 1e-6:
                    axes.plot([place + 0.22], [ratio_db], "D", color=LIMIT, markersize=4)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel("I/U at the antenna port, dB")
        axes.set_title(
            f"Band at {region.radio.frequency_hz / 1e6:g} MHz: circle kept, cross lost, "
            "open: nothing shown; bar: where it begins to fail; diamond: declared",
            loc="left", fontsize=6.8, color=INK,
        )  # fmt: skip
        figure.subplots_adjust(left=0.08, right=0.99, top=0.9, bottom=0.14)
        stamp(figure, watermark)
        return to_svg(figure, "coexistence", "Ratio of unintended to intended signal by signal")


def _draw(axes: Axes, place: int, column: Column, wanted_dbm: float) -> None:
    for failed, mark, colour in (
        (False, "o", COLOURS[0]),
        (True, "x", COLOURS[1]),
        (None, "o", ""),
    ):
        ratios = [point.ratio_db for point in column.points if point.failed is failed]
        face = {"markerfacecolor": "none", "color": FAINT} if not colour else {"color": colour}
        axes.plot([place] * len(ratios), ratios, mark, markersize=4.5, linestyle="none", **face)  # type: ignore[arg-type]
    failing = column.failing()
    if math.isfinite(failing.kept_dbm) and math.isfinite(failing.fails_dbm):
        low = failing.kept_dbm - failing.uncertainty_db - wanted_dbm
        high = failing.fails_dbm + failing.uncertainty_db - wanted_dbm
        axes.bar([place], [high - low], bottom=low, width=0.5, color=COLOURS[1], alpha=0.22)
