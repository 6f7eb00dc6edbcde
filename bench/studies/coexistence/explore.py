"""Carrying a coexistence plan out: one session for each exposure that the search asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from bench.benches.base import Bench, BenchError, Nowhere
from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.judge.assess import stimulus_problems
from bench.measure import events as ev
from bench.measure.coexisting import baseline, left_alone, performance, verified
from bench.measure.disturbing import Disturbed
from bench.measure.failing import search
from bench.measure.failure_region import Column, Other, Point, Region, likelihood_of
from bench.measure.needs import seconds_needed, visit_of
from bench.measure.regaining import regained_s
from bench.measure.stimulus import achieved
from bench.network.library.coexistence import one_exposure
from bench.network.radio.exposure import Exposure, Radio
from bench.network.scenario import Scenario
from bench.sessions.exposing import presented_at
from bench.sessions.recording import Recording, Session
from bench.studies.coexistence.plan import CoexistencePlan, GridColumn

Say = Callable[[str], None]


@runtime_checkable
class MeasuresOthers(Protocol):
    """A bench whose laboratory may have another network beside the device."""

    def disturbed(self, device: DeviceProfile, seed: int) -> Disturbed:
        """What the device does to it; why it was not measured, where it was not.

        Raises:
            BenchError: an instrument failed.
        """


def explore(
    plan: CoexistencePlan, device: DeviceProfile, bench: Bench, seed: int, say: Say
) -> Region:
    """Find where a device fails beside each signal of a plan.

    Args:
        plan: settled beforehand.
        device: with a radio that it declares.
        bench: entered; carries each exposure out as a session of its own.
        seed: of all sessions; repeated trials of one exposure have seeds of their own.
        say: told of each point as it comes.

    Raises:
        InputError: the device declares no radio, or the bench cannot present a signal of the plan.
    """
    radio, coexistence = device.radio, device.coexistence
    if radio is None or coexistence is None:
        raise InputError(
            "declares no radio", remedy="add [radio] and [coexistence] to its profile",
            field="--device", value=device.name,
        )  # fmt: skip
    exposed_s = max(plan.exposed_s, least_s(device))
    rest_s = visit_of(device).rest_s

    def scenario_of(exposure: Exposure) -> Scenario:
        return one_exposure(radio, exposure, exposed_s, coexistence.recovery_s, rest_s)

    others = others_of(plan, device, bench, seed, say)
    trials = Trials(device, radio, coexistence.recovery_s, bench, seed, scenario_of)
    columns = tuple(_column(each, plan, trials, say) for each in plan.columns)
    likelihood, each, problem = likelihood_of(columns, plan.met)
    return Region(plan.words(), radio, columns, plan.points, likelihood, each, problem, others)


def others_of(
    plan: CoexistencePlan, device: DeviceProfile, bench: Bench, seed: int, say: Say
) -> tuple[Other, ...]:
    """What the device does to other networks: reckoned as the plan says, and measured.

    A laboratory measures one network, before anything is exposed. Where the plan does not name it
    it stands behind those that are named.
    """
    reckoned = [one.beside() for one in plan.others]
    if not isinstance(bench, MeasuresOthers):
        return tuple(reckoned)
    try:
        found = bench.disturbed(device, seed)
    except BenchError as reason:
        found = Disturbed("", problem=str(reason).splitlines()[0])
    answer, why = found.answer()
    if found.name:
        say(f"coexistence: {found.name}: {answer}: {why}")
    if found.name and found.name not in [one.name for one in reckoned]:
        reckoned.append(Other(found.name, "", None, None))
    elsewhere = f"the laboratory has {found.name} beside it" if found.name else found.problem
    return tuple(
        replace(
            one,
            measured=found if one.name == found.name else Disturbed(one.name, problem=elsewhere),
        )
        for one in reckoned
    )


def least_s(device: DeviceProfile) -> float:
    """The shortest time in which every stream of a device shows what it needs, in s."""
    needed = [
        1.05 * max(100, 1 / (s.most_loss or 1.0)) / s.packets_per_s
        for s in device.active_streams
        if s.most_delay_s is not None and s.most_loss
    ]
    return max(needed, default=seconds_needed(device))


def _column(grid: GridColumn, plan: CoexistencePlan, trials: Trials, say: Say) -> Column:
    points: list[Point] = []

    def respond(place: int) -> bool | None:
        exposure = grid.exposure(trials.radio, place)
        point = trials.carry_out(exposure)
        points.append(point)
        word = {True: "lost", False: "kept", None: "nothing shown"}[point.failed]
        why = f" ({point.reason})" if point.reason else ""
        say(f"coexistence: {grid.name}, I/U {point.ratio_db:+.4g} dB: {word}{why}")
        return point.failed

    boundary = search(len(grid.ratios_db), respond, plan.confidence)
    levels = tuple(trials.radio.wanted_dbm + ratio for ratio in grid.ratios_db)
    return Column(grid.signal, grid.offset_hz, grid.duty, levels, boundary, tuple(points))


class Trials:
    """One exposure after the other on a bench; a repeated one is another trial.

    Args:
        device, radio, recovery_s: under test, as its maker declares them.
        bench: entered.
        seed: of the sessions.
        scenario_of: the scenario of an exposure.
    """

    def __init__(
        self,
        device: DeviceProfile,
        radio: Radio,
        recovery_s: float,
        bench: Bench,
        seed: int,
        scenario_of: Callable[[Exposure], Scenario],
    ) -> None:
        self.device, self.radio, self.recovery_s = device, radio, recovery_s
        self._bench, self._seed, self._scenario_of = bench, seed, scenario_of
        self._count: dict[Exposure, int] = {}

    def carry_out(self, exposure: Exposure) -> Point:
        """One trial of an exposure.

        Raises:
            InputError: the bench cannot present it.
        """
        trial = self._count.get(exposure, -1) + 1
        self._count[exposure] = trial
        scenario = self._scenario_of(exposure)
        session = Session("coexistence", self.device, scenario, self._seed, trial)
        point = Point(
            exposure, self.radio.ratio_db(exposure), None, "", 0.0, "", None, session.id, trial
        )
        try:
            recording = self._bench.run(session, Nowhere())
            return self._judged(recording, point)
        except (ev.Cannot, BenchError) as reason:
            return replace(point, reason=str(reason).splitlines()[0])

    def _judged(self, recording: Recording, point: Point) -> Point:
        stimuli = {recording.session_id: achieved(recording, None)}
        problems = stimulus_problems([recording], stimuli, reactions=False)
        for texts in problems.values():
            raise ev.Cannot("; ".join(texts))
        due = next(e for e in recording.schedule.exposures if e.exposures)
        uncertainty_db = verified(recording, due)
        baseline(recording)
        broken = performance(recording, due, self.recovery_s)
        presented = presented_at(recording, due.start_ns)
        assert presented is not None
        received = presented.reception
        return replace(
            point,
            failed=bool(broken),
            reason="; ".join(broken),
            uncertainty_db=uncertainty_db,
            verified_by=presented.verified_by,
            victim_bps=None if received is None else received.rate_bps,
            recovery_s=regained_s(recording, *left_alone(recording, due)) if broken else None,
        )
