"""The scope of a run: what it sets out to judge, settled before the first judged session.

What this host's noise floor cannot resolve, what would take longer than the run's budget, and
what does not apply to the device is out of scope with its reason and figure: listed, never a
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from bench.devices.profile import DeviceProfile, Stream
from bench.judge.compulsory import undeclared
from bench.judge.judge import cannot_answer
from bench.judge.needs import Need, limit_of, need_of
from bench.judge.planning import MARGIN, odds_of, resolvable
from bench.measure.behaviours import BEHAVIOURS
from bench.measure.counted import MEASURED
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import METRICS, points_of
from bench.network.impairment import FRAMING_BYTES, Impairment
from bench.requirements.model import Requirement
from bench.units import show_duration

CANNOT_KEEP_TIME = "this bench cannot keep time on this host now (--bench virtual can)"

MINIMUM_STEADY_S = 10.0
"""Shortest steady session."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A test that would judge one requirement for one stream in one scenario."""

    requirement: str
    stream: str
    test: str
    scenario: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ScopeItem:
    """One candidate with the decision.

    ``planned_n``: samples (KPI) or trials (behaviour) that the run sets out to collect, and short
    of which nothing passes. ``duration_s``: how long the stream runs for it; ``least_s``: how long
    the fewest samples take that show the limit. ``power_at_half``: how often the planned ones pass
    a device at half its limit; ``None`` where evidence is not counted. ``undeclared``: functions of
    which the profile of a device that must have them says nothing; its verdict is INCONCLUSIVE
    without a session.
    """

    requirement: str
    stream: str
    test: str
    scenario: str
    in_scope: bool
    reason: str = ""
    figure: str = ""
    planned_n: int = 1
    duration_s: float | None = None
    power_at_half: float | None = None
    least_s: float | None = None
    undeclared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run may spend, and how strong its claims are meant to be.

    ``steady_budget_s``: longest steady session. ``trials``: per deadline behaviour (quick 1, full
    59: success probability 0.95 at 95 % confidence). ``capabilities``: what bench and device
    offer to tests that need something. ``too_long``: scenarios for whose trials the run has no
    time, with the figure. ``once``: scenarios so long that one trial is all there is.
    """

    steady_budget_s: float
    trials: int
    confidence: float
    capabilities: frozenset[str]
    too_long: Mapping[str, str] = field(default_factory=dict)
    once: frozenset[str] = frozenset()


def decide(
    candidates: Iterable[Candidate],
    *,
    profile: DeviceProfile,
    requirements: Mapping[str, Requirement],
    floor: NoiseFloor | None,
    steady: Impairment,
    plan: Plan,
    unsound: str = "",
) -> tuple[ScopeItem, ...]:
    """Settle the scope.

    Args:
        candidates: every collected test.
        profile: the device.
        requirements: the catalogue.
        floor: the measured noise floor of this run (see ``bench.measure.floor``), ``None`` on a
            bench without noise.
        steady: the impairment of the steady step, which KPI evidence comes from.
        plan: budget, trials, confidence.
        unsound: why the null path of this run cannot be trusted, with the figure; then nothing
            can be judged.
    """
    if unsound:
        return tuple(
            ScopeItem(c.requirement, c.stream, c.test, c.scenario, False, CANNOT_KEEP_TIME, unsound)
            for c in candidates
        )
    asked = _Asked(profile, requirements, floor, steady, plan)
    settled = [_decide_one(_case(candidate, asked)) for candidate in candidates]
    session_s = steady_duration_s([item for item, _ in settled])
    return tuple(_planned(item, case, session_s) for item, case in settled)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every candidate is held against."""

    profile: DeviceProfile
    requirements: Mapping[str, Requirement]
    floor: NoiseFloor | None
    steady: Impairment
    plan: Plan


@dataclass(frozen=True, slots=True)
class _Case:
    """One candidate with all that is known of it; ``stream`` is ``None`` where it names none."""

    candidate: Candidate
    requirement: Requirement
    stream: Stream | None
    need: Need
    asked: _Asked

    @property
    def behaviour(self) -> bool:
        return self.requirement.kind == "behaviour"


def _case(candidate: Candidate, asked: _Asked) -> _Case:
    requirement = asked.requirements[candidate.requirement]
    stream = asked.profile.stream(candidate.stream) if candidate.stream else None
    need = need_of(requirement, stream, asked.profile, asked.plan.confidence)
    return _Case(candidate, requirement, stream, need, asked)


def _decide_one(case: _Case) -> tuple[ScopeItem, _Case]:
    """The decision; KPI get what they plan afterwards."""
    c = case.candidate
    item = ScopeItem(c.requirement, c.stream, c.test, c.scenario, True)
    if silent := undeclared(c.requirement, c.needs, case.asked.profile):
        return replace(item, undeclared=silent), case
    if case.requirement.kind == "declaration":
        return item, case
    for objection in _OBJECTIONS:
        reason, figure = objection(case)
        if reason:
            return replace(item, in_scope=False, reason=reason, figure=figure), case
    if case.behaviour:
        plan = case.asked.plan
        return replace(item, planned_n=1 if c.scenario in plan.once else plan.trials), case
    least_s = case.need.seconds or 0.0
    wanted_s = max(least_s, case.need.power_seconds or 0.0)
    planned_s = min(case.asked.plan.steady_budget_s, wanted_s)
    return replace(item, duration_s=planned_s, least_s=least_s), case


def _planned(item: ScopeItem, case: _Case, session_s: float) -> ScopeItem:
    """The samples that the steady session is long enough for, up to those that give power."""
    need, stream = case.need, case.stream
    if not item.in_scope or need.n is None or stream is None:
        return item
    in_session = int(session_s * stream.packets_per_s / MARGIN + 1e-6)
    count = max(int(need.n), min(int(need.power_n or need.n), in_session))
    odds = odds_of(case.requirement.metric, limit_of(case.requirement))
    power = odds.power_at_half(count, case.asked.plan.confidence) if odds is not None else None
    return replace(item, planned_n=count, power_at_half=power)


# ---- why something is left out: (reason, figure), both empty where nothing stands against it ----

_Objection = Callable[[_Case], tuple[str, str]]
_NONE = "", ""


def _other_class(case: _Case) -> tuple[str, str]:
    asked, own = case.requirement.device_class, case.asked.profile.device_class
    if case.behaviour or asked in ("any", own):
        return _NONE
    return f"asked of devices of class {asked}", f"this one is of class {own}"


def _lacks(case: _Case) -> tuple[str, str]:
    needs = dict.fromkeys(case.candidate.needs)  # a plan and a test of it may name the same
    missing = [name for name in needs if name not in case.asked.plan.capabilities]
    return (f"bench or device lacks {', '.join(missing)}", "") if missing else _NONE


def _no_time_for_trials(case: _Case) -> tuple[str, str]:
    if case.candidate.scenario not in case.asked.plan.too_long:
        return _NONE
    return "its trials take longer than this run", case.asked.plan.too_long[case.candidate.scenario]


def _not_measured(case: _Case) -> tuple[str, str]:
    metric = case.requirement.metric
    known = case.requirement.id in BEHAVIOURS if case.behaviour else metric in MEASURED
    return _NONE if known else (f"not measured by this plan: {metric}", case.need.text)


def _no_figure(case: _Case) -> tuple[str, str]:
    if case.behaviour or limit_of(case.requirement) is not None:
        return _NONE
    return "the document gives no figure", ""


def _not_carried(case: _Case) -> tuple[str, str]:
    if case.behaviour:
        return _NONE
    if case.stream is None and case.requirement.stream == "any":
        return "not measured by this plan: it concerns no single stream", case.need.text
    if case.stream is None:
        return (
            f"the device carries no stream of kind {case.requirement.stream}",
            "choose the option that carries it, if there is one",
        )
    flows = case.stream.direction
    if case.requirement.direction in ("both", "none", flows):
        return _NONE
    return f"asked for {case.requirement.direction}; the stream flows {flows}", ""


def _other_points(case: _Case) -> tuple[str, str]:
    if case.behaviour:
        return _NONE
    seen = points_of(case.requirement.metric)
    reason = cannot_answer(case.requirement.reference_points, seen, case.requirement.comparator)
    return (f"not measured by this plan: {reason}", "") if reason else _NONE


def _out_of_reach(case: _Case) -> tuple[str, str]:
    limit = limit_of(case.requirement)
    upper = case.requirement.comparator in ("<", "<=", "==", "in")
    if case.requirement.metric == "loss" and upper and limit is not None and limit <= 0:
        return "no amount of evidence shows it", case.need.text
    return _NONE


def _not_resolved(case: _Case) -> tuple[str, str]:
    limit = limit_of(case.requirement)
    if (
        case.asked.floor is None
        or limit is None
        or case.requirement.unit != "s"
        or case.stream is None
        or case.requirement.metric not in METRICS
    ):
        return _NONE
    intended_s = intended_p99_s(case.stream, case.asked.steady, case.requirement.metric)
    possible, figure = resolvable(
        limit, intended_s, case.asked.floor, case.stream.name, case.requirement.metric
    )
    return _NONE if possible else ("this host's noise floor cannot resolve the limit", figure)


def _too_long(case: _Case) -> tuple[str, str]:
    budget_s = case.asked.plan.steady_budget_s
    if case.need.n is None or case.need.seconds is None or case.need.seconds <= budget_s:
        return _NONE
    assert case.stream is not None
    evidence = f"{case.need.n:.0f} {case.need.of} at {case.stream.packets_per_s:g}/s take"
    if case.need.power_n is None:
        evidence = f"{case.requirement.metric} takes"
    return "the evidence takes longer than this run", (
        f"{evidence} {show_duration(case.need.seconds)}; "
        f"this run's budget is {show_duration(budget_s)}"
    )


_OBJECTIONS: tuple[_Objection, ...] = (
    _other_class, _lacks, _no_time_for_trials, _not_measured, _no_figure, _not_carried,
    _other_points, _out_of_reach, _not_resolved, _too_long,
)  # fmt: skip
"""In this order; the first that applies is the reason."""


def intended_p99_s(stream: Stream, steady: Impairment, metric: str) -> float:
    """What the steady impairment alone gives a stream, at the unfavourable end.

    Delay: mean, spread and the serialisation of one burst. Variation: twice the spread and the
    serialisation.
    """
    burst_s = 0.0
    if steady.rate_bps:
        burst_s = stream.packets * (stream.frame_bytes + FRAMING_BYTES) * 8 / steady.rate_bps
    spread_s = steady.delay.spread_s * (4 if steady.delay.law == "normal" else 1)
    if metric.startswith("delay"):
        return steady.delay.mean_s + spread_s + burst_s
    return 2 * spread_s + burst_s


def steady_duration_s(scope: Iterable[ScopeItem], minimum_s: float = MINIMUM_STEADY_S) -> float:
    """How long the steady session must be for everything in scope."""
    return max([minimum_s, *(i.duration_s for i in scope if i.in_scope and i.duration_s)])
