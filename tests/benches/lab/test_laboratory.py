"""A laboratory on real sockets: exposing, verifying, and what goes wrong with instruments."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys

import pytest

from bench.benches.lab.exposing import NotCalibrated, Unverified
from bench.benches.lab.file import SHIPPED, load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.errors import InputError
from bench.network.radio.exposure import Exposure, Radio, reception_of
from instruments.power.supplies import E36312A
from instruments.simulators.lab import Lab
from instruments.visa.errors import Busy, InstrumentError, Tainted, Unreachable, WrongIdentity
from instruments.visa.transcript import Transcript, check_entries
from tests.support.bench_files import served, written

DAY = datetime.date(2026, 11, 30)
RADIO = Radio("primary", "nr-100mhz", 3.5e9, -70.0, 9.0, 1250)
LTE = Exposure("lte20", 3.5e9, -60.0, 18e6)
BURSTS = Exposure("lte20-bursts", 3.49e9, -64.0, 18e6, 0.2, 2e-3)


def laboratory(path, tmp_path, transcript=None) -> Laboratory:
    return Laboratory(
        load_bench_file(path), transcript or Transcript(), on=DAY, lock_folder=tmp_path / "locks"
    )


def world_of(lab: Laboratory) -> Lab:
    assert lab._running is not None
    return lab._running.lab


def is_safe(lab: Lab) -> bool:
    state = lab.state()
    return not state.emissions and state.attenuations_db["attenuator:1"] == 90.0


@pytest.fixture(scope="module")
def entered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    with laboratory(SHIPPED, folder) as lab:
        yield lab


def test_an_exposure_arrives_as_asked_and_is_seen(entered) -> None:
    for exposure in (LTE, BURSTS, LTE.at_level(-90.0), Exposure("cw", 3.5e9, -40.0)):
        found = entered.expose(exposure)
        assert found.level_dbm == pytest.approx(exposure.level_dbm, abs=0.0051)
        assert abs(found.monitor_dbm - found.expected_dbm) < found.tolerance_db
        assert found.simulated == ("generator", "attenuator", "analyser")
        reckoned = reception_of(RADIO, [exposure.at_level(found.level_dbm)])
        received = entered.reception(RADIO)
        assert received.sinr_db == pytest.approx(reckoned.sinr_db, abs=0.01)
        assert received.rate_bps == pytest.approx(reckoned.rate_bps, rel=1e-3)
        assert entered.holds() == ""
    assert (entered.quiet(), entered.gone())[1] == ""
    assert is_safe(world_of(entered))
    assert entered.reception(RADIO).interference_dbm == -400.0


def test_what_the_laboratory_cannot_do_is_said(entered) -> None:
    with pytest.raises(InputError, match=r"ask for -?\d+\.\d to -?\d+\.\d dBm at the victim"):
        entered.expose(LTE.at_level(0.0))
    with pytest.raises(InputError, match=r"has no waveform of it with 18 MHz, duty 0.5"):
        entered.expose(Exposure("lte20", 3.5e9, -60.0, 18e6, 0.5, 1e-3))
    with pytest.raises(InputError, match=r"one interferer"):
        entered.expose(LTE, BURSTS)
    with pytest.raises(InputError, match=r"expose first"):
        entered.holds()
    assert is_safe(world_of(entered))


def test_an_attenuator_that_reboots_while_it_counts_is_found(entered) -> None:
    entered.expose(LTE)
    world_of(entered).instruments["attenuator"].power_on()  # 0 dB, as RCDAT does
    assert "attenuator: the attenuation is 0 and was set to" in entered.holds()
    entered.expose(LTE)
    world_of(entered).instruments["generator"].power_on()
    assert re.match("generator: the .* was set to", entered.holds())
    assert (entered.quiet(), entered.gone())[1] == ""


IN_THE_WAY = "emitted by generator, through attenuator, seen by analyser"


def test_where_the_monitor_sees_something_else_all_in_the_way_are_named(
    entered, monkeypatch
) -> None:
    entered.verify(LTE.frequency_hz)
    see = entered._see
    monkeypatch.setattr(entered, "_see", lambda settings: see(settings) - 3.0)
    with pytest.raises(Unverified, match=f"analyser: shows .* from what is set.*; {IN_THE_WAY}"):
        entered.expose(LTE)
    monkeypatch.setattr(entered, "_see", see)
    entered.expose(LTE)
    monkeypatch.setattr(entered, "_see", lambda settings: see(settings) - 3.0)
    assert re.match(f"the monitor shows .*; {IN_THE_WAY}", entered.holds())
    entered.quiet()
    monkeypatch.setattr(entered, "_see", lambda settings: see(settings) + 30.0)
    assert re.match(f"the monitor still shows .*; {IN_THE_WAY}", entered.gone())


def test_every_step_is_in_the_transcript(tmp_path) -> None:
    transcript = Transcript()
    with laboratory(SHIPPED, tmp_path, transcript) as lab:
        lab.expose(LTE)
    entries = check_entries(transcript.entries)
    sent = [one.data.strip() for one in entries if one.kind == "tx"]
    assert sent.index(":OUTP1 0") < sent.index(":OUTP1 1")
    assert sent[sent.index(":OUTP1 1") :].count(":OUTP1 0")
    assert entries[-1].kind == "close"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ('generator = ["identity=Acme,X,1,1"]', WrongIdentity),
        ('generator = ["refuse"]', Unreachable),
        ('attenuator = ["mute@ATT?x9"]', InstrumentError),
    ],
)
def test_an_instrument_that_cannot_be_used_keeps_the_laboratory_shut(
    tmp_path, fault, error
) -> None:
    path = written(
        tmp_path,
        ("[[simulated.paths]]", f"[simulated.faults]\n{fault}\n[[simulated.paths]]"),
        ('reply = "5s"', 'reply = "100ms"'), ('reply = "5s"', 'reply = "100ms"'),
        ('reply = "5s"', 'reply = "100ms"'),
    )  # fmt: skip
    with pytest.raises(error), laboratory(path, tmp_path):
        pass


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ('generator = ["drift=-3@POW?x1"]', Unverified, "dB from what is set"),
        ('analyser = ["no-result@TRAC?x1"]', InstrumentError, "no result"),
        ('generator = ["late@FREQ?x1"]', InstrumentError, "no answer"),
        ('generator = ["drop@FREQ?x1"]', InstrumentError, "connection is gone|no answer"),
        ('generator = ["error=-222@FREQx1"]', InstrumentError, "-222"),
    ],
)
def test_a_fault_while_exposing_is_never_an_exposure(tmp_path, fault, error, message) -> None:
    path = written(
        tmp_path,
        ("[[simulated.paths]]", f"[simulated.faults]\n{fault}\n[[simulated.paths]]"),
        ('reply = "5s"', 'reply = "200ms"'), ('reply = "5s"', 'reply = "200ms"'),
        ('reply = "5s"', 'reply = "200ms"'),
    )  # fmt: skip
    with laboratory(path, tmp_path) as lab:
        with pytest.raises(error, match=message):
            lab.expose(LTE)
        assert not world_of(lab).state().emissions


def test_a_taint_in_between_is_not_gone_over(tmp_path) -> None:
    with laboratory(SHIPPED, tmp_path) as lab:
        lab.verify(LTE.frequency_hz)
        real = lab._switch_on

        def tainted(settings) -> None:
            real(settings)
            with contextlib.suppress(InstrumentError):
                lab.sessions["supply"].query("VOLT? (@9)", 0.2)  # refused: no answer in time

        lab._switch_on = tainted  # type: ignore[method-assign]
        with pytest.raises(Tainted, match=r"supply: in VOLT"):
            lab.expose(LTE)
        assert is_safe(world_of(lab))


def test_an_expired_calibration_gives_no_level(tmp_path) -> None:
    path = written(tmp_path, calibration=("due = 2099-12-31", "due = 2026-11-29"))
    with laboratory(path, tmp_path) as lab, pytest.raises(NotCalibrated, match=r"expired"):
        lab.expose(LTE)


def test_what_a_port_does_not_bear_is_never_switched_on(tmp_path) -> None:
    """The device bears little: the generator stays low, so that a reboot of 0 dB harms nothing."""
    path = written(tmp_path, ("max_input_dbm = 0 ", "max_input_dbm = -50 "))
    with laboratory(path, tmp_path) as lab:
        with pytest.raises(InstrumentError, match=r"device would get .* dBm now; it bears -50"):
            lab.verify(LTE.frequency_hz)
        assert not world_of(lab).state().emissions
        assert not [e for e in lab._transcript.entries if e["data"].strip() == ":OUTP1 1"]


# ---- hardware: instruments with addresses ----------------------------------


def test_one_instrument_of_its_own_address_joins_the_simulated_others(tmp_path) -> None:
    """A real generator by editing one address: the others take what it reads back."""
    (tmp_path / "other").mkdir()
    with served(tmp_path / "other") as (other, hardware):
        address = load_bench_file(other).instruments["generator"].resource.address
        path = written(tmp_path, ('address = "simulated"', f'address = "{address}"'))
        with laboratory(path, tmp_path) as lab:
            assert "generator" not in lab.file.simulated
            found = lab.expose(LTE)
            assert found.simulated == ("attenuator", "analyser")
            assert "generator:1" in hardware.state().emissions
            assert lab.holds() == ""
            assert lab.reception(RADIO).interference_dbm == pytest.approx(-60, abs=0.01)
        assert not hardware.state().emissions


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_everything_is_safe_however_a_laboratory_is_left(tmp_path, error) -> None:
    with served(tmp_path) as (path, hardware):

        def supply_is_on() -> bool:
            answer = hardware.instruments["supply"].handle(b"OUTP? (@2)").response
            return answer is not None and answer.strip() == b"1"

        def used(lab: Laboratory) -> None:
            supply = lab.instruments["supply"]
            assert isinstance(supply, E36312A)
            supply.voltage_v = 5
            supply.switch_on()
            lab.expose(LTE)
            assert supply_is_on()
            assert hardware.state().emissions
            raise error

        with pytest.raises(error), laboratory(path, tmp_path) as lab:
            used(lab)
        assert is_safe(hardware)
        assert not supply_is_on()


_HOLDER = """
import sys, time
from pathlib import Path
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.network.radio.exposure import Exposure
from instruments.visa.transcript import Transcript
lab = Laboratory(load_bench_file(Path(sys.argv[1])), Transcript(), lock_folder=Path(sys.argv[2]))
lab.__enter__()
lab.expose(Exposure("lte20", 3.5e9, -60.0, 18e6))
print("exposed", flush=True)
time.sleep(60)
"""


def test_a_killed_run_is_made_safe_by_the_next_which_waits_for_nobody_else(tmp_path) -> None:
    with served(tmp_path) as (path, hardware):
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(path), str(tmp_path / "locks")],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
        )
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"exposed\n"
            assert hardware.state().emissions
            with pytest.raises(Busy, match=rf"in use by process {holder.pid}"):
                laboratory(path, tmp_path).__enter__()
            text, other = path.read_text(), tmp_path / "other.toml"
            other.write_text(text)  # another bench, one of whose instruments is the same
            with pytest.raises(Busy, match=rf"generator: .* in use by process {holder.pid}"):
                laboratory(other, tmp_path).__enter__()
            assert hardware.state().emissions, "somebody else's exposure was taken away"
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert holder.stdout is not None
            holder.stdout.close()
        assert hardware.state().emissions, "a killed run cannot make anything safe"
        with laboratory(path, tmp_path):
            assert is_safe(hardware)
