"""One transcript of a whole run, and one per session out of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from bench.errors import InputError
from instruments.visa.transcript import Transcript, rechained

FILE = "transcript.jsonl"
"""Of the whole run, in its folder; further workers of the run have ``transcript-2.jsonl`` …"""


class Chapters(Transcript):
    """The transcript of a whole run, that is cut into chapters, each with a chain of its own."""

    _cut = 0

    def cut(self) -> tuple[Mapping[str, Any], ...]:
        """The entries since the last cut, as a transcript of their own.

        Raises:
            OSError: the disk refused an entry of the whole.
        """
        self.refuse_lost()
        with self._lock:
            found, self._cut = self.entries[self._cut :], len(self.entries)
        return rechained(found)

    def keep_in(self, folder: Path) -> None:
        """Keep the whole in a run folder.

        Raises:
            OSError: it cannot be written.
        """
        for number in count(1):
            with suppress(InputError):  # another worker has it
                self.keep(folder / numbered(number))
                return


def numbered(number: int) -> str:
    """The name of the transcript of a run's worker, counted from 1."""
    return FILE if number == 1 else FILE.replace(".", f"-{number}.")
