"""From recordings to a verdict: the only path, live and when judging a stored run again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.devices.profile import AlarmProfile, DeviceProfile
from bench.judge.documented import looser_than_documents
from bench.judge.judge import judge
from bench.judge.specify import specify
from bench.judge.verdict import ChosenRule, Outcome, Verdict
from bench.measure.behaviours import BEHAVIOURS, expected_alarms, measure_behaviour
from bench.measure.counted import MEASURED, measure_stream
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import evidence_problems
from bench.measure.measurement import Measurement
from bench.measure.stimulus import StepStimulus, health_problems, stall_problems
from bench.requirements.model import Reading, Requirement
from bench.sessions.instruments import not_certifiable
from bench.sessions.recording import Recording

CONFIDENCE = 0.95


def assess(
    requirement: Requirement,
    profile: DeviceProfile,
    stream: str,
    recordings: Sequence[Recording],
    *,
    stimulus: Mapping[str, Sequence[StepStimulus]],
    floor: NoiseFloor | None,
    planned_n: int,
    test: str,
    certify: bool = False,
    rule: ChosenRule | None = None,
    confidence: float = CONFIDENCE,
    documents: Iterable[Requirement] | None = None,
) -> Verdict:
    """Measure, check the stimulus, judge the default reading and show the rival ones.

    Args:
        recordings: one per trial, at least one.
        stimulus: what :func:`bench.measure.stimulus.achieved` found, per session id.
        planned_n: samples or trials that the run set out to collect.
        certify: refuse what only the device itself observed, and instruments that certify nothing.
        rule: chosen for the run (see :func:`bench.judge.specify.specify`).
        confidence: of the bounds.
        documents: the catalogue, for behaviours that rest on what the profile says each stream
            needs; without it they have no verdict.
    """
    behaviour = BEHAVIOURS.get(requirement.id)
    unsound = stimulus_problems(recordings, stimulus, reactions=behaviour is not None)
    shared = floor_problems(recordings, floor)
    if behaviour is not None and behaviour.stream_limits:
        shared = (*shared, *looser_than_documents(profile, documents))
    alarms: tuple[AlarmProfile | None, ...] = expected_alarms(recordings[0]) or (None,)
    choices = alarms if behaviour is not None and behaviour.alarm else alarms[:1]
    attempt = max(_attempt(recording) for recording in recordings)
    session = ",".join(recording.session_id for recording in recordings)

    def found_by(metric: str, alarm: AlarmProfile | None) -> Measurement:
        if behaviour is None and metric not in MEASURED:
            reason = f"not measured by this plan: {metric}"
            return Measurement(
                None, requirement.unit, 0, metric, requirement.reference_points, problems=(reason,)
            )
        if behaviour is None:
            found = measure_stream(recordings, stream, metric, confidence=confidence, floor=floor)
            aside = [text for texts in unsound.values() for text in texts]
            return replace(found, problems=(*aside, *found.problems))
        return measure_behaviour(
            requirement.id, recordings, profile=profile, confidence=confidence, floor=floor,
            alarm=alarm, unsound=unsound,
        )  # fmt: skip

    def verdict_of(reading: Reading | None, planned: int, alarm: AlarmProfile | None) -> Verdict:
        metric = requirement.metric if reading is None else reading.metric
        found = found_by(metric, alarm)
        against = shared
        if certify and not found.independent:
            against = (*against, "certification needs an independent observation")
        if certify:
            against = (*against, *not_certifiable(recordings))
        spec = specify(
            requirement, profile, stream,
            planned_n=planned, confidence=confidence, alarm=alarm, reading=reading, rule=rule,
        )  # fmt: skip

        def with_(problems: tuple[str, ...]) -> Verdict:
            evidence = replace(found, problems=problems)
            return judge(spec, evidence, test=test, session=session, attempt=attempt)

        if behaviour is not None and found.trials and found.problems:
            # One sound trial beyond the limit is a FAIL, whatever became of the others.
            sound = with_(against)
            if sound.verdict is Outcome.FAIL:
                aside = "; ".join(found.problems)
                return replace(sound, reason=f"{sound.reason}; set aside: {aside}")
        return with_((*against, *found.problems))

    def best(reading: Reading | None, planned: int) -> Verdict:
        """Any one of the alarms that answer the fault is an answer, by its own deadline."""
        return min((verdict_of(reading, planned, a) for a in choices), key=_preferred)

    default = best(None, max(planned_n, len(recordings) if behaviour is not None else 1))
    rivals = [r for r in requirement.readings if not r.default]
    return replace(default, readings=tuple(_rival(best(r, 1), r) for r in rivals))


def _preferred(verdict: Verdict) -> int:
    order = (Outcome.ERROR, Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL)
    return order.index(verdict.verdict)


def floor_problems(recordings: Sequence[Recording], floor: NoiseFloor | None) -> tuple[str, ...]:
    """What the noise floor of the run leaves open."""
    if floor is None:
        real = any(recording.bench != "virtual" for recording in recordings)
        return ("no noise floor was measured in this run",) if real else ()
    return () if floor.complete else ("the noise floor was not measured completely",)


def stimulus_problems(
    recordings: Sequence[Recording],
    stimulus: Mapping[str, Sequence[StepStimulus]],
    *,
    reactions: bool,
) -> dict[str, tuple[str, ...]]:
    """Per session id, why a recording cannot back a verdict: the bench's health, its stimulus.

    ``reactions``: whether reaction times are judged from it.
    """
    found = {}
    for recording in recordings:
        problems = [*health_problems(recording), *evidence_problems(recording)]
        if reactions:
            problems += stall_problems(recording)
        if not stimulus.get(recording.session_id):
            problems.append(f"the stimulus of {recording.session_id} was not checked")
        for step in stimulus.get(recording.session_id, ()):
            if not step.ok:
                place = f"{step.step}/{step.phase} {step.link} {step.direction}"
                problems.append(f"stimulus not achieved in {place}: {step.reason}")
        if problems:
            found[recording.session_id] = tuple(problems)
    return found


def _attempt(recording: Recording) -> int:
    """The attempt that a session id ends in (``blackout-t03-a2-1f00ba4c``)."""
    found = re.search(r"-a(\d+)-[^-]*$", recording.session_id)
    return int(found[1]) if found else 1


def _rival(verdict: Verdict, reading: Reading) -> dict[str, Any]:
    return {
        "verdict": str(verdict.verdict),
        "metric": reading.metric,
        "reference_points": verdict.reference_points,
        "comparator": reading.comparator,
        "low": reading.low,
        "high": reading.high,
        "value": verdict.value,
        "reason": reading.reason,
    }
