"""A part of the work, done beside the rest by a second process.

Python runs one thread at a time, and many small steps of numpy do not change that. A forked process
has all that was read so far, without a copy. What it finds comes back through memory that bears no
name: nothing is left behind, however either of the two ends.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import pickle
import signal
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from bench.errors import InputError

T = TypeVar("T")
Own = TypeVar("Own")

_LEAST_BYTES = 16 << 20
"""Smaller captures are read before a second process would have gained anything."""

_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM})
_HEAD = struct.Struct("=QQ")
_ALIGN = 64
_LARGE = 1 << 16
_PR_SET_PDEATHSIG = 1


def hands(*files: Path) -> int:
    """How many processes may share the work on these files: 1 or 2.

    One for small ones, where there is one processor only, where the system has no memory without a
    name (Linux has), and beside other threads, with which a process cannot be forked safely.
    """
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    try:
        size = sum(path.stat().st_size for path in files if path.is_file())
    except OSError:
        return 1
    return 2 if size >= _LEAST_BYTES and len(os.sched_getaffinity(0)) > 1 else 1


def shares(sizes: Sequence[int], ahead: int = 0) -> tuple[list[int], list[int]]:
    """Two shares of about the same size: places of ``sizes``, each share in their order.

    ``ahead``: what the first share has to do besides.
    """
    parts: tuple[list[int], list[int]] = ([], [])
    load = [ahead, 0]
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        lighter = 0 if load[0] <= load[1] else 1
        parts[lighter].append(place)
        load[lighter] += sizes[place]
    return sorted(parts[0]), sorted(parts[1])


class Ended(InputError):
    """The second process was ended from outside."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"the second process of this command was ended from outside (signal {number}), "
            "perhaps because memory was short",
            remedy="start again, with more memory or smaller captures",
        )


class Undone(Exception):
    """The second process did not do its work: it could not be made, or the work raised.

    To be done here, then; what is wrong with it is told there.
    """


class Beside(Generic[T]):
    """Has ``work`` done by another process while the block runs; it ends with the block.

    ``work`` must touch nothing but what it is given: of threads, locks and files it has copies.
    What it returns is pickled; arrays are not copied on this side, and can be written to.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._pid = self._memory = -1

    def __enter__(self) -> Beside[T]:
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._memory, parent = os.memfd_create("bench-beside"), os.getpid()
            with warnings.catch_warnings():
                # Other threads are numpy's, which the child does not use, and this command's own.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
            if self._pid == 0:
                _child(self._work, self._memory, parent)
        except OSError:  # no more processes or memory: told by result()
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._pid > 0:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1

    def result(self) -> T:
        """What the work returned; waits for it.

        Raises:
            Undone: it is to be done here.
            Ended: the process was ended from outside.
        """
        if self._pid < 0:
            raise Undone
        status = self._wait()
        if os.WIFSIGNALED(status):
            raise Ended(os.WTERMSIG(status))
        if status:
            raise Undone
        found: T = _taken(self._memory)
        return found

    def _wait(self) -> int:
        try:
            return os.waitpid(self._pid, 0)[1]
        except ChildProcessError:  # whoever started this command has ends of processes ignored
            return 0
        finally:
            self._pid = -1


def both(mine: Callable[[], Own], theirs: Callable[[], T], hands: int) -> tuple[Own, T]:
    """Two works done at once, where there are two hands; what the first raises comes first.

    Raises:
        Ended: the second process was ended from outside.
    """
    if hands < 2:
        return mine(), theirs()
    with Beside(theirs) as other:
        own = mine()
        try:
            return own, other.result()
        except Undone:
            pass
    return own, theirs()


def _child(work: Callable[[], object], memory: int, parent: int) -> None:
    """Do the work and end; never returns."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before it could be asked for
            return
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends this
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        gc.disable()
        _put(memory, work())
        code = 0
    finally:
        os._exit(code)


def _put(memory: int, found: object) -> None:
    """Write arrays, then all else, then where that is."""
    arrays: list[pickle.PickleBuffer] = []
    data = pickle.dumps(found, protocol=5, buffer_callback=arrays.append)
    at, spans = _ALIGN, []
    for array in arrays:
        raw = array.raw()
        spans.append((at, len(raw)))
        _write(memory, raw, at)
        at += -(-len(raw) // _ALIGN) * _ALIGN
        array.release()
    rest = memoryview(pickle.dumps((spans, data)))
    _write(memory, rest, at)
    _write(memory, memoryview(_HEAD.pack(at, len(rest))), 0)


def _write(memory: int, data: memoryview, at: int) -> None:
    while len(data):
        count = os.pwrite(memory, data, at)
        data, at = data[count:], at + count


def _taken(memory: int) -> Any:
    """What :func:`_put` wrote; arrays lie in the same memory.

    Raises:
        Undone: nothing, or not all of it, was written.
    """
    if os.fstat(memory).st_size < _HEAD.size:
        raise Undone
    room = memoryview(mmap.mmap(memory, 0))
    at, size = _HEAD.unpack_from(room)
    if not size:
        raise Undone
    spans, data = pickle.loads(room[at : at + size])
    arrays = (room[start : start + length] for start, length in spans)
    # The memory stays as long as any array in it: small ones must not keep the others.
    kept = [array if len(array) >= _LARGE else bytearray(array) for array in arrays]
    return pickle.loads(data, buffers=kept)
