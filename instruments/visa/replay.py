"""Playing a transcript back: the same program, the same answers, no instrument."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from instruments.visa.errors import ReplayDiffers, Unreachable
from instruments.visa.resources import Resource
from instruments.visa.transcript import Entry, Transcript
from instruments.visa.wires import WireLost, WireTimeout


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a program leaves its transcript.

    ``entry``: what the transcript has there; None: no more of that role. ``doing``: what the
    program does instead, in words; ``sent``: what it sends there, if it does.
    """

    role: str
    entry: Entry | None
    doing: str
    sent: bytes | None = None


class Playback:
    """Stands for every instrument of a transcript.

    Give :meth:`connect` to sessions as their connector and :meth:`transcript` as their transcript:
    where the program does the same as then, its transcript becomes the same, hashes included.

    Args:
        entries: of the transcript.
        noted: roles whose notes are played too.

    Attributes:
        entries: all of them.
        difference: the first one. From then on every wire only says so: what comes of it later
            is no difference of its own.
        played: how many messages that were sent then were sent again, by role.
    """

    def __init__(self, entries: Iterable[Entry], noted: Collection[str] = ()) -> None:
        self.entries = tuple(entries)
        self._queues: Mapping[str, deque[Entry]] = {e.role: deque() for e in self.entries}
        for entry in self.entries:
            if entry.kind != "note" or entry.role in noted:
                self._queues[entry.role].append(entry)
        self.difference: Difference | None = None
        self.played: dict[str, int] = {}

    def transcript(self) -> Transcript:
        """An empty transcript whose clocks show what the recorded one's did."""
        times = iter(self.entries)
        now: list[Entry] = []

        def monotonic_ns() -> int:
            now[:] = [next(times, self.entries[-1])]
            return now[0].t_ns

        return Transcript(monotonic_ns=monotonic_ns, utc_ns=lambda: now[0].utc_ns)

    def connect(self, resource: Resource) -> PlayedWire:
        """A connector.

        Raises:
            Unreachable: it was not reached then either.
            ReplayDiffers: it was not opened then.
        """
        wire = PlayedWire(resource.role, self)
        entry = wire.next("is opened", ("open", "lost"))
        if entry.kind == "lost":
            raise Unreachable(resource.role, "was not reached when this was recorded")
        return wire

    @property
    def roles(self) -> tuple[str, ...]:
        """All that it has entries of."""
        return tuple(self._queues)

    def queue(self, role: str) -> deque[Entry]:
        """What is left of one role."""
        return self._queues.get(role, deque())

    def sent(self, role: str) -> None:
        """A message that was sent then was sent again."""
        self.played[role] = self.played.get(role, 0) + 1

    def differ(self, found: Difference) -> NoReturn:
        """Raises: ReplayDiffers: with the first difference."""
        self.difference = self.difference or found
        first = self.difference
        there = "the transcript ends before that"
        if first.entry is not None:
            has = repr(first.entry.raw) if first.entry.kind == "tx" else first.entry.kind
            where = "" if first.sent is not None else " there"
            there = f"the transcript has {has}{where} (entry {first.entry.n})"
        raise ReplayDiffers(first.role, f"{first.doing}; {there}")

    @property
    def left(self) -> int:
        """How many entries have not been played."""
        return sum(len(queue) for queue in self._queues.values())


class PlayedWire:
    """A wire that answers as the transcript says."""

    def __init__(self, role: str, playback: Playback) -> None:
        self._role, self._playback = role, playback
        self._queue = playback.queue(role)

    def next(self, doing: str, kinds: tuple[str, ...], sent: bytes | None = None) -> Entry:
        """The next entry, which must be of one of these kinds, and hold what is sent."""
        if self._playback.difference is not None:
            self._playback.differ(self._playback.difference)
        entry = self._queue[0] if self._queue else None
        if entry is None or entry.kind not in kinds or (sent is not None and entry.raw != sent):
            told = sent if entry is not None and entry.kind == "tx" else None
            self._playback.differ(Difference(self._role, entry, doing, told))
        return self._queue.popleft()

    def send(self, data: bytes) -> None:
        """As a wire: what is sent must be what was sent."""
        self.next(f"sends {data!r}", ("tx",), data)
        self._playback.sent(self._role)
        if self._queue and self._queue[0].kind == "lost":
            raise WireLost("recorded", self._queue.popleft().raw)

    def receive(self, within_s: float) -> bytes:
        """As a wire: what came then comes now."""
        entry = self.next("waits for an answer", ("rx", "timeout", "lost"))
        if entry.kind == "timeout":
            raise WireTimeout(f"no answer within {within_s:g} s", entry.raw)
        if entry.kind == "lost":
            raise WireLost("recorded", entry.raw)
        return entry.raw

    def stray(self) -> bytes:
        """As a wire: an ``rx`` before anything was asked."""
        if self._queue and self._queue[0].kind == "rx":
            return self._queue.popleft().raw
        return b""

    def close(self) -> None:
        """As a wire."""
        if self._queue and self._queue[0].kind == "close":
            self._queue.popleft()
