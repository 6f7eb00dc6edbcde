"""The tap process: everything that passes the devices' interfaces, as rows and capture files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.benches.local.channel import Sender
from bench.benches.local.layout import ATTACKERS
from bench.benches.local.pcapng import INBOUND, OUTBOUND, SNAP_BYTES, packet_blocks
from bench.benches.local.ring import Frames, PacketRing
from bench.captures.blocks import Records
from bench.captures.headers import Columns, columns
from bench.captures.reader import SLACK
from bench.captures.recognise import NO_RULE, recognise
from bench.captures.rules import StreamRule
from bench.devices.carriages import PLAIN
from bench.devices.profile import DeviceProfile
from bench.devices.rules import overhead_rules, rules_of, wire_rule
from bench.sessions.packets import ROW, TAPS

_READINGS, _MOST_READINGS, _TIGHT_NS = 5, 50, 100_000
_LOOK_NS = 25_000_000
_SEND_NS = 100_000_000
_AFTER_END_NS = 30_000_000

_ETHERNET = 1
_TO = 19
"""Last byte of an IPv4 packet's destination address."""


@dataclass(frozen=True, slots=True)
class TapPoint:
    """One interface that is watched.

    ``capture``: descriptor of its capture file, or ``None``; ``interface``: its number in that
    file; ``tap`` and ``link``: as in a row. ``nic``: a physical interface at which the bench itself
    stands: what it receives comes from its side, and what it sends goes there.
    """

    ring: PacketRing
    tap: int
    link: int
    interface: int
    capture: int | None
    nic: bool = False


class Look(NamedTuple):
    """What one look into one ring gave; ``epoch_ns``: the session's start on the stamps' clock.

    ``nic``: as of the tap point.
    """

    frames: Frames
    tap: int
    link: int
    epoch_ns: int
    nic: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """How the device's packets are recognised: its rules, and the stream code of each.

    ``overhead``: rules for what the carriages need besides (acknowledgements, handshakes).
    """

    rules: tuple[StreamRule, ...]
    codes: NDArray[np.uint8]
    overhead: tuple[StreamRule, ...] = ()

    @classmethod
    def of(cls, streams: Iterable[tuple[str, int, int] | tuple[str, int, int, str]]) -> Streams:
        """Those of simulated devices, from name, UDP or TCP port, code and carriage of each."""
        known = [(*each, PLAIN)[:4] for each in streams]
        return cls(
            tuple(wire_rule(*each) for each in known),
            np.array([code for _, _, code, _ in known], dtype=np.uint8),
            tuple(
                rule
                for name, port, _, carriage in known
                for rule in overhead_rules(name, port, carriage)
            ),
        )

    @classmethod
    def declared(cls, device: DeviceProfile) -> Streams:
        """Those of a real device, from what its profile says of their packets on the wire."""
        codes = np.array([stream.code for stream in device.streams], dtype=np.uint8)
        return cls(rules_of(device), codes)


class Seen(NamedTuple):
    """The device's packets as rows (dtype ``ROW``), and how many others there were.

    ``foreign``: none of the device's. ``overhead``: of its carriages, but no packet of a stream.
    """

    rows: NDArray[np.void]
    foreign: int
    overhead: int


def rows_of(looks: Sequence[Look], streams: Streams) -> Seen:
    """The device's packets as rows, read like those of any capture.

    Attackers' packets are on the tap ``third-party``, those that they altered there as well.

    Args:
        looks: what the rings gave.
        streams: how the device's packets are recognised.
    """
    counts = [len(look.frames.stamps_ns) for look in looks]
    if not sum(counts):
        return Seen(np.zeros(0, dtype=ROW), 0, 0)
    buffer = np.zeros(sum(counts) * SNAP_BYTES + SLACK, dtype=np.uint8)
    kept = buffer[:-SLACK].reshape(-1, SNAP_BYTES)
    np.concatenate([look.frames.data[:, :SNAP_BYTES] for look in looks], out=kept)
    length = np.concatenate([look.frames.lengths for look in looks])
    t_ns = np.concatenate([look.frames.stamps_ns - look.epoch_ns for look in looks])
    at = np.arange(len(length), dtype=np.int64) * SNAP_BYTES
    link = np.full(len(length), _ETHERNET)
    records = Records(at, np.minimum(length, SNAP_BYTES), length, link, t_ns)
    part = columns(buffer, records, payload_bytes=0)
    service = _service(part, part.ports)
    rule, number = recognise(buffer, streams.rules, service, part.body, part.count, part.head)
    known = np.flatnonzero(rule != NO_RULE)
    place = part.row[known]
    rows = np.zeros(len(known), dtype=ROW)
    rows["t_ns"] = t_ns[place]
    rows["tap"] = np.repeat([look.tap for look in looks], counts)[place]
    rows["link"] = np.repeat([look.link for look in looks], counts)[place]
    # The patient side is address 1 of every link, the doctor side 2.
    rows["direction"] = buffer[part.start[known] + _TO] != 1
    nic = np.repeat([look.nic for look in looks], counts)[place]
    if nic.any():
        outgoing = np.concatenate([look.frames.outgoing for look in looks])[place]
        to_doctor = (rows["tap"] == TAPS.index("patient")) != outgoing
        rows["direction"] = np.where(nic, to_doctor, rows["direction"])
    rows["stream"] = streams.codes[rule[known]]
    rows["seq"] = number[known]
    rows["size"] = part.size[known]
    overhead = _overhead(buffer, part, rule == NO_RULE, streams.overhead)
    foreign = len(length) - len(rows) - overhead
    return Seen(_third_party(rows, kept[place, :12]), foreign, overhead)


def _third_party(rows: NDArray[np.void], macs: NDArray[np.uint8]) -> NDArray[np.void]:
    """Tell attackers' packets from the device's own.

    What leaves a side for a further client is no row here: it is one where it arrives.

    Args:
        rows: as they were captured, shape ``(n,)``.
        macs: target and source hardware address of each, shape ``(n, 12)``.
    """
    known = np.frombuffer(ATTACKERS, dtype=np.uint8)
    leaving = (macs[:, : len(known)] == known).all(axis=1)
    touched = (macs[:, 6 : 6 + len(known)] == known).all(axis=1) & ~leaving
    if not leaving.any() and not touched.any():
        return rows
    own = macs[:, 11] == 1
    others = rows[touched]
    others["tap"] = TAPS.index("third-party")
    return np.concatenate([rows[~leaving & ~(touched & own)], others])


def _service(part: Columns, ports: NDArray[np.uint32]) -> NDArray[np.uint64]:
    found = part.protocol.astype(np.uint64) << np.uint64(16)
    found |= ports.astype(np.uint64) & np.uint64(0xFFFF)
    return found


def _overhead(
    buffer: NDArray[np.uint8], part: Columns, left: NDArray[np.bool_], rules: Sequence[StreamRule]
) -> int:
    """How many of the packets that are ``left`` the carriages need, to or from a stream's port."""
    if not rules:
        return 0
    found = np.zeros(len(left), dtype=bool)
    for ports in (part.ports, part.ports >> np.uint32(16)):
        service = _service(part, ports)
        rule, _ = recognise(buffer, rules, service, part.body, part.count, part.head)
        found |= rule != NO_RULE
    return int(np.count_nonzero(found & left))


def clock_offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC now: the tightest of five readings.

    Of more, where none of them was tight: what lies between two readings would be taken for a step.
    """
    best, offset = 1 << 62, 0
    for number in range(_MOST_READINGS):
        if number >= _READINGS and best <= _TIGHT_NS:
            break
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
        streams: how the device's packets are recognised.
        out: where rows go: messages ``{"rows": n}`` with the rows behind them.
        t0_ns: the session's start, CLOCK_MONOTONIC.
    """

    def __init__(
        self, points: Sequence[TapPoint], streams: Streams, out: Sender, t0_ns: int
    ) -> None:
        self._points = points
        self._streams = streams
        self._out = out
        self._t0_ns = t0_ns
        self._looks: list[Look] = []
        self._foreign = self._overhead = 0
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
                    "overhead": self._overhead,
                    "clock_step_ns": max(0, high - low),
                    "cpu_ns": time.process_time_ns(),
                }
            }
        )

    def _look(self) -> None:
        offset = clock_offset_ns()
        self._offsets = (min(self._offsets[0], offset), max(self._offsets[1], offset))
        kept: dict[int, list[tuple[int, Frames]]] = {}
        for point in self._points:
            while (frames := point.ring.take()) is not None:
                self._packets += len(frames.stamps_ns)
                epoch = offset + self._t0_ns
                self._looks.append(Look(frames, point.tap, point.link, epoch, point.nic))
                if point.capture is not None:
                    kept.setdefault(point.capture, []).append((point.interface, frames))
        for fd, taken in kept.items():
            _write(fd, _captured(taken))

    def _send(self) -> None:
        rows, foreign, overhead = rows_of(self._looks, self._streams)
        self._looks = []
        self._foreign += foreign
        self._overhead += overhead
        if not len(rows):
            return
        rows = rows[np.argsort(rows["t_ns"], kind="stable")]
        self._out.send({"rows": len(rows)}, rows.tobytes())


def _captured(taken: Sequence[tuple[int, Frames]]) -> bytes:
    """What one look gave of the interfaces of one file, in order of time."""
    stamps = np.concatenate([frames.stamps_ns for _, frames in taken])
    order = np.argsort(stamps, kind="stable")
    counts = [len(frames.stamps_ns) for _, frames in taken]
    outgoing = np.concatenate([frames.outgoing for _, frames in taken])[order]
    return packet_blocks(
        np.repeat([interface for interface, _ in taken], counts)[order],
        stamps[order],
        np.concatenate([frames.lengths for _, frames in taken])[order],
        np.where(outgoing, OUTBOUND, INBOUND).astype(np.int64),
        np.concatenate([frames.data[:, :SNAP_BYTES] for _, frames in taken])[order],
    )


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
