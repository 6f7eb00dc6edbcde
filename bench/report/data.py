"""What a report is made from: one frozen value, built from a run folder or a run just ended."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.judge.verdict import Outcome, Verdict
from bench.requirements.model import Requirement
from bench.sessions.recording import Recording

WATERMARK = "Simulated device or instruments — not a statement of conformity"

_OPEN_ENDS = (("FAIL", ""), ("ERROR", " (the bench failed, not the device)"), ("INCONCLUSIVE", ""))

_ID_TAIL = re.compile(r"(-t\d+)?(-a\d+)?-[0-9a-f]{8}$")

StimulusRows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Unasked:
    """What the catalogue asks of a class of device and a run had no test for."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything a report shows.

    ``run``: run.json. ``verdicts``: entries of verdicts.json. ``scope``: what the run set out to
    judge and what it left out, with reason and figure. ``stimuli``: per session id the rows of
    the stimulus check (step, phase, role, link, direction, intended, commanded, achieved, floor,
    ok, reason). ``requirements``: the catalogue by id. ``unasked``: what the catalogue
    asks of this class of device beyond the scope. Any of them may be empty: a run that was
    killed is reported as far as it came.
    """

    run: Mapping[str, Any]
    verdicts: tuple[Mapping[str, Any], ...] = ()
    scope: tuple[Mapping[str, Any], ...] = ()
    recordings: tuple[Recording, ...] = ()
    stimuli: Mapping[str, StimulusRows] = field(default_factory=dict)
    requirements: Mapping[str, Requirement] = field(default_factory=dict)
    unasked: tuple[Unasked, ...] = ()
    drawings: dict[str, str] = field(init=False, default_factory=dict, compare=False, repr=False)
    """Plots already drawn: the HTML report and Allure show the same ones."""

    @property
    def complete(self) -> bool:
        """True where the run says that it came to its end."""
        return self.run.get("completion") == "complete"

    @property
    def simulated(self) -> bool:
        """True unless device and instruments are known to be real."""
        return self.simulated_device or bool(self.simulated_instruments)

    @property
    def simulated_device(self) -> bool:
        """True unless the device is known to be real: the watermark errs on the safe side."""
        if self.recordings:
            return any(recording.device.simulated for recording in self.recordings)
        device = self.run.get("device")
        known = None
        if isinstance(device, Mapping):
            known = device.get("simulated", device.get("machine"))
            known = bool(known) if known is not None else None
        return self.run.get("simulated", known) is not False

    @property
    def simulated_instruments(self) -> tuple[str, ...]:
        """The instruments of the run's laboratory that were simulated, by role."""
        laboratory = self.run.get("laboratory")
        found = laboratory.get("simulated") if isinstance(laboratory, Mapping) else None
        return tuple(str(role) for role in found) if isinstance(found, list) else ()

    @property
    def out_of_scope(self) -> tuple[Mapping[str, Any], ...]:
        """What the run did not set out to judge."""
        return tuple(item for item in self.scope if not item.get("in_scope"))

    @property
    def unanswered(self) -> tuple[Mapping[str, Any], ...]:
        """What is in scope and has no verdict: the run ended before, or a test did not report."""
        return tuple(
            item
            for item in self.scope
            if item.get("in_scope") and not any(_answers(v, item) for v in self.verdicts)
        )

    def counts(self) -> dict[str, int]:
        """Verdicts per outcome, all four always present."""
        seen = Counter(outcome_of(verdict) for verdict in self.verdicts)
        return {outcome.value: seen[outcome] for outcome in Outcome}

    def answer(self) -> str:
        """The run in one line. Never reads as a pass while anything in scope is open."""
        counts, total, open_ = self.counts(), len(self.verdicts), len(self.unanswered)
        parts = [
            f"{counts[name]} {'is' if counts[name] == 1 else 'are'} {name}{what}"
            for name, what in _OPEN_ENDS
            if counts[name]
        ]
        if parts:
            parts[0] = f"of {total} verdicts {parts[0]}"
        if open_:
            parts.append(f"{open_} in scope {'has' if open_ == 1 else 'have'} no verdict")
        if not self.complete:
            parts.append("the run is incomplete")
        if parts:
            text = "; ".join(parts)
            return f"{text[0].upper()}{text[1:]}."
        if not total:
            return "Nothing was judged."
        return (
            f"All {total} verdicts in scope are PASS." if total > 1 else "The one verdict is PASS."
        )


def report_data(
    run: Mapping[str, Any],
    *,
    verdicts: Iterable[Verdict | Mapping[str, Any]] = (),
    scope: Iterable[Any] | None = None,
    recordings: Iterable[Recording] = (),
    stimuli: Mapping[str, Sequence[Any]] | Iterable[Sequence[Any]] = (),
    requirements: Mapping[str, Requirement] | Iterable[Requirement] = (),
    unasked: Iterable[Unasked] = (),
) -> ReportData:
    """Build a :class:`ReportData` from the types of the other rooms.

    Args:
        run: run.json; its ``scope`` is used where ``scope`` is not given.
        verdicts: verdicts, or entries of verdicts.json.
        scope: mappings or dataclasses with the fields of run.json's ``scope``.
        recordings: the sessions, in the order they ran.
        stimuli: rows (mappings or dataclasses) per session id, or one list per recording in the
            same order.
        requirements: the catalogue, by id or as a list.
        unasked: what the catalogue asks beyond the scope.

    """
    sessions = tuple(recordings)
    items = run.get("scope") or () if scope is None else scope
    if not isinstance(stimuli, Mapping):
        stimuli = {r.session_id: rows for r, rows in zip(sessions, stimuli, strict=False)}
    if not isinstance(requirements, Mapping):
        requirements = {requirement.id: requirement for requirement in requirements}
    return ReportData(
        run=run,
        verdicts=tuple(as_mapping(verdict) for verdict in verdicts),
        scope=tuple(as_mapping(item) for item in items),
        recordings=sessions,
        stimuli={name: [as_mapping(row) for row in rows] for name, rows in stimuli.items()},
        requirements=requirements,
        unasked=tuple(unasked),
    )


def as_mapping(value: Any) -> Mapping[str, Any]:
    """A dataclass as a dict of its fields (nested ones too); a mapping as it is."""
    if isinstance(value, Mapping):
        return value
    return dataclasses.asdict(value)


def outcome_of(verdict: Mapping[str, Any]) -> Outcome:
    """The verdict word. One that nobody knows is the bench's own fault: ERROR."""
    try:
        return Outcome(str(verdict.get("verdict")))
    except ValueError:
        return Outcome.ERROR


def _answers(verdict: Mapping[str, Any], item: Mapping[str, Any]) -> bool:
    if any((verdict.get(key) or "") != (item.get(key) or "") for key in ("requirement", "stream")):
        return False
    # A test may be named by its file, its function or its whole node id.
    left, right = str(verdict.get("test") or ""), str(item.get("test") or "")
    return left in right or right in left


def scenario_of(verdict: Mapping[str, Any]) -> str:
    """The scenario of a verdict's sessions, from their ids (``scenario[-t01][-a2]-1f2e3d4c``)."""
    return _ID_TAIL.sub("", sessions_of(verdict)[0])


def sessions_of(verdict: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the sessions that a verdict rests on."""
    return tuple(part.strip() for part in str(verdict.get("session") or "").split(","))


def title_of(requirement: Requirement | None, fallback: str = "") -> str:
    """The requirement's title, or the fallback where the catalogue does not know it."""
    return requirement.title if requirement is not None else fallback
