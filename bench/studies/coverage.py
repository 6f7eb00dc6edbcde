"""``bench coverage``: requirement × test × last verdict, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from bench.devices.defects import DEFECTS, Defect
from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device, names
from bench.errors import InputError
from bench.judge.declared import declared
from bench.judge.scope import Candidate
from bench.judge.verdict import Outcome
from bench.measure.counted import MEASURED
from bench.requirements.loader import Catalogue, load_catalogue
from bench.requirements.model import Requirement, Statement
from bench.runs.reader import StoredRun, read_run
from bench.sessions.codec import to_json
from bench.studies.collection import Collected, collect
from bench.studies.invoke import ALL, plan_folders_of

_PIXELS = "it is in the coded picture, which the taps do not decode"
_NETWORK = "asked of the network, which is the bench's own emulator in a test"
_LONG = "its evidence takes longer than any session (see `bench plan`)"
_NOT_SEEN = {
    "picture-width": _PIXELS,
    "picture-height": _PIXELS,
    "share": _PIXELS,
    "capacity": _NETWORK,
    "air-interface-delay": _NETWORK,
    "area-capacity": _NETWORK,
    "connection-density": _NETWORK,
    "availability": _LONG,
    "mtbf": _LONG,
    "duration": "hours on a battery, which no session lasts",
    "retention": "days in a store, which no session lasts",
    "self-test-interval": "hours and more from one to the next, which no session lasts",
    "bit-error-ratio": "checksums turn a bit error into a lost packet",
    "data-volume": "the bench orders the size of a set; that of a picture is in its coding",
    "position-error": "nothing observes the true position",
    "star-rating": "the document says not what a star is",
}
"""Why what the bench observes does not show a metric."""

_WORST_FIRST = (Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the catalogue and what answers it.

    ``tests``: those that judge it, or for a statement those of its ``mission`` ids.
    ``last_verdict``: the worst of the newest run that judged it (of a statement: of all its ids,
    ``None`` while one of them has none). ``declaration``: what a device profile declares.
    ``defects``: deliberate defects that it must catch. ``why_not``: why nothing covers it, empty
    where a test does and, for a behaviour, a defect shows that the test can fail.
    """

    id: str
    kind: str
    device_class: str
    mission: tuple[str, ...]
    tests: tuple[str, ...]
    last_verdict: str | None
    last_run: str | None
    declaration: str | None
    why_not: str
    defects: tuple[str, ...] = ()

    @property
    def covered(self) -> bool:
        """Whether a test judges it (a behaviour: one that a defect fails), or a declaration."""
        return not self.why_not


@dataclass(frozen=True, slots=True)
class Coverage:
    """``lines`` in catalogue order; ``uncited``: tests that cite no requirement."""

    lines: tuple[Line, ...]
    uncited: tuple[str, ...]

    @property
    def uncovered(self) -> tuple[Line, ...]:
        """What no test covers."""
        return tuple(line for line in self.lines if not line.covered)

    @property
    def behaviours(self) -> tuple[Line, ...]:
        """The ids of what a device must do or have, one by one."""
        return tuple(line for line in self.lines if line.kind in ("behaviour", "declaration"))

    def tests(self) -> Mapping[str, tuple[str, ...]]:
        """The other way: per test the ids it judges (statements left aside)."""
        found: dict[str, list[str]] = {name: [] for name in self.uncited}
        for line in self.lines:
            if line.kind not in ("behaviour statement", "declaration statement"):
                for test in line.tests:
                    found.setdefault(test, []).append(line.id)
        return {test: tuple(found[test]) for test in sorted(found)}

    def to_json(self) -> dict[str, Any]:
        """``{"requirements": [...], "tests": [{"test", "requirements"}], "uncited": [...]}``."""
        return {
            "requirements": [{**to_json(line), "covered": line.covered} for line in self.lines],
            "tests": [{"test": t, "requirements": list(ids)} for t, ids in self.tests().items()],
            "uncited": list(self.uncited),
        }


def coverage(
    catalogue: Catalogue,
    collected: Sequence[Collected],
    runs: Iterable[StoredRun],
    devices: Sequence[DeviceProfile],
    today: date,
    defects: Mapping[str, Defect] = DEFECTS,
) -> Coverage:
    """Put requirements, tests and verdicts together. Pure.

    Args:
        catalogue: all requirements and statements.
        collected: what each plan would judge for each device.
        runs: complete runs, in any order.
        devices: whose declarations count.
        today: the day that their expiry is counted from.
        defects: that must be caught.
    """
    caught = _caught(defects)
    tests = _tests(catalogue, [c for each in collected for c in each.candidates])
    last = _last_verdicts(runs)
    lines = {
        entry.id: _line(
            entry,
            tests.get(entry.id, ()),
            last.get(entry.id),
            devices,
            today,
            caught.get(entry.id, ()),
        )
        for entry in catalogue.values()
    }
    for statement in catalogue.statements.values():
        lines[statement.id] = _statement_line(statement, [lines[i] for i in statement.mission])
    uncited = tuple(sorted({name for each in collected for name in each.uncited}))
    return Coverage(tuple(lines.values()), uncited)


def _caught(defects: Mapping[str, Defect]) -> dict[str, tuple[str, ...]]:
    """Per requirement the defects that it must catch."""
    found: dict[str, list[str]] = {}
    for defect in defects.values():
        for requirement in defect.breaks:
            found.setdefault(requirement, []).append(defect.name)
    return {name: tuple(names) for name, names in found.items()}


def _tests(catalogue: Catalogue, candidates: Iterable[Candidate]) -> dict[str, tuple[str, ...]]:
    """Per requirement the tests whose device carries its stream and that measure its metric."""
    found: dict[str, dict[str, None]] = {}
    for candidate in candidates:
        entry = catalogue.get(candidate.requirement)
        if entry.kind in ("behaviour", "declaration") or (
            candidate.stream and entry.metric in MEASURED
        ):
            found.setdefault(entry.id, {})[candidate.test] = None
    return {name: tuple(tests) for name, tests in found.items()}


def _last_verdicts(runs: Iterable[StoredRun]) -> dict[str, tuple[Outcome, str]]:
    found: dict[str, tuple[Outcome, str]] = {}
    for run in sorted(runs, key=lambda run: str(run.identity.get("start"))):
        newest: dict[str, list[Outcome]] = {}
        for verdict in run.verdicts:
            newest.setdefault(verdict.requirement, []).append(verdict.verdict)
        for name, outcomes in newest.items():
            found[name] = min(outcomes, key=_WORST_FIRST.index), run.path.name
    return found


def _line(
    entry: Requirement,
    tests: tuple[str, ...],
    last: tuple[Outcome, str] | None,
    devices: Sequence[DeviceProfile],
    today: date,
    defects: tuple[str, ...],
) -> Line:
    said, why_not = None, "" if tests else "no test judges it"
    if tests and entry.kind == "behaviour" and not defects:
        why_not = "no deliberate defect breaks it"
    if entry.kind == "declaration":
        standing = [(device.name, declared(entry, device, today)) for device in devices]
        said = "; ".join(f"{name}: {found.reason}" for name, found in standing) or None
        valid = any(found.verdict is Outcome.PASS for _, found in standing)
        why_not = "" if valid or tests else "no device profile declares it"
    elif not tests and entry.kind in ("measured", "capability"):
        why_not = f"{entry.kind}: reported of a network or product, asked of no device"
    elif not tests and entry.metric not in MEASURED and entry.kind != "behaviour":
        why_not = f"no plan measures {entry.metric}"
        if entry.metric in _NOT_SEEN:
            why_not += f": {_NOT_SEEN[entry.metric]}"
    return Line(
        id=entry.id,
        kind=entry.kind,
        device_class=entry.device_class,
        mission=entry.mission,
        tests=tests,
        last_verdict=str(last[0]) if last else None,
        last_run=last[1] if last else None,
        declaration=said,
        why_not=why_not,
        defects=defects,
    )


def _statement_line(statement: Statement, answers: Sequence[Line]) -> Line:
    tests = tuple(dict.fromkeys(test for line in answers for test in line.tests))
    verdicts = [line.last_verdict for line in answers if line.last_verdict is not None]
    open_ = [line.id for line in answers if not line.covered]
    whole = len(verdicts) == len(answers)
    return Line(
        id=statement.id,
        kind=f"{statement.kind} statement",
        device_class=statement.device_class,
        mission=statement.mission,
        tests=tests,
        last_verdict=min(verdicts, key=list(map(str, _WORST_FIRST)).index) if whole else None,
        last_run=next((line.last_run for line in answers if whole), None),
        declaration=next((line.declaration for line in answers if line.declaration), None),
        why_not=f"no test judges {', '.join(open_)}" if open_ else "",
        defects=tuple(dict.fromkeys(name for line in answers for name in line.defects)),
    )


def stored_runs(results: Path) -> tuple[StoredRun, ...]:
    """The complete runs below a results folder; anything else there is left aside."""
    found = []
    for path in sorted(results.iterdir()) if results.is_dir() else ():
        if (path / "run.json").is_file():
            try:
                run = read_run(path)
            except InputError:
                continue  # damaged: no verdict to show
            if run.complete:
                found.append(run)
    return tuple(found)


def coverage_of_plans(devices: Sequence[str], results: Path) -> Coverage:
    """Collect every plan for every device and read the runs.

    Args:
        devices: as ``--device``; none for all that come with the bench.
        results: folder of run folders; it need not exist.

    Raises:
        InputError: a device or a plan cannot be used.
    """
    profiles = {name: find_device(name) for name in devices or names()}
    collected = [
        collect(plan_folders_of([ALL], name), name, options=options)
        for name, profile in profiles.items()
        for options in ((), *((option,) for option in profile.known_options))
    ]
    return coverage(
        load_catalogue(),
        collected,
        stored_runs(results),
        list(profiles.values()),
        datetime.now(UTC).date(),
    )
