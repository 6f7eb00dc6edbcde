"""Oscilloscopes: the time between an edge on one channel and an edge on another."""

from __future__ import annotations

from bench.errors import InputError
from instruments.rf.analysers import is_done
from instruments.visa.errors import DeadlinePassed, LinkLost
from instruments.visa.properties import Command, Instrument
from instruments.visa.readings import Reading, number

_GUIDE = "Keysight InfiniiVision 3000T/4000 X-Series Oscilloscopes Programmer's Guide"


class KeysightInfiniiVision(Instrument):
    """Keysight InfiniiVision 3000T, 4000. No result is 9.9E37, which is never a number here."""

    family = "oscilloscope"
    manufacturer = "*"
    models = ("[DM]SO-X 3*", "[DM]SO-X 4*")

    define = Command(":MEAS:DEF DEL,{first},{second}", f"{_GUIDE}, :MEASure:DEFine DELay")
    acquire = Command(":DIG CHAN{a},CHAN{b};*OPC?", f"{_GUIDE}, :DIGitize; *OPC?")
    delay = Command(":MEAS:DEL? CHAN{a},CHAN{b}", f"{_GUIDE}, :MEASure:DELay")

    def latency(
        self, a: int, b: int, within_s: float, first: str = "+1", second: str = "+1"
    ) -> Reading:
        """One acquisition: from an edge on channel ``a`` to one on channel ``b``, s.

        Args:
            within_s: how long the trigger may take.
            first, second: slope and number of the edges: ``+1`` is the first rising one.

        Without a trigger, or without an edge, the reading has no value.

        Raises:
            InputError: no such channels or edges.
        """
        for name, value, good in (
            ("channels", (a, b), {a, b} <= {1, 2, 3, 4} and a != b),
            ("edges", (first, second), all(_is_edge(edge) for edge in (first, second))),
        ):
            if not good:
                raise InputError(
                    "cannot be measured",
                    remedy="give two channels of 1 to 4, and edges like +1 or -2",
                    field=f"{self.channel.role}.{name}",
                    value=value,
                )
        with self.channel.step(f"latency of {b} after {a}"):
            self.channel.command(self.define.with_(first=first, second=second))
            try:
                self.channel.confirm(self.acquire.with_(a=a, b=b), is_done, "1", within_s)
            except (DeadlinePassed, LinkLost) as error:
                taint = self.channel.taints[-1:]
                return Reading(
                    self.channel.role, "latency", None, "s", f"no trigger: {error.problem}", taint
                )
            return self.channel.read(self.delay.with_(a=a, b=b), "latency", "s", number)


def _is_edge(text: str) -> bool:
    return text[:1] in "+-" and text[1:].isdigit() and int(text[1:]) > 0
