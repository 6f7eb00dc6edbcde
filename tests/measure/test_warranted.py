"""False alarms: signals of network alarms that nothing which the bench did warrants."""

import pytest

from bench.measure.behaviours import expected_alarms, measure_behaviour
from bench.measure.warranted import brought_about, false_alarms
from bench.network.impairment import CLEAN, Delay, Impairment, bernoulli
from bench.network.loss import GilbertElliott

OUTAGE, END_S = "primary-outage", 4.0
"""The link is down from 2 to 4 s; the session ends at 7.5 s."""


def names(made):
    return [(round(t_ns / 1e9, 3), name) for t_ns, name in false_alarms(made.recording())]


def blip(made, at_s, name, side="patient", until_s=None):
    """A short signal of an alarm."""
    made.alarm(at_s, name, "medium", side=side)
    return made.alarm(until_s or at_s + 0.1, name, "medium", on=False, side=side)


@pytest.mark.parametrize(
    "scenario",
    [OUTAGE, "blackout", "delay-ramp", "loss-step", "radio-link-failure", "urumqi-shanghai"],
)
def test_a_healthy_device_gives_none(synthetic, scenario):
    assert names(synthetic.healthy(scenario)) == []


@pytest.mark.parametrize("side", ["patient", "doctor"])
@pytest.mark.parametrize("name", ["network-interrupted", "network-delay", "link-lost"])
def test_an_alarm_before_the_fault_is_false(synthetic, name, side):
    assert names(blip(synthetic.healthy(OUTAGE), 1.5, name, side)) == [(1.5, name)]


def test_an_alarm_that_the_fault_does_not_warrant_is_false(synthetic):
    made = blip(synthetic.healthy(OUTAGE), 3.0, "network-intrusion")
    assert names(blip(made, 3.2, "network-delay")) == [
        (3.0, "network-intrusion"), (3.2, "network-delay"),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["link-lost", "network-loss"])
def test_what_follows_from_the_fault_is_warranted(synthetic, name):
    assert names(blip(synthetic.healthy(OUTAGE), 2.5, name)) == []


def test_alarms_of_the_device_itself_are_none_of_the_network(synthetic):
    made = blip(synthetic.healthy(OUTAGE), 1.0, "local-stop-active")
    assert names(blip(made, 6.0, "log-full")) == []


@pytest.mark.parametrize(("after_s", "count"), [(0.5, 0), (0.61, 1)])
def test_after_the_fault_its_alarm_is_warranted_for_the_declared_delay(synthetic, after_s, count):
    """``link-lost``: 350 ms to its condition, 250 ms to its signal."""
    made = blip(synthetic.healthy(OUTAGE), 2.3, "link-lost")
    assert len(names(blip(made, END_S + after_s, "link-lost"))) == count


def test_the_first_answer_is_late_and_not_false(synthetic):
    made = synthetic.healthy(OUTAGE)
    assert names(blip(made, 6.0, "link-lost")) == []
    assert names(blip(made, 6.5, "link-lost")) == [(6.5, "link-lost")]


def test_a_signal_that_goes_on_is_one(synthetic):
    made = synthetic.healthy(OUTAGE)
    made.alarm(1.0, "network-loss", "medium").alarm(1.5, "network-loss", "high")
    assert names(made) == [(1.0, "network-loss")]


def test_each_side_signals_for_itself(synthetic):
    made = blip(synthetic.healthy(OUTAGE), 1.0, "network-delay", until_s=1.5)
    assert len(names(blip(made, 1.2, "network-delay", "doctor"))) == 2


@pytest.mark.parametrize(("after_s", "count"), [(-0.02, 1), (0.02, 0)])
def test_an_attack_warrants_every_alarm_from_its_beginning_on(synthetic, after_s, count):
    made = synthetic.Builder(synthetic.library.find_scenario("flood"))
    start_ns = min(a.t_ns for a in made.schedule.actions if a.name.startswith("attack:"))
    assert start_ns > made.schedule.windows[1].start_ns + 20_000_000
    assert len(names(blip(made, start_ns / 1e9 + after_s, "network-delay"))) == count


LOSS, SILENCE = {"network-loss"}, {"network-loss", "network-interrupted", "link-lost"}
UNSTEADY = {"network-delay", "network-jitter"}


@pytest.mark.parametrize(
    ("state", "alarms"),
    [
        (CLEAN, set()),
        (Impairment(up=False), SILENCE),
        (Impairment(hold=True), SILENCE | UNSTEADY),
        (Impairment(mtu_bytes=576), SILENCE),
        (Impairment(loss=bernoulli(0.05)), LOSS),
        (Impairment(loss=bernoulli(0.3)), SILENCE),
        (Impairment(loss=GilbertElliott(0.001, 0.05)), SILENCE),
        (Impairment(delay=Delay(0.05)), UNSTEADY),
        (Impairment(rate_bps=1e5), SILENCE | UNSTEADY),
        (Impairment(ber=1e-5), SILENCE | {"network-intrusion"}),
        (Impairment(duplication=0.1), UNSTEADY),
    ],
)
def test_what_the_state_of_a_link_brings_about(state, alarms):
    assert brought_about(state, CLEAN) == alarms
    assert brought_about(state, state) <= alarms


def test_mon_2_counts_over_all_trials_and_its_value_stays(synthetic):
    def mon_2(*made):
        recordings = [each.recording() for each in made]
        found = measure_behaviour(
            "MON-2", recordings, profile=recordings[0].device, confidence=0.95, floor=None,
            alarm=expected_alarms(recordings[0])[0],
        )  # fmt: skip
        return found.trials, found.details

    good = synthetic.healthy(OUTAGE)
    noisy = blip(blip(synthetic.healthy(OUTAGE), 1.2, "network-delay"), 1.5, "network-loss")
    silent = synthetic.healthy(OUTAGE).without("alarm-signal")
    (one, two, missed), details = mon_2(good, noisy, silent)
    assert one == two < missed
    assert (details["missed_alarms"], details["false_alarms"]) == (1, 2)
    _, details = mon_2(good)
    assert (details["missed_alarms"], details["false_alarms"]) == (0, 0)
    _, details = mon_2(noisy)
    assert details["first_false_alarm"] == "network-delay at 1.200 s"
