"""From recordings to a verdict: the only path, live and when judging a stored run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.devices.profile import DeviceProfile
from bench.judge.judge import judge
from bench.judge.specify import specify
from bench.judge.verdict import Verdict
from bench.measure.behaviours import BEHAVIOURS, expected_alarm, measure_behaviour
from bench.measure.floor import NoiseFloor
from bench.measure.kpi import measure_kpi
from bench.measure.measurement import Measurement
from bench.measure.stimulus import StepStimulus, health_problems
from bench.requirements.model import Reading, Requirement
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
) -> Verdict:
    """Measure, check the stimulus, judge the default reading and show the rival ones.

    Args:
        recordings: one per trial, at least one.
        stimulus: what :func:`bench.measure.stimulus.achieved` found, per session id.
        planned_n: samples or trials that the run set out to collect.
        certify: refuse what only the device itself observed.
    """
    void = stimulus_problems(recordings, stimulus, floor)
    alarm = expected_alarm(recordings[0])

    def verdict_of(reading: Reading | None, metric: str, planned: int) -> Verdict:
        found = _measure(requirement, profile, stream, recordings, metric, floor)
        problems = (*void, *found.problems)
        if certify and not found.independent:
            problems = (*problems, "certification needs an independent observation")
        spec = specify(
            requirement, profile, stream,
            planned_n=planned, confidence=CONFIDENCE, alarm=alarm, reading=reading,
        )  # fmt: skip
        attempt = max(_attempt(recording) for recording in recordings)
        session = ",".join(recording.session_id for recording in recordings)
        return judge(
            spec, replace(found, problems=problems), test=test, session=session, attempt=attempt
        )

    default = verdict_of(None, requirement.metric, planned_n)
    rivals = [r for r in requirement.readings if not r.default]
    return replace(
        default,
        readings=tuple(_rival(verdict_of(r, r.metric, 1), r) for r in rivals),
    )


def _measure(
    requirement: Requirement,
    profile: DeviceProfile,
    stream: str,
    recordings: Sequence[Recording],
    metric: str,
    floor: NoiseFloor | None,
) -> Measurement:
    if requirement.id in BEHAVIOURS:
        return measure_behaviour(
            requirement.id, recordings, profile=profile, confidence=CONFIDENCE, floor=floor
        )
    return measure_kpi(recordings, stream, metric, confidence=CONFIDENCE, floor=floor)


def stimulus_problems(
    recordings: Sequence[Recording],
    stimulus: Mapping[str, Sequence[StepStimulus]],
    floor: NoiseFloor | None,
) -> tuple[str, ...]:
    """Why these recordings cannot back a verdict: the bench's health, steps not achieved."""
    problems = []
    if floor is not None and not floor.complete:
        problems.append("the noise floor was not measured completely")
    for recording in recordings:
        if recording.bench != "virtual" and floor is None:
            problems.append("no noise floor was measured in this run")
        problems += health_problems(recording)
        if recording.session_id not in stimulus:
            problems.append(f"the stimulus of {recording.session_id} was not checked")
        for step in stimulus.get(recording.session_id, ()):
            if not step.ok:
                place = f"{step.step}/{step.phase} {step.link} {step.direction}"
                problems.append(f"stimulus not achieved in {place}: {step.reason}")
    return tuple(problems)


def _attempt(recording: Recording) -> int:
    for part in recording.session_id.split("-"):
        if part.startswith("a") and part[1:].isdigit():
            return int(part[1:])
    return 1


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
