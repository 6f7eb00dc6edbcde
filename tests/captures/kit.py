"""Writes capture files byte by byte, as the formats' documents say; knows nothing of the reader."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

START_NS = 1_700_000_000_000_000_000


def udp(payload: bytes, ports: tuple[int, int] = (1000, 2000)) -> bytes:
    return struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload


def tcp(payload: bytes, ports: tuple[int, int] = (1000, 2000), sequence: int = 1) -> bytes:
    return struct.pack(">HHIIHHHH", *ports, sequence, 7, 0x5018, 100, 0, 0) + payload


def rtp(sequence: int, payload: bytes, ssrc: int = 99) -> bytes:
    return struct.pack(">BBHII", 0x80, 96, sequence & 0xFFFF, sequence * 160, ssrc) + payload


def ipv4(
    body: bytes, ends: tuple[str, str] = ("10.0.0.1", "10.0.0.2"), *, protocol: int = 17,
    ident: int = 0, ttl: int = 64, options: bytes = b"", part: int = 0, tos: int = 0,
) -> bytes:  # fmt: skip
    source, target = (ipaddress.IPv4Address(end).packed for end in ends)
    header = 0x45 + len(options) // 4
    total = 20 + len(options) + len(body)
    head = struct.pack(">BBHHHBBH", header, tos, total, ident, part, ttl, protocol, ttl * 7)
    return head + source + target + options + body


def ipv6(
    body: bytes, ends: tuple[str, str] = ("fd00::1", "fd00::2"), *, protocol: int = 17,
    extensions: Sequence[tuple[int, bytes]] = (), hops: int = 64,
) -> bytes:  # fmt: skip
    """``extensions``: (next header number, bytes from the third byte on), each 8 bytes or more."""
    kinds = [kind for kind, _ in extensions] + [protocol]
    chain = b""
    for (kind, rest), following in zip(extensions, kinds[1:], strict=True):
        size = 5 if kind == 44 else (2 + len(rest)) // 8 - 1
        chain += bytes([following, size]) + rest
    source, target = (ipaddress.IPv6Address(end).packed for end in ends)
    head = struct.pack(">IHBB", 6 << 28, len(chain) + len(body), kinds[0], hops)
    return head + source + target + chain + body


def ethernet(packet: bytes, tags: Sequence[tuple[int, int]] = ()) -> bytes:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    shown = b"".join(struct.pack(">HH", *tag) for tag in tags)
    frame = bytes(6) + b"\x02" * 6 + shown + struct.pack(">H", kind) + packet
    return frame + bytes(max(0, 60 - len(frame)))  # padding of short frames


def cooked(packet: bytes) -> bytes:
    return (
        struct.pack(">HHH8sH", 0, 1, 6, bytes(8), 0x0800 if packet[0] >> 4 == 4 else 0x86DD)
        + packet
    )


def cooked2(packet: bytes) -> bytes:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    return struct.pack(">HHIHBB8s", kind, 0, 3, 1, 0, 6, bytes(8)) + packet


Frames = Iterable[tuple[int, bytes]]


def pcap(
    frames: Frames, *, order: str = "<", nanoseconds: bool = True, link: int = 1, snap: int = 262144
) -> bytes:
    """A pcap file; times in ns since 1970."""
    magic, step = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for t_ns, frame in frames:
        seconds, rest = divmod(t_ns, 1_000_000_000)
        kept = frame[:snap]
        parts.append(struct.pack(order + "IIII", seconds, rest // step, len(kept), len(frame)))
        parts.append(kept)
    return b"".join(parts)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(
    order: str = "<", link: int = 1, resolution: int | None = None, offset_s: int | None = None
) -> bytes:
    options = b"" if resolution is None else option(9, bytes([resolution]), order)
    if offset_s is not None:
        options += option(14, struct.pack(order + "q", offset_s), order)
    end = struct.pack(order + "HH", 0, 0) if options else b""
    return block(1, struct.pack(order + "HHI", link, 0, 0) + options + end, order)


def enhanced(
    number: int, stamp: int, frame: bytes, order: str = "<", comment: str = "", snap: int = 1 << 20
) -> bytes:
    kept = frame[:snap]
    body = struct.pack(
        order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(kept), len(frame)
    )
    body += kept + bytes(-len(kept) % 4)
    if comment:
        body += option(1, comment.encode(), order) + bytes(4)
    return block(6, body, order)


def statistics(number: int, missed: int, order: str = "<") -> bytes:
    options = option(5, struct.pack(order + "Q", missed), order) + bytes(4)
    return block(5, struct.pack(order + "III", number, 0, 0) + options, order)


def pcapng(frames: Frames, *, order: str = "<") -> bytes:
    """One interface with stamps in ns."""
    parts = [section(order), interface(order, resolution=9)]
    parts += [enhanced(0, t_ns, frame, order) for t_ns, frame in frames]
    return b"".join(parts)


def numbered(count: int, *, size: int = 100, ends: tuple[str, str] = ("10.0.0.1", "10.0.0.2"),
             ports: tuple[int, int] = (1000, 2000), ttl: int = 64) -> list[bytes]:  # fmt: skip
    """UDP packets whose payload starts with their number."""
    return [
        ethernet(ipv4(udp(struct.pack(">I", n) + bytes(size - 4), ports), ends, ttl=ttl))
        for n in range(count)
    ]


def save(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def patched_pcap(frames: Frames, order: str = "<") -> bytes:
    """As libpcap with Kuznetzov's patches writes it: interface and type of each packet."""
    parts = [struct.pack(order + "IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 262144, 1)]
    for t_ns, frame in frames:
        seconds, rest = divmod(t_ns, 1_000_000_000)
        size = len(frame)
        parts.append(struct.pack(order + "IIIIIHBB", seconds, rest // 1000, size, size, 2, 8, 0, 0))
        parts.append(frame)
    return b"".join(parts)
