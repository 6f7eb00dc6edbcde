"""The arming record: that a moving device was made ready by a person, and until when that holds.

::

    [arming]
    by = "A. Person"
    at = 2026-11-30T08:15:00Z
    holds = "8h"
    phantom_in_place = true
    area_clear = true
    hardware_stop_tested = true
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from bench.tables import Table

STEPS = ("phantom_in_place", "area_clear", "hardware_stop_tested")
_LONGEST_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Arming:
    """Who made the device ready, when, and for how long (s) that holds; all steps were done."""

    by: str
    at: datetime.datetime
    holds_s: float

    def record(self) -> dict[str, object]:
        """For the run: who, when (ISO 8601), for how long (s), and the steps that were done."""
        return {
            "by": self.by,
            "at": self.at.isoformat(),
            "holds_s": self.holds_s,
            "steps": list(STEPS),
        }

    def problem(self, now: datetime.datetime, for_s: float = 0.0) -> str:
        """Why it does not hold from a time (with zone) on, for so long; empty where it does."""
        since_s = (now - self.at).total_seconds()
        if since_s < 0:
            return f"the arming is dated {self.at.isoformat()}, which is still to come"
        if since_s > self.holds_s:
            return f"the arming of {self.at.isoformat()} held for {self.holds_s / 3600:g} h"
        if since_s + for_s > self.holds_s:
            left_s = self.holds_s - since_s
            return (
                f"the arming of {self.at.isoformat()} ends in {left_s:.0f} s, "
                f"within the session of {for_s:.0f} s"
            )
        return ""


def arming_of(table: Table) -> Arming:
    """The ``[arming]`` table.

    Raises:
        InputError: a step that was not done, a time without a zone, more than a day.
    """
    table.only(("by", "at", "holds", *STEPS))
    for step in STEPS:
        if not table.flag(step):
            table.fail(step, "was not done", "do it, then say so: the device can hurt somebody")
    at = table.data["at"]
    if not isinstance(at, datetime.datetime) or at.tzinfo is None:
        table.fail("at", "is no time with a zone", "write it like 2026-11-30T08:15:00Z")
    holds_s = table.quantity("holds", "s")
    if not 0 < holds_s <= _LONGEST_S:
        table.fail("holds", "is not within a day", "arm the device anew each day: up to 24h")
    return Arming(table.text("by"), at, holds_s)
