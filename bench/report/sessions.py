"""The report's part on sessions: plots, stimulus, events, health and noise floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from bench.report import plots, series, words
from bench.report.data import ReportData, sessions_of
from bench.report.plots import TailPanel
from bench.report.timeline import timeline
from bench.report.words import NONE, plain
from bench.sessions.recording import Recording

MOST_EVENTS = 150
"""Events listed per session; the recording holds all."""

MOST_PLOTS = 24
"""Sessions shown with plot and tables; of any further ones the outcome is told in words."""

_QUANTILES = {
    "p50": "p50",
    "p99": "p99",
    "p999": "p99.9",
    "max": "max",
    "ipdv_p99": "IPDV p99",
    "pdv_p999": "PDV p99.9",
}
_ORIGINS = {"contact": "contact", "signal": "signal sensor", "log": "device's log"}


def plotted(report: ReportData) -> frozenset[str]:
    """The sessions that are shown in full: one of every scenario, then in order to the bound."""
    first = {r.scenario: r.session_id for r in reversed(report.recordings)}
    rest = [r.session_id for r in report.recordings if r.session_id not in first.values()]
    return frozenset([*first.values(), *rest][:MOST_PLOTS])


def session(
    report: ReportData, recording: Recording, watermark: str, *, full: bool = True
) -> dict[str, Any]:
    """One session for the template; without ``full`` neither plot nor tables."""
    stimulus = [_stimulus_row(r) for r in report.stimuli.get(recording.session_id) or ()]
    svg = over_time(report, recording, watermark) if full else ""
    listed = [e for e in recording.events if e.name != "step"] if full else []
    extra = f"first {MOST_EVENTS} of {len(listed)}" if len(listed) > MOST_EVENTS else len(listed)
    return {
        "id": plain(recording.session_id),
        "title": plain(recording.scenario),
        "line": _line(recording),
        "svg": Markup(svg) if svg else None,
        "no_plot": ""
        if not full
        else "Nothing was recorded in this session: no packets and no events.",
        "stimulus": stimulus if full else [],
        "stimulus_bad": [r for r in stimulus if r["bad"]],
        "stimulus_answer": _stimulus_answer(stimulus),
        "events": [_event_row(event) for event in listed[:MOST_EVENTS]],
        "events_answer": extra,
    }


def over_time(report: ReportData, recording: Recording, watermark: str) -> str:
    """The session's plot as SVG, empty where nothing was recorded."""
    if not len(recording.packets) and not recording.events:
        return ""
    key = f"timeline-{recording.session_id}"
    if key not in report.drawings:
        report.drawings[key] = timeline(recording, watermark)
    return report.drawings[key]


def distributions(report: ReportData, watermark: str) -> list[tuple[str, str]]:
    """Per session that delay verdicts rest on: its title and its distributions as SVG."""
    shown = plotted(report)
    own = (r for r in report.recordings if r.session_id in shown)
    drawn = ((r, distribution(report, r, watermark)) for r in own)
    return [(f"{plain(r.scenario)}, judged steps", svg) for r, svg in drawn if svg]


def distribution(report: ReportData, recording: Recording, watermark: str) -> str:
    """The distributions of delay of the judged streams, empty where there is nothing to show."""
    key = f"tails-{recording.session_id}"
    if key not in report.drawings:
        judges = [
            v for v in report.verdicts if _is_delay(v) and recording.session_id in sessions_of(v)
        ]
        panels = [panel for panel in _panels(recording, judges) if len(panel.x_s)]
        report.drawings[key] = plots.tails(panels, key, watermark) if panels else ""
    return report.drawings[key]


def bench_part(report: ReportData) -> dict[str, Any]:
    """Noise floor and the bench's health per session, for the template."""
    floor = _floor_rows(report.run.get("noise_floor"))
    names = list(dict.fromkeys(key for _, values in floor for key in values))
    lateness = list(dict.fromkeys(k for r in report.recordings for k in r.health.lateness_s))
    return {
        "floor_names": [_QUANTILES.get(name, plain(name)) for name in names],
        "floor": [
            (name, [_floor_figure(key, values.get(key)) for key in names]) for name, values in floor
        ],
        "proof": _proof_line(report.run.get("emulator_proof")),
        "lateness_names": [_QUANTILES.get(name, plain(name)) for name in lateness],
        "health": [_health_row(recording, lateness) for recording in report.recordings],
    }


def _proof_line(proof: Any) -> str:
    """The short proof of the emulator before the run, in one line; empty where none was made."""
    if not proof:
        return ""
    backend, verdict = plain(str(proof.get("backend"))), plain(str(proof.get("verdict")))
    rows = proof.get("rows") or []
    if not rows:
        return f"{backend}: {verdict} ({plain(str(proof.get('reason', '')))})"
    parts = [f"{backend}: {verdict}, {len(rows)} rows"]
    worst = (proof.get("uncertainty") or {}).get("delay_error_p99_s")
    if worst is not None:
        parts.append(f"delay error p99 of the worst row {words.quantity(worst, 's')}")
    parts += [
        f"{row['name']}: {row['verdict']} ({row['reason']})"
        for row in rows
        if row.get("verdict") not in ("holds", "not offered")
    ]
    return plain("; ".join(parts))


def _line(recording: Recording) -> str:
    counts = words.count(len(recording.packets))
    drawn = ", ".join(f"{plain(n)} {words.quantity(v, 's')}" for n, v in recording.schedule.draws)
    parts = [
        f"{plain(recording.bench)} bench, {plain(recording.backend)}",
        words.quantity(recording.schedule.end_ns / 1e9, "s"),
        f"{counts} rows of packets",
        f"{len(recording.events)} events",
        f"drawn: {drawn}" if drawn else "",
        "" if recording.health.complete else "the session did not come to its end",
    ]
    return " · ".join(part for part in parts if part)


def _event_row(event: Any) -> dict[str, str]:
    return {
        "time": f"{event.t_ns / 1e9:.4f} s",
        "side": event.side,
        "origin": _ORIGINS.get(event.origin, event.origin),
        "name": plain(event.name),
        "value": words.anything(event.value),
    }


def _stimulus_row(row: Mapping[str, Any]) -> dict[str, Any]:
    ok = row.get("ok")
    path = (plain(row.get(key)) for key in ("link", "direction"))
    step = (plain(row.get(key)) for key in ("step", "phase"))
    return {
        "step": ", ".join(dict.fromkeys(part for part in step if part)),
        "role": plain(row.get("role")),
        "path": ", ".join(part for part in path if part),
        **{k: words.anything(row.get(k)) for k in ("intended", "commanded", "achieved", "floor")},
        "ok": {True: "yes", False: "no"}.get(ok, "not checked"),  # type: ignore[arg-type]
        "bad": ok is False,
        "checked": ok is not None,
        "reason": plain(row.get("reason")),
    }


def _stimulus_answer(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "not checked"
    checked = [row for row in rows if row["checked"]]
    good = sum(not row["bad"] for row in checked)
    open_ = len(rows) - len(checked)
    text = f"{good} of {len(checked)} checked states achieved within tolerance"
    return f"{text}, {open_} not checked" if open_ else text


def _is_delay(verdict: Mapping[str, Any]) -> bool:
    return str(verdict.get("metric") or "").startswith("delay") and verdict.get("unit") == "s"


def _panels(recording: Recording, judges: list[Mapping[str, Any]]) -> list[TailPanel]:
    panels = []
    for stream in recording.device.active_streams:
        own = [v for v in judges if v.get("stream") == stream.name or v.get("stream") in
               stream.kinds]  # fmt: skip
        if not own:
            continue
        delays = series.judged_delays(recording, stream.name)
        x_s, above = series.tail(delays)
        lost = int((delays != delays).sum())
        limits = {
            (f"{plain(v.get('requirement'))}", limit)
            for v in own
            if (limit := words.number(v.get("limit"))) is not None
        }
        note = f"n = {words.count(len(delays))}, lost {words.count(lost)}"
        panels.append(TailPanel(plain(stream.name), note, x_s, above, _labelled(limits)))
    return panels


def _labelled(limits: set[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """One mark per limit, named by its figure: ids are in the table and too long for a plot."""
    return tuple((f"{figure * 1e3:g} ms", figure) for figure in sorted({v for _, v in limits}))


def _floor_rows(floor: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Per stream or per direction, whichever the run recorded."""
    if isinstance(floor, Mapping) and "streams" in floor:
        floor = floor["streams"]
    if not isinstance(floor, Mapping) or not floor:
        return []
    nested = [(plain(name), v) for name, v in floor.items() if isinstance(v, Mapping)]
    flat = {name: v for name, v in floor.items() if not isinstance(v, Mapping)}
    return nested + ([("all", flat)] if flat else [])


def _floor_figure(name: str, value: Any) -> str:
    if name == "n" or isinstance(value, str):
        return words.count(value) if name == "n" else plain(value)
    return words.quantity(value, "s")


def _health_row(recording: Recording, lateness: list[str]) -> dict[str, Any]:
    health = recording.health
    return {
        "scenario": plain(recording.scenario),
        "complete": "yes" if health.complete else "no",
        "lateness": [words.quantity(health.lateness_s.get(name), "s") for name in lateness],
        "tap_drops": words.count(health.tap_drops),
        "emulator_drops": words.count(health.emulator_drops),
        "clock_step": words.quantity(health.clock_step_s, "s"),
        "notes": "; ".join(plain(note) for note in health.notes) or NONE,
        "bad": bool(not health.complete or health.tap_drops or health.emulator_drops),
    }
