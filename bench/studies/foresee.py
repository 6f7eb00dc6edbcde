"""``bench plan``: what a run would judge, with which evidence, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.benches.choose import prospects_of
from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device
from bench.judge.needs import (
    LONGEST_INTERRUPTION_S,
    TRIAL_SUCCESS,
    full_trials,
    need_of,
    trials_text,
)
from bench.judge.planning import odds_of_share
from bench.judge.scope import ScopeItem
from bench.measure.sequential import Sprt
from bench.network import library
from bench.requirements.loader import load_catalogue
from bench.requirements.model import Requirement
from bench.sessions.codec import to_json
from bench.studies.collection import collect
from bench.studies.effort import Effort
from bench.studies.invoke import plan_folders_of
from bench.studies.planning import Settled, find, scenario_s, settle


@dataclass(frozen=True, slots=True)
class Claim:
    """What trials of a behaviour can claim, and at what price. Times in s.

    ``demonstrated``: all planned trials in time, no probability. ``probability``: success in at
    least ``probability`` of all cases, at the plan's confidence; ``trials`` if none fails.
    ``power_at_half``: how often these pass a device that fails half as often as it may;
    ``power_trials``: those that pass it in nine of ten runs, some failures allowed.
    """

    claim: str
    probability: float | None
    trials: int
    duration_s: float
    power_at_half: float | None = None
    power_trials: int | None = None
    power_duration_s: float | None = None
    sprt_expected_n: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement for one stream in one test. SI; ``None`` where there is no figure.

    ``of``: what is counted. ``needed_n``, ``needed_s``: the fewest that show the limit at
    ``confidence``, and how long they take at ``rate_per_s``. ``planned_n``, ``duration_s``: what
    the run collects. ``power_n``, ``power_s``: what decides on half and on twice the limit in nine
    of ten runs; ``power_at_half``: how often the planned ones pass half the limit.
    ``sprt_expected_n``: samples that a sequential test takes on average on a device at half its
    limit. ``needs``: what it takes, in words. ``claims``: of a behaviour's trials.
    """

    requirement: str
    title: str
    stream: str
    test: str
    scenario: str
    kind: str
    metric: str
    comparator: str
    limit: float | None
    unit: str
    in_scope: bool
    reason: str
    figure: str
    needs: str
    of: str
    confidence: float
    rate_per_s: float | None
    needed_n: float | None
    needed_s: float | None
    planned_n: int | None
    duration_s: float | None
    power_n: float | None
    power_s: float | None
    power_at_half: float | None
    sprt_expected_n: float | None
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The plan of a run: a row per candidate, in the order of its tests."""

    plan: str
    device: str
    bench: str
    effort: Effort
    rows: tuple[Row, ...]
    settled: Settled

    @property
    def duration_s(self) -> float:
        """All sessions, one after the other, if none is repeated."""
        return self.settled.duration_s

    def to_json(self) -> dict[str, Any]:
        """``{"requirements": [...], "duration_s": ..., ...}``."""
        sessions = [
            {"scenario": name, "count": count, "each_s": each_s}
            for name, (count, each_s) in self.settled.sessions.items()
        ]
        return {
            "plan": self.plan, "device": self.device, "bench": self.bench,
            "full": self.effort.full, "budget_s": self.effort.budget_s,
            "confidence": self.effort.confidence, "trials": self.settled.trials,
            "steady_s": self.settled.steady_s, "duration_s": self.duration_s,
            "sessions": sessions, "requirements": [to_json(row) for row in self.rows],
        }  # fmt: skip


def foresee(
    plans: Sequence[str],
    device: str,
    *,
    bench: str = "auto",
    only: Sequence[str] = (),
    options: Sequence[str] = (),
    effort: Effort,
) -> Foreseen:
    """Collect plans, settle its scope as a run does, and say what it takes. Nothing runs.

    The noise floor of a bench of real packets is known only once it runs, and may take more out
    of the scope.

    Raises:
        InputError: unknown plan, device, option, bench or requirement.
    """
    folders, catalogue = plan_folders_of(plans, device), load_catalogue()
    wanted = [catalogue.get(name).id for name in only]
    name, offers = prospects_of(bench)
    profile = find_device(device).with_options(tuple(options))
    candidates = [
        candidate
        for candidate in collect(folders, device, options=options).candidates
        if not wanted or candidate.requirement in wanted
    ]
    settled = settle(
        candidates, device=profile, requirements=catalogue, bench=name, effort=effort,
        offers=offers,
    )  # fmt: skip
    rows = rows_of(settled, profile, catalogue, effort)
    return Foreseen(" ".join(plans), profile.name, name, effort, rows, settled)


def rows_of(
    settled: Settled,
    device: DeviceProfile,
    requirements: Mapping[str, Requirement],
    effort: Effort,
) -> tuple[Row, ...]:
    """A row per item of the scope. Pure."""
    return tuple(_row(item, requirements[item.requirement], settled, device, effort)
                 for item in settled.scope)  # fmt: skip


def _row(
    item: ScopeItem,
    entry: Requirement,
    settled: Settled,
    device: DeviceProfile,
    effort: Effort,
) -> Row:
    stream = device.stream(item.stream) if item.stream else None
    need = need_of(entry, stream, device, effort.confidence)
    claims: tuple[Claim, ...] = ()
    needs, of, planned_s = need.text, need.of, item.duration_s
    if item.undeclared or entry.kind == "declaration":
        missing = f"nothing: {', '.join(item.undeclared)} is not declared"
        needs, of, planned_s = "a report that the profile names", "reports", 0.0
        needs = missing if item.undeclared else needs
    elif entry.kind == "behaviour":
        claims = _claims(item, settled, effort)
        needs, of, planned_s = _trials_text(item, settled, effort), "trials", claims[0].duration_s
    inside = item.in_scope
    return Row(
        requirement=entry.id,
        title=entry.title,
        stream=item.stream,
        test=item.test,
        scenario=item.scenario,
        kind=entry.kind,
        metric=entry.metric,
        comparator=entry.comparator,
        limit=entry.limit,
        unit=entry.unit,
        in_scope=inside,
        reason=item.reason,
        figure=item.figure,
        needs=needs,
        of=of,
        confidence=effort.confidence,
        rate_per_s=stream.packets_per_s if stream is not None else None,
        needed_n=claims[0].trials if claims else need.n,
        needed_s=claims[0].duration_s if claims else need.seconds,
        planned_n=item.planned_n if inside else None,
        duration_s=planned_s if inside else None,
        power_n=need.power_n,
        power_s=need.power_seconds,
        power_at_half=item.power_at_half,
        sprt_expected_n=need.sprt_n,
        claims=claims,
    )


def _claims(item: ScopeItem, settled: Settled, effort: Effort) -> tuple[Claim, Claim]:
    each_s = _each_s(item, settled)
    trials = 1 if item.scenario in library.LONG else settled.trials
    odds, n = odds_of_share(1 - TRIAL_SUCCESS), full_trials(effort.confidence)
    power_n = odds.needed_for_power(effort.confidence)
    sprt = Sprt(odds.good, odds.p, alpha=0.05, beta=1 - effort.confidence)
    return (
        Claim("demonstrated", None, trials, trials * each_s),
        Claim(
            "probability", TRIAL_SUCCESS, n, n * each_s,
            power_at_half=odds.power_at_half(n, effort.confidence),
            power_trials=power_n, power_duration_s=power_n * each_s,
            sprt_expected_n=sprt.expected_n(odds.good),
        ),
    )  # fmt: skip


def _trials_text(item: ScopeItem, settled: Settled, effort: Effort) -> str:
    n = full_trials(effort.confidence)
    text = trials_text(n, _each_s(item, settled), f"trials of {item.scenario}")
    longest_s = LONGEST_INTERRUPTION_S.get(item.requirement)
    if longest_s is None:
        return text
    what = f"reconnections after {longest_s:g} s"
    return f"{text}; {trials_text(n, longest_s, what)}, of which a plan does one, with --full"


def _each_s(item: ScopeItem, settled: Settled) -> float:
    return scenario_s(find(item.scenario, settled.steady_s, settled.visit))
