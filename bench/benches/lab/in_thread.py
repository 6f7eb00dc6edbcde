"""What instruments do beside a session's packets, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bench.benches.base import BenchError

_END_WITHIN_S = 30.0


class InThread:
    """One piece of work that begins with a session and can be given up.

    Args:
        name: of the thread, and what is said not to end.

    ``problem``: why it gave up; empty while it has not. ``stopped``: set once it is to give up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self.stopped = threading.Event()
        self.problem = ""

    def start(self, work: Callable[[], None]) -> None:
        """Begin; what ``work`` raises becomes the problem."""

        def run() -> None:
            try:
                work()
            except Exception as error:  # the session's thread says it
                self.problem = f"an instrument failed: {error}"

        self._thread = threading.Thread(target=run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up where it stands; its instruments can be used again when this returns."""
        self.stopped.set()
        if self._thread is not None:
            self._thread.join(_END_WITHIN_S)

    def join(self) -> None:
        """Wait for its end.

        Raises:
            BenchError: it failed, or does not end.
        """
        assert self._thread is not None, "the session has begun"
        self._thread.join(_END_WITHIN_S)
        if self.problem or self._thread.is_alive():
            raise BenchError(self.problem or f"the {self._name} does not come to an end")


class AtWork:
    """What conductors have in common (:mod:`bench.benches.local.conductor`): work in a thread.

    Args:
        name: of the work.
    """

    def __init__(self, name: str) -> None:
        self._work = InThread(name)

    @property
    def able(self) -> frozenset[str]:
        """The actions that it carries out: none, where nothing else is said."""
        return frozenset()

    @property
    def problem(self) -> str:
        """Why it gave up; empty while it has not."""
        return self._work.problem

    def stop(self) -> None:
        """Give up where it stands; its instruments can be used again when this returns."""
        self._work.stop()
