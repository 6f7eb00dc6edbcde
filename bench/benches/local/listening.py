"""What somebody without keys makes of bytes on the wire: enciphered, readable, or neither.

Enciphered is only what bears the head of a record with data of DTLS or TLS; readable is what known
content stands in. Bytes that are neither show nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from bench.devices.wire import MAGIC, VERSION

KNOWN = (b"MSH|^~\\&|", b"MSA|AA|", b"1.2.840.10008")
"""What HL7 and DICOM messages hold; none so short that it might stand in cipher text by chance."""

SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_AES_128_GCM_SHA256",
    0xC02C: "TLS_AES_256_GCM_SHA384",
}
"""By number (RFC 8446, B.4; RFC 5289): those of TLS 1.2, with ECDHE and ECDSA, as TLS 1.3 calls
their cipher and hash."""

_DTLS_DATA = bytes.fromhex("17 fefd 0001")
_TLS_DATA = bytes.fromhex("17 0303")
_BEHIND = (0, 13, 13 + 8)
"""Where a plain message would begin: at once, behind the head of a record, behind its nonce."""
_DTLS_HEAD, _TLS_HEAD = 13 + 12, 5 + 4
_SERVER_HELLO = 2


class Heard(NamedTuple):
    """``suite``: as a server's hello names it; empty where there is none."""

    enciphered: bool
    readable: bool
    suite: str


def heard(payload: bytes, code: int) -> Heard:
    """What the payload of one packet or segment tells.

    Args:
        payload: of UDP or TCP.
        code: of the stream, as in a plain message's header, which stands at the beginning or, were
            it not enciphered, behind a record's.
    """
    head = MAGIC + bytes((VERSION, code))
    readable = any(payload.startswith(head, at) for at in _BEHIND)
    readable = readable or any(word in payload for word in KNOWN)
    enciphered = not readable and payload.startswith((_DTLS_DATA, _TLS_DATA))
    return Heard(enciphered, readable, _suite(payload))


def _suite(payload: bytes) -> str:
    """The suite in a server's hello (RFC 8446, 4.1.3; RFC 6347, 4.2.2)."""
    if payload[:2] == b"\x16\xfe":
        record, head = 13, _DTLS_HEAD
    elif payload[:2] == b"\x16\x03":
        record, head = 5, _TLS_HEAD
    else:
        return ""
    at = head + 2 + 32  # version, random
    if len(payload) <= at or payload[record] != _SERVER_HELLO:
        return ""
    at += 1 + payload[at]
    number = int.from_bytes(payload[at : at + 2])
    return SUITES.get(number, f"{number:#06x}") if len(payload) >= at + 2 else ""
