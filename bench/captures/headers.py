"""From captured bytes to columns: link, network and transport headers of many packets at once.

IEEE 802.3 with 802.1Q and 802.1ad tags, Linux cooked v1 and v2, BSD loopback, raw IP; IPv4 (RFC
791) with options, IPv6 (RFC 8200) with extension headers, fragments; UDP (RFC 768), TCP (RFC
9293), RTP (RFC 3550). Other protocols have no ports. What is no IP packet, or is cut before the
end of its headers, is left out and counted by the caller.

Nearly all packets are whole, of IPv4 without options, and carry UDP or TCP: those are read in a few
passes, all others by :mod:`bench.captures.network`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bench.captures.blocks import Bytes, Ints, Records, numbers, stretches
from bench.captures.network import TCP, UDP, Hashes, be, network, network_start
from bench.captures.walking import Mask

PAYLOAD_BYTES = 64
"""How many payload bytes at most tell one packet from another."""

ETHERNET_BYTES = 14

_ETHERNET = 1
_IPV4_AS_LIES = 0x0008

_MIX = [
    np.uint64(value)
    for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)
]

# per count of bytes, the words of a payload of which only these are there
_THERE = np.array(
    [[(1 << 8 * min(max(count - at, 0), 8)) - 1 for at in range(0, PAYLOAD_BYTES, 8)]
     for count in range(PAYLOAD_BYTES + 1)],
    dtype=np.uint64,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The IP packets of one piece of a capture; arrays of shape ``(n,)``.

    ``row``: place among the records. ``flow``: hash of protocol, addresses and ports, one per
    direction. ``key``: hash of what does not change on the path but for the IPv4 identification,
    which is ``ip_id`` (0 where there is none). ``head``: of UDP that could be RTP the first 8
    bytes of the payload, in network order; of TCP ``sequence << 32 | acknowledgement``; else 0.
    ``tag``: the SSRC of RTP, ``flags << 24 | payload bytes`` of TCP (at most 2**24 - 1 of them),
    else 0. ``size``: bytes as an Ethernet frame. ``cut``: payload bytes captured, where that is
    fewer than ``PAYLOAD_BYTES`` and than the packet has; else ``PAYLOAD_BYTES``. ``short``: the
    payload was not captured whole.

    ``start``, ``body``: where in the buffer the IP header and the payload start; ``count``: how
    many bytes of the payload are there. ``protocol``, ``ports``: as in the header, ``source << 16
    | destination``. ``datagram``: of IP fragments, what their datagram is known by (0 for whole
    packets), and ``later``: not the first fragment, so without ports.
    """

    row: Ints
    flow: Hashes
    key: Hashes
    ip_id: NDArray[np.uint16]
    head: Hashes
    tag: NDArray[np.uint32]
    size: NDArray[np.uint32]
    cut: NDArray[np.uint8]
    short: Mask
    start: Ints
    body: Ints
    count: Ints
    protocol: NDArray[np.uint8]
    ports: NDArray[np.uint32]
    datagram: Hashes
    later: Mask

    def __len__(self) -> int:
        return len(self.row)


def mixed(values: Hashes, more: Hashes | np.uint64) -> Hashes:
    """Hash values with more values mixed in (multiply and shift, after SplitMix64)."""
    found = (values ^ more) * _MIX[0]
    found ^= found >> np.uint64(32)
    found *= _MIX[1]
    found ^= found >> np.uint64(29)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Packets:
    """What network and transport headers say; as :class:`Columns`.

    ``ip_bytes``: of the packet. ``at``: transport header. ``part``: which fragment, else 0.
    """

    row: Ints
    flow: Hashes
    ip_bytes: Ints
    ip_id: NDArray[np.uint16]
    start: Ints
    at: Ints
    body: Ints
    protocol: NDArray[np.uint8]
    ports: NDArray[np.uint32]
    part: Ints
    datagram: Hashes
    later: Mask


def columns(
    buffer: Bytes,
    records: Records,
    payload_bytes: int = PAYLOAD_BYTES,
    *,
    addresses: bool = True,
    plain: bool = True,
) -> Columns:
    """The columns of the IP packets among ``records``.

    Args:
        buffer: with at least 128 bytes behind the last record's.
        records: where the packets lie.
        payload_bytes: payload bytes that go into the key, at most ``PAYLOAD_BYTES``.
        addresses: whether addresses and ports go into the key.
        plain: whether packets of the usual kind are read the quick way; the columns are the same.
    """
    end = records.at + records.captured
    start, places = records.at + ETHERNET_BYTES, np.arange(len(records))
    words = _words(buffer, start, 3, before=1)
    # bytes 12 and 13 of the frame
    kind = np.where(words[:, 0] >> np.uint64(48) == _IPV4_AS_LIES, 4, 0)
    kind[records.link != _ETHERNET] = 0
    quick = _is_plain(words[:, 1:], start, kind, end) if plain else np.zeros(len(start), dtype=bool)
    if bool(quick.all()):
        packets = _plain(buffer, words[:, 1:], start, places)
        return _columns(buffer, packets, end, payload_bytes, addresses)
    rows, others = places[quick], places[~quick]
    found = [_plain(buffer, words[rows, 1:], start[rows], rows)]
    end_, (start, kind) = end[others], network_start(buffer, records.select(others), end[others])
    words = _words(buffer, start, 3)
    quick = _is_plain(words, start, kind, end_) if plain else np.zeros(len(start), dtype=bool)
    found.append(_plain(buffer, words[quick], start[quick], others[quick]))
    left = ~quick
    found.append(_general(buffer, start[left], kind[left], end_[left], others[left]))
    packets = _merged(found)
    return _columns(buffer, packets, end[packets.row], payload_bytes, addresses)


def _words(buffer: Bytes, at: Ints, count: int, before: int = 0) -> Hashes:
    """``count`` little-endian words from each place, and some before it; shape ``(n, ...)``."""
    found: Hashes = stretches(buffer, at - 8 * before, 8 * (before + count)).view("<u8")
    return found


def _is_plain(words: Hashes, start: Ints, kind: Ints, end: Ints) -> Mask:
    """Whole IPv4 packets without options, with all of a UDP or TCP header."""
    first, second = words[:, 0], words[:, 1]
    protocol = second >> np.uint64(8) & np.uint64(0xFF)
    # version 4 of 5 words; neither more fragments nor an offset
    usual = first & np.uint64(0xFF3F0000000000FF) == np.uint64(0x45)
    udp, tcp = protocol == UDP, protocol == TCP
    least = np.where(tcp, 40, 28)
    found: Mask = usual & (udp | tcp) & (kind == 4) & (start + least <= end)
    return found & (_total(first) >= least)


def _total(first: Hashes) -> Ints:
    """Total length, from the first word of an IPv4 header."""
    return (first >> np.uint64(16)).astype(np.uint16).byteswap().astype(np.int64)


def _plain(buffer: Bytes, words: Hashes, start: Ints, rows: Ints) -> _Packets:
    """Packets as :func:`_is_plain` finds them; ``rows`` becomes their ``row``."""
    first, second, third = words[:, 0], words[:, 1], words[:, 2]
    flow = _flow4(third, second & np.uint64(0xFFFFFFFF0000FF00))
    protocol = (second >> np.uint64(8)).astype(np.uint8)
    body = start + 28
    tcp = np.flatnonzero(protocol == TCP)
    if len(tcp):
        at = start[tcp] + 20
        body[tcp] = at + np.maximum((be(buffer, at + 12, "u1") >> 4) * 4, 20)
    zero = np.zeros(len(start), dtype=np.int64)
    return _Packets(
        rows, flow, _total(first),
        (first >> np.uint64(32)).astype(np.uint16).byteswap(), start, start + 20, body, protocol,
        (third >> np.uint64(32)).astype(np.uint32).byteswap(), zero, zero.view(np.uint64),
        np.zeros(len(start), dtype=bool),
    )  # fmt: skip


def _flow4(target: Hashes, source: Hashes) -> Hashes:
    """Hash of an IPv4 flow, of little-endian words as they lie in the packet.

    ``target``: destination address and ports. ``source``: protocol << 8 and source address << 32.
    """
    return mixed(mixed(target, _MIX[2]), source)


def _general(buffer: Bytes, start: Ints, kind: Ints, end: Ints, rows: Ints) -> _Packets:
    """Packets of any kind, without those that are no IP or are cut; ``row`` among ``rows``."""
    found = network(buffer, start, kind, end)
    later = found.later
    udp = (found.protocol == UDP) & ~later
    tcp = (found.protocol == TCP) & ~later
    offset = (be(buffer, found.at + 12, "u1") >> 4) * 4
    skip = np.select([udp, tcp], [8, np.maximum(offset, 20)], 0)
    whole = found.whole & (found.at + np.select([udp, tcp], [8, 20], 0) <= end)
    ports = np.where(udp | tcp, be(buffer, found.at, "u4"), 0).astype(np.uint32)
    keep = np.flatnonzero(whole)
    protocol, part, ip_id, version, at = (
        each[keep] for each in (found.protocol, found.part, found.ip_id, found.version, found.at)
    )
    ends, ports = found.ends[keep], ports[keep]
    flow = np.where(
        version == 4,
        _flow4(
            _as_lies(ends[:, 3]) | _as_lies(ports) << np.uint64(32),
            protocol.astype(np.uint64) << np.uint64(8) | _as_lies(ends[:, 1]) << np.uint64(32),
        ),
        _chain(ends, ports.astype(np.uint64) << np.uint64(8) | protocol.astype(np.uint64)),
    )
    known = np.where(version == 4, protocol << 16 | ip_id, part >> 16).astype(np.uint64)
    datagram = np.where(found.fragment[keep], _chain(ends, known) | np.uint64(1), np.uint64(0))
    return _Packets(
        rows[keep], flow, at + found.payload[keep] - start[keep], ip_id.astype(np.uint16),
        start[keep], at, at + skip[keep], protocol.astype(np.uint8), ports, part, datagram,
        later[keep],
    )  # fmt: skip


def _as_lies(numbers: Hashes | NDArray[np.uint32]) -> Hashes:
    """32-bit numbers in network order, read as little-endian ones."""
    return numbers.astype(np.uint32).byteswap().astype(np.uint64)


def _chain(ends: Hashes, more: Hashes) -> Hashes:
    """Hash of four words and another."""
    for place in range(4):
        more = mixed(more, ends[:, place])
    return more


def _merged(parts: list[_Packets]) -> _Packets:
    """All of them, in order of their rows."""
    order = np.argsort(np.concatenate([each.row for each in parts]), kind="stable")
    names = [each.name for each in fields(_Packets)]
    return _Packets(
        *(np.concatenate([getattr(each, name) for each in parts])[order] for name in names)
    )


def _columns(
    buffer: Bytes, packets: _Packets, end: Ints, payload_bytes: int, addresses: bool
) -> Columns:
    """What is left to read: the payload, and TCP's numbers."""
    body, size = packets.body, packets.ip_bytes
    has = np.maximum(packets.start + size - body, 0)
    captured = np.maximum(end - body, 0)
    count = np.minimum(has, captured)
    payload = _words(buffer, np.minimum(body, len(buffer) - PAYLOAD_BYTES), PAYLOAD_BYTES // 8)
    head, tag = _rtp(payload, np.where(packets.later | (packets.protocol != UDP), 0, count))
    first = packets.flow if addresses else mixed(packets.protocol.astype(np.uint64), _MIX[3])
    told = np.minimum(count, payload_bytes) << 24 | packets.part << 32
    key = mixed(first, (size | told).view(np.uint64))
    tcp = np.flatnonzero((packets.protocol == TCP) & ~packets.later)
    if len(tcp):
        at = packets.at[tcp]
        head[tcp] = numbers(buffer, at + 4, ">", "u8")
        flags = be(buffer, at + 13, "u1")
        tag[tcp] = flags << 24 | np.minimum(has[tcp], (1 << 24) - 1)
        key[tcp] = mixed(mixed(key[tcp], head[tcp]), flags.astype(np.uint64))
    cut = np.where(captured < np.minimum(has, PAYLOAD_BYTES), captured, PAYLOAD_BYTES)
    return Columns(
        packets.row, packets.flow, _key(key, payload, count, payload_bytes),
        packets.ip_id, head, tag, (size + ETHERNET_BYTES).astype(np.uint32), cut.astype(np.uint8),
        captured < has, packets.start, body, count, packets.protocol, packets.ports,
        packets.datagram, packets.later,
    )  # fmt: skip


def _key(key: Hashes, payload: Hashes, count: Ints, payload_bytes: int) -> Hashes:
    """Mix the start of each payload into the key; what is missing of it counts as zeros.

    ``payload`` is changed.
    """
    count = np.minimum(count, payload_bytes)
    short = np.flatnonzero(count < PAYLOAD_BYTES)
    if 2 * len(short) > len(count):
        payload &= _THERE[count]
    elif len(short):
        payload[short] &= _THERE[count[short]]
    for place in range(payload.shape[1]):
        key ^= payload[:, place]
        key *= _MIX[place % 4]
        key ^= key >> np.uint64(32)
    return mixed(key, _MIX[3])


def _rtp(payload: Hashes, count: Ints) -> tuple[Hashes, NDArray[np.uint32]]:
    """``head`` and ``tag`` of what can be RTP (RFC 3550, 5.1), 0 of others.

    Payload types 64 to 95 are RTCP (RFC 5761).
    """
    first = payload[:, 0]
    kind = first >> np.uint64(8) & np.uint64(0x7F)
    rtp = (count >= 12) & (first & np.uint64(0xC0) == 0x80) & ((kind < 64) | (kind > 95))
    head = np.where(rtp, first.byteswap(), np.uint64(0))
    tag = np.where(rtp, payload[:, 1].astype(np.uint32).byteswap(), np.uint32(0))
    return head, tag
