"""A laboratory of which nothing is opened: the commands that it would be sent, range-checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from bench.benches.lab.exposing import NotCalibrated, Settings
from bench.benches.lab.file import BenchFile
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.other_network import Neighbour
from bench.errors import InputError
from bench.network.scenario import Interference
from instruments.contacts.files import ConfiguredBox
from instruments.files import Configured
from instruments.modem.files import ConfiguredModem
from instruments.modem.modem import Modem
from instruments.visa.errors import InstrumentError
from instruments.visa.transcript import Transcript

_SILENT_DBM = -200.0
"""What the monitor is taken to show with RF off."""


class Rehearsing(Laboratory):
    """Does what a laboratory does, on plans: what is measured is taken to be as it must be.

    Attributes:
        lines: ``role: command -> answer``, of all instruments in their order.
    """

    def __init__(self, file: BenchFile) -> None:
        super().__init__(file, Transcript())
        self.lines: list[str] = []

    def cut(self) -> tuple[str, ...]:
        """The lines since the last cut."""
        found = tuple(self.lines)
        self.lines.clear()
        return found

    def _take(self, stack: ExitStack) -> None:
        """Nothing is taken."""

    def _open(self, stack: ExitStack, role: str, one: Configured) -> None:
        self.instruments[role] = one.make(one.rehearsal(self.lines))

    def _open_modem(self, stack: ExitStack, role: str, one: ConfiguredModem) -> None:
        self.lines += [f"{role}: {text}" for text in Modem.opening()]

    def _open_box(self, stack: ExitStack, role: str, one: ConfiguredBox) -> None:
        self.lines += [f"{role}: output {name} -> {o.safe}" for name, o in one.outputs.items()]

    def _see(self, settings: Settings) -> float:
        self.monitor.levels_dbm()
        return _SILENT_DBM if self.generator.permitted is None else settings.monitor_dbm

    def segment(self, one: Interference) -> str:
        """Present a segment; why it cannot be, empty where it can."""
        try:
            if one.exposures:
                self.expose(*one.exposures)
                return self.holds()
            self.quiet()
            return self.gone()
        except InputError as error:
            return error.line()
        except NotCalibrated as error:
            return f"{error}: INCONCLUSIVE"
        except InstrumentError as error:
            return str(error)

    def session(self, segments: Sequence[Interference]) -> tuple[str, ...]:
        """Present segments as a session does, and leave the laboratory quiet.

        Real packets are exposed after a rehearsal: of a real device without RF.

        Returns:
            Why some of them cannot be presented.
        """
        problems: list[str] = []
        if self.file.packets == "links":
            for one in segments:
                if one.exposures:
                    problems.append(self._armed_alone(one))
            self.quiet()
        else:
            problems += self._presented(segments)
        if self.file.packets != "virtual":
            problems += self._presented(segments)
        return tuple(dict.fromkeys(filter(None, problems)))

    def other_network(self) -> str:
        """Its cell on and the terminal connected; why that cannot be, or empty."""
        self.quiet()
        try:
            Neighbour(self).begin()
        except InstrumentError as error:
            return str(error)
        return ""

    def _presented(self, segments: Iterable[Interference]) -> list[str]:
        problems = [self.segment(one) for one in segments]
        if "interferer" in self.file.roles:
            self.quiet()
        return problems

    def _armed_alone(self, one: Interference) -> str:
        try:
            self.arm(*one.exposures)
        except InputError as error:
            return error.line()
        except InstrumentError as error:
            return str(error)
        return ""
