"""Programmable attenuators: Mini-Circuits RCDAT and RUDAT, over HTTP, telnet or SCPI."""

from __future__ import annotations

from instruments.rf.levels import Attenuation
from instruments.visa.channels import Dialect
from instruments.visa.errors import BadAnswer
from instruments.visa.properties import Instrument, Number
from instruments.visa.resources import Identity

_GUIDE = "Mini-Circuits Programming Manual, Programmable Attenuators (AN-49)"


def mini_circuits_identity(answers: tuple[str, ...], role: str) -> Identity:
    """Model and serial number out of ``MN=RCDAT-6000-90`` and ``SN=11503010001``.

    Raises:
        BadAnswer: an answer that begins otherwise. (Errors come as text.)
    """
    found = []
    for mark, answer in zip(("MN=", "SN="), answers, strict=True):
        text = answer.strip()
        if not text.upper().startswith(mark) or len(text) == len(mark):
            raise BadAnswer(role, f"answers {answer!r} where {mark}… was asked for")
        found.append(text[len(mark) :])
    return Identity("Mini-Circuits", *found)


MINI_CIRCUITS = Dialect(
    "Mini-Circuits",
    ("MN?", "SN?"),
    mini_circuits_identity,
    blank_lines=True,
    source=f"{_GUIDE}, Get Model Name, Get Serial Number",
)
"""Over HTTP (a GET request per command) and telnet (port 23); no IEEE 488.2, no error queue."""

MINI_CIRCUITS_SCPI = Dialect(
    "Mini-Circuits SCPI",
    (":MN?", ":SN?"),
    mini_circuits_identity,
    blank_lines=True,
    source=f"{_GUIDE}, SCPI Commands: Get Model Name, Get Serial Number",
)


class Attenuator(Instrument):
    """A step attenuator with one channel."""

    family = "attenuator"

    attenuation_db: Number

    def state(self, least_db: float, tolerance_db: float) -> Attenuation:
        """What it reads back now, for a permit.

        Args:
            least_db: after a reboot; the lower end of the configured range counts where it is
                less.
            tolerance_db: how far the true value may lie below the nominal one.
        """
        low, _ = type(self).attenuation_db.range(self)
        return Attenuation(self.attenuation_db, min(least_db, low), tolerance_db)

    def make_safe(self) -> None:
        """The most attenuation, verified."""
        self.channel.settle()
        self.attenuation_db = type(self).attenuation_db.range(self)[1]


class Rcdat(Attenuator):
    """RCDAT-6000-90 and its kin over HTTP or telnet: 0 to 90 dB in steps of 0.25 dB."""

    manufacturer = "Mini-Circuits"
    models = ("RCDAT-*-90", "RUDAT-*-90")
    dialect = MINI_CIRCUITS

    attenuation_db = Number(
        "SETATT={value}", "ATT?", unit="dB", low=0, high=90, step=0.25, replies="1",
        source=f"{_GUIDE}, Set Attenuation, Read Attenuation",
    )  # fmt: skip


class RcdatScpi(Attenuator):
    """The same with SCPI commands."""

    manufacturer = "Mini-Circuits"
    models = ("RCDAT-*-90", "RUDAT-*-90")
    dialect = MINI_CIRCUITS_SCPI

    attenuation_db = Number(
        ":SETATT={value}", ":ATT?", unit="dB", low=0, high=90, step=0.25, replies="1",
        source=f"{_GUIDE}, SCPI Commands: Set Attenuation, Read Attenuation",
    )  # fmt: skip
