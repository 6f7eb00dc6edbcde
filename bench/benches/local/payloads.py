"""Payloads of a simulated device's streams, as somebody makes and reads them who has no keys.

To whoever has none, a record of DTLS is its number and bytes that nobody reads: a message with the
record in its body, and a tag, since it is sealed.
"""

from __future__ import annotations

from bench.benches.local.layout import LARGEST_PAYLOAD
from bench.devices import rtp, wire
from bench.devices.carriages import DTLS_BYTES
from bench.devices.ports import Message, payload_bytes
from bench.devices.profile import Stream

RECORD = "record"
"""Under this key of a message's body a whole record of DTLS, in hexadecimal."""

_DATA = bytes.fromhex("17 fefd 0001")
"""Data under the keys of the one handshake, in DTLS 1.2 (RFC 6347, 4.1)."""
_NUMBER = slice(5, 11)
_HEAD = 13
_SEALED = 1


def payload_of(message: Message, stream: Stream) -> bytes:
    """The payload of a message on that stream; longer than the stream's own where it must be.

    Over DTLS in the other side's name: the record that it is of, or one made up around it. A
    further client has no session there, and sends it plain.
    """
    if stream.carriage == "rtp" and message.body is None:
        return rtp.encode(message, stream.payload_bytes, stream.packets)
    if stream.carriage == "dtls" and not message.peer:
        return _record_of(message, stream)
    return _plain(message, payload_bytes(message, stream.payload_bytes))


def _plain(message: Message, size: int, most: int = LARGEST_PAYLOAD) -> bytes:
    try:
        return wire.encode(message, size)
    except ValueError:
        return wire.encode(message, most)


def _record_of(message: Message, stream: Stream) -> bytes:
    whole = (message.body or {}).get(RECORD)
    if whole is None:
        size, most = payload_bytes(message, stream.payload_bytes), LARGEST_PAYLOAD - _HEAD
        inside = _plain(message, size - DTLS_BYTES, most).ljust(size - _HEAD, b"\0")
        number = message.seq.to_bytes(6, "big")
        return _DATA + number + len(inside).to_bytes(2, "big") + inside
    record = bytearray.fromhex(whole)
    for bit in range(message.value.bit_length()):
        if message.value >> bit & 1:  # anywhere behind the header, by its number
            record[_HEAD + (31 * message.seq + 17 * bit) % (len(record) - _HEAD)] ^= 1 << bit % 8
    return bytes(record)


def read(payload: bytes, stream: Stream) -> Message:
    """The message in a payload of that stream.

    Raises:
        ValueError: there is none that could be read.
    """
    return rtp.decode(payload) if stream.carriage == "rtp" else wire.decode(payload)


def overheard(payload: bytes, stream: Stream) -> Message:
    """As :func:`read`, to somebody on the way: what is sealed in DTLS as its record.

    Raises:
        ValueError: neither a message nor a record with data.
    """
    if stream.carriage != "dtls" or not payload.startswith(_DATA) or len(payload) <= _HEAD:
        return read(payload, stream)
    seq = int.from_bytes(payload[_NUMBER]) & 0xFFFFFFFF
    return Message(stream.code, seq, 0, 0, {RECORD: payload.hex()}, _SEALED)
