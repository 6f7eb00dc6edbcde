"""The units of ``bench prove``: one device, one seed, the sessions that judge it, the verdicts.

A unit is plain data and is carried out by a pure function of it, in whatever process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from bench.benches.base import Nowhere
from bench.benches.virtual import VirtualBench
from bench.devices.profile import DeviceProfile
from bench.devices.side import CONTROL
from bench.errors import InputError
from bench.judge.assess import assess
from bench.judge.scope import Candidate, ScopeItem
from bench.judge.verdict import Outcome
from bench.measure.behaviours import BEHAVIOURS
from bench.measure.counted import BY_STREAM
from bench.measure.needs import visit_of
from bench.measure.stimulus import achieved
from bench.network.scenario import Scenario
from bench.requirements.loader import Catalogue, load_catalogue
from bench.requirements.model import Requirement
from bench.sessions.recording import Session
from bench.studies.effort import Effort
from bench.studies.planning import STEADY, find, scenario_s, settle


@dataclass(frozen=True, slots=True)
class Look:
    """One session and what is judged from it. ``steady_s``: its length, if it is the steady one."""

    device: DeviceProfile
    scenario: str
    steady_s: float
    items: tuple[ScopeItem, ...]

    @property
    def requirements(self) -> frozenset[str]:
        """The ids that are judged from it."""
        return frozenset(item.requirement for item in self.items)

    @property
    def found(self) -> Scenario:
        """Its scenario."""
        return find(self.scenario, self.steady_s, visit_of(self.device))

    @property
    def length_s(self) -> float:
        """Session time, in s."""
        return scenario_s(self.found)


@dataclass(frozen=True, slots=True)
class Unit:
    """What one process carries out in one go.

    ``key``: tells units apart, the same in every run. ``until``: requirements after whose FAIL
    nothing more needs to be seen; empty: everything is.
    """

    key: str
    looks: tuple[Look, ...]
    seed: int
    until: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """One verdict. ``limit``: None where there is none; ``reason``: of what is no PASS."""

    requirement: str
    scenario: str
    verdict: str
    limit: float | None
    unit: str
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a unit: its verdicts, in the order of its sessions."""

    key: str
    sessions: int
    seen: tuple[Seen, ...]

    def failed(self) -> frozenset[str]:
        """The requirements with a FAIL in one of the sessions."""
        return frozenset(s.requirement for s in self.seen if s.verdict == Outcome.FAIL)


def carry_out(unit: Unit) -> Done:
    """Run the sessions of a unit on the virtual bench and judge them.

    A device that raises gives ERROR: nothing was shown of it.

    Raises:
        InputError: the device or a defect comes out of a file that cannot be used.
    """
    seen: list[Seen] = []
    missing, sessions = set(unit.until), 0
    for look in unit.looks:
        if unit.until and not missing & look.requirements:
            continue
        sessions += 1
        seen += _judged(look, unit.seed)
        missing -= {s.requirement for s in seen if s.verdict == Outcome.FAIL}
    return Done(unit.key, sessions, tuple(seen))


def _judged(look: Look, seed: int) -> list[Seen]:
    session = Session("prove", look.device, look.found, seed)
    try:
        recording = VirtualBench().run(session, Nowhere())
    except InputError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return [
            Seen(i.requirement, i.scenario, str(Outcome.ERROR), None, "", reason)
            for i in look.items
        ]
    stimulus = {recording.session_id: achieved(recording, None)}
    found = []
    for item in look.items:
        verdict = assess(
            _catalogue().get(item.requirement), look.device, item.stream, [recording],
            stimulus=stimulus, floor=None, planned_n=item.planned_n, test=item.test,
            documents=_catalogue().requirements.values(),
        )  # fmt: skip
        reason = "" if verdict.verdict is Outcome.PASS else verdict.reason
        found.append(
            Seen(item.requirement, item.scenario, str(verdict.verdict), verdict.limit,
                 verdict.unit, reason)
        )  # fmt: skip
    return found


@cache
def _catalogue() -> Catalogue:
    return load_catalogue()


def looks_at(
    device: DeviceProfile,
    candidates: Iterable[Candidate],
    requirements: Mapping[str, Requirement],
    *,
    budget_s: float | None = None,
    light: bool = True,
) -> tuple[Look, ...]:
    """The sessions that judge candidates on a device, the shortest first.

    Args:
        device: simulated.
        candidates: what is to be judged; what is out of scope on the virtual bench is left out.
        requirements: the catalogue.
        budget_s: of the steady session, where documented figures are among the candidates.
        light: switch off the streams that nothing judged from a session rests on.
    """
    wanted = list(candidates)
    steady, others = (
        settle(
            [c for c in wanted if (c.scenario == STEADY) == is_steady],
            device=device, requirements=requirements, bench="virtual",
            effort=Effort(budget_s=budget_s if is_steady else None),
        )
        for is_steady in (True, False)
    )  # fmt: skip
    by_scenario: dict[str, list[ScopeItem]] = {}
    for item in (*steady.scope, *others.scope):
        if item.in_scope and item.scenario and not item.undeclared:
            behaviour = requirements[item.requirement].kind == "behaviour"
            planned = replace(item, planned_n=1) if behaviour else item
            by_scenario.setdefault(item.scenario, []).append(planned)
    found = [
        Look(
            _lighter(device, items, requirements) if light else device,
            name,
            steady.steady_s,
            tuple(items),
        )
        for name, items in by_scenario.items()
    ]
    return tuple(sorted(found, key=lambda look: (look.length_s, look.scenario)))


def _lighter(
    device: DeviceProfile, items: Sequence[ScopeItem], requirements: Mapping[str, Requirement]
) -> DeviceProfile:
    """The device without the streams that none of the items rests on."""
    used = {CONTROL, device.watched}
    for item in items:
        behaviour = BEHAVIOURS.get(item.requirement)
        if behaviour is None and requirements[item.requirement].metric in BY_STREAM:
            used.add(item.stream)
        elif behaviour is None or not behaviour.commands_only:
            return device
    streams = tuple(
        s if s.name in used else replace(s, option="not-in-this-session") for s in device.streams
    )
    return replace(device, streams=streams)
