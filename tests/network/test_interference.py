import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.impairment import CLEAN, Delay, Impairment, bernoulli
from bench.network.interference import impairment_of
from bench.network.library import coexistence
from bench.network.library.parts import usual_links
from bench.network.radio.exposure import Exposure, Radio, RadioFlaws, reception_of
from bench.network.radio.receivers import Reception
from bench.network.scenario import (
    Interference,
    Scenario,
    Segment,
    Step,
    compile_scenario,
    interferences,
)
from bench.network.scenario_files import load_scenario

RADIO = coexistence.EXAMPLE
SENSOR = Radio("primary", "ieee802154", 2.44e9, -70.0, packet_bytes=127)
BEFORE = Impairment(Delay(0.0025, "uniform", 0.0003), rate_bps=1e9)
LEVELS = st.floats(-120.0, -20.0)


def carrier(level_dbm, **changes):
    return dataclasses.replace(Exposure("lte20", 3.5e9, level_dbm, 18e6), **changes)


def reception(ratio, rate_bps=250e3):
    return Reception(-70.0, -90.0, -100.0, 20.0, 30.0, ratio, rate_bps)


@given(LEVELS, LEVELS)
def test_more_interference_never_makes_a_better_link(a, b):
    low, high = sorted((a, b))
    weak = impairment_of(reception_of(RADIO, [carrier(low)]), BEFORE, RADIO)
    strong = impairment_of(reception_of(RADIO, [carrier(high)]), BEFORE, RADIO)
    assert weak.up >= strong.up
    assert not strong.up or strong.rate_bps <= weak.rate_bps
    assert strong.loss_ratio >= weak.loss_ratio


def test_a_radio_alone_gives_its_own_rate_and_no_loss():
    alone = impairment_of(reception_of(RADIO, []), BEFORE, RADIO)
    assert alone.rate_bps == pytest.approx(297e6, rel=0.01)
    assert alone.with_(rate_bps=1e9) == BEFORE
    narrow = BEFORE.with_(rate_bps=1e6)
    assert impairment_of(reception_of(RADIO, []), narrow, RADIO) == narrow


def test_retransmission_turns_errors_into_delay_and_what_is_left_into_loss():
    """20 % of the packets wrong, three retries: 1.6 per mille lost, 1.248 sent per packet."""
    found = impairment_of(reception(0.2), CLEAN, SENSOR)
    assert found.loss_ratio == pytest.approx(0.2**4)
    assert found.delay.mean_s == pytest.approx(0.248 * 127 * 8 / 250e3)
    lossy = impairment_of(reception(0.2), BEFORE.with_(loss=bernoulli(0.1)), SENSOR)
    assert lossy.loss_ratio == pytest.approx(1 - 0.9 * (1 - 0.2**4))


@pytest.mark.parametrize("gone", [reception(1.0, 0.0), reception(0.0, 10.0)])
def test_a_radio_that_gets_nothing_through_takes_its_link_down(gone):
    assert impairment_of(gone, BEFORE.with_(hold=True), RADIO) == BEFORE.with_(up=False)


def test_only_the_radios_link_suffers_and_it_returns():
    schedule = compile_scenario(coexistence.interferer_beyond(), 1)
    step = schedule.window("interferer")
    down = [c for c in schedule.changes if not c.impairment.up]
    assert {(c.link, c.t_ns) for c in down} == {("primary", step.start_ns)}
    assert {c.direction for c in down} == {"to-patient", "to-doctor"}
    for direction in ("to-patient", "to-doctor"):
        before, _, after = schedule.of("primary", direction)
        assert before[1] == after[1]
        assert schedule.of("standby", direction) == (
            (0, usual_links()["standby"].direction(direction)),
        )
    exposed = [e for e in schedule.exposures if e.exposures]
    assert [(e.step, e.start_ns, e.end_ns) for e in exposed] == [
        ("interferer", step.start_ns, step.end_ns)
    ]


def test_what_a_laboratory_received_takes_the_place_of_the_model():
    scenario = coexistence.interferer_beyond()
    received = [reception(0.0, rate) for rate in (300e6, 200e6, 100e6)]
    schedule = compile_scenario(scenario, 1, received)
    rates = [impairment.rate_bps for _, impairment in schedule.of("primary", "to-doctor")]
    assert rates == [300e6, 200e6, 100e6]
    assert [e.reception for e in schedule.exposures] == received
    with pytest.raises(ValueError, match="2 receptions for 3 segments"):
        compile_scenario(scenario, 1, received[:2])


def test_flaws_of_a_radio():
    scenario = coexistence.coexistence()
    sound = compile_scenario(scenario, 1)
    deaf = compile_scenario(scenario, 1, flaws=RadioFlaws(excess_db=12.0))
    slow = compile_scenario(scenario, 1, flaws=RadioFlaws(recovers_after_s=1.5))
    first, second = sound.window("lte20-1"), sound.window("lte20-bursts-2")
    assert rate(deaf, first.start_ns) < rate(sound, first.start_ns) < rate(sound, 0)
    assert rate(deaf, 0) == rate(sound, 0), "alone it receives as any other"
    late = first.end_ns + 1_400_000_000
    assert rate(sound, late) == rate(sound, 0)
    states = slow.of("primary", "to-doctor")
    assert [(t - first.end_ns, s.up) for t, s in states if first.end_ns <= t < second.start_ns] == [
        (0, False), (1_500_000_000, True),
    ]  # fmt: skip
    after = slow.window("after-lte20-1")
    assert [name for name, _, _ in after.phases] == ["recovery", "searching", "regained"]
    assert rate(slow, first.end_ns + 1_600_000_000) == rate(sound, 0)


def rate(schedule, t_ns):
    states = [state for t, state in schedule.of("primary", "to-doctor") if t <= t_ns]
    return states[-1].rate_bps


def test_a_radio_must_carry_a_link_of_the_scenario():
    for radio in (None, dataclasses.replace(RADIO, link="third")):
        step = Step("s", "interferer", "within", (Interference("x", 1.0, radio=radio),))
        with pytest.raises(InputError, match="carries no link"):
            compile_scenario(Scenario("n", "t", (step,)), 1)


FILE = """
name = "n"
title = "t"
[links.primary]
[links.standby]
[radio]
link = "primary"
technology = "nr-100mhz"
frequency = "3.5GHz"
wanted = "-70dBm"
noise_figure = "9dB"
packet_bytes = 1250
[[steps]]
kind = "interferer"
duration = "1s"
[[steps]]
kind = "interferer"
duration = "2s"
role = "beyond"
[[steps.exposures]]
signal = "lte20"
frequency = "3.5GHz"
level = "-62dBm"
[[steps.exposures]]
signal = "mine"
frequency = "3.49GHz"
level = "-64dBm"
bandwidth = "18MHz"
duty = "20%"
burst = "2ms"
[[steps]]
kind = "hold"
duration = "1s"
"""


def test_a_scenario_file_with_interference(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(FILE)
    scenario = load_scenario(path)
    alone, exposed = interferences(scenario)
    assert (alone.radio, alone.exposures) == (RADIO, ())
    assert exposed.exposures == (
        carrier(-62.0), Exposure("mine", 3.49e9, -64.0, 18e6, 0.2, 2e-3),
    )  # fmt: skip
    assert [step.kind for step in scenario.steps] == ["interferer", "interferer", "hold"]
    last = compile_scenario(scenario, 1).of("primary", "to-doctor")[-1]
    assert last == (3_000_000_000, CLEAN), "after it the link is as before"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('link = "primary"\ntech', 'link = "third"\ntech', "there is no such link"),
        ("[radio]", "[[actions]]\n[radios]", "unknown key"),
        ('duration = "1s"\n[[steps]]\nkind = "interferer"', 'link = "standby"\nduration = "1s"\n'
         '[[steps]]\nkind = "interferer"', "is that of the radio"),
        ('signal = "mine"', 'signal = "mine"\nspin = 1', "unknown key"),
        ('bandwidth = "18MHz"\n', "", "is missing"),
        ('duty = "20%"', 'duty = "0%"', "not above 0"),
        ('"nr-100mhz"', '"wlan"', "is unknown"),
        ('level = "-62dBm"', "level = -62", "level"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused_with_its_place(tmp_path, old, new, told):
    path = tmp_path / "s.toml"
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    assert told in caught.value.line()
    assert "s.toml" in caught.value.line()


def test_interference_without_a_radio_is_refused(tmp_path):
    path = tmp_path / "s.toml"
    begin, end = FILE.index("[radio]"), FILE.index("[[steps]]")
    path.write_text(FILE[:begin] + FILE[end:])
    with pytest.raises(InputError, match="needs a radio"):
        load_scenario(path)


def test_a_segment_says_the_state_of_the_other_links():
    links = usual_links()
    step = Step("s", "hold", "within", (Interference("x", 1.0, links, radio=RADIO),))
    schedule = compile_scenario(Scenario("n", "t", (step,)), 1)
    assert schedule.of("standby", "to-doctor")[0][1] == links["standby"].to_doctor
    assert Segment("x", 1.0).links == {}
