"""Carrying sessions out: claimed in the folder, observed as they go, repeated while unsound."""

from __future__ import annotations

import errno
import time
import traceback
from collections.abc import Callable

from bench.benches.base import Bench, BenchError
from bench.errors import InputError
from bench.judge.assess import stimulus_problems
from bench.measure.floor import NoiseFloor
from bench.measure.stimulus import StepStimulus, achieved
from bench.runs.folder import RunFolder, SessionLost
from bench.runs.session_writer import SessionWriter
from bench.sessions.recording import Recording, Session
from bench.studies.observer import Observer, Tee

ATTEMPTS = 4
"""A session is repeated only where the bench did not deliver its stimulus."""

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO)


class Sessions:
    """The sessions of a run, on one bench.

    Args:
        bench: carries them out.
        folder: gets what is observed.
        observer: watches.
        repeat_budget_s: no session is repeated once the repeats of this run have taken so long.
        total: how many sessions are planned, for the display.
    """

    def __init__(
        self,
        bench: Bench,
        folder: RunFolder,
        observer: Observer,
        *,
        repeat_budget_s: float,
        total: Callable[[], int],
    ) -> None:
        self.floor: NoiseFloor | None = None
        self.stimuli: dict[str, tuple[StepStimulus, ...]] = {}
        self.errors: dict[str, str] = {}
        self._bench = bench
        self._folder = folder
        self._observer = observer
        self._repeat_budget_s = repeat_budget_s
        self._total = total
        self._repeating_s = 0.0
        self._count = 0

    def problems(self, recording: Recording, *, reactions: bool) -> tuple[str, ...]:
        """Why a recording cannot back a verdict; empty where it can.

        Args:
            recording: one that these sessions gave.
            reactions: whether reaction times are judged from it.
        """
        found = stimulus_problems([recording], self.stimuli, reactions=reactions)
        return found.get(recording.session_id, ())

    def carry_out(
        self, session_of: Callable[[int], Session], *, reactions: bool
    ) -> Recording | None:
        """One session, again where the bench did not deliver its stimulus.

        Whether it is repeated depends on the bench's own health and stimulus and on the time
        spent, never on what the device did; every attempt is kept.

        Args:
            session_of: the session for an attempt, counted from 1.
            reactions: whether reaction times are judged from it.

        Returns:
            The last recording, or none where every attempt failed: ``errors`` then says why.
        """
        recording = None
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1 and self._repeating_s > self._repeat_budget_s:
                break
            session, began = session_of(attempt), time.monotonic()
            try:
                recording = self._attempt(session)
                problem = next(iter(self.problems(recording, reactions=reactions)), "")
            except (BenchError, SessionLost) as error:
                self.errors[session.scenario.name] = problem = str(error).splitlines()[0]
            else:
                self.errors.pop(session.scenario.name, None)
            if attempt > 1:
                self._repeating_s += time.monotonic() - began
            if not problem:
                break
            self._observer.note(f"session {session.id}: {problem}")
            if self._bench.name == "virtual":
                break  # one seed, one outcome
        return recording

    def _attempt(self, session: Session) -> Recording:
        claimed = self._folder.claim(session, self._bench.name, self._bench.backend)
        if isinstance(claimed, Recording):
            self.stimuli[session.id] = achieved(claimed, self.floor)
            return claimed
        self._count += 1
        self._observer.session(session, self._count, self._total())
        try:
            recording = self._on_the_bench(session, claimed)
        except BaseException as error:
            claimed.abandon(str(error) or type(error).__name__)
            raise
        stimulus = achieved(recording, self.floor)
        claimed.finish(recording, stimulus)
        self.stimuli[session.id] = stimulus
        return recording

    def _on_the_bench(self, session: Session, writer: SessionWriter) -> Recording:
        """What a bench or a simulated device raises is the bench's own fault, whatever it is."""
        try:
            return self._bench.run(session, Tee(writer, self._observer))
        except (InputError, BenchError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise InputError(
                    f"cannot be written ({error.strerror})",
                    remedy="free some space or name another folder with --results",
                    file=writer.folder,
                ) from error
            first = f"{type(error).__name__}: {error}"
            raise BenchError(f"{first}\n{traceback.format_exc()}") from error
