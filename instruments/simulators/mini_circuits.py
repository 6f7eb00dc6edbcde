"""Mini-Circuits' RCDAT attenuator and RC-SPDT switch: short text commands that always reply.

Commands: Mini-Circuits "Programming Handbook, Test Solutions", AN-49-012 and AN-49-001. An error
is text, there is no identification query of IEEE 488.2 and no error queue.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from math import floor

from bench.network.radio.state import RadioState
from instruments.simulators.outcome import NOTHING, Outcome, Strikes
from instruments.simulators.place import Place

_Handler = Callable[[re.Match[str]], str]


class LineInstrument:
    """An instrument of short text commands.

    Args:
        place: where it stands.
        identity: its model name.
        serial: its serial number.
    """

    def __init__(self, place: Place, identity: str, serial: str) -> None:
        self.place = place
        self.identity = identity
        self.serial = serial
        self.offset = 0.0
        self._injected: list[str] = []
        self._table: tuple[tuple[re.Pattern[str], _Handler], ...] = tuple(
            (re.compile(f":?{pattern}$", re.IGNORECASE), handler)
            for pattern, handler in (
                (r"MN\?", lambda _: f"MN={self.identity}"),
                (r"SN\?", lambda _: f"SN={self.serial}"),
                (r"FIRMWARE\?", lambda _: "B3"),
                *self.commands(),
            )
        )

    def commands(self) -> tuple[tuple[str, _Handler], ...]:
        """Its own: pattern and what answers."""
        return ()

    def handle(self, message: bytes | None, strikes: Strikes = NOTHING) -> Outcome:
        """Answer one command; an unknown one with the text that the instrument has for it."""
        text = "" if message is None else message.decode("latin-1").strip().rstrip(";")
        if self._injected:
            return Outcome(self._injected.pop(0).encode("latin-1", "replace"))
        for pattern, handler in self._table:
            match = pattern.match(text)
            if match:
                return Outcome(handler(match).encode("latin-1", "replace"))
        refusal = f"-99 Unrecognized Command. MN:{self.identity} SN:{self.serial}"
        return Outcome(refusal.encode("latin-1", "replace"), [f"{refusal} ({text[:60]})"], [-99])

    def sorts(self, message: bytes) -> frozenset[str]:
        """Every message is answered, so every one is a query."""
        asked = message.strip().rstrip(b";").endswith(b"?")
        identity = self.meant(message, "MN?")
        named = identity or self.meant(message, "SN?") or self.meant(message, "FIRMWARE?")
        found = {"query"} | ({"identity"} if identity else set())
        return frozenset(found | ({"measurement"} if asked and not named else set()))

    def meant(self, message: bytes, command: str) -> bool:
        """The message begins with this command."""
        text = message.decode("latin-1").strip().lstrip(":").upper()
        return text.startswith(command.strip().lstrip(":").upper())

    def inject(self, code: int, text: str) -> None:
        """The next command is answered with an error."""
        self._injected.append(f"{code} {text or 'Error'}")

    def power_on(self) -> None:
        """As after the mains came back."""
        self._injected.clear()

    def radio(self) -> RadioState:
        """What it does to the radio world."""
        return RadioState()


class Attenuator(LineInstrument):
    """RCDAT-6000-90: 0 to 90 dB in steps of 0.25 dB.

    At power-on it stands at its start-up value, which is 0 dB until it is set: what is most
    dangerous for what lies behind it.
    """

    MOST_DB, STEP_DB = 90.0, 0.25

    def __init__(self, place: Place) -> None:
        self._db = 0.0
        self._start_up, self._start_db = "F", 0.0
        super().__init__(place, "RCDAT-6000-90", "11700010001")

    def commands(self) -> tuple[tuple[str, _Handler], ...]:
        """Set and read the attenuation, and the start-up value."""
        number = r"([+-]?\d{1,6}(?:\.\d{0,6})?)"
        return (
            (rf"(?:CHAN:1:)?SETATT[=:]{number}", lambda m: self._set(float(m[1]))),
            (r"(?:CHAN:1:)?ATT\?", lambda _: f"{self._db:.2f}"),
            (rf"STARTUPATT:VALUE:{number}", lambda m: self._set_start(float(m[1]))),
            (r"STARTUPATT:VALUE\?", lambda _: f"{self._start_db:.2f}"),
            (r"STARTUPATT:INDICATOR:([LFN])", lambda m: self._set_indicator(m[1])),
            (r"STARTUPATT:INDICATOR\?", lambda _: self._start_up),
        )

    def _set(self, db: float) -> str:
        """1: set; 0: refused; 2: more than there is, so the most was set."""
        if db < 0:
            return "0"
        if db > self.MOST_DB:
            self._db = self.MOST_DB
            return "2"
        self._db = floor(db / self.STEP_DB + 0.5) * self.STEP_DB
        return "1"

    def _set_start(self, db: float) -> str:
        if not 0 <= db <= self.MOST_DB:
            return "0"
        self._start_db = floor(db / self.STEP_DB + 0.5) * self.STEP_DB
        return "1"

    def _set_indicator(self, letter: str) -> str:
        self._start_up = letter.upper()
        return "1"

    def power_on(self) -> None:
        """The start-up value: the last one (L), the one that was set (F), or the most (N)."""
        super().power_on()
        start = {"L": self._db, "F": self._start_db, "N": self.MOST_DB}
        self._db = start[self._start_up]

    def radio(self) -> RadioState:
        """Its attenuation, with what it is off by."""
        return RadioState(attenuations_db={self.place.port(): self._db + self.offset})


class Switch(LineInstrument):
    """RC-4SPDT-A18: four switches A to D, each COM to 1 (state 0) or COM to 2 (state 1)."""

    NAMES = "ABCD"

    def __init__(self, place: Place) -> None:
        self._states = 0
        super().__init__(place, "RC-4SPDT-A18", "11700020001")

    def commands(self) -> tuple[tuple[str, _Handler], ...]:
        """Set one or all, and read all as one number, switch A in its lowest bit."""
        return (
            (r"SETP=(\d{1,5})", lambda m: self._set_all(int(m[1]))),
            (r"SET([A-D])=([01])", lambda m: self._set_one(m[1].upper(), int(m[2]))),
            (r"SET[A-Z]=\d*", lambda _: "0"),
            (r"SWPORT\?", lambda _: str(self._states)),
            (r"TEMP1\?", lambda _: "+25.50"),
        )

    def _set_all(self, states: int) -> str:
        if states >= 1 << len(self.NAMES):
            return "0"
        self._states = states
        return "1"

    def _set_one(self, name: str, state: int) -> str:
        bit = 1 << self.NAMES.index(name)
        self._states = self._states | bit if state else self._states & ~bit
        return "1"

    def power_on(self) -> None:
        """All switches at COM to 1."""
        super().power_on()
        self._states = 0

    def radio(self) -> RadioState:
        """The position of each switch: 1 or 2."""
        return RadioState(
            positions={
                self.place.port(name): 1 + (self._states >> bit & 1)
                for bit, name in enumerate(self.NAMES)
            }
        )
