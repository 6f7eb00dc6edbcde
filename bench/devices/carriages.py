"""How a stream travels where its packets are real: the carriages that a profile may name.

A stream's ``payload`` is one UDP payload, the carriage's own headers included; of those over TCP
it is one message. On the virtual bench every stream travels as plain packets of that size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TCP, UDP = 6, 17

PLAIN = "datagram"
"""The carriage of streams that name none."""


DTLS_BYTES = 13 + 8 + 16
"""What a record of DTLS 1.2 adds with AES-GCM: header, nonce, tag (RFC 6347, RFC 5288)."""


@dataclass(frozen=True, slots=True)
class CarriageKind:
    """One carriage.

    ``title``: in words. ``protocol``: IP protocol number. ``least_bytes``: the smallest payload
    that holds its headers and a message without a body. ``enciphered``: on real networks nobody
    without the keys reads what it carries.
    """

    title: str
    protocol: int
    least_bytes: int
    enciphered: bool = False


CARRIAGES: Mapping[str, CarriageKind] = {
    PLAIN: CarriageKind("UDP with the simulated devices' own header", UDP, 22),
    "rtp": CarriageKind("RTP (RFC 3550), the message in a header extension (RFC 8285)", UDP, 44),
    "dtls": CarriageKind(
        "DTLS 1.2 (RFC 6347), both sides with certificates", UDP, 22 + DTLS_BYTES, True
    ),
    "mllp": CarriageKind("HL7 v2 over MLLP in TLS, on TCP", TCP, 22, True),
    "dicom": CarriageKind("DICOM C-STORE in TLS, on TCP", TCP, 22, True),
}
"""By name, as in a profile."""
