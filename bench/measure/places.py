"""One device on several networks: CON-2, ENV-1 and LIFE-1, one trial each.

Each network is a step of the scenario; what is counted is whether every stream kept its limits
there (:mod:`bench.measure.needs`).
"""

from __future__ import annotations

import math

from bench.devices.profile import AlarmProfile
from bench.measure import events as ev
from bench.measure.needs import Needs, needs_between, settled
from bench.network.impairment import DIRECTIONS, Impairment
from bench.network.scenario import Window
from bench.sessions.recording import Recording

ACCESS, SITE, BASELINE, RERUN = "access", "site", "baseline", "rerun"
"""Kinds of the steps: an access method, a site, a site as it was at installation, and later."""

USE = "use"
"""The phase of a step that counts; before it the device joins the network."""

LEAST_SITES = 2
"""An operating envelope is more than one point."""


def con_2(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Declared access methods on which every stream keeps its limits; each has its own detail."""
    declared = [name for name in recording.device.functions if name.startswith("access-")]
    count = recording.device.declares.get("access_methods")
    if not declared or (count is not None and count != len(declared)):
        raise ev.Cannot(f"{count or 0:g} access methods are declared and {len(declared)} named")
    steps = {w.name: w for w in recording.schedule.windows if w.kind == ACCESS}
    untried = [name for name in declared if name not in steps]
    if untried:
        raise ev.Cannot(f"not tried: {', '.join(untried)}")
    found = {name: _needs(recording, steps[name]) for name in declared}
    settled(found)
    passed = sum(not needs.broken and not needs.unclear for needs in found.values())
    return float(passed), {name: needs.words for name, needs in found.items()}


def env_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Sites within the declared envelope at which a stream does not keep its limits."""
    sites = [w for w in recording.schedule.windows if w.kind == SITE]
    inside = [w for w in sites if not outside_envelope(recording, w)]
    details: ev.Details = {w.name: "outside the envelope" for w in sites if w not in inside}
    if len(inside) < LEAST_SITES:
        raise ev.Cannot(
            f"{len(inside)} of {len(sites)} sites lie within the declared envelope: "
            "one point is no envelope"
        )
    found = {w.name: _needs(recording, w) for w in inside}
    settled(found)
    details |= {name: needs.words for name, needs in found.items()}
    return float(sum(bool(needs.broken) for needs in found.values())), details


def life_1(recording: Recording, alarm: AlarmProfile | None) -> tuple[float, ev.Details]:
    """Reruns at a site at which a stream does not keep its limits; the trend is in the details.

    The recording carries the baseline: the site as it was stated at installation is its first
    place, and the reruns are the site as it was measured later.
    """
    windows = recording.schedule.windows
    before = [w for w in windows if w.kind == BASELINE]
    after = [w for w in windows if w.kind == RERUN]
    if len(before) != 1 or not after:
        raise ev.Cannot("the recording holds no baseline of the site, or no rerun")
    for window in (*before, *after):
        if reason := outside_envelope(recording, window):
            raise ev.Cannot(f"{window.name}: the site itself is outside the envelope ({reason})")
    baseline = _needs(recording, before[0])
    found = {w.name: _needs(recording, w) for w in after}
    settled(found)
    broken = sum(bool(needs.broken) for needs in found.values())
    if not broken and (baseline.broken or baseline.unclear):
        raise ev.Cannot(f"no baseline: {baseline.words}")
    details: ev.Details = {before[0].name: baseline.words}
    details |= {name: needs.words for name, needs in found.items()}
    latest = found[after[-1].name]
    for stream, value in baseline.p99_s.items():
        if stream in latest.p99_s:
            details[f"trend of {stream} delay p99 (s)"] = latest.p99_s[stream] - value
    return float(broken), details


def outside_envelope(recording: Recording, window: Window) -> str:
    """What of a site lies beyond the declared operating envelope; empty where nothing does.

    Raises:
        Cannot: the device declares no envelope.
    """
    declares = recording.device.declares
    for name in ("site_delay_s", "site_loss", "site_rate_bps"):
        if name not in declares:
            raise ev.Cannot(f"not declared: D:{name}")
    start_ns, _ = _span(window)
    for link in recording.schedule.links:
        for direction in DIRECTIONS:
            state = Impairment()
            for t_ns, impairment in recording.schedule.of(link, direction):
                state = impairment if t_ns <= start_ns else state
            if state.delay.mean_s > declares["site_delay_s"]:
                return f"delay of {link} {direction}"
            if state.loss_ratio > declares["site_loss"]:
                return f"loss of {link} {direction}"
            if (state.rate_bps or math.inf) < declares["site_rate_bps"]:
                return f"rate of {link} {direction}"
    return ""


def _span(window: Window) -> tuple[int, int]:
    try:
        return window.phase(USE)
    except KeyError:
        raise ev.Cannot(f"the step {window.name} has no phase {USE}") from None


def _needs(recording: Recording, window: Window) -> Needs:
    return needs_between(recording, *_span(window))
