"""What was heard of a device's alarms, by whichever way they come: the record, and what it shows.

An alarm counts when it arrives. Silence is evidence only while somebody was there from a session's
start to its end; what could not be read is counted and told, and there is no silence around it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.benches.base import BenchError
from bench.benches.lab.lines import LineForm
from bench.network.scenario import Side
from bench.sessions.instruments import INCOMPLETE
from bench.sessions.recording import Event

PROTOCOLS = ("json-lines", "hl7", "serial-lines")
_MOST = 100_000
_SHOWN = 3

Witness = Literal["self-reported", "independent"]


@dataclass(frozen=True, slots=True)
class AlarmSource:
    """Where alarms come from; see :mod:`bench.benches.lab.alarms`.

    ``host`` and ``port``: where the bench listens; ``line``: of ``serial-lines``, which come from
    the serial device ``host``.
    """

    host: str
    port: int
    side: Side
    witness: Witness
    protocol: str = PROTOCOLS[0]
    events: Mapping[str, str] = field(default_factory=dict)
    line: LineForm | None = None


class Heard:
    """What came, what could not be read, and when somebody was there. Times are CLOCK_MONOTONIC.

    Args:
        source: whose alarms they are.
    """

    def __init__(self, source: AlarmSource) -> None:
        self._source = source
        self._came: list[tuple[int, dict[str, Any]]] = []
        self._problems: list[tuple[int, str]] = []
        self._connected: list[tuple[int, int]] = []

    def take(self, now_ns: int, came: dict[str, Any] | str) -> None:
        """An alarm came; as text: why what came cannot be read."""
        problem = "too many alarms" if len(self._came) >= _MOST else came
        if not isinstance(problem, str):
            self._came.append((now_ns, problem))
            return
        if len(self._problems) >= _MOST:  # the newest stays: it may be the next session's
            self._problems.pop()
        self._problems.append((now_ns, problem))

    def forget(self, until_ns: int) -> None:
        """What came until then: the device lost its power, and nobody knows what is still on."""
        self._came = [(t_ns, value) for t_ns, value in self._came if t_ns > until_ns]

    def events(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """The alarms of a session.

        Args:
            t0_ns: its start, CLOCK_MONOTONIC.
            end_ns: its length.

        Raises:
            BenchError: nobody was there all the time, or something could not be read.
        """
        problem = self._unread(t0_ns, end_ns) or self.absence(t0_ns, t0_ns + end_ns)
        if problem:
            raise BenchError(f"the device's alarms {problem}")
        return self._told(t0_ns, end_ns)

    def broken(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """The same of a session in which the device itself was without power: no silence counts.

        What could not be read, and that nobody was there, is told in an event of its own.
        """
        problems = (self._unread(t0_ns, end_ns), self.absence(t0_ns, t0_ns + end_ns))
        told = [f"the device's alarms {problem}" for problem in problems if problem]
        return (Event(0, "bench", "bench", INCOMPLETE, told), *self._told(t0_ns, end_ns))

    def absence(self, t0_ns: int, until_ns: int) -> str:
        """Why nobody was there all the time; empty: somebody was."""
        count, least = 0, 0
        for t_ns, change in self._connected:
            count += change
            least = count if t_ns <= t0_ns else min(least, count) if t_ns <= until_ns else least
        return "were not connected for the whole session" if least < 1 else ""

    def _unread(self, t0_ns: int, end_ns: int) -> str:
        found = [text for t_ns, text in self._problems if t0_ns <= t_ns <= t0_ns + end_ns]
        if not found:
            return ""
        more = f" ({len(found)} times in all)" if len(found) > 1 else ""
        return f"cannot be read: {'; '.join(dict.fromkeys(found[:_SHOWN]))}{more}"

    def _told(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        origin: Literal["signal", "log"] = (
            "signal" if self._source.witness == "independent" else "log"
        )
        return tuple(
            Event(t_ns, self._source.side, origin, "alarm-signal", value)
            for t_ns, value in _changes(self._came, t0_ns, t0_ns + end_ns)
        )


def _changes(
    came: Sequence[tuple[int, dict[str, Any]]], t0_ns: int, until_ns: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """What changed in a time, from its start; what was on when it began is told at 0.

    A device may tell again and again that an alarm goes on: that is no other signal.
    """
    known = {value["alarm"]: value for t_ns, value in came if t_ns < t0_ns}
    yield from [(0, value) for value in known.values() if value["on"]]
    for t_ns, value in came:
        if t0_ns <= t_ns <= until_ns and known.get(value["alarm"]) != value:
            known[value["alarm"]] = value
            yield t_ns - t0_ns, value
