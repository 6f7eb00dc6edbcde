"""Radio communication tester: R&S CMW500 with LTE signalling, one cell for each instance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from bench.network.radio.error_rates import hit_probability
from bench.network.radio.receivers import TECHNOLOGIES, Receiver, Reception, receive
from bench.network.radio.state import Cell, Emission, RadioState
from bench.network.radio.world import Arrival, arrivals, loss_db
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
        2: (1930.0, 600, 1199),
        3: (1805.0, 1200, 1949),
        4: (2110.0, 1950, 2399),
        5: (869.0, 2400, 2649),
        7: (2620.0, 2750, 3449),
        8: (925.0, 3450, 3799),
        12: (729.0, 5010, 5179),
        13: (746.0, 5180, 5279),
        17: (734.0, 5730, 5849),
        20: (791.0, 6150, 6449),
        25: (1930.0, 8040, 8689),
        26: (859.0, 8690, 9039),
        28: (758.0, 9210, 9659),
        38: (2570.0, 37750, 38249),
        39: (1880.0, 38250, 38649),
        40: (2300.0, 38650, 39649),
        41: (2496.0, 39650, 41589),
        42: (3400.0, 41590, 43589),
        43: (3600.0, 43590, 45589),
        66: (2110.0, 66436, 67335),
    }
)
"""Lowest downlink frequency in MHz, first and last channel (3GPP TS 36.101, table 5.7.3-1)."""

_BAND = Choice(tuple(f"OB{band}" for band in BANDS))
_WIDTH = Choice(tuple(_BLOCKS))
_CHANNEL = Number(0, 67335, "", 1, 300, whole=True)
_EMISSION = Choice(tuple(f"NS{number:02d}" for number in range(1, 33)))
_DUPLEX = Choice(("FDD", "TDD"))


NO_COUNT = ",".join(["1", *["NAV"] * 9])
"""What extended BLER answers where nothing was counted: a reliability that is not 0."""

Target = tuple[str, float, str]
"""Band, channel and bandwidth."""


class RadioTester(ScpiInstrument):
    """LTE cells; whether a device attaches is decided by what arrives where paths lead to."""

    def __init__(self, model: Model, place: Place) -> None:
        super().__init__(model, place)
        self._polls: dict[int, int] = {}
        self._states: dict[int, str] = {}
        self._targets: dict[int, Target] = {}
        self._counting: dict[int, int] = {}
        self._counts: dict[int, str] = {}
        self._chance = np.random.default_rng(0)

    def reset(self) -> None:
        """``*RST``: no cell, no connection."""
        super().reset()
        self._polls, self._states, self._targets = {}, {}, {}
        self._counting, self._counts = {}, {}

    def power_on(self) -> None:
        """As after the mains came back."""
        super().power_on()
        self._polls, self._states, self._targets = {}, {}, {}
        self._counting, self._counts = {}, {}

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

    # ---- extended BLER -------------------------------------------------------

    def begin_count(self, instance: int) -> None:
        """``INITiate``: a new count of the terminal's answers."""
        self._counting[instance] = 0
        self._counts.pop(instance, None)

    def end_count(self, instance: int) -> None:
        """``ABORt``: no count, no results."""
        self._counting.pop(instance, None)
        self._counts.pop(instance, None)

    def count_state(self, instance: int) -> str:
        """``RUN`` for some polls, then ``RDY``; ``OFF`` where nothing was begun."""
        if instance not in self._counting:
            return "OFF"
        self._counting[instance] += 1
        if self._counting[instance] <= POLLS:
            return "RUN"
        if instance not in self._counts:
            self._counts[instance] = self._count(instance)
        return "RDY"

    def counted(self, instance: int) -> str:
        """Reliability, ACK, NACK, subframes, throughput (kbit/s), DTX, scheduled, median CQI."""
        return self._counts.get(instance, NO_COUNT)

    def _count(self, instance: int) -> str:
        """What the terminal that wants this cell makes of it, over the subframes asked for.

        Bursts hit so many of them by chance. Blocks are of the size that the terminal asks for; one
        that gets nothing answers nothing. Every subframe counts as one of the downlink.
        """
        port = self.place.port(instance)
        wanting = [n for n, one in self.place.world.receivers.items() if one.wanted == port]
        if self.connection(instance) != "CEST" or not wanting:
            return NO_COUNT
        subframes = int(self.number("subframes", instance))
        receiver = self.place.world.receivers[wanting[0]]
        came = arrivals(self.place.world, self.place.state(), wanting[0])
        hit_share, clear, hit = shares(receiver, came)
        struck = int(self._chance.binomial(subframes, hit_share))
        rates = [hit.rate_bps] * struck + [clear.rate_bps] * (subframes - struck)
        lost = sum(
            int(self._chance.binomial(count, one.packet_error_ratio if one.rate_bps else 1.0))
            for count, one in ((struck, hit), (subframes - struck, clear))
        )
        unanswered = sum(1 for rate in rates if not rate)
        refused = max(0, lost - unanswered)
        kbps = sum(rates) / subframes / 1e3
        least, most = min(rates) / 1e3, max(rates) / 1e3
        delivered = subframes - refused - unanswered
        return (
            f"0,{delivered},{refused},{subframes},{kbps:.1f},{least:.1f},{most:.1f},"
            f"{unanswered},{subframes},15"
        )

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


def shares(receiver: Receiver, came: Sequence[Arrival]) -> tuple[float, Reception, Reception]:
    """How many subframes bursts strike, 0 to 1; the reception between bursts, and under them."""
    steady = tuple(one for one in came if one.emission.duty >= 1.0 or one.source == receiver.wanted)
    bursts = [one for one in came if one not in steady]
    on = tuple(
        one if one in steady else replace(one, emission=replace(one.emission, duty=1.0))
        for one in came
    )
    slot_s = TECHNOLOGIES[receiver.technology].slot_s
    share = max(
        (hit_probability(one.emission.burst_s, one.emission.duty, slot_s) for one in bursts),
        default=0.0,
    )
    return share, receive(receiver, steady), receive(receiver, on)


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
    Command(f":CONFigure{_SIGN}[:PCC]:DMODe", "duplex", _DUPLEX, "FDD"),
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
    Command(f":CONFigure{_SIGN}:EBLer:SFRames", "subframes",
            Number(100, 400000, "", 1, 10000, whole=True), 10000),
    Command(f":CONFigure{_SIGN}:EBLer:REPetition", "repetition",
            Choice(("SINGleshot", "CONTinuous")), "SING"),
    Command(f":INITiate{_SIGN}:EBLer", do=lambda call: _me(call).begin_count(call.suffixes[0])),
    Command(f":ABORt{_SIGN}:EBLer", do=lambda call: _me(call).end_count(call.suffixes[0])),
    Command(f":FETCh{_SIGN}:EBLer:STATe",
            ask=lambda call: _me(call).count_state(call.suffixes[0])),
    Command(f":FETCh{_SIGN}:EBLer[:PCC]:ABSolute",
            ask=lambda call: _me(call).counted(call.suffixes[0])),
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
