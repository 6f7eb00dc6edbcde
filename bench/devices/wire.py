"""The simulated devices' payload on a real wire: bytes of a :class:`Message` and back.

UDP payload, big endian: magic ``TB``, version, stream code, sequence (u32), sender's clock (u64
ns), value (i32), body length (u16), body (JSON, control stream only), zero padding up to the
stream's declared payload.
"""

from __future__ import annotations

import json
import struct

from bench.devices.ports import Message

HEADER = struct.Struct("!2sBBIQiH")
MAGIC = b"TB"
VERSION = 1


def encode(message: Message, payload_bytes: int) -> bytes:
    """The UDP payload of ``message``, padded to ``payload_bytes``.

    Raises:
        ValueError: the body does not fit into ``payload_bytes``.
    """
    body = b"" if message.body is None else json.dumps(message.body, separators=(",", ":")).encode()
    if HEADER.size + len(body) > payload_bytes:
        raise ValueError(f"{HEADER.size + len(body)} bytes do not fit into {payload_bytes}")
    head = HEADER.pack(
        MAGIC,
        VERSION,
        message.stream,
        message.seq & 0xFFFFFFFF,
        message.sent_ns,
        message.value,
        len(body),
    )
    return (head + body).ljust(payload_bytes, b"\0")


def decode(payload: bytes) -> Message:
    """The message in a UDP payload.

    Raises:
        ValueError: not a payload of ours (magic, version, length or body).
    """
    if len(payload) < HEADER.size:
        raise ValueError("payload shorter than its header")
    magic, version, stream, seq, sent_ns, value, length = HEADER.unpack_from(payload)
    if magic != MAGIC or version != VERSION:
        raise ValueError("not a payload of this device")
    if length == 0:
        return Message(stream, seq, sent_ns, value)
    body = payload[HEADER.size : HEADER.size + length]
    if len(body) != length:
        raise ValueError("payload shorter than its body")
    parsed = json.loads(body)
    if not isinstance(parsed, dict):
        raise ValueError("the body is not an object")
    return Message(stream, seq, sent_ns, value, parsed)
