"""Live progress of a run: a redrawn display on a terminal, sparse plain lines elsewhere.

No threads: the display is drawn only from the calls that feed it, so nothing disturbs forks or
signals. Leaving the context restores the terminal, also on an exception or Ctrl-C.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.report.words import percent, plain, quantity
from bench.sessions.recording import Event, Session

REDRAW_S = 0.2
"""A terminal is redrawn at most this often."""

HEARTBEAT_S = 10.0
"""Without a terminal, silence is broken at most this often."""

_MOST_ALARMS, _MOST_STREAMS = 6, 14
_PRIORITY_STYLES = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_ROLE_STYLES = {"within": "green", "at": "yellow", "beyond": "magenta"}


class ProgressLike(Protocol):
    """What a bench reports while it runs (``bench.benches.base.Progress``)."""

    @property
    def session(self) -> str:
        """Session id."""

    @property
    def scenario(self) -> str:
        """Scenario name."""

    @property
    def step(self) -> str:
        """Step name."""

    @property
    def role(self) -> str:
        """``within``, ``at`` or ``beyond``."""

    @property
    def t_s(self) -> float:
        """Session time in s."""

    @property
    def end_s(self) -> float:
        """End of the session in s."""

    @property
    def streams(self) -> Mapping[str, tuple[float | None, float]]:
        """Per stream the median delay in s and the loss ratio of about the last second."""


class LiveDisplay:
    """Shows where a run stands; fed from one thread. Close it, or use it as a context manager.

    Args:
        console: where to show; standard error if not given, so that standard output stays free.
        sessions: planned number of sessions, ``None`` where it is not known yet.
        clock: monotonic seconds.

    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        sessions: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.sessions = sessions
        self._clock = clock
        self._started = clock()
        self._number = 0
        self._session = ""
        self._title = ""
        self._now: ProgressLike | None = None
        self._step: tuple[str, str] | None = None
        self._alarms: deque[tuple[str, str]] = deque(maxlen=_MOST_ALARMS)
        self._last_draw = float("-inf")
        self._last_line = clock()
        self._live: Live | None = None
        self._opened = self._closed = False
        self._owner = os.getpid()  # a forked child must not touch the terminal

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Begin to show; done by the first session where it is left out."""
        if self._opened:
            return
        self._opened = True
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            return
        self._live = Live(
            console=self.console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False,
        )  # fmt: skip
        atexit.register(self.close)  # whoever forgets to close still gets the cursor back
        try:
            self._live.start()
        except BaseException:  # Ctrl-C while the cursor is being hidden
            self.close()
            raise

    def close(self) -> None:
        """Take the display away and restore the terminal. May be called twice."""
        self._closed = True
        live, self._live = self._live, None
        if live is not None and os.getpid() == self._owner:
            atexit.unregister(self.close)
            with contextlib.suppress(OSError, ValueError):  # the terminal went away
                live.stop()

    def session(self, session: Session, index: int, total: int | None = None) -> None:
        """A session begins: the ``index``-th (from 1) of ``total``."""
        self.session_started(session.id, session.scenario.title, index=index, total=total)

    def session_started(
        self, session: str, title: str = "", *, index: int | None = None, total: int | None = None
    ) -> None:
        """A session begins; ``title`` says in words what it is."""
        self.open()
        self._number = self._number + 1 if index is None else index
        self.sessions = total if total is not None else self.sessions
        self._session, self._title = session, plain(title)
        self._now = self._step = None
        self._alarms.clear()
        self._tell(f"{self._place()} {plain(session)}" + (f": {self._title}" if title else ""))
        self._draw(force=True)

    def line(self, text: str) -> None:
        """A line that stays: above the display on a terminal, as it is elsewhere."""
        if self.console.is_terminal:
            self.console.print(Text(plain(text)))
        else:
            self._tell(plain(text))

    def progress(self, progress: ProgressLike) -> None:
        """Where the running session stands. May be called as often as the bench likes."""
        if self._closed:
            return
        if progress.session != self._session:
            self.session_started(progress.session, progress.scenario)
        step = (progress.step, progress.role)
        changed, self._step, self._now = step != self._step, step, progress
        if self._live is None:
            if changed:
                self._tell(f"  step {plain(progress.step)} ({progress.role})", progress)
            elif self._clock() - self._last_line >= HEARTBEAT_S:
                self._tell(f"  {_streams_line(progress)}", progress)
        self._draw()

    def event(self, event: Event) -> None:
        """Something happened; alarm signals, switches and faults are shown."""
        shown = _noteworthy(event)
        if shown is None or self._closed:
            return
        text, style = shown
        self._alarms.append((f"{event.t_ns / 1e9:7.2f} s  {text}", style))
        if self._live is None:
            self._tell(f"  {event.t_ns / 1e9:.2f} s {text}")
        self._draw()

    def _place(self) -> str:
        total = "" if self.sessions is None else f" of {max(self.sessions, self._number)}"
        return f"session {self._number}{total}"

    def _tell(self, text: str, progress: ProgressLike | None = None) -> None:
        if self._live is not None:
            return
        now = self._clock()
        self._last_line = now
        at = f", at {progress.t_s:.1f} of {progress.end_s:.1f} s" if progress else ""
        self.console.file.write(f"[{now - self._started:6.1f} s] {text}{at}\n")
        self.console.file.flush()

    def _draw(self, *, force: bool = False) -> None:
        now = self._clock()
        if self._live is None or (not force and now - self._last_draw < REDRAW_S):
            return
        self._last_draw = now
        self._live.update(self._picture(now), refresh=True)

    def _picture(self, now: float) -> Group:
        elapsed = _clock_text(now - self._started)
        head = Text(f"{self._place()}  ", style="bold")
        head.append(self._title or plain(self._session))
        head.append(f"  elapsed {elapsed}", style="dim")
        parts: list[Any] = [head]
        if self._now is not None:
            parts.append(_bar(self._now, self.console.width))
            if self._now.streams:
                parts.append(_stream_table(self._now))
        parts += [Text(text, style=style, no_wrap=True) for text, style in self._alarms]
        return Group(*parts)


def _bar(progress: ProgressLike, width: int) -> Table:
    line = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(
        total=max(progress.end_s, 1e-9), completed=progress.t_s, width=max(10, min(40, width // 3))
    )
    step = Text(plain(progress.step))
    step.append(f" ({progress.role})", style=_ROLE_STYLES.get(progress.role, ""))
    line.add_row(bar, Text(f"{progress.t_s:.1f} / {progress.end_s:.1f} s"), step)
    return line


def _stream_table(progress: ProgressLike) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("stream", no_wrap=True)
    table.add_column("delay p50", justify="right", no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    for name, (delay_s, loss) in list(progress.streams.items())[:_MOST_STREAMS]:
        style = "yellow" if loss > 0 else ""
        table.add_row(
            Text(plain(name)), Text(quantity(delay_s, "s")), Text(percent(loss), style=style)
        )
    return table


def _streams_line(progress: ProgressLike) -> str:
    shown = list(progress.streams.items())[:3]
    parts = [
        f"{plain(n)} {quantity(delay, 's')} lost {percent(loss)}" for n, (delay, loss) in shown
    ]
    return f"step {plain(progress.step)} ({progress.role})" + "".join(f", {p}" for p in parts)


def _noteworthy(event: Event) -> tuple[str, str] | None:
    """Text and style of what a person at the bench wants to see at once; ``None`` for the rest."""
    value = event.value if isinstance(event.value, Mapping) else {}
    if event.name == "alarm-signal":
        priority = plain(value.get("priority"))
        word = "alarm" if value.get("on") else "alarm ended"
        text = f"{event.side}: {word} {plain(value.get('alarm'))} ({priority})"
        return text, _PRIORITY_STYLES.get(priority, "") if value.get("on") else "dim"
    if event.name == "link-switch":
        names = f"{plain(value.get('from'))} to {plain(value.get('to'))}"
        return f"{event.side}: link switched, {names}", "blue"
    if event.name == "state" and value.get("to") == "FAULT":
        return f"{event.side}: state FAULT", "bold red"
    if event.name == "action":
        return f"bench: {plain(value.get('name'))} on the {event.side} side", "blue"
    return None


def _clock_text(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
