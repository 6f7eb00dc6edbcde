"""Writes two captures of one path with known truth: what was sent, lost, doubled, overtaken.

Streams of a telemedicine session, both ways: RTP video and audio, 1 kHz haptics, and a stream whose
few payloads repeat. Written in stretches of time, so memory does not grow with the files except
for the truth (11 bytes per record). One seed, one pair.

    python -m benchmarks.synthetic_pair LEFT RIGHT --packets 700000
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

START_NS = 1_700_000_000_000_000_000
STRETCH_NS = 2_000_000_000
DELAY_NS = 20_000_000
LATE_NS = 3_000_000
"""Packets that are overtaken come this much later."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream and what the path does to it.

    ``rtp_type``: payload type, for RTP. ``values``: how many different payloads it has; 0: no two
    are equal. ``loss``: share of packets lost, in bursts of ``burst`` packets on average.
    ``doubled``, ``late``: shares that arrive twice, or ``LATE_NS`` later. ``jitter_ns``: mean of
    the exponential part of the delay, which keeps the order.
    """

    name: str
    rate_hz: float
    payload_bytes: int
    port: int
    forward: bool = True
    rtp_type: int | None = None
    values: int = 0
    loss: float = 0.01
    burst: float = 2.0
    doubled: float = 0.001
    late: float = 0.005
    jitter_ns: float = 300_000.0


SESSION = (
    Stream("video", 2500, 1200, 5004, forward=False, rtp_type=96),
    Stream("haptic-command", 1000, 64, 6001),
    Stream("haptic-feedback", 1000, 64, 6002, forward=False),
    Stream("audio", 50, 172, 5006, rtp_type=111),
    Stream("alive", 10, 12, 7000, values=3),
)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The records of one file, in order; shape ``(n,)``.

    ``stream``: index into the streams. ``serial``: which of its packets, counted from 0.
    """

    stream: NDArray[np.uint8]
    serial: Ints

    def __len__(self) -> int:
        return len(self.serial)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What both taps saw. ``sent``: packets of each stream; ``lost``: how many never arrived."""

    streams: tuple[Stream, ...]
    left: Seen
    right: Seen
    sent: Ints
    lost: Ints


@dataclass(slots=True, eq=False)
class _Rows:
    """Packets passing one tap, not yet written."""

    t_ns: Ints
    serial: Ints


@dataclass(slots=True, eq=False)
class _Path:
    """One stream on its way: what has been sent so far, and what is still to arrive."""

    stream: Stream
    rng: np.random.Generator
    sent: int = 0
    newest_ns: int = 0
    lost: int = 0
    waiting: _Rows = field(default_factory=lambda: _Rows(_none(), _none()))

    def advance(self, until: int, end_ns: int) -> tuple[_Rows, _Rows]:
        """Send packets until there were ``until``; those sent, and those arrived by ``end_ns``."""
        stream, rng = self.stream, self.rng
        serial = np.arange(self.sent, until)
        count = len(serial)
        step = 1e9 / stream.rate_hz
        wobble = rng.uniform(0, step / 4, count)
        sent_ns = START_NS + np.rint(serial * step + wobble).astype(np.int64)
        arrived_ns = sent_ns + DELAY_NS + rng.exponential(stream.jitter_ns, count).astype(np.int64)
        if count:
            arrived_ns[0] = max(arrived_ns[0], self.newest_ns)
            arrived_ns = np.maximum.accumulate(arrived_ns)
            self.newest_ns = int(arrived_ns[-1])
        self.sent = until
        arrived_ns[rng.random(count) < stream.late] += LATE_NS
        lost = _bursts(rng, count, stream.loss, stream.burst)
        self.lost += int(lost.sum())
        again = ~lost & (rng.random(count) < stream.doubled)
        later = arrived_ns[again] + rng.integers(100_000, 1_000_000, int(again.sum()))
        t_ns = np.concatenate([self.waiting.t_ns, arrived_ns[~lost], later])
        which = np.concatenate([self.waiting.serial, serial[~lost], serial[again]])
        there = t_ns < end_ns
        self.waiting = _Rows(t_ns[~there], which[~there])
        return _Rows(sent_ns, serial), _Rows(t_ns[there], which[there])


def _none() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _bursts(rng: np.random.Generator, count: int, share: float, length: float) -> NDArray[np.bool_]:
    starts = np.flatnonzero(rng.random(count) < share / length)
    ends = np.minimum(starts + rng.geometric(1 / length, len(starts)), count)
    change = np.bincount(starts, minlength=count + 1) - np.bincount(ends, minlength=count + 1)
    lost: NDArray[np.bool_] = np.cumsum(change)[:count] > 0
    return lost


def write_pair(
    left: Path,
    right: Path,
    packets: int,
    *,
    seed: int = 1,
    streams: Sequence[Stream] = SESSION,
    ng: bool = False,
    snap: int = 1 << 16,
    stretch_ns: int = STRETCH_NS,
) -> Truth:
    """Write both captures, of about ``packets`` records each, and tell the truth.

    Args:
        left, right: files to write.
        packets: sent by all streams together.
        seed: of every draw.
        streams: what passes; ``forward`` streams are sent at the left.
        ng: as pcapng instead of pcap (ns both).
        snap: bytes kept of each packet.
        stretch_ns: how much time is in memory at once.
    """
    end_ns = round(packets / sum(each.rate_hz for each in streams) * 1e9)
    seeds = np.random.SeedSequence(seed).spawn(len(streams))
    paths = [_Path(each, np.random.default_rng(s)) for each, s in zip(streams, seeds, strict=True)]
    makers = [_Maker(index, each, ng, snap) for index, each in enumerate(streams)]
    seen: tuple[list[Seen], list[Seen]] = ([], [])
    with left.open("wb") as near, right.open("wb") as far:
        for file in (near, far):
            file.write(_NG_HEAD if ng else _HEAD)
        for now in _stretches(end_ns, stretch_ns):
            final = now >= end_ns
            sides: tuple[list[_Rows], list[_Rows]] = ([], [])
            for path in paths:
                until = int(min(now, end_ns) * path.stream.rate_hz / 1e9)
                border = (1 << 62) if final else START_NS + now
                sent, got = path.advance(max(until, path.sent), border)
                here, there = (0, 1) if path.stream.forward else (1, 0)
                sides[here].append(sent)
                sides[there].append(got)
            for file, rows, parts in zip((near, far), sides, seen, strict=True):
                parts.append(_write(file, rows, makers))
    return Truth(
        tuple(streams), *(_joined(parts) for parts in seen),
        np.array([path.sent for path in paths]), np.array([path.lost for path in paths]),
    )  # fmt: skip


def _stretches(end_ns: int, stretch_ns: int) -> Iterator[int]:
    now = 0
    while now < end_ns:
        now += stretch_ns
        yield now


def _joined(parts: list[Seen]) -> Seen:
    return Seen(
        np.concatenate([each.stream for each in parts]),
        np.concatenate([each.serial for each in parts]),
    )


_HEAD = np.array([0xA1B23C4D, 4 << 16 | 2, 0, 0, 1 << 18, 1], dtype="<u4").tobytes()
_NG_HEAD = np.array(
    [0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0xFFFFFFFF, 0xFFFFFFFF, 28,
     1, 32, 1, 0, 1 << 16 | 9, 9, 0, 32],
    dtype="<u4",
).tobytes()  # fmt: skip


def _write(file: BinaryIO, rows: list[_Rows], makers: list[_Maker]) -> Seen:
    """Write one stretch of one file, in order of time."""
    counts = [len(each.t_ns) for each in rows]
    stream = np.repeat(np.arange(len(rows), dtype=np.uint8), counts)
    t_ns = np.concatenate([each.t_ns for each in rows])
    serial = np.concatenate([each.serial for each in rows])
    order = np.argsort(t_ns, kind="stable")
    width = np.array([maker.record_bytes for maker in makers], dtype=np.int64)[stream[order]]
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(width) - width
    out = np.empty(int(width.sum()), dtype=np.uint8)
    start = 0
    for count, maker in zip(counts, makers, strict=True):
        mine = slice(start, start + count)
        start += count
        if count:
            kind = f"V{maker.record_bytes}"
            where: NDArray[np.void] = np.ndarray(
                (len(out) - maker.record_bytes + 1,), kind, buffer=out, strides=(1,)
            )
            where[place[mine]] = maker.records(t_ns[mine], serial[mine]).view(kind)[:, 0]
    file.write(out.data)
    return Seen(stream[order], serial[order])


class _Maker:
    """Makes the records of one stream: Ethernet, IPv4, UDP, payload."""

    def __init__(self, index: int, stream: Stream, ng: bool, snap: int) -> None:
        self.stream, self.ng = stream, ng
        length = 14 + 20 + 8 + stream.payload_bytes
        kept = min(length, snap)
        self.front = 28 if ng else 16
        self.record_bytes = self.front + (kept + -kept % 4 + 4 if ng else kept)
        frame = np.zeros(max(length, 14 + 20 + 8 + 32), dtype=np.uint8)
        ends = (10, 0, 0, 1, 10, 0, 0, 2) if stream.forward else (10, 0, 0, 2, 10, 0, 0, 1)
        frame[12:14] = 8, 0
        frame[14:34] = (0x45, 0, *_be(length - 14, 2), 0, 0, 0x40, 0, 64, 17, 0, 0, *ends)
        port = stream.port
        frame[34:42] = (*_be(port + 10000, 2), *_be(port, 2), *_be(length - 34, 2), 0, 0)
        frame[42:] = (np.arange(len(frame) - 42) * 37 + index) & 0xFF
        template = np.zeros(self.record_bytes, dtype=np.uint8)
        template[self.front : self.front + kept] = frame[:kept]
        words = template[: self.front].view("<u4")
        if ng:
            words[:] = 6, self.record_bytes, 0, 0, 0, kept, length
            template[-4:].view("<u4")[0] = self.record_bytes
        else:
            words[2:] = kept, length
        self.template, self.kept, self.ssrc = template, kept, 0x5EED0000 + index

    def records(self, t_ns: Ints, serial: Ints) -> NDArray[np.uint8]:
        """Shape ``(n, record_bytes)``."""
        out = np.empty((len(t_ns), self.record_bytes), dtype=np.uint8)
        out[:] = self.template
        if self.ng:
            self._put(out, 12, t_ns >> 32, "<u4")
            self._put(out, 16, t_ns & 0xFFFFFFFF, "<u4")
        else:
            self._put(out, 0, t_ns // 10**9, "<u4")
            self._put(out, 4, t_ns % 10**9, "<u4")
        self._payload(out, self.front + 42, serial)
        return out

    def _payload(self, out: NDArray[np.uint8], at: int, serial: Ints) -> None:
        if self.stream.rtp_type is not None:
            # a frame of video is 40 packets; the last bears the marker
            frame, place = np.divmod(serial, 40)
            kind = self.stream.rtp_type | ((place == 39) << 7)
            self._put(out, at, 0x8000 | kind, ">u2")
            self._put(out, at + 2, serial & 0xFFFF, ">u2")
            self._put(out, at + 4, (frame * 1500) & 0xFFFFFFFF, ">u4")
            self._put(out, at + 8, np.full(len(serial), self.ssrc), ">u4")
            self._put(out, at + 12, serial, ">u4")
        else:
            value = serial % self.stream.values if self.stream.values else serial
            self._put(out, at, value, ">u8")

    def _put(self, out: NDArray[np.uint8], at: int, values: Ints, kind: str) -> None:
        """Write a number into each record, as far as the record was kept."""
        raw = values.astype(kind).view(np.uint8).reshape(len(values), -1)
        room = max(0, min(raw.shape[1], self.front + self.kept - at))
        out[:, at : at + room] = raw[:, :room]


def _be(value: int, size: int) -> bytes:
    return value.to_bytes(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("left", type=Path)
    parser.add_argument("right", type=Path)
    parser.add_argument("--packets", type=int, default=700_000, help="per file, about")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ng", action="store_true", help="pcapng")
    parser.add_argument("--snap", type=int, default=1 << 16, help="bytes kept of each packet")
    given = parser.parse_args()
    truth = write_pair(
        given.left, given.right, given.packets, seed=given.seed, ng=given.ng, snap=given.snap
    )
    for stream, sent, lost in zip(truth.streams, truth.sent, truth.lost, strict=True):
        print(f"{stream.name:16} {sent:10} sent {lost:8} lost")


if __name__ == "__main__":
    main()
