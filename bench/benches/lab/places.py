"""A place of labgrid, where a laboratory shares its bench through it: had for as long as a run.

::

    [labgrid]
    place = "bench-1"
    coordinator = "192.0.2.5:20408" # optional; else what labgrid-client takes (LG_COORDINATOR)
    client = "labgrid-client"       # optional: the command
    wait = "10min"                  # optional: the place is reserved, and so long waited for

labgrid's own command is called, nothing of labgrid is imported. A place stays acquired when a
process dies: so a note says that it was this bench that had it, and the next start takes it over.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import InputError
from bench.tables import Table
from instruments.emulators.journal import state_folder
from instruments.safety import owing
from instruments.visa.errors import Busy, InstrumentError
from instruments.visa.locks import ResourceLock
from instruments.visa.transcript import Transcript

ROLE = "labgrid"
ANSWER_S = 60.0
"""So long one call of the command may take."""

_SHOWN = 500
_LONGEST_WAIT_S = 24 * 3600.0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class WantedPlace:
    """A place, and how labgrid is asked for it; ``wait_s`` 0: it is free, or the run is refused."""

    place: str
    coordinator: str = ""
    client: str = "labgrid-client"
    wait_s: float = 0.0


def place_of(table: Table) -> WantedPlace:
    """The ``[labgrid]`` table.

    Raises:
        InputError: no name of a place, or no such time.
    """
    table.only(("place",), ("coordinator", "client", "wait"))
    place = table.text("place")
    if not _NAME.fullmatch(place):
        table.fail("place", "is no name of a place", "give its whole name, no pattern")
    wait_s = table.quantity("wait", "s") if "wait" in table.data else 0.0
    if wait_s > _LONGEST_WAIT_S:
        table.fail("wait", "is too long", "give at most 24h")
    return WantedPlace(
        place, table.text("coordinator", ""), table.text("client", "labgrid-client"), wait_s
    )


class Place:
    """Acquires a place on entering and releases it on leaving.

    Args:
        wanted: which.
        transcript: where every call and its answer go.
        folder: where the note is; None: ``labgrid`` below the state folder.

    Raises:
        InputError: labgrid's command is not there, or refuses.
        Busy: somebody else has the place.
    """

    def __init__(
        self, wanted: WantedPlace, transcript: Transcript, *, folder: Path | None = None
    ) -> None:
        self._wanted, self._transcript = wanted, transcript
        self._folder = folder or state_folder() / "labgrid"
        self._token = ""
        self._interrupted: KeyboardInterrupt | None = None
        self._stack = ExitStack()

    @property
    def _note(self) -> Path:
        key = f"{self._wanted.coordinator} {self._wanted.place}"
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.held"

    def __enter__(self) -> Self:
        """Have the place. Raises: see the class."""
        if shutil.which(self._wanted.client) is None:
            raise InputError(
                "is not installed", remedy="install labgrid, or leave [labgrid] out",
                field="labgrid.client", value=self._wanted.client,
            )  # fmt: skip
        with ExitStack() as stack:
            name = f"labgrid {self._wanted.coordinator} {self._wanted.place}"
            stack.enter_context(ResourceLock(ROLE, name, folder=self._folder))
            stack.enter_context(owing())
            stack.callback(self._cancel)
            if self._wanted.wait_s:
                self._reserve()
            self._acquire()
            self._stack = stack.pop_all()
        if self._interrupted is not None:
            self.__exit__(None, None, None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back.

        Raises:
            InstrumentError: it cannot be, or somebody took it away meanwhile.
        """
        with self._stack:
            self._release(self._wanted.place)
        if self._interrupted is not None:
            raise self._interrupted

    # ---- what is asked of labgrid --------------------------------------------

    def _reserve(self) -> None:
        """Stand in the queue, until it is our turn.

        Raises:
            Busy: it was not, in time.
        """
        code, said = self._call("reserve", "--shell", f"name={self._wanted.place}")
        found = re.search(r"LG_TOKEN=(\S+)", said)
        if code or not found:
            raise self._refused(f"cannot be reserved ({said})", "see to the coordinator")
        self._token = found[1]
        code, said = self._call("wait", self._token, within_s=self._wanted.wait_s, patient=False)
        if code:
            raise Busy(ROLE, f"{self._wanted.place} was not free within {self._wanted.wait_s:g} s")

    def _acquire(self) -> None:
        _, said = self._call("-p", self._wanted.place, "acquire")
        found = re.search(r"^acquired place (\S+)$", said, re.MULTILINE)
        if found and found[1] == self._wanted.place:
            self._note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._note.touch()
            return
        if found:  # a part of a name is enough for labgrid, and not for us
            self._release(found[1])
            raise self._refused(f"there is only {found[1]}", "give its whole name")
        if f"You have already acquired place {self._wanted.place}." in said and self._note.exists():
            self._transcript.add(ROLE, "note", "held since a run that was killed: taken over")
            return
        if "already acquired" in said or "not reserved for" in said:
            self._note.unlink(missing_ok=True)
            raise Busy(ROLE, said)
        raise self._refused(f"cannot be acquired ({said})", "see labgrid-client places, and show")

    def _release(self, place: str) -> None:
        """Raises: InstrumentError: it was not ours any more, or nobody answers."""
        code, said = self._call("-p", place, "release")
        lost = "is not acquired" in said or "a different user" in said
        if not code or lost:
            self._note.unlink(missing_ok=True)
        if lost:
            raise InstrumentError(ROLE, f"somebody took the place away meanwhile: {said}")
        if code:
            raise InstrumentError(ROLE, f"the place {place} is not given back: {said}")

    def _cancel(self) -> None:
        """Leave the queue; what is left of a reservation ends by itself within a minute."""
        if self._token:
            self._call("cancel-reservation", self._token)
            self._token = ""

    def _refused(self, problem: str, remedy: str) -> InputError:
        return InputError(problem, remedy=remedy, field="labgrid.place", value=self._wanted.place)

    def _call(
        self, *words: str, within_s: float = ANSWER_S, patient: bool = True
    ) -> tuple[int, str]:
        """Its exit code, and the last of what it said.

        Args:
            patient: an interruption waits for the answer: else nobody knew what came of it.
        """
        where = ("-x", self._wanted.coordinator) if self._wanted.coordinator else ()
        process = subprocess.Popen(
            [self._wanted.client, *where, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,  # Ctrl-C is for this process to handle
        )  # fmt: skip
        deadline = time.monotonic() + within_s
        while True:
            try:
                output, _ = process.communicate(timeout=max(0.0, deadline - time.monotonic()))
                break
            except KeyboardInterrupt as error:
                self._interrupted = error
                if not patient:
                    process.kill()
                    process.wait()
                    raise
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
                output += f"no answer within {within_s:g} s"
                break
        said = output.strip()[-_SHOWN:]
        self._transcript.add(ROLE, "note", f"{' '.join(words)} -> {process.returncode}: {said}")
        return process.returncode, said
