"""A capture as columns, with its flows: one direction of one 5-tuple each."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Ints
from bench.captures.headers import PAYLOAD_BYTES, TCP, UDP, Columns, Hashes, columns
from bench.captures.reader import CaptureReader
from bench.captures.recognise import recognise
from bench.captures.rules import StreamRule
from bench.errors import InputError

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
    flows, parts, seen, snap_cut = _Flows(), [], 0, 0
    least = PAYLOAD_BYTES
    for buffer, records in reader:
        part = columns(buffer, records, payload_bytes, addresses=addresses)
        if len(part):
            least = min(least, int(part.cut.min()))
            snap_cut += int(part.short.sum())
            service = part.ends[:, 4] >> np.uint64(16) & np.uint64(0xFF0000)
            service |= part.ends[:, 4] & np.uint64(0xFFFF)
            rule, number = recognise(buffer, rules, service, part.body, part.count)
            some = len(part) if rules else 0
            parts.append(
                (flows.number(part), part.t_ns, part.key, part.ip_id, part.head, part.tag,
                 part.size, rule[:some], number[:some])
            )  # fmt: skip
        seen += len(records)
    if not parts:
        raise InputError(
            "holds no packets" if not seen else f"holds no IP packet among its {seen}",
            remedy="capture on the interface that carries the traffic",
            file=path,
        )
    flow, t_ns, key, ip_id, head, tag, size, rule, number = (
        np.concatenate(each)
        for each in zip(*parts)  # noqa: B905
    )
    return Capture(
        path, tuple(flows.names), np.array(flows.ids, dtype=np.uint64),
        flow, t_ns, key, ip_id, head, tag, size, rule, number,
        others=seen - len(t_ns), truncated=reader.truncated, dropped=reader.dropped,
        without_time=reader.without_time, resolution_s=reader.resolution_s, least_payload=least,
        snap_cut=snap_cut, fragments=flows.fragments,
    )  # fmt: skip


class _Flows:
    """Numbers the flows in the order in which they appear."""

    def __init__(self) -> None:
        self.names: list[FlowName] = []
        self.ids: list[int] = []
        self._known: dict[int, int] = {}
        self.fragments = 0

    def number(self, part: Columns) -> NDArray[np.int32]:
        """The number of each packet's flow."""
        self.fragments += int(part.later.sum())
        found, first, place = np.unique(part.flow, return_index=True, return_inverse=True)
        numbers = np.empty(len(found), dtype=np.int32)
        for index, (key, row) in enumerate(zip(found.tolist(), first.tolist(), strict=True)):
            if key not in self._known:
                self._known[key] = len(self.names)
                self.ids.append(key)
                self.names.append(_name(part.ends[row]))
            numbers[index] = self._known[key]
        return numbers[place]


def _name(ends: Hashes) -> FlowName:
    source_high, source, target_high, target, rest = (int(value) for value in ends)
    version, protocol = rest >> 40, rest >> 32 & 0xFF
    hosts = [
        str(ipaddress.IPv4Address(low) if version == 4 else ipaddress.IPv6Address(high << 64 | low))
        for high, low in ((source_high, source), (target_high, target))
    ]
    name = _PROTOCOLS.get(protocol, f"protocol {protocol}")
    return FlowName(name, hosts[0], rest >> 16 & 0xFFFF, hosts[1], rest & 0xFFFF)
