"""The scope of a run: what it sets out to judge, settled before the first judged session.

What this host's noise floor cannot resolve, what would take longer than the run's budget, and
what does not apply to the device is out of scope with its reason and figure: listed, never a
verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.devices.profile import DeviceProfile, Stream
from bench.judge.planning import resolvable, samples_needed, seconds_needed
from bench.measure.floor import NoiseFloor
from bench.network.impairment import FRAMING_BYTES, Impairment
from bench.requirements.model import Requirement
from bench.units import show_duration

CANNOT_KEEP_TIME = "this bench cannot keep time on this host now (--bench virtual can)"


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
    """One candidate with the decision. ``planned_n``: samples (KPI) or trials (behaviour)."""

    requirement: str
    stream: str
    test: str
    scenario: str
    in_scope: bool
    reason: str = ""
    figure: str = ""
    planned_n: int = 1
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run may spend, and how strong its claims are meant to be.

    ``steady_budget_s``: longest steady session. ``trials``: per deadline behaviour (quick 1, full
    59: success probability 0.95 at 95 % confidence). ``capabilities``: what bench and device
    offer to tests that need something.
    """

    steady_budget_s: float
    trials: int
    confidence: float
    capabilities: frozenset[str]


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
    return tuple(
        _decide_one(c, profile, requirements[c.requirement], floor, steady, plan)
        for c in candidates
    )


def _decide_one(
    candidate: Candidate,
    profile: DeviceProfile,
    requirement: Requirement,
    floor: NoiseFloor | None,
    steady: Impairment,
    plan: Plan,
) -> ScopeItem:
    def item(in_scope: bool, reason: str = "", figure: str = "", **more: Any) -> ScopeItem:
        return ScopeItem(
            candidate.requirement,
            candidate.stream,
            candidate.test,
            candidate.scenario,
            in_scope,
            reason,
            figure,
            **more,
        )

    missing = [need for need in candidate.needs if need not in plan.capabilities]
    if missing:
        return item(False, f"bench or device lacks {', '.join(missing)}")
    if requirement.kind == "behaviour":
        return item(True, planned_n=plan.trials)
    if not candidate.stream:
        return item(
            False,
            f"the device carries no stream of kind {requirement.stream}",
            "choose the option that carries it, if there is one",
        )
    stream = profile.stream(candidate.stream)
    limit = requirement.limit
    if floor is not None and limit is not None and requirement.unit == "s":
        intended_s = intended_p99_s(stream, steady, requirement.metric)
        possible, figure = resolvable(limit, intended_s, floor, stream.name, requirement.metric)
        if not possible:
            return item(False, "this host's noise floor cannot resolve the limit", figure)
    needed_s = seconds_needed(stream, requirement.metric, limit, plan.confidence)
    if needed_s > plan.steady_budget_s:
        count = samples_needed(requirement.metric, limit, plan.confidence)
        figure = (
            f"{count} samples at {stream.packets_per_s:g}/s take {show_duration(needed_s)}; "
            f"this run's budget is {show_duration(plan.steady_budget_s)}"
        )
        return item(False, "the evidence takes longer than this run", figure)
    count = samples_needed(requirement.metric, limit, plan.confidence)
    return item(True, planned_n=count, duration_s=needed_s)


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


def steady_duration_s(scope: Iterable[ScopeItem], minimum_s: float) -> float:
    """How long the steady session must be for everything in scope."""
    return max([minimum_s, *(i.duration_s for i in scope if i.in_scope and i.duration_s)])
