"""A contact box: a small microcontroller with contacts, on a pseudo terminal.

The protocol is that of ``docs/contact_box.ino``, which is written from its description
(``instruments/contacts/protocol.py``) as this is; only the checksum is shared.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from bench.network.radio.state import RadioState
from instruments.contacts.protocol import opened, sealed
from instruments.simulators.outcome import NOTHING, Outcome, Strikes
from instruments.simulators.place import Place

INPUTS, OUTPUTS = 4, 2
_BEAT_US = 100_000


class LineWire:
    """Lines that end with a line feed; responses carry their own line ends."""

    once = False

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that are whole now; None for one that was too long."""
        pieces = (self._buffer + data).split(b"\n")
        self._buffer = pieces.pop()
        found: list[bytes | None] = [piece.strip() for piece in pieces if piece.strip()]
        if len(self._buffer) > 100:
            self._buffer = b""
            found.append(None)
        return found

    def wrap(self, response: bytes) -> bytes:
        """As it is."""
        return response


class ContactBox:
    """Four inputs and two outputs.

    Args:
        place: where it stands.
        clock_ns: the time; its own clock runs ``rate`` times as fast, from ``start_us``.

    Attributes:
        on_output: is told number and level when an output is set: what the outputs are wired to.
        stuck: outputs that do not follow.
        silent: it has stopped: no answers, no heartbeats.
        dropped: how many edges it could not send.
    """

    period_s = 0.01
    rate, start_us = 1.003, (1 << 32) - 600_000  # wraps soon after it was switched on

    def __init__(self, place: Place, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self.place, self._clock_ns = place, clock_ns
        self.identity = "telemed-bench,contact-box-1,SIM0001,1"
        self.offset = 0.0
        self.on_output: Callable[[int, int], None] = lambda number, level: None
        self._edges: deque[tuple[int, int, int]] = deque()
        self._moment = threading.Lock()  # levels and edges change together
        self._injected: list[str] = []
        self._began_ns = clock_ns()
        self.power_on()

    def power_on(self) -> None:
        """As after the mains came back: outputs off; what is wired to the inputs stays."""
        self.stuck: set[int] = set()
        self.silent, self.dropped = False, 0
        self._number = 0
        self._outputs = [0] * OUTPUTS
        self._inputs = getattr(self, "_inputs", [0] * INPUTS)
        self._edges.clear()
        self._injected.clear()
        self._next_beat_us = 0

    def radio(self) -> RadioState:
        """It does nothing to the radio world."""
        return RadioState()

    # ---- the world ----------------------------------------------------------

    @property
    def outputs(self) -> tuple[int, ...]:
        """The levels of the outputs."""
        return tuple(self._outputs)

    def drive(self, number: int, *levels: int) -> int:
        """An input goes through these levels, at once; when, monotonic, ns."""
        with self._moment:
            now_ns = self._clock_ns()
            for level in levels:
                if level != self._inputs[number]:
                    self._inputs[number] = level
                    self._edges.append((self._us(now_ns), number, level))
        return now_ns

    def lose(self, number: int, level: int) -> None:
        """An input goes to a level, and the box does not notice the edge."""
        self._inputs[number] = level

    # ---- what it says -------------------------------------------------------

    def _us(self, now_ns: int) -> int:
        return self.start_us + int((now_ns - self._began_ns) * self.rate) // 1000

    def _line(self, t_us: int, text: str) -> bytes:
        line = sealed(f"{self._number} {t_us % (1 << 32)} {text}")
        self._number = (self._number + 1) % (1 << 16)
        return line

    def news(self) -> bytes:
        """Edges, and the heartbeat where it is due."""
        if self.silent:
            return b""
        with self._moment:
            return self._said()

    def _said(self) -> bytes:
        found = b""
        while self._edges:
            t_us, number, level = self._edges.popleft()
            found += self._line(t_us, f"E {number} {level}")
        now_us = self._us(self._clock_ns())
        if now_us >= self._next_beat_us:
            self._next_beat_us = now_us + _BEAT_US
            found += self._line(now_us, f"H {self._bits(self._inputs)} {self.dropped}")
        return found

    @staticmethod
    def _bits(levels: list[int]) -> str:
        return f"{sum(level << n for n, level in enumerate(levels)):X}"

    # ---- requests -----------------------------------------------------------

    def handle(self, message: bytes | None, strikes: Strikes = NOTHING) -> Outcome:
        """Answer one request; a line with a wrong checksum has no id to answer to."""
        if self.silent:
            return Outcome()
        try:
            words = opened(message or b"").split()
            request, word, arguments = words[0], words[1], words[2:]
        except (ValueError, IndexError):
            return Outcome(None, ["not understood"], [1])
        now_us = self._us(self._clock_ns())
        if self._injected:
            return Outcome(self._line(now_us, f"NO {request} {self._injected.pop(0)}"))
        if word == "ID" and not arguments:
            return Outcome(self._line(now_us, f"OK {request} {self.identity.replace(',', ' ')}"))
        if word == "PING" and not arguments:
            return Outcome(self._line(now_us, f"OK {request}"))
        if word == "GET" and not arguments:
            levels = f"{self._bits(self._inputs)} {self._bits(self._outputs)}"
            return Outcome(self._line(now_us, f"OK {request} {levels}"))
        if word == "SET" and len(arguments) == 2:
            return self._set(request, arguments, now_us)
        return Outcome(self._line(now_us, f"NO {request} word"), [f"{word}: unknown"], [1])

    def _set(self, request: str, arguments: list[str], now_us: int) -> Outcome:
        number, level = arguments
        known = [str(n) for n in range(OUTPUTS)]
        if number not in known or level not in ("0", "1"):
            return Outcome(self._line(now_us, f"NO {request} range"), ["out of range"], [2])
        n = int(number)
        if n not in self.stuck and self._outputs[n] != int(level):
            self._outputs[n] = int(level)
            self.on_output(n, int(level))
        return Outcome(self._line(now_us, f"OK {request} {self._outputs[n]}"))

    def sorts(self, message: bytes) -> frozenset[str]:
        """Every request is answered."""
        found = {"query"}
        found |= {"identity"} if self.meant(message, "ID") else set()
        found |= {"measurement"} if self.meant(message, "GET") else set()
        return frozenset(found)

    def meant(self, message: bytes, command: str) -> bool:
        """The request's word."""
        words = message.partition(b"*")[0].decode("latin-1").split()
        return words[1:2] == [command.strip().upper()]

    def inject(self, code: int, text: str) -> None:
        """The next request is refused."""
        self._injected.append(text.replace(" ", "-") or f"error{code}")
