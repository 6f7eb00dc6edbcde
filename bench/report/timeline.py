"""One figure per session: delay, loss, alarms, states, contacts and actions over the scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from bench.devices.profile import Stream
from bench.measure.pairing import flow_of
from bench.network.impairment import DIRECTIONS
from bench.report import plots, series
from bench.report.series import Envelope, Span
from bench.report.words import plain
from bench.sessions.recording import Recording

PRIORITY_COLOURS = {"high": "#D62828", "medium": "#F2C200", "low": "#00AEC7"}
"""IEC 60601-1-8:2006+A1+A2, table 2: red, yellow, cyan. The word always stands beside it."""

ROLE_COLOURS = {"within": "#ffffff", "at": "#f6efd9", "beyond": "#e7e7ee"}
_STATE_COLOURS = {
    "ENABLED": "#bfe3d0",
    "PAUSED": "#f3e2a9",
    "DISABLED": "#d8d8d8",
    "FAULT": "#efb3a6",
}
_ARROWS = {"to-patient": "doctor → patient", "to-doctor": "patient → doctor"}
_DASHES = ("-", (0, (3.5, 1.6)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
_LEFT_IN, _RIGHT_IN = 1.75, 1.62
_LANE_IN = 0.175
_MARKS = ("rearm", "rearm-rejected", "commands-dropped")
_MOST_MARKS = 200
_BINS, _LOSS_BINS = 240, 60
_KINDS = ("force", "vibration", "video-2d", "video-3d", "audio")
_MEDIA = _KINDS.index("video-3d")


@dataclass(frozen=True, slots=True)
class Bar:
    """A span on a lane with its fill."""

    span: Span
    colour: str
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Lane:
    """One line below the delay panels: bars that last, or marks at points in time."""

    label: str
    bars: tuple[Bar, ...] = ()
    marks: tuple[float, ...] = ()
    through: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One stream in one direction over one link, binned."""

    stream: Stream
    direction: int
    link: str
    link_index: int
    colour: str
    data: Envelope

    @property
    def dash(self) -> Any:
        """The line style says the link."""
        return _DASHES[self.link_index % len(_DASHES)]

    @property
    def label(self) -> str:
        """Name for the legend: the first link goes without saying."""
        name = plain(self.stream.name)
        return name if self.link_index == 0 else f"{name}, {plain(self.link)}"


Panel = tuple[float, Callable[[Axes], None]]


def timeline(recording: Recording, watermark: str = "") -> str:
    """The session as inline SVG. Works with no packets, no events and an unfinished session."""
    stop_s = max(series.end_s(recording), 1e-3)
    lines = important_lines(recording, stop_s)
    lanes = all_lanes(recording)
    panels: list[Panel] = [(0.34, lambda axes: _draw_steps(axes, recording))]
    for direction in range(len(DIRECTIONS)):
        own = tuple(line for line in lines if line.direction == direction)
        limit = recording.device.limits.get("command_delay_s") if direction == 0 else None
        panels.append((1.15, _delay_panel(own, direction, limit)))
    lossy = loss_lines(recording, lines, stop_s)
    if lossy:
        panels.append((0.62, lambda axes: _draw_loss(axes, lossy)))
    if lanes:
        height = _LANE_IN * len(lanes) + 0.04
        panels.append((height, lambda axes: _draw_lanes(axes, lanes, stop_s)))
    title = f"Session {recording.session_id}: delay, alarms and states over the scenario"
    with plots.style():
        figure = _stack(panels, recording, stop_s)
        marks = [t_s for lane in lanes if lane.through for t_s in lane.marks]
        for axes in figure.axes:
            _verticals(axes, marks, zorder=5, color="#7a1fa2", linewidth=0.7)
        plots.stamp(figure, watermark)
        return plots.to_svg(figure, recording.session_id, title)


def important_lines(recording: Recording, stop_s: float) -> tuple[Line, ...]:
    """Per direction the streams that matter most, and those that run on more than one link."""
    device, found = recording.device, series.present(recording)
    by_code = {stream.code: stream for stream in device.streams}
    links = recording.schedule.links
    chosen = []
    for direction in range(len(DIRECTIONS)):
        here = [(s, link) for s, d, link in found if d == direction and s in by_code]
        codes = sorted({s for s, _ in here}, key=lambda code: _rank(by_code[code]))
        media = [c for c in codes[:2] if _rank(by_code[c])[0] <= _MEDIA] or codes[:1]
        codes = media + [c for c in codes if not by_code[c].kinds and c not in media][:1]
        chosen += [(c, direction, k) for c in codes for s, k in here if s == c and k < len(links)]
    names = dict.fromkeys(by_code[c].name for c, _, _ in chosen if by_code[c].kinds)
    colours = plots.palette(names)
    lines = []
    for code, direction, link in chosen:
        flow = flow_of(recording, by_code[code].name, DIRECTIONS[direction])
        flights = series.flights(flow, link)
        bins = min(_BINS, max(1, len(flights.sent_s) // 4))
        data = series.envelope(flights, stop_s, bins)
        colour = colours.get(by_code[code].name, plots.FAINT)
        lines.append(Line(by_code[code], direction, links[link], link, colour, data))
    return tuple(lines)


def all_lanes(recording: Recording) -> tuple[Lane, ...]:
    """The lanes of a session; those on which nothing happened are left out."""
    lanes: list[Lane] = []
    links = {str(index): name for index, name in enumerate(recording.schedule.links)}
    for side in ("doctor", "patient"):
        spans = series.state_spans(recording, "link-switch", side)
        named = tuple(
            Bar(Span(s.start_s, s.end_s, links.get(s.label, plain(s.label)), s.open), "#dbe7f3")
            for s in spans
        )
        lanes.append(Lane(f"{side}: link in use (log)", named))
    for side in ("doctor", "patient"):
        spans = series.state_spans(recording, "state", side)
        bars = tuple(Bar(s, _STATE_COLOURS.get(s.label, "#e4e4e4")) for s in spans)
        lanes.append(Lane(f"{side}: state (log)", bars))
    for side in ("doctor", "patient"):
        bars = tuple(Bar(s, "#b7c9a8") for s in series.connected_spans(recording, side))
        lanes.append(Lane(f"{side}: connected (log)", bars))
    for name in ("motion", "brake", "stop-button"):
        bars = tuple(Bar(s, "#4d4d4d") for s in series.contact_spans(recording, name))
        lanes.append(Lane(f"{name} (contact)", bars))
    for alarm in series.alarm_lanes(recording):
        colour = PRIORITY_COLOURS.get(alarm.priority, "#bdbdbd")
        bars = tuple(Bar(s, colour) for s in alarm.signals)
        bars += tuple(Bar(s, plots.INK, thin=True) for s in alarm.conditions)
        name = f"{plain(alarm.alarm)}, {plain(alarm.priority)}"
        lanes.append(Lane(f"{alarm.side}: {name}", bars))
    lanes += _mark_lanes(recording)
    return tuple(lane for lane in lanes if lane.bars or lane.marks)


def _mark_lanes(recording: Recording) -> list[Lane]:
    times: dict[tuple[str, bool], list[float]] = {}
    for event in recording.events:
        if event.name == "action":
            value = event.value if isinstance(event.value, Mapping) else {}
            key = (f"bench: {plain(value.get('name', 'action'))}", True)
        elif event.name in _MARKS:
            key = (f"{event.side}: {event.name} ({event.origin})", False)
        else:
            continue
        times.setdefault(key, []).append(event.t_ns / 1e9)
    return [
        Lane(label, marks=tuple(marks[:_MOST_MARKS]), through=through)
        for (label, through), marks in times.items()
    ]


def _rank(stream: Stream) -> tuple[int, int]:
    places = [_KINDS.index(kind) for kind in stream.kinds if kind in _KINDS]
    return (min(places) if places else len(_KINDS), stream.code)


def _stack(panels: list[Panel], recording: Recording, stop_s: float) -> Figure:
    gap, foot, head = 0.13, 0.42, 0.04
    height = sum(size for size, _ in panels) + gap * (len(panels) - 1) + foot + head
    figure = Figure(figsize=(plots.WIDTH_IN, height))
    left, width = _LEFT_IN / plots.WIDTH_IN, 1 - (_LEFT_IN + _RIGHT_IN) / plots.WIDTH_IN
    top = height - head
    for index, (size, draw) in enumerate(panels):
        axes = figure.add_axes((left, (top - size) / height, width, size / height))
        top -= size + gap
        axes.set_xlim(0, stop_s)
        plots.bare(axes, "left", "bottom")
        if index:
            _shade(axes, recording)
        draw(axes)
        if index == len(panels) - 1:
            axes.set_xlabel("time from the start of the session, s", labelpad=2)
        else:  # a tick costs as much as a line, seen or not
            axes.xaxis.set_major_locator(NullLocator())
    return figure


def _shade(axes: Axes, recording: Recording) -> None:
    windows = recording.schedule.windows
    spans = [(w.start_ns / 1e9, (w.end_ns - w.start_ns) / 1e9) for w in windows]
    colours = [ROLE_COLOURS.get(w.role, "#ffffff") for w in windows]
    across = axes.get_xaxis_transform()
    axes.add_collection(
        PolyCollection(
            [_box(start, width, 0, 1) for start, width in spans],
            facecolors=colours, linewidths=0, zorder=0, transform=across,
        ),
        autolim=False,
    )  # fmt: skip
    _verticals(axes, [start for start, _ in spans if start > 0], color="#9a9a9a", linewidth=0.5)
    phases = [start / 1e9 for w in windows for _, start, _ in w.phases[1:]]
    _verticals(axes, phases, color="#bcbcbc", linewidth=0.4, linestyle=(0, (2, 2)))


def _box(left: float, width: float, bottom: float, height: float) -> list[tuple[float, float]]:
    right, top = left + width, bottom + height
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _verticals(axes: Axes, times_s: Sequence[float], zorder: float = 1, **style: Any) -> None:
    """Lines over the whole height, as one artist."""
    if len(times_s):
        across = axes.get_xaxis_transform()
        segments = [[(t_s, 0.0), (t_s, 1.0)] for t_s in times_s]
        lines = LineCollection(segments, zorder=zorder, transform=across, **style)
        axes.add_collection(lines, autolim=False)


def _draw_steps(axes: Axes, recording: Recording) -> None:
    plots.bare(axes)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    stop_s = axes.get_xlim()[1]
    for window in recording.schedule.windows:
        start, end = window.start_ns / 1e9, window.end_ns / 1e9
        colour = ROLE_COLOURS.get(window.role, "#ffffff")
        axes.axvspan(start, end, facecolor=colour, edgecolor="#9a9a9a", linewidth=0.5, zorder=0)
        role = window.role if window.judged else f"{window.role}, not judged"
        middle = (start + end) / 2
        name = _fit(plain(window.name), end - start, stop_s)
        axes.text(middle, 0.70, name, ha="center", va="center", fontweight="bold")
        axes.text(middle, 0.26, _fit(role, end - start, stop_s, _fit(window.role, 1, 1)),
                  ha="center", va="center", fontsize=6.2, color=plots.FAINT)  # fmt: skip
    axes.text(-0.01, 0.70, "step", transform=axes.transAxes, ha="right", va="center")
    axes.text(-0.01, 0.26, "role", transform=axes.transAxes, ha="right", va="center",
              fontsize=6.2, color=plots.FAINT)  # fmt: skip


def _fit(text: str, width_s: float, stop_s: float, shorter: str = "") -> str:
    """The text, the shorter one, or as many letters as the span has room for."""
    room = int((plots.WIDTH_IN - _LEFT_IN - _RIGHT_IN) * width_s / stop_s / 0.062)
    if len(text) <= room:
        return text
    if shorter and len(shorter) <= room:
        return shorter
    return f"{text[: room - 1]}…" if room >= 3 else ""


def _delay_panel(
    lines: tuple[Line, ...], direction: int, limit_s: float | None
) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        axes.set_ylabel(f"{_ARROWS[DIRECTIONS[direction]]}\none-way delay, ms", labelpad=3)
        shown = [line for line in lines if np.isfinite(line.data.p50_s).any()]
        if not shown:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no packet was seen at both taps", transform=axes.transAxes,
                      ha="center", va="center", color=plots.FAINT)  # fmt: skip
            return
        _draw_delay(axes, shown, limit_s)

    return draw


def _draw_delay(axes: Axes, lines: list[Line], limit_s: float | None) -> None:
    low, high = np.inf, 0.0
    for line in lines:
        data = line.data
        least, most = plots.milliseconds(data.low_s), plots.milliseconds(data.high_s)
        axes.fill_between(data.t_s, least, most, color=line.colour, alpha=0.18, linewidth=0)
        above = 2.5 if line.stream.kinds else 2.2  # heartbeats go behind what is judged
        axes.plot(data.t_s, plots.milliseconds(data.p50_s), color=line.colour, linewidth=1.0,
                  linestyle=line.dash, label=line.label, zorder=above)  # fmt: skip
        low, high = min(low, float(np.nanmin(least))), max(high, float(np.nanmax(most)))
    if limit_s and 0.2 * limit_s * 1e3 < high:
        axes.axhline(limit_s * 1e3, color=plots.LIMIT, linewidth=0.8, linestyle=(0, (4, 2)))
        high = max(high, limit_s * 1e3)
        axes.text(0.995, limit_s * 1e3, f"the device acts above {limit_s * 1e3:g} ms", ha="right",
                  transform=axes.get_yaxis_transform(), fontsize=6.2, va="center",
                  color=plots.LIMIT, bbox=plots.BACKED)  # fmt: skip
    axes.set_yscale("log")
    axes.set_ylim(low / 1.3, high * 1.3)
    plots.delay_axis(axes.yaxis, low / 1.3, high * 1.3)
    axes.grid(True, axis="y", which="major", color=plots.GRID, linewidth=0.4)
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.03), borderaxespad=0.2, labelspacing=0.3)


def loss_lines(recording: Recording, lines: tuple[Line, ...], stop_s: float) -> tuple[Line, ...]:
    """The loss of each direction's foremost stream, in bins wide enough for a ratio."""
    first = {d: next((k.stream for k in lines if k.direction == d), None) for d in (0, 1)}
    result = []
    for line in lines:
        if line.stream is first[line.direction]:
            flow = flow_of(recording, line.stream.name, DIRECTIONS[line.direction])
            flights = series.flights(flow, line.link_index)
            data = series.envelope(flights, stop_s, _LOSS_BINS)
            result.append(replace(line, data=data))
    lossy = any(np.nanmax(line.data.loss, initial=0.0) > 0 for line in result)
    return tuple(result) if lossy else ()


def _draw_loss(axes: Axes, lines: tuple[Line, ...]) -> None:
    top = 0.0
    for line in lines:
        axes.step(line.data.t_s, 100 * line.data.loss, where="mid", linewidth=0.9,
                  linestyle=line.dash, color=line.colour,
                  label=f"{DIRECTIONS[line.direction]}: {line.label}")  # fmt: skip
        top = max(top, 100 * float(np.nanmax(line.data.loss, initial=0.0)))
    axes.set_ylim(0, max(top * 1.12, 1.0))
    axes.set_ylabel("lost, %", labelpad=3)
    axes.grid(True, axis="y", color=plots.GRID, linewidth=0.4)
    _legend(axes)


def _draw_lanes(axes: Axes, lanes: tuple[Lane, ...], stop_s: float) -> None:
    plots.bare(axes, "bottom")
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.set_yticks(range(len(lanes)), [lane.label for lane in lanes], fontsize=6.6)
    axes.tick_params(axis="y", length=0)
    rules = [[(0.0, row + 0.5), (stop_s, row + 0.5)] for row in range(len(lanes))]
    axes.add_collection(LineCollection(rules, color=plots.GRID, linewidth=0.4, zorder=1))
    boxes: list[Any] = []
    for row, lane in enumerate(lanes):
        for bar in lane.bars:
            width = max(bar.span.end_s - bar.span.start_s, stop_s / 900)
            height, edge = (0.16, "none") if bar.thin else (0.62, "#4a4a4a")
            middle = row + 0.36 if bar.thin else row
            box = _box(bar.span.start_s, width, middle - height / 2, height)
            boxes.append((box, bar.colour, edge))
            text = _fit(plain(bar.span.label), width, stop_s)
            if text:
                axes.text(bar.span.start_s + width / 2, row, text, ha="center", va="center",
                          fontsize=5.8, zorder=4, clip_on=True)  # fmt: skip
        if lane.marks:
            axes.plot(lane.marks, [row] * len(lane.marks), "v", color="#7a1fa2", markersize=3.2,
                      zorder=4)  # fmt: skip
    if boxes:
        shapes, colours, edges = zip(*boxes, strict=True)
        bars = PolyCollection(
            shapes, facecolors=colours, edgecolors=edges, linewidths=0.3, zorder=3
        )
        axes.add_collection(bars, autolim=False)
