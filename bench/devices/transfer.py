"""Resumable bulk transfer of image sets: chunks, a window, selective reports, SHA-256 at the end.

A set is cut into chunks; a chunk leaves as one burst of the image stream and counts only whole.
The receiver reports with its heartbeats what it holds, so that a lost, doubled or reordered report
costs nothing, and an interruption no more than what was on its way. The window follows the queue
that the transfer itself builds up, as LEDBAT does (RFC 6817): other streams keep their delay.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.devices.links import LinkSupervisor
from bench.devices.ports import Message, Port
from bench.devices.profile import Stream
from bench.units import ns

REPORTED = 128
"""Chunks after the first missing one that a report tells of; no window is larger."""

LEAST_WINDOW = 2
RECENT = 3
"""Reports whose least delay is taken for the present one: jitter is no queue (RFC 6817, 4.2)."""

LATER = 3
"""A chunk is lost once one that was sent this many chunks later has arrived (RFC 5681, 3.2)."""


@dataclass(frozen=True, slots=True)
class TransferTraits:
    """How a device's transfer deviates.

    ``restarts``: begins a set anew after an interruption. ``corrupts``: the receiver damages a
    chunk and does not check. ``yields``: heeds the queue that it builds up. ``measures_anew``:
    takes the least delay of each set's own path for its base, not of the first path ever seen.
    ``one_at_a_time``: waits for each chunk's report before the next. ``pace``: shortest distance of
    two chunks over the declared one.
    """

    restarts: bool = False
    corrupts: bool = False
    yields: bool = True
    measures_anew: bool = True
    one_at_a_time: bool = False
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image set as the simulation carries it: chunks by number, each with its content's digest.

    ``number`` tells sets apart. No pixel travels: a chunk's content is a function of both numbers.
    """

    number: int
    chunks: int

    def chunk(self, index: int) -> int:
        """The content of a chunk, as the 31 bits that stand for it."""
        digest = hashlib.sha256(f"{self.number}/{index}".encode()).digest()
        return int.from_bytes(digest[:4]) & 0x7FFFFFFF

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole set."""
        return sha256_of([self.chunk(index) for index in range(self.chunks)])


def sha256_of(contents: list[int]) -> str:
    """SHA-256 of chunks in order."""
    return hashlib.sha256(b"".join(value.to_bytes(4) for value in contents)).hexdigest()


class _Out:
    """One set on its way.

    ``held``: chunks beyond the first missing one that the receiver is known to hold. ``again``: to
    be sent once more. ``in_flight``: chunk to the time and the number of its last sending.
    """

    def __init__(self, image_set: ImageSet, attempt: int = 0) -> None:
        self.set = image_set
        self.attempt = attempt
        self.sha256 = image_set.sha256
        self.fresh = 0
        self.first_missing = 0
        self.held: set[int] = set()
        self.again: deque[int] = deque()
        self.in_flight: dict[int, tuple[int, int]] = {}
        self.latest_arrived = -1

    def holds(self, chunk: int) -> bool:
        return chunk < self.first_missing or chunk in self.held

    def take(self, missing: int, bits: int) -> list[tuple[int, int]]:
        """Mark what a report says is held; the sendings that are known to have arrived by it."""
        told = [*range(self.first_missing, missing)]
        told += [missing + 1 + i for i in range(bits.bit_length()) if bits >> i & 1]
        arrived = []
        for chunk in told:
            if not self.holds(chunk):
                self.held.add(chunk)
                if chunk in self.in_flight:
                    arrived.append(self.in_flight.pop(chunk))
        while self.first_missing in self.held:
            self.held.discard(self.first_missing)
            self.first_missing += 1
        self.latest_arrived = max([self.latest_arrived, *(number for _, number in arrived)])
        return arrived

    def give_up(self, chunk: int) -> None:
        """What was sent of this chunk is taken for lost."""
        del self.in_flight[chunk]
        self.again.append(chunk)

    def next_chunk(self) -> int | None:
        """What to send now: what was lost before what is new; only what a report can tell of."""
        while self.again:
            chunk = self.again.popleft()
            if not self.holds(chunk):
                return chunk
        if self.fresh < min(self.set.chunks, self.first_missing + REPORTED):
            self.fresh += 1
            return self.fresh - 1
        return None


class ImageSender:
    """Sends image sets, one after the other.

    Args:
        stream: the image stream; its period is the shortest distance of two chunks.
        port: where chunks leave.
        links: the side's links; chunks go on the active one.
        limits: ``transfer_window`` (chunks), ``transfer_queue_s`` (the queue that it may build
            up), ``transfer_timeout_s`` (the shortest).
        traits: deliberate deviations.
    """

    def __init__(
        self,
        stream: Stream,
        port: Port,
        links: LinkSupervisor,
        limits: Mapping[str, float],
        traits: TransferTraits,
    ) -> None:
        self._stream, self._port, self._links, self._traits = stream, port, links, traits
        self._period_ns = ns(stream.period_s * traits.pace)
        self._timeout_ns = ns(limits["transfer_timeout_s"])
        self._control = QueueControl(
            most=min(REPORTED, int(limits["transfer_window"])),
            queue_ns=ns(limits["transfer_queue_s"]),
            traits=traits,
        )
        self._waiting: deque[ImageSet] = deque()
        self._out: _Out | None = None
        self._seq = self._sendings = 0
        self._round_trip_ns = 0
        self._heard_ns = -1
        self._ready_ns = -1
        self._timer = self._paused = False
        self._report_seq = -1

    @property
    def busy(self) -> bool:
        """A set is on its way."""
        return self._out is not None

    @property
    def in_flight(self) -> int:
        """Chunks that were sent and neither reported nor given up since."""
        return len(self._out.in_flight) if self._out is not None else 0

    @property
    def window(self) -> int:
        """Chunks that may be in flight."""
        return self._control.window

    def offer(self, now_ns: int, image_set: ImageSet) -> None:
        """Send this set once those before it are there."""
        self._waiting.append(image_set)
        if self._out is None:
            self._next(now_ns)

    def connection(self, now_ns: int, up: bool) -> None:
        """Some link works both ways again, or none does any more: nothing is sent meanwhile."""
        if up != self._paused:
            return
        self._paused = not up
        if self._out is None or not up:
            return
        if self._traits.restarts:
            self._out = _Out(self._out.set, self._out.attempt + 1)
        self._heard_ns = now_ns
        self._pump(now_ns)

    def report(self, now_ns: int, message: Message) -> None:
        """The receiver's word on what it holds; in any order, of any age, any number of times."""
        out, told = self._out, (message.body or {}).get("images")
        if out is None or not told or tuple(told[:2]) != (out.set.number, out.attempt):
            return
        _, _, missing, bits, age_us, sound = told
        arrived = out.take(missing, int(bits, 16))
        if arrived:
            self._heard_ns = now_ns
            took = now_ns - max(sent_ns for sent_ns, _ in arrived)
            self._round_trip_ns += (took - self._round_trip_ns) // (8 if self._round_trip_ns else 1)
        if message.seq > self._report_seq:
            self._report_seq = message.seq
            self._control.heard(age_us * 1000, len(arrived))
        if missing < out.set.chunks:
            for chunk, (_, number) in list(out.in_flight.items()):
                if number <= out.latest_arrived - LATER:
                    out.give_up(chunk)
                    self._control.lost(now_ns, self._round_trip_ns)
        elif sound:
            self._out = None
            self._next(now_ns)
        else:
            self._out = _Out(out.set, out.attempt + 1)
        self._pump(now_ns)

    def tick(self, now_ns: int) -> None:
        """Regularly called: gives up what has been on its way for too long."""
        out = self._out
        if out is None or self._paused:
            return
        limit_ns = max(self._timeout_ns, 4 * self._round_trip_ns)
        for chunk, (sent_ns, _) in list(out.in_flight.items()):
            if now_ns - max(sent_ns, self._heard_ns) > limit_ns:
                out.give_up(chunk)
                self._control.timed_out()
        self._pump(now_ns)

    def _next(self, now_ns: int) -> None:
        if self._waiting:
            self._out = _Out(self._waiting.popleft())
            self._heard_ns = now_ns
            self._control.new_set()
            self._pump(now_ns)

    def _pump(self, now_ns: int) -> None:
        """Send a chunk if there is one, the window is open and the last is a period ago."""
        out = self._out
        if out is None or self._paused or self._timer or len(out.in_flight) >= self.window:
            return
        if now_ns < self._ready_ns:
            self._timer = True
            self._port.at(self._ready_ns, self._fire)
            return
        chunk = out.next_chunk()
        if chunk is None:
            return
        body = {"set": [out.set.number, out.attempt, chunk, out.set.chunks, out.sha256]}
        message = Message(self._stream.code, self._seq, now_ns, out.set.chunk(chunk), body)
        self._port.send_burst(now_ns, self._links.active, message, self._stream.packets)
        self._seq += self._stream.packets
        out.in_flight[chunk] = (now_ns, self._sendings)
        self._sendings += 1
        self._ready_ns = now_ns + self._period_ns
        self._timer = True
        self._port.at(self._ready_ns, self._fire)

    def _fire(self, now_ns: int) -> None:
        self._timer = False
        self._pump(now_ns)


class QueueControl:
    """The window of a transfer: as large as the queue that it builds up allows (RFC 6817).

    It doubles until that queue shows and then follows it: a chunk more per round trip at most, less
    in proportion to what is too much (as LEDBAT++ does). A loss halves it, once per round trip.

    Args:
        most: the largest window, in chunks.
        queue_ns: the queueing delay that it aims at.
        traits: deliberate deviations.
    """

    def __init__(self, *, most: int, queue_ns: int, traits: TransferTraits) -> None:
        self._most, self._queue_ns, self._traits = most, queue_ns, traits
        self._window = float(LEAST_WINDOW)
        self._doubling = True
        self._base_ns: int | None = None
        self._ages_ns: deque[int] = deque(maxlen=RECENT)
        self._reduced_ns: int | None = None

    @property
    def window(self) -> int:
        """Chunks that may be in flight."""
        if self._traits.one_at_a_time:
            return 1
        return int(self._window) if self._traits.yields else REPORTED

    def new_set(self) -> None:
        """A set begins: the path may be another one."""
        self._window, self._doubling = float(LEAST_WINDOW), True
        self._ages_ns.clear()
        if self._traits.measures_anew:
            self._base_ns = None

    def heard(self, age_ns: int, arrived: int) -> None:
        """A report told the least one-way delay since the one before (negative: none)."""
        if age_ns < 0 or not arrived:
            return
        self._base_ns = age_ns if self._base_ns is None else min(self._base_ns, age_ns)
        self._ages_ns.append(age_ns)
        queue_ns = min(self._ages_ns) - self._base_ns
        room = 1 - queue_ns / self._queue_ns
        if self._doubling and room < 0.5:
            self._doubling = False
            more = -self._window / 2
        elif self._doubling:
            more = float(arrived)
        else:
            more = room * arrived / self._window if room > 0 else max(room, -0.5) * arrived
        self._window = min(max(self._window + more, LEAST_WINDOW), self._most)

    def lost(self, now_ns: int, round_trip_ns: int) -> None:
        """A chunk was overtaken by later ones."""
        if self._reduced_ns is not None and now_ns - self._reduced_ns < round_trip_ns:
            return
        self._reduced_ns, self._doubling = now_ns, False
        self._window = max(self._window / 2, LEAST_WINDOW)

    def timed_out(self) -> None:
        """A chunk was not heard of for too long: begin anew (RFC 5681, 3.1)."""
        self._window, self._doubling = float(LEAST_WINDOW), True


class ImageReceiver:
    """Puts image sets together, and shows a set once it is whole and its SHA-256 is right.

    Args:
        traits: deliberate deviations.
        show: called ``(now_ns, number, sha256 of what is there)`` once per set.
        refuse: called ``(now_ns, number)`` where the SHA-256 is wrong; the set is sent again.
    """

    def __init__(
        self,
        traits: TransferTraits,
        *,
        show: Callable[[int, int, str], None],
        refuse: Callable[[int, int], None],
    ) -> None:
        self._traits, self._show, self._refuse = traits, show, refuse
        self._key = (-1, -1)
        self._contents: dict[int, int] = {}
        self._missing = 0
        self._least_age_ns = -1
        self._sound = True

    def burst(self, now_ns: int, message: Message, received: int, count: int) -> None:
        """A chunk arrived; one with a packet missing is no chunk."""
        if received < count or message.body is None:
            return
        number, attempt, chunk, chunks, sha256 = message.body["set"]
        if (number, attempt) < self._key:
            return
        if (number, attempt) > self._key:
            self._key, self._contents, self._missing = (number, attempt), {}, 0
            self._sound = True
        age_ns = now_ns - message.sent_ns
        if self._least_age_ns < 0 or age_ns < self._least_age_ns:
            self._least_age_ns = age_ns
        if chunk in self._contents:
            return
        self._contents[chunk] = message.value
        while self._missing in self._contents:
            self._missing += 1
        if len(self._contents) == chunks:
            self._whole(now_ns, number, sha256)

    def report(self) -> list[Any]:
        """What is held: set, attempt, first missing chunk, those after it, least age, soundness.

        Empty before the first chunk. The least age is that since the report before, in µs.
        """
        if self._key[0] < 0:
            return []
        # What lies beyond the first missing one is counted: most often there is nothing.
        ahead = len(self._contents) - self._missing
        after = range(self._missing + 1, self._missing + 1 + REPORTED if ahead else 0)
        bits = sum(1 << i for i, chunk in enumerate(after) if chunk in self._contents)
        age_us = self._least_age_ns // 1000 if self._least_age_ns >= 0 else -1
        self._least_age_ns = -1
        return [*self._key, self._missing, f"{bits:x}", age_us, int(self._sound)]

    def _whole(self, now_ns: int, number: int, sha256: str) -> None:
        contents = [self._contents[chunk] for chunk in range(len(self._contents))]
        if self._traits.corrupts:
            contents[len(contents) // 2] ^= 1
        found = sha256_of(contents)
        self._sound = found == sha256 or self._traits.corrupts
        if self._sound:
            self._show(now_ns, number, found)
        else:
            self._refuse(now_ns, number)
