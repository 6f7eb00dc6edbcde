"""Where an instrument is and who it must be: what a bench file says about it."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from bench.errors import InputError

LONGEST_DEADLINE_S = 600.0
_SOCKET = re.compile(r"^TCPIP\d*::(?P<host>[^:]+|\[[^]]+\])::(?P<port>\d+)::SOCKET$", re.IGNORECASE)
_TCPIP = re.compile(r"^TCPIP\d*::(?P<host>[^:]+|\[[^]]+\])::", re.IGNORECASE)
_SERIAL = re.compile(r"^ASRL(?P<port>/.+?)(::INSTR)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers, or who must: the four fields of ``*IDN?`` (IEEE 488.2, 10.14).

    As an expectation a field is a pattern (``*``, ``?``; letter case does not count) and an empty
    one is not looked at; manufacturer and model must be given.
    """

    manufacturer: str
    model: str
    serial: str = ""
    firmware: str = ""

    def differs(self, found: Identity) -> str:
        """What of ``found`` is not as expected here; empty where all is."""
        for name in (field.name for field in fields(Identity)):
            want, got = getattr(self, name), getattr(found, name)
            if want and not fnmatch.fnmatchcase(got.lower(), want.lower()):
                return f"{name} is {got!r}, not {want!r}"
        return ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One configured instrument.

    Args:
        role: its name in the bench.
        address: a VISA resource (``TCPIP::192.0.2.7::5025::SOCKET``) or ``http://HOST[:PORT]``.
        identity: who must answer there.
        write_termination, read_termination: what ends a command and an answer; for ``http`` empty.
        connect_s, reply_s: deadlines of connecting and of one answer, s.
        library: the VISA library, as PyVISA's ResourceManager takes it (``@py``, ``@ivi``, a path).
        physical: what names the physical instrument where it has more than one address.
        wait_s: how long to wait for another owner.
        baud: of a serial port, bit/s.
    """

    role: str
    address: str
    identity: Identity
    write_termination: str
    read_termination: str
    connect_s: float
    reply_s: float
    library: str = "@py"
    physical: str = ""
    wait_s: float = 0.0
    baud: int | None = None

    def __post_init__(self) -> None:
        """Raises: InputError: a terminator, deadline or identity that is missing or impossible."""
        if not self.role.strip() or not self.address.strip():
            self._fail("address", self.address, "role and address must be given", "fill them in")
        if not (self.identity.manufacturer and self.identity.model):
            self._fail("identity", None, "is incomplete", "give manufacturer and model")
        for name in () if self.is_http else ("write_termination", "read_termination"):
            value = getattr(self, name)
            if value not in ("\n", "\r", "\r\n"):
                self._fail(name, value, "is no terminator", r'give "\n", "\r" or "\r\n"')
        for name in ("connect_s", "reply_s"):
            value = getattr(self, name)
            if not 0 < value <= LONGEST_DEADLINE_S:
                remedy = f"give more than 0 and at most {LONGEST_DEADLINE_S:g} s"
                self._fail(name, value, "is no deadline", remedy)

    def _fail(self, name: str, value: object, problem: str, remedy: str) -> NoReturn:
        field = f"instruments.{self.role}.{name}"
        raise InputError(problem, remedy=remedy, field=field, value=value)

    @property
    def is_http(self) -> bool:
        """Whether it is reached over HTTP and not through a VISA library."""
        return self.address.lower().startswith("http://")

    @property
    def endpoint(self) -> tuple[str, int] | None:
        """Host and TCP port to try before the VISA library does; None where there is none."""
        if self.is_http:
            parts = urlsplit(self.address)
            return parts.hostname or "", parts.port or 80
        match = _SOCKET.match(self.address)
        return (match["host"].strip("[]"), int(match["port"])) if match else None

    @property
    def lock_name(self) -> str:
        """What stands for the physical instrument: ``physical``, else its host, else its address.

        One host is one instrument, whatever port or protocol reaches it; but several ports of the
        loopback address are several instruments (simulated ones). A serial device is one, whatever
        links lead to it, and the same as the port of a modem or a contact box.
        """
        if self.physical:
            return self.physical
        endpoint = self.endpoint
        host = endpoint[0] if endpoint else ""
        match = _TCPIP.match(self.address)
        if match and not host:
            host = match["host"]
        if host and host != "localhost" and not host.startswith("127.") and host != "::1":
            return f"host {host.lower()}"
        if endpoint:
            return f"{host}:{endpoint[1]}"
        serial = _SERIAL.match(self.address)
        return str(Path(serial["port"]).resolve()) if serial else self.address.lower()
