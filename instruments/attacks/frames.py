"""Raw Ethernet frames: reading them in a few steps, making them up with scapy.

scapy lays out a frame of every length once; addresses, ports and payload are put into a copy, and
scapy's own sum repairs the checksums. (Laying out each frame takes scapy milliseconds, in which
others would wait.)
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import checksum

HEAD = 42
"""Bytes before the payload of a UDP packet: Ethernet, IPv4 without options, UDP."""

_IPV4_NO_OPTIONS = b"\x08\x00\x45"
_TCP, _UDP = 6, 17
_FRAGMENT = 0x3FFF
_ADDRESSES = struct.Struct("!4s4s")
_PORTS = struct.Struct("!HH")
_SHORT = struct.Struct("!H")
_PSEUDO = struct.Struct("!8sxBH")


class Place(NamedTuple):
    """Where a packet comes from and goes to, as bytes and numbers of the wire."""

    source_mac: bytes
    target_mac: bytes
    source: bytes
    target: bytes
    source_port: int
    target_port: int


def mac(text: str) -> bytes:
    """A hardware address as bytes."""
    return bytes.fromhex(text.replace(":", ""))


def ipv4(text: str) -> bytes:
    """An IPv4 address as bytes."""
    return socket.inet_aton(text)


def port_of(frame: bytes) -> int:
    """The destination port of a whole UDP packet over plain IPv4; -1 of anything else."""
    if len(frame) < HEAD or frame[12:15] != _IPV4_NO_OPTIONS or frame[23] != _UDP:
        return -1
    if int.from_bytes(frame[20:22], "big") & _FRAGMENT:
        return -1
    return frame[36] << 8 | frame[37]


def segment_of(frame: bytes) -> tuple[int, int, bytes] | None:
    """Source port, destination port and payload of a TCP segment with data over plain IPv4."""
    if len(frame) < 54 or frame[12:15] != _IPV4_NO_OPTIONS or frame[23] != _TCP:
        return None
    if int.from_bytes(frame[20:22], "big") & _FRAGMENT:
        return None
    payload = frame[34 + 4 * (frame[46] >> 4) : 14 + int.from_bytes(frame[16:18], "big")]
    return (*_PORTS.unpack_from(frame, 34), payload) if payload else None


def payload_of(frame: bytes) -> bytes:
    """The payload of such a packet, without what pads a short frame."""
    return frame[HEAD : 34 + int.from_bytes(frame[38:40], "big")]


def place_of(frame: bytes) -> Place:
    """Addresses and ports of such a packet."""
    source, target = _ADDRESSES.unpack_from(frame, 26)
    return Place(frame[6:12], frame[:6], source, target, *_PORTS.unpack_from(frame, 34))


class Maker:
    """Makes UDP packets and ARP answers."""

    def __init__(self) -> None:
        self._blank: dict[int, bytes] = {}

    def prepare(self, length: int) -> bytes:
        """The frame of a payload of ``length`` bytes, laid out by scapy once."""
        found = self._blank.get(length)
        if found is None:
            packet = Ether() / IP(src="0.0.0.0", dst="0.0.0.0", ttl=64) / UDP(chksum=0)
            packet[Ether].src = packet[Ether].dst = "00:00:00:00:00:00"
            found = self._blank[length] = bytes(packet / Raw(bytes(length)))
        return found

    def packet(self, place: Place, payload: bytes) -> bytes:
        """A whole frame with right checksums."""
        frame = bytearray(self.prepare(len(payload)))
        frame[:6], frame[6:12] = place.target_mac, place.source_mac
        _ADDRESSES.pack_into(frame, 26, place.source, place.target)
        _PORTS.pack_into(frame, 34, place.source_port, place.target_port)
        frame[HEAD:] = payload
        return repaired(frame)

    def changed(self, frame: bytes, source_mac: bytes, payload: bytes | None) -> bytes:
        """A frame that passed, under another hardware address, perhaps with another payload."""
        if payload is None:
            return frame[:6] + source_mac + frame[12:]
        made = bytearray(frame[:6] + source_mac + frame[12:HEAD] + payload)
        _SHORT.pack_into(made, 16, len(made) - 14)
        _SHORT.pack_into(made, 38, len(made) - 34)
        return repaired(made)

    def announcement(self, own: bytes, address: str, target_mac: bytes, target: str) -> bytes:
        """An ARP answer (RFC 826): ``address`` is at the hardware address ``own``."""
        own_text, there = own.hex(":"), target_mac.hex(":")
        answer = ARP(op=2, hwsrc=own_text, psrc=address, hwdst=there, pdst=target)
        return bytes(Ether(src=own_text, dst=there) / answer)


def repaired(frame: bytearray) -> bytes:
    """The frame with the checksums of IPv4 and UDP (RFC 791, RFC 768) set right."""
    frame[24:26] = frame[40:42] = b"\0\0"
    _SHORT.pack_into(frame, 24, checksum(bytes(frame[14:34])))
    length = len(frame) - 34
    pseudo = _PSEUDO.pack(bytes(frame[26:34]), _UDP, length)
    _SHORT.pack_into(frame, 40, checksum(pseudo + bytes(frame[34:])) or 0xFFFF)
    return bytes(frame)
