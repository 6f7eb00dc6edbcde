"""Forked children that carry an emulator's work and report through a pipe.

A child ignores the terminal's interrupt (its parent ends it by closing a pipe) and dies with
its parent, so nothing is left after SIGKILL. Through the same pipe it gets commands (plain data,
:class:`Commands`). Lines of JSON come back: ``{"event": "ready"}``, answers to commands, then
``{"event": "report", "report": …}`` or ``{"event": "error", "message": …}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pickle
import select
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from instruments.emulators.base import EmulatorError

_PR_SET_PDEATHSIG = 1
Job = Callable[[int, int], None]
"""Called in the child with the command pipe (ends when closed) and the report pipe."""


class Waitable(Protocol):
    """What select takes."""

    def fileno(self) -> int:
        """The descriptor."""


def send_event(report_fd: int | None, event: str, **data: Any) -> None:
    """Write one line of JSON to the report pipe, whole; nothing where there is none."""
    if report_fd is None:
        return
    line = json.dumps({"event": event, **data}).encode() + b"\n"
    while line:
        line = line[os.write(report_fd, line) :]


class Commands:
    """The child's end of the command pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.closed = False
        self._data = b""

    def take(self) -> list[Any]:
        """What has been told since; reads once (call it when ``fd`` is readable).

        Sets ``closed`` where the parent has closed its end, which means: stop.
        """
        data = os.read(self.fd, 1 << 16)
        self.closed = not data
        self._data += data
        told = []
        while len(self._data) >= 4:
            length = int.from_bytes(self._data[:4], "little")
            if len(self._data) < 4 + length:
                break
            told.append(pickle.loads(self._data[4 : 4 + length]))
            self._data = self._data[4 + length :]
        return told


@dataclass(slots=True)
class _Child:
    name: str
    pid: int
    stop_fd: int
    report_fd: int
    text: bytes = b""
    lines: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False


class Workers:
    """A set of forked children. Start them from a thread that lives as long as they should."""

    def __init__(self) -> None:
        self._children: list[_Child] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """The children's process ids."""
        return tuple(child.pid for child in self._children)

    def add(self, name: str, job: Job) -> None:
        """Fork a child that does ``job``."""
        stop_read, stop_write = os.pipe()
        report_read, report_write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            inherited = [fd for child in self._children for fd in (child.stop_fd, child.report_fd)]
            _child(job, parent, stop_read, report_write, [stop_write, report_read, *inherited])
        os.close(stop_read)
        os.close(report_write)
        self._children.append(_Child(name, pid, stop_write, report_read))

    def wait_ready(self, within_s: float = 5.0) -> None:
        """Wait until every child is ready.

        Raises:
            EmulatorError: one failed or did not get ready in time; all are ended then.
        """
        deadline = time.monotonic() + within_s
        try:
            for child in self._children:
                self._line(child, "ready", deadline)
        except EmulatorError:
            self.kill()
            raise

    def tell(self, number: int, command: object) -> None:
        """Send a command (plain data that pickles) to the child that was added as ``number``.

        Raises:
            EmulatorError: it has ended.
        """
        child = self._children[number]
        data = pickle.dumps(command)
        data = len(data).to_bytes(4, "little") + data
        try:
            while data:
                data = data[os.write(child.stop_fd, data) :]
        except OSError as error:
            raise EmulatorError(f"{child.name} takes no commands: {error}") from error

    def answer(self, number: int, event: str, within_s: float = 2.0) -> Mapping[str, Any]:
        """The next line of that event from a child, waiting for it.

        Raises:
            EmulatorError: it failed, ended or did not answer in time.
        """
        return self._line(self._children[number], event, time.monotonic() + within_s)

    def first(
        self, number: int, events: Sequence[str], within_s: float, unless: Waitable | None = None
    ) -> Mapping[str, Any] | None:
        """The next line of one of these events from a child; None where ``unless`` came first.

        Raises:
            EmulatorError: it failed, ended or said none of them in time.
        """
        child = self._children[number]
        return self._await(child, events, time.monotonic() + within_s, unless)

    def stop(self, within_s: float = 5.0) -> list[dict[str, Any]]:
        """End every child and give their reports, in the order they were added.

        Raises:
            EmulatorError: one failed, died or did not report in time; all are ended then.
        """
        deadline = time.monotonic() + within_s
        for child in self._children:
            _close(child)
        try:
            return [
                dict(self._line(child, "report", deadline)["report"]) for child in self._children
            ]
        finally:
            self.kill()

    def kill(self) -> None:
        """End what is still running, at once; harmless when called again."""
        for child in self._children:
            with contextlib.suppress(ProcessLookupError):
                if not child.ended or not _gone(child.pid):
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
            _close(child)
            os.close(child.report_fd)
        self._children.clear()

    def _line(self, child: _Child, event: str, deadline: float) -> Mapping[str, Any]:
        line = self._await(child, (event,), deadline)
        assert line is not None, "nothing else was waited for"
        return line

    def _await(
        self,
        child: _Child,
        events: Sequence[str],
        deadline: float,
        unless: Waitable | None = None,
    ) -> Mapping[str, Any] | None:
        waited_for: list[Any] = [child.report_fd, *([] if unless is None else [unless])]
        while True:
            while child.lines:
                line = child.lines.pop(0)
                if line["event"] == "error":
                    raise EmulatorError(f"{child.name}: {line['message']}")
                if line["event"] in events:
                    return line
            if child.ended:
                raise EmulatorError(f"{child.name} ended without saying {events[-1]}")
            left = deadline - time.monotonic()
            ready = select.select(waited_for, [], [], left)[0] if left > 0 else []
            if not ready:
                raise EmulatorError(f"{child.name} did not say {events[-1]} in time")
            if child.report_fd not in ready:
                return None
            data = os.read(child.report_fd, 1 << 16)
            child.ended = not data
            *lines, child.text = (child.text + data).split(b"\n")
            child.lines += [json.loads(line) for line in lines]


def _close(child: _Child) -> None:
    if child.stop_fd >= 0:
        os.close(child.stop_fd)
        child.stop_fd = -1


def _gone(pid: int, within_s: float = 0.5) -> bool:
    """Whether a child that closed its pipe has ended (and is reaped)."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.002)
    return False


def _child(job: Job, parent: int, stop_fd: int, report_fd: int, close: list[int]) -> None:
    """The child's whole life; never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(code)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for fd in close:
            if fd >= 0:
                os.close(fd)
        job(stop_fd, report_fd)
        code = 0
    except BaseException as error:
        with contextlib.suppress(OSError):
            send_event(report_fd, "error", message=f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)
