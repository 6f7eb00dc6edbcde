"""What a run would judge, and how long it takes: settled here for ``bench run`` and ``bench plan``.

Times are session time: what the sessions last, on a bench of real packets also on the wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from bench.devices.carriages import CARRIAGES
from bench.devices.profile import DeviceProfile
from bench.judge.needs import full_trials, rough_time
from bench.judge.scope import (
    MINIMUM_STEADY_S,
    Candidate,
    Plan,
    ScopeItem,
    decide,
    steady_duration_s,
)
from bench.measure.floor import NoiseFloor
from bench.measure.needs import ON_DEMAND, visit_of
from bench.network import library
from bench.network.impairment import ETHERNET_BYTES
from bench.network.scenario import Drawn, Scenario
from bench.requirements.model import Requirement
from bench.studies.effort import Effort

STEADY = "steady-5g-slice"
QUICK_STEADY_S: Mapping[str, float] = {"virtual": 400.0}
QUICK_STEADY_OTHERS_S = 40.0
FULL_STEADY_S = 4000.0
"""Longest steady session: quick by bench (a virtual clock is fast), full on any."""
QUICK_PACKETS = 1.5e6
"""A device of many packets has a quick steady session of about so many on a virtual clock, so that
a suite of devices takes minutes; never shorter than on other benches."""


RADIO_FUNCTIONS = frozenset({"mobile", "radio", "access-4g", "access-5g", "access-wifi"})
"""Functions of a device that may be handed over from one station of a radio network to another."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The scope of a run, the length of its steady session and of all sessions, trials each.

    ``sessions``: per scenario, how many and how long each lasts on average, in s. ``visit``: what
    the device makes of scenarios that suit themselves to it.
    """

    scope: tuple[ScopeItem, ...]
    steady_s: float
    trials: int
    sessions: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    visit: library.Visit = field(default_factory=library.Visit)

    @property
    def duration_s(self) -> float:
        """All sessions, one after the other, if none is repeated."""
        return sum(count * each_s for count, each_s in self.sessions.values())


def settle(
    candidates: Iterable[Candidate],
    *,
    device: DeviceProfile,
    requirements: Mapping[str, Requirement],
    bench: str,
    effort: Effort,
    floor: NoiseFloor | None = None,
    unsound: str = "",
    offers: frozenset[str] = frozenset(),
) -> Settled:
    """Settle what a run judges. The only place where that is decided.

    Args:
        candidates: what is wanted.
        device: under test.
        requirements: the catalogue.
        bench: ``virtual``, ``local`` …
        effort: what may be spent.
        floor: the bench's noise floor, where it is measured already.
        unsound: why nothing can be judged on this host now.
        offers: what this laboratory has besides (``cells``).
    """
    wanted = list(candidates)

    def scope(plan: Plan) -> tuple[ScopeItem, ...]:
        steady = library.steady().steps[1].segments[0].links["primary"].to_doctor
        return decide(
            wanted, profile=device, requirements=requirements, floor=floor, steady=steady,
            plan=plan, unsound=unsound,
        )  # fmt: skip

    others = {c.scenario for c in wanted if c.scenario} - {STEADY}
    visit = visit_of(device)
    plan = _plan_of(effort, bench, device, offers)
    if effort.budget_s is not None:
        plan = _within(effort, plan, others, scope(plan), visit)
    found = scope(plan)
    steady_s = steady_duration_s(found)
    sessions = _sessions(found, requirements, steady_s, visit)
    return Settled(found, steady_s, plan.trials, sessions, visit)


def capabilities(device: DeviceProfile, bench: str) -> frozenset[str]:
    """What bench and device offer to tests that need something.

    Addresses change on the virtual bench only: elsewhere sockets are connected to fixed ones. On
    the local bench attacks take scapy (an optional extra). Somebody listens there only to a
    device all of whose streams are really enciphered: what a model seals could be read. How long an
    image set takes over DICOM there is the affair of the host that plays both ends.
    """
    found = set(device.functions) | _wireless(device) | _large_packets(device)
    if bench != "local" or all(s.carriage != "dicom" for s in device.active_streams):
        found.add("timed-transfer")
    if bench == "virtual":
        return frozenset(
            found | {"attacker", "flooder", "listener", "interceptor", "address-change"}
        )
    found.add("real-packets")
    if bench == "local" and find_spec("scapy") is not None:
        found |= {"attacker", "flooder", "interceptor"}
        if all(CARRIAGES[stream.carriage].enciphered for stream in device.active_streams):
            found.add("listener")
    return frozenset(found)


def _wireless(device: DeviceProfile) -> set[str]:
    """Whether its profile says that it is on the move, or on a network of radio."""
    return {"wireless"} if RADIO_FUNCTIONS & {*device.functions} else set()


def _large_packets(device: DeviceProfile) -> set[str]:
    """Which way some stream sends packets that a hole of the library's size swallows."""
    longest = library.HOLE_MTU_BYTES + ETHERNET_BYTES
    return {
        f"large-packets-{stream.direction}"
        for stream in device.active_streams
        if stream.frame_bytes > longest and ON_DEMAND not in stream.kinds
    }


def _plan_of(effort: Effort, bench: str, device: DeviceProfile, offers: frozenset[str]) -> Plan:
    """Quick or full; with a budget, what it would be if there were time for everything."""
    everything = effort.full or effort.budget_s is not None
    quick_s = QUICK_STEADY_S.get(bench, QUICK_STEADY_OTHERS_S)
    packets_per_s = sum(stream.packets_per_s for stream in device.active_streams)
    if packets_per_s * quick_s > QUICK_PACKETS:
        quick_s = max(QUICK_STEADY_OTHERS_S, QUICK_PACKETS / packets_per_s)
    return Plan(
        steady_budget_s=effort.budget_s or (FULL_STEADY_S if effort.full else quick_s),
        trials=full_trials(effort.confidence) if everything else 1,
        confidence=effort.confidence,
        capabilities=capabilities(device, bench) | offers,
        too_long={} if effort.full else _only_in_full(),
        once=frozenset(library.LONG),
    )


def _only_in_full() -> dict[str, str]:
    """The scenarios that no other run has time for, each with its figure."""
    return {
        name: f"one trial of {name} takes {rough_time(scenario_s(made()))}; --full does one"
        for name, made in library.LONG.items()
    }


def _within(
    effort: Effort, plan: Plan, others: set[str], dream: tuple[ScopeItem, ...],
    visit: library.Visit,
) -> Plan:  # fmt: skip
    """The plan that fits into a budget.

    One trial of each scenario comes first, the shortest before the others; then the least that
    each KPI takes; then more trials, of every scenario alike; what is left gives KPI power.
    """
    assert effort.budget_s is not None
    left_s = effort.budget_s - scenario_s(library.null_path())
    too_long, each_s = dict(plan.too_long), 0.0
    in_scope = {item.scenario for item in dream if item.in_scope and not item.undeclared}
    lengths = {name: scenario_s(find(name, 0.0, visit)) for name in others & in_scope}
    for name, length_s in sorted(lengths.items(), key=lambda pair: (pair[1], pair[0])):
        if each_s + length_s <= left_s:
            each_s += length_s
        else:
            too_long[name] = (
                f"one trial of {name} takes {rough_time(length_s)}; "
                f"{rough_time(max(0.0, left_s - each_s))} of the budget are left"
            )
    for_kpi_s = left_s - each_s - library.SETTLE_S
    kpi = [i.least_s for i in dream if i.least_s is not None and i.least_s <= for_kpi_s]
    if for_kpi_s < MINIMUM_STEADY_S or not kpi:
        kpi, for_kpi_s = [], 0.0
    spare_s = (for_kpi_s - max(MINIMUM_STEADY_S, *kpi)) if kpi else left_s - each_s
    trials = min(plan.trials, 1 + int(spare_s / each_s)) if each_s else plan.trials
    return Plan(
        steady_budget_s=for_kpi_s - (trials - 1) * each_s if kpi else 0.0,
        trials=trials,
        confidence=plan.confidence,
        capabilities=plan.capabilities,
        too_long=too_long,
        once=plan.once,
    )


def _sessions(
    scope: Iterable[ScopeItem],
    requirements: Mapping[str, Requirement],
    steady_s: float,
    visit: library.Visit,
) -> dict[str, tuple[int, float]]:
    counts = {library.null_path().name: 1}
    for item in scope:
        if item.in_scope and item.scenario and not item.undeclared:
            behaviour = requirements[item.requirement].kind == "behaviour"
            trials = item.planned_n if behaviour else 1
            counts[item.scenario] = max(counts.get(item.scenario, 0), trials)
    return {name: (n, scenario_s(find(name, steady_s, visit))) for name, n in counts.items()}


def find(name: str, steady_s: float, visit: library.Visit) -> Scenario:
    """A scenario of the library; the steady one and a round of places as the evidence asks."""
    if name == STEADY:
        return library.steady(steady_s)
    return library.VISITS[name](visit) if name in library.VISITS else library.find_scenario(name)


def scenario_s(scenario: Scenario) -> float:
    """How long a scenario lasts, on average where parts of it are drawn, in s."""
    lengths = (segment.duration_s for step in scenario.steps for segment in step.segments)
    return sum(t.expected_s if isinstance(t, Drawn) else t for t in lengths)
