"""A modem's serial port that answers as a transcript says."""

from __future__ import annotations

import threading
from typing import Any

import serial

from instruments.visa.errors import ReplayDiffers
from instruments.visa.replay import Difference, Playback

_AWAIT_S = 5.0
"""So long the reader may take to read what came before the next command."""


class PlayedPort:
    """Stands for :class:`serial.Serial`, as far as :class:`~instruments.modem.modem.Modem` uses it.

    Args:
        role: the modem's.
        playback: of the transcript.

    Raises:
        SerialException: the port was not opened then.
    """

    def __init__(self, role: str, playback: Playback) -> None:
        self._role, self._playback = role, playback
        self._queue, self._changed = playback.queue(role), threading.Condition()
        if not self._queue or self._queue[0].kind != "open":
            raise serial.SerialException("was not opened when this was recorded")
        self._queue.popleft()

    @property
    def in_waiting(self) -> int:
        """Bytes of what came next."""
        with self._changed:
            return len(self._queue[0].raw) if self._queue and self._queue[0].kind == "rx" else 0

    def write(self, data: bytes) -> None:
        """What is sent must be what was sent, once what had come before it was read.

        Raises:
            SerialException: it is another, or nothing was sent then any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self.in_waiting, _AWAIT_S)
            while self._queue and self._queue[0].kind == "timeout":
                self._queue.popleft()
            entry = self._queue[0] if self._queue else None
            known = self._playback.difference
            if known is None and entry is not None and (entry.kind, entry.raw) == ("tx", data):
                self._queue.popleft()
                self._playback.sent(self._role)
                self._changed.notify_all()
                return
        told = data if entry is not None and entry.kind == "tx" else None
        try:
            self._playback.differ(known or Difference(self._role, entry, f"sends {data!r}", told))
        except ReplayDiffers as error:
            raise serial.SerialException(str(error)) from error

    def read(self, size: int) -> bytes:
        """What came then; nothing where the next thing was something else.

        Raises:
            SerialException: the port was gone then.
        """
        with self._changed:
            if not self.in_waiting:
                if self._queue and self._queue[0].kind == "lost":
                    self._queue.popleft()
                    raise serial.SerialException("recorded")
                self._changed.wait(0.01)
                return b""
            raw = self._queue.popleft().raw
            self._changed.notify_all()
            return raw

    def close(self) -> None:
        """As a port: what came while it was closed is left unread then as now."""
        with self._changed:
            if self._queue and self._queue[0].kind == "close":
                self._queue.popleft()


def port_of(role: str, playback: Playback) -> Any:
    """What opens a modem's port, for :class:`~instruments.modem.modem.Modem`."""
    return lambda *_, **__: PlayedPort(role, playback)
