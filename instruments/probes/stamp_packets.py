"""STAMP's test packets, both ways and both modes (RFC 8762, 4.2 and 4.3; SSID: RFC 8972, 3).

Pure: bytes in, values out. What lies behind the base packet is :mod:`stamp_tlvs`.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from instruments.probes.stamp_time import ErrorEstimate, decode_time, encode_time

PORT = 862
"""The reflector's default UDP port (RFC 8762, 4.1)."""

BASE_BYTES = 44
"""Unauthenticated, either way."""

AUTHENTICATED_BYTES = 112
"""Authenticated, either way."""

LEAST_BYTES = 41
"""The least test packet that is answered: an answer of that length holds all but zeros, and is
what TWAMP Light reflects (RFC 5357, 4.2.1). The octets that are left out are zero."""

LEAST_ANSWER_BYTES = 38
"""The least answer that is read: as far as the sender's own fields; some TWAMP Light reflectors
leave out the TTL behind them."""

HMAC_BYTES = 16
_COVERED_BYTES = 96
"""What the HMAC covers (RFC 8762, 4.4)."""

_TEST = struct.Struct("!IQHH28x")
_REFLECTED = struct.Struct("!IQHHQIQH2xB3x")
_TEST_AUTHENTICATED = struct.Struct("!I12xQHH68x")
_REFLECTED_AUTHENTICATED = struct.Struct("!I12xQHH4xQ8xI12xQH6xB15x")


class PacketError(ValueError):
    """Bytes that are no STAMP packet; the message says why in one or two words."""


@dataclass(frozen=True, slots=True)
class TestPacket:
    """What a Session-Sender sends (RFC 8762, 4.2).

    Attributes:
        sequence: 0 for the first packet of a session, then one more each.
        t_ns: when it was sent.
        error: of ``t_ns``; also says its format on the wire.
        ssid: the session's identifier (RFC 8972, 3), 0 where not used.
        time: ``t_ns`` as it is on the wire, 64 bits; a reflector gives it back bit by bit.
    """

    __test__ = False  # no test class, whatever its name

    sequence: int
    t_ns: int
    error: ErrorEstimate
    ssid: int = 0

    @property
    def time(self) -> int:
        """``t_ns`` as it is on the wire."""
        return encode_time(self.t_ns, self.error.ptp)


@dataclass(frozen=True, slots=True)
class ReflectedPacket:
    """What a Session-Reflector sends (RFC 8762, 4.3).

    Attributes:
        sequence: stateful: how many it had sent in this session; stateless: the sender's.
        t_ns, received_ns: when it was sent and when the test packet had arrived.
        error: of both; also says their format on the wire.
        ssid: the test packet's; 0 from a reflector that does not know RFC 8972.
        sender_sequence, sender_time, sender_error: the test packet's, bit by bit.
        ttl: the test packet's TTL or hop limit on arrival; 255 where that cannot be told, and 0
            where the answer leaves it out.
    """

    sequence: int
    t_ns: int
    error: ErrorEstimate
    ssid: int
    received_ns: int
    sender_sequence: int
    sender_time: int
    sender_error: int
    ttl: int


def encode_test(packet: TestPacket, key: bytes | None = None) -> bytes:
    """The base packet: 44 octets, 112 with a ``key`` (authenticated mode)."""
    layout = _TEST if key is None else _TEST_AUTHENTICATED
    head = layout.pack(packet.sequence, packet.time, packet.error.encode(), packet.ssid)
    return head if key is None else head + _digest(head, key)


def encode_reflected(packet: ReflectedPacket, key: bytes | None = None) -> bytes:
    """The base packet: 44 octets, 112 with a ``key`` (authenticated mode)."""
    layout = _REFLECTED if key is None else _REFLECTED_AUTHENTICATED
    ptp = packet.error.ptp
    head = layout.pack(
        packet.sequence,
        encode_time(packet.t_ns, ptp),
        packet.error.encode(),
        packet.ssid,
        encode_time(packet.received_ns, ptp),
        packet.sender_sequence,
        packet.sender_time,
        packet.sender_error,
        packet.ttl,
    )
    return head if key is None else head + _digest(head, key)


@dataclass(frozen=True, slots=True)
class Arrived:
    """The fields of a test packet that a reflector needs: those it gives back, bit by bit."""

    sequence: int
    time: int
    error: int
    ssid: int


def read_test(data: bytes, key: bytes | None = None) -> Arrived:
    """A test packet as it arrived.

    Raises:
        PacketError: too short, or (with a ``key``) not signed with it.
    """
    layout = _TEST if key is None else _TEST_AUTHENTICATED
    return Arrived(*layout.unpack(_base(data, key, LEAST_BYTES)))


def decode_test(data: bytes, key: bytes | None = None) -> TestPacket:
    """A test packet.

    Raises:
        PacketError: too short, or (with a ``key``) not signed with it.
    """
    found = read_test(data, key)
    error = ErrorEstimate.decode(found.error)
    return TestPacket(found.sequence, decode_time(found.time, error.ptp), error, found.ssid)


def decode_reflected(data: bytes, key: bytes | None = None) -> ReflectedPacket:
    """A reflected packet.

    Raises:
        PacketError: too short, or (with a ``key``) not signed with it.
    """
    layout = _REFLECTED if key is None else _REFLECTED_AUTHENTICATED
    sequence, sent, error_word, ssid, received, *sender, ttl = layout.unpack(
        _base(data, key, LEAST_ANSWER_BYTES)
    )
    error = ErrorEstimate.decode(error_word)
    return ReflectedPacket(
        sequence=sequence,
        t_ns=decode_time(sent, error.ptp),
        error=error,
        ssid=ssid,
        received_ns=decode_time(received, error.ptp),
        sender_sequence=sender[0],
        sender_time=sender[1],
        sender_error=sender[2],
        ttl=ttl,
    )


def looks_reflected(data: bytes, key: bytes | None) -> bool:
    """Whether there is a receive timestamp, where a test packet has zeros."""
    place = slice(16, 24) if key is None else slice(32, 40)
    return any(data[place])


def base_bytes(key: bytes | None) -> int:
    """How long the base packet is."""
    return BASE_BYTES if key is None else AUTHENTICATED_BYTES


def _base(data: bytes, key: bytes | None, least: int) -> bytes:
    if key is None:
        if len(data) < least:
            raise PacketError("too short")
        return data[:BASE_BYTES].ljust(BASE_BYTES, b"\0")
    if len(data) < AUTHENTICATED_BYTES:
        raise PacketError("too short")
    head, signature = data[:_COVERED_BYTES], data[_COVERED_BYTES:AUTHENTICATED_BYTES]
    if not hmac.compare_digest(_digest(head, key), signature):
        raise PacketError("not authentic")
    return head


def _digest(data: bytes, key: bytes) -> bytes:
    """HMAC-SHA-256 truncated to 128 bits (RFC 8762, 4.4; RFC 4868)."""
    return hmac.digest(key, data, "sha256")[:HMAC_BYTES]
