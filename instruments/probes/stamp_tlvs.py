"""STAMP's extensions, behind the base packet (RFC 8972, 4): padding, integrity, unknown ones."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

UNRECOGNISED, MALFORMED, INTEGRITY = 0x80, 0x40, 0x20
"""The flags U, M and I. A sender sends U; a reflector clears it where it knows the type."""

HEADER_BYTES = 4
EXTRA_PADDING, HMAC_TLV = 1, 8
_HMAC_BYTES = 16
_HEADER = struct.Struct("!BBH")


@dataclass(frozen=True, slots=True)
class Tlv:
    """One extension.

    Attributes:
        flags: U, M and I.
        type: its kind.
        length: of the value, as the header says; more than there is where it is malformed.
        value: as far as it goes.
        header: False for a rest that is too short to be one.
    """

    flags: int
    type: int
    length: int
    value: bytes
    header: bool = True

    @property
    def malformed(self) -> bool:
        """Whether it does not fit into its packet, or has a length that its type cannot have."""
        wrong = self.type == HMAC_TLV and self.length != _HMAC_BYTES
        return not self.header or self.length != len(self.value) or wrong

    def encode(self) -> bytes:
        """As it is on the wire, as long as it was."""
        if not self.header:
            return bytes([self.flags]) + self.value
        return _HEADER.pack(self.flags, self.type, self.length) + self.value


def split(rest: bytes) -> list[Tlv]:
    """What lies behind the base packet; nothing is looked at behind a malformed one."""
    found: list[Tlv] = []
    at = 0
    while at < len(rest):
        if len(rest) - at < HEADER_BYTES:
            found.append(Tlv(rest[at], 0, 0, rest[at + 1 :], header=False))
            break
        flags, kind, length = _HEADER.unpack_from(rest, at)
        value = rest[at + HEADER_BYTES : at + HEADER_BYTES + length]
        found.append(Tlv(flags, kind, length, value))
        at += HEADER_BYTES + len(value)
        if found[-1].malformed:
            if at < len(rest):  # of a wrong length for its type: what follows is not read
                found[-1] = replace(found[-1], value=value + rest[at:])
            break
    return found


def extra_padding(size: int, filling: bytes) -> bytes:
    """An Extra Padding TLV of ``size`` octets in all (RFC 8972, 4.1), as a sender sends it."""
    return Tlv(UNRECOGNISED, EXTRA_PADDING, size - HEADER_BYTES, filling).encode()


def integrity(sequence: int, before: Sequence[Tlv], key: bytes) -> bytes:
    """What an HMAC TLV holds: over the sequence number and the TLVs before it (RFC 8972, 4.8)."""
    covered = struct.pack("!I", sequence) + b"".join(tlv.encode() for tlv in before)
    return hmac.digest(key, covered, "sha256")[:_HMAC_BYTES]


def reflect(rest: bytes, received: int, sent: int, key: bytes | None = None) -> bytes:
    """What a reflector sends back behind its base packet: as many octets, its flags in them.

    Octets that are all zero are padding without a TLV, as TWAMP Light sends it.

    Args:
        rest: what lay behind the test packet's base packet.
        received, sent: the sequence numbers of the test packet and of the reflected one.
        key: of the authenticated mode.
    """
    if not any(rest):
        return rest
    tlvs = split(rest)
    marked = [replace(tlv, flags=_flags(tlv, key)) for tlv in tlvs]
    if key is not None and not any(tlv.malformed for tlv in tlvs):
        marked = _signed(tlvs, marked, received, sent, key)
    return b"".join(tlv.encode() for tlv in marked)


def flagged(rest: bytes) -> dict[str, int]:
    """How many TLVs came back with each flag: ``unrecognised``, ``malformed``, ``integrity``."""
    tlvs = split(rest) if any(rest) else []
    flags = {"unrecognised": UNRECOGNISED, "malformed": MALFORMED, "integrity": INTEGRITY}
    return {name: sum(bool(tlv.flags & bit) for tlv in tlvs) for name, bit in flags.items()}


def _flags(tlv: Tlv, key: bytes | None) -> int:
    if tlv.malformed:
        return tlv.flags & ~(UNRECOGNISED | INTEGRITY) | MALFORMED
    known = tlv.type == EXTRA_PADDING or (tlv.type == HMAC_TLV and key is not None)
    return 0 if known else UNRECOGNISED


def _signed(
    tlvs: Sequence[Tlv], marked: list[Tlv], received: int, sent: int, key: bytes
) -> list[Tlv]:
    """The TLVs signed anew; with I in all of them where they did not come rightly signed."""
    last = len(tlvs)
    while last and tlvs[last - 1].type == EXTRA_PADDING:
        last -= 1
    if not last:
        return marked  # nothing but padding needs no signature
    signature = tlvs[last - 1]
    if signature.type != HMAC_TLV or not hmac.compare_digest(
        integrity(received, tlvs[: last - 1], key), signature.value
    ):
        return [replace(tlv, flags=tlv.flags | INTEGRITY) for tlv in marked]
    value = integrity(sent, marked[: last - 1], key)
    marked[last - 1] = replace(marked[last - 1], value=value)
    return marked
