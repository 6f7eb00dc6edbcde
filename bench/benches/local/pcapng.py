"""Writing capture files that any pcapng tool reads, many packets at a time.

Blocks after the pcapng specification (IETF draft-ietf-opsawg-pcapng): section header, one
interface description per interface with nanosecond resolution, enhanced packet blocks with the
direction in ``epb_flags``. Little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SNAP_BYTES = 128
"""How much of a packet a capture keeps: every header, and the device's own."""

INBOUND, OUTBOUND = 1, 2

_LINKTYPE_ETHERNET = 1
_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_EPB_HEAD = 28
_EPB_TAIL = 16


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + total + body + total


def file_header(interfaces: Sequence[str], comment: str) -> bytes:
    """The first blocks of a file: the section and its interfaces, numbered from 0."""
    end = bytes(4)
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    options = _option(1, comment.encode()) + _option(4, b"telemed-bench") + end
    blocks = [_block(_SECTION, section + options)]
    for name in interfaces:
        body = struct.pack("<HHI", _LINKTYPE_ETHERNET, 0, SNAP_BYTES)
        options = _option(2, name.encode()) + _option(9, b"\x09") + end
        blocks.append(_block(_INTERFACE, body + options))
    return b"".join(blocks)


def packet_blocks(
    interface: NDArray[np.int64],
    stamps_ns: NDArray[np.int64],
    lengths: NDArray[np.int64],
    flags: NDArray[np.int64],
    data: NDArray[np.uint8],
) -> bytes:
    """Enhanced packet blocks, one per packet, in the order given.

    Args:
        interface: numbers of the interfaces, shape ``(n,)``.
        stamps_ns: ns since 1970, shape ``(n,)``.
        lengths: bytes of the packet on the wire, shape ``(n,)``.
        flags: :data:`INBOUND` or :data:`OUTBOUND`, shape ``(n,)``.
        data: the packets' first bytes, shape ``(n, k)``, k >= ``SNAP_BYTES`` or the longest.
    """
    captured = np.minimum(lengths, SNAP_BYTES)
    totals = _EPB_HEAD + captured + (-captured % 4) + _EPB_TAIL
    ends = np.cumsum(totals)
    out = np.empty(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    starts = ends - totals
    for size in np.unique(captured).tolist():
        chosen = np.flatnonzero(captured == size)
        padded = size + (-size % 4)
        total = _EPB_HEAD + padded + _EPB_TAIL
        block = np.zeros((len(chosen), total), dtype=np.uint8)
        head = np.empty((len(chosen), 7), dtype="<u4")
        head[:, 0], head[:, 1], head[:, 2] = _PACKET, total, interface[chosen]
        head[:, 3] = stamps_ns[chosen] >> 32
        head[:, 4] = stamps_ns[chosen] & 0xFFFFFFFF
        head[:, 5], head[:, 6] = size, lengths[chosen]
        block[:, :_EPB_HEAD] = head.view(np.uint8)
        block[:, _EPB_HEAD : _EPB_HEAD + size] = data[chosen, :size]
        tail = np.zeros((len(chosen), 4), dtype="<u4")
        tail[:, 0] = 2 | 4 << 16
        tail[:, 1], tail[:, 3] = flags[chosen], total
        block[:, -_EPB_TAIL:] = tail.view(np.uint8)
        out[starts[chosen][:, None] + np.arange(total)] = block
    return out.tobytes()
