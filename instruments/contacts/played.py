"""A contact box that says what a transcript has of it: its driver, without port, threads or clock.

What its threads did is done where the transcript has it: what came is taken, the clocks are
compared. What its owner asks for must be the next that was asked for then. Each entry that the
driver writes must be the one of then, and gives it the time of then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import serial

from instruments.contacts.box import GONE, ContactBox, Output
from instruments.contacts.heard import Answer
from instruments.contacts.protocol import opened
from instruments.contacts.witness import Input, Record
from instruments.visa.replay import Difference, Playback
from instruments.visa.resources import Identity
from instruments.visa.transcript import Entry, Transcript

_DOES = {"open": "is opened", "close": "is closed", "lost": "is lost", "timeout": "has no answer"}


class Followed(Transcript):
    """A transcript whose every entry must be the next one of a role in a recorded one.

    Args:
        playback: of that one, with the role's notes.
        transcript: where the entries go as well.
    """

    def __init__(self, playback: Playback, transcript: Transcript) -> None:
        super().__init__()
        self._playback, self._beside = playback, transcript

    def add(self, role: str, kind: str, data: bytes | str = b"") -> int:
        """As a transcript; the time is the recorded one.

        Raises:
            ReplayDiffers: it was another entry then.
        """
        text = data if isinstance(data, str) else data.decode("latin-1")
        if self._playback.difference is not None:
            self._playback.differ(self._playback.difference)
        left = self._playback.queue(role)
        entry = left[0] if left else None
        if entry is None or (entry.kind, entry.data) != (kind, text):
            sends = text.encode("latin-1") if kind == "tx" else None
            doing = _DOES.get(kind, text) if sends is None else f"sends {sends!r}"
            sends = sends if entry is not None and entry.kind == "tx" else None
            self._playback.differ(Difference(role, entry, doing, sends))
        left.popleft()
        if kind == "tx":
            self._playback.sent(role)
        self._beside.add(role, kind, data)
        return entry.t_ns


class PlayedBox(ContactBox):
    """The driver on a transcript; arguments as of the driver, and the playback.

    All of it raises ReplayDiffers where something else happens than then.
    """

    def __init__(
        self,
        playback: Playback,
        role: str,
        port: str,
        identity: Identity,
        inputs: Mapping[str, Input],
        outputs: Mapping[str, Output],
        reply_s: float,
        transcript: Transcript,
        *,
        lock_folder: Path | None = None,
    ) -> None:
        self._left, self._playback = playback.queue(role), playback
        self._comparing = self._hearing = False
        super().__init__(
            role, port, identity, inputs, outputs, reply_s, Followed(playback, transcript),
            lock_folder=lock_folder, opener=self._opened,
        )  # fmt: skip

    def _opened(self, *_: Any, **__: Any) -> _NoPort:
        if self._next_is("lost"):
            raise serial.SerialException(self._noted() or GONE)
        return _NoPort()

    def _next_is(self, *kinds: str) -> bool:
        return bool(self._left) and self._left[0].kind in kinds

    def _noted(self) -> str:
        """The note behind what comes next."""
        following = self._left[1] if len(self._left) > 1 else None
        return following.data if following is not None and following.kind == "note" else ""

    # ---- what the threads did ------------------------------------------------

    def _start(self, work: Callable[[], None], what: str) -> None:
        """No threads."""

    def _end(self) -> None:
        self._catch_up()

    def _catch_up(self) -> None:
        """Do all that happens before the owner's turn comes."""
        while self._step():
            pass

    def _step(self) -> bool:
        """Do what happened next; False: it is the owner's to do, or there is no more."""
        if self._next_is("rx"):
            self._hear(self._left[0].raw)
        elif self._next_is("lost") and self._serial is not None:
            self._lose(self._noted() or GONE)
        elif self._next_is("tx") and self._is_ping(self._left[0]):
            self._compare(self._left[0])
        elif not (self._comparing and self._next_is("timeout")):
            return False
        if self._comparing and (self._next_is("timeout") or not self._answers.empty()):
            self._comparing = False
            with self._telling_time():
                self._answered(self.ping.text)
        return True

    def _compare(self, entry: Entry) -> None:
        with self._telling_time():
            self._send(self.ping.text)
        if self._left and self._left[0] is entry:
            self._playback.differ(Difference(self.role, entry, f"is broken: {self._fault}"))
        self._comparing = True

    def _is_ping(self, entry: Entry) -> bool:
        try:
            return opened(entry.raw).partition(" ")[2] == self.ping.text
        except ValueError:
            return False

    def _hear(self, chunk: bytes) -> None:
        self._hearing = True
        try:
            super()._hear(chunk)
        finally:
            self._hearing = False

    def _break(self, why: str) -> None:
        while not self._fault and not self._hearing and self._next_is("rx"):
            self._step()
        super()._break(why)

    # ---- what its owner does ---------------------------------------------------

    def _ask(self, text: str) -> Answer:
        self._until_fault()
        return super()._ask(text)

    def _until_fault(self) -> None:
        """As :meth:`_catch_up`; what breaks it the owner meets first."""
        while not self._fault and self._step():
            pass

    def make_safe(self) -> None:
        """As of the driver."""
        self._until_fault()
        super().make_safe()

    def _next_answer(self) -> Answer | None:
        while self._answers.empty() and self._step():
            pass
        return self._answers.get_nowait()

    def record(self) -> Record:
        """As of the driver."""
        self._catch_up()
        return super().record()

    def forget(self) -> None:
        """As of the driver."""
        self._catch_up()
        super().forget()


class _NoPort:
    """Stands for a port."""

    def reset_input_buffer(self) -> None:
        """Nothing is there."""

    def write(self, data: bytes) -> None:
        """The transcript has it."""

    def close(self) -> None:
        """Nothing is open."""


def box_of(playback: Playback) -> Callable[..., ContactBox]:
    """What makes a box, for :meth:`~instruments.contacts.files.ConfiguredBox.session`."""
    return lambda role, *args, **kwargs: PlayedBox(playback, role, *args, **kwargs)
