"""Small pairs of captures whose truth is known; loaded by path."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from bench.devices.ports import Message
from bench.devices.registry import find_device
from bench.devices.wire import encode

_FILE = Path(__file__).parents[1] / "captures" / "kit.py"
_spec = importlib.util.spec_from_file_location("captures_kit", _FILE)
assert _spec is not None
assert _spec.loader is not None
frames = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(frames)

MS = 1_000_000
PATIENT, DOCTOR = "10.0.0.1", "10.0.0.2"
DEVICE = find_device("telesurgery-robot")
Rows = list[tuple[int, bytes]]


def plain(n: int) -> bytes:
    return n.to_bytes(4, "big") + bytes(96)


def rtp(n: int) -> bytes:
    return frames.rtp(65_400 + n, bytes(80))  # its numbers turn over on the way


def wire(stream: str) -> Callable[[int], bytes]:
    found = DEVICE.stream(stream)
    return lambda n: encode(Message(found.code, 5000 + n, n), found.payload_bytes)


def stream(
    count: int = 400, *, period_ns: int = 20 * MS, delay_ns: Any = 5 * MS,
    lost: Collection[int] = (), to_doctor: bool = True, ports: tuple[int, int] = (1000, 2000),
    payload: Callable[[int], bytes] = plain, start_ns: int = 0, first: int = 0,
    hosts: tuple[str, str] = (PATIENT, DOCTOR),
) -> tuple[Rows, Rows]:  # fmt: skip
    """Rows at the left tap (patient) and at the right one."""
    ends = hosts if to_doctor else hosts[::-1]
    sent, got = [], []
    for n in range(count):
        body = frames.udp(payload(first + n), ports)
        frame = frames.ethernet(frames.ipv4(body, ends, ident=(first + n) & 0xFFFF))
        at = frames.START_NS + start_ns + n * period_ns
        sent.append((at, frame))
        if n not in lost:
            got.append((at + (delay_ns(n) if callable(delay_ns) else delay_ns), frame))
    return (sent, got) if to_doctor else (got, sent)


def save(folder: Path, *streams: tuple[Rows, Rows], write: Any = None) -> tuple[Path, Path]:
    """Both captures, every tap's packets in order of time."""
    paths = folder / "patient.pcap", folder / "doctor.pcap"
    for side, path in enumerate(paths):
        rows = sorted((row for each in streams for row in each[side]), key=lambda row: row[0])
        frames.save(path, (write or frames.pcap)(rows))
    return paths


def back(count: int = 400, **options: Any) -> tuple[Rows, Rows]:
    """Healthy traffic the other way, so that the clocks can be compared."""
    options = {"delay_ns": 4 * MS, "ports": (2000, 1000), "start_ns": 1 * MS, **options}
    return stream(count, to_doctor=False, **options)
