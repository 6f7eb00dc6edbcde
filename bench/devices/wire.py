"""The simulated devices' payload on a real wire: bytes of a :class:`Message` and back.

UDP payload, big endian: magic ``TB``, version, stream code, sequence (u32), sender's clock (u64
ns), value (i32), body length (u16; its highest bit says that a tag follows the body), body (JSON,
control stream only), tag (i64, of a sealed packet), zero padding up to the stream's declared
payload.
"""

from __future__ import annotations

import json
import struct

from bench.devices.ports import Message

HEADER = struct.Struct("!2sBBIQiH")
MAGIC = b"TB"
VERSION = 1
TAG = struct.Struct("!q")
_TAGGED = 0x8000


def encode(message: Message, payload_bytes: int) -> bytes:
    """The UDP payload of ``message``, padded to ``payload_bytes``.

    Raises:
        ValueError: the body does not fit into ``payload_bytes``.
    """
    body = b"" if message.body is None else json.dumps(message.body, separators=(",", ":")).encode()
    tag = TAG.pack(message.tag) if message.tag else b""
    needed = HEADER.size + len(body) + len(tag)
    if needed > payload_bytes or len(body) >= _TAGGED:
        raise ValueError(f"{needed} bytes do not fit into {payload_bytes}")
    head = HEADER.pack(
        MAGIC,
        VERSION,
        message.stream,
        message.seq & 0xFFFFFFFF,
        message.sent_ns,
        message.value,
        len(body) | (_TAGGED if tag else 0),
    )
    return (head + body + tag).ljust(payload_bytes, b"\0")


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
    tagged, length = length & _TAGGED, length & ~_TAGGED
    end = HEADER.size + length
    body = payload[HEADER.size : end]
    if len(body) != length or len(payload) < end + (TAG.size if tagged else 0):
        raise ValueError("payload shorter than its body")
    tag = TAG.unpack_from(payload, end)[0] if tagged else 0
    if not length:
        return Message(stream, seq, sent_ns, value, None, tag)
    parsed = json.loads(body)
    if not isinstance(parsed, dict):
        raise ValueError("the body is not an object")
    return Message(stream, seq, sent_ns, value, parsed, tag)
