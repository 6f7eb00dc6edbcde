"""``bench run PLAN --dry-run``: the commands of a run in a laboratory, in order, nothing opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.benches.lab.bench import LabBench
from bench.benches.lab.cells import OFFER
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.lab.other_network import COUNTS
from bench.benches.lab.rehearsing import Rehearsing
from bench.devices.profile import DeviceProfile
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.judge.outcomes import BAD_INPUT, INCONCLUSIVE, OK
from bench.measure.failing import most_points
from bench.measure.needs import visit_of
from bench.network.library.coexistence import one_exposure
from bench.network.scenario import Scenario, cell_changes, interferences
from bench.sessions.codec import to_json
from bench.studies.coexistence.explore import least_s
from bench.studies.coexistence.in_run import plan_for
from bench.studies.coexistence.plan import CoexistencePlan, GridColumn
from bench.studies.effort import Effort
from bench.studies.foresee import foresee
from bench.studies.invoke import COEXISTENCE, LABORATORY, bench_for
from bench.studies.planning import find

_IN_TURN = "one or two questions for errors in a message, in turn"
_CAMP = "the serving cell goes on, then its neighbour when the modem reports a cell"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a run.

    ``fixed``: whether exactly these commands are sent; else ``note`` says what they depend on.
    ``commands``: ``role: command -> answer``. ``problems``: what is out of range, or not
    calibrated.
    """

    title: str
    fixed: bool
    commands: tuple[str, ...]
    problems: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class DryRun:
    """The parts of a run, in order."""

    file: Path
    parts: tuple[Part, ...]

    @property
    def exit_code(self) -> int:
        """2 where something is out of range, 3 where it is only not calibrated, else 0."""
        problems = [text for part in self.parts for text in part.problems]
        if not problems:
            return OK
        return INCONCLUSIVE if all(t.endswith(": INCONCLUSIVE") for t in problems) else BAD_INPUT

    def to_json(self) -> dict[str, Any]:
        """``{"file": ..., "parts": [...]}``."""
        return {"file": str(self.file), "parts": to_json(list(self.parts))}

    def lines(self) -> Iterator[str]:
        """For people."""
        for part in self.parts:
            yield f"# {part.title}"
            if part.note:
                yield f"# {part.note}"
            yield from part.commands
            yield from (f"# REFUSED: {text}" for text in part.problems)


def dry_run(
    plans: Sequence[str],
    device: str,
    *,
    bench: str,
    only: Sequence[str] = (),
    options: Sequence[str] = (),
    effort: Effort,
    coexistence: Path | None = None,
) -> DryRun:
    """What a run in a laboratory would send; no connection is opened, and nothing is leased.

    Raises:
        InputError: no laboratory, or as :func:`~bench.studies.foresee.foresee`.
    """
    name = bench_for(plans, bench)
    if name != LABORATORY and not name.endswith(".toml"):
        raise InputError(
            "has no instruments", remedy=f"name a bench file, or {LABORATORY}",
            field="--bench", value=name,
        )  # fmt: skip
    path = SHIPPED if name == LABORATORY else Path(name)
    file = load_bench_file(path)
    found = foresee(plans, device, bench=name, only=only, options=options, effort=effort)
    profile = find_device(device).with_options(tuple(options))
    lab = Rehearsing(file)
    parts: list[Part] = []
    with lab:
        parts.append(Part("take: who answers, then the safe state", True, lab.cut()))
        bench_of_file = LabBench(file)
        if file.packets == "links" and OFFER in bench_of_file.offers:
            parts.append(Part("cells: both on", False, (), (), f"depends on answers: {_CAMP}"))
        for scenario_name, (count, _) in found.settled.sessions.items():
            scenario = find(scenario_name, found.settled.steady_s, found.settled.visit)
            parts += _sessions(lab, scenario, count)
        explored = not only and (list(plans) == [COEXISTENCE] or coexistence is not None)
        if profile.radio is not None and explored:
            plan = plan_for(bench_of_file, coexistence)
            parts += _other_network(lab)
            parts += [_column(lab, plan, column, profile) for column in plan.columns]
    fixed = all(part.fixed for part in parts)
    note = "" if fixed else f"depends on how many messages there were: {_IN_TURN}"
    parts.append(Part("leave: the safe state", fixed, lab.cut(), (), note))
    return DryRun(path, tuple(parts))


def _sessions(lab: Rehearsing, scenario: Scenario, count: int) -> Iterator[Part]:
    """The sessions of a scenario; nothing where it asks nothing of the instruments."""
    live = lab.file.packets != "virtual"
    note = (
        "real packets: an exposure is seen once more before it ends, where it lasts; a session "
        "that the host disturbed is repeated" if live else ""
    )  # fmt: skip
    for number in range(1, count + 1):
        which = f"session {scenario.name}" + (f", {number} of {count}" if count > 1 else "")
        if interferences(scenario):
            problems = lab.session(interferences(scenario))
            yield Part(which, not live, lab.cut(), problems, note)
        for step, asked in cell_changes(scenario):
            yield Part(
                f"{which}, {step.name}", False, (), (),
                "depends on answers: both cells on, and the attenuator of the serving one up by "
                f"{asked.step_db:g} dB every {asked.every_s:g} s, {asked.within_s:g} s at most, "
                "until the modem reports another cell",
            )  # fmt: skip


def _other_network(lab: Rehearsing) -> Iterator[Part]:
    """What it carries without the device and beside it; nothing where there is none."""
    if lab.file.other_network is None:
        return
    problem = lab.other_network()
    yield Part(
        f"the other network: {lab.file.other_network.name}", False, lab.cut(),
        (problem,) if problem else (),
        "depends on answers: how often it asks before the terminal is there; then come "
        f"{2 * COUNTS} counts, each asked for until it has ended, and the cell goes off",
    )  # fmt: skip


def _column(
    lab: Rehearsing, plan: CoexistencePlan, column: GridColumn, device: DeviceProfile
) -> Part:
    """The search in one column: the commands at both ends of its span, all levels checked."""
    radio, coexistence = device.radio, device.coexistence
    assert radio is not None
    assert coexistence is not None
    exposed_s, rest_s = max(plan.exposed_s, least_s(device)), visit_of(device).rest_s
    last = len(column.ratios_db) - 1
    problems, commands = [], []
    for place, ratio_db in enumerate(column.ratios_db):
        exposure = column.exposure(radio, place)
        scenario = one_exposure(radio, exposure, exposed_s, coexistence.recovery_s, rest_s)
        found = lab.session(interferences(scenario))
        problems += [f"I/U {ratio_db:+g} dB, {exposure.level_dbm:g} dBm: {t}" for t in found]
        lines = lab.cut()
        if place in (0, last):
            commands += [f"# I/U {ratio_db:+g} dB, {exposure.level_dbm:g} dBm at the port", *lines]
    lowest, highest = column.ratios_db[0], column.ratios_db[-1]
    return Part(
        f"search {column.name}",
        False,
        tuple(commands),
        tuple(problems),
        f"depends on answers: each trial is at one of {last + 1} levels, I/U {lowest:+g} to "
        f"{highest:+g} dB, chosen by whether the device kept its performance before; in all up to "
        f"{most_points(last + 1, plan.confidence)} trials of a device that fails sharply. Below: "
        f"the lowest and the highest ({_IN_TURN})",
    )
