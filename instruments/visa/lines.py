"""One connection to an instrument, every byte of it recorded; nothing is recovered here."""

from __future__ import annotations

from instruments.visa.channels import Dialect
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    DeadlinePassed,
    Desynchronised,
    InstrumentError,
    LinkLost,
    Unreachable,
)
from instruments.visa.resources import Identity, Resource
from instruments.visa.transcript import Transcript
from instruments.visa.wires import (
    Connector,
    Wire,
    WireFault,
    WireTimeout,
    http_body,
    http_request,
)

_MOST_BLANK = 8


class Line:
    """A wire that may be closed and opened again.

    Args:
        resource: the configured instrument.
        transcript: where every byte goes.
        dialect: how it is asked who it is.
        connector: opens the wire.

    Attributes:
        why: while it is closed, why.
        said: what it last answered to the questions of who it is.
    """

    def __init__(
        self, resource: Resource, transcript: Transcript, dialect: Dialect, connector: Connector
    ) -> None:
        self.resource, self.dialect = resource, dialect
        self.why = "is not open"
        self.said: tuple[str, ...] = ()
        self._transcript, self._connector = transcript, connector
        self._wire: Wire | None = None

    @property
    def role(self) -> str:
        """The instrument's role."""
        return self.resource.role

    @property
    def is_open(self) -> bool:
        """Whether there is a wire."""
        return self._wire is not None

    @property
    def last_ns(self) -> int:
        """When the last entry was recorded, monotonic, ns."""
        return int(self._transcript.entries[-1]["t_ns"])

    def record(self, kind: str, data: bytes | str = b"") -> None:
        """Write into the transcript."""
        self._transcript.add(self.role, kind, data)

    def open(self) -> None:
        """Open the wire. Raises: Unreachable."""
        try:
            self._wire = self._connector(self.resource)
        except Unreachable as error:
            self.record("lost")
            self.record("note", error.problem)
            raise
        self.record("open")

    def close(self, why: str = "") -> None:
        """Close the wire."""
        self.why = why or self.why
        if self._wire is not None:
            self._wire.close()
            self._wire = None
            self.record("close")

    def stray(self) -> bytes:
        """What has come unasked."""
        found = self._usable().stray()
        if found:
            self.record("rx", found)
        return found

    def exchange(self, text: str, within_s: float | None, answered: bool) -> str:
        """Send, and receive the answer.

        Raises:
            DeadlinePassed, LinkLost, Desynchronised, BadAnswer: as their names say.
            Broken: it is not open.
        """
        wire = self._usable()
        try:
            raw = self._encoded(text)
            self.record("tx", raw)
            wire.send(raw)
            if not answered:
                return ""
            return self._received(wire, self.resource.reply_s if within_s is None else within_s)
        except WireFault as fault:
            raise self._recorded(fault, text) from fault
        except InstrumentError:
            raise
        except BaseException:  # interrupted: the answer may still come, for another question
            self.close("is broken: interrupted within a transaction")
            raise

    def who(self) -> Identity:
        """Ask who it is."""
        ask = self.dialect.identify
        self.said = tuple(self.exchange(text, None, answered=True) for text in ask)
        return self.dialect.identity(self.said, self.role)

    def _usable(self) -> Wire:
        if self._wire is None:
            raise Broken(self.role, self.why)
        return self._wire

    def _received(self, wire: Wire, within_s: float) -> str:
        for _ in range(_MOST_BLANK):
            raw = wire.receive(within_s)
            self.record("rx", raw)
            text = self._decoded(raw)
            if text or self.resource.is_http or not self.dialect.blank_lines:
                return text
        raise Desynchronised(self.role, f"sent {_MOST_BLANK} empty lines instead of an answer")

    def _encoded(self, text: str) -> bytes:
        if self.resource.is_http:
            return http_request(text, self.resource.address)
        return (text + self.resource.write_termination).encode("latin-1")

    def _decoded(self, raw: bytes) -> str:
        if self.resource.is_http:
            try:
                return http_body(raw)
            except ValueError as error:
                raise BadAnswer(self.role, f"the answer {error}") from error
        return raw.decode("latin-1").removesuffix(self.resource.read_termination).strip("\r\n ")

    def _recorded(self, fault: WireFault, text: str) -> InstrumentError:
        """Write a fault down; what it means is the same when it is played back."""
        if isinstance(fault, WireTimeout):
            self.record("timeout", fault.partial)
            half = " (half of one came)" if fault.partial else ""
            return DeadlinePassed(self.role, f"{text}: {fault.cause}{half}")
        self.record("lost", fault.partial)
        self.record("note", fault.cause)
        return LinkLost(self.role, f"{text}: the connection is gone")
