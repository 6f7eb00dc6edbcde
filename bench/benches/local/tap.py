"""The tap process: everything that passes the devices' interfaces, as rows and capture files."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.benches.local.channel import Sender
from bench.benches.local.pcapng import INBOUND, OUTBOUND, packet_blocks
from bench.benches.local.ring import Frames, PacketRing
from bench.devices.wire import HEADER, MAGIC, VERSION
from bench.sessions.packets import ROW

UNKNOWN = 255
"""Stream code of a port that no stream of the device uses."""

_LOOK_NS = 25_000_000
_SEND_NS = 100_000_000
_AFTER_END_NS = 30_000_000

# Offsets from the start of the Ethernet header: IPv4 without options, UDP, the device's header.
_ETHERTYPE, _VERSION_IHL, _PROTOCOL, _TO, _TO_PORT, _PAYLOAD = 12, 14, 23, 30, 36, 42
_LEAST = _PAYLOAD + HEADER.size


@dataclass(frozen=True, slots=True)
class TapPoint:
    """One interface that is watched.

    ``capture``: descriptor of its capture file, or ``None``; ``interface``: its number in that
    file; ``tap`` and ``link``: as in a row.
    """

    ring: PacketRing
    tap: int
    link: int
    interface: int
    capture: int | None


def stream_of_port(ports: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """A table from UDP port to stream code out of ``(port, code)`` pairs, shape ``(65536,)``."""
    table = np.full(65536, UNKNOWN, dtype=np.uint8)
    for port, code in ports:
        table[port] = code
    return table


def rows_of(
    frames: Frames, tap: int, link: int, codes: NDArray[np.uint8], epoch_ns: int
) -> tuple[NDArray[np.void], int]:
    """The device's packets among ``frames`` as rows.

    Args:
        frames: what a ring gave.
        tap: index of the tap.
        link: index of the link.
        codes: from :func:`stream_of_port`.
        epoch_ns: the session's start on the clock of the stamps.

    Returns:
        The rows (dtype ``ROW``), and how many packets were none of the device's.
    """
    data = frames.data
    words = data[:, : _LEAST + _LEAST % 2]
    port = words[:, _TO_PORT].astype(np.uint16) << 8 | words[:, _TO_PORT + 1]
    stream = codes[port]
    known = (
        (frames.lengths >= _LEAST)
        & (words[:, _ETHERTYPE] == 8)
        & (words[:, _ETHERTYPE + 1] == 0)
        & (words[:, _VERSION_IHL] == 0x45)
        & (words[:, _PROTOCOL] == 17)
        & (words[:, _PAYLOAD] == MAGIC[0])
        & (words[:, _PAYLOAD + 1] == MAGIC[1])
        & (words[:, _PAYLOAD + 2] == VERSION)
        & (words[:, _PAYLOAD + 3] == stream)
        & (stream != UNKNOWN)
    )
    chosen = words[known]
    rows = np.zeros(len(chosen), dtype=ROW)
    rows["t_ns"] = frames.stamps_ns[known] - epoch_ns
    rows["tap"], rows["link"] = tap, link
    # The patient side is address 1 of every link, the doctor side 2.
    rows["direction"] = chosen[:, _TO + 3] != 1
    rows["stream"] = stream[known]
    number = np.ascontiguousarray(chosen[:, _PAYLOAD + 4 : _PAYLOAD + 8])
    rows["seq"] = number.view(">u4")[:, 0]
    rows["size"] = frames.lengths[known]
    return rows, len(known) - len(chosen)


def clock_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC now: the tightest of five readings."""
    best, offset = 1 << 62, 0
    for _ in range(5):
        before = time.monotonic_ns()
        real = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best:
            best, offset = after - before, real - (before + after) // 2
    return offset


class Tap:
    """Empties the rings now and then; sends rows every 100 ms; writes the capture files.

    Args:
        points: the interfaces.
        codes: from :func:`stream_of_port`.
        out: where rows go: messages ``{"rows": n}`` with the rows behind them.
        t0_ns: the session's start, CLOCK_MONOTONIC.
    """

    def __init__(
        self, points: Sequence[TapPoint], codes: NDArray[np.uint8], out: Sender, t0_ns: int
    ) -> None:
        self._points = points
        self._codes = codes
        self._out = out
        self._t0_ns = t0_ns
        self._rows: list[NDArray[np.void]] = []
        self._foreign = 0
        self._packets = 0
        self._offsets = (1 << 62, -(1 << 62))

    def run(self, end_ns: int) -> None:
        """Watch until ``end_ns`` of session time and a little more, then say how it went.

        Raises:
            OSError: a capture file cannot be written, or a ring cannot be read.
        """
        last = self._t0_ns + end_ns + _AFTER_END_NS
        due = send_due = time.monotonic_ns()
        self._out.send({"ready": due})
        while due < last:
            due += _LOOK_NS
            now = time.monotonic_ns()
            if due > now:
                time.sleep((due - now) / 1e9)
            else:
                due = now
            self._look()
            if due >= send_due:
                self._send()
                send_due = due + _SEND_NS
        self._look()
        self._send()
        low, high = self._offsets
        self._out.send(
            {
                "done": {
                    "drops": sum(point.ring.count_drops() for point in self._points),
                    "packets": self._packets,
                    "foreign": self._foreign,
                    "clock_step_ns": max(0, high - low),
                    "cpu_ns": time.process_time_ns(),
                }
            }
        )

    def _look(self) -> None:
        offset = clock_offset_ns()
        self._offsets = (min(self._offsets[0], offset), max(self._offsets[1], offset))
        for point in self._points:
            while (frames := point.ring.take()) is not None:
                self._packets += len(frames.stamps_ns)
                epoch = offset + self._t0_ns
                rows, foreign = rows_of(frames, point.tap, point.link, self._codes, epoch)
                self._foreign += foreign
                if len(rows):
                    self._rows.append(rows)
                if point.capture is not None:
                    _write(point.capture, _captured(point, frames))

    def _send(self) -> None:
        if not self._rows:
            return
        rows = np.concatenate(self._rows)
        self._rows = []
        rows = rows[np.argsort(rows["t_ns"], kind="stable")]
        self._out.send({"rows": len(rows)}, rows.tobytes())


def _captured(point: TapPoint, frames: Frames) -> bytes:
    flags = np.where(frames.outgoing, OUTBOUND, INBOUND).astype(np.int64)
    return packet_blocks(point.interface, frames.stamps_ns, frames.lengths, flags, frames.data)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
