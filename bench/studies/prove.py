"""``bench prove``: faulty devices that must fail, healthy ones that must not, over many seeds.

Everything is derived from the collected plans and the catalogue of defects: a defect runs in the
scenarios of those tests that judge what it breaks; a healthy device runs in all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.devices.defects import (
    DEFECTS,
    MARGINS,
    can_have,
    check_defects,
    find_defect,
    machine_name,
    traits_of,
)
from bench.devices.profile import DeviceProfile
from bench.judge.scope import Candidate
from bench.judge.verdict import Outcome
from bench.requirements.loader import Catalogue
from bench.studies.prove_units import Done, Look, Unit, looks_at

KPI_BUDGET_S = 30.0
"""Of the session in which healthy devices show their documented figures."""
KPI_EVERY = 10
"""Healthy seeds of which one looks at the documented figures too: those sessions are long."""
NEAR_EVERY = 3
"""Of the healthy sessions one in so many runs near the device's limits …"""
NEAR_SHARES = (0.80, 0.95)
"""… using this share of them, drawn from the seed."""
BISECTIONS = 6

Carry = Callable[[Sequence[Unit]], Iterable[Done]]
"""Carries units out, in any order."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One simulated device and what the plans judge on it."""

    device: DeviceProfile
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Faulty:
    """One defect on one device. ``size`` in s where it is timed, else 1."""

    defect: str
    device: DeviceProfile
    size: float
    breaks: tuple[str, ...]
    looks: tuple[Look, ...]

    def unit(self, seed: int, size: float | None = None) -> Unit:
        """The unit of one seed, with another size where one is given."""
        size = self.size if size is None else size
        looks = tuple(
            replace(look, device=look.device.with_defects({self.defect: size}))
            for look in self.looks
        )
        key = f"{self.device.fingerprint[:12]} {self.defect}={size!r} {seed}"
        return Unit(key, looks, seed, self.breaks)

    def first_where_caught(self, done: Done) -> Faulty:
        """The same with the scenarios first in which a seed was caught."""
        caught = {s.scenario for s in done.seen if s.verdict == Outcome.FAIL}
        looks = sorted(self.looks, key=lambda look: look.scenario not in caught)
        return replace(self, looks=tuple(looks))


@dataclass(frozen=True, slots=True)
class DefectResult:
    """What became of one defect on one device.

    ``detected_in``: seeds in which every requirement that it breaks said FAIL. ``by``: those
    requirements that said FAIL at all, ``by_seeds`` in how many seeds each. ``limit``: the
    smallest limit that it went beyond. ``certain_from``: the size from which every seed is
    detected, in s; None where it was not looked for. ``note``: why seeds went undetected.
    """

    defect: str
    title: str
    device: str
    size: float
    timed: bool
    seeds: int
    detected_in: int
    by: tuple[str, ...]
    by_seeds: Mapping[str, int]
    breaks: tuple[str, ...]
    limit: float | None
    unit: str
    sessions: int
    certain_from: float | None = None
    note: str = ""

    @property
    def certain(self) -> bool:
        """Detected in all seeds."""
        return self.detected_in == self.seeds


@dataclass(frozen=True, slots=True)
class HealthyResult:
    """What became of healthy devices. ``near_limit``: sessions of those near their limits.

    ``notable``: what was no PASS, with its reason.
    """

    sessions: int = 0
    near_limit: int = 0
    verdicts: int = 0
    false_fail: int = 0
    inconclusive: int = 0
    error: int = 0
    devices: tuple[str, ...] = ()
    notable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proved:
    """The answer of ``bench prove``.

    ``left_out``: defects that were not run, for the chosen plans do not judge on the chosen devices
    all that they break.
    """

    defects: tuple[DefectResult, ...]
    healthy: HealthyResult
    left_out: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every defect detected in all seeds; no healthy device failed, nor the bench."""
        healthy = self.healthy
        return all(d.certain for d in self.defects) and not healthy.false_fail + healthy.error


def faulty(
    subjects: Sequence[Subject],
    defects: Mapping[str, float | None],
    catalogue: Catalogue,
    *,
    everywhere: bool,
) -> tuple[Faulty, ...]:
    """Defects with the devices and sessions that show them.

    Args:
        subjects: the devices.
        defects: by name, with their sizes; None for what is stated for each device.
        catalogue: all requirements.
        everywhere: on every device that can have a defect; else on the first of them whose plans
            judge what it breaks, by the machines in the order that the defect names.
    """
    found = []
    for name, size in defects.items():
        defect = find_defect(name)
        fitting = [
            subject
            for machine in defect.machines
            for subject in subjects
            if machine_name(subject.device.machine) == machine
        ]
        cases = [_faulty(name, size, defect.breaks, subject, catalogue) for subject in fitting]
        judged = [case for case in cases if judges_all(case)]
        found += judged if everywhere and judged else (judged or cases)[:1]
    return tuple(found)


def _faulty(
    name: str, asked: float | None, breaks: tuple[str, ...], subject: Subject, catalogue: Catalogue
) -> Faulty:
    size = find_defect(name).size_on(subject.device) if asked is None else asked
    wanted = [c for c in subject.candidates if c.requirement in breaks]
    figures = all(catalogue.get(name).kind != "behaviour" for name in breaks)
    budget_s = KPI_BUDGET_S if figures else None
    looks = looks_at(subject.device, wanted, catalogue, budget_s=budget_s)
    return Faulty(name, subject.device, size, breaks, looks)


def judges_all(case: Faulty) -> bool:
    """Whether the plans judge everything that a defect breaks."""
    judged = {name for look in case.looks for name in look.requirements}
    return set(case.breaks) <= judged


def chosen_defects(
    asked: Mapping[str, float | None], subjects: Sequence[Subject]
) -> dict[str, float | None]:
    """The asked defects, or all that one of the devices can have, with their sizes.

    None is the size that is stated for a device.

    Raises:
        InputError: a defect that none of the devices can have.
    """
    if not asked:
        return {
            name: None
            for name, defect in DEFECTS.items()
            if any(can_have(s.device, defect) for s in subjects)
        }
    for name in asked:
        if not any(can_have(s.device, find_defect(name)) for s in subjects):
            check_defects(subjects[0].device, {name: 1.0})
    return dict(asked)


def prove_defects(cases: Sequence[Faulty], seeds: int, carry: Carry) -> tuple[DefectResult, ...]:
    """Run every case over seeds 1 … ``seeds``; the first tells in which scenario to look first."""
    done: dict[str, Done] = {}
    pilots = [case.unit(1) for case in cases]
    for each in carry(pilots):
        done[each.key] = each
    cases = [case.first_where_caught(done[case.unit(1).key]) for case in cases]
    rest = [case.unit(seed) for seed in range(2, seeds + 1) for case in cases]
    for each in carry(rest):
        done[each.key] = each
    return tuple(
        _result(case, [done[case.unit(seed).key] for seed in range(1, seeds + 1)]) for case in cases
    )


def _result(case: Faulty, done: Sequence[Done]) -> DefectResult:
    defect = find_defect(case.defect)
    by = Counter(name for each in done for name in sorted(each.failed()) if name in case.breaks)
    detected = sum(each.failed() >= set(case.breaks) for each in done)
    beyond = [
        (s.limit, s.unit)
        for each in done
        for s in each.seen
        if s.verdict == Outcome.FAIL and s.requirement in case.breaks and s.limit is not None
    ]
    limit, unit = min(beyond, default=(None, ""))
    return DefectResult(
        defect=case.defect,
        title=defect.title,
        device=case.device.name,
        size=case.size,
        timed=defect.timed,
        seeds=len(done),
        detected_in=detected,
        by=tuple(sorted(by)),
        by_seeds=dict(sorted(by.items())),
        breaks=case.breaks,
        limit=limit,
        unit=unit,
        sessions=sum(each.sessions for each in done),
        note="" if detected == len(done) else _note(case, done),
    )


def _note(case: Faulty, done: Sequence[Done]) -> str:
    """Why a seed went undetected: no test, or what the first such seed showed."""
    judged = {name for look in case.looks for name in look.requirements}
    untested = [name for name in case.breaks if name not in judged]
    if untested:
        return f"no test judges {', '.join(untested)} on {case.device.name}"
    first = next(each for each in done if not each.failed() >= set(case.breaks))
    missed = [name for name in case.breaks if name not in first.failed()]
    texts = [
        f"{s.requirement} in {s.scenario}: {s.verdict} {s.reason}".rstrip()
        for s in first.seen
        if s.requirement in missed
    ]
    return f"seed {first.key.rpartition(' ')[2]}: {'; '.join(texts)}"


def find_sizes(
    cases: Sequence[Faulty], results: Sequence[DefectResult], seeds: int, carry: Carry
) -> tuple[DefectResult, ...]:
    """The size of each timed defect from which detection is certain, by bisection.

    Detection is taken to grow with the size. Sought between nothing and the stated size, where
    that is detected in every seed; found to within 1 / 2^:data:`BISECTIONS` of it.
    """
    spans = {
        place: (0.0, result.size)
        for place, result in enumerate(results)
        if result.timed and result.certain
    }
    for _ in range(BISECTIONS):
        tried = {place: (low + high) / 2 for place, (low, high) in spans.items()}
        units = [
            cases[place].unit(seed, size)
            for place, size in tried.items()
            for seed in range(1, seeds + 1)
        ]
        failed = {each.key: each.failed() for each in carry(units)}
        for place, size in tried.items():
            wanted = set(cases[place].breaks)
            keys = (cases[place].unit(seed, size).key for seed in range(1, seeds + 1))
            low, high = spans[place]
            certain = all(failed[key] >= wanted for key in keys)
            spans[place] = (low, size) if certain else (size, high)
    return tuple(
        replace(result, certain_from=spans[place][1]) if place in spans else result
        for place, result in enumerate(results)
    )


def healthy_units(
    subjects: Sequence[Subject], catalogue: Catalogue, seeds: int
) -> tuple[tuple[Unit, bool], ...]:
    """One unit per healthy session over seeds 1 … ``seeds``, and whether it is near the limits."""
    found = []
    for subject in subjects:
        kinds: dict[bool, list[Candidate]] = {True: [], False: []}
        for candidate in subject.candidates:
            behaviour = catalogue.get(candidate.requirement).kind == "behaviour"
            kinds[behaviour].append(candidate)
        light = looks_at(subject.device, kinds[True], catalogue)
        whole = looks_at(subject.device, kinds[True], catalogue, light=False)
        figures = looks_at(subject.device, kinds[False], catalogue, budget_s=KPI_BUDGET_S)
        for seed in range(1, seeds + 1):
            looks = whole if seed == 1 else light
            for place, look in enumerate(looks):
                near = (seed + place) % NEAR_EVERY == 0
                unit = _healthy(look, seed, near)
                found.append((unit, near and _deviates(unit)))
            if seed % KPI_EVERY == 1:
                found += [(_healthy(look, seed, False), False) for look in figures]
    return tuple(found)


def _healthy(look: Look, seed: int, near: bool) -> Unit:
    device = look.device
    if near:
        rng = np.random.default_rng([seed, *look.scenario.encode()])
        shares = {name: float(rng.uniform(*NEAR_SHARES)) for name in MARGINS}
        device = device.with_defects(shares)
    key = f"{look.device.fingerprint[:12]} healthy{' near' if near else ''} {look.scenario} {seed}"
    return Unit(key, (replace(look, device=device),), seed)


def _deviates(unit: Unit) -> bool:
    """Whether the device of a unit behaves otherwise than by its profile alone."""
    device = unit.looks[0].device
    return traits_of(device) != traits_of(device.with_defects({}))


def prove_healthy(units: Sequence[tuple[Unit, bool]], carry: Carry) -> HealthyResult:
    """Run healthy devices and count what is no PASS."""
    by_key = {unit.key: unit for unit, _ in units}
    counts: Counter[str] = Counter()
    notable, sessions = [], 0
    for done in carry([unit for unit, _ in units]):
        sessions += done.sessions
        for seen in done.seen:
            counts[seen.verdict] += 1
            if seen.verdict != Outcome.PASS:
                unit = by_key[done.key]
                place = f"{unit.looks[0].device.name}, {seen.scenario}, seed {unit.seed}"
                near = ", near its limits" if unit.looks[0].device.defects else ""
                text = f"{place}{near}: {seen.verdict} {seen.requirement}: {seen.reason}"
                notable.append(text)
    return HealthyResult(
        sessions=sessions,
        near_limit=sum(near for _, near in units),
        verdicts=sum(counts.values()),
        false_fail=counts[str(Outcome.FAIL)],
        inconclusive=counts[str(Outcome.INCONCLUSIVE)],
        error=counts[str(Outcome.ERROR)],
        devices=tuple(dict.fromkeys(unit.looks[0].device.name for unit, _ in units)),
        notable=tuple(sorted(notable)),
    )


def to_json(proved: Proved) -> dict[str, Any]:
    """``{"defects": [...], "healthy": {...}, "left_out": [...]}``; every key always present."""
    healthy = proved.healthy
    return {
        "defects": [
            {
                "defect": d.defect, "title": d.title, "device": d.device, "size": d.size,
                "timed": d.timed, "seeds": d.seeds, "detected_in": d.detected_in,
                "by": list(d.by), "by_seeds": dict(d.by_seeds), "breaks": list(d.breaks),
                "limit": d.limit, "unit": d.unit, "sessions": d.sessions,
                "certain_from": d.certain_from, "note": d.note,
            }
            for d in proved.defects
        ],
        "healthy": {
            "sessions": healthy.sessions, "near_limit": healthy.near_limit,
            "verdicts": healthy.verdicts, "false_fail": healthy.false_fail,
            "inconclusive": healthy.inconclusive, "error": healthy.error,
            "devices": list(healthy.devices), "notable": list(healthy.notable),
        },
        "left_out": list(proved.left_out),
    }  # fmt: skip
