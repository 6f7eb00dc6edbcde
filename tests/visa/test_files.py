"""Bench files, descriptions of instruments without a driver, calibration records."""

from __future__ import annotations

import datetime
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from instruments.calibration import Point, Record, load_calibration, loss_at
from instruments.files import KINDS, load_instruments
from instruments.rf.attenuators import Rcdat
from instruments.rf.generators import RohdeSchwarzSmw
from instruments.rf.levels import Path as RfPath
from instruments.rf.levels import Port, permit
from instruments.rf.wiring import load_wiring
from instruments.safety import SafeState
from instruments.visa.errors import BadAnswer, Excess, NotApplied, Reported
from instruments.visa.generic import load_generic
from instruments.visa.resources import Identity
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript
from tests.support.scripted import Peer, Script, resource, session

DOCS = Path(__file__).parents[2] / "docs"
BENCH = DOCS / "instruments.example.toml"
METER = DOCS / "instrument.example.toml"
CABLE = DOCS / "calibration.example.toml"
DAY = datetime.date(2026, 11, 29)


def changed(tmp_path: Path, source: Path, old: str, new: str) -> Path:
    text = source.read_text()
    assert old in text
    path = tmp_path / source.name
    path.write_text(text.replace(old, new, 1))
    (tmp_path / METER.name).touch()
    if source != METER:
        (tmp_path / METER.name).write_text(METER.read_text())
    return path


# ---- bench files -----------------------------------------------------------


def test_the_example_describes_four_instruments() -> None:
    found = load_instruments(BENCH)
    assert list(found) == ["generator", "attenuator", "supply", "power-meter"]
    generator = found["generator"]
    assert generator.kind is RohdeSchwarzSmw
    assert generator.resource.reply_s == 5
    lines: list[str] = []
    driver = generator.make(generator.plan(lines))
    driver.level_dbm = -30
    assert lines[:2] == [
        "generator: *IDN? -> Rohde&Schwarz SMW200A",
        "generator: SYST:ERR? -> any",
    ]
    assert lines[3:5] == [
        "generator: :SOUR1:POW -30",
        'generator: :SOUR1:POW?;:SYST:ERR? -> -30;0,"No error"',
    ]
    with pytest.raises(InputError, match="-120 to -20 dBm"):
        driver.level_dbm = -10


def test_an_instrument_is_reached_by_editing_its_address(tmp_path) -> None:
    script = Script(table={"*IDN?": "Rohde&Schwarz,SMW200A,101234,5.0"})
    with Peer(script) as peer:
        path = changed(tmp_path, BENCH, "TCPIP::192.0.2.10::5025::SOCKET", peer.address)
        one = load_instruments(path)["generator"]
        with one.session(Transcript(), lock_folder=tmp_path) as live:
            one.make(live).frequency_hz = 2.412e9
            assert live.identity.serial == "101234"
    assert ":SOUR1:FREQ 2412000000" in script.lines


def whole_run(generator) -> None:
    receiver = Port("receiver", -10)
    with SafeState([generator]):
        generator.frequency_hz = 2.412e9
        generator.level_dbm = -60
        generator.arb = "off"
        allowed = permit("generator", -60, 0, (RfPath(receiver, 0),), {})
        generator.switch_on(allowed, modulated=False)


def test_a_plan_is_exactly_what_a_run_sends(tmp_path) -> None:
    state = {":OUTP1": "0", ":SOUR1:POW:OFFS": "0", ":SOUR1:BB:ARB:STAT": "0"}
    script = Script(state=state, table={"*IDN?": "Rohde&Schwarz,SMW200A,101234,5.0"})
    with Peer(script) as peer:
        path = changed(tmp_path, BENCH, "TCPIP::192.0.2.10::5025::SOCKET", peer.address)
        one = load_instruments(path)["generator"]
        plan = one.plan()
        whole_run(one.make(plan))
        assert script.lines == []
        transcript = Transcript()
        with one.session(transcript, lock_folder=tmp_path) as live:
            whole_run(one.make(live))
    planned = [line.removeprefix("generator: ").partition(" -> ")[0] for line in plan.lines]
    assert planned == [e["data"].strip() for e in transcript.entries if e["kind"] == "tx"]
    assert ":OUTP1 1" in planned


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "rohde-schwarz-smw"', 'kind = "rohde"', "is unknown; use one of rohde-schwarz"),
        ('connect = "5s"\n', "", r"generator\.connect: is missing"),
        ('read_termination = "\\n"\n', "", r"read_termination.*is no terminator"),
        ('reply = "5s"', 'reply = "0s"', "is no deadline"),
        ("level_dbm = [-120, -20]", "level_dbm = [-120, 60]", r"instruments\.generator.*within"),
        ("level_dbm = [-120, -20]", "level = [-120, 60]", "is no number of it"),
        ("level_dbm = [-120, -20]", 'level_dbm = "low"', "is no range"),
        ("path = 1", "path = 3", "is no path"),
        ('"SMW200A"', '"N5182B"', "none that this kind was written for; use SMW200A"),
        ("path = 1", "output = 1", "is nothing of a rohde-schwarz-smw"),
        ("path = 1", "colour = 1", "unknown key"),
        (", current_a = [0, 1]", "", r"current_a.*is missing"),
        ('description = "instrument.example.toml"', 'description = "x.toml"', "no such file"),
    ],
)
def test_a_wrong_bench_file_is_said_in_one_line(tmp_path, old, new, message) -> None:
    path = changed(tmp_path, BENCH, old, new)
    with pytest.raises(InputError, match=message) as caught:
        load_instruments(path)
    assert "\n" not in str(caught.value)


def test_every_kind_can_be_named() -> None:
    assert all(kind.models for kind in KINDS.values())


# ---- wiring ----------------------------------------------------------------

FITTED = "{ attenuator = { start_up_db = 0, tolerance_db = 2 } }"


def test_a_permit_reads_the_attenuators_of_the_wiring_back(tmp_path) -> None:
    with_one = changed(tmp_path, BENCH, "attenuators = { }", f"attenuators = {FITTED}")
    wiring = load_wiring(with_one)
    known = {"MN?": "MN=RCDAT-6000-90", "SN?": "SN=1", "ATT?": "60.0"}
    with Peer(known.get, end="\r\n") as peer:
        where = resource(
            peer, "attenuator", identity=Identity("Mini-Circuits", "RCDAT-*"), wait_s=0.0,
            read_termination="\r\n",
        )  # fmt: skip
        with Session(where, Transcript(), Rcdat.dialect, lock_folder=tmp_path) as live:
            drivers = {"attenuator": Rcdat(live)}
            given_permit = wiring.permit("generator", 0, 10, drivers, beside=())
            [one] = given_permit.predictions
            assert (one.now_dbm, one.worst_dbm) == (0 + 10 - 20 - 58, -10)
            with pytest.raises(Excess, match="a reboot"):
                wiring.permit("generator", 1, 10, drivers, beside=())
            known["ATT?"] = "-1"
            with pytest.raises(BadAnswer, match="out of its range"):
                wiring.permit("generator", 0, 10, drivers, beside=())
    with pytest.raises(Excess, match="nothing is known of attenuator"):
        wiring.permit("generator", -60, 0, {}, beside=())
    with pytest.raises(Excess, match="no path"):
        wiring.permit("supply", -60, 0, {}, beside=())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("max_input_dbm = -10", 'max_input_dbm = "-10 dBm"', "is not a number"),
        ("max_input_dbm = -10", "max_input = -10", "unknown key"),
        ('to = "receiver"', 'to = "device"', "use one of receiver"),
        ('from = "generator"', 'from = "generater"', "use one of generator"),
        ("least_loss_db = 20", "", "least_loss_db: is missing"),
        ("least_loss_db = 20", "least_loss_db = inf", "is not a number"),
        ("attenuators = { }", "attenuators = { pad = { start_up_db = 0, tolerance_db = 2 } }",
         "pad is no instrument"),
        ("attenuators = { }", "attenuators = { attenuator = { start_up_db = 0 } }", "is missing"),
        ("attenuators = { }", f"attenuators = {FITTED.replace('2', '-2')}", "is negative"),
    ],
)  # fmt: skip
def test_wrong_wiring_is_said_in_one_line(tmp_path, old, new, message) -> None:
    with pytest.raises(InputError, match=message):
        load_wiring(changed(tmp_path, BENCH, old, new))


# ---- descriptions ----------------------------------------------------------


def test_an_instrument_without_a_driver(tmp_path) -> None:
    script = Script(table={"READ?": "-12.5", "*IDN?": "Acme,PM-1,1,1"})
    with Peer(script) as peer:
        path = changed(tmp_path, BENCH, "TCPIP::192.0.2.13::5025::SOCKET", peer.address)
        one = load_instruments(path)["power-meter"]
        with one.session(Transcript(), lock_folder=tmp_path) as live:
            meter = one.make(live)
            meter.frequency_hz = 2.4e9
            meter.averaging = "on"
            assert meter.averaging == "on"
            assert meter.measure("power_dbm").number() == -12.5
            for wrong in ("frequenzy_hz", "measurements"):
                with pytest.raises(InputError):
                    setattr(meter, wrong, 1)
            with pytest.raises(InputError, match="10000000 to 18000000000 Hz"):
                meter.frequency_hz = 1
            with pytest.raises(InputError, match="use one of power_dbm"):
                meter.measure("power")
            script.table["READ?"] = "9.91E37"
            assert not meter.measure("power_dbm").valid
            meter.make_safe()
            assert "OUTP:REF 0" in script.lines
            script.frozen.add("OUTP:REF")
            script.state["OUTP:REF"] = "1"
            with pytest.raises(NotApplied, match="OUTP:REF"):
                meter.make_safe()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("FREQ {value}", "FREQ", "exactly one {value}"),
        ("FREQ {value}", "FREQ {value},{x}", "exactly one {value}"),
        ("low = 10e6", "low = 10e12", "is not above low"),
        ("low = 10e6", 'low = "10 MHz"', "is not a number"),
        ('answers = { "OUTP:REF?" = "0" }', "", "answers: are missing"),
        ('error_query = "SYST:ERR?"', 'compound = "yes"', "compound = 'yes': is neither true"),
        ("[settings.frequency_hz]", "[settings.channel]", "cannot name a setting"),
        ('unit = "Hz"', 'units = "Hz"', "did you mean unit"),
        ('source = "4.2 SENSe:FREQuency"', "", "source: is missing"),
    ],
)
def test_a_wrong_description_is_said_in_one_line(tmp_path, old, new, message) -> None:
    with pytest.raises(InputError, match=message):
        load_generic(changed(tmp_path, METER, old, new))


def sent(transcript: Transcript) -> list[str]:
    return [entry["data"].strip() for entry in transcript.entries if entry["kind"] == "tx"]


def test_a_described_instrument_is_asked_in_one_message_where_it_takes_that(tmp_path) -> None:
    for text in (METER.read_text(), f"compound = true\n{METER.read_text()}"):
        path = tmp_path / "meter.toml"
        path.write_text(text)
        kind, transcript = load_generic(path), Transcript()
        script = Script(state={"FREQ": "1e9"}, table={"READ?": "-12.5"})
        with Peer(script) as peer, session(peer, tmp_path, transcript, kind.dialect) as live:
            before = len(sent(transcript))
            assert kind(live).measure("power_dbm").number() == -12.5
            messages = sent(transcript)[before:]
            script.errors.append('-240,"Hardware error"')
            with pytest.raises(Reported, match=r"before .*READ\?.*: -240"):
                kind(live).measure("power_dbm")
        one = re.fullmatch(r"SYST:ERR\?;:READ\?(;:SYST:ERR\?){1,2}", messages[0])
        assert (len(messages) == 1 and one) if text.startswith("compound") else len(messages) == 3


# ---- calibration -----------------------------------------------------------


def test_losses_are_interpolated_with_their_uncertainty() -> None:
    records = load_calibration(CABLE)
    exact = loss_at(records, "cable-1", 1e9, DAY)
    assert (exact.loss_db, exact.uncertainty_db, exact.interpolated) == (1.2, 0.2, False)
    between = loss_at(records, "cable-1", 2e9, DAY)
    assert between.loss_db == pytest.approx(1.8)
    assert between.uncertainty_db == pytest.approx(math.hypot(0.3, 1.2 / math.sqrt(3)))
    assert between.interpolated
    assert between.certificate == "K-2026-0113"


@pytest.mark.parametrize(
    ("name", "frequency_hz", "day", "message"),
    [
        ("cable-2", 1e9, DAY, "cable-2: there is no calibration record"),
        ("cable-1", 1e9, datetime.date(2027, 3, 3), "expired on 2027-03-02"),
        ("cable-1", 1e9, datetime.date(2026, 3, 1), "dated 2026-03-02"),
        ("cable-1", 0.9e9, DAY, "900 MHz is outside"),
        ("cable-1", 3.1e9, DAY, "outside"),
        ("cable-1", math.nan, DAY, "outside"),
    ],
)
def test_expired_missing_or_outside_has_no_value(name, frequency_hz, day, message) -> None:
    loss = loss_at(load_calibration(CABLE), name, frequency_hz, day)
    assert message in loss.problem
    assert not loss.valid
    assert loss.loss_db is None
    assert loss.uncertainty_db is None


def test_the_due_date_itself_is_valid() -> None:
    assert loss_at(load_calibration(CABLE), "cable-1", 1e9, datetime.date(2027, 3, 2)).valid


@given(
    st.lists(st.tuples(st.floats(-10, 80), st.floats(0.01, 2)), min_size=2, max_size=6),
    st.floats(0, 1),
)
def test_interpolation_stays_between_its_points_and_never_gains_certainty(points, share) -> None:
    rows = tuple(Point(1e9 * (n + 1), *point) for n, point in enumerate(points))
    record = Record("x", "x", DAY, DAY, "c", rows)
    frequency = rows[0].frequency_hz + share * (rows[-1].frequency_hz - rows[0].frequency_hz)
    loss = loss_at({"x": record}, "x", frequency, DAY)
    near = [row for row in rows if abs(row.frequency_hz - frequency) < 1e9]
    assert min(r.loss_db for r in near) - 1e-9 <= loss.loss_db
    assert loss.loss_db <= max(r.loss_db for r in near) + 1e-9
    if loss.interpolated:
        assert loss.uncertainty_db >= max(r.uncertainty_db for r in near)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("due = 2027-03-02", "due = 2025-03-02", "before the date"),
        ("due = 2027-03-02", 'due = "2027-03-02"', "is no date"),
        ("due = 2027-03-02\n", "", "due: is missing"),
        ('"3GHz"', '"1GHz"', "do not ascend"),
        ('"3GHz"', "3e9", "has no unit"),
        ("uncertainty_db = 0.3", "uncertainty_db = 0", "not positive"),
        ("loss_db = 2.4", "loss_db = nan", "is not a number"),
        ("loss_db = 2.4", "gain_db = 2.4", "unknown key"),
    ],
)
def test_a_wrong_calibration_file_is_said_in_one_line(tmp_path, old, new, message) -> None:
    with pytest.raises(InputError, match=message):
        load_calibration(changed(tmp_path, CABLE, old, new))
