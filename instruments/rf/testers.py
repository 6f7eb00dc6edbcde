"""Radio communication testers: R&S CMW500 with LTE signaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

from instruments.rf.emitters import Emitter
from instruments.rf.generators import equals
from instruments.rf.levels import Permit
from instruments.visa.channels import Check
from instruments.visa.errors import BadAnswer, Excess, NotAResult
from instruments.visa.properties import Choice, Command, Number
from instruments.visa.readings import number, numbers

_GUIDE = "R&S CMW LTE UE Firmware Applications User Manual, LTE Signaling, Command Reference"

_CITED = f"{_GUIDE} (as public code cites it; not looked up there), Extended BLER"

FULL_CELL_DB = 10 * math.log10(12 * 100)
"""From a resource element to a whole cell of 20 MHz (100 resource blocks of 12 subcarriers,
3GPP TS 36.101, 5.6): the most that the level per 15 kHz stands for, dB."""

CELL_S, ATTACH_S, HANDOVER_S, EVERY_S = 120.0, 180.0, 30.0, 0.5

SUBFRAME_S, COUNT_EVERY_S = 1e-3, 0.1
"""An LTE subframe (3GPP TS 36.211, 4.1); how often a count of blocks is asked for its end."""

BANDS = (1, 2, 3, 4, 5, 7, 8, 12, 13, 17, 20, 25, 26, 28, 38, 39, 40, 41, 42, 43, 66)
TDD_BANDS = (38, 39, 40, 41, 42, 43)
"""Operating bands that the driver knows, and those without a pair (3GPP TS 36.101, 5.5-1)."""


def is_word(*wanted: str) -> Check:
    """Check that an answer is one of these words."""
    return lambda text: "" if text.strip().upper() in wanted else f"is not {' or '.join(wanted)}"


@dataclass(frozen=True, slots=True)
class LteCell:
    """Where a handover goes: ``FDD``, ``OB3``, 1300, ``B100`` (10 MHz), ``NS01``."""

    duplex: str
    band: str
    dl_channel: int
    bandwidth: str
    emission: str = "NS01"

    def text(self) -> str:
        """As the command has it."""
        return ",".join(
            (self.duplex, self.band, str(self.dl_channel), self.bandwidth, self.emission)
        )


@dataclass(frozen=True, slots=True)
class Blocks:
    """The transport blocks of a downlink that were counted, as the terminal answered for them.

    ``delivered``: it acknowledged them; ``refused``: it could not read them; ``unanswered``: no
    answer came. ``throughput_bps``: of what it acknowledged, on average.
    """

    delivered: int
    refused: int
    unanswered: int
    throughput_bps: float


class Cmw500Lte(Emitter):
    """The LTE cell of a CMW500 (instance 1). It emits: it goes on with a permit only."""

    family = "radio-tester"
    manufacturer = "Rohde&Schwarz"
    models = ("CMW",)

    rs_epre_dbm = Number(
        "CONF:LTE:SIGN:DL:RSEP:LEV {value}", "CONF:LTE:SIGN:DL:RSEP:LEV?", unit="dBm",
        low=-140, high=-20, tolerance=0.05,
        source=f"{_GUIDE}, Downlink Power Levels: CONFigure:LTE:SIGN<i>:DL[:PCC]:RSEPre:LEVel",
    )  # fmt: skip

    dl_bandwidth = Choice(
        "CONF:LTE:SIGN:CELL:BAND:DL {value}", "CONF:LTE:SIGN:CELL:BAND:DL?",
        values={"1.4MHz": ("B014",), "3MHz": ("B030",), "5MHz": ("B050",), "10MHz": ("B100",),
                "15MHz": ("B150",), "20MHz": ("B200",)},
        source=f"{_GUIDE}, CONFigure:LTE:SIGN<i>:CELL:BANDwidth[:PCC]:DL",
    )  # fmt: skip

    duplex = Choice(
        "CONF:LTE:SIGN:DMOD {value}", "CONF:LTE:SIGN:DMOD?",
        values={"fdd": ("FDD",), "tdd": ("TDD",)},
        source=f"{_GUIDE}, CONFigure:LTE:SIGN<i>[:PCC]:DMODe",
    )  # fmt: skip
    band = Choice(
        "CONF:LTE:SIGN:BAND {value}", "CONF:LTE:SIGN:BAND?",
        values={str(number): (f"OB{number}",) for number in BANDS},
        source=f"{_GUIDE}, CONFigure:LTE:SIGN<i>[:PCC]:BAND",
    )  # fmt: skip
    earfcn = Number(
        "CONF:LTE:SIGN:RFS:CHAN:DL {value}", "CONF:LTE:SIGN:RFS:CHAN:DL?", unit="",
        low=0, high=262143, step=1,
        source=f"{_GUIDE}, RF Settings: CONFigure:LTE:SIGN<i>:RFSettings[:PCC]:CHANnel:DL",
    )  # fmt: skip
    counted_subframes = Number(
        "CONF:LTE:SIGN:EBL:SFR {value}", "CONF:LTE:SIGN:EBL:SFR?", unit="", low=100, high=400000,
        step=1, source=f"{_CITED}: CONFigure:LTE:SIGN<i>:EBLer:SFRames",
    )  # fmt: skip
    counting = Choice(
        "CONF:LTE:SIGN:EBL:REP {value}", "CONF:LTE:SIGN:EBL:REP?",
        values={"once": ("SING", "SINGLESHOT"), "on and on": ("CONT", "CONTINUOUS")},
        source=f"{_CITED}: CONFigure:LTE:SIGN<i>:EBLer:REPetition",
    )  # fmt: skip
    count = Command("INIT:LTE:SIGN:EBL", f"{_CITED}: INITiate:LTE:SIGN<i>:EBLer")
    count_abort = Command("ABOR:LTE:SIGN:EBL", f"{_CITED}: ABORt:LTE:SIGN<i>:EBLer")
    count_state = Command("FETC:LTE:SIGN:EBL:STAT?", f"{_CITED}: FETCh:LTE:SIGN<i>:EBLer:STATe?")
    counted = Command(
        "FETC:LTE:SIGN:EBL:ABS?",
        f"{_CITED}: FETCh:LTE:SIGN<i>:EBLer[:PCC]:ABSolute?",
    )

    cell_on = Command("SOUR:LTE:SIGN:CELL:STAT ON", f"{_GUIDE}, SOURce:LTE:SIGN<i>:CELL:STATe")
    cell_off = Command("SOUR:LTE:SIGN:CELL:STAT OFF", f"{_GUIDE}, SOURce:LTE:SIGN<i>:CELL:STATe")
    cell_state = Command(
        "SOUR:LTE:SIGN:CELL:STAT:ALL?", f"{_GUIDE}, SOURce:LTE:SIGN<i>:CELL:STATe:ALL?"
    )
    output_attenuation = Command(
        "CONF:LTE:SIGN:RFS:EATT:OUTP?",
        f"{_GUIDE}, RF Settings: CONFigure:LTE:SIGN<i>:RFSettings[:PCC]:EATTenuation:OUTPut",
    )
    level = Command(
        "CONF:LTE:SIGN:DL:RSEP:LEV?",
        f"{_GUIDE}, Downlink Power Levels: CONFigure:LTE:SIGN<i>:DL[:PCC]:RSEPre:LEVel",
    )
    ps_state = Command("FETC:LTE:SIGN:PSW:STAT?", f"{_GUIDE}, FETCh:LTE:SIGN<i>:PSWitched:STATe?")
    connect_ps = Command(
        "CALL:LTE:SIGN:PSW:ACT CONN", f"{_GUIDE}, CALL:LTE:SIGN<i>:PSWitched:ACTion"
    )
    hand_over = Command(
        "CALL:LTE:SIGN:PSW:ACT HAND", f"{_GUIDE}, CALL:LTE:SIGN<i>:PSWitched:ACTion"
    )
    destination = Command(
        'PREP:LTE:SIGN:HAND:DEST "LTE Sig1"',
        f"{_GUIDE}, Handover: PREPare:LTE:SIGN<i>:HANDover:DESTination",
    )
    target = Command(
        "PREP:LTE:SIGN:HAND:ENH {cell}",
        f"{_GUIDE}, Handover: PREPare:LTE:SIGN<i>:HANDover:ENHanced",
    )
    dl_channel = Command(
        "CONF:LTE:SIGN:RFS:CHAN:DL?",
        f"{_GUIDE}, RF Settings: CONFigure:LTE:SIGN<i>:RFSettings[:PCC]:CHANnel:DL",
    )

    def guard(self, name: str, value: object) -> None:
        """While the cell is on: no level above the permit."""
        if name == "rs_epre_dbm" and self._permit is not None and isinstance(value, int | float):
            self._within(float(value), self._permit)

    def _within(self, rs_epre_dbm: float, permit: Permit) -> None:
        full = rs_epre_dbm + FULL_CELL_DB
        if full > permit.ceiling_dbm + 1e-6:
            raise Excess(
                self.channel.role,
                f"{rs_epre_dbm:g} dBm per 15 kHz is up to {full:.1f} dBm over the cell, above the "
                f"permitted {permit.ceiling_dbm:g} dBm",
            )

    def switch_on(self, permit: Permit) -> None:
        """The cell on and its signal there (``ON,ADJ``).

        Should the session have to be made anew later, the cell is switched off and stays off.

        Raises:
            Excess: the permit is another's, or the cell's level is above it.
            NotApplied: an external attenuation is set, which would raise the level at the
                connector; or the cell does not come on.
        """
        role = self.channel.role
        if permit.generator != role:
            raise Excess(role, f"the permit is for {permit.generator}")

        def level_is_permitted(text: str) -> str:
            self._within(number(text, role), permit)
            return ""

        with self.channel.step("cell on"):
            self.channel.confirm(self.output_attenuation.text, equals(0, role), "0")
            self.channel.confirm(self.level.text, level_is_permitted, "within the permit")
            self.channel.declare("cell", self._off, first=True)
            self._permit = permit
            self.channel.command(self.cell_on.text)
            self._wait(self.cell_state, CELL_S, "ON,ADJ")

    def _wait(self, query: Command, within_s: float, *wanted: str) -> None:
        shown = " or ".join(wanted)
        self.channel.poll(query.text, is_word(*wanted), shown, EVERY_S, within_s)

    def _off(self) -> None:
        self.channel.force(self.cell_off.text)
        self._wait(self.cell_state, CELL_S, "OFF,ADJ")
        self._permit = None

    def make_safe(self) -> None:
        """The cell off, verified."""
        self.channel.settle()
        self._off()

    switch_off = make_safe

    def wait_attached(self) -> None:
        """Until the device has attached by itself. Raises: NotApplied: it did not in time."""
        self._wait(self.ps_state, ATTACH_S, "ATT", "CEST")

    def connect(self) -> None:
        """Set up the connection. Raises: NotApplied: it does not come."""
        with self.channel.step("connect"):
            self.channel.command(self.connect_ps.text)
            self._wait(self.ps_state, ATTACH_S, "CEST")

    def blocks(self, subframes: int) -> Blocks:
        """Count what the connected terminal answers to so many subframes (extended BLER).

        Raises:
            NotApplied: it is not connected, or the count does not end in time.
            NotAResult: the tester says that what it counted is not reliable.
            BadAnswer: it answers something else than a count.
        """
        with self.channel.step(f"blocks of {subframes} subframes"):
            self.channel.confirm(self.ps_state.text, is_word("CEST"), "CEST")
            self.counting, self.counted_subframes = "once", subframes
            self.channel.command(self.count_abort.text)
            self.channel.command(self.count.text)
            within_s = CELL_S + 2 * subframes * SUBFRAME_S
            self.channel.poll(self.count_state.text, is_word("RDY"), "RDY", COUNT_EVERY_S, within_s)
            answer = self.channel.query(self.counted.text)
            self.channel.confirm(self.ps_state.text, is_word("CEST"), "CEST")
        return blocks_of(answer, self.channel.role)

    def handover(self, cell: LteCell) -> None:
        """Hand the connected device over, within the LTE application.

        Raises:
            NotApplied: it was not connected, the connection did not come back, or the cell is not
                at the destination's channel afterwards.
        """
        with self.channel.step(f"handover to {cell.text()}"):
            self.channel.confirm(self.ps_state.text, is_word("CEST"), "CEST")
            self.channel.command(self.destination.text)
            self.channel.command(self.target.with_(cell=cell.text()))
            self.channel.command(self.hand_over.text)
            self.channel.poll(
                self.dl_channel.text,
                equals(cell.dl_channel, self.channel.role),
                str(cell.dl_channel),
                EVERY_S,
                HANDOVER_S,
            )
            self._wait(self.ps_state, HANDOVER_S, "CEST")


def blocks_of(answer: str, role: str) -> Blocks:
    """What ``FETCh:LTE:SIGN<i>:EBLer[:PCC]:ABSolute?`` answered.

    Its fields: reliability (0: no error), ACK, NACK, subframes, throughput (mean, least, most, in
    kbit/s), DTX, scheduled subframes, median CQI; later firmware may add some.

    Raises:
        NotAResult: it is not reliable, or there is none.
        BadAnswer: it is no such list, or counts nothing.
    """
    fields = answer.split(",")
    if len(fields) < 9:
        raise BadAnswer(role, f"answers {answer!r}, which is no count of blocks")
    if fields[0].strip() != "0":
        raise NotAResult(role, f"says that its count is not reliable ({fields[0].strip()})")
    _, ack, nack, _, mean_kbps, _, _, dtx, _ = numbers(",".join(fields[:9]), role)
    if min(ack, nack, dtx, mean_kbps) < 0 or ack + nack + dtx <= 0:
        raise BadAnswer(role, f"answers {answer!r}, which counts no block")
    return Blocks(int(ack), int(nack), int(dtx), 1e3 * mean_kbps)
