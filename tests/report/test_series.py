"""The arrays behind the plots, on cases worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.pairing import flow_of
from bench.report import series
from bench.sessions.packets import table
from bench.sessions.recording import Event, Recording

MS = 1_000_000


@pytest.fixture
def make(report):
    def recording(rows=(), events=()):
        template = report.recordings[1]
        return Recording(
            "s", "steady", "local", "x", template.device, template.schedule, table(rows),
            tuple(events),
        )  # fmt: skip

    return recording


def sent(t_ms, seq, link=0):
    return (round(t_ms * MS), 0, 0, link, 1, seq, 78)


def seen(t_ms, seq, link=0):
    return (round(t_ms * MS), 1, 0, link, 1, seq, 78)


def flights(recording, link=0):
    return series.flights(flow_of(recording, "haptic-command"), link)


def test_flights_hold_delays_and_gaps_in_order_of_sending(make):
    rows = [sent(0, 1), sent(1, 2), sent(2, 3), seen(9, 1), seen(4, 1), seen(7, 3), seen(1, 99)]
    found = flights(make(rows))
    assert found.sent_s.tolist() == [0.0, 0.001, 0.002]
    assert found.delay_s[[0, 2]] == pytest.approx([0.004, 0.005])
    assert np.isnan(found.delay_s[1])


def test_flights_keep_links_and_directions_apart(make):
    crossed = make([sent(0, 1, 0), seen(3, 1, 1)])
    assert np.isnan(flights(crossed).delay_s).all()
    assert len(flights(crossed, 1).sent_s) == 0
    assert len(series.flights(flow_of(crossed, "haptic-command", "to-doctor")).sent_s) == 0


def test_a_packet_still_on_its_way_at_the_end_is_not_a_loss(make, report):
    end_ms = report.recordings[1].schedule.end_ns / MS
    rows = [sent(0, 1), seen(2, 1), sent(end_ms - 1, 2), sent(end_ms - 300, 3)]
    delays = flights(make(rows)).delay_s
    assert len(delays) == 2
    assert np.isnan(delays[1])


def test_envelope_bins_delay_and_loss(make):
    rows = [sent(t, t) for t in range(10)] + [seen(t + 2 + t / 10, t) for t in range(8)]
    env = series.envelope(flights(make(rows)), 0.010, bins=2)
    assert env.t_s == pytest.approx([0.0025, 0.0075])
    assert env.p50_s == pytest.approx([0.0022, 0.0026])
    assert env.low_s == pytest.approx([0.002, 0.0025])
    assert env.high_s == pytest.approx([0.0024, 0.0027])
    assert env.loss == pytest.approx([0.0, 0.4])


@given(
    packets=st.lists(
        st.tuples(st.floats(0, 1), st.floats(1e-6, 1) | st.just(float("nan"))), max_size=60
    ),
    bins=st.integers(1, 12),
)
def test_envelope_is_what_each_bin_says_alone(packets, bins):
    packets.sort(key=lambda packet: packet[0])
    sent_s, delay_s = np.array(packets, dtype=float).reshape(-1, 2).T
    found = series.envelope(series.Flights(sent_s, delay_s), 1.0, bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    for index in range(bins):
        last = index == bins - 1
        here = delay_s[(sent_s >= edges[index]) & (last | (sent_s < edges[index + 1]))]
        there = here[~np.isnan(here)]
        want = [np.median(there), there.min(), there.max()] if len(there) else [np.nan] * 3
        want.append(1 - len(there) / len(here) if len(here) else np.nan)
        got = [found.p50_s[index], found.low_s[index], found.high_s[index], found.loss[index]]
        assert got == pytest.approx(want, nan_ok=True)


def test_tail_keeps_extremes_and_ends_at_the_loss():
    delays = np.append(np.linspace(0.001, 0.002, 9_990), np.full(10, np.nan))
    x, above = series.tail(delays, points=50)
    assert len(x) <= 50
    assert (x[0], x[-1]) == (0.001, 0.002)
    assert above[0] == 1.0
    assert above[-1] == pytest.approx(11 / 10_000)
    assert (np.diff(above) < 0).all()


def test_judged_delays_leave_settling_and_beyond_out(report):
    steady, ramp = report.recordings[1], report.recordings[2]
    delays = series.judged_delays(steady, "haptic-command")
    assert len(delays) == pytest.approx(6000, abs=10)
    assert len(series.judged_delays(ramp, "haptic-command")) == 0


def test_spans_of_alarms_states_and_contacts(make):
    def alarm(t_ms, on, side="doctor", name="alarm-signal"):
        value = {"alarm": "network-delay", "priority": "medium", "on": on}
        return Event(t_ms * MS, side, "signal", name, value)

    def state(t_ms, a, b):
        return Event(t_ms * MS, "patient", "log", "state", {"from": a, "to": b})

    given = make(
        events=[
            alarm(1000, True),
            alarm(1500, False),
            alarm(2000, True),
            alarm(2500, True, name="alarm-condition"),
            state(1000, "DISABLED", "ENABLED"),
            Event(100 * MS, "patient", "log", "connection", {"up": True}),
            Event(400 * MS, "patient", "log", "connection", {"up": False}),
            Event(500 * MS, "patient", "contact", "motion", 1),
            Event(700 * MS, "patient", "contact", "motion", 0),
        ]
    )
    (lane,) = series.alarm_lanes(given)
    assert (lane.side, lane.alarm, lane.priority) == ("doctor", "network-delay", "medium")
    assert [(s.start_s, s.end_s, s.open) for s in lane.signals] == [
        (1.0, 1.5, False),
        (2.0, 8.0, True),
    ]
    assert [s.start_s for s in lane.conditions] == [2.5]
    states = series.state_spans(given, "state", "patient")
    assert [(s.start_s, s.end_s, s.label) for s in states] == [
        (0.0, 1.0, "DISABLED"),
        (1.0, 8.0, "ENABLED"),
    ]
    assert [(s.start_s, s.end_s) for s in series.contact_spans(given, "motion")] == [(0.5, 0.7)]
    assert [(s.start_s, s.end_s) for s in series.connected_spans(given, "patient")] == [(0.1, 0.4)]
    assert series.connected_spans(given, "doctor") == ()
