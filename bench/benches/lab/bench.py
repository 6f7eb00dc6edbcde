"""The lab bench: a bench of packets, with the instruments of a bench file around it."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bench.benches.base import BenchError, Nowhere, Sink
from bench.benches.lab.acceptance import acceptances, standing
from bench.benches.lab.alarms import listening
from bench.benches.lab.cells import OFFER, ROLES, Cells, Conducted, Rehearsed, misplaced
from bench.benches.lab.chapters import Chapters
from bench.benches.lab.file import BenchFile, load_bench_file
from bench.benches.lab.handling import Contacts
from bench.benches.lab.hands import Attendant, hands_of
from bench.benches.lab.heard import Heard
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.other_network import disturbed, disturbed_by_real, lasts_s
from bench.benches.lab.powering import Power
from bench.benches.lab.presenting import present, rehearsed
from bench.benches.lab.telling import ROLE, as_text
from bench.benches.virtual import VirtualBench
from bench.devices.power import POWER
from bench.devices.profile import DeviceProfile
from bench.errors import InputError
from bench.measure.disturbing import Disturbed
from bench.network.cells import NO_CELLS
from bench.network.library.coexistence import at_work
from bench.network.scenario import CellChange, Scenario, Step, Window, cell_changes, interferences
from bench.sessions.cells import cell_event
from bench.sessions.instruments import ALARMS, CONTACTS, RADIOS, instruments_event
from bench.sessions.recording import Event, Recording, Session
from bench.units import NS_PER_S
from instruments.visa.errors import Busy, InstrumentError

if TYPE_CHECKING:
    from bench.benches.local.bench import LocalBench

FLOODER = "flooder"
"""What a test needs that presses the stop of a device in a flood of packets."""


class LabBench:
    """Runs sessions in a laboratory. ``name`` is that of the bench that carries the packets.

    ``lab``: between physical interfaces, at whose far ends a real device is; its alarms come from
    an adapter.

    With packets on a virtual clock everything that a scenario exposes the device's radio to is
    presented and measured before the session, step by step; the link then gets what the radio in
    the laboratory's world received. Real packets are exposed while they flow: the same is rehearsed
    before, and presented again when it is due (:mod:`bench.benches.lab.conducting`). A real
    device's radio is exposed once; it lies between the taps.

    Args:
        file: a bench file, or its path.
    """

    def __init__(self, file: BenchFile | Path) -> None:
        self.file = load_bench_file(file) if isinstance(file, Path) else file
        self._packets = _packet_bench(self.file)
        self._transcript = Chapters()
        self._laboratory: Laboratory | None = None
        self._alarms: Heard | None = None
        self._attending: list[Attendant] = []
        self._stack = ExitStack()

    @property
    def name(self) -> str:
        """``virtual``, ``local`` or ``lab``: what its packets are."""
        return self._packets.name

    @property
    def backend(self) -> str:
        """What emulates the network."""
        return self._packets.backend

    @property
    def method(self) -> str:
        """How its radio is reached: ANSI C63.27's test method, as the file says."""
        return self.file.method

    @property
    def offers(self) -> frozenset[str]:
        """What this laboratory has besides.

        ``cells``, where the file has two of them, an attenuator and a modem; ``flooder``, where the
        stop and the drive of a real device are wired, so that it shows what a flood does to them.
        """
        found = set()
        if set(ROLES) <= set(self.file.roles) and not misplaced(self.file):
            found.add(OFFER)
        wired = () if self.file.contacts is None else self.file.contacts.seen
        if {"motion", "stop"} <= set(wired) and find_spec("scapy") is not None:
            found.add(FLOODER)
        return frozenset(found)

    @property
    def laboratory(self) -> Laboratory:
        """The laboratory, while the bench is entered."""
        assert self._laboratory is not None, "the bench is not entered"
        return self._laboratory

    def __enter__(self) -> Self:
        """Take the laboratory and the bench of its packets.

        Raises:
            InputError: they cannot be had, or somebody else has them.
            BenchError: an instrument cannot be used.
        """
        with ExitStack() as stack:
            laboratory = Laboratory(self.file, self._transcript)
            try:
                stack.enter_context(laboratory)
            except Busy as error:
                raise InputError(
                    f"cannot be taken: {error}", remedy="wait for the other run, or end it",
                    field="--bench", value=str(self.file.path),
                ) from error  # fmt: skip
            except InstrumentError as error:
                raise BenchError(f"the laboratory cannot be used: {error}") from error
            self._join(stack)
            self._laboratory = laboratory
            self._attending = [] if laboratory.feed is None else [Power(laboratory.feed)]
            if (wired := self.file.contacts) is not None:
                box = laboratory.boxes[wired.box]
                self._attending.append(Contacts(box, wired, laboratory))
            try:
                self._camp()
            except InstrumentError as error:
                raise BenchError(f"the cells cannot be used: {error}") from error
            self._stack = stack.pop_all()
        return self

    def _join(self, stack: ExitStack) -> None:
        """Take what carries the packets: with physical interfaces these, and the alarms."""
        if self.file.packets == "links":
            from instruments.emulators.base import EmulatorError
            from instruments.emulators.custody import Custody

            found = {
                name: (*link.ifnames(), *link.radio_ifnames())
                for name, link in self.file.links.items()
            }
            assert not isinstance(self._packets, VirtualBench)
            self._packets.nics = found
            names = [
                name for left, right, *radio in found.values() for name in (left, *radio, right)
            ]
            try:
                stack.enter_context(Custody(names))
            except EmulatorError as error:
                raise BenchError(f"the interfaces cannot be used: {error}") from error
        if self.file.alarms is not None:
            self._alarms = stack.enter_context(listening(self.file.alarms))
        stack.enter_context(self._packets)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make the laboratory safe and give everything back.

        Raises:
            BenchError: an instrument could not be made safe.
        """
        self._laboratory = None
        try:
            self._stack.__exit__(kind, value, trace)
        except InstrumentError as error:
            raise BenchError(f"THE LABORATORY MAY NOT BE SAFE: {error}") from error
        finally:
            self._transcript.close()

    def keep_in(self, folder: Path) -> None:
        """Keep the transcript of the whole run in its folder, from the taking on."""
        self._transcript.keep_in(folder)

    def describe(self) -> dict[str, Any]:
        """The laboratory, for run.json: plain data, the same for every worker of a run."""
        return {
            "title": self.file.title,
            "file": self.file.path.name,
            "sha256": hashlib.sha256(self.file.path.read_bytes()).hexdigest(),
            "method": self.file.method,
            "shielded_enclosure": self.file.enclosure or None,
            "arming": None if self.file.arming is None else self.file.arming.record(),
            "simulated": sorted(self.file.simulated),
            "instruments": self._instruments(),
        }

    def _instruments(self) -> list[dict[str, Any]]:
        return standing(self.laboratory, acceptances(self.file.path))

    def run(self, session: Session, sink: Sink) -> Recording:
        """Carry a session out; see the class.

        Raises:
            InputError: the laboratory cannot present what the scenario asks for.
            BenchError: an instrument or the bench of the packets failed.
        """
        self._refuse_unready(session)
        self._transcript.add(ROLE, "note", as_text({"session": session.id}))
        changes: tuple[Event, ...] = ()
        if self._attending:
            recording, changes = self._attended(session, sink)
        elif cell_changes(session.scenario):
            recording, changes = self._handed_over(session, sink)
        elif interferences(session.scenario):
            recording = self._exposed(session, sink)
        else:
            recording = self._packets.run(session, sink)
        told = (
            instruments_event(self._instruments()), *self._radios(),
            *self._alarm_events(recording, changes), *changes,
        )  # fmt: skip
        for event in told:
            sink.event(event)
        events = sorted((*told, *recording.events), key=lambda event: event.t_ns)
        return replace(recording, events=tuple(events), transcript=self._transcript.cut())

    def disturbed(self, device: DeviceProfile, seed: int) -> Disturbed:
        """What the device's emission does to the other network of the laboratory.

        Raises:
            InputError: a real device moves, and nobody has armed it.
            BenchError: an instrument failed.
        """
        assert device.radio is not None, "whoever asks has looked"
        try:
            self.laboratory.quiet()
            if isinstance(self._packets, VirtualBench) or self.file.packets != "links":
                return disturbed(self.laboratory, device.radio)
            session = Session("coexistence", device, at_work(lasts_s(self.laboratory)), seed)
            self._refuse_unarmed(session)
            packets = self._packets
            return disturbed_by_real(
                self.laboratory, session, lambda hands: packets.run(session, Nowhere(), hands)
            )
        except InstrumentError as error:
            raise BenchError(f"an instrument failed: {error}") from error
        finally:
            self._transcript.cut()

    def _radios(self) -> tuple[Event, ...]:
        """Which links cross a real radio between the taps, where some do."""
        crossed = [name for name, link in self.file.links.items() if link.radio is not None]
        return (Event(0, "bench", "bench", RADIOS, crossed),) if crossed else ()

    def _alarm_events(self, recording: Recording, done: Iterable[Event]) -> tuple[Event, ...]:
        """The device's alarms; of one that lost its power, what of them is known."""
        if self._alarms is None or isinstance(self._packets, VirtualBench):
            return ()
        t0_ns, end_ns = self._packets.t0_ns, recording.schedule.end_ns
        off = cuts(done)
        if not off:
            return (Event(0, "bench", "bench", ALARMS), *self._alarms.events(t0_ns, end_ns))
        told = self._alarms.broken(t0_ns, end_ns)
        self._alarms.forget(t0_ns + off[-1])
        return told

    def _attended(self, session: Session, sink: Sink) -> tuple[Recording, tuple[Event, ...]]:
        """A session of a device whose power or contacts are wired; what was done and seen there.

        Raises:
            BenchError: an instrument failed, or does not show what happened.
        """
        assert not isinstance(self._packets, VirtualBench)
        try:
            for one in self._attending:
                one.ready()
            self._refuse_unarmed(session)
            if cell_changes(session.scenario):
                recording, done = self._handed_over(session, sink)
            elif interferences(session.scenario):
                recording, done = self._exposed(session, sink), ()
            elif (hands := hands_of(session, self._attending)) is not None:
                try:
                    recording = self._packets.run(session, sink, hands)
                finally:
                    hands.stop()
                done = hands.done
            else:
                recording, done = self._packets.run(session, sink), ()
            t0_ns, end_ns = self._packets.t0_ns, recording.schedule.end_ns
            seen = [e for one in self._attending for e in one.events(t0_ns, end_ns)]
        except InstrumentError as error:
            self._transcript.cut()
            raise BenchError(f"an instrument failed: {error}") from error
        wired = [name for one in self._attending for name in one.seen]
        return recording, (*connected(wired, done), *done, *seen)

    def _refuse_unready(self, session: Session) -> None:
        """What a real device must not be asked for, or not yet.

        Raises:
            InputError: as :meth:`_refuse_unarmed`.
            BenchError: its radio is not between the taps: what it does to packets nobody sees.
        """
        if self.file.packets != "links":
            return
        self._refuse_unarmed(session)
        for segment in interferences(session.scenario):
            carried = segment.radio.link if segment.radio is not None else ""
            link = self.file.links.get(carried)
            if link is not None and link.radio is None:
                raise BenchError(
                    f"the radio of the link {carried} is not between the taps: name the interfaces "
                    f"that lead to it, [links.{carried}.radio] in {self.file.path.name}"
                )

    def _refuse_unarmed(self, session: Session) -> None:
        """Asked before anything is done, and again when it took its time to make all ready.

        Raises:
            InputError: a real device moves, and nobody has armed it until the session's end.
        """
        if self.file.packets != "links" or "motion" not in session.device.functions:
            return
        now, arming = datetime.datetime.now(datetime.UTC), self.file.arming
        lasts_s = session.schedule().end_ns / NS_PER_S
        problem = "nobody has armed it" if arming is None else arming.problem(now, lasts_s)
        if problem:
            raise InputError(
                f"the device moves, and {problem}",
                remedy="see to phantom, clear area and hardware stop, and record [arming]",
                file=self.file.path,
                field="arming",
            )

    def _handed_over(self, session: Session, sink: Sink) -> tuple[Recording, tuple[Event, ...]]:
        """A session with a change of cell, and what came of it.

        Raises:
            InputError: the laboratory has no cells, or the scenario asks for more than it can do.
            BenchError: an instrument failed.
        """
        step, asked = only_change(session.scenario)
        window = next(one for one in session.schedule().windows if one.name == step.name)
        if self.file.packets == "links":
            return self._handed_over_live(session, sink, asked, window)
        try:
            cells = Cells(self.laboratory)
            try:
                problem = cells.camp()
                changed = replace(NO_CELLS, problem=problem)
                if not problem:
                    changed = cells.change(asked, Rehearsed())
            finally:
                cells.quiet()
        except InstrumentError as error:
            self._transcript.cut()
            raise BenchError(f"an instrument failed: {error}") from error
        recording = self._packets.run(replace(session, cells=(changed,)), sink)
        return recording, (cell_event(window.start_ns, window.name, changed),)

    def _handed_over_live(
        self, session: Session, sink: Sink, asked: CellChange, window: Window
    ) -> tuple[Recording, tuple[Event, ...]]:
        """The same with a real device at the far ends: the cell changes while its packets flow."""
        assert not isinstance(self._packets, VirtualBench)
        try:
            cells = Cells(self.laboratory)
            problem = cells.camp()
            if problem:
                raise BenchError(problem)
            self._refuse_unarmed(session)
            conducted = Conducted(cells, session, asked, window.start_ns)
            try:
                recording = self._packets.run(session, sink, conducted)
            finally:
                conducted.stop()
                self._camp()
        except InstrumentError as error:
            self._transcript.cut()
            raise BenchError(f"an instrument failed: {error}") from error
        return recording, (cell_event(window.start_ns, window.name, conducted.changed),)

    def _camp(self) -> None:
        """Over physical links the device lives on these cells: they are on while it is tested.

        Raises:
            BenchError: its modem does not find them.
        """
        if self.file.packets == "links" and OFFER in self.offers:
            problem = Cells(self.laboratory).camp()
            if problem:
                raise BenchError(problem)

    def _exposed(self, session: Session, sink: Sink) -> Recording:
        """A session with exposures: rehearsed, and presented again while real packets flow."""
        try:
            if self.file.packets == "links":
                shown = rehearsed(self.laboratory, session.scenario)
                self._refuse_unarmed(session)
            else:
                shown = present(self.laboratory, session.scenario, session.device)
            session = replace(session, presented=shown)
            if isinstance(self._packets, VirtualBench):
                return self._packets.run(session, sink)
            from bench.benches.lab.conducting import Conducting

            conducting = Conducting(self.laboratory, session)
            try:
                return self._packets.run(session, sink, conducting)
            finally:
                conducting.stop()
                self.laboratory.quiet()
        except InstrumentError as error:
            self._transcript.cut()
            raise BenchError(f"an instrument failed: {error}") from error


def connected(wired: Sequence[str], done: Iterable[Event]) -> tuple[Event, ...]:
    """What was wired in a session; its lights where they had power: else dark says nothing."""
    contacts = Event(0, "bench", "bench", CONTACTS, list(wired))
    if "lights" in wired and not cuts(done):
        return contacts, Event(0, "bench", "bench", ALARMS)
    return (contacts,)


def cuts(events: Iterable[Event]) -> list[int]:
    """When the device lost its power, ns of the session."""
    return [e.t_ns for e in events if e.name == POWER and e.origin == "contact" and e.value == 0]


def only_change(scenario: Scenario) -> tuple[Step, CellChange]:
    """The change of cell of a scenario, and its step.

    Raises:
        InputError: it has more than one, or exposes the radio as well.
    """
    found = cell_changes(scenario)
    if len(found) != 1 or interferences(scenario):
        raise InputError(
            "a laboratory changes the cell once in a session, and exposes no radio then",
            remedy="use a scenario for each",
            field="scenario",
            value=scenario.name,
        )
    return found[0]


def _packet_bench(file: BenchFile) -> VirtualBench | LocalBench:
    if file.packets == "virtual":
        return VirtualBench()
    from bench.benches.local.bench import LocalBench

    if file.packets == "local":
        return LocalBench()
    return LocalBench("userspace", nics={})
