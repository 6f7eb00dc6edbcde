"""Packets of one stream and direction, paired between the two taps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.captures import matching
from bench.captures.matching import Arrival, Fate, Pairs, Tap, Watch
from bench.devices.carriages import CARRIAGES, TCP
from bench.network.impairment import DIRECTIONS
from bench.sessions.packets import ROW, TAPS, PacketTable
from bench.sessions.recording import Recording

MISSING = matching.MISSING

_NEVER = np.iinfo(np.int64).max
_BEFORE_ALL = -(1 << 62)
_TABLES_KEPT, _FLOWS_KEPT = 2, 32
"""Of the latest recordings."""


_NOTHING = PacketTable(np.zeros(0, dtype=ROW))


def _no_times() -> NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


def _no_flags() -> NDArray[np.bool_]:
    return np.zeros(0, dtype=bool)


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One stream in one direction, in order of sending; arrays of shape ``(n,)``.

    ``received_ns``: -1 where the packet is not known to have arrived. ``in_flight``: not arrived,
    but sent so late that it may still have been on its way when the recording ended, so not lost.
    ``duplicates``: arrivals beyond the first (RFC 5560). ``unmatched``: arrivals that nobody sent.
    ``reordered``: packets that arrived after one that was sent later, on the same link; of
    duplicates only the first counts (RFC 4737, 3.3).

    ``ambiguous``: it cannot be told which arrival is theirs, if any: neither arrived, lost nor in
    flight. ``earliest_ns``, ``latest_ns``: the first and last arrival that may be theirs, -1 where
    none is known; of the others ``received_ns``. ``may_be_lost``: of the ambiguous, those that may
    not have arrived at all. These four are empty where nothing is ambiguous, and then filled in.
    """

    sent_ns: NDArray[np.int64]
    received_ns: NDArray[np.int64]
    seq: NDArray[np.int64]
    link: NDArray[np.int64]
    size: NDArray[np.int64]
    in_flight: NDArray[np.bool_]
    duplicates: int
    unmatched: int
    reordered: int
    ambiguous: NDArray[np.bool_] = field(default_factory=_no_flags)
    earliest_ns: NDArray[np.int64] = field(default_factory=_no_times)
    latest_ns: NDArray[np.int64] = field(default_factory=_no_times)
    may_be_lost: NDArray[np.bool_] = field(default_factory=_no_flags)

    def __post_init__(self) -> None:
        if len(self.ambiguous) == len(self.sent_ns):
            return
        none = np.broadcast_to(np.False_, self.sent_ns.shape)
        for name, value in (
            ("ambiguous", none), ("may_be_lost", none),
            ("earliest_ns", self.received_ns), ("latest_ns", self.received_ns),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.sent_ns)

    @property
    def arrived(self) -> NDArray[np.bool_]:
        """Which packets are known to have arrived."""
        return np.not_equal(self.received_ns, MISSING)

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which packets are lost: not arrived, not in flight, not ambiguous."""
        return ~(self.arrived | self.in_flight | self.ambiguous)

    @property
    def decidable(self) -> NDArray[np.bool_]:
        """Which packets are known to be lost or to have arrived."""
        return ~(self.in_flight | self.ambiguous)

    @property
    def delay_s(self) -> NDArray[np.float64]:
        """One-way delay of the packets that arrived, in order of sending."""
        arrived = self.arrived
        return (self.received_ns[arrived] - self.sent_ns[arrived]) / 1e9

    def sent_between(self, start_ns: int, end_ns: int) -> Flow:
        """The part that was sent from ``start_ns`` to before ``end_ns``."""
        mask = (self.sent_ns >= start_ns) & (self.sent_ns < end_ns)
        return self.select(mask)

    def select(self, mask: NDArray[np.bool_] | NDArray[np.intp]) -> Flow:
        """The packets that ``mask`` (or an index) picks; counts of the whole are kept."""
        values: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        picked: dict[str, Any] = {
            name: value[mask] if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }
        return Flow(**picked)

    def worst(self) -> Flow:
        """Ambiguous packets settled as if they were lost, or arrived last, where they may have."""
        if not self.ambiguous.any():
            return self
        late = self.ambiguous & ~self.may_be_lost
        received = np.where(late, self.latest_ns, self.received_ns)
        return self._settled(received, self.in_flight)

    def best(self) -> Flow:
        """Ambiguous packets settled as if they had arrived first; none where no arrival fits."""
        if not self.ambiguous.any():
            return self
        received = np.where(self.ambiguous, self.earliest_ns, self.received_ns)
        unknown = self.ambiguous & (received == MISSING)
        return self._settled(received, self.in_flight | unknown)

    def _settled(self, received_ns: NDArray[np.int64], in_flight: NDArray[np.bool_]) -> Flow:
        return Flow(
            self.sent_ns, received_ns, self.seq, self.link, self.size, in_flight,
            self.duplicates, self.unmatched, self.reordered,
        )  # fmt: skip


def flow_of(recording: Recording, stream: str, direction: str | None = None) -> Flow:
    """The flow of a stream; ``direction`` defaults to the stream's own."""
    found = recording.device.stream(stream)
    way = DIRECTIONS.index(direction or found.direction)
    over_tcp = recording.bench != "virtual" and CARRIAGES[found.carriage].protocol == TCP
    rows = _streams(recording.packets).get(found.code)
    table = _NOTHING if rows is None else rows
    return (_segments_paired if over_tcp else paired)(table, way, recording.schedule.end_ns)


def flows_of(recording: Recording, way: int) -> Iterator[Flow]:
    """The flow of every stream, declared or not, by its packets' own numbers.

    Args:
        recording: of which the packets are.
        way: index into ``DIRECTIONS``.
    """
    for rows in _streams(recording.packets).values():
        yield paired(rows, way, recording.schedule.end_ns)


@lru_cache(maxsize=_TABLES_KEPT)
def _streams(packets: PacketTable) -> Mapping[int, PacketTable]:
    """The packets by stream. Whoever asks for one stream mostly asks for the others, too."""
    order = np.argsort(packets.rows["stream"], kind="stable")
    rows = packets.rows[order]
    codes, starts = np.unique(rows["stream"], return_index=True)
    parts = np.split(rows, starts[1:])
    return {int(code): PacketTable(part) for code, part in zip(codes, parts, strict=False)}


@lru_cache(maxsize=_FLOWS_KEPT)
def paired(rows: PacketTable, way: int, end_ns: int) -> Flow:
    """As :func:`pair`, from all packets of one stream; several requirements ask for the same."""
    return pair(rows.where(direction=way), way, end_ns)


@lru_cache(maxsize=_FLOWS_KEPT)
def _segments_paired(rows: PacketTable, way: int, end_ns: int) -> Flow:
    return pair_segments(rows.where(direction=way), way, end_ns)


def flow_of_pairs(
    pairs: Pairs, size: NDArray[np.int64], seq: NDArray[np.int64], link: int = 0
) -> Flow:
    """What two taps saw of one link, as a flow.

    Args:
        pairs: the packets, in order of sending.
        size: of each packet sent, in bytes; shape ``(n,)``.
        seq: the number of each packet sent; shape ``(n,)``.
        link: the number of the link.
    """
    where = np.broadcast_to(np.int64(link), len(pairs))
    return _flow(pairs, size, seq, where, _overtaken(pairs.place))


def _flow(
    pairs: Pairs, size: NDArray[np.int64], seq: NDArray[np.int64], link: NDArray[np.int64],
    reordered: int,
) -> Flow:  # fmt: skip
    doubt: dict[str, Any] = {}
    if pairs.count(Fate.AMBIGUOUS):
        doubt = {
            "ambiguous": pairs.fate == Fate.AMBIGUOUS.value,
            "earliest_ns": pairs.earliest_ns,
            "latest_ns": pairs.latest_ns,
            "may_be_lost": pairs.may_be_lost,
        }
    return Flow(
        sent_ns=pairs.sent_ns,
        received_ns=pairs.received_ns,
        seq=seq,
        link=link,
        size=size,
        in_flight=pairs.fate == Fate.IN_FLIGHT.value,
        duplicates=pairs.count(Arrival.DUPLICATE),
        unmatched=pairs.count(Arrival.UNMATCHED),
        reordered=reordered,
        **doubt,
    )


def _overtaken(place: NDArray[np.int64]) -> int:
    """How many packets arrived after one that was sent later.

    Args:
        place: which arrival each packet is, -1 for none; in order of sending.
    """
    order = place[place >= 0]
    if bool(np.all(order[1:] > order[:-1])):
        return 0
    first_of_later = np.minimum.accumulate(order[::-1])[::-1]
    return int(np.count_nonzero(order[:-1] > first_of_later[1:]))


def pair(rows: PacketTable, direction: int, end_ns: int) -> Flow:
    """Pair the rows of one stream and direction between the taps, by link and sequence.

    Args:
        rows: both taps, one stream, one direction.
        direction: index into ``DIRECTIONS``; 0 is sent at the doctor's tap.
        end_ns: end of the recording.
    """
    near, far = (TAPS[0], TAPS[1]) if direction == 0 else (TAPS[1], TAPS[0])
    sent, got = _in_time(rows.where(tap=near)), _in_time(rows.where(tap=far))
    pairs = matching.pair(_tap(sent), _tap(got), Watch(_BEFORE_ALL, end_ns))
    link = sent["link"].astype(np.int64)
    reordered = sum(_overtaken(pairs.place[link == each]) for each in np.unique(link))
    return _flow(
        pairs, sent["size"].astype(np.int64), sent["seq"].astype(np.int64), link, reordered
    )


REUSED_NS = 10_000_000_000
"""Longer than any connection of the carriages goes on sending a segment again."""

_LONGEST_FRAME = 1 << 16
_LEAST_HEADERS = 14 + 20 + 20
"""Of a frame with a segment of TCP."""


def pair_segments(rows: PacketTable, direction: int, end_ns: int) -> Flow:
    """As :func:`pair`, of segments of TCP: one that was sent again is one packet.

    Its delay is from its first sending to its first arrival, whichever of its sendings that was
    (docs/carriages.md). It is lost where none arrived, and in flight where one may still. Where it
    may have come within a longer segment, sent again, it is ambiguous. ``seq`` has the link above
    the 32 bits of TCP's number; ``reordered`` leaves out what was sent again.

    A number that comes again after :data:`REUSED_NS` is another connection's: then nothing is
    joined.

    Args:
        rows: both taps, one stream, one direction.
        direction: index into ``DIRECTIONS``; 0 is sent at the doctor's tap.
        end_ns: end of the recording.
    """
    near, far = (TAPS[0], TAPS[1]) if direction == 0 else (TAPS[1], TAPS[0])
    sent, got = _in_time(rows.where(tap=near)), _in_time(rows.where(tap=far))
    key, first, which, times = np.unique(
        _numbers(sent), return_index=True, return_inverse=True, return_counts=True
    )
    if _longest_gap_ns(sent["t_ns"], which) > REUSED_NS:
        return pair(rows, direction, end_ns)
    last_ns = np.full(len(key), _BEFORE_ALL)
    np.maximum.at(last_ns, which, sent["t_ns"])
    order = np.argsort(first)
    key, first, last_ns, times = key[order], first[order], last_ns[order], times[order]
    arrived, place, copies = np.unique(_numbers(got), return_index=True, return_counts=True)
    in_time = np.argsort(place)
    pairs = matching.pair(
        Tap(sent["t_ns"][first].astype(np.int64), key.astype(np.uint64)),
        Tap(got["t_ns"][place[in_time]].astype(np.int64), arrived[in_time].astype(np.uint64)),
        Watch(_BEFORE_ALL, end_ns),
    )
    flow = _flow(
        pairs, sent["size"][first].astype(np.int64), key, key >> 32,
        _overtaken(pairs.place[times == 1]),
    )  # fmt: skip
    there = flow.arrived
    usual = (flow.received_ns - flow.sent_ns)[there & (times == 1)]
    late = ~there & (last_ns + usual.max(initial=0) > end_ns)
    more = copies[in_time][pairs.place[there]] - times[there]
    flow = replace(flow, in_flight=flow.in_flight | late, duplicates=int(np.maximum(more, 0).sum()))
    return _within_longer(flow, got)


def _numbers(rows: NDArray[np.void]) -> NDArray[np.int64]:
    return rows["link"].astype(np.int64) << 32 | rows["seq"].astype(np.int64)


def _longest_gap_ns(t_ns: NDArray[np.int64], which: NDArray[np.intp]) -> int:
    """The longest time between two sendings of one segment, one after the other."""
    order = np.lexsort((t_ns, which))
    same = np.diff(which[order]) == 0
    return int(np.diff(t_ns[order])[same].max(initial=0))


def _within_longer(flow: Flow, got: NDArray[np.void]) -> Flow:
    """Doubt the loss of segments whose bytes may have arrived within others'.

    TCP sends several lost segments again as one, longer than its first was: the numbers of the
    others never arrive.
    """
    lost, numbers = np.flatnonzero(flow.lost), _numbers(got)
    if not len(lost) or not len(got):
        return flow
    order = np.argsort(flow.seq)
    place = order[np.minimum(np.searchsorted(flow.seq[order], numbers), len(order) - 1)]
    longer = (flow.seq[place] == numbers) & (got["size"] > flow.size[place])
    got, numbers = got[longer], numbers[longer]
    order = np.argsort(numbers, kind="stable")
    numbers, t_ns = numbers[order], got["t_ns"][order]
    ends = numbers + got["size"][order] - _LEAST_HEADERS
    earliest, latest = flow.received_ns.copy(), flow.received_ns.copy()
    for row in lost:
        number = flow.seq[row]
        start, end = np.searchsorted(numbers, (number - _LONGEST_FRAME, number))
        over = t_ns[start:end][(ends[start:end] > number) & (t_ns[start:end] > flow.sent_ns[row])]
        if len(over):
            earliest[row], latest[row] = over.min(), over.max()
    doubted = flow.lost & (earliest != MISSING)
    if not doubted.any():
        return flow
    return replace(
        flow, ambiguous=doubted, may_be_lost=doubted, earliest_ns=earliest, latest_ns=latest
    )


def _in_time(rows: PacketTable) -> NDArray[np.void]:
    found = rows.rows
    if bool(np.all(found["t_ns"][1:] >= found["t_ns"][:-1])):
        return found
    return found[np.argsort(found["t_ns"], kind="stable")]


def _tap(rows: NDArray[np.void]) -> Tap:
    key = rows["link"].astype(np.uint64) << np.uint64(32) | rows["seq"]
    return Tap(rows["t_ns"].astype(np.int64), key)


def distinct(keys: NDArray[np.int64]) -> int:
    """How many different keys there are; at once where they only rise, as in most flows."""
    if bool(np.all(keys[1:] > keys[:-1])):
        return len(keys)
    return len(np.unique(keys))


def by_sequence(flow: Flow) -> Flow:
    """One entry per sequence number: the first sending, the first arrival on any link.

    A stream that repeats a packet on a second link has lost it only if no copy arrived.
    """
    if distinct(flow.seq) == len(flow):
        return flow
    order = np.lexsort((flow.sent_ns, flow.seq))
    seq, start = np.unique(flow.seq[order], return_index=True)
    received = _first(flow.received_ns[order], start)
    kept = order[start]
    doubt = _doubt(flow, order, start, received) if flow.ambiguous.any() else {}
    in_flight = np.logical_or.reduceat(flow.in_flight[order], start) & (received == MISSING)
    if doubt:
        received = np.where(doubt["ambiguous"], MISSING, received)
        in_flight &= ~doubt["ambiguous"]
    merged = Flow(
        flow.sent_ns[kept], received, seq, flow.link[kept], flow.size[kept], in_flight,
        flow.duplicates, flow.unmatched, flow.reordered, **doubt,
    )  # fmt: skip
    return merged.select(np.argsort(merged.sent_ns, kind="stable"))


def _first(times_ns: NDArray[np.int64], start: NDArray[np.intp]) -> NDArray[np.int64]:
    """The earliest in each group, -1 where there is none."""
    known = np.where(times_ns == MISSING, _NEVER, times_ns)
    earliest = np.minimum.reduceat(known, start)
    return np.where(earliest == _NEVER, MISSING, earliest)


def _doubt(
    flow: Flow, order: NDArray[np.intp], start: NDArray[np.intp], received: NDArray[np.int64]
) -> dict[str, Any]:
    """What is ambiguous of a packet's first arrival on any link.

    An ambiguous copy leaves none open where another surely arrived before it may have.
    """
    unclear, lossy = flow.ambiguous[order], flow.may_be_lost[order]
    earliest = _first(flow.earliest_ns[order], start)
    last = np.where(unclear & lossy, MISSING, flow.latest_ns[order])
    sure = _first(last, start)
    any_unclear = np.logical_or.reduceat(unclear, start)
    ambiguous = any_unclear & ((received == MISSING) | (earliest < received))
    may_be_lost = ambiguous & (sure == MISSING)
    possible = np.where(flow.latest_ns[order] == MISSING, -1, flow.latest_ns[order])
    latest = np.where(may_be_lost, np.maximum.reduceat(possible, start), sure)
    return {
        "ambiguous": ambiguous,
        "earliest_ns": np.where(ambiguous, earliest, received),
        "latest_ns": np.where(ambiguous, latest, received),
        "may_be_lost": may_be_lost,
    }
