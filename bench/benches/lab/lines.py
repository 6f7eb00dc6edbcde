"""The form of a device's alarm lines on a serial port, as a bench file declares it. Pure.

::

    [device.line]
    baud = 9600
    pattern = "ALARM ([a-z]+)"      # with the groups alarm, priority and state, see below
    on = ["1"]                      # what state says while it is on
    off = ["0"]
    priorities = { H = "high", M = "medium", L = "low" }
    other = "OK|VERSION .*"         # lines that are no alarms
    alive = "2s"                    # the device never says nothing for longer

``pattern`` and ``other`` are regular expressions (Python's ``re``) that a whole line fits. The
groups are named: ``(?P<alarm>…)``, ``(?P<priority>…)``, ``(?P<state>…)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.tables import Table

PRIORITIES = ("high", "medium", "low")
GROUPS = ("alarm", "priority", "state")
PARITIES = {"none": "N", "even": "E", "odd": "O"}
LONGEST_LINE = 4096
_LONGEST_ALIVE_S = 60.0
_SHOWN = 80


@dataclass(frozen=True)
class LineForm:
    """How a device writes its alarms, and how its port is set.

    ``alive_s``: a longer silence is one in which nobody knows whether the device is there.
    """

    pattern: re.Pattern[str]
    other: re.Pattern[str]
    on: frozenset[str]
    off: frozenset[str]
    priorities: Mapping[str, str]
    alive_s: float
    baud: int = 9600
    parity: str = "none"
    data_bits: int = 8
    stop_bits: int = 1


def line_form(table: Table) -> LineForm:
    """The ``[device.line]`` table.

    Raises:
        InputError: an expression that is none or lacks a group, words that say both, no alive.
    """
    table.only(
        ("baud", "pattern", "on", "off", "priorities", "other", "alive"),
        ("parity", "data_bits", "stop_bits"),
    )
    pattern, other = _expression(table, "pattern"), _expression(table, "other")
    missing = [name for name in GROUPS if name not in pattern.groupindex]
    if missing:
        table.fail("pattern", f"has no group {', '.join(missing)}", "name it, like (?P<alarm>.+)")
    on, off = frozenset(table.texts("on")), frozenset(table.texts("off"))
    if not on or not off or on & off:
        table.fail("on", "and off do not tell apart", "give both, with different words")
    words = table.table("priorities")
    priorities = {word: words.choice(word, PRIORITIES) for word in words.data}
    if not priorities:
        table.fail("priorities", "names none", 'write it like { H = "high", L = "low" }')
    alive_s = table.quantity("alive", "s")
    if not 0 < alive_s <= _LONGEST_ALIVE_S:
        table.fail(
            "alive", "is no such time", f"give more than 0 and at most {_LONGEST_ALIVE_S:g}s"
        )
    return LineForm(
        pattern, other, on, off, priorities, alive_s, _whole(table, "baud", range(50, 4_000_001)),
        table.choice("parity", PARITIES, "none"),
        _whole(table, "data_bits", (7, 8)) if "data_bits" in table.data else 8,
        _whole(table, "stop_bits", (1, 2)) if "stop_bits" in table.data else 1,
    )  # fmt: skip


def _expression(table: Table, key: str) -> re.Pattern[str]:
    text = table.text(key)
    try:
        return re.compile(text)
    except re.error as error:
        table.fail(key, f"is no regular expression ({error})", "see Python's module re")


def _whole(table: Table, key: str, known: Sequence[int]) -> int:
    value = table.data[key]
    if isinstance(value, bool) or not isinstance(value, int) or value not in known:
        table.fail(key, "is not possible", f"give {known[0]} to {known[-1]}, without quotes")
    return value


def read_line(line: bytes, form: LineForm, names: Mapping[str, str]) -> dict[str, Any] | None:
    """The alarm in a line; None: it is one of the other lines.

    Args:
        line: without its end.
        names: the device profile's names, by what the line calls an alarm; one that is not among
            them goes under its own name.

    Raises:
        ValueError: it fits neither expression, or says what was not declared.
    """
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{line[:_SHOWN]!r} is not ASCII") from None
    found = form.pattern.fullmatch(text)
    if found is None:
        if form.other.fullmatch(text):
            return None
        raise ValueError(f"{text[:_SHOWN]!r} fits neither pattern nor other")
    alarm, priority, state = (found[name] or "" for name in GROUPS)
    if not alarm or priority not in form.priorities or state not in form.on | form.off:
        raise ValueError(f"{text[:_SHOWN]!r} has a priority or state that is not declared")
    return {
        "alarm": names.get(alarm, alarm),
        "priority": form.priorities[priority],
        "on": state in form.on,
    }
