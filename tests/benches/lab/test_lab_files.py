"""Bench files of laboratories: what they say, what is refused, and how levels are made. Pure."""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.benches.lab.exposing import (
    CW,
    LEAST_OVER_NOISE_DB,
    NotCalibrated,
    Range,
    ceiling_dbm,
    disagreement,
    resolution_of,
    seen_dbm,
    settings_for,
    settings_of,
    span_of,
    way_at,
)
from bench.benches.lab.file import METHODS, PACKETS, SHIPPED, USES, Waveform, load_bench_file
from bench.benches.lab_file import BENCH_TABLES, load_lab_links
from bench.errors import InputError
from bench.network.radio.spectrum import trace_dbm
from bench.network.radio.state import Emission
from instruments.rf.levels import Attenuation, permit
from instruments.rf.levels import Path as WayTo
from instruments.visa.errors import Excess
from tests.support.bench_files import written

DAY = datetime.date(2026, 11, 30)
GENERATOR, ATTENUATOR = Range(-100, 10), Range(0, 90, 0.25)
FILE = load_bench_file(SHIPPED)


def test_the_shipped_laboratory_is_wholly_simulated() -> None:
    assert FILE.wholly_simulated
    assert FILE.role("interferer") == "generator"
    assert set(FILE.simulated) == {*FILE.instruments, *FILE.modems}
    assert {"generator", "analyser", "attenuator", "supply", "modem"} < FILE.simulated
    assert FILE.world.waveforms["lte20-bursts"].duty == 0.2
    bare = replace(FILE, roles={})
    with pytest.raises(InputError, match=r"roles.modem: no instrument is bound to it; add modem"):
        bare.role("modem")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('title = "S', 'titel = ""\ntitle = "S'), "titel: unknown key; did you mean title"),
        (('method = "conducted"', 'method = "open"'), "name the shielded enclosure"),
        (('monitor = "analyser"', 'monitor = "generator"'), "roles.monitor .* is a signal-gener"),
        (('monitor = "analyser"', 'watcher = "analyser"'), "roles.watcher: unknown key"),
        (('interferer = "generator"', 'interferer = "x"'), "is unknown; use one of generator"),
        (('victim = "device"', 'victim = "robot"'), "victim = 'robot': is no port"),
        (('packets = "virtual"', 'packets = "real"'), "use one of virtual, local"),
        (("[ports.device]\n", "[ports.device]\ncrest = 1\n"), "ports.device.crest: unknown key"),
        (('duty = "20%"\n', ""), "duty: and burst do not fit"),
        (('generator = "generator level"', 'generatr = "x"'), "corrections.generatr: unknown key"),
        (("noise_bandwidth_ratio = 1.0", "noise_bandwidth_ratio = 3"), "is none of a filter"),
        (("[verification]", "[simulated.faults]\ngenerator = ['x']\n[verification]"), "faults.gen"),
        (("[verification]", "[arming]\nby = 'A'\n[verification]"), "arming.at: is missing"),
        (
            ("[verification]", "[arming]\nby = 'A'\nat = 2026-11-30T08:00:00Z\nholds = '8h'\n"
             "phantom_in_place = true\narea_clear = false\nhardware_stop_tested = true\n"
             "[verification]"),
            "arming.area_clear = False: was not done",
        ),
    ],
)  # fmt: skip
def test_what_a_bench_file_cannot_say(tmp_path, change, message) -> None:
    with pytest.raises(InputError, match=message):
        load_bench_file(written(tmp_path, change))


def test_an_arming_holds_for_its_time(tmp_path) -> None:
    table = (
        '[arming]\nby = "A. Person"\nat = 2026-11-30T08:00:00Z\nholds = "8h"\n'
        "phantom_in_place = true\narea_clear = true\nhardware_stop_tested = true\n[verification]"
    )
    arming = load_bench_file(written(tmp_path, ("[verification]", table))).arming
    assert arming is not None
    assert not arming.problem(arming.at + datetime.timedelta(hours=7.9))
    assert "held for 8 h" in arming.problem(arming.at + datetime.timedelta(hours=8.1))
    assert "still to come" in arming.problem(arming.at - datetime.timedelta(seconds=1))
    late = arming.at + datetime.timedelta(hours=8, seconds=-100)
    assert not arming.problem(late, 99.0)
    assert "ends in 100 s, within the session of 101 s" in arming.problem(late, 101.0)


def test_the_emulator_reads_the_links_of_the_same_file(tmp_path) -> None:
    links = '[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n[verification]'
    packets = ('packets = "virtual"', 'packets = "links"')
    path = written(tmp_path, packets, ("[verification]", links))
    assert list(load_lab_links(path)) == ["primary"]
    assert not load_bench_file(path).wholly_simulated


def test_the_documentation_names_every_key_and_use() -> None:
    text = (Path(__file__).parents[3] / "docs" / "lab.md").read_text(encoding="utf-8")
    for key in (*BENCH_TABLES, *USES, *METHODS, *PACKETS):
        assert key in text, key


# ---- levels ----------------------------------------------------------------


@given(
    st.floats(2.3e9, 3.8e9),
    st.floats(-150, -20),
    st.sampled_from([CW, *FILE.waveforms.values()]),
)
def test_a_level_arrives_or_is_refused(frequency_hz, level_dbm, waveform) -> None:
    way = way_at(FILE, frequency_hz, DAY)
    top = min(GENERATOR.high, ceiling_dbm(FILE, waveform.crest_db))
    generator = replace(GENERATOR, high=top)
    lost = (way.to_victim.loss_db or 0) + (way.generator.loss_db or 0)
    try:
        found = settings_for(way, waveform, frequency_hz, level_dbm, generator, ATTENUATOR)
    except InputError:
        assert not generator.low - lost - 89.9 <= level_dbm <= top - lost - 0.1
        return
    assert generator.low <= found.generator_dbm <= top
    assert ATTENUATOR.low <= found.attenuation_db <= ATTENUATOR.high
    assert found.attenuation_db % ATTENUATOR.step == 0
    arrives = found.generator_dbm - lost - found.attenuation_db
    assert arrives == pytest.approx(level_dbm, abs=0.0051)
    assert found.victim_dbm == pytest.approx(arrives, abs=1e-5)
    assert found.uncertainty_db > max(way.to_victim.uncertainty_db, way.generator.uncertainty_db)


def test_what_else_is_on_leaves_the_interferer_less() -> None:
    device = FILE.wiring.paths["generator"][0].port
    assert device.name == "device"
    alone = ceiling_dbm(FILE, 11.0)
    assert alone == 12.0  # the port bears 0 dBm behind 23 dB, the crest is 11 dB
    beside = permit("serving", -6.0, 0.0, (WayTo(device, 0.0),), {})
    # half of the amplitude is taken: 6.04 dB less, in steps of 0.01 dB
    assert ceiling_dbm(FILE, 11.0, (beside,)) == pytest.approx(alone - 6.04, abs=0.011)
    paths, reads = FILE.wiring.paths["generator"], {"attenuator": Attenuation(0.0)}
    top = ceiling_dbm(FILE, 11.0, (beside,))
    assert permit("generator", top, 11.0, paths, reads, (beside,)).ceiling_dbm == top
    with pytest.raises(Excess, match=r"device would get up to 0\.0 dBm together with serving"):
        permit("generator", top + 0.02, 11.0, paths, reads, (beside,))


def test_the_uncertainty_is_that_of_all_terms() -> None:
    way = way_at(FILE, 2.3e9, DAY)
    rectangular = 2 * 0.5 / math.sqrt(3)
    assert way.victim_uncertainty_db == pytest.approx(math.hypot(0.7, 0.4, rectangular))
    assert way.monitor_uncertainty_db == pytest.approx(math.hypot(0.7, 0.4, 0.8, rectangular))


def test_without_a_record_there_is_no_level(tmp_path) -> None:
    expired = written(tmp_path, calibration=("due = 2099-12-31", "due = 2026-11-29"))
    with pytest.raises(NotCalibrated, match=r"expired on 2026-11-29"):
        way_at(load_bench_file(expired), 3e9, DAY)
    with pytest.raises(NotCalibrated, match=r"3900 MHz is outside of what was calibrated"):
        way_at(FILE, 3.9e9, DAY)
    unnamed = written(tmp_path, ('calibration = "generator to device"\n', ""))
    with pytest.raises(NotCalibrated, match=r"generator to device: no calibration record"):
        way_at(load_bench_file(unnamed), 3e9, DAY)
    wrong = written(tmp_path, ('analyser = "analyser level"', 'analyser = "analyzer level"'))
    with pytest.raises(NotCalibrated, match=r"analyzer level: there is no calibration record"):
        way_at(load_bench_file(wrong), 3e9, DAY)


@given(st.floats(-60, 0), st.sampled_from([CW, *FILE.waveforms.values()]))
def test_the_level_of_a_signal_is_found_in_a_trace(level_dbm, waveform: Waveform) -> None:
    span = span_of(waveform)
    came = [Emission(3e9, level_dbm, waveform.bandwidth_hz)]
    trace = trace_dbm(came, 3e9 - span / 2, 3e9 + span / 2, 1001, resolution_of(waveform), 20.0)
    assert seen_dbm(list(trace), waveform, 1.0) == pytest.approx(level_dbm, abs=0.15)


def test_what_the_monitor_must_show() -> None:
    way = way_at(FILE, 3e9, DAY)
    settings = settings_of(way, CW, 3e9, 0.0, 20.0)
    tolerance, noise = settings.monitor_uncertainty_db, -100.0
    right = settings.monitor_dbm
    assert not disagreement(settings, right + 0.99 * tolerance, noise)
    assert not disagreement(settings, right - 0.99 * tolerance, noise)
    assert "from what is set" in disagreement(settings, right + 1.01 * tolerance, noise)
    assert "from what is set" in disagreement(settings, right - 1.01 * tolerance, noise)
    assert "its noise is" in disagreement(settings, right, right - LEAST_OVER_NOISE_DB + 0.1)
    bursts = replace(settings, waveform=FILE.waveforms["lte20-bursts"])
    assert not disagreement(bursts, right - 7.0, noise)
    assert disagreement(bursts, right - 7.0 - 1.01 * tolerance, noise)
    assert disagreement(bursts, right + 1.01 * tolerance, noise)


def test_what_the_docs_show_of_a_real_device_is_read(tmp_path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "lab.md").read_text(encoding="utf-8")
    blocks = [dedent(one) for one in re.findall(r" *```toml\n(.*?)```", text, re.DOTALL)]
    device, power = (
        next(one for one in blocks if one.startswith(head)) for head in ("[device]", "[power]")
    )
    supply = FILE.path.read_text(encoding="utf-8").partition("[instruments.supply]")[2]
    supply = supply.partition("[instruments.modem]")[0].replace("simulated", "TCPIP::h::1::SOCKET")
    path = tmp_path / "lab.toml"
    path.write_text(
        'title = "T"\n[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n'
        f'[roles]\nsupply = "supply"\n[instruments.supply]{supply}{device}{power}',
        encoding="utf-8",
    )
    found = load_bench_file(path)
    assert found.alarms.line.pattern.fullmatch("ALM,NETLOSS,H,1")
    assert (found.power.voltage_v, found.power.boot_s, found.power.leave_on) == (12.0, 20.0, False)
