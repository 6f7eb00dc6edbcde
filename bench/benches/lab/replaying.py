"""A laboratory carried out again from its transcript: every answer out of it, no instrument.

The transcript tells what was asked of the laboratory (:mod:`bench.benches.lab.telling`). The same
is asked again of a laboratory whose bench file is given, and whose instruments are the transcript:
so the drivers, the calibration and the checks are those of now, and must send the same bytes, read
the same levels and come to the same ends as then. The host's clock shows what it showed then, where
something follows from it; nothing is waited for.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.benches.lab.cells import CHANGE, Cells, Rehearsed
from bench.benches.lab.file import BenchFile
from bench.benches.lab.handling import Contacts
from bench.benches.lab.hands import Attendant
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.other_network import Neighbour
from bench.benches.lab.powering import Power
from bench.benches.lab.telling import ROLE, TELLS
from bench.errors import InputError
from bench.network.radio.exposure import Exposure
from bench.network.radio.state import Emission
from bench.network.scenario import CellChange
from bench.sessions.codec import from_json
from bench.units import NS_PER_S
from instruments.contacts.files import ConfiguredBox
from instruments.contacts.played import box_of
from instruments.files import Configured
from instruments.modem.played import port_of
from instruments.visa.errors import InstrumentError
from instruments.visa.replay import Playback
from instruments.visa.transcript import Entry, Transcript, check_entries, read_transcript


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the replay leaves the transcript.

    ``line``: of ``file``; None: behind its end. ``session``: within which, empty outside of any.
    ``what``: ``sent`` (bytes to an instrument), ``reading`` (what came of the answers) or
    ``course`` (something else happens there). ``now``, ``then``: in the replay and as recorded.
    """

    file: str
    line: int | None
    role: str
    session: str
    what: str
    now: str
    then: str

    def words(self) -> str:
        """In one line."""
        where = f"line {self.line}" if self.line is not None else "behind its end"
        within = f", session {self.session}" if self.session else ""
        return f"{self.file}, {where}{within}: {self.role} {self.now}; recorded: {self.then}"


@dataclass(frozen=True, slots=True)
class Again:
    """What came of one transcript.

    ``messages``: how many messages were sent again as they were, by role. ``readings``: what the
    monitor, contact boxes and the device's supply read, and ``actions``: what was asked of the
    laboratory, that came to the same. ``left_out``: roles that are not carried out again, since an
    older version does not tell what was done with them, with how many messages they have.
    ``ends``: why it does not go to the end; empty where it does. ``differences``: the first one.
    """

    file: str
    messages: Mapping[str, int]
    readings: int
    actions: int
    sessions: tuple[str, ...]
    left_out: Mapping[str, int]
    ends: str
    differences: tuple[Difference, ...]


class _Played(Laboratory):
    """A laboratory whose instruments are a transcript; nothing is leased, opened or simulated."""

    def __init__(
        self,
        file: BenchFile,
        playback: Playback,
        transcript: Transcript,
        on: datetime.date,
        locks: Path,
    ) -> None:
        super().__init__(file, transcript, on=on, lock_folder=locks)
        self._playback = playback
        told = [json.loads(entry.data) for entry in playback.entries if entry.role == ROLE]
        self._tells = TELLS in told
        self._clock = iter([note["clock_ns"] for note in told if "clock_ns" in note])
        self._now_ns = 0
        fed = {file.power.supply} if file.power is not None else set()
        self.left_out = frozenset() if self._tells else frozenset({*file.boxes, *fed})

    def tell(self, fields: Mapping[str, Any]) -> None:
        """As of a laboratory; of an older transcript without the note that this tells more."""
        if fields != TELLS or self._tells:
            super().tell(fields)

    def now_ns(self) -> int:
        """What the clock showed then, reading by reading; it stands still behind the last one."""
        self._now_ns = next(self._clock, self._now_ns)
        self.tell({"clock_ns": self._now_ns})
        return self._now_ns

    def sleep(self, seconds: float) -> None:
        """Nothing is waited for."""

    @cached_property
    def attending(self) -> Mapping[str, Attendant]:
        """Who stands beside the device, once the laboratory is entered."""
        found: dict[str, Attendant] = {}
        if self.feed is not None:
            found[Power.__name__] = Power(self.feed)
        wired = self.file.contacts
        if wired is not None and wired.box in self.boxes:
            found[Contacts.__name__] = Contacts(self.boxes[wired.box], wired, self)
        return found

    def _take(self, stack: ExitStack) -> None:
        """Nothing is taken."""

    def _address(self, role: str, given: str) -> str:
        """One of its own for each: it stands for the instrument in the locks."""
        number = 1 + self.file.all_instruments.index(role)
        return f"TCPIP::127.0.0.1::{number}::SOCKET" if role in self.file.simulated else given

    def _open(self, stack: ExitStack, role: str, one: Configured) -> None:
        if role not in self.left_out:
            super()._open(stack, role, one)

    def _open_box(self, stack: ExitStack, role: str, one: ConfiguredBox) -> None:
        if role not in self.left_out:
            super()._open_box(stack, role, one)

    def _session_options(self, role: str) -> Mapping[str, Any]:
        return {
            **super()._session_options(role),
            "connector": self._playback.connect,
            "sleep": lambda _: None,
        }

    def _box_options(self, role: str) -> Mapping[str, Any]:
        return {"kind": box_of(self._playback)}

    def _modem_options(self, role: str) -> Mapping[str, Any]:
        return {"opener": port_of(role, self._playback)}


def replay(file: BenchFile, path: Path) -> Again:
    """Carry the laboratory's part of a run out again.

    Args:
        file: the bench file, as it is now.
        path: the transcript of the whole run; its hash chain is checked.

    Raises:
        InputError: no transcript, a broken chain, or one of a run that tells nothing.
    """
    entries = read_transcript(path)
    if not any(entry.role == ROLE for entry in entries):
        raise InputError(
            "does not tell what was done in the laboratory",
            remedy="give a run that was made in one, by this version",
            file=path,
        )
    playback = Playback(entries, noted=file.boxes)
    again = playback.transcript()
    on = datetime.datetime.fromtimestamp(entries[0].utc_ns / NS_PER_S, datetime.UTC).date()
    with TemporaryDirectory() as locks:
        laboratory = _Played(file, playback, again, on, Path(locks))
        ends = _carried_out(laboratory, playback, entries)
    return _compared(laboratory, playback, entries, check_entries(again.entries), ends, path.name)


def _carried_out(lab: _Played, playback: Playback, entries: Sequence[Entry]) -> str:
    """Take the laboratory, ask the same of it, leave it; why it does not go to the end."""
    told = [json.loads(entry.data) for entry in entries if entry.role == ROLE]
    ends = ""
    stack = ExitStack()
    try:
        stack.enter_context(lab)
        for number, note in enumerate(told):
            if "session" in note:
                lab.tell(note)
            if "does" not in note:
                continue
            came = next((one for one in told[number + 1 :] if {"came", "raised"} & set(one)), None)
            if came is None or came.get("raised") in ("KeyboardInterrupt", "SystemExit"):
                ends = f"the run was cut short within {note['does']}"
                break
            with suppress(Exception):  # it is told, and compared
                _do(lab, note["does"], note["with"])
            if playback.difference is not None:
                break
    except InstrumentError as error:
        ends = str(error) if playback.difference is None else ""
    with suppress(InstrumentError):  # what differs is known by then
        if not ends:
            stack.close()
    return ends


def _do(lab: _Played, what: str, given: Sequence[Any]) -> None:
    kind, _, name = what.partition(".")
    if what == CHANGE:
        asked = from_json(CellChange, given[0], file=ROLE, field="with")
        Cells(lab).change(asked, Rehearsed())
    elif kind == Neighbour.__name__:
        emissions = [from_json(Emission, one, file=ROLE, field="with") for one in given]
        getattr(Neighbour(lab), name)(*emissions)
    elif kind in (Contacts.__name__, Power.__name__):
        getattr(lab.attending[kind], name)(*given)
    elif kind == "Cells":
        getattr(Cells(lab), name)()
    elif name == "arm":
        exposures = from_json(tuple[Exposure, ...], list(given), file=ROLE, field="with")
        lab.arm(*exposures)
    else:
        getattr(lab, name)(*given)


def _compared(
    lab: _Played,
    playback: Playback,
    then: Sequence[Entry],
    now: Sequence[Entry],
    ends: str,
    file: str,
) -> Again:
    """What came of it: all up to the first difference counts."""
    wires = _of_wires(lab, playback, then, file, ends)
    limit = len(then)
    if wires and wires[0].line is not None:
        limit = wires[0].line - 1
    notes = [entry for entry in then if entry.role == ROLE and entry.n < limit]
    again = (entry for entry in now if entry.role == ROLE)
    pairs = list(zip(notes, again, strict=False))
    unlike = next((pair for pair in pairs if not _same(pair[0].data, pair[1].data)), None)
    differences = wires
    if unlike is not None:
        before, after = unlike
        session = _session_at(then, before.n)
        notes = [entry for entry in notes if entry.n < before.n]
        differences = (
            Difference(
                file, before.n + 1, ROLE, session, "reading", f"comes to {after.data}", before.data
            ),
        )
    told = [json.loads(entry.data) for entry in notes[: len(pairs)]]
    left_out = {
        role: sum(entry.role == role and entry.kind == "tx" for entry in then)
        for role in sorted(lab.left_out)
    }
    return Again(
        file=file,
        messages=dict(playback.played),
        readings=sum("reads" in one for one in told),
        actions=sum("came" in one or "raised" in one for one in told),
        sessions=tuple(one["session"] for one in told if "session" in one),
        left_out=left_out,
        ends=ends,
        differences=differences,
    )


def _of_wires(
    lab: _Played, playback: Playback, then: Sequence[Entry], file: str, ends: str
) -> tuple[Difference, ...]:
    """The first difference in what was sent, or what was never sent again."""
    found = playback.difference
    if found is not None:
        entry = found.entry
        if entry is None:
            recorded, line = "no more of it", None
        else:
            recorded = f"sends {entry.raw!r}" if entry.kind == "tx" else entry.kind
            recorded = entry.data if entry.kind == "note" else recorded
            line = entry.n + 1
        what = "sent" if found.sent is not None else "course"
        session = _session_at(then, len(then) if entry is None else entry.n)
        return (Difference(file, line, found.role, session, what, found.doing, recorded),)
    roles = [role for role in playback.roles if role not in lab.left_out]
    rest = [e for role in roles for e in playback.queue(role) if e.kind in ("tx", "open")]
    if ends or not rest:
        return ()
    first = min(rest, key=lambda entry: entry.n)
    there = first.role in lab.file.all_instruments
    return (
        Difference(
            file, first.n + 1, first.role, _session_at(then, first.n), "sent",
            "sends nothing more" if there else "is not in the bench file",
            f"sends {first.raw!r}" if first.kind == "tx" else "is opened",
        ),
    )  # fmt: skip


def _session_at(entries: Sequence[Entry], n: int) -> str:
    """The session that was going on at an entry."""
    for entry in reversed(entries[:n]):
        if entry.role == ROLE and (found := json.loads(entry.data).get("session")):
            return str(found)
    return ""


_SEEN = (
    "Unverified", "NotCalibrated", "InputError", "Excess", "NotApplied", "NotWitnessed", "Tainted",
)  # fmt: skip
"""What is raised for what was read; the words of the others are those of operating systems."""


def _same(then: str, now: str) -> bool:
    if then == now:
        return True
    before, after = json.loads(then), json.loads(now)
    kind = before.get("raised")
    return kind is not None and kind == after.get("raised") and kind not in _SEEN
