"""RF switch boxes: Mini-Circuits RC-nSPDT over telnet or HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.errors import InputError
from instruments.rf.attenuators import MINI_CIRCUITS
from instruments.visa.channels import Channel
from instruments.visa.properties import Command, Instrument

_GUIDE = "Mini-Circuits Programming Manual, RF Switch Boxes (RC series)"
_LETTERS = "ABCDEFGH"


class SpdtSwitches(Instrument):
    """A box of up to eight SPDT switches, named A to H.

    Each is set by its own command, which leaves the others alone: nothing is read, changed and
    written back. What ``SWPORT?`` answers is a number whose bit 0 is switch A, 1 for COM at port 2.

    Args:
        switches: how many the box has.
    """

    family = "switch"
    manufacturer = "Mini-Circuits"
    models = ("RC-*SPDT-*",)
    dialect = MINI_CIRCUITS

    set_one = Command("SET{switch}={state}", f"{_GUIDE}, Set Single SPDT Switch")
    states = Command("SWPORT?", f"{_GUIDE}, Get All SPDT Switch States")

    def __init__(
        self,
        channel: Channel,
        limits: Mapping[str, tuple[float, float]] | None = None,
        switches: int = 1,
    ) -> None:
        """Raises: InputError: no box has so many."""
        if not 1 <= switches <= len(_LETTERS):
            raise InputError(
                "is no number of switches",
                remedy=f"give 1 to {len(_LETTERS)}",
                field=f"{channel.role}.switches",
                value=switches,
            )
        self._letters = _LETTERS[:switches]
        super().__init__(channel, limits)

    def connect(self, switch: str, port: int) -> None:
        """Connect a switch's COM to its port 1 or 2, and verify it.

        Raises:
            InputError: no such switch or port.
            NotApplied: the box refuses, or reads back another state.
        """
        self._refuse("switch", switch, tuple(self._letters))
        self._refuse("port", port, (1, 2))
        self._connect(switch, port)
        self.channel.declare(f"switch {switch}", lambda: self._connect(switch, port))

    def _refuse(self, what: str, value: Any, known: tuple[Any, ...]) -> None:
        if value not in known:
            raise InputError(
                f"is no {what} of it",
                remedy=f"use one of {', '.join(str(one) for one in known)}",
                field=f"{self.channel.role}.{what}",
                value=value,
            )

    def _connect(self, switch: str, port: int) -> None:
        bit = self._letters.index(switch)

        def check(text: str) -> str:
            if not text.strip().isdigit():
                return "is no number of states"
            return "" if int(text) >> bit & 1 == port - 1 else f"{switch} is not at port {port}"

        with self.channel.step(f"switch {switch} to {port}"):
            self.channel.confirm(
                self.set_one.with_(switch=switch, state=port - 1),
                lambda text: "" if text.strip() == "1" else "refused",
                "1",
            )
            self.channel.confirm(self.states.text, check, f"bit {bit} is {port - 1}")
