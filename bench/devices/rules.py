"""A device's streams as rules that find them in a capture."""

from __future__ import annotations

from typing import Literal

from bench.captures.rules import SequenceField, StreamRule
from bench.devices import rtp
from bench.devices.carriages import CARRIAGES, PLAIN, TCP, UDP
from bench.devices.profile import DeviceProfile, Stream, Wire
from bench.devices.wire import MAGIC, VERSION

NUMBER = SequenceField(offset=4, bytes=4, order=">")
"""Where the simulated devices number their messages (:data:`bench.devices.wire.HEADER`)."""

_DTLS_DATA = bytes.fromhex("17 fefd 0001")
"""Content type 23, DTLS 1.2, epoch 1 (RFC 6347, 4.1): data under the keys of the one handshake."""
_DTLS_NUMBER = SequenceField(7, bytes=4)
"""The low 32 of the 48 bits of the record's number."""
_DTLS_OTHERS = tuple(bytes((kind, 0xFE)) for kind in (20, 21, 22))
"""Change of cipher, alert, handshake; in clear or not."""

_RTP = bytes((rtp.FIRST_BYTE, rtp.PAYLOAD_TYPE))
_RTP_MASK = b"\xff\x7f"  # not the marker
_RTP_NUMBER = SequenceField(rtp.NUMBER_OFFSET, bytes=4)


def rules_of(profile: DeviceProfile) -> tuple[StreamRule, ...]:
    """One rule per stream of the profile, whichever options are on.

    A simulated device's packets look as its streams' carriages make them. Of a real device the
    port is known, and what its profile says of the ``wire``.
    """
    return tuple(
        wire_rule(stream.name, stream.port, stream.code, stream.carriage)
        if profile.simulated
        else _declared_rule(stream)
        for stream in profile.streams
    )


def _declared_rule(stream: Stream) -> StreamRule:
    wire = stream.wire or Wire()
    number = None
    if wire.number_offset is not None:
        order: Literal[">", "<"] = ">" if wire.number_order == "network" else "<"
        number = SequenceField(wire.number_offset, wire.number_bytes, order)
    protocol = TCP if wire.protocol == "tcp" else UDP
    return StreamRule(stream.name, protocol, stream.port, bytes.fromhex(wire.starts_with), number)


def wire_rule(name: str, port: int, code: int, carriage: str = PLAIN) -> StreamRule:
    """One stream of simulated devices' packets, as its carriage makes them.

    Plain ones begin with the wire header (:mod:`bench.devices.wire`), which names the stream and
    numbers its messages. RTP has the whole number in its extension (:mod:`bench.devices.rtp`). Of
    DTLS, whose content nobody can read, the records with data bear numbers in clear. Over TCP a
    packet is a segment with data on its way to the port, and its number TCP's own.
    """
    if CARRIAGES[carriage].protocol == TCP:
        return StreamRule(name, TCP, port, segments=True)
    if carriage == "dtls":
        return StreamRule(name, UDP, port, _DTLS_DATA, _DTLS_NUMBER)
    if carriage == "rtp":
        return StreamRule(name, UDP, port, _RTP, _RTP_NUMBER, mask=_RTP_MASK)
    return StreamRule(name, UDP, port, MAGIC + bytes((VERSION, code)), NUMBER)


def overhead_rules(name: str, port: int, carriage: str) -> tuple[StreamRule, ...]:
    """What else belongs to a stream's carriage, without being packets of the stream.

    Over TCP: opening, acknowledgements and whatever flows back; its port may be either end's. Of
    DTLS: handshakes and alerts.
    """
    if CARRIAGES[carriage].protocol == TCP:
        return (StreamRule(name, TCP, port),)
    if carriage == "dtls":
        return tuple(StreamRule(name, UDP, port, start) for start in _DTLS_OTHERS)
    return ()
