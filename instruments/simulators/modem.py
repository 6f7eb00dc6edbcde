"""A cellular modem that speaks AT: Quectel's dialect on 3GPP TS 27.007."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from bench.network.radio.levels import THERMAL_DBM_HZ, dbm, milliwatts, overlap, summed_dbm
from bench.network.radio.state import Cell, Emission, RadioState
from bench.network.radio.world import NoPathLoss
from instruments.simulators.outcome import NOTHING, Outcome, Strikes
from instruments.simulators.place import Place

_NOISE_DBM = THERMAL_DBM_HZ + 10 * math.log10(15e3) + 7.0
"""Noise in one resource element: 15 kHz, noise figure 7 dB."""

_LEAST_RSRP_DBM = -125.0
_HYSTERESIS_DB = 3.0
_WIDTHS = {6: 0, 15: 1, 25: 2, 50: 3, 75: 4, 100: 5}
"""Resource blocks to the index that AT+QENG shows."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A cell as it is received: levels in dBm, ratios in dB."""

    cell: Cell
    emission: Emission
    rsrp: float
    rsrq: float
    rssi: float
    sinr: float


class AtWire:
    """Command lines that end with a carriage return; responses carry their own line ends."""

    once = False

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes | None]:
        """The command lines that are whole now; None for one that was too long."""
        pieces = re.split(rb"[\r\n]+", self._buffer + data)
        self._buffer = pieces.pop()
        found: list[bytes | None] = [piece for piece in pieces if piece]
        if len(self._buffer) > 2048:
            self._buffer = b""
            found.append(None)
        return found

    def wrap(self, response: bytes) -> bytes:
        """As it is."""
        return response


class Modem:
    """Camps on the strongest cell that arrives, with hysteresis; a change is a URC.

    Args:
        place: where it stands.
    """

    period_s = 0.25

    def __init__(self, place: Place) -> None:
        self.place = place
        self.identity = "EG25-G"
        self.offset = 0.0
        self._injected: list[int] = []
        self._camped: Cell | None = None
        self._told: str | None = None
        self._on()

    def _on(self) -> None:
        self._echo = True
        self._verbose = 0
        self._reports = {"CEREG": 0, "CREG": 0, "C5GREG": 0}
        self._radio_on = True

    def power_on(self) -> None:
        """As after the mains came back."""
        self._injected.clear()
        self._camped = self._told = None
        self._on()

    def radio(self) -> RadioState:
        """It is taken not to disturb others."""
        return RadioState()

    # ---- what it receives ---------------------------------------------------

    def _hear(self) -> list[_Heard]:
        """Every cell that arrives, strongest first."""
        came = [arrival.emission for arrival in self.place.arrivals()]
        found = [self._measure(one, came) for one in came if one.cell is not None]
        return sorted(found, key=lambda one: -one.rsrp)

    def _measure(self, own: Emission, came: list[Emission]) -> _Heard:
        assert own.cell is not None
        blocks = max(1, round(own.bandwidth_hz / 180e3))
        elements_db = 10 * math.log10(12 * blocks)
        rsrp = own.level_dbm - elements_db + self.offset
        others = [_NOISE_DBM]
        for one in came:
            share = overlap(one.frequency_hz, one.bandwidth_hz, own.frequency_hz, own.bandwidth_hz)
            if one is not own and share > 0 and one.duty > 0:
                level = one.level_dbm + dbm(share) + dbm(one.duty)
                others.append(level - elements_db + self.offset)
        disturbance = summed_dbm(others)
        rssi = dbm(milliwatts(rsrp) + milliwatts(disturbance)) + elements_db
        rsrq = 10 * math.log10(blocks) + rsrp - rssi
        return _Heard(own.cell, own, rsrp, rsrq, rssi, rsrp - disturbance)

    def serving(self) -> _Heard | None:
        """The cell it camps on now; None: it searches."""
        heard = [one for one in self._hear() if one.rsrp >= _LEAST_RSRP_DBM]
        if not self._radio_on or not heard:
            self._camped = None
            return None
        best = heard[0]
        for one in heard:
            if one.cell == self._camped and one.rsrp >= best.rsrp - _HYSTERESIS_DB:
                best = one
                break
        self._camped = best.cell
        return best

    def news(self) -> bytes:
        """The registration, where it has changed and is to be reported."""
        try:
            told = self._registration("CEREG")
        except NoPathLoss:
            return b""
        changed, self._told = self._told not in (None, told), told
        if not changed or not self._reports["CEREG"]:
            return b""
        return f"\r\n+CEREG: {told}\r\n".encode()

    # ---- commands -----------------------------------------------------------

    def handle(self, message: bytes | None, strikes: Strikes = NOTHING) -> Outcome:
        """Carry out a command line."""
        text = "" if message is None else message.decode("latin-1").strip()
        echo = f"{text}\r" if self._echo else ""
        if self._injected:
            return Outcome((echo + self._failed(self._injected.pop(0))).encode("latin-1"))
        for pattern, handler in _TABLE:
            match = pattern.match(text)
            if match:
                try:
                    answer = handler(self, match)
                except NoPathLoss as error:  # the laboratory's fault: never a figure
                    return Outcome((echo + self._failed(0)).encode("latin-1"), [str(error)], [0])
                body = f"\r\n{answer}\r\n" if answer else ""
                return Outcome(f"{echo}{body}\r\nOK\r\n".encode("latin-1", "replace"))
        refusal = f"{text[:60]}: not understood"
        return Outcome((echo + self._failed(100)).encode("latin-1"), [refusal], [100])

    def _failed(self, code: int) -> str:
        """``ERROR``, or its number once AT+CMEE=1 or 2 was sent."""
        return f"\r\n+CME ERROR: {code}\r\n" if self._verbose else "\r\nERROR\r\n"

    def sorts(self, message: bytes) -> frozenset[str]:
        """Every line is answered; those about the network are measurements."""
        text = message.decode("latin-1").strip().upper()
        found = {"query"}
        if text in ("ATI", "AT+CGMM"):
            found.add("identity")
        if text.startswith(("AT+QENG", "AT+CESQ", "AT+CSQ")):
            found.add("measurement")
        return frozenset(found)

    def meant(self, message: bytes, command: str) -> bool:
        """The line begins with this command."""
        text = message.decode("latin-1").strip().upper()
        return text.startswith(command.strip().upper())

    def inject(self, code: int, text: str) -> None:
        """The next command fails with this error."""
        self._injected.append(abs(code))

    def set_echo(self, on: bool) -> str:
        """ATE."""
        self._echo = on
        return ""

    def set_verbose(self, level: int) -> str:
        """AT+CMEE."""
        self._verbose = level
        return ""

    def set_radio(self, level: int) -> str:
        """AT+CFUN: 1 on, 0 and 4 off."""
        self._radio_on = level == 1
        return ""

    def radio_level(self) -> str:
        """AT+CFUN?."""
        return f"+CFUN: {1 if self._radio_on else 4}"

    def set_report(self, name: str, level: int) -> str:
        """AT+CEREG= and its kin."""
        self._reports[name] = level
        if name == "CEREG":  # from here on changes are told
            self._told = self._registration(name)
        return ""

    def registered(self, name: str) -> str:
        """AT+CEREG? and its kin."""
        return f"+{name}: {self._reports[name]},{self._registration(name)}"

    def _registration(self, name: str) -> str:
        """3GPP TS 27.007, 10.1.22: 1 registered, 2 searching, 0 not registered."""
        serving = self.serving()
        if name == "C5GREG":
            return "0"
        if serving is None:
            return "2" if self._radio_on else "0"
        if self._reports[name] < 2:
            return "1"
        cell = serving.cell
        return f'1,"{cell.tracking_area:04X}","{cell.identity:08X}",7'

    def extended_quality(self) -> str:
        """AT+CESQ (27.007, 8.69): 99 and 255: not known or not of this technology."""
        serving = self.serving()
        if serving is None:
            return "+CESQ: 99,99,255,255,255,255"
        quality = min(34, max(0, math.floor((serving.rsrq + 19.5) * 2) + 1))
        power = min(97, max(0, math.floor(serving.rsrp) + 141))
        return f"+CESQ: 99,99,255,255,{quality},{power}"

    def quality(self) -> str:
        """AT+CSQ (27.007, 8.5)."""
        serving = self.serving()
        if serving is None:
            return "+CSQ: 99,99"
        return f"+CSQ: {min(31, max(0, round((serving.rssi + 113) / 2)))},99"

    def serving_cell(self) -> str:
        """AT+QENG="servingcell" of Quectel's LTE modems."""
        serving = self.serving()
        if serving is None:
            return '+QENG: "servingcell","SEARCH"'
        cell, blocks = serving.cell, round(serving.emission.bandwidth_hz / 180e3)
        mode = "TDD" if 33 <= cell.band <= 53 else "FDD"
        width = _WIDTHS.get(blocks, 5)
        return (
            f'+QENG: "servingcell","NOCONN","LTE","{mode}",001,01,{cell.identity:X},'
            f"{cell.physical_identity},{cell.channel},{cell.band},{width},{width},"
            f"{cell.tracking_area:X},{round(serving.rsrp)},{round(serving.rsrq)},"
            f"{round(serving.rssi)},{round(serving.sinr)},{round(serving.rsrp + 130)}"
        )

    def operator(self) -> str:
        """AT+COPS? (27.007, 7.3)."""
        return '+COPS: 0,0,"Test PLMN 1-1",7' if self.serving() else "+COPS: 0"


_Handler = Callable[[Modem, re.Match[str]], str]

_TABLE: tuple[tuple[re.Pattern[str], _Handler], ...] = tuple(
    (re.compile(f"{pattern}$", re.IGNORECASE), handler)
    for pattern, handler in (
        (r"AT", lambda me, _: ""),
        (r"ATZ|AT&F", lambda me, _: ""),
        (r"ATE([01]?)", lambda me, m: me.set_echo(m[1] == "1")),
        (r"ATI", lambda me, _: f"Quectel\r\n{me.identity}\r\nRevision: {me.identity}GAR07A08M2G"),
        (r"AT\+CGMI", lambda me, _: "Quectel"),
        (r"AT\+CGMM", lambda me, _: me.identity),
        (r"AT\+CGMR", lambda me, _: f"{me.identity}GAR07A08M2G"),
        (r"AT\+CGSN", lambda me, _: "001010000000001"),
        (r"AT\+CIMI", lambda me, _: "001010000000001"),
        (r"AT\+CPIN\?", lambda me, _: "+CPIN: READY"),
        (r"AT\+CMEE=([0-2])", lambda me, m: me.set_verbose(int(m[1]))),
        (r"AT\+CFUN=([014])(?:,[01])?", lambda me, m: me.set_radio(int(m[1]))),
        (r"AT\+CFUN\?", lambda me, _: me.radio_level()),
        (r"AT\+(CEREG|CREG|C5GREG)=([0-2])", lambda me, m: me.set_report(m[1].upper(), int(m[2]))),
        (r"AT\+(CEREG|CREG|C5GREG)\?", lambda me, m: me.registered(m[1].upper())),
        (r"AT\+CESQ", lambda me, _: me.extended_quality()),
        (r"AT\+CSQ", lambda me, _: me.quality()),
        (r"AT\+COPS\?", lambda me, _: me.operator()),
        (r'AT\+QENG="servingcell"', lambda me, _: me.serving_cell()),
    )
)
"""Command lines and what answers."""
