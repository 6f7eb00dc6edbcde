"""Recordings made by hand: packets by the network's law, events where a test puts them.

No simulated device is involved, so that what is measured is known from the outside.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device
from bench.network import library
from bench.network.impairment import DIRECTIONS
from bench.network.laws import DirectionLaw
from bench.network.scenario import Scenario
from bench.sessions.packets import NO_LINK, ROW, TAPS, merge
from bench.sessions.recording import AppliedChange, Event, Health, Recording, Session
from bench.units import ns

COMMAND = "haptic-command"
DOCTOR, PATIENT, ACTUATOR = range(3)
AGE_LIMIT_S = 0.015


class Builder:
    """A recording in the making. Times in s of session time."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        bench: str = "virtual",
        profile: DeviceProfile | None = None,
        seed: int = 7,
    ) -> None:
        self.profile = profile or find_device("telesurgery-robot")
        self.session = Session("therapy", self.profile, scenario, seed)
        self.schedule = self.session.schedule()
        self.bench = bench
        self.sends: list[tuple[float, int, int, int, int]] = []
        self.events: list[Event] = []
        self.health = Health(lateness_s={"p50": 1e-5, "p99": 1e-4, "p999": 2e-4, "max": 1e-3})
        self.executes: Callable[[float, int, float], bool] = self.fresh_while_moving
        self.edges: list[tuple[int, int]] | None = None
        self.extra_s = 0.0
        self.tweak: Callable[[np.ndarray], np.ndarray] = lambda rows: rows
        self.seqs: dict[tuple[int, int], int] = {}

    # ---- packets ---------------------------------------------------------------------------

    def stream(
        self,
        name: str,
        *,
        links: Iterable[int] = (0,),
        start_s: float = 0.001,
        end_s: float | None = None,
        direction: str | None = None,
        period_s: float | None = None,
    ) -> Builder:
        """Send a stream at its period; on several links each packet goes out on all of them."""
        found = self.profile.stream(name)
        way = DIRECTIONS.index(direction or found.direction)
        period = period_s or found.period_s
        end = self.schedule.end_ns / 1e9 if end_s is None else end_s
        seq = self.seqs.get((found.code, way), 0)
        for frame in range(max(0, int(np.ceil((end - start_s) / period - 1e-9)))):
            for _ in range(found.packets):
                for link in links:
                    self.sends.append((start_s + frame * period, way, link, found.code, seq))
                seq += 1
        self.seqs[found.code, way] = seq
        return self

    def heartbeats(self) -> Builder:
        """Control packets on every link, both ways, from the start to the end."""
        for direction in DIRECTIONS:
            self.stream("control", links=(0, 1), direction=direction, start_s=0.0)
        return self

    def _rows(self) -> np.ndarray:
        laws = {
            (way, index): DirectionLaw(
                self.schedule.of(link, direction),
                seed=self.session.seed_of_trial,
                name=f"{link}/{direction}",
            )
            for way, direction in enumerate(DIRECTIONS)
            for index, link in enumerate(self.schedule.links)
        }
        sizes = {s.code: s.frame_bytes for s in self.profile.streams}
        extra = ns(self.extra_s)
        rows = []
        for t_s, way, link, code, seq in sorted(self.sends):
            t_ns, size = ns(t_s), sizes[code]
            near, far = (DOCTOR, PATIENT) if way == 0 else (PATIENT, DOCTOR)
            rows.append((t_ns, near, way, link, code, seq, size))
            due = laws[way, link].offer(t_ns, size)
            if due >= 0 and due + extra <= self.schedule.end_ns:
                rows.append((due + extra, far, way, link, code, seq, size))
        return self.tweak(np.array(rows, dtype=ROW))

    # ---- events ----------------------------------------------------------------------------

    def contact(self, t_s: float, name: str, value: Any) -> Builder:
        self.events.append(Event(ns(t_s), "patient", "contact", name, value))
        return self

    def moves(self, t_s: float, moving: int, um: int = 0) -> Builder:
        """The drive starts or stops: encoder and motion contact."""
        self.contact(t_s, "position", {"um": um, "edge": "start" if moving else "stop"})
        return self.contact(t_s, "motion", moving)

    def alarm(
        self, t_s: float, name: str, priority: str, on: bool = True, side: Any = "patient",
        origin: Any = "signal",
    ) -> Builder:  # fmt: skip
        value = {"alarm": name, "priority": priority, "on": on}
        self.events.append(Event(ns(t_s), side, origin, "alarm-signal", value))
        return self

    def rearm(self, t_s: float, request: str = "rearm", origin: Any = "contact") -> Builder:
        self.events.append(Event(ns(t_s), "doctor", origin, "rearm", {"request": request}))
        return self

    def press(self, t_s: float, name: str) -> Builder:
        self.events.append(Event(ns(t_s), "patient", "bench", "action", {"name": name}))
        return self

    def without(self, name: str, value: Any = ..., *, since_s: float = 0.0) -> Builder:
        """Take events away."""
        self.events = [
            e
            for e in self.events
            if not (e.name == name and e.t_ns >= ns(since_s) and (value is ... or e.value == value))
        ]
        return self

    def shift(self, name: str, by_s: float, *, since_s: float = 0.0) -> Builder:
        """Let events come later."""
        self.events = [
            replace(e, t_ns=e.t_ns + ns(by_s)) if e.name == name and e.t_ns >= ns(since_s) else e
            for e in self.events
        ]
        return self

    # ---- together --------------------------------------------------------------------------

    def fresh_while_moving(self, t_s: float, seq: int, age_s: float) -> bool:
        """What a healthy drive executes."""
        if self.edges is None:
            self.edges = sorted((e.t_ns, e.value) for e in self.events if e.name == "motion")
        place = bisect_right(self.edges, (ns(t_s), 2))
        return place > 0 and self.edges[place - 1][1] == 1 and age_s <= AGE_LIMIT_S

    def _executed(self, rows: np.ndarray) -> np.ndarray:
        code = self.profile.stream(COMMAND).code
        own = rows[(rows["stream"] == code) & (rows["direction"] == 0)]
        sent = {int(r["seq"]): int(r["t_ns"]) for r in own[own["tap"] == DOCTOR]}
        got = np.sort(own[own["tap"] == PATIENT], order=["t_ns", "seq"])
        out, highest = [], -1
        for row in got:
            t_ns, seq = int(row["t_ns"]), int(row["seq"])
            if seq <= highest:
                continue
            highest = seq
            age_s = (t_ns - sent.get(seq, t_ns)) / 1e9
            if self.executes(t_ns / 1e9, seq, age_s):
                out.append((t_ns, ACTUATOR, 0, NO_LINK, code, seq, 0))
        return np.array(out, dtype=ROW)

    def recording(self, **health: Any) -> Recording:
        self.edges = None
        rows = self._rows()
        changes = tuple(
            AppliedChange(c.t_ns, c.link, c.direction, c.impairment.describe(), c.t_ns, c.t_ns)
            for c in self.schedule.changes
        )
        assert TAPS[:3] == ("doctor", "patient", "actuator")
        return Recording(
            session_id=self.session.id,
            scenario=self.session.scenario.name,
            bench=self.bench,
            backend="virtual link" if self.bench == "virtual" else "userspace",
            device=self.profile,
            schedule=self.schedule,
            packets=merge([rows, self._executed(rows)]),
            events=tuple(sorted(self.events, key=lambda e: e.t_ns)),
            changes=changes,
            health=replace(self.health, **health),
        )


RESPONSES: dict[str, dict[str, Any]] = {
    "primary-outage": {
        "stop": 2.08, "alarm": (2.18, "network-interrupted", "high"), "restart": 4.03,
    },
    "blackout": {
        "stop": 2.08, "alarm": (2.18, "network-interrupted", "high"), "brake": 2.52,
        "restart": 6.39,
    },
    "delay-ramp": {"stop": 2.9, "alarm": (3.0, "network-delay", "medium"), "restart": 7.39},
    "loss-step": {"stop": 2.3, "alarm": (2.4, "network-loss", "medium"), "restart": 6.79},
    "urumqi-shanghai": {
        "stop": 2.1, "alarm": (2.2, "network-delay", "medium"), "restart": 7.8,
    },
    "radio-link-failure": {
        "stop": 2.1, "alarm": (2.2, "network-loss", "medium"), "restart": 7.0,
    },
    "nr-handover": {
        "stop": 2.28, "alarm": (2.38, "network-interrupted", "high"), "restart": 3.15,
    },
    "local-stop": {"stop": 2.504, "brake": 2.504, "restart": 4.51},
}  # fmt: skip
"""Where a healthy device answers, per scenario of the library."""


def healthy(name: str, *, bench: str = "virtual") -> Builder:
    """A healthy device in a scenario of the library: commands, heartbeats, right responses."""
    scenario = library.find_scenario(name) if name in RESPONSES else library.steady(2.0)
    made = Builder(scenario, bench=bench).heartbeats()
    made.contact(0.0, "brake", 1).contact(0.0, "motion", 0)
    made.rearm(0.5, "enable").contact(0.55, "brake", 0).moves(0.55, 1)
    answer = RESPONSES.get(name)
    if name in ("primary-outage", "radio-link-failure"):
        cut = made.schedule.windows[1]
        down_s = cut.start_ns / 1e9 if name == "primary-outage" else cut.phase("blackout")[0] / 1e9
        made.stream(COMMAND, end_s=down_s + 0.16)
        made.stream(COMMAND, links=(1,), start_s=down_s + 0.16)
    else:
        made.stream(COMMAND)
    if answer is None:
        return made
    made.moves(answer["stop"], 0, 500)
    if "brake" in answer:
        made.contact(answer["brake"], "brake", 1)
        made.rearm(answer["restart"] - 0.5, "clear")
        made.contact(answer["restart"] - 0.4, "brake", 0)
    if "alarm" in answer:
        at, alarm, priority = answer["alarm"]
        made.alarm(at, alarm, priority).alarm(at + 1.5, alarm, priority, on=False)
    if name == "local-stop":
        made.press(2.5, "local-stop").press(4.0, "local-release")
    return made.rearm(answer["restart"] - 0.01).moves(answer["restart"], 1, 500)
