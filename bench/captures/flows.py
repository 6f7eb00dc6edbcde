"""A capture as columns, with its flows: one direction of one 5-tuple each."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Bytes, Ints
from bench.captures.headers import PAYLOAD_BYTES, Columns, columns
from bench.captures.network import TCP, UDP, Hashes
from bench.captures.reader import CaptureReader
from bench.captures.recognise import recognise
from bench.captures.rules import StreamRule
from bench.captures.walking import Mask
from bench.errors import InputError
from bench.units import show_duration

BATCH = 1 << 14
"""Packets taken at once: their columns fit into a processor's cache."""

_SLOTS = 1 << 14

_MOST_BACK_NS = 100_000_000
"""Packets of several interfaces or processors may be out of order in a file by less than this."""

_REASSEMBLY_NS = 60_000_000_000
"""Fragments belong to a datagram no longer than this (RFC 8200, 4.5); then numbers come again."""

_PROTOCOLS = {TCP: "TCP", UDP: "UDP"}


@dataclass(frozen=True, slots=True)
class FlowName:
    """One direction of a 5-tuple."""

    protocol: str
    source: str
    source_port: int
    destination: str
    destination_port: int

    def __str__(self) -> str:
        ends = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in (
                (self.source, self.source_port),
                (self.destination, self.destination_port),
            )
        ]
        return f"{self.protocol} {ends[0]} > {ends[1]}"

    @property
    def reverse(self) -> FlowName:
        """The other direction."""
        return FlowName(
            self.protocol,
            self.destination,
            self.destination_port,
            self.source,
            self.source_port,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """The IP packets of one tap, in the order of the file; arrays of shape ``(n,)``.

    ``flow``: index into ``names`` and ``ids``. The other columns are those of
    :class:`bench.captures.headers.Columns`. ``rule``: index into the rules given, -1 where none
    fits, and ``number``: what the application numbered the packet; both of shape ``(0,)`` when no
    rules were given. ``others``: packets that are no IP, or cut inside their headers.
    ``least_payload``: the fewest payload bytes that a cut packet kept. ``snap_cut``: packets whose
    payload is not there whole. ``fragments``: IP fragments whose first fragment was not seen, so
    that their ports are not known.
    """

    path: Path
    names: tuple[FlowName, ...]
    ids: Hashes
    flow: NDArray[np.int32]
    t_ns: Ints
    key: Hashes
    ip_id: NDArray[np.uint16]
    head: Hashes
    tag: NDArray[np.uint32]
    size: NDArray[np.uint32]
    rule: NDArray[np.int16]
    number: Hashes
    others: int
    truncated: bool
    dropped: int
    without_time: int
    resolution_s: float
    least_payload: int
    snap_cut: int
    fragments: int

    def __len__(self) -> int:
        return len(self.t_ns)


def read_capture(
    path: Path,
    payload_bytes: int = PAYLOAD_BYTES,
    *,
    rules: Sequence[StreamRule] = (),
    addresses: bool = True,
) -> Capture:
    """Read a capture file whole into columns (about 40 bytes per packet).

    Args:
        path: pcap or pcapng.
        payload_bytes: payload bytes that tell packets apart; the same for both captures.
        rules: how a device's streams are recognised.
        addresses: whether addresses and ports tell packets apart; not where the path changes them.

    Raises:
        InputError: no such file, empty, not a capture, damaged, or without an IP packet.
    """
    reader = CaptureReader(path)
    flows, stored, seen, snap_cut = _Flows(), _Stored(), 0, 0
    least = PAYLOAD_BYTES
    for buffer, whole in reader:
        likely = int((seen + len(whole)) * (1 + reader.share_left))
        for records in whole.batches(BATCH):
            part = columns(buffer, records, payload_bytes, addresses=addresses)
            seen += len(records)
            if not len(part):
                continue
            least = min(least, int(part.cut.min()))
            snap_cut += int(part.short.sum())
            rule, number = _recognised(buffer, part, rules)
            t_ns = records.t_ns[part.row]
            stored.add(
                flows.number(buffer, part, t_ns), t_ns, part.key, part.ip_id, part.head, part.tag,
                part.size, rule, number, likely=likely,
            )  # fmt: skip
    if not flows.names:
        raise InputError(
            "holds no packets" if not seen else f"holds no IP packet among its {seen}",
            remedy="capture on the interface that carries the traffic",
            file=path,
        )
    flow, t_ns, key, ip_id, head, tag, size, rule, number = stored.columns
    fragments = flows.gather_fragments(flow)
    return Capture(
        path, tuple(flows.names), np.array(flows.ids, dtype=np.uint64),
        flow, t_ns, key, ip_id, head, tag, size, rule, number,
        others=seen - len(t_ns), truncated=reader.truncated, dropped=reader.dropped,
        without_time=reader.without_time, resolution_s=reader.resolution_s, least_payload=least,
        snap_cut=snap_cut, fragments=fragments,
    )  # fmt: skip


def check_clock(capture: Capture) -> None:
    """Refuse a capture during which the clock was set.

    Raises:
        InputError: time goes back by more than several interfaces or processors explain.
    """
    back = capture.t_ns[1:] - capture.t_ns[:-1]
    if not len(back) or int(back.min()) > -_MOST_BACK_NS:
        return
    at = int(back.argmin())
    raise InputError(
        f"time goes back by {show_duration(-int(back[at]) / 1e9)} after packet {at + 1}: the clock "
        "was set while capturing, or the packets are not in order",
        remedy="capture again with a clock that is only slewed, or sort the file by time",
        file=capture.path,
    )


class _Stored:
    """Columns that grow. Memory that was asked for but not written to takes no room."""

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []
        self._counts: list[int] = []

    def add(self, *parts: NDArray[Any], likely: int) -> None:
        """Append to each column. ``likely``: how long they will be, about."""
        if not self._arrays:
            self._arrays = [np.empty(0, dtype=part.dtype) for part in parts]
            self._counts = [0] * len(parts)
        for which, part in enumerate(parts):
            array, start = self._arrays[which], self._counts[which]
            end = start + len(part)
            if end > len(array):
                longer = np.empty(max(end + end // 4, likely + likely // 16), dtype=array.dtype)
                longer[:start] = array[:start]
                self._arrays[which] = array = longer
            array[start:end] = part
            self._counts[which] = end

    @property
    def columns(self) -> list[NDArray[Any]]:
        """What was added."""
        return [array[:count] for array, count in zip(self._arrays, self._counts, strict=True)]


def _recognised(
    buffer: Bytes, part: Columns, rules: Sequence[StreamRule]
) -> tuple[NDArray[np.int16], Hashes]:
    if not rules:
        return np.zeros(0, dtype=np.int16), np.zeros(0, dtype=np.uint64)
    service = part.protocol.astype(np.uint64) << np.uint64(16)
    service |= part.ports.astype(np.uint64) & np.uint64(0xFFFF)
    return recognise(buffer, rules, service, part.body, part.count, part.head)


class _Flows:
    """Numbers the flows in the order in which they appear."""

    def __init__(self) -> None:
        self.names: list[FlowName] = []
        self.ids: list[int] = []
        self._known: dict[int, int] = {}
        self._seen = 0
        self._fragments: list[tuple[Ints, Ints, Hashes, Mask]] = []
        # flows by the last bits of their hash: what was met there last
        self._slots = np.zeros(_SLOTS, dtype=np.uint64)
        self._numbers = np.zeros(_SLOTS, dtype=np.int32)

    def number(self, buffer: Bytes, part: Columns, t_ns: Ints) -> NDArray[np.int32]:
        """The number of each packet's flow."""
        rows = np.flatnonzero(part.datagram)
        if len(rows):
            there = rows + self._seen
            self._fragments.append((there, t_ns[rows], part.datagram[rows], part.later[rows]))
        self._seen += len(part)
        slot = (part.flow & np.uint64(_SLOTS - 1)).astype(np.int64)
        numbers = self._numbers[slot]
        missed = np.flatnonzero(self._slots[slot] != part.flow)
        if len(missed):
            numbers[missed] = self._look_up(buffer, part, missed)
            self._slots[slot[missed]] = part.flow[missed]
            self._numbers[slot[missed]] = numbers[missed]
        return numbers

    def _look_up(self, buffer: Bytes, part: Columns, rows: Ints) -> NDArray[np.int32]:
        found, first, place = np.unique(part.flow[rows], return_index=True, return_inverse=True)
        numbers = np.empty(len(found), dtype=np.int32)
        for index, (key, at) in enumerate(zip(found.tolist(), first.tolist(), strict=True)):
            if key not in self._known:
                self._known[key] = len(self.names)
                self.ids.append(key)
                self.names.append(_name(buffer, part, int(rows[at])))
            numbers[index] = self._known[key]
        return numbers[place]

    def gather_fragments(self, flow: NDArray[np.int32]) -> int:
        """Give later fragments the flow of their first one; how many have none.

        Flows that have no packets left are taken out. ``flow`` is changed.
        """
        if not self._fragments:
            return 0
        rows, t_ns, datagram, later = (np.concatenate(each) for each in zip(*self._fragments))  # noqa: B905
        order = np.lexsort((t_ns, datagram))
        rows, t_ns, datagram, later = (each[order] for each in (rows, t_ns, datagram, later))
        place, count = np.arange(len(rows)), len(rows)
        before = np.maximum.accumulate(np.where(later, 0, place))
        behind = np.minimum.accumulate(np.where(later, count - 1, place)[::-1])[::-1]
        apart = []
        for first in (before, behind):
            known = ~later[first] & (datagram[first] == datagram)
            apart.append(np.where(known, np.abs(t_ns[first] - t_ns), _REASSEMBLY_NS + 1))
        nearest = np.where(apart[0] <= apart[1], before, behind)
        found = later & (np.minimum(*apart) <= _REASSEMBLY_NS)
        flow[rows[found]] = flow[rows[nearest[found]]]
        self._drop_empty(flow)
        return int(np.count_nonzero(later & ~found))

    def _drop_empty(self, flow: NDArray[np.int32]) -> None:
        some = np.bincount(flow, minlength=len(self.names)) > 0
        flow[:] = (np.cumsum(some) - 1)[flow]
        self.names = [name for name, kept in zip(self.names, some, strict=True) if kept]
        self.ids = [key for key, kept in zip(self.ids, some, strict=True) if kept]


def _name(buffer: Bytes, part: Columns, row: int) -> FlowName:
    at, protocol, ports = int(part.start[row]), int(part.protocol[row]), int(part.ports[row])
    if buffer[at] >> 4 == 4:
        hosts = [str(ipaddress.IPv4Address(bytes(buffer[at + n : at + n + 4]))) for n in (12, 16)]
    else:
        hosts = [str(ipaddress.IPv6Address(bytes(buffer[at + n : at + n + 16]))) for n in (8, 24)]
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    return FlowName(name, hosts[0], ports >> 16, hosts[1], ports & 0xFFFF)
