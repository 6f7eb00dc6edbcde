"""What a simulated device may do: the port it is given, and the messages it exchanges.

Devices are sans-I/O: they never read a clock, open a socket or draw a number of their own. Time
comes in with every call; everything they do leaves through the :class:`Port` of the bench that
runs them. The same device code runs on the virtual and on the local bench.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

PAD = "pad"
"""Under this key of its body, to how many bytes of payload a message is padded."""


class Message(NamedTuple):
    """One packet's content as the device sees it.

    ``stream``: the stream's code. ``seq``: sequence number within the stream. ``sent_ns``: the
    sender's clock at sending (both sides' clocks are synchronised; the profile declares it).
    ``value``: one signed number (a position in µm, a force in mN). ``body``: JSON data of the
    control stream, else ``None``. ``tag``: authenticates a sealed packet (the device's own
    security, :mod:`bench.devices.association`), 0 in clear. ``peer``: address of a further client
    that it comes from or goes to; 0 for the other side.
    """

    stream: int
    seq: int
    sent_ns: int
    value: int = 0
    body: dict[str, Any] | None = None
    tag: int = 0
    peer: int = 0


class Send(Protocol):
    """A way out, as :meth:`Port.send`."""

    def __call__(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet on the link of that index."""


_made = tuple.__new__


def plain(stream: int, seq: int, sent_ns: int, value: int) -> Message:
    """A message without a body; made in half the time, and most packets are such."""
    return _made(Message, (stream, seq, sent_ns, value, None, 0, 0))


def payload_bytes(message: Message, declared: int) -> int:
    """The payload of a message in bytes: its stream's, or what it is padded to."""
    body = message.body
    return declared if body is None else max(declared, body.get(PAD, 0))


class Port(Protocol):
    """The only way out of a simulated device. Implemented by each bench."""

    def at(self, t_ns: int, call: Callable[[int], None]) -> None:
        """Call ``call(now_ns)`` once at ``t_ns``."""

    def send(self, now_ns: int, link: int, message: Message) -> None:
        """Send one packet on the link of that index."""

    def send_burst(self, now_ns: int, link: int, message: Message, count: int) -> None:
        """Send ``count`` packets of one stream together, numbered from ``message.seq``."""

    def follow(self, now_ns: int, link: int) -> None:
        """Send on that link to where the packet came from that arrives just now."""

    def actuate(self, now_ns: int, message: Message) -> None:
        """The drive executes a command (seen by the bench at the actuator)."""

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        """A contact or encoder outside the device changes: ``motion``, ``brake``, ``position``."""

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        """A light or sound of the device changes: ``alarm-signal``."""

    def log(self, now_ns: int, name: str, value: Any) -> None:
        """The device writes an entry to its own audit log."""


class Endpoint(Protocol):
    """One side of a simulated device."""

    def start(self, now_ns: int) -> None:
        """Power on; the device asks for its first wake-ups through its port."""

    def receive(self, now_ns: int, link: int, message: Message) -> None:
        """One packet arrived on the link of that index."""

    def receive_burst(
        self, now_ns: int, link: int, message: Message, received: int, count: int
    ) -> None:
        """``received`` of ``count`` packets that were sent together have arrived.

        ``now_ns`` is when that is known: at the last arrival, or once the rest is given up.
        ``message`` is the first one's content.
        """

    def operate(self, now_ns: int, action: str) -> None:
        """Somebody does something at this side: ``local-stop`` or ``takeover``."""
