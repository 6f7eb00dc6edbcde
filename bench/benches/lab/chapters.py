"""One transcript per session out of instruments that stay open for the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instruments.visa.transcript import START, Transcript


class Chapters(Transcript):
    """A transcript in memory that is cut into chapters, each with a chain of its own."""

    def cut(self) -> tuple[Mapping[str, Any], ...]:
        """The entries since the last cut; the next ones begin a new chain."""
        with self._lock:
            found = tuple(self.entries)
            self.entries = []
            self._last = START
        return found
