"""The instruments of a bench file while somebody has them: leased, known, safe on every way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.benches.lab.file import BenchFile
from bench.benches.lab.places import Place
from bench.benches.lab.powering import Feed
from bench.benches.lab.telling import ROLE, TELLS, Host, as_text
from bench.errors import InputError
from bench.network.radio.exposure import FLAWLESS, WANTED, Radio, RadioFlaws, receiver_of
from bench.network.radio.receivers import Reception, receive
from bench.network.radio.state import Emission, RadioState, joined
from bench.network.radio.world import Arrival, arrivals
from instruments.contacts.box import ContactBox
from instruments.contacts.files import ConfiguredBox
from instruments.files import Configured
from instruments.modem.files import ConfiguredModem
from instruments.modem.modem import Modem
from instruments.modem.parsing import Sighting
from instruments.power.supplies import E36312A
from instruments.rf.attenuators import Attenuator
from instruments.rf.emitters import Emitter
from instruments.rf.levels import Permit
from instruments.safety import Safeable, SafeState
from instruments.simulators.lab import Lab, RunningLab
from instruments.visa.errors import InstrumentError, Tainted
from instruments.visa.generic import Generic
from instruments.visa.locks import ResourceLock
from instruments.visa.properties import Instrument
from instruments.visa.readings import Taint
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript

_SAFE_ORDER = ("contact-box", "signal-generator", "radio-tester", "attenuator", "power-supply")
"""The device's stop; then what emits, what holds back, and what feeds the device."""

_EMITS = _SAFE_ORDER.index("signal-generator")
"""What a description makes safe may emit (an amplifier): it goes with what does."""


class Taken(Host):
    """The instruments of a bench file, as a context manager: safe on entering and on leaving.

    Args:
        file: the bench file.
        transcript: where every byte goes.
        lock_folder: where the leases are; None: the usual place.

    Attributes:
        instruments, modems, boxes: the drivers, by role.
        sessions: their sessions.
        feed: what gives a real device its power; None: nothing here.
        telling: whether what is being done is told already, by what it is a part of.
    """

    def __init__(
        self, file: BenchFile, transcript: Transcript, *, lock_folder: Path | None = None
    ) -> None:
        self.file = file
        self.instruments: dict[str, Instrument] = {}
        self.sessions: dict[str, Session] = {}
        self.modems: dict[str, Modem] = {}
        self.boxes: dict[str, ContactBox] = {}
        self.feed: Feed | None = None
        self.telling = False
        self._transcript, self._locks = transcript, lock_folder
        self._stack = ExitStack()
        self._running: RunningLab | None = None
        self._beside = RadioState()
        """What hardware does to a simulated world, as it has read back."""
        self._sent = RadioState()

    def tell(self, fields: Mapping[str, Any]) -> None:
        """Write a note of what is done here; see :mod:`bench.benches.lab.telling`."""
        self._transcript.add(ROLE, "note", as_text(fields))

    # ---- taking and leaving --------------------------------------------------

    def __enter__(self) -> Self:
        """Take the bench and its instruments, see who they are, and make all safe.

        Raises:
            InputError: a simulated instrument cannot be served.
            Busy, Unreachable, WrongIdentity, NotSafe: an instrument cannot be used; all are let
                go again.
        """
        with ExitStack() as stack:
            self.tell(TELLS)
            self._take(stack)
            for role, one in self.file.instruments.items():
                self._open(stack, role, one)
            for role, box in self.file.boxes.items():
                self._open_box(stack, role, box)
            stack.enter_context(SafeState(self._safeable()))
            for role, modem in self.file.modems.items():
                self._open_modem(stack, role, modem)
            self._stack = stack.pop_all()
        return self

    def enter_what_answers(self) -> Mapping[str, str]:
        """As entering, but what cannot be used is left out; for checking.

        Returns:
            Why, by role; empty where everything can be used.

        Raises:
            InputError, Busy: the bench itself cannot be taken.
        """
        problems: dict[str, str] = {}
        with ExitStack() as stack:
            self._take(stack)
            for role, one in self.file.instruments.items():
                try:
                    self._open(stack, role, one)
                except InstrumentError as error:
                    problems[role] = error.problem
            for role, box in self.file.boxes.items():
                try:
                    self._open_box(stack, role, box)
                except InstrumentError as error:
                    problems[role] = error.problem
            for each in self._safeable():
                try:
                    stack.enter_context(SafeState([each]))
                except InstrumentError as error:
                    problems[each.channel.role] = error.problem
            for role, modem in self.file.modems.items():
                try:
                    self._open_modem(stack, role, modem)
                except InstrumentError as error:
                    problems[role] = error.problem
            self._stack = stack.pop_all()
        return problems

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Make all safe and let it go.

        Raises:
            NotSafe: an instrument could not be made safe, or that could not be verified.
        """
        self._stack.__exit__(kind, value, trace)

    def _take(self, stack: ExitStack) -> None:
        """The lease of the bench, where there is hardware to share; labgrid's; the simulated."""
        if not self.file.wholly_simulated or self.file.labgrid is not None:
            name = f"bench {self.file.path.resolve()}"
            stack.enter_context(ResourceLock("bench", name, folder=self._locks))
        if self.file.labgrid is not None:
            place = Place(self.file.labgrid, self._transcript, folder=self._locks)
            stack.enter_context(place)
        if self.file.described or self.file.world.paths:
            lab = Lab(
                self.file.described,
                self.file.world,
                beside=lambda: joined([self._beside, self._sent]),
            )
            self._running = stack.enter_context(RunningLab(lab))

    def _address(self, role: str, given: str) -> str:
        if role not in self.file.simulated:
            return given
        assert self._running is not None
        return self._running.resources[role]

    def _open(self, stack: ExitStack, role: str, one: Configured) -> None:
        address = self._address(role, one.resource.address)
        configured = replace(one, resource=replace(one.resource, address=address))
        session = configured.session(self._transcript, **self._session_options(role))
        self.sessions[role] = stack.enter_context(session)
        self.instruments[role] = made = configured.make(session)
        if self.file.power is not None and self.file.power.supply == role:
            assert isinstance(made, E36312A), "the file was read"
            self.feed = Feed(made, self.file.power, self)

    def _session_options(self, role: str) -> Mapping[str, Any]:
        """How sessions are opened."""
        return {"lock_folder": self._locks}

    def _open_modem(self, stack: ExitStack, role: str, one: ConfiguredModem) -> None:
        session = replace(one, address=self._port(role, one.address)).session(
            self._transcript, self._locks, **self._modem_options(role)
        )
        self.modems[role] = stack.enter_context(session)

    def _modem_options(self, role: str) -> Mapping[str, Any]:
        """How a modem's port is opened."""
        return {}

    def _open_box(self, stack: ExitStack, role: str, one: ConfiguredBox) -> None:
        configured = replace(one, address=self._port(role, one.address))
        box = configured.session(self._transcript, self._locks, **self._box_options(role))
        self.boxes[role] = stack.enter_context(box)

    def _box_options(self, role: str) -> Mapping[str, Any]:
        """How a box is made."""
        return {}

    def _port(self, role: str, given: str) -> str:
        """A serial device."""
        return self._address(role, given).removeprefix("ASRL").removesuffix("::INSTR")

    def _safeable(self) -> Sequence[Safeable]:
        fed = None if self.feed is None else self.feed.wired.supply
        everything: list[Instrument | ContactBox | Feed] = [*self.boxes.values()]
        everything += [one for role, one in self.instruments.items() if role != fed]
        everything += [] if self.feed is None else [self.feed]
        ranked = [(_safe_rank(one), one) for one in everything]
        found = [(rank, one) for rank, one in ranked if rank is not None]
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]

    @property
    def without_safe_state(self) -> tuple[str, ...]:
        """The described instruments whose description has no safe state: nothing is known there."""
        return tuple(
            role
            for role, one in self.file.instruments.items()
            if issubclass(one.kind, Generic) and not one.kind.has_safe_state
        )

    @property
    def simulation(self) -> Lab | None:
        """What is simulated here; None where nothing is."""
        return None if self._running is None else self._running.lab

    @property
    def taints(self) -> tuple[Taint, ...]:
        """Every taint of every session since the laboratory was entered."""
        found = [taint for session in self.sessions.values() for taint in session.taints]
        return (*found, *(taint for modem in self.modems.values() for taint in modem.taints))

    def _marks(self) -> dict[str, int]:
        return {role: session.mark() for role, session in self.sessions.items()}

    def _refuse_taints(self, marks: Mapping[str, int]) -> None:
        for role, session in self.sessions.items():
            for taint in session.since(marks.get(role, 0)):
                raise Tainted(role, f"in {taint.step}: {taint.cause}")

    # ---- emitting ------------------------------------------------------------

    def permit(self, role: str, ceiling_dbm: float, crest_db: float) -> Permit:
        """Permit an emitter a level, beside all others that are on.

        Args:
            role, ceiling_dbm, crest_db: as :func:`instruments.rf.levels.permit`.

        Raises:
            Excess: a port would get more than it bears.
            InstrumentError: an attenuator does not read back.
        """
        attenuators = {
            name: one for name, one in self.instruments.items() if isinstance(one, Attenuator)
        }
        return self.file.wiring.permit(
            role, ceiling_dbm, crest_db, attenuators, beside=self.permits_beside(role)
        )

    def permits_beside(self, role: str) -> tuple[Permit, ...]:
        """With what the other emitters are on now, or may be."""
        found = [
            one.permitted
            for name, one in self.instruments.items()
            if name != role and isinstance(one, Emitter)
        ]
        return tuple(one for one in found if one is not None)

    # ---- the victim ----------------------------------------------------------

    def reception(self, radio: Radio, flaws: RadioFlaws = FLAWLESS) -> Reception | None:
        """What the device's radio makes of what arrives at its port in the simulated world.

        None where the device is real (packets over links): it receives for itself.

        Raises:
            InputError: nothing here is simulated: a real radio receives for itself.
        """
        if self.file.packets == "links":
            return None
        if self._running is None:
            raise InputError(
                "needs a simulated world",
                remedy="let a real device tell its reception itself (packets over [links])",
                file=self.file.path,
                field="simulated",
            )
        lab = self._running.lab
        wanted = Arrival(WANTED, Emission(radio.frequency_hz, radio.wanted_dbm))
        came = arrivals(lab.world, lab.state(), f"{self.file.victim}:1")
        return receive(receiver_of(radio, flaws=flaws), (wanted, *came))

    @contextmanager
    def sending(self, emission: Emission) -> Iterator[None]:
        """While it lasts a simulated device sends at its port (``victim``), in the simulated world.

        Raises:
            InputError: the file names no port of the device's radio.
        """
        if not self.file.victim:
            raise InputError(
                "is missing", remedy="name the port of the device's radio", file=self.file.path,
                field="victim",
            )  # fmt: skip
        self._sent = RadioState({f"{self.file.victim}:1": emission})
        try:
            yield
        finally:
            self._sent = RadioState()

    def serving_cells(self) -> Sighting:
        """The cells that serve the device's modem now.

        Raises:
            InputError: no modem is bound.
            InstrumentError: it does not answer.
        """
        return self.modems[self.file.role("modem")].look()


def _safe_rank(one: Instrument | ContactBox | Feed) -> int | None:
    """When its turn is on the way to the safe state; None: it has none to reach."""
    family = type(one).family
    if isinstance(one, Generic):
        if not one.has_safe_state:
            return None
        return _SAFE_ORDER.index(family) if family in _SAFE_ORDER else _EMITS
    return _SAFE_ORDER.index(family) if family in _SAFE_ORDER else None
