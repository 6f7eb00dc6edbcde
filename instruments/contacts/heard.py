"""What a contact box has said since it was opened, out of its bytes: no port, no clock."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping

from instruments.contacts.protocol import CLOCK_US, NUMBERS, Said, said
from instruments.contacts.timing import Pair
from instruments.contacts.witness import Edge, Input, Record

_MOST_EDGES = 1_000_000

Answer = tuple[Said, Pair]
"""To a request, and when that was."""


class Heard:
    """Bytes to lines, lines to answers, edges, heartbeats and comparisons of the clocks.

    Args:
        inputs: by name.
        opened_ns: when it was opened, monotonic.
        doubt: is told why nothing of it can be believed any more.

    Attributes:
        asked: the id of the request that waits for its answer, and when it was sent, ns.
        buffer: the line that is not whole yet.
        last_ns: when a line came last.
        begun: whether one came at all.
    """

    def __init__(
        self, inputs: Mapping[str, Input], opened_ns: int, doubt: Callable[[str], None]
    ) -> None:
        self.inputs, self._doubt = inputs, doubt
        self.edges: dict[str, list[Edge]] = {name: [] for name in inputs}
        self.beats: list[tuple[int, int]] = []
        self.pairs: list[Pair] = []
        self.asked: tuple[str, int] | None = None
        self.buffer, self.last_ns = b"", opened_ns
        self._synchronised = False
        self._number: int | None = None
        self._t_us: int | None = None

    @property
    def begun(self) -> bool:
        """Whether a line came."""
        return self._number is not None

    def take(self, chunk: bytes, now_ns: int) -> Iterator[Answer]:
        """Take what came until ``now_ns``; the answers in it."""
        *lines, self.buffer = (self.buffer + chunk).split(b"\n")
        for line in lines:
            yield from self._line(line, now_ns)

    def _line(self, line: bytes, now_ns: int) -> Iterator[Answer]:
        """Take one line; the first one after opening may be the end of an older one."""
        try:
            one = said(line)
        except ValueError as error:
            if self._synchronised:
                self._doubt(f"the line is disturbed ({error})")
            return
        self._synchronised = True
        if self._number is not None and one.number != (self._number + 1) % NUMBERS:
            self._doubt(f"lines were lost between {self._number} and {one.number}")
        self._number, self.last_ns = one.number, now_ns
        last = self._t_us
        t_us = one.t_us if last is None else last + _ahead(one.t_us, last)
        self._t_us = t_us if last is None else max(last, t_us)
        try:
            if one.word in ("OK", "NO"):
                yield self._answer(one, t_us, now_ns)
            else:
                self._news(one, t_us)
        except (ValueError, IndexError):
            self._doubt(f"says {line!r}")

    def _answer(self, one: Said, t_us: int, now_ns: int) -> Answer:
        asked, self.asked = self.asked, None
        if asked is None or one.arguments[:1] != asked[:1]:
            raise ValueError("nobody has asked that")
        pair = Pair(asked[1], t_us, now_ns)
        self.pairs.append(pair)
        return Said(one.number, t_us, one.word, one.arguments), pair

    def _news(self, one: Said, t_us: int) -> None:
        if one.word == "E":
            for name, put in self.inputs.items():
                if put.number == int(one.arguments[0]):
                    self.edges[name].append(Edge(t_us, int(one.arguments[1])))
                    if len(self.edges[name]) > _MOST_EDGES:
                        self._doubt(f"{name}: more edges than can be kept")
        elif one.word == "H":
            if int(one.arguments[1]):
                self._doubt(f"has lost {one.arguments[1]} edges since it was switched on")
            self.beats.append((t_us, int(one.arguments[0], 16)))
        else:
            raise ValueError(one.word)

    def forget(self) -> None:
        """Let go of what was said before the last heartbeat, which the record then begins with."""
        if not self.beats or not self.pairs:
            return
        at = len(self.beats) - 1
        first_us = self.beats[at][0]
        for edges in self.edges.values():
            del edges[: bisect_right(edges, first_us, key=lambda edge: edge.t_us)]
        known = bisect_right(self.pairs, first_us, key=lambda pair: pair.t_us)
        del self.pairs[: max(0, known - 1)]
        del self.beats[:at]

    def record(self, fault: str) -> Record:
        """All that it said, and why it ended or cannot be relied on."""
        edges = {name: tuple(found) for name, found in self.edges.items()}
        return Record(dict(self.inputs), edges, tuple(self.beats), tuple(self.pairs), fault)


def _ahead(now: int, last: int) -> int:
    """How far the box's clock has gone on; a line may be a little older than the one before it."""
    step = (now - last) % CLOCK_US
    return step - CLOCK_US if step > CLOCK_US // 2 else step
