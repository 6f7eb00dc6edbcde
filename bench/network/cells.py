"""A change of the serving cell: what a laboratory did, what the modem saw, what the link got.

Frozen data and pure functions. Only a laboratory with cells makes it: a bench without them has
nothing to say, and what was never seen backs no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.network.effects import Effect
from bench.network.impairment import DIRECTIONS, Direction
from bench.network.interference import effects_of
from bench.network.radio.exposure import Radio
from bench.network.radio.receivers import Reception

TOLERANCE_DB = 6.0
"""How far the level that the modem reports may be from what the attenuator says: modems average,
and report whole dB (3GPP TS 36.133, 9.1.2: ± 6 dB absolute in normal conditions)."""

_GAP: Mapping[Direction, Effect] = dict.fromkeys(DIRECTIONS, Effect(hold=True, up=True, of="now"))
Stretch = tuple[str, float, Mapping[Direction, Effect]]
"""Phase, duration in s, and what is done to the link."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the attenuator, and what the modem reported after it.

    ``after_s``: from the start of the segment; ``attenuation_db``: read back; ``cell``: what
    serves, empty while nothing does; ``rsrp_dbm``: its level, None where the modem does not know.
    ``reception``: of the modem in a simulated world.
    """

    after_s: float
    attenuation_db: float
    cell: str
    rsrp_dbm: float | None
    reception: Reception | None = None


@dataclass(frozen=True, slots=True)
class CellChanged:
    """A cell change as a laboratory carried it out. Times in s from the start of the segment.

    ``before``/``after``: the serving cells; ``commanded_s``: when the attenuator was first raised;
    ``seen_s``: when the modem first reported the other cell. ``radio``: of the modem, where its
    world is simulated: then the link gets what it receives. ``verified_by``: modem and attenuator.
    ``problem``: why it is no cell change that backs a verdict; empty where it is one.
    """

    rungs: tuple[Rung, ...] = ()
    before: str = ""
    after: str = ""
    commanded_s: float | None = None
    seen_s: float | None = None
    radio: Radio | None = None
    verified_by: str = ""
    problem: str = "this bench has no cells"


NO_CELLS = CellChanged()


def doubt(rungs: tuple[Rung, ...], within_s: float) -> str:
    """Why these rungs, the first without attenuation, do not show that it changed the cell.

    The serving cell's level must have followed the attenuator, and then another cell came within
    ``within_s`` of the first raise.

    Returns:
        The reason; empty where they do.
    """
    if not rungs or not rungs[0].cell:
        return "the modem had no serving cell"
    first, own = rungs[0], [one for one in rungs if one.cell == rungs[0].cell]
    raised_db = own[-1].attenuation_db - first.attenuation_db
    other = next((one for one in rungs if one.cell not in ("", first.cell)), None)
    if other is None:
        lost = "; at last it had none" if not rungs[-1].cell else ""
        return (
            f"the modem reported no other cell than {first.cell} within {within_s:g} s, at "
            f"{rungs[-1].attenuation_db - first.attenuation_db:g} dB more{lost}"
        )
    if raised_db <= 0:
        return "the modem changed its cell before the attenuator had any effect that it saw"
    if first.rsrp_dbm is None or own[-1].rsrp_dbm is None:
        return "the modem does not know the level of its serving cell"
    fell_db = first.rsrp_dbm - own[-1].rsrp_dbm
    if abs(fell_db - raised_db) > TOLERANCE_DB:
        return f"the serving cell's level fell by {fell_db:g} dB where {raised_db:g} dB were set"
    if other.after_s > within_s:
        return f"the modem reported {other.cell} after {other.after_s:g} s, later than {within_s:g}"
    return ""


def course(
    changed: CellChanged, phase: str, duration_s: float, gap_s: float
) -> tuple[Stretch, ...]:
    """What the link goes through, in order; together as long as the segment.

    What the modem received changes with each rung. When the other cell is there, the link holds
    what it has for ``gap_s``. Nothing at all happens to it where no reception is known.
    """
    radio = changed.radio
    known = [one for one in changed.rungs if one.reception is not None]
    if radio is None or not known:
        return ((phase, duration_s, {}),)
    found: list[Stretch] = []
    starts = [0.0, *(one.after_s for one in known[1:])]
    for number, (start_s, one) in enumerate(zip(starts, known, strict=True)):
        assert one.reception is not None
        until_s = starts[number + 1] if number + 1 < len(starts) else duration_s
        if changed.seen_s is not None and one.after_s == changed.seen_s:
            gap = min(gap_s, until_s - start_s)
            found.append(("interruption", gap, _GAP))
            start_s += gap
        name = f"{phase}-{number}" if number else phase
        if until_s > start_s:
            found.append((name, until_s - start_s, effects_of(one.reception, radio)))
    return tuple(found)
