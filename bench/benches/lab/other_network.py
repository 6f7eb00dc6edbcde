"""Another network beside the device: what its link carries without the device, and beside it.

::

    [roles]
    other-network = "other"         # a radio tester; a terminal that is none of the device's lives
                                    # on its cell, where the device's emission reaches it
    [other_network]
    name = "LTE terminal of a visitor, 5 m away"    # as the coexistence plan calls it
    band = 42
    channel = 42090                 # downlink EARFCN
    rs_epre_dbm = -85               # of the tester, per 15 kHz
    subframes = 1000                # of each of the counts

The tester counts what the terminal acknowledges (extended BLER) with the device silent, and again
while it sends. What keeps that from being known is said in the result; nothing is reckoned here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from bench.benches.lab.hands import Hands, Task
from bench.benches.lab.powering import Feed
from bench.benches.lab.telling import told
from bench.measure.disturbing import Carried, Disturbed
from bench.network.impairment import DIRECTIONS
from bench.network.radio.exposure import Radio
from bench.network.radio.receivers import TECHNOLOGIES
from bench.network.radio.state import Emission
from bench.sessions.recording import Event, Recording, Session
from bench.tables import Table
from bench.units import decibels as with_unit
from bench.units import ns
from instruments.calibration import decibels
from instruments.rf.testers import BANDS, FULL_CELL_DB, SUBFRAME_S, TDD_BANDS, Cmw500Lte
from instruments.visa.errors import InstrumentError, NotWitnessed, Tainted

if TYPE_CHECKING:
    from bench.benches.lab.laboratory import Laboratory

OTHER = "other-network"
"""The role of its tester."""

COUNTS = 5
"""How often blocks are counted without the device, and beside it."""

DARK_WITHIN_S, _LOOK_S = 2.0, 0.05
"""So long the voltage of a device may take to go, and how often it is looked at."""

_COUNT_TAKES_S = 1.0
"""What a tester may need around a count."""

_CREST_DB = 12.0
"""Peak to average ratio of an OFDM downlink that is exceeded in less than 0.01 % of the time."""


@dataclass(frozen=True, slots=True)
class OtherNetwork:
    """The cell of another network; see the module. ``channel``: downlink EARFCN."""

    name: str
    band: int
    channel: int
    rs_epre_dbm: float
    subframes: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What a simulated device sends at its port; centre and width are those of its radio.

    ``level_dbm``: while it is on; ``duty``, ``burst_s``: as of an emission.
    """

    level_dbm: float
    duty: float = 1.0
    burst_s: float = 0.0

    def emission(self, radio: Radio) -> Emission:
        """The same for the radio world."""
        width_hz = TECHNOLOGIES[radio.technology].bandwidth_hz
        return Emission(radio.frequency_hz, self.level_dbm, width_hz, self.duty, self.burst_s)


def other_network_of(table: Table) -> OtherNetwork:
    """The ``[other_network]`` table.

    Raises:
        InputError: an unknown or missing key, or a value that cannot be.
    """
    table.only(("name", "band", "channel", "rs_epre_dbm"), ("subframes",))
    whole = {
        key: _whole(table, key, least, most, default)
        for key, least, most, default in (
            ("band", 1, 255, None),
            ("channel", 0, 262143, None),
            ("subframes", 100, 400000, 1000),
        )
    }
    if whole["band"] not in BANDS:
        table.fail("band", "is none that the driver knows", f"use one of {BANDS}")
    level = Cmw500Lte.rs_epre_dbm
    rs_epre_dbm = decibels(table, "rs_epre_dbm")
    if not level.low <= rs_epre_dbm <= level.high:
        table.fail("rs_epre_dbm", "is no level of a cell", f"give {level.low:g} to {level.high:g}")
    return OtherNetwork(table.text("name"), rs_epre_dbm=rs_epre_dbm, **whole)


def sent_of(simulated: Table) -> Sent | None:
    """What a simulated device sends: ``[simulated.device]``; None where it says nothing.

    Raises:
        InputError: as :func:`other_network_of`.
    """
    if "device" not in simulated.data:
        return None
    table = simulated.table("device").only(("level",), ("duty", "burst"))
    level_dbm = with_unit(table.data["level"], "dBm", field=table.field("level"), file=table.file)
    duty = table.quantity("duty", "1") if "duty" in table.data else 1.0
    burst_s = table.quantity("burst", "s") if "burst" in table.data else 0.0
    if not 0 < duty <= 1 or (duty < 1) != (burst_s > 0):
        table.fail("duty", "and burst do not fit", "below 1 give both; at 1 neither")
    return Sent(level_dbm, duty, burst_s)


def _whole(table: Table, key: str, least: int, most: int, default: int | None) -> int:
    value = table.data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        table.fail(key, f"is no whole number from {least} to {most}", "correct it")
    return value


NOBODY = Disturbed("", problem=f"no instrument is bound to {OTHER}")


class Neighbour:
    """The other network of a laboratory that is entered, while it is measured.

    Args:
        laboratory: entered; with :data:`OTHER` bound.
    """

    def __init__(self, laboratory: Laboratory) -> None:
        self._lab, file = laboratory, laboratory.file
        self._role = file.role(OTHER)
        assert file.other_network is not None, "the file was read"
        self.network = file.other_network
        self.telling, self.tell = False, laboratory.tell

    @property
    def _tester(self) -> Cmw500Lte:
        return cast(Cmw500Lte, self._lab.instruments[self._role])

    @property
    def verified_by(self) -> str:
        """Who counts, in words."""
        found = self._lab.sessions[self._role].identity
        simulated = ", simulated" if self._role in self._lab.file.simulated else ""
        return f"{self._role}: {found.manufacturer} {found.model}{simulated}"

    def begin(self) -> None:
        """The cell on, as declared, and the terminal connected.

        Raises:
            InstrumentError: the tester failed, a port would get too much, or no terminal comes.
        """
        tester, network = self._tester, self.network
        tester.switch_off()
        tester.duplex = "tdd" if network.band in TDD_BANDS else "fdd"
        tester.band = str(network.band)
        tester.earfcn = network.channel
        tester.dl_bandwidth = "20MHz"
        tester.rs_epre_dbm = network.rs_epre_dbm
        ceiling_dbm = network.rs_epre_dbm + FULL_CELL_DB
        tester.switch_on(self._lab.permit(self._role, ceiling_dbm, _CREST_DB))
        tester.wait_attached()
        tester.connect()

    @told
    def count(self) -> Carried:
        """What its link carries now, counted :data:`COUNTS` times.

        Raises:
            InstrumentError: the tester failed or had to be reached anew, or the terminal is gone.
        """
        taints = len(self._lab.taints)
        found = [self._tester.blocks(self.network.subframes) for _ in range(COUNTS)]
        if len(self._lab.taints) > taints:
            raise Tainted(self._role, "its session had to be made anew while it counted")
        return Carried(
            tuple(one.throughput_bps for one in found),
            sum(one.delivered for one in found),
            sum(one.refused for one in found),
            sum(one.unanswered for one in found),
        )

    @told
    def alone(self) -> Carried:
        """What its link carries beside a real device without power, seen dark; it has power again.

        Raises:
            InstrumentError: as :meth:`begin` and :meth:`count`; or the device was fed by another,
                or has no power again.
        """
        feed = self._lab.feed
        assert feed is not None, "whoever asks has looked"
        feed.off()
        self.begin()
        _see_dark(feed)
        found = self.count()
        _see_dark(feed)
        feed.on()
        feed.booted()
        return found

    @told
    def end(self) -> None:
        """The cell off, verified. Raises: InstrumentError: it is not."""
        self._tester.switch_off()

    @told
    def disturbed(self, emission: Emission) -> Disturbed:
        """What a simulated device does to it that sends so; raises as :func:`disturbed`."""
        nobody = Disturbed(self.network.name, measured_by=self.verified_by)
        try:
            self.begin()
            alone = self.count()
            with self._lab.sending(emission):
                beside = self.count()
            return replace(nobody, alone=alone, beside=beside)
        except InstrumentError as error:
            return replace(nobody, problem=str(error))
        finally:
            self.end()


def lasts_s(laboratory: Laboratory) -> float:
    """How long a device must be at work so that all counts fit in, s; 0: there is no network."""
    network = laboratory.file.other_network
    return 0.0 if network is None else COUNTS * (network.subframes * SUBFRAME_S + _COUNT_TAKES_S)


def disturbed(laboratory: Laboratory, radio: Radio) -> Disturbed:
    """What a simulated device does to the other network of its laboratory.

    Args:
        laboratory: entered; nothing is exposed.
        radio: of the device.

    Raises:
        InstrumentError: its cell cannot be switched off again.
    """
    network, sent = laboratory.file.other_network, laboratory.file.sent
    if network is None:
        return NOBODY
    nobody = Disturbed(network.name)
    if laboratory.file.role(OTHER) not in laboratory.file.simulated:
        return replace(nobody, problem="the device is simulated, and reaches no real terminal")
    if sent is None:
        return replace(nobody, problem="[simulated.device] does not say what the device sends")
    return Neighbour(laboratory).disturbed(sent.emission(radio))


class _Counting:
    """The counts beside a real device, while its session lasts; one task of a hand."""

    def __init__(self, neighbour: Neighbour) -> None:
        self._neighbour = neighbour
        self.found: Carried | None = None
        self.began_ns = self.ended_ns = 0

    def task(self, due_ns: int) -> Task:
        """Count when it is due."""
        return Task(due_ns, self._do)

    def _do(self, t0_ns: int) -> tuple[Sequence[Event], Sequence[Task]]:
        self.began_ns = time.monotonic_ns() - t0_ns
        self.found = self._neighbour.count()
        self.ended_ns = time.monotonic_ns() - t0_ns
        return (), ()


def disturbed_by_real(
    laboratory: Laboratory, session: Session, run: Callable[[Hands], Recording]
) -> Disturbed:
    """What a real device over links does to the other network.

    Silent is it while its supply is off, seen dark. That it sends afterwards is seen at the taps of
    its radio's link.

    Args:
        laboratory: entered; nothing is exposed.
        session: of the device at work; its first step is not counted in.
        run: carries it out with somebody who counts meanwhile.

    Raises:
        InstrumentError: its cell, or the device's power, is not as it must be left.
        BenchError: the session failed.
    """
    network, feed, radio = laboratory.file.other_network, laboratory.feed, session.device.radio
    if network is None:
        return NOBODY
    nobody = Disturbed(network.name)
    if feed is None or feed.wired.leave_on:
        return replace(nobody, problem="nobody may silence the device: see [power]")
    assert radio is not None, "the device declares one"
    neighbour = Neighbour(laboratory)
    nobody = replace(nobody, measured_by=neighbour.verified_by)
    try:
        alone = neighbour.alone()
        counting = _Counting(neighbour)
        due_ns = session.schedule().windows[0].end_ns
        hands = Hands(session, [counting.task(due_ns)])
        try:
            recording = run(hands)
        finally:
            hands.stop()
    except InstrumentError as error:
        return replace(nobody, problem=str(error))
    finally:
        neighbour.end()
    if counting.found is None or counting.ended_ns > recording.schedule.end_ns:
        return replace(nobody, problem="the counts did not end within the session")
    sent = recording.packets.where(
        link=session.scenario.links.index(radio.link),
        tap=feed.wired.side,
        direction=DIRECTIONS.index("to-doctor" if feed.wired.side == "patient" else "to-patient"),
    ).rows["t_ns"]
    if not np.any((sent >= counting.began_ns) & (sent <= counting.ended_ns)):
        return replace(nobody, problem=f"the device sent nothing on {radio.link} meanwhile")
    return replace(nobody, alone=alone, beside=counting.found)


def _see_dark(feed: Feed) -> None:
    """The device's supply is off, and nobody else feeds it. Raises: NotWitnessed: somebody does."""
    until_ns = feed.host.now_ns() + ns(DARK_WITHIN_S)
    while (volts := feed.volts()) > feed.wired.dark_v:
        if feed.host.now_ns() > until_ns:
            raise NotWitnessed(
                feed.wired.supply, f"is off, and {volts:g} V are still there: fed by another"
            )
        feed.host.sleep(_LOOK_S)
