"""What a contact box saw, as a pure record; "no event" is said only where it can be.

An input that is unplugged, stuck or chatters, a box that was silent, lost edges, clocks that were
not compared: all of them are :class:`~instruments.visa.errors.NotWitnessed`, never "no event". An
unplugged input looks like one at which nothing happens: so "no event" wants a change before that
time and another one behind it, which show that it was plugged in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from instruments.contacts.timing import Pair, Stamp, stamp
from instruments.visa.errors import NotWitnessed

KINDS = ("contact", "light", "sound", "motion")
MOST_SILENCE_US = 350_000
"""Three heartbeats missing (``protocol.HEARTBEAT_S``), and half of one more."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the box.

    Args:
        number: on the box, from 0.
        kind: ``contact``, ``light`` (photodiode), ``sound`` (microphone) or ``motion`` (encoder).
        settle_s: how long a level must last to count; shorter ones are bounces. 0 for an encoder,
            whose every edge is motion.
        active: the level that means pressed, lit, sounding.
        most_edges: more of them than this before it settles is a fault of the input.
    """

    number: int
    kind: str
    settle_s: float = 0.02
    active: int = 1
    most_edges: int = 50


@dataclass(frozen=True, slots=True)
class Edge:
    """An input has changed: the box's time, µs (it does not wrap), and the new level."""

    t_us: int
    level: int


@dataclass(frozen=True, slots=True)
class Change:
    """A level that has lasted, from its first edge on."""

    t_us: int
    level: int
    edges: int


@dataclass(frozen=True)
class Record:
    """All that the box said.

    Attributes:
        inputs: by name.
        edges: of each input, by name.
        beats: the heartbeats: box's time, µs, and the levels of the inputs as bits.
        pairs: the comparisons of the clocks.
        fault: why it ended or cannot be relied on; empty: nothing is known against it.
    """

    inputs: Mapping[str, Input]
    edges: Mapping[str, tuple[Edge, ...]]
    beats: tuple[tuple[int, int], ...]
    pairs: tuple[Pair, ...]
    fault: str = ""

    def changes(self, name: str) -> tuple[Change, ...]:
        """Of an input, debounced.

        Raises:
            NotWitnessed: it does not settle, or the record cannot be relied on.
        """
        if self.fault:
            raise NotWitnessed(name, self.fault)
        one = self.inputs[name]
        first = self.beats[0][1] >> one.number & 1 if self.beats else None
        found = debounced(self.edges[name], round(one.settle_s * 1e6), first)
        for change in found:
            if one.settle_s and change.edges > one.most_edges:
                raise NotWitnessed(name, f"chatters: {change.edges} edges before it settled")
        return found

    def first(
        self, name: str, after_ns: int, within_s: float, level: int | None = None
    ) -> Stamp | None:
        """The first change to a level (None: to its active one) after an instant.

        None: there was none, and that is certain.

        Raises:
            NotWitnessed: it is not; or it happened so near to a limit that it may be beyond.
        """
        one = self.inputs[name]
        wanted = one.active if level is None else level
        until_ns = after_ns + round(within_s * 1e9)
        was = self.beats[0][1] >> one.number & 1 if self.beats else None
        for change in self.changes(name):
            when = self._stamp(name, change.t_us)
            near = [abs(when.t_ns - t) <= when.uncertainty_ns for t in (after_ns, until_ns)]
            if change.level == wanted and any(near):
                raise NotWitnessed(name, f"changed within {when.uncertainty_ns} ns of a limit")
            if when.t_ns <= after_ns:
                was = change.level
            elif change.level == wanted and when.t_ns <= until_ns:
                self._complete(name, after_ns, when.t_ns)
                return when
        self._complete(name, after_ns, until_ns)
        if was == wanted and one.kind != "motion":
            raise NotWitnessed(name, f"was at level {wanted} already: stuck, or asked too late")
        self._proven(name, after_ns, until_ns)
        return None

    def last_motion(self, name: str, after_ns: int, within_s: float) -> Stamp | None:
        """The last edge of an encoder in a time; None: it stood still.

        Raises:
            NotWitnessed: that is not certain; or it did not move before that time and behind it.
        """
        until_ns = after_ns + round(within_s * 1e9)
        self._proven(name, after_ns, until_ns)
        self._complete(name, after_ns, until_ns)
        stamps = [self._stamp(name, edge.t_us) for edge in self.edges[name]]
        inside = [one for one in stamps if after_ns < one.t_ns <= until_ns]
        return inside[-1] if inside else None

    def stamps(self, name: str, from_ns: int, until_ns: int) -> tuple[tuple[Stamp, int], ...]:
        """When an input changed in a time, and to which level: every edge of an encoder.

        Args:
            from_ns: 0: from the record's first comparison of clocks on.

        Raises:
            NotWitnessed: the record does not cover the time without a gap.
        """
        one = self.inputs[name]
        changed: Sequence[Change | Edge] = self.changes(name)
        if one.kind == "motion":
            changed = self.edges[name]
        self._complete(name, from_ns or self._first_ns(name), until_ns)
        found = [(self._stamp(name, c.t_us), c.level) for c in changed if self._covered(c.t_us)]
        return tuple(each for each in found if from_ns <= each[0].t_ns <= until_ns)

    def level_at_first(self, name: str) -> int:
        """The level of an input at the record's first heartbeat.

        Raises:
            NotWitnessed: there was none yet.
        """
        if not self.beats:
            raise NotWitnessed(name, "the box was not heard yet")
        return self.beats[0][1] >> self.inputs[name].number & 1

    def stamp(self, t_us: int) -> Stamp | None:
        """The host's time of a stamp of the box; None: the clocks were not compared around it."""
        try:
            return stamp(self.pairs, t_us)
        except ValueError:
            return None

    def _first_ns(self, name: str) -> int:
        covered = [t_us for t_us, _ in self.beats if self._covered(t_us)]
        if not covered:
            raise NotWitnessed(name, "the box was not heard yet")
        return self._stamp(name, covered[0]).t_ns

    def _stamp(self, name: str, t_us: int) -> Stamp:
        try:
            return stamp(self.pairs, t_us)
        except ValueError as error:
            raise NotWitnessed(name, str(error)) from error

    def _proven(self, name: str, from_ns: int, until_ns: int) -> None:
        """Raises: NotWitnessed: no change before this time, or none behind it."""
        times = [self._stamp(name, change.t_us) for change in self.changes(name)]
        for where, seen in (
            ("before", any(one.t_ns + one.uncertainty_ns < from_ns for one in times)),
            ("after", any(one.t_ns - one.uncertainty_ns > until_ns for one in times)),
        ):
            if not seen:
                problem = f"did not change {where} the time that is asked for"
                raise NotWitnessed(name, f"{problem}: unplugged looks the same; test it there")

    def _complete(self, name: str, from_ns: int, until_ns: int) -> None:
        """Raises: NotWitnessed: the box may have missed something in this time."""
        beats = [
            (self._stamp(name, t_us).t_ns, t_us) for t_us, _ in self.beats if self._covered(t_us)
        ]
        if not beats or beats[0][0] > from_ns:
            raise NotWitnessed(name, "the record begins after the time that is asked for")
        if beats[-1][0] < until_ns:
            raise NotWitnessed(name, "the record ends before the time that is asked for")
        for (begin_ns, a_us), (end_ns, b_us) in pairwise(beats):
            if b_us - a_us > MOST_SILENCE_US and begin_ns < until_ns and end_ns > from_ns:
                raise NotWitnessed(name, f"the box was silent for {(b_us - a_us) / 1e6:g} s")
        self._agree(name)

    def _covered(self, t_us: int) -> bool:
        return bool(self.pairs) and self.pairs[0].t_us <= t_us <= self.pairs[-1].t_us

    def _agree(self, name: str) -> None:
        """What the edges say and what the heartbeats say of an input is the same."""
        number = self.inputs[name].number
        level, edges, at = self.beats[0][1] >> number & 1, self.edges[name], 0
        for t_us, levels in self.beats:
            while at < len(edges) and edges[at].t_us <= t_us:
                level, at = edges[at].level, at + 1
            if levels >> number & 1 != level:
                raise NotWitnessed(name, "its level and its edges do not agree: edges were lost")


def debounced(edges: Sequence[Edge], settle_us: int, first: int | None) -> tuple[Change, ...]:
    """The changes of level that last at least ``settle_us``, each from its first edge on.

    Edges nearer together than that are one burst. It is a change where its last level is another
    than the one before it; where it is the same, it was a glitch and no change. The last burst
    counts too: that it lasts is for the heartbeats to say.

    Args:
        first: the level before all edges; None: not known.
    """
    found, level = [], first
    for burst in _bursts(edges, settle_us):
        if burst[-1].level != level:
            level = burst[-1].level
            found.append(Change(burst[0].t_us, level, len(burst)))
    return tuple(found)


def _bursts(edges: Iterable[Edge], settle_us: int) -> list[list[Edge]]:
    bursts: list[list[Edge]] = []
    for edge in edges:
        if bursts and edge.t_us - bursts[-1][-1].t_us < settle_us:
            bursts[-1].append(edge)
        else:
            bursts.append([edge])
    return bursts
