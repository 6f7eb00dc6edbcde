"""Each driver drives the simulator of its kind over a real socket: written apart, met here."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from instruments.rf.levels import Path, Permit, Port, permit
from instruments.rf.testers import LteCell
from instruments.safety import SafeState
from instruments.visa.errors import InstrumentError, NotApplied, Reported
from instruments.visa.properties import Number, settings_of
from instruments.visa.transcript import Transcript
from tests.support.every_driver import bench_file, running

GHZ = 2.44e9
SCPI = ("smw", "mxg", "fsx", "x", "supply", "scope", "tester")
INSIDE = {
    "frequency_hz": (100e3, GHZ, 6e9),
    "level_dbm": (-144.0, -30.25, 26.0),
    "centre_hz": (1e9, GHZ),
    "span_hz": (10.0, 20e6),
    "resolution_hz": (1.0, 100e3),
    "reference_dbm": (-130.0, -20.5, 30.0),
    "attenuation_db": (0.0, 12.25, 90.0),
    "voltage_v": (0.0, 3.3, 12.0),
    "current_a": (0.0, 0.25, 1.0),
    "rs_epre_dbm": (-140.0, -85.5),
    "earfcn": (66436, 67000),  # of the last band that was set
    "counted_subframes": (100, 400000),
}
"""What both the driver and the simulated model have."""


@pytest.fixture(scope="module")
def lab():
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def opened(lab, tmp_path_factory):
    """The drivers by role, all open."""
    folder = tmp_path_factory.mktemp("together")
    with ExitStack() as stack:
        transcript, found = Transcript(), {}
        for role, one in bench_file(lab, folder / "bench.toml").items():
            live = stack.enter_context(one.session(transcript, lock_folder=folder, sleep=no_sleep))
            found[role] = one.make(live)
        yield SimpleNamespace(**found)


def no_sleep(_: float) -> None:
    """The simulated states move on when they are asked for."""


@pytest.fixture(autouse=True)
def power_on(lab):
    for instrument in lab.lab.instruments.values():
        instrument.power_on()


def allow(generator: str, ceiling_dbm: float = 0.0) -> Permit:
    return permit(generator, ceiling_dbm, 0.0, (Path(Port("input", 30.0), 0.0),), {})


@pytest.mark.parametrize("role", [*SCPI, "attenuator", "attenuator2"])
def test_every_setting_is_taken_and_read_back(opened, role) -> None:
    driver = getattr(opened, role)
    if role in ("smw", "mxg"):
        driver.load("wifi20")
    for name, setting in settings_of(type(driver)).items():
        values = INSIDE[name] if isinstance(setting, Number) else tuple(setting.values)
        for value in values:
            setattr(driver, name, value)
            assert getattr(driver, name) == value, name
    assert driver.channel.taints == ()


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [("smw", "frequency_hz", 20e9), ("fsx", "centre_hz", 50e9), ("x", "reference_dbm", -150.0),
     ("tester", "rs_epre_dbm", -21.0)],
)  # fmt: skip
def test_what_the_driver_allows_and_the_model_has_not_is_an_error(opened, role, name, value):
    driver = getattr(opened, role)
    before = getattr(driver, name)
    with pytest.raises(NotApplied) as caught:
        setattr(driver, name, value)
    assert "-222" in " ".join(caught.value.__notes__)
    assert getattr(driver, name) == before


@pytest.mark.parametrize("role", SCPI)
def test_what_it_does_not_understand_is_raised(opened, role) -> None:
    channel = getattr(opened, role).channel
    with pytest.raises(Reported, match="-113"):
        channel.command("NONSENSE 1")
    with pytest.raises(InstrumentError) as caught:
        channel.query("NONSENSE?", 0.5)
    assert "-113" in " ".join((str(caught.value), *caught.value.__notes__))


DBUV_AND_HELD = {
    "fsx": ("CALC:UNIT:POW DBUV", "DISP:TRAC:MODE MAXH", "FORM REAL,32"),
    "x": (":UNIT:POW DBUV", ":TRAC1:TYPE MAXH", ":TRAC1:UPD OFF", ":FORM REAL,32"),
}
"""What an earlier user may have left an analyser at."""


@pytest.mark.parametrize(
    ("generator", "analyser", "attenuator", "loss_db"),
    [("smw", "fsx", "attenuator", 3.0), ("mxg", "x", "attenuator2", 7.0)],
)
def test_the_analyser_measures_what_the_generator_was_set_to(
    opened, generator, analyser, attenuator, loss_db
) -> None:
    source, meter = getattr(opened, generator), getattr(opened, analyser)
    pad = getattr(opened, attenuator)
    opened.switch.connect("A", 2)
    pad.attenuation_db = 10.0
    meter.centre_hz, meter.span_hz, meter.resolution_hz = GHZ, 10e6, 100e3
    floor_dbm = meter.peak()[0].number()
    assert floor_dbm < -80
    source.frequency_hz, source.level_dbm = GHZ, -20.0
    if generator == "mxg":
        source.modulation = "off"
    with SafeState([source]):
        source.switch_on(allow(generator), modulated=False)
        for db in (10.0, 30.25):  # a trace that holds its maximum would stay
            pad.attenuation_db = db
            for text in DBUV_AND_HELD[analyser]:
                meter.channel.command(text)
            level, frequency = meter.peak()
            assert level.number() == pytest.approx(-20.0 - loss_db - db, abs=0.01)
            assert frequency.number() == pytest.approx(GHZ, abs=10e6 / 1000)
            assert max(meter.levels_dbm()) == pytest.approx(level.number(), abs=1e-6)
            assert meter.highest().number() == pytest.approx(level.number(), abs=1e-6)
    assert meter.peak()[0].number() == pytest.approx(floor_dbm, abs=0.01)


def test_an_overloaded_analyser_gives_no_level(opened, lab) -> None:
    opened.switch.connect("A", 2)
    opened.smw.frequency_hz, opened.smw.level_dbm = GHZ, 20.0
    opened.fsx.centre_hz, opened.fsx.span_hz = GHZ, 10e6
    opened.smw.switch_on(allow("smw", 20.0), modulated=False)
    with pytest.raises(NotApplied, match="overload"):
        opened.fsx.peak()
    assert opened.fsx.highest().value is None
    opened.smw.switch_off()
    assert opened.fsx.peak()[0].valid


def test_modulation_reaches_the_air_as_it_was_asked_for(opened, lab) -> None:
    for role, width_hz in (("smw", 20e6), ("mxg", 2e6)):
        source, waveform = getattr(opened, role), "wifi20" if role == "smw" else "ieee802154"
        source.frequency_hz, source.level_dbm = GHZ, -30.0
        source.load(waveform)
        source.arb = "on"
        source.switch_on(allow(role), modulated=True)
        emission = lab.lab.state().emissions[f"{role}:1"]
        assert (emission.frequency_hz, emission.level_dbm) == (GHZ, -30.0)
        assert emission.bandwidth_hz == pytest.approx(width_hz, rel=0.2)
        source.switch_off()
    opened.mxg.modulation = "off"
    with pytest.raises(NotApplied, match="is not on"):
        opened.mxg.switch_on(allow("mxg"), modulated=True)
    assert "mxg:1" not in lab.lab.state().emissions


def test_a_waveform_that_is_not_there_is_an_error(opened) -> None:
    for source in (opened.smw, opened.mxg):
        with pytest.raises(InstrumentError) as caught:
            source.load("no-such-file")
        assert "-256" in " ".join((str(caught.value), *getattr(caught.value, "__notes__", [])))


def test_switches_move_one_at_a_time(opened, lab) -> None:
    for switch, port in (("A", 2), ("C", 2), ("A", 1), ("D", 2)):
        opened.switch.connect(switch, port)
    positions = lab.lab.state().positions
    assert [positions[f"switch:{letter}"] for letter in "ABCD"] == [1, 1, 2, 2]


def test_a_supply_switches_and_measures_its_output(opened) -> None:
    opened.supply.voltage_v, opened.supply.current_a = 5.0, 1.0
    assert opened.supply.voltage().number() == 0
    opened.supply.switch_on()
    assert opened.supply.voltage().number() == pytest.approx(5.0)
    assert opened.supply.current().number() == pytest.approx(0.5)
    opened.supply.switch_off()
    assert opened.supply.current().number() == 0


def test_a_latency_between_two_channels_or_none(opened) -> None:
    assert opened.scope.latency(1, 2, 5.0).number() == pytest.approx(2.5e-3)
    for channels, edges in (((1, 3), ("+1", "+1")), ((1, 2), ("+1", "-1"))):
        reading = opened.scope.latency(*channels, 5.0, *edges)
        assert reading.value is None
        assert not reading.taints


def test_a_cell_comes_up_attaches_connects_and_hands_over(opened, lab) -> None:
    tester = opened.tester
    tester.rs_epre_dbm = -85.0
    tester.switch_on(allow("tester"))
    tester.wait_attached()
    tester.connect()
    tester.handover(LteCell("FDD", "OB3", 1300, "B100"))
    assert lab.lab.state().emissions["tester:1"].cell.channel == 1300
    with pytest.raises(InstrumentError):
        tester.handover(LteCell("FDD", "OB3", 300, "B100"))  # a channel of another band
    tester.switch_off()
    assert "tester:1" not in lab.lab.state().emissions


def test_the_safe_state_is_really_safe(opened, lab) -> None:
    opened.smw.switch_on(allow("smw"), modulated=False)
    opened.mxg.modulation = "off"
    opened.mxg.switch_on(allow("mxg"), modulated=False)
    opened.tester.switch_on(allow("tester"))
    opened.supply.voltage_v = 5.0
    opened.supply.switch_on()
    for pad in (opened.attenuator, opened.attenuator2):
        pad.attenuation_db = 0.0
    assert len(lab.lab.state().emissions) == 3
    for role in SCPI:  # errors that somebody left must not stand in the way
        lab.lab.instruments[role].inject(-310, "")
    order = ("smw", "mxg", "tester", "attenuator", "attenuator2", "supply")
    SafeState([getattr(opened, role) for role in order]).make_safe()
    state = lab.lab.state()
    assert not state.emissions
    assert set(state.attenuations_db.values()) == {90.0}
    assert lab.lab.instruments["supply"].output(2) == (0.0, 0.0)
