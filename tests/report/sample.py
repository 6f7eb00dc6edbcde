"""A synthetic run that resembles the therapy plan: ten sessions, verdicts, scope, stimulus.

Nothing here is measured: packets follow the schedule's law with seeded noise, and events are
placed by hand where a healthy robot would put them. Run as a script it writes all reports:
``python tests/report/sample.py FOLDER``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device
from bench.judge.verdict import Outcome, Verdict
from bench.measure.measurement import UncertaintyTerm
from bench.network.impairment import DIRECTIONS, Delay, Impairment, bernoulli
from bench.network.scenario import Action, LinkState, Scenario, Segment, Step, both
from bench.report.data import ReportData, report_data
from bench.requirements.model import Reading, Requirement, Source
from bench.sessions.packets import NO_LINK, ROW, PacketTable, merge
from bench.sessions.recording import Event, Health, Recording, Session
from bench.units import ns

SEED = 7
REPORT = "Research report on remote medical devices (CAICT, 2023)"

_PRIMARY = Impairment(delay=Delay(0.0023, "uniform", 0.0003), rate_bps=200e6)
_STANDBY = Impairment(delay=Delay(0.0041, "uniform", 0.0004), rate_bps=100e6)
LINKS = {"primary": both(_PRIMARY), "standby": both(_STANDBY)}


# ---- scenarios -------------------------------------------------------------------------------


def _with(names: Iterable[str] = ("primary", "standby"), **changes: Any) -> dict[str, LinkState]:
    return {n: both(LINKS[n].to_patient.with_(**changes)) for n in names}


def _at(delay_s: float) -> dict[str, LinkState]:
    return _with(delay=Delay(delay_s, "uniform", 0.0003))


def _step(
    name: str, role: Any, *segments: Segment, judged: bool = True, kind: str = "hold"
) -> Step:
    return Step(name, kind, role, segments, judged=judged)


def scenarios(steady_s: float) -> tuple[Scenario, ...]:
    settle = _step("settle", "within", Segment("settle", 2.0, LINKS), judged=False)

    def recover(seconds: float) -> Step:
        return _step("recover", "within", Segment("recover", seconds, LINKS), judged=False)

    down, slow = _with(["primary"], up=False), _with(["primary"], rate_bps=20e6)
    hold, fade = _with(["primary"], hold=True), _with(["primary"], loss=bernoulli(0.3))
    high, lossy = _at(0.030), _with(loss=bernoulli(0.05))
    clean = {name: both(Impairment()) for name in LINKS}
    press = (Action("stop", 0.5, "patient", "local-stop"),)
    release = (Action("release", 0.0, "patient", "local-release"),)
    spans = {
        "null-path": [_step("null", "within", Segment("null", 3.0, clean))],
        "steady-5g-slice": [settle, _step("steady", "within", Segment("steady", steady_s, LINKS))],
        "delay-ramp": [
            settle,
            _step("ramp", "beyond", Segment("rise", 3.0, high, ramp=True),
                  Segment("top", 1.5, high)),
            recover(2.5),
        ],
        "loss-step": [settle, _step("loss", "beyond", Segment("loss", 3.0, lossy)), recover(2.5)],
        "primary-outage": [
            settle, _step("outage", "beyond", Segment("outage", 2.0, down)), recover(3.5)
        ],
        "blackout": [
            settle, _step("blackout", "beyond", Segment("blackout", 2.0, _with(up=False))),
            recover(5.0),
        ],
        "urumqi-shanghai": [
            settle,
            _step("profile", "beyond", Segment("mean", 1.0, _at(0.0316)),
                  Segment("low", 0.5, _at(0.0295), ramp=True),
                  Segment("high", 1.0, _at(0.0337), ramp=True),
                  Segment("spike", 0.12, hold), Segment("after", 0.9, _at(0.0316))),
            recover(2.0),
        ],
        "nr-handover": [
            settle,
            _step("handover", "at", Segment("trigger", 0.2, slow), Segment("gap", 0.11, hold),
                  Segment("decay", 0.2, slow), Segment("after", 2.0, LINKS), kind="handover",
                  judged=False),
        ],
        "radio-link-failure": [
            settle,
            _step("failure", "beyond", Segment("fade", 0.7, fade), Segment("blackout", 1.4, down),
                  Segment("slow-start", 0.5, slow), kind="radio-link-failure"),
            recover(3.0),
        ],
        "local-stop": [
            settle, _step("stop", "within", Segment("stop", 2.0, LINKS), judged=False),
            _step("release", "within", Segment("release", 2.0, LINKS), judged=False),
        ],
    }  # fmt: skip
    return tuple(
        Scenario(
            name,
            f"Synthetic {name}",
            tuple(steps),
            actions=press + release if name == "local-stop" else (),
        )
        for name, steps in spans.items()
    )


# ---- packets ---------------------------------------------------------------------------------


def _fly(
    sent: np.ndarray[Any, Any],
    timeline: tuple[tuple[int, Impairment], ...],
    rng: np.random.Generator,
) -> np.ndarray[Any, Any]:
    """Arrival times in ns, NaN where lost; holds release at their end, in order."""
    starts = np.array([t for t, _ in timeline] or [0])
    states = [i for _, i in timeline] or [Impairment()]
    index = np.maximum(np.searchsorted(starts, sent, side="right") - 1, 0)
    mean = np.array([s.delay.mean_s for s in states])[index]
    spread = np.array([s.delay.spread_s for s in states])[index]
    loss = np.array([s.loss.ratio if s.up and s.loss else float(not s.up) for s in states])[index]
    released = np.array([0.0] * len(states))
    for place, state in enumerate(states):
        later = [t for t, s in zip(starts[place:], states[place:], strict=True) if not s.hold]
        released[place] = later[0] if state.hold and later else 0
    leave = np.maximum(sent, released[index])
    delay = mean + spread * rng.uniform(-1, 1, len(sent)) + rng.exponential(40e-6, len(sent))
    arrived = np.maximum.accumulate(leave + delay * 1e9)
    return np.where(rng.random(len(sent)) < loss, np.nan, arrived)


def packets(session: Session, rng: np.random.Generator) -> PacketTable:
    schedule, parts = session.schedule(), []
    for stream in session.device.active_streams:
        period, end = ns(stream.period_s), schedule.end_ns
        beats = np.arange(0, end, period, dtype=np.int64)
        sent = np.repeat(beats, stream.packets) + np.tile(
            np.arange(stream.packets) * 40_000, len(beats)
        )
        ways = [0, 1] if stream.name == "control" else [DIRECTIONS.index(stream.direction)]
        for direction in ways:
            links = range(2) if stream.name == "control" else range(1)
            for link in links:
                laws = schedule.of(schedule.links[link], DIRECTIONS[direction])
                arrived = _fly(sent, laws, rng)
                seen = ~np.isnan(arrived) & (arrived <= end)
                seq = np.arange(len(sent))
                for tap, times, mask in (
                    (direction, sent, np.ones(len(sent), bool)),
                    (1 - direction, arrived, seen),
                ):
                    rows = np.zeros(int(mask.sum()), dtype=ROW)
                    rows["t_ns"], rows["seq"] = times[mask], seq[mask]
                    rows["tap"], rows["direction"], rows["link"] = tap, direction, link
                    rows["stream"], rows["size"] = stream.code, stream.frame_bytes
                    parts.append(rows)
                if stream.name == "haptic-command":
                    done = parts[-1].copy()
                    done["tap"], done["link"] = 2, NO_LINK
                    parts.append(done)
    return merge(parts)


# ---- events ----------------------------------------------------------------------------------


def _alarm(t: float, end: float, name: str, priority: str, sides: str = "both") -> list[Event]:
    events = []
    for side in ("doctor", "patient") if sides == "both" else (sides,):
        for at, on in ((t, True), (end, False)):
            condition = {"alarm": name, "on": on, "value": 0.03}
            signal = {"alarm": name, "priority": priority, "on": on}
            events.append(
                Event(ns(at - 0.1 if on else at), side, "log", "alarm-condition", condition)
            )  # type: ignore[arg-type]
            events.append(Event(ns(at), side, "signal", "alarm-signal", signal))  # type: ignore[arg-type]
    return events


def _states(times: list[tuple[float, str, str]]) -> list[Event]:
    return [
        Event(ns(t), "patient", "log", "state", {"from": a, "to": b, "trigger": "watch"})
        for t, a, b in times
    ]


def _hold(since: float, until: float) -> list[Event]:
    return [
        Event(ns(since), "patient", "contact", "motion", 0),
        Event(ns(since), "patient", "contact", "position", {"um": 1042, "edge": "stop"}),
        Event(ns(until), "patient", "log", "rearm", {"by": "operator"}),
        Event(ns(until), "patient", "contact", "motion", 1),
        Event(ns(until), "patient", "contact", "position", {"um": 1042, "edge": "start"}),
        *_states([(since, "ENABLED", "PAUSED"), (until, "PAUSED", "ENABLED")]),
    ]


def _happenings(name: str) -> list[Event]:
    switch = [
        Event(ns(2.16), side, "log", "link-switch", {"from": "primary", "to": "standby",
                                                     "reason": "silence"})
        for side in ("doctor", "patient")
    ]  # fmt: skip
    back = [
        Event(ns(6.1), side, "log", "link-switch", {"from": "standby", "to": "primary",
                                                    "reason": "restored"})
        for side in ("doctor", "patient")
    ]  # fmt: skip
    stop = [
        Event(ns(2.5), "patient", "contact", "stop-button", 1),
        Event(ns(4.0), "patient", "contact", "stop-button", 0),
        Event(ns(2.512), "patient", "contact", "brake", 1),
        Event(ns(4.02), "patient", "contact", "brake", 0),
    ]
    return {
        "delay-ramp": [*_hold(3.1, 7.4), *_alarm(3.3, 7.2, "network-delay", "medium")],
        "loss-step": [*_hold(3.0, 5.9), *_alarm(3.2, 5.6, "network-loss", "medium")],
        "primary-outage": [*switch, *back, *_hold(2.06, 2.7),
                           *_alarm(2.3, 6.2, "link-lost", "medium")],
        "blackout": [*_hold(2.06, 5.0), *_alarm(2.4, 4.6, "network-interrupted", "high"),
                     *_alarm(2.3, 5.2, "link-lost", "medium"),
                     Event(ns(2.52), "patient", "contact", "brake", 1),
                     Event(ns(5.0), "patient", "contact", "brake", 0)],
        "urumqi-shanghai": [*_hold(2.06, 6.3), *_alarm(2.3, 6.1, "network-delay", "medium")],
        "radio-link-failure": [*switch, *_alarm(2.5, 7.0, "link-lost", "medium"),
                               *_hold(2.7, 3.9)],
        "local-stop": [*stop, *_alarm(2.55, 4.1, "local-stop-active", "low", "patient"),
                       *_hold(2.51, 5.0)],
    }.get(name, [])  # fmt: skip


def events(session: Session) -> tuple[Event, ...]:
    schedule = session.schedule()
    found = [
        Event(w.start_ns, "bench", "bench", "step", {"name": w.name, "role": w.role})
        for w in schedule.windows
    ]
    found += [Event(a.t_ns, a.side, "bench", "action", {"name": a.name}) for a in schedule.actions]
    found.append(Event(ns(0.6), "patient", "contact", "motion", 1))
    found += _states([(0.1, "DISABLED", "PAUSED"), (0.6, "PAUSED", "ENABLED")])
    found += _happenings(session.scenario.name)
    return tuple(sorted(found, key=lambda event: event.t_ns))


def device() -> DeviceProfile:
    return find_device("telesurgery-robot")


@cache
def recordings(steady_s: float = 6.0) -> tuple[Recording, ...]:
    profile, result = device(), []
    for scenario in scenarios(steady_s):
        session = Session("therapy", profile, scenario, SEED)
        rng = np.random.default_rng([SEED, len(result)])
        result.append(
            Recording(
                session_id=session.id,
                scenario=scenario.name,
                bench="local",
                backend="userspace emulator",
                device=profile,
                schedule=session.schedule(),
                packets=packets(session, rng),
                events=events(session),
                health=Health(
                    lateness_s={"p50": 9e-6, "p99": 61e-6, "p999": 0.00034, "max": 0.0019},
                    counters={"primary/to-patient/accepted": 41_002},
                ),
            )
        )
    return tuple(result)


# ---- requirements and verdicts ---------------------------------------------------------------


def _table_2(
    kind: str, metric: str, low: float | None, high: float | None, text: str, comparator: Any = "<",
    unit: str = "s", readings: tuple[Reading, ...] = (),
) -> Requirement:  # fmt: skip
    points: Any = "interface-interface" if metric.startswith(("delay", "ipdv")) else "none"
    return Requirement(
        id=f"KPI-T2-{kind}-{metric.split('-')[0]}",
        source=Source("000", REPORT, f"table 2, row {kind}", text, "ab" * 32),
        title=f"{metric.split('-')[0].capitalize()} of {kind.replace('-', ' ')}",
        reading=f"{metric} of the stream at the communication interface, one way",
        device_class="therapy",
        stream=kind,
        metric=metric,
        direction="",
        reference_points=points,
        comparator=comparator,
        low=low,
        high=high,
        unit=unit,
        kind="requirement",
        readings=readings,
    )


FORCE_READINGS = (
    Reading(0.010, None, "<", "delay-p99", True, "the range names classes of motion; its end"),
    Reading(0.003, None, "<", "delay-p99", False, "the strictest end for every motion"),
)

KPIS = (
    _table_2("force", "delay-p99", 0.010, None, "3-10ms", readings=FORCE_READINGS),
    _table_2("force", "ipdv-p99", 0.002, None, "<2ms"),
    _table_2("force", "loss", 1e-4, None, "<10-4", unit=""),
    _table_2("vibration", "delay-p99", 0.0055, None, "<5.5ms"),
    _table_2("video-2d", "delay-p99", 0.150, None, "<150ms"),
    _table_2("video-2d", "loss", 1e-3, None, "<10-3", unit=""),
    _table_2("video-2d", "rate", 10e6, None, "<10Mbps", unit="bit/s"),
    _table_2("video-2d", "ipdv-p99", 0.003, 0.030, "3-30ms", comparator="in"),
    _table_2("audio", "delay-p99", 0.150, None, "<150ms"),
    _table_2("temperature", "delay-p99", 0.250, None, "<250ms"),
    _table_2("blood-pressure", "delay-p99", 0.250, None, "<250ms"),
    _table_2("heart-rate", "delay-p99", 0.250, None, "<250ms"),
    _table_2("ecg", "delay-p99", 0.250, None, "<250ms"),
    _table_2("ecg", "rate", 72e3, None, "72kbps", comparator="==", unit="bit/s"),
)

_BEHAVIOURS = {
    "MON-2": ("Recognises a network fault and alarms", "signal-delay", "blackout", 0.5, 0.372),
    "LIM-1": ("Acts when the delay reaches its limit", "action-delay", "delay-ramp", 0.25, 0.061),
    "LIM-2": ("Acts when the loss reaches its limit", "action-delay", "loss-step", 1.5, 0.912),
    "FAIL-1": ("Executes no stale command", "command-age", "delay-ramp", 0.020, 0.0098),
    "FAIL-3": ("Reaches its safe state when interrupted", "safe-state", "blackout", 1.0, 0.521),
    "SW-1": ("Standby network takes over", "switch-gap", "primary-outage", 0.5, 0.163),
    "REC-1": ("Reconnects with an explicit re-arm", "reconnect", "blackout", 5.0, 1.204),
    "LOC-1": ("The local side stops the device at any time", "stop-motion", "local-stop", 0.05,
              0.0121),
    "MOB-1": ("Limits hold, or alarm, at a handover", "handover", "nr-handover", 0.5, 0.118),
}  # fmt: skip


def requirements() -> dict[str, Requirement]:
    behaviours = (
        Requirement(
            id=name, source=Source("000", REPORT, "chapter 4", "远程控制网络异常时应告警", ""),
            title=title, reading="within the time that the device declares", device_class="therapy",
            stream="", metric=metric, direction="", reference_points="fault-signal",
            comparator="<=", low=None, high=None, unit="s", kind="behaviour",
            declared=("hold_within",), rule="safety" if name == "LOC-1" else "demonstrated",
        )
        for name, (title, metric, _, _, _) in _BEHAVIOURS.items()
    )  # fmt: skip
    return {r.id: r for r in (*KPIS, *behaviours)}


def _budget(scale: float) -> tuple[UncertaintyTerm, ...]:
    return (
        UncertaintyTerm("tap clock resolution", 0.3e-6 * scale, "kernel stamp, rectangular"),
        UncertaintyTerm("noise floor, p99 minus p50", 38e-6 * scale, "null path of this run"),
    )


def _kpi_verdict(requirement: Requirement, session: str) -> Verdict:
    value = {"delay": 0.00261, "ipdv": 0.00052, "loss": 0.0, "rate": 8.06e6}[
        requirement.metric.split("-")[0]
    ]
    stream = "haptic-command" if requirement.stream == "force" else requirement.stream
    stream = {"vibration": "force-feedback", "audio": "audio-to-doctor"}.get(stream, stream)
    limit = requirement.high or requirement.low
    if requirement.comparator == "==":
        value, limit = 72e3, 72e3
    budget = _budget(1.0) if requirement.unit == "s" else ()
    return Verdict(
        requirement=requirement.id, test="testplans/therapy/test_kpi.py::test_kpi",
        device="telesurgery-robot", stream=stream, metric=requirement.metric,
        reference_points=requirement.reference_points, verdict=Outcome.PASS, value=value,
        unit=requirement.unit, uncertainty=76e-6 if budget else 0.0, n=36_000, confidence=0.95,
        limit=limit, comparator=requirement.comparator, margin=(limit or 0) - value,
        rule="guard band w = U (ILAC-G8:09/2019), bound at 95% confidence",
        reason="upper bound + U is below the limit",
        reading=requirement.reading, against="document", session=session, attempt=1,
        budget=budget,
        readings=tuple(
            {"reason": r.reason, "low": r.low, "high": r.high, "comparator": r.comparator,
             "metric": r.metric, "value": value, "verdict": "PASS"}
            for r in requirement.readings
            if not r.default
        ),
    )  # fmt: skip


def _behaviour_verdict(name: str, sessions: Mapping[str, str]) -> Verdict:
    _, metric, scenario, limit, value = _BEHAVIOURS[name]
    return Verdict(
        requirement=name, test=f"testplans/therapy/test_{name.lower().replace('-', '_')}.py",
        device="telesurgery-robot", stream="haptic-command" if name == "FAIL-1" else "",
        metric=metric, reference_points="fault-signal", verdict=Outcome.PASS, value=value,
        unit="s", uncertainty=76e-6, n=1, confidence=0.05, limit=limit, comparator="<=",
        margin=limit - value, rule=("safety" if name == "LOC-1" else "demonstrated")
        + ": 1 of 1 planned trials; all in time would show a success probability of 0.05",
        reason="1 of 1 planned trials within the declared time", reading="declared time",
        against="declaration", session=sessions[scenario], attempt=1,
        independent=name != "REC-1", budget=_budget(1.0),
    )  # fmt: skip


def verdicts(sessions: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Mostly PASS, as on a healthy robot; one of each other kind, to see how they look."""
    result = [_kpi_verdict(r, sessions["steady-5g-slice"]) for r in KPIS[:2] + KPIS[3:]]
    result += [_behaviour_verdict(name, sessions) for name in _BEHAVIOURS]
    changes: dict[str, dict[str, Any]] = {
        "SW-1": {"verdict": Outcome.FAIL, "value": float("inf"), "margin": None,
                 "reason": "the gap never ended: no command arrived after the outage began"},
        "MOB-1": {"verdict": Outcome.INCONCLUSIVE, "value": None, "uncertainty": None,
                  "margin": float("nan"),
                  "reason": "gap was intended 110 ms and achieved 142 ms: outside 5 %"},
        "LIM-2": {"verdict": Outcome.ERROR, "value": None, "margin": None, "n": 0,
                  "reason": "the patient tap dropped 3 packets"},
    }  # fmt: skip
    return tuple(replace(v, **changes.get(v.requirement, {})) for v in result)


def scope(given: Iterable[Verdict]) -> list[dict[str, Any]]:
    items = [
        {"requirement": v.requirement, "stream": v.stream, "test": v.test,
         "scenario": v.session.rpartition("-")[0], "in_scope": True, "reason": "", "figure": ""}
        for v in given
    ]  # fmt: skip
    out = (
        ("KPI-T2-force-loss", "haptic-command", "the evidence takes longer than this run",
         "29956 samples at 1000/s take 29.96 s; this run's budget is 20 s"),
        ("KPI-T2-vibration-ipdv", "force-feedback",
         "this host's noise floor cannot resolve the limit", "floor p99 1.9 ms, limit 2 ms"),
        ("KPI-T2-video-3d-delay", "", "the device carries no stream of kind video-3d",
         "choose the option that carries it, if there is one"),
    )  # fmt: skip
    items += [
        {"requirement": r, "stream": s, "test": "testplans/therapy/test_kpi.py::test_kpi",
         "scenario": "steady-5g-slice", "in_scope": False, "reason": why, "figure": figure}
        for r, s, why, figure in out
    ]  # fmt: skip
    return items


def stimuli(given: Iterable[Recording]) -> dict[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = {}
    for recording in given:
        rows = table.setdefault(recording.session_id, [])
        for window in recording.schedule.windows:
            for phase, start, _ in window.phases:
                for link in recording.schedule.links:
                    for direction in DIRECTIONS:
                        state = recording.schedule.of(link, direction)
                        now = [i for t, i in state if t <= start][-1:] or [Impairment()]
                        ok = not (phase == "gap" and link == "primary")
                        rows.append(
                            {"step": window.name, "phase": phase, "role": window.role,
                             "link": link, "direction": direction, "intended": now[0].describe(),
                             "commanded": now[0].describe(),
                             "achieved": {"delay_p50_s": now[0].delay.mean_s + 31e-6,
                                          "loss": 0.0, "n": 812},
                             "floor": {"delay_p50_s": 31e-6, "delay_p99_s": 0.00011},
                             "ok": ok, "reason": "" if ok else "held 142 ms, intended 110 ms"}
                        )  # fmt: skip
    return table


def run_record(**changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "run": "20250301-101500-therapy-7f3a", "plan": "therapy",
        "versions": {"telemed-bench": "0.1.0", "python": "3.11.7", "numpy": "2.3.1"},
        "git_commit": "0" * 40, "host": "bench-host", "kernel": "Linux 6.1.0 x86_64",
        "bench": "local", "backend": "userspace emulator", "device": "telesurgery-robot",
        "order": {"customer": None, "order_number": None}, "seed": SEED,
        "start": "2025-03-01T10:15:00Z", "end": "2025-03-01T10:17:31Z", "completion": "complete",
        "content_hash": "9f" * 32, "catalogue_sha256": "c4" * 32, "options": [], "defects": {},
        "trials": 1,
        "noise_floor": {
            "session": "null-path",
            "streams": {
                name: {"p50": 31e-6, "p99": 0.00011, "p999": 0.00042, "max": 0.0021,
                       "ipdv_p99": 9e-5, "pdv_p999": 0.00038, "n": 3000}
                for name in ("haptic-command", "force-feedback", "video-2d")
            },
            "complete": True,
        },
    }  # fmt: skip
    return run | changes


def sample(steady_s: float = 6.0, **changes: Any) -> ReportData:
    """The whole synthetic run."""
    given = recordings(steady_s)
    judged = verdicts({r.scenario: r.session_id for r in given})
    return report_data(
        run_record(**changes),
        verdicts=judged,
        scope=scope(judged),
        recordings=given,
        stimuli=stimuli(given),
        requirements=requirements(),
    )


def main(folder: Path) -> None:
    from bench.report.allure import write_allure
    from bench.report.html import write_html
    from bench.report.junit import write_junit
    from bench.report.terminal import print_verdicts

    folder.mkdir(parents=True, exist_ok=True)
    data = sample(36.0)
    write_html(data, folder / "report.html")
    write_junit(data, folder / "junit.xml")
    write_allure(data, folder / "allure")
    print_verdicts(data, folder / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
