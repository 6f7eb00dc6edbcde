"""Who watches a run, and how a session's observations reach both the folder and them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from bench.benches.base import Progress
from bench.judge.scope import ScopeItem
from bench.judge.verdict import Verdict
from bench.runs.session_writer import SessionWriter
from bench.sessions.recording import Event, Session

if TYPE_CHECKING:
    from bench.studies.run import Run


class Observer(Protocol):
    """Who watches a run: a live display, plain lines, JSON lines. Never part of a verdict."""

    def opened(self, run: Run) -> None:
        """The run folder exists and the bench is taken."""

    def scope(self, items: Sequence[ScopeItem]) -> None:
        """The scope is settled."""

    def session(self, session: Session, index: int, total: int) -> None:
        """A session starts."""

    def progress(self, progress: Progress) -> None:
        """A session goes on."""

    def event(self, event: Event) -> None:
        """Something happened in the session."""

    def verdict(self, verdict: Verdict) -> None:
        """A verdict was reached."""

    def note(self, text: str) -> None:
        """Anything else worth a line."""


class Tee:
    """The sink of a session: the folder first, then whoever watches."""

    def __init__(self, writer: SessionWriter, observer: Observer) -> None:
        self.packets = writer.packets
        self.capture_path = writer.capture_path
        self._writer = writer
        self._observer = observer

    def event(self, event: Event) -> None:
        """To the folder, then to the watcher."""
        self._writer.event(event)
        self._observer.event(event)

    def progress(self, progress: Progress) -> None:
        """To the watcher."""
        self._observer.progress(progress)
