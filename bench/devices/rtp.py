"""A :class:`Message` as a packet of real RTP, and back.

RTP (RFC 3550, 5.1): version 2, dynamic payload type, 90 kHz timestamp of the frame, marker on its
last packet, 16-bit sequence number, one source (SSRC) per stream. The message itself travels in a
header extension with one-byte elements (RFC 8285, 4.2): element 1 holds the whole number of the
packet (u32, of which RTP's are the low 16 bits), the sender's clock (u64, ns) and the value (i32),
element 2 the tag (i64). Behind it zeros stand for the picture, up to the stream's declared payload.

RFC 3550 asks for random first sequence numbers, timestamps and SSRCs; here they are fixed by the
message and the stream, so that a recording can be compared with what was sent.
"""

from __future__ import annotations

import struct

from bench.devices.ports import Message

PAYLOAD_TYPE = 96
"""The first dynamic one (RFC 3551, 6)."""
CLOCK_HZ = 90_000
FIRST_BYTE = 0x90
"""Version 2, no padding, an extension, no contributing sources."""
NUMBER_OFFSET = 17
"""Where element 1's data begin: with the number of the packet."""

_HEADER = struct.Struct("!BBHII HH BIQi Bq2x")
HEADER_BYTES = _HEADER.size

_ONE_BYTE, _WORDS = 0xBEDE, 7
_MESSAGE, _TAG = 1 << 4 | 15, 2 << 4 | 7
"""Heads of the elements: id, and data bytes less one."""
_SOURCE = 0x54420100
"""With the stream's code in its last byte: the SSRC."""
_MARKER = 0x80


def encode(message: Message, payload_bytes: int, packets: int) -> bytes:
    """The UDP payload of a packet, header included.

    Args:
        message: of the packet; it cannot have a body.
        payload_bytes: how long the payload is.
        packets: per frame; frame ``n`` holds the numbers from ``n * packets``.

    Raises:
        ValueError: a body, or a payload shorter than the header.
    """
    stream, seq, sent_ns, value, body, tag, _ = message
    if body is not None or payload_bytes < HEADER_BYTES:
        raise ValueError(f"a body, or {HEADER_BYTES} bytes of header, in {payload_bytes} bytes")
    marker = _MARKER if (seq + 1) % packets == 0 else 0
    timestamp = sent_ns * CLOCK_HZ // 1_000_000_000 & 0xFFFFFFFF
    head = _HEADER.pack(
        FIRST_BYTE, PAYLOAD_TYPE | marker, seq & 0xFFFF, timestamp, _SOURCE | stream,
        _ONE_BYTE, _WORDS, _MESSAGE, seq & 0xFFFFFFFF, sent_ns, value, _TAG, tag,
    )  # fmt: skip
    return head.ljust(payload_bytes, b"\0")


def decode(payload: bytes) -> Message:
    """The message in a UDP payload.

    Raises:
        ValueError: not RTP as these devices send it, or its numbers contradict each other.
    """
    if len(payload) < HEADER_BYTES:
        raise ValueError("payload shorter than its header")
    (
        first, kind, low, _, source, extension, words, message, seq, sent_ns, value, second, tag,
    ) = _HEADER.unpack_from(payload)  # fmt: skip
    ours = (first, kind & ~_MARKER, extension, words, message, second)
    if ours != (FIRST_BYTE, PAYLOAD_TYPE, _ONE_BYTE, _WORDS, _MESSAGE, _TAG):
        raise ValueError("not RTP of this device")
    if source & ~0xFF != _SOURCE or seq & 0xFFFF != low:
        raise ValueError("source or number contradict the extension")
    return Message(source & 0xFF, seq, sent_ns, value, None, tag)
