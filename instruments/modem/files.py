"""A modem in a bench file: ``[instruments.ROLE]`` with ``kind = "modem"``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import serial

from bench.tables import Table
from instruments.modem.modem import Modem
from instruments.visa.resources import Identity
from instruments.visa.transcript import Transcript

KIND = "modem"


@dataclass(frozen=True, slots=True)
class ConfiguredModem:
    """A modem as its table says; nothing is opened yet. ``address``: its serial device."""

    role: str
    address: str
    identity: Identity
    reply_s: float
    baud: int

    def session(
        self,
        transcript: Transcript,
        lock_folder: Path | None = None,
        opener: Callable[..., Any] = serial.Serial,
    ) -> Modem:
        """The modem, to be entered."""
        return Modem(
            self.role, self.address, self.identity, self.reply_s, transcript,
            baud=self.baud, lock_folder=lock_folder, opener=opener,
        )  # fmt: skip


def modem_of(role: str, table: Table) -> ConfiguredModem:
    """A modem's table.

    Raises:
        InputError: a key that is missing, unknown or not possible.
    """
    table.only(
        ("kind", "address", "manufacturer", "model", "reply"), ("serial", "firmware", "baud")
    )
    baud = table.data.get("baud", 115200)
    if isinstance(baud, bool) or not isinstance(baud, int) or baud < 1:
        table.fail("baud", "is no rate", "write it without quotes, like 115200")
    identity = Identity(
        table.text("manufacturer"),
        table.text("model"),
        table.text("serial", ""),
        table.text("firmware", ""),
    )
    reply_s = table.quantity("reply", "s")
    if reply_s <= 0:
        table.fail("reply", "is no deadline", "give more than 0, like 2s")
    return ConfiguredModem(role, table.text("address"), identity, reply_s, baud)
