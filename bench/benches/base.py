"""What every bench is: the protocol, where its observations go, and its own faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bench.network.scenario import Role
from bench.sessions.recording import Event, Recording, Session


class BenchError(Exception):
    """The bench itself failed, not the device: the verdicts of the session become ERROR.

    The message says what failed; text after the first line is the traceback of the process in
    which it happened, where there is one.
    """


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a running session stands, for a live display. Never used for a verdict.

    ``streams``: per stream name the median one-way delay in s (``None`` where no packet was
    matched) and the loss ratio, both over about the last second.
    """

    session: str
    scenario: str
    step: str
    role: Role
    t_s: float
    end_s: float
    streams: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)


@runtime_checkable
class Sink(Protocol):
    """Where a bench delivers what it observes, as it comes. Called from one thread."""

    def packets(self, rows: NDArray[np.void]) -> None:
        """Rows of dtype ``bench.sessions.packets.ROW``, shape ``(n,)``, n > 0.

        Sorted by time within one call where the bench can; calls may overlap in time.
        """

    def event(self, event: Event) -> None:
        """One event, not necessarily in order of time across sides."""

    def capture_path(self, name: str) -> Path | None:
        """Where the capture file ``name`` (``patient.pcapng``) goes; its folder exists.

        ``None`` where no capture is wanted.
        """

    def progress(self, progress: Progress) -> None:
        """Called a few times a second at most."""


class Nowhere:
    """A sink that keeps nothing: the recording has it all."""

    def packets(self, rows: NDArray[np.void]) -> None:
        """Dropped."""

    def event(self, event: Event) -> None:
        """Dropped."""

    def capture_path(self, name: str) -> Path | None:
        """No capture."""

    def progress(self, progress: Progress) -> None:
        """Nobody watches."""


class Bench(Protocol):
    """What carries sessions out, one after the other.

    A context manager: entering takes what the bench needs of the host, leaving gives it back.
    """

    @property
    def name(self) -> str:
        """``virtual``, ``local`` or ``lab``."""

    @property
    def backend(self) -> str:
        """What emulates the network: ``virtual link``, ``netem``, ``userspace``."""

    @property
    def offers(self) -> frozenset[str]:
        """What it has besides, for tests that need it: ``cells``."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def run(self, session: Session, sink: Sink) -> Recording:
        """Carry a session out; rows and events go to ``sink`` as they come.

        Raises:
            BenchError: the bench failed.
            OSError: a capture file could not be written.
        """
