"""One run: it takes a bench, settles its scope, carries sessions out, judges and closes.

Everything that decides a verdict is pure and lives elsewhere; this is where the effects are put
in order, so that a killed run stays readable and a finished one is sealed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.benches.base import Bench
from bench.benches.check import best_bench
from bench.benches.choose import make_bench
from bench.devices.profile import FUNCTIONS, DeviceProfile
from bench.devices.registry import MACHINES, machine_of
from bench.errors import InputError
from bench.judge.assess import CONFIDENCE, assess
from bench.judge.documented import limits_documented
from bench.judge.scope import Candidate, ScopeItem
from bench.judge.verdict import ChosenRule, Outcome, Verdict
from bench.measure.floor import NoiseFloor, measure_floor
from bench.measure.kpi import METRICS, measure_kpi
from bench.network import library
from bench.network.scenario import Scenario
from bench.requirements.loader import Catalogue, load_catalogue
from bench.runs.files import writing
from bench.runs.folder import RunFolder
from bench.runs.ids import new_run_id
from bench.sessions.recording import Recording, Session
from bench.studies.effort import Effort
from bench.studies.emulator_proof import prove_emulator, with_emulator
from bench.studies.failed import failed_verdict, verdict_without_session
from bench.studies.observer import Observer
from bench.studies.planning import Settled, find, settle
from bench.studies.sessions import Sessions
from bench.studies.timekeeping import timekeeping_problem

NULL_PATH = "null-path"
KPI_SESSIONS = 3
"""At most this many sessions for the KPI, where one gives too little evidence."""

REPEAT_BUDGET_S, FULL_REPEAT_BUDGET_S = 60.0, 1200.0
"""No session is repeated once the repeats of a run have taken this long."""

CAPABILITIES = (
    *FUNCTIONS, "real-packets", "attacker", "flooder", "listener", "interceptor", "cells",
    "large-packets-to-patient", "large-packets-to-doctor", "address-change", "wireless",
    "timed-transfer",
)  # fmt: skip
"""What a test may need of device and bench."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the user asked for.

    ``budget_s``: of all sessions together, instead of quick or full. ``rule``: a decision rule for
    the whole run, where a requirement leaves the choice.
    """

    plan: str
    device: DeviceProfile
    bench: str = "virtual"
    seed: int = 7
    results: Path = Path("results")
    only: tuple[str, ...] = ()
    full: bool = False
    allow_inconclusive: bool = False
    certify: bool = False
    rule: ChosenRule | None = None
    confidence: float = CONFIDENCE
    budget_s: float | None = None
    run_id: str | None = None
    command: tuple[str, ...] = ("?",)


class Run:
    """One process's part in a run.

    ``open``, ``settle_scope``, ``recordings``, ``judge``, ``close``; then
    :func:`bench.studies.ending.end_run`, once. Several processes may share one run
    (``RunOptions.run_id``): each session is carried out by the one that claims it, and read by
    the others.
    """

    def __init__(self, options: RunOptions, observer: Observer) -> None:
        self.options = options
        self.observer = observer
        self.catalogue: Catalogue = load_catalogue()
        self.verdicts: list[Verdict] = []
        self.floor: NoiseFloor | None = None
        self.started = time.monotonic()
        self._bench: Bench | None = None
        self._folder: RunFolder | None = None
        self._sessions: Sessions | None = None
        self._recordings: dict[tuple[str, int], Recording] = {}
        self._enough_of: dict[str, list[Recording]] = {}
        self._settled = Settled((), 0.0, 0)

    @property
    def opened(self) -> bool:
        """Whether the run folder exists."""
        return self._folder is not None

    @property
    def bench(self) -> Bench:
        """The bench that this run holds."""
        assert self._bench is not None, "the run is not open"
        return self._bench

    @property
    def folder(self) -> RunFolder:
        """The run folder."""
        assert self._folder is not None, "the run is not open"
        return self._folder

    @property
    def sessions(self) -> Sessions:
        """What carries sessions out and knows their stimulus."""
        assert self._sessions is not None, "the run is not open"
        return self._sessions

    @property
    def scope(self) -> tuple[ScopeItem, ...]:
        """What this run judges and what it leaves out; empty before it is settled."""
        return self._settled.scope

    def open(self) -> None:
        """Take the bench and make the run folder.

        Raises:
            InputError: unknown bench or state machine, missing privileges, the host is taken, no
                folder.
            BenchError: the bench does not come up.
        """
        options = self.options
        bench = make_bench(options.bench)
        _check_machine(options.device, bench.name)
        self._take(bench)
        try:
            reason = self._settle_bench()
            run_id = options.run_id or new_run_id(options.device.name, self.bench.name)
            identity = {**self._identity(self.bench), "bench_reason": reason}
            self._folder = RunFolder.open(options.results, run_id, identity)
            _keep_transcript(self.bench, self._folder.path)
            self._sessions = Sessions(
                self.bench,
                self._folder,
                self.observer,
                repeat_budget_s=FULL_REPEAT_BUDGET_S if options.full else REPEAT_BUDGET_S,
                total=self._sessions_total,
            )
        except BaseException:
            self.close()
            raise
        self.observer.opened(self)

    def _take(self, bench: Bench) -> None:
        bench.__enter__()
        self._bench = bench

    def _settle_bench(self) -> str:
        """Why this bench; where ``auto`` took one that cannot keep time now, virtual instead."""
        if self.options.bench != "auto":
            return "asked for"
        name, reason = best_bench()
        if name == "virtual":
            return reason
        self.observer.note("trying whether this host keeps time for real packets: a few seconds")
        problem = timekeeping_problem(self.bench, self.options.device, self.options.seed)
        if not problem:
            return reason
        self.observer.note(f"it does not ({problem}): going on with the virtual bench")
        self.close()
        self._take(make_bench("virtual"))
        return f"the local bench cannot keep time on this host now: {problem}"

    def _identity(self, bench: Bench) -> dict[str, Any]:
        options = self.options
        return {
            "plan": options.plan,
            "bench": bench.name,
            "backend": bench.backend,
            "device": options.device,
            "seed": options.seed,
            "full": options.full,
            "only": list(options.only),
            "allow_inconclusive": options.allow_inconclusive,
            "certify": options.certify,
            "options": list(options.device.options),
            "defects": dict(options.device.defects or {}),
            "rule": options.rule,
            "confidence": options.confidence,
            "budget_s": options.budget_s,
            "catalogue_sha256": self.catalogue.sha256,
            "command": [Path(options.command[0]).name, *options.command[1:]],
            **_laboratory_of(bench),
        }

    def settle_scope(self, candidates: Iterable[Candidate]) -> None:
        """Prove the emulator, measure the noise floor, decide what this run judges.

        Written to run.json once.

        Processes that share a run come to the same scope from the same null path.
        """
        wanted = [c for c in candidates if self._wanted(c)]
        null = self._session(library.null_path(), 0)
        self.floor = measure_floor(null) if null is not None else None
        unsound = "" if null is None else "; ".join(self.sessions.problems(null, reactions=False))
        options = self.options
        proof, failed = prove_emulator(self.bench, options.seed)
        self.floor = with_emulator(self.floor, proof)
        self.sessions.floor = self.floor
        self._settled = settle(
            wanted,
            device=options.device,
            requirements=self.catalogue,
            bench=self.bench.name,
            effort=Effort(options.full, options.budget_s, options.confidence),
            floor=self.floor if self.bench.name != "virtual" else None,
            unsound="; ".join(filter(None, (failed, unsound))),
            offers=self.bench.offers,
        )
        if not self.folder.identity["scope"]:
            documented = limits_documented(options.device, self.catalogue.requirements.values())
            asked = dict.fromkeys(item.requirement for item in self.scope)
            asked |= dict.fromkeys(each.id for each in documented)
            self.folder.update(
                scope=self.scope,
                trials=self._settled.trials,
                noise_floor=self.floor,
                emulator_proof=proof,
                requirements=[self.catalogue.get(name) for name in asked],
            )
        self.observer.scope(self.scope)

    def _wanted(self, candidate: Candidate) -> bool:
        only = self.options.only
        return not only or candidate.requirement in only

    def scope_of(self, candidate: Candidate) -> ScopeItem:
        """The decision on a candidate; one that was not wanted is out of scope."""
        for item in self.scope:
            if (item.requirement, item.stream, item.test) == (
                candidate.requirement,
                candidate.stream,
                candidate.test,
            ):
                return item
        return ScopeItem(
            candidate.requirement,
            candidate.stream,
            candidate.test,
            candidate.scenario,
            False,
            "left out by --only",
        )

    def recordings(self, item: ScopeItem) -> list[Recording]:
        """The recordings that ``item`` is judged from; sessions run at the first use."""
        if item.undeclared or not item.scenario:
            return []
        scenario = self._scenario(item.scenario)
        if not self._is_behaviour(item):
            if scenario.name not in self._enough_of:
                self._enough_of[scenario.name] = self._enough(scenario)
            return self._enough_of[scenario.name]
        found = (self._recording(scenario, trial) for trial in range(item.planned_n))
        return [recording for recording in found if recording is not None]

    def _enough(self, scenario: Scenario) -> list[Recording]:
        """The KPI session, and more of the same while the evidence is too thin for a bound.

        On a noisy host delays follow each other and count for less. Whether there is more to
        record depends on the effective number of samples alone, never on their values.
        """
        found: list[Recording] = []
        most = 1 if self.bench.name == "virtual" else KPI_SESSIONS
        for trial in range(most):
            recording = self._recording(scenario, trial)
            if recording is None:
                break
            found.append(recording)
            if self.sessions.problems(recording, reactions=False):
                break  # nothing more would come of it
            if len(found) == most:
                break
            thin = [item for item in self.scope if self._is_thin(item, scenario, found)]
            if not thin:
                break
            self.observer.note(f"{len(thin)} KPI need more samples on this noisy host")
        return found

    def _is_thin(self, item: ScopeItem, scenario: Scenario, found: list[Recording]) -> bool:
        if not item.in_scope or item.scenario != scenario.name or self._is_behaviour(item):
            return False
        metric = self.catalogue.get(item.requirement).metric
        if metric not in METRICS:
            return False  # seen as a whole, or not at all
        measured = measure_kpi(
            found, item.stream, metric, confidence=self.options.confidence, floor=self.floor
        )
        return measured.upper is None

    def _is_behaviour(self, item: ScopeItem) -> bool:
        return self.catalogue.get(item.requirement).kind == "behaviour"

    def _scenario(self, name: str) -> Scenario:
        return find(name, self._settled.steady_s, self._settled.visit)

    def _recording(self, scenario: Scenario, trial: int) -> Recording | None:
        key = (scenario.name, trial)
        if key not in self._recordings:
            recording = self._session(scenario, trial)
            if recording is None:
                return None
            self._recordings[key] = recording
        return self._recordings[key]

    def _session(self, scenario: Scenario, trial: int) -> Recording | None:
        options = self.options
        reactions = any(
            item.in_scope and item.scenario == scenario.name and self._is_behaviour(item)
            for item in self.scope
        )
        return self.sessions.carry_out(
            lambda attempt: Session(
                options.plan, options.device, scenario, options.seed, trial, attempt
            ),
            reactions=reactions,
        )

    def _sessions_total(self) -> int:
        return sum(count for count, _ in self._settled.sessions.values()) or 1

    def judge(self, item: ScopeItem, recordings: Sequence[Recording]) -> Verdict:
        """Judge one item of the scope; the verdict is written before it is returned."""
        requirement = self.catalogue.get(item.requirement)
        verdict = verdict_without_session(
            item, requirement, self.options.device, self.folder.identity["start"]
        )
        if verdict is None and not recordings and item.scenario in self.sessions.errors:
            verdict = failed_verdict(
                item,
                requirement,
                self.options.device,
                Outcome.ERROR,
                self.sessions.errors[item.scenario],
            )
        elif verdict is None:
            verdict = assess(
                requirement,
                self.options.device,
                item.stream,
                recordings,
                stimulus=self.sessions.stimuli,
                floor=self.floor,
                planned_n=item.planned_n,
                test=item.test,
                certify=self.options.certify,
                rule=self.options.rule,
                confidence=self.options.confidence,
                documents=self.catalogue.requirements.values(),
            )
        self.verdicts.append(verdict)
        self.folder.verdict(verdict)
        self.observer.verdict(verdict)
        return verdict

    def close(self) -> None:
        """Give the bench back."""
        if self._bench is not None:
            self._bench.__exit__(None, None, None)
            self._bench = None


def _laboratory_of(bench: Bench) -> dict[str, Any]:
    """What stands around the packets, where it is the bench of a laboratory."""
    describe = getattr(bench, "describe", None)
    return {} if describe is None else {"laboratory": describe()}


def _keep_transcript(bench: Bench, folder: Path) -> None:
    """Where it is the bench of a laboratory, every byte of its instruments is in the run folder."""
    keep_in = getattr(bench, "keep_in", None)
    if keep_in is not None:
        with writing(folder):
            keep_in(folder)


def _check_machine(device: DeviceProfile, bench: str) -> None:
    """Refuse a device that a bench cannot play, before anything is made."""
    if bench == "lab":
        return  # it is at the far ends of the interfaces
    if not device.machine:
        raise InputError(
            "a real device needs the lab bench",
            remedy=f"name one of {', '.join(MACHINES)} in the device profile",
            field="device.machine",
            value=device.machine,
        )
    machine_of(device.machine)
