"""Playing a transcript back: the same program, the same answers, no instrument."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from instruments.visa.errors import ReplayDiffers, Unreachable
from instruments.visa.resources import Resource
from instruments.visa.transcript import Entry, Transcript
from instruments.visa.wires import WireLost, WireTimeout


class Playback:
    """Stands for every instrument of a transcript.

    Give :meth:`connect` to sessions as their connector and :meth:`transcript` as their transcript:
    where the program does the same as then, its transcript becomes the same, hashes included.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = tuple(entries)
        self._queues: Mapping[str, deque[Entry]] = {e.role: deque() for e in self._entries}
        for entry in self._entries:
            if entry.kind != "note":
                self._queues[entry.role].append(entry)

    def transcript(self) -> Transcript:
        """An empty transcript whose clocks show what the recorded one's did."""
        times = iter(self._entries)
        now: list[Entry] = []

        def monotonic_ns() -> int:
            now[:] = [next(times, self._entries[-1])]
            return now[0].t_ns

        return Transcript(monotonic_ns=monotonic_ns, utc_ns=lambda: now[0].utc_ns)

    def connect(self, resource: Resource) -> PlayedWire:
        """A connector.

        Raises:
            Unreachable: it was not reached then either.
            ReplayDiffers: it was not opened then.
        """
        wire = PlayedWire(resource.role, self._queues.get(resource.role, deque()))
        entry = wire.next("is opened", ("open", "lost"))
        if entry.kind == "lost":
            raise Unreachable(resource.role, "was not reached when this was recorded")
        return wire

    @property
    def left(self) -> int:
        """How many entries have not been played."""
        return sum(len(queue) for queue in self._queues.values())


class PlayedWire:
    """A wire that answers as the transcript says."""

    def __init__(self, role: str, queue: deque[Entry]) -> None:
        self._role, self._queue = role, queue

    def next(self, doing: str, kinds: tuple[str, ...]) -> Entry:
        """The next entry, which must be of one of these kinds."""
        if not self._queue:
            raise ReplayDiffers(self._role, f"{doing}; the transcript ends before that")
        entry = self._queue[0]
        if entry.kind not in kinds:
            raise ReplayDiffers(
                self._role, f"{doing}; the transcript has {entry.kind} there (entry {entry.n})"
            )
        return self._queue.popleft()

    def send(self, data: bytes) -> None:
        """As a wire: what is sent must be what was sent."""
        entry = self.next(f"sends {data!r}", ("tx",))
        if entry.raw != data:
            raise ReplayDiffers(
                self._role, f"sends {data!r}; the transcript has {entry.raw!r} (entry {entry.n})"
            )
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
