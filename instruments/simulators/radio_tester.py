"""Radio communication tester: R&S CMW500 with LTE signalling, one cell for each instance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bench.network.radio.state import Cell, Emission, RadioState
from bench.network.radio.world import loss_db
from instruments.simulators.place import Place
from instruments.simulators.scpi_errors import ScpiError
from instruments.simulators.scpi_instrument import Model, ScpiInstrument
from instruments.simulators.scpi_tree import Call, Command
from instruments.simulators.scpi_values import Boolean, Choice, Number, Text

INSTANCES = 2
POLLS = 2
"""How often a state is asked before the next one is reached: waiting without a clock."""

_LEAST_RSRP_DBM = -125.0
_BLOCKS = {"B014": 6, "B030": 15, "B050": 25, "B100": 50, "B150": 75, "B200": 100}

BANDS: Mapping[int, tuple[float, int, int]] = MappingProxyType(
    {
        1: (2110.0, 0, 599),
        3: (1805.0, 1200, 1949),
        7: (2620.0, 2750, 3449),
        8: (925.0, 3450, 3799),
        20: (791.0, 6150, 6449),
        28: (758.0, 9210, 9659),
        40: (2300.0, 38650, 39649),
        41: (2496.0, 39650, 41589),
    }
)
"""Lowest downlink frequency in MHz, first and last channel (3GPP TS 36.101, table 5.7.3-1)."""

_BAND = Choice(tuple(f"OB{band}" for band in BANDS))
_WIDTH = Choice(tuple(_BLOCKS))
_CHANNEL = Number(0, 41589, "", 1, 300, whole=True)
_EMISSION = Choice(tuple(f"NS{number:02d}" for number in range(1, 33)))
_DUPLEX = Choice(("FDD", "TDD"))


Target = tuple[str, float, str]
"""Band, channel and bandwidth."""


class RadioTester(ScpiInstrument):
    """LTE cells; whether a device attaches is decided by what arrives where paths lead to."""

    def __init__(self, model: Model, place: Place) -> None:
        super().__init__(model, place)
        self._polls: dict[int, int] = {}
        self._states: dict[int, str] = {}
        self._targets: dict[int, Target] = {}

    def reset(self) -> None:
        """``*RST``: no cell, no connection."""
        super().reset()
        self._polls, self._states, self._targets = {}, {}, {}

    def power_on(self) -> None:
        """As after the mains came back."""
        super().power_on()
        self._polls, self._states, self._targets = {}, {}, {}

    def switch(self, instance: int) -> None:
        """The cell was switched on or off; what it is already it stays."""
        on = bool(self.get("cell", instance))
        if on == (self._states.get(instance, "OFF") != "OFF"):
            return
        self._polls[instance] = 0
        self._states[instance] = "ON" if on else "OFF"

    def generator_state(self, instance: int) -> str:
        """``ON,PEND`` for some polls, then ``ON,ADJ``; likewise ``OFF``."""
        polls = self._polls.get(instance, POLLS)
        self._polls[instance] = polls + 1
        main = "ON" if self.get("cell", instance) else "OFF"
        return f"{main},{'ADJ' if polls >= POLLS else 'PEND'}"

    def adjusted(self, instance: int) -> bool:
        """The signal is there."""
        return bool(self.get("cell", instance)) and self._polls.get(instance, 0) > POLLS

    def connection(self, instance: int) -> str:
        """The packet-switched state; a device that hears the cell attaches."""
        state = self._states.get(instance, "OFF")
        if state != "OFF":
            heard = self.adjusted(instance) and self._heard(instance)
            if state == "ON" and heard:
                state = "ATT"
            elif state in ("ATT", "CEST") and not heard:
                state = "ON"
            self._states[instance] = state
        return state

    def rrc_state(self, instance: int) -> str:
        """``CONN`` or ``IDLE``."""
        return "CONN" if self.connection(instance) == "CEST" else "IDLE"

    def act(self, instance: int, action: str) -> None:
        """Connect, disconnect, detach or hand over.

        Raises:
            ScpiError: not in this state (−221), or to nowhere.
        """
        state = self.connection(instance)
        after = {("CONN", "ATT"): "CEST", ("DISC", "CEST"): "ATT", ("DET", "ATT"): "ON"}
        after |= {("DET", "CEST"): "ON", ("HAND", "CEST"): "CEST"}
        if (action, state) not in after:
            raise ScpiError(-221, f"{action} in state {state}")
        if action == "HAND":
            self._hand_over(instance)
        self._states[instance] = after[action, state]

    def _hand_over(self, instance: int) -> None:
        band, channel, width = self.target(instance)
        self.put("band", band, instance)
        self.put("channel", channel, instance)
        self.put("width", width, instance)

    def target(self, instance: int) -> Target:
        """Band, channel and bandwidth to which a handover goes."""
        return self._targets.get(instance, ("OB1", 300.0, "B100"))

    def prepare(self, instance: int, target: Target) -> None:
        """Set the target of the next handover."""
        self._targets[instance] = target

    def _heard(self, instance: int) -> bool:
        """Some path leads to where the cell can be received."""
        state = self.place.state()
        emission = state.emissions.get(self.place.port(instance))
        if emission is None:
            return False
        for path in self.place.world.paths:
            if path.source == self.place.port(instance):
                loss = loss_db(path, state, emission.frequency_hz)
                if loss is not None and rsrp_dbm(emission) - loss >= _LEAST_RSRP_DBM:
                    return True
        return False

    def radio(self) -> RadioState:
        """The cells that are on."""
        found = {}
        for instance in range(1, INSTANCES + 1):
            if self.get("cell", instance):
                found[self.place.port(instance)] = self._emission(instance)
        return RadioState(emissions=found)

    def _emission(self, instance: int) -> Emission:
        band = int(str(self.get("band", instance))[2:])
        channel = int(self.number("channel", instance))
        lowest_mhz, first, _ = BANDS[band]
        blocks = _BLOCKS[str(self.get("width", instance))]
        level = self.number("level", instance) + 10 * math.log10(12 * blocks)
        level += self.offset + self.number("external", instance)
        known = self.place.world.cells.get(self.place.port(instance))
        cell = known or Cell(0x1000 + instance, 0, 1, channel, band)
        cell = replace(cell, channel=channel, band=band)
        if ("pci", (instance,)) in self.settings:
            cell = replace(cell, physical_identity=int(self.number("pci", instance)))
        return Emission((lowest_mhz + 0.1 * (channel - first)) * 1e6, level, blocks * 180e3,
                        cell=cell)  # fmt: skip

    def rsrp(self, instance: int) -> str:
        """The range that a connected device reports; ``NAV`` where none is connected."""
        if self.connection(instance) != "CEST":
            return "NAV"
        state = self.place.state()
        emission = state.emissions[self.place.port(instance)]
        losses = [
            loss
            for path in self.place.world.paths
            if path.source == self.place.port(instance)
            and (loss := loss_db(path, state, emission.frequency_hz)) is not None
        ]
        reported = math.floor(rsrp_dbm(emission) - min(losses)) + 141
        return str(min(97, max(0, reported)))


def rsrp_dbm(emission: Emission) -> float:
    """Power of one resource element of a cell."""
    return emission.level_dbm - 10 * math.log10(12 * max(1, round(emission.bandwidth_hz / 180e3)))


def _me(call: Call) -> RadioTester:
    assert isinstance(call.instrument, RadioTester)
    return call.instrument


def _check_channel(call: Call) -> None:
    """A channel must be one of the band."""
    _, first, last = BANDS[int(str(_me(call).get("band", *call.suffixes))[2:])]
    if not first <= float(call.values[0]) <= last:
        raise ScpiError(-222)


def _first_channel(call: Call) -> None:
    """With the band the channel goes to the band's first."""
    _, first, _ = BANDS[int(str(call.values[0])[2:])]
    _me(call).put("channel", first, *call.suffixes)


def _prepare(call: Call) -> None:
    """Destination of a handover: [duplex mode,] band, channel, bandwidth, spectrum emission."""
    band, channel, width = [str(value) for value in call.values][-4:-1]
    _, first, last = BANDS[int(band[2:])]
    if not first <= float(channel) <= last:
        raise ScpiError(-222)
    _me(call).prepare(call.suffixes[0], (band, float(channel), width))


def _prepared(call: Call) -> str:
    band, channel, width = _me(call).target(call.suffixes[0])
    return f"{band},{int(channel)},{width},NS01"


_SIGN = f":LTE:SIGNaling<{INSTANCES}>"

_COMMANDS = (
    Command(f":SOURce{_SIGN}:CELL:STATe", "cell", Boolean(), False,
            then=lambda call: _me(call).switch(call.suffixes[0])),
    Command(f":SOURce{_SIGN}:CELL:STATe:ALL",
            ask=lambda call: _me(call).generator_state(call.suffixes[0])),
    Command(f":CONFigure{_SIGN}[:PCC]:BAND", "band", _BAND, "OB1", then=_first_channel),
    Command(f":CONFigure{_SIGN}:RFSettings[:PCC]:CHANnel:DL", "channel", _CHANNEL, 300,
            check=_check_channel),
    Command(f":CONFigure{_SIGN}:RFSettings[:PCC]:EATTenuation:OUTPut", "external",
            Number(-50, 90, "DB", 0.01), 0.0),
    Command(f":CONFigure{_SIGN}:CELL:BANDwidth[:PCC]:DL", "width", _WIDTH, "B100"),
    Command(f":CONFigure{_SIGN}:CELL[:PCC]:PCID", "pci", Number(0, 503, "", 1, 0, whole=True), 0),
    Command(f":CONFigure{_SIGN}:DL[:PCC]:RSEPre:LEVel", "level",
            Number(-140, -25, "DBM", 0.01, -85), -85.0),
    Command(f":CALL{_SIGN}:PSWitched:ACTion",
            takes=(Choice(("CONNect", "DISConnect", "DETach", "HANDover")),),
            do=lambda call: _me(call).act(call.suffixes[0], str(call.values[0]))),
    Command(f":FETCh{_SIGN}:PSWitched:STATe",
            ask=lambda call: _me(call).connection(call.suffixes[0])),
    Command(f":SENSe{_SIGN}:RRCState",
            ask=lambda call: _me(call).rrc_state(call.suffixes[0])),
    Command(f":SENSe{_SIGN}:UEReport[:PCC]:RSRP",
            ask=lambda call: _me(call).rsrp(call.suffixes[0])),
    Command(f":PREPare{_SIGN}:HANDover:DESTination", "destination", Text(), "LTE Sig1"),
    Command(f":PREPare{_SIGN}:HANDover", takes=(_BAND, _CHANNEL, _WIDTH, _EMISSION),
            do=_prepare, ask=_prepared),
    Command(f":PREPare{_SIGN}:HANDover:ENHanced",
            takes=(_DUPLEX, _BAND, _CHANNEL, _WIDTH, _EMISSION), do=_prepare,
            ask=lambda call: f"FDD,{_prepared(call)}"),
)  # fmt: skip


def cmw500(place: Place) -> RadioTester:
    """R&S CMW500 with LTE signalling."""
    model = Model(
        "radio-tester",
        "Rohde&Schwarz,CMW,1201.0002k50/000001,3.8.10",
        _COMMANDS,
        "KS500,KS510,KS520",
        "R&S CMW-KG5xx LTE UE signalling user manual 1173.9628.02",
    )
    return RadioTester(model, place)
