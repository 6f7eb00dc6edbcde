"""Two cells and a modem: the serving cell is taken away until the modem reports the other one.

The serving cell's path has an attenuator of its own; each of its settings is read back. What keeps
a change of cell from being known is said in it and ends in INCONCLUSIVE; an instrument that fails
ends the session: ERROR.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Protocol, cast

from bench.benches.lab.file import BenchFile
from bench.benches.lab.in_thread import AtWork
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.telling import told
from bench.benches.local.conductor import Order
from bench.benches.local.protocol import Live as Commanded
from bench.errors import InputError
from bench.network.cells import NO_CELLS, CellChanged, Rung, doubt
from bench.network.radio.exposure import Radio, receiver_of
from bench.network.radio.receivers import Reception, receive
from bench.network.radio.world import arrivals
from bench.network.scenario import CellChange, Schedule
from bench.sessions.codec import to_json
from bench.sessions.recording import Session
from bench.units import NS_PER_S
from instruments.modem.parsing import Cell, Sighting
from instruments.rf.attenuators import Attenuator
from instruments.rf.testers import FULL_CELL_DB, Cmw500Lte

OFFER = "cells"
"""What a laboratory with these roles offers to test plans."""

CHANGE = "Cells.change"
"""As it is told."""

ROLES = ("modem", "cell", "cell-attenuator", "neighbour-cell")
CAMP_S, EVERY_S = 60.0, 0.5
"""How long a modem may take to find the serving cell, and how often it is asked."""

_CREST_DB = 12.0
"""Peak to average ratio of an OFDM downlink that is exceeded in less than 0.01 % of the time."""
_PACKET_BYTES, _NOISE_FIGURE_DB = 1250, 7.0


class Pace(Protocol):
    """When the rungs of one change of cell are due."""

    def wait(self, after_s: float) -> bool:
        """Until so long after the segment's start; false where the session was given up."""

    def now_s(self) -> float:
        """Time since the segment's start."""


class Rehearsed:
    """The time of a virtual clock: each rung happens when it is due."""

    _now_s = 0.0

    def wait(self, after_s: float) -> bool:
        """At once."""
        self._now_s = after_s
        return True

    def now_s(self) -> float:
        """When the last rung was due."""
        return self._now_s


@dataclass
class AsItPasses:
    """Real time from ``start_ns`` (CLOCK_MONOTONIC) on."""

    start_ns: int
    stop: threading.Event

    def wait(self, after_s: float) -> bool:
        """Until then, or until ``stop`` is set."""
        left_s = after_s - self.now_s()
        return not self.stop.wait(max(0.0, left_s))

    def now_s(self) -> float:
        """Time since then."""
        return (time.monotonic_ns() - self.start_ns) / NS_PER_S


class Cells:
    """The cells of a laboratory that is entered.

    Args:
        laboratory: entered.
        for_device: whether a device is to live on them; else only the modem is looked at.

    Raises:
        InputError: one of :data:`ROLES` is not bound, or they are not where the device is.
    """

    def __init__(self, laboratory: Laboratory, *, for_device: bool = True) -> None:
        self._lab, file = laboratory, laboratory.file
        self.telling, self.tell = False, laboratory.tell
        self._names = {use: file.role(use) for use in ROLES}
        problem = misplaced(file) if for_device else ""
        if problem:
            raise InputError(
                f"this laboratory changes no cell: {problem}",
                remedy='with packets = "links" all of them are hardware, else all are simulated',
                file=file.path,
                field="roles",
            )
        self._modem = laboratory.modems[self._names["modem"]]

    def _tester(self, use: str) -> Cmw500Lte:
        return cast(Cmw500Lte, self._lab.instruments[self._names[use]])

    @property
    def _attenuator(self) -> Attenuator:
        return cast(Attenuator, self._lab.instruments[self._names["cell-attenuator"]])

    @property
    def verified_by(self) -> str:
        """Who says that the cell changed, in words."""
        role = self._names["modem"]
        found = self._modem.identity
        simulated = ", simulated" if role in self._lab.file.simulated else ""
        return f"{role}: {found.manufacturer} {found.model}{simulated}"

    # ---- before and after ----------------------------------------------------

    @told
    def camp(self) -> str:
        """The serving cell on and the modem there; then its neighbour on as well.

        Returns:
            Why the modem is not there; empty where it is.

        Raises:
            InstrumentError: an instrument failed, or a port would get too much.
        """
        levels = self._lab.file.cells
        self._attenuator.attenuation_db = type(self._attenuator).attenuation_db.range(
            self._attenuator
        )[0]
        self._tester("neighbour-cell").switch_off()
        self._on("cell", levels.serving_dbm)
        deadline = time.monotonic() + CAMP_S
        while not self._modem.look().cells:
            if time.monotonic() > deadline:
                return f"the modem found no cell within {CAMP_S:g} s"
            time.sleep(EVERY_S)
        self._on("neighbour-cell", levels.neighbour_dbm)
        return ""

    def _on(self, use: str, rs_epre_dbm: float) -> None:
        tester = self._tester(use)
        tester.switch_off()
        tester.dl_bandwidth = "20MHz"
        tester.rs_epre_dbm = rs_epre_dbm
        ceiling_dbm = rs_epre_dbm + FULL_CELL_DB
        allowed = self._lab.permit(self._names[use], ceiling_dbm, _CREST_DB)
        tester.switch_on(allowed)

    @told
    def quiet(self) -> None:
        """Both cells off and the attenuator at its most, verified.

        Raises:
            InstrumentError: it could not be, or not be verified.
        """
        self._tester("cell").switch_off()
        self._tester("neighbour-cell").switch_off()
        self._attenuator.make_safe()

    # ---- the change ----------------------------------------------------------

    def change(self, asked: CellChange, pace: Pace) -> CellChanged:
        """As :meth:`_change`; told without what the packets' link made of it, and when."""
        self.tell({"does": CHANGE, "with": [to_json(asked)]})
        try:
            came = self._change(asked, pace)
        except BaseException as error:
            self.tell({"raised": type(error).__name__, "problem": str(error)})
            raise
        seen = [[one.attenuation_db, one.cell, one.rsrp_dbm] for one in came.rungs]
        self.tell({"came": {"rungs": seen, "before": came.before, "after": came.after}})
        return came

    def _change(self, asked: CellChange, pace: Pace) -> CellChanged:
        """Raise the attenuation rung by rung until the modem reports another cell.

        Once it does, the old cell is taken away altogether.

        Raises:
            InstrumentError: the modem does not answer, or the attenuator does not read back what
                was set.
        """
        taints = len(self._lab.taints)
        attenuator = self._attenuator
        low, most, _ = _range_of(attenuator)
        rungs = [self._rung(0.0, asked.link)]
        radio, commanded_s, number = self._radio, None, 0
        while rungs[0].cell and rungs[-1].cell in ("", rungs[0].cell):
            number += 1
            due_s = number * asked.every_s
            wanted = low + number * asked.step_db
            if due_s > asked.within_s or wanted > most or not pace.wait(due_s):
                break
            attenuator.attenuation_db = wanted
            commanded_s = pace.now_s() if commanded_s is None else commanded_s
            rungs.append(self._rung(pace.now_s(), asked.link))
            radio = self._radio
        problem = doubt(tuple(rungs), asked.within_s)
        seen = rungs[-1]
        if not problem and pace.wait(seen.after_s + asked.every_s):
            attenuator.attenuation_db = most
            rungs.append(self._rung(pace.now_s(), asked.link))
            radio = self._radio
            if rungs[-1].cell != seen.cell:
                problem = f"the modem did not stay with {seen.cell}"
        if len(self._lab.taints) > taints:
            problem = f"a session with an instrument had to be made anew; {problem}".rstrip("; ")
        return CellChanged(
            tuple(rungs), rungs[0].cell, "" if problem else seen.cell, commanded_s,
            None if problem else seen.after_s, radio, self.verified_by, problem,
        )  # fmt: skip

    _radio: Radio | None = None
    """As the modem receives, of the last rung."""

    def _rung(self, after_s: float, link: str) -> Rung:
        attenuation_db = self._attenuator.attenuation_db
        seen = self._modem.look()
        reception = self._received(seen, link)
        one = seen.cells[0] if seen.cells else None
        return Rung(
            after_s,
            attenuation_db,
            shown(one) if one else "",
            one.rsrp_dbm if one else None,
            reception,
        )

    def _received(self, seen: Sighting, link: str) -> Reception | None:
        """What a modem of the simulated world makes of its cell; None: it is a real one."""
        lab, role = self._lab.simulation, self._names["modem"]
        if lab is None or role not in self._lab.file.simulated:
            return None
        came = arrivals(lab.world, lab.state(), f"{role}:1")
        serving = {int(cell.cell_id, 16) for cell in seen.cells if cell.cell_id}
        own = [one for one in came if one.emission.cell and one.emission.cell.identity in serving]
        wanted = own[0] if own else None
        frequency_hz = wanted.emission.frequency_hz if wanted else 0.0
        level_dbm = wanted.emission.level_dbm if wanted else 0.0
        if wanted is not None or self._radio is None:
            self._radio = Radio(
                link, "lte-20mhz", frequency_hz, level_dbm, _NOISE_FIGURE_DB, _PACKET_BYTES
            )
        return receive(receiver_of(self._radio, wanted.source if wanted else ""), came)


class Conducted(AtWork):
    """The change of cell of one session on physical links, when it is due; commands no link.

    Args:
        cells: with the modem camping on the serving one.
        session: with one change of cell.
        asked: that one.
        start_ns: when it is due, from the start of the session.
    """

    def __init__(self, cells: Cells, session: Session, asked: CellChange, start_ns: int) -> None:
        self._cells, self._session = cells, session
        self._asked, self._start_ns = asked, start_ns
        super().__init__("change of cell")
        self.changed = NO_CELLS
        self.live = Commanded(asked.link, session.schedule().end_ns + 1)

    def begin(self, t0_ns: int, order: Order) -> None:
        """Start; see :class:`~bench.benches.local.conductor.Conductor`."""
        pace = AsItPasses(t0_ns + self._start_ns, self._work.stopped)
        self._work.start(lambda: self._run(pace))

    def _run(self, pace: AsItPasses) -> None:
        if pace.wait(0.0):
            self.changed = self._cells.change(self._asked, pace)

    def end(self) -> tuple[Session, Schedule]:
        """What the session was, and when; see :class:`~bench.benches.local.conductor.Conductor`.

        Raises:
            BenchError: an instrument failed, or does not come to an end.
        """
        self._work.join()
        session = replace(self._session, cells=(self.changed,))
        return session, session.schedule()


def shown(cell: Cell) -> str:
    """A cell's identity in words."""
    return f"{cell.technology} {cell.plmn} cell {cell.cell_id} PCI {cell.pci} ch {cell.channel}"


def _range_of(attenuator: Attenuator) -> tuple[float, float, float]:
    number = type(attenuator).attenuation_db
    low, high = number.range(attenuator)
    return low, high, number.step or 0.0


def misplaced(file: BenchFile) -> str:
    """Why cells, modem and attenuator of a laboratory are not where the device is.

    A simulated device receives in the simulated world: all of them must stand there. A real one,
    at the far ends of links, is served by real ones.

    Returns:
        The reason; empty where they are, or where not all are bound.
    """
    named = {file.roles[use] for use in ROLES if use in file.roles}
    if file.packets == "links":
        wrong, device = sorted(named & file.simulated), "the device is a real one"
        return f"{device}, and simulated: {', '.join(wrong)}" if wrong else ""
    wrong = sorted(named - file.simulated)
    return f"the device is simulated, and hardware: {', '.join(wrong)}" if wrong else ""
