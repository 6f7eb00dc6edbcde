"""``bench judge RUN``: every verdict again, from the stored recordings alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.judge.assess import CONFIDENCE, assess
from bench.judge.outcomes import ERROR, INCONCLUSIVE, OK, exit_code
from bench.judge.scope import ScopeItem
from bench.judge.verdict import ChosenRule, Outcome, Verdict
from bench.measure.floor import NoiseFloor, measure_floor
from bench.measure.stimulus import StepStimulus, achieved
from bench.requirements.model import Requirement
from bench.runs.reader import StoredRun, read_recording, read_run
from bench.sessions.codec import from_json, to_json
from bench.sessions.recording import Recording
from bench.studies.emulator_proof import with_emulator
from bench.studies.failed import failed_verdict, verdict_without_session
from bench.studies.run import NULL_PATH


@dataclass(frozen=True, slots=True)
class Rejudged:
    """The verdicts derived again, and where they differ from the stored ones."""

    verdicts: tuple[Verdict, ...]
    scope: tuple[ScopeItem, ...]
    differences: tuple[str, ...]
    exit_code: int

    def to_json(self) -> dict[str, Any]:
        """``{"verdicts": [...], "differences": [...]}``."""
        return {
            "verdicts": [to_json(verdict) for verdict in self.verdicts],
            "differences": list(self.differences),
        }


def rejudge(path: Path) -> Rejudged:
    """Judge a run folder again; nothing is written.

    Raises:
        InputError: not a run folder, or damaged beyond reading.
    """
    run = read_run(path)
    cache: dict[str, Recording] = {}
    nulls = _of_scenario(run, NULL_PATH, cache)
    floor = measure_floor(nulls[-1]) if nulls else None
    floor = with_emulator(floor, run.identity.get("emulator_proof"))
    stimuli: dict[str, tuple[StepStimulus, ...]] = {}
    stored = {(v.requirement, v.stream, v.test): v for v in run.verdicts}
    verdicts = []
    for item in run.scope:
        if not item.in_scope:
            continue
        before = stored.get((item.requirement, item.stream, item.test))
        requirement = run.requirement(item.requirement)
        known = verdict_without_session(item, requirement, run.device, run.identity["start"])
        if known is not None:
            verdicts.append(known)
        elif before is not None and before.verdict is Outcome.ERROR and not before.session:
            verdicts.append(before)  # the bench's own fault: no recording to derive it from
        else:
            recordings = _of_scenario(run, item.scenario, cache)
            for recording in recordings:
                if recording.session_id not in stimuli:
                    stimuli[recording.session_id] = achieved(recording, floor)
            verdicts.append(_judged(run, item, requirement, recordings, stimuli, floor))
    differences = _differences(verdicts, stored, complete=run.complete)
    code = exit_code(
        [v.verdict for v in verdicts],
        allow_inconclusive=bool(run.identity.get("allow_inconclusive")),
    )
    if differences and code in (OK, INCONCLUSIVE):
        code = ERROR  # a verdict that cannot be reproduced is the bench's own fault
    return Rejudged(tuple(verdicts), run.scope, tuple(differences), code)


def _judged(
    run: StoredRun,
    item: ScopeItem,
    requirement: Requirement,
    recordings: Sequence[Recording],
    stimuli: Mapping[str, tuple[StepStimulus, ...]],
    floor: NoiseFloor | None,
) -> Verdict:
    if not recordings:
        reason = "the session never ran"
        return failed_verdict(item, requirement, run.device, Outcome.INCONCLUSIVE, reason)
    return assess(
        requirement,
        run.device,
        item.stream,
        recordings,
        stimulus=stimuli,
        floor=floor,
        planned_n=item.planned_n,
        test=item.test,
        certify=bool(run.identity.get("certify")),
        rule=_chosen_rule(run),
        confidence=float(run.identity.get("confidence") or CONFIDENCE),
        documents=run.requirements.values(),
    )


def _chosen_rule(run: StoredRun) -> ChosenRule | None:
    """The rule that the run was made with; runs of before it could be chosen have none."""
    file = run.path / "run.json"
    kind: Any = ChosenRule | None
    rule: ChosenRule | None = from_json(kind, run.identity.get("rule"), file=file, field="rule")
    return rule


def _of_scenario(run: StoredRun, scenario: str, cache: dict[str, Recording]) -> list[Recording]:
    """What a run judges from: of every trial the last attempt that came to its end.

    Of a run that was cut short also the session that was going on then.
    """
    last: dict[int, tuple[bool, int, str]] = {}
    for session in run.sessions:
        ended = session.completion == "complete"
        if session.scenario == scenario and (ended or not run.complete):
            attempt = (ended, session.attempt, session.id)
            last[session.trial] = max(last.get(session.trial, attempt), attempt)
    found = []
    for trial in sorted(last):
        session_id = last[trial][2]
        if session_id not in cache:
            cache[session_id] = read_recording(run, session_id)
        found.append(cache[session_id])
    return found


def _differences(
    verdicts: Sequence[Verdict], stored: dict[tuple[str, str, str], Verdict], *, complete: bool
) -> list[str]:
    """A run that was cut short lacks verdicts; only a complete one must have them all."""
    out = []
    for verdict in verdicts:
        key = (verdict.requirement, verdict.stream, verdict.test)
        before = stored.get(key)
        name = " ".join(part for part in key if part)
        if before is None and not complete:
            continue
        if before is None:
            out.append(f"{name}: no stored verdict, now {verdict.verdict}")
        elif before != verdict:
            out.append(
                f"{name}: stored {before.verdict} {before.value}, now {verdict.verdict} "
                f"{verdict.value}"
            )
    return out
