"""Store and forward: records that survive an outage and a loss of power, and arrive once.

A record is written to memory that keeps without power, gets the next number with it, is sent, and
is sent again until the other side says that it has it. The other side takes records in the order
of their numbers only, each once, writes them down and then acknowledges. A record that power loss
interrupted in writing was never numbered for anybody else: it is dropped by its checksum.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.devices.ports import Port
from bench.units import ns

Record = Mapping[str, Any]
"""Plain JSON data."""

WINDOW = 20
"""Records on their way at most, and sent again together."""


@dataclass(frozen=True, slots=True)
class StoreTraits:
    """Deliberate defects of storing and forwarding.

    ``forgets_every``: of the records made without a connection, every n-th is not kept.
    ``repeats``: so many acknowledged records are filed again, as new ones, after an outage.
    ``corrupts_every``: of the records sent again, every n-th is altered.
    ``keeps_without_power``: what is not acknowledged survives a loss of power.
    ``checks_writing``: a record that was cut off in writing is told by its checksum.
    """

    forgets_every: int = 0
    repeats: int = 0
    corrupts_every: int = 0
    keeps_without_power: bool = True
    checks_writing: bool = True


@dataclass(slots=True)
class Medium:
    """Memory that keeps without power.

    ``lines``: frames in the order of their numbers, the first of which is ``first``; those before
    it are at the other side. The last one may be incomplete.
    """

    lines: list[bytes] = field(default_factory=list)
    first: int = 0


def checksum(record: Record) -> str:
    """SHA-256 of a record's canonical JSON, in hexadecimal digits."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def frame(record: Record) -> bytes:
    """A record as it is written: its checksum, then itself."""
    return f"{checksum(record)} {json.dumps(record)}".encode()


def unframe(line: bytes) -> Record | None:
    """The record of a frame; ``None`` where it is incomplete or damaged."""
    claimed, _, text = line.decode().partition(" ")
    try:
        record: Record = json.loads(text)
    except ValueError:
        return None
    return record if checksum(record) == claimed else None


class Journal:
    """The sender's records on a medium. Building one is what happens at power-up.

    Args:
        medium: what is left from before.
        capacity: records that it holds at most.
    """

    def __init__(self, medium: Medium, capacity: int, traits: StoreTraits | None = None) -> None:
        traits = traits or StoreTraits()
        self._medium = medium
        self._capacity = capacity
        self._writing: Record | None = None
        if not traits.keeps_without_power:
            medium.lines.clear()
        found = [unframe(line) for line in medium.lines]
        if found and found[-1] is None and traits.checks_writing:
            medium.lines.pop()
            found.pop()
        self._records: deque[Record] = deque(record or {} for record in found)

    @property
    def full(self) -> bool:
        """Another record has no place."""
        return len(self._medium.lines) >= self._capacity

    @property
    def writing(self) -> bool:
        """A record is being written."""
        return self._writing is not None

    def begin(self, record: Record) -> None:
        """Begin to write; loss of power before :meth:`commit` leaves a part of it behind."""
        line = frame(record)
        self._medium.lines.append(line[: len(line) // 2])
        self._writing = record

    def commit(self) -> int:
        """The record is written and safe.

        Returns:
            Its number.
        """
        assert self._writing is not None
        self._medium.lines[-1] = frame(self._writing)
        self._records.append(self._writing)
        self._writing = None
        return self._medium.first + len(self._records) - 1

    def release(self, below: int) -> list[Record]:
        """The other side has everything below this number; what is no longer kept."""
        count = min(below - self._medium.first, len(self._records))
        if count <= 0:
            return []
        del self._medium.lines[:count]
        self._medium.first += count
        return [self._records.popleft() for _ in range(count)]

    def pending(self) -> Iterator[tuple[int, Record]]:
        """Safe and not acknowledged, in order: number and record."""
        return enumerate(self._records, self._medium.first)


def packed(number: int, record: Record) -> dict[str, Any]:
    """A record as a message's body."""
    return {"n": number, "sum": checksum(record)[:16], **record}


class Inbox:
    """The receiver's records: taken in order, each once, written down before it is acknowledged."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium

    @property
    def expected(self) -> int:
        """The next number: everything below it is here."""
        return self._medium.first + len(self._medium.lines)

    def accept(self, body: Mapping[str, Any]) -> Record | None:
        """The record, where it is the next one and whole."""
        record = {key: value for key, value in body.items() if key not in ("n", "sum")}
        if body["n"] != self.expected or checksum(record)[:16] != body["sum"]:
            return None
        self._medium.lines.append(frame(record))
        return record


class Forwarder:
    """A journal with its timers: writes what it is given, sends it, and sends it again.

    Args:
        journal: where the records are kept.
        traits: deliberate defects.
        limits: ``record_write_s`` and ``record_retry_s``.
        port: for the timers and the log.
        send: ``(now_ns, body)``, where a record leaves.
    """

    def __init__(
        self,
        journal: Journal,
        traits: StoreTraits,
        limits: Mapping[str, float],
        port: Port,
        send: Callable[[int, dict[str, Any]], None],
    ) -> None:
        self._journal = journal
        self._traits = traits
        self._port = port
        self._send = send
        self._write_ns = ns(limits["record_write_s"])
        self._retry_ns = ns(limits["record_retry_s"])
        self._waiting: deque[Record] = deque()
        self._released: deque[Record] = deque(maxlen=max(1, traits.repeats))
        self._sent_ns: dict[int, int] = {}
        self._connected = self._was_connected = False
        self._made = self._again = 0

    @property
    def full(self) -> bool:
        """There is no place for another record."""
        return self._journal.full

    def start(self, now_ns: int) -> None:
        """Begin to send what is there."""
        self._port.at(now_ns + self._retry_ns, self._retry)

    def put(self, now_ns: int, record: Record) -> None:
        """Keep one more record; one without a place is logged, not kept."""
        every = self._traits.forgets_every
        if every and self._was_connected and not self._connected:
            self._made += 1
            if self._made % every == 0:
                return
        self._waiting.append(record)
        self._write(now_ns)

    def acknowledged(self, below: int) -> None:
        """The other side has everything below this number."""
        for record in self._journal.release(below):
            self._released.append(record)
        for number in [n for n in self._sent_ns if n < below]:
            del self._sent_ns[number]

    def connection(self, now_ns: int, connected: bool) -> None:
        """Told at every look at the links."""
        if connected and not self._connected and self._was_connected and self._traits.repeats:
            self._waiting.extend(self._released)
            self._write(now_ns)
        self._connected = connected
        self._was_connected = self._was_connected or connected

    def _write(self, now_ns: int) -> None:
        if self._journal.writing or not self._waiting:
            return
        record = self._waiting.popleft()
        if self._journal.full:
            self._port.log(now_ns, "record-refused", {"reason": "no place"})
            return
        self._journal.begin(record)
        self._port.at(now_ns + self._write_ns, self._written)

    def _written(self, now_ns: int) -> None:
        self._journal.commit()
        self._forward(now_ns)
        self._write(now_ns)

    def _retry(self, now_ns: int) -> None:
        self._forward(now_ns)
        self._port.at(now_ns + self._retry_ns, self._retry)

    def _forward(self, now_ns: int) -> None:
        """Send, in order, what is new or was sent too long ago."""
        if not self._connected:
            return
        for place, (number, record) in enumerate(self._journal.pending()):
            if place >= WINDOW:
                return
            last = self._sent_ns.get(number)
            if last is not None and now_ns - last < self._retry_ns:
                continue
            self._sent_ns[number] = now_ns
            self._send(now_ns, packed(number, self._altered(record)))

    def _altered(self, record: Record) -> Record:
        """The record itself, but for a defect."""
        if not self._traits.corrupts_every:
            return record
        self._again += 1
        if self._again % self._traits.corrupts_every:
            return record
        values = record.get("values", {})
        return {**record, "values": {name: value + 1 for name, value in values.items()}}
