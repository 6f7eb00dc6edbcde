"""Where an audit log is kept: chained entries, what is safely stored, and the medium's troubles.

Each entry's ``chain`` is the SHA-256 of the chain before it and of the entry's canonical JSON, so
that a changed, removed, added or moved entry no longer fits. The anchor (number of entries and
last chain) lies apart from the entries: without it the end could be cut off, or everything be
chained anew, and still fit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

GENESIS = "0" * 64
"""The chain before the first entry."""


class Commit(StrEnum):
    """Where one entry stands."""

    BUFFERED = "buffered"
    SYNCED = "synced"
    LOST = "lost"


class CommitEvent(StrEnum):
    """What can happen to one entry."""

    SYNC = "sync"
    POWER_CUT = "power-cut"


TRANSITIONS: Mapping[tuple[Commit, CommitEvent], Commit] = {
    (Commit.BUFFERED, CommitEvent.SYNC): Commit.SYNCED,
    (Commit.BUFFERED, CommitEvent.POWER_CUT): Commit.LOST,
    (Commit.SYNCED, CommitEvent.SYNC): Commit.SYNCED,
    (Commit.SYNCED, CommitEvent.POWER_CUT): Commit.SYNCED,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``number`` counts from 1; ``clock_ns`` is the device's own clock."""

    number: int
    clock_ns: int
    kind: str
    name: str
    content: Any
    chain: str = ""

    def after(self, chain: str) -> Entry:
        """The same entry, chained to what is before it."""
        fields = [chain, self.number, self.clock_ns, self.kind, self.name, self.content]
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return replace(self, chain=hashlib.sha256(text.encode()).hexdigest())

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {field: getattr(self, field) for field in self.__slots__}


@dataclass(frozen=True, slots=True)
class Anchor:
    """What is known of the log apart from its entries."""

    count: int = 0
    chain: str = GENESIS


def chained(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with the chain that belongs to them."""
    chain, out = GENESIS, []
    for entry in entries:
        out.append(entry.after(chain))
        chain = out[-1].chain
    return out


def verify(entries: Sequence[Entry], anchor: Anchor | None) -> str:
    """What is wrong with a stored log, in words; empty where nothing is.

    Args:
        anchor: of all entries; None leaves the end of the log unchecked.
    """
    chain = GENESIS
    for place, entry in enumerate(entries, 1):
        if entry.number != place:
            return f"entry {place} has the number {entry.number}"
        if entry.after(chain).chain != entry.chain:
            return f"entry {place} does not fit the chain"
        chain = entry.chain
    if anchor is not None and (len(entries), chain) != (anchor.count, anchor.chain):
        return f"the log does not end as anchored: {len(entries)} of {anchor.count} entries"
    return ""


class AuditStore:
    """The entries of one side, bounded and append-only.

    Args:
        capacity: entries that the medium takes; the last place is kept for the note that it is
            full.
        anchored: false leaves the anchor out of the check (a deliberate defect).
        overwrites: true drops the oldest entry where there is no room (a deliberate defect).
        volatile: true keeps nothing over a power cut (a deliberate defect).
    """

    def __init__(
        self,
        capacity: int,
        *,
        anchored: bool = True,
        overwrites: bool = False,
        volatile: bool = False,
    ) -> None:
        self._own_capacity = self._capacity = capacity
        self._anchored, self._overwrites, self._volatile = anchored, overwrites, volatile
        self._entries: list[Entry] = []
        self._states: list[Commit] = []
        self._head = self._anchor = Anchor()
        self._unedited: list[Entry] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries as the medium gives them out."""
        return tuple(self._entries)

    @property
    def states(self) -> tuple[Commit, ...]:
        """Where each entry stands."""
        return tuple(self._states)

    def append(
        self, clock_ns: int, kind: str, name: str, content: Any, *, last: bool = False
    ) -> bool:
        """Add an entry, buffered; false without room. ``last`` may take the last place."""
        if len(self._entries) >= self._capacity - (not last):
            if not self._overwrites or not self._entries:
                return False
            del self._entries[0], self._states[0]
        head = self._head
        entry = Entry(head.count + 1, clock_ns, kind, name, content).after(head.chain)
        self._head = Anchor(entry.number, entry.chain)
        self._entries.append(entry)
        self._states.append(Commit.BUFFERED)
        if self._unedited is not None:
            self._unedited.append(entry)
        return True

    def sync(self) -> None:
        """Everything buffered is stored for good, and anchored."""
        self._happens(CommitEvent.SYNC)
        self._anchor = self._head

    def power_cut(self) -> None:
        """What is not synced is lost, and nothing else."""
        if self._volatile:
            self._states = [Commit.BUFFERED] * len(self._states)
            self._anchor = Anchor()
        self._happens(CommitEvent.POWER_CUT)
        kept = [place for place, state in enumerate(self._states) if state is not Commit.LOST]
        self._entries = [self._entries[place] for place in kept]
        self._states = [self._states[place] for place in kept]
        self._head = self._anchor

    def _happens(self, event: CommitEvent) -> None:
        self._states = [TRANSITIONS[state, event] for state in self._states]

    def fill(self) -> None:
        """Somebody else fills the medium: only the last place remains."""
        self._capacity = len(self._entries) + 1

    def free(self) -> None:
        """The medium has its room again."""
        self._capacity = self._own_capacity

    def check(self) -> str:
        """The store's own check; see :func:`verify`."""
        return verify(self._entries, self._anchor if self._anchored else None)

    def edit(self, how: str) -> None:
        """The bench alters the stored entries behind the device's back; see :data:`EDITS`.

        Raises:
            KeyError: an edit that is none.
        """
        change = EDITS[how]
        if self._unedited is None and len(self._entries) >= LEAST_TO_EDIT:
            self._unedited = list(self._entries)
            self._replace(change(self._entries))

    def restore(self) -> None:
        """The bench puts back what :meth:`edit` altered."""
        if self._unedited is not None:
            self._replace(self._unedited)
            self._unedited = None

    def _replace(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._states = [Commit.SYNCED] * len(entries)


_PLACE = 2
LEAST_TO_EDIT = _PLACE + 1
"""A shorter log is not edited: the third entry is."""


def _changed(entries: list[Entry]) -> list[Entry]:
    entries[_PLACE] = replace(entries[_PLACE], clock_ns=entries[_PLACE].clock_ns + 1_000_000_000)
    return entries


def _deleted(entries: list[Entry]) -> list[Entry]:
    del entries[_PLACE]
    return entries


def _inserted(entries: list[Entry]) -> list[Entry]:
    entries.insert(_PLACE, entries[_PLACE])
    return entries


def _swapped(entries: list[Entry]) -> list[Entry]:
    entries[_PLACE - 1 : _PLACE + 1] = entries[_PLACE], entries[_PLACE - 1]
    return entries


def _rewritten(entries: list[Entry]) -> list[Entry]:
    return chained(_changed(entries))


def _truncated(entries: list[Entry]) -> list[Entry]:
    return entries[:-1]


EDITS: Mapping[str, Callable[[list[Entry]], list[Entry]]] = {
    "change": _changed,
    "delete": _deleted,
    "insert": _inserted,
    "swap": _swapped,
    "rewrite": _rewritten,
    "truncate": _truncated,
}
"""What the bench may do to a stored log. ``rewrite`` also chains everything anew."""
