"""What became of the packets in a failover: lost, duplicated, reordered, each by itself."""

import numpy as np
import pytest

from bench.devices.registry import find_device
from bench.measure.recovering import sw_1
from bench.network import library

DOCTOR, PATIENT = 0, 1
COMMAND = "haptic-command"


def arrivals(rows, code, since_s, *, tap=PATIENT):
    """Places of the arrivals of a stream from a moment on."""
    mine = (rows["tap"] == tap) & (rows["stream"] == code)
    return np.flatnonzero(mine & (rows["t_ns"] > since_s * 1e9))


def twice(code, count, *, link=None, tap=PATIENT):
    """The first arrivals after the switch come a second time, on the same link or on another."""

    def tweak(rows):
        again = rows[arrivals(rows, code, 2.5, tap=tap)[:count]].copy()
        again["t_ns"] += 300_000_000
        if link is None:
            return np.concatenate([rows, again])
        sent = again.copy()
        sent["tap"], sent["t_ns"] = 1 - tap, again["t_ns"] - 5_000_000
        again["link"] = sent["link"] = link
        return np.concatenate([rows, sent, again])

    return tweak


def late(code, count, *, tap=PATIENT):
    """Some single packets arrive 50 ms late, when later ones have arrived."""

    def tweak(rows):
        rows["t_ns"][arrivals(rows, code, 2.5, tap=tap)[: 200 * count : 200]] += 50_000_000
        return rows

    return tweak


def counts(details, stream=None):
    names = ("lost", "duplicated", "reordered")
    return [details[f"{stream or 'packets'}_{name}"] for name in names]


def test_a_robot_loses_what_it_sent_on_the_dead_link(synthetic):
    _, details = sw_1(synthetic.healthy("primary-outage").recording(), None)
    assert counts(details) == counts(details, COMMAND) == [160, 0, 0]
    assert details["executed_twice"] == details["executed_out_of_order"] == 0


@pytest.mark.parametrize("link", [None, 0])
def test_copies_are_counted_whichever_link_they_take(synthetic, link):
    made = synthetic.healthy("primary-outage")
    made.tweak = twice(made.profile.stream(COMMAND).code, 3, link=link)
    _, details = sw_1(made.recording(), None)
    # A copy is no reordering: of duplicates only the first counts.
    assert counts(details) == [160, 3, 0]


def test_packets_out_of_order_are_counted_apart(synthetic):
    made = synthetic.healthy("primary-outage")
    made.tweak = late(made.profile.stream(COMMAND).code, 2)
    _, details = sw_1(made.recording(), None)
    assert counts(details) == [160, 0, 2]


def test_what_the_old_link_lets_go_after_the_switch_is_reordered(synthetic):
    """Between links: each link by itself keeps its order."""
    made = synthetic.healthy("primary-outage")
    code = made.profile.stream(COMMAND).code

    def held(rows):
        lost = (rows["tap"] == DOCTOR) & (rows["stream"] == code) & (rows["link"] == 0)
        found = rows[lost & (rows["t_ns"] >= 2_000_000_000)][1:].copy()
        found["tap"], found["t_ns"] = PATIENT, 3_000_000_000 + np.arange(len(found))
        return np.concatenate([rows, found])

    made.tweak = held
    _, details = sw_1(made.recording(), None)
    assert counts(details) == [1, 0, 159]


def test_executed_twice_and_out_of_order_are_told_apart(synthetic):
    for change, expected in (("twice", (1, 0)), ("swapped", (0, 1))):
        made = synthetic.healthy("primary-outage")
        original = made._executed

        def executed(rows, original=original, change=change):
            done = original(rows)
            if change == "swapped":
                done["seq"][[-2, -1]] = done["seq"][[-1, -2]]
                return done
            again = done[-1:].copy()
            again["t_ns"] += 1000
            return np.concatenate([done, again])

        made._executed = executed
        value, details = sw_1(made.recording(), None)
        assert value == np.inf
        assert details["executed_twice_or_out_of_order"] == 1
        assert (details["executed_twice"], details["executed_out_of_order"]) == expected


@pytest.fixture
def meter(synthetic):
    """A device without motion: acknowledgements one way, two streams that it sends often."""
    made = synthetic.Builder(
        library.find_scenario("primary-outage"), profile=find_device("icu-bed")
    ).heartbeats()
    made._executed = lambda rows: rows[:0]
    watched = made.profile.watched
    often = [s.name for s in made.profile.active_streams if s.source == "patient"
             and s.period_s <= 0.1 and s.name != "control"]  # fmt: skip
    for name in (watched, *often):
        made.stream(name, end_s=2.1).stream(name, links=(1,), start_s=2.1)
    return made


def test_a_device_without_motion_has_its_counts_of_each_stream(meter):
    code = meter.profile.stream("monitor-ecg").code
    meter.tweak = twice(code, 2, tap=DOCTOR)
    _, details = sw_1(meter.recording(), None)
    assert counts(details, "acknowledgement") == [10, 0, 0]
    assert counts(details, "monitor-ecg") == [5, 2, 0]
    streams = [name.removesuffix("_lost") for name in details if name.endswith("_lost")]
    streams.remove("packets")
    assert len(streams) == details["streams"] > 3
    for place, name in enumerate(("lost", "duplicated", "reordered")):
        each = [counts(details, stream)[place] for stream in streams]
        assert details[f"packets_{name}"] == sum(each)


def test_a_device_without_motion_has_its_reordered_packets(meter):
    code = meter.profile.stream("monitor-ecg").code
    meter.tweak = late(code, 1, tap=DOCTOR)
    _, details = sw_1(meter.recording(), None)
    assert counts(details, "monitor-ecg") == [5, 0, 1]
