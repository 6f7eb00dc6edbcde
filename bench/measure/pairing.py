"""Packets of one stream and direction, paired between the two taps by link and sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.network.impairment import DIRECTIONS
from bench.sessions.packets import TAPS, PacketTable
from bench.sessions.recording import Recording

MISSING = -1


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """One stream in one direction, in order of sending; arrays of shape ``(n,)``.

    ``received_ns``: -1 where the packet never arrived. ``in_flight``: not arrived, but sent
    later than the recording's end minus the stream's largest observed delay, and not overtaken
    by more than any packet that did arrive, so not lost.
    ``duplicates``: arrivals beyond the first. ``unmatched``: arrivals that nobody sent.
    ``reordered``: arrivals with a smaller sequence than an earlier arrival on the same link
    (RFC 4737, type-P-reordered).
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

    def __len__(self) -> int:
        return len(self.sent_ns)

    @property
    def arrived(self) -> NDArray[np.bool_]:
        """Which packets arrived."""
        return np.not_equal(self.received_ns, MISSING)

    @property
    def lost(self) -> NDArray[np.bool_]:
        """Which packets are lost: not arrived and not in flight."""
        return ~self.arrived & ~self.in_flight

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
        return Flow(
            self.sent_ns[mask],
            self.received_ns[mask],
            self.seq[mask],
            self.link[mask],
            self.size[mask],
            self.in_flight[mask],
            self.duplicates,
            self.unmatched,
            self.reordered,
        )


def flow_of(recording: Recording, stream: str, direction: str | None = None) -> Flow:
    """The flow of a stream; ``direction`` defaults to the stream's own."""
    found = recording.device.stream(stream)
    way = DIRECTIONS.index(direction or found.direction)
    rows = recording.packets.where(stream=found.code, direction=way)
    return pair(rows, way, recording.schedule.end_ns)


def pair(rows: PacketTable, direction: int, end_ns: int) -> Flow:
    """Pair the rows of one stream and direction between the taps.

    Args:
        rows: both taps, one stream, one direction.
        direction: index into ``DIRECTIONS``; 0 is sent at the doctor's tap.
        end_ns: end of the recording.
    """
    near, far = (TAPS[0], TAPS[1]) if direction == 0 else (TAPS[1], TAPS[0])
    sent, got = rows.where(tap=near).rows, rows.where(tap=far).rows
    sent_keys, got_keys = _keys(sent), _keys(got)
    first, index = np.unique(got_keys, return_index=True)
    duplicates = len(got_keys) - len(first)
    place = np.searchsorted(first, sent_keys)
    place = np.minimum(place, max(0, len(first) - 1))
    hit = np.zeros(len(sent), dtype=bool)
    received = np.full(len(sent), MISSING, dtype=np.int64)
    if len(first) and len(sent):
        hit = first[place] == sent_keys
        received[hit] = got["t_ns"][index[place[hit]]]
    unmatched = int((~np.isin(first, sent_keys)).sum())
    sent_ns = sent["t_ns"].astype(np.int64)
    delay = received[hit] - sent_ns[hit]
    largest = int(delay.max()) if len(delay) else 0
    in_flight = ~hit & (sent_ns > end_ns - largest) & (sent_ns >= _overtaken(sent_ns, received))
    return Flow(
        sent_ns=sent_ns,
        received_ns=received,
        seq=sent["seq"].astype(np.int64),
        link=sent["link"].astype(np.int64),
        size=sent["size"].astype(np.int64),
        in_flight=in_flight,
        duplicates=duplicates,
        unmatched=unmatched,
        reordered=_reordered(got),
    )


def _overtaken(sent_ns: NDArray[np.int64], received_ns: NDArray[np.int64]) -> int:
    """What was sent before this can no longer be on its way.

    Packets sent later have arrived, by more than any packet that did arrive was overtaken.
    """
    arrived = received_ns != MISSING
    if not arrived.any():
        return MISSING
    sent = sent_ns[arrived][np.argsort(received_ns[arrived], kind="stable")]
    newest = np.maximum.accumulate(sent)
    return int(newest[-1] - (newest - sent).max())


def _keys(rows: NDArray[np.void]) -> NDArray[np.int64]:
    return (rows["link"].astype(np.int64) << 32) | rows["seq"].astype(np.int64)


def _reordered(got: NDArray[np.void]) -> int:
    count = 0
    for link in np.unique(got["link"]):
        seq = got["seq"][got["link"] == link].astype(np.int64)
        if len(seq) > 1:
            count += int((seq[1:] < np.maximum.accumulate(seq)[:-1]).sum())
    return count


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
    far = np.where(flow.arrived, flow.received_ns, np.iinfo(np.int64).max)[order]
    earliest = np.minimum.reduceat(far, start)
    received = np.where(earliest == np.iinfo(np.int64).max, MISSING, earliest)
    kept = order[start]
    in_flight = np.logical_or.reduceat(flow.in_flight[order], start) & (received == MISSING)
    merged = Flow(
        flow.sent_ns[kept], received, seq, flow.link[kept], flow.size[kept], in_flight,
        flow.duplicates, flow.unmatched, flow.reordered,
    )  # fmt: skip
    return merged.select(np.argsort(merged.sent_ns, kind="stable"))
