"""Reading a device's log and clock, and matching entries with what happened."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bench.devices.registry import find_device
from bench.measure import events as ev
from bench.measure.device_log import clock_of, exports, last_export
from bench.measure.reconcile import Tolerance, reconcile
from bench.network.library import steady
from bench.sessions.packets import table
from bench.sessions.recording import Event, Recording, Session
from bench.units import ns

PROFILE = find_device("telesurgery-robot")
SCHEDULE = Session("t", PROFILE, steady(8.0), 7).schedule()
MS = 1_000_000


def recording(*events):
    return Recording(
        "s", "steady-5g-slice", "virtual", "virtual link", PROFILE, SCHEDULE, table([]),
        tuple(sorted(events, key=lambda event: event.t_ns)),
    )  # fmt: skip


def action(t_ns, name, side="patient"):
    return Event(t_ns, side, "bench", "action", {"name": name})


def reading(t_ns, clock_ns, late_ns=0):
    """The bench asks at ``t_ns``, the device answers ``late_ns`` later."""
    answer = Event(t_ns + late_ns, "patient", "log", "clock", {"clock_ns": round(clock_ns)})
    return action(t_ns, "read-clock"), answer


def entry(number, clock_ns, kind, name, content):
    fields = {"number": number, "clock_ns": clock_ns, "kind": kind, "name": name}
    return {**fields, "content": content, "chain": ""}


def export(t_ns, *entries):
    value = {"entries": list(entries), "check": "", "full": False}
    return action(t_ns, "export-log"), Event(t_ns, "patient", "log", "audit-export", value)


# ---- the clock -------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    offset=some.floats(-10, 10),
    drift=some.floats(-1e-2, 1e-2),
    share=some.floats(0, 1),
    late_ms=some.integers(0, 50),
)
def test_the_clock_is_found_within_its_uncertainty(offset, drift, share, late_ms):
    """Wherever between question and answer it is read."""
    times = [ns(t) for t in (0.5, 3.0, 6.0, 9.0)]
    events = []
    for t_ns in times:
        read_ns = t_ns + share * late_ms * MS
        events += reading(t_ns, read_ns * (1 + drift) + offset * 1e9, late_ms * MS)
    clock = clock_of(recording(*events), "patient")
    for t_ns in (0, *times, SCHEDULE.end_ns):
        shown = round(t_ns * (1 + drift) + offset * 1e9)
        assert abs(clock.true_ns(shown) - t_ns) <= 1.01 * clock.expanded_ns + 1000
    if late_ms == 0:
        assert clock.offset_s == pytest.approx(offset, abs=1e-6)
        assert clock.drift == pytest.approx(drift, abs=1e-6)


@pytest.mark.parametrize("times", [(), (1.0, 9.0), (1.0, 1.5, 2.0)])
def test_too_few_readings_or_too_close_together_measure_nothing(times):
    events = [event for t in times for event in reading(ns(t), ns(t))]
    with pytest.raises(ev.Cannot, match="was not measured"):
        clock_of(recording(*events), "patient")


def test_a_question_without_an_answer_is_no_reading():
    events = [event for t in (1.0, 5.0) for event in reading(ns(t), ns(t))]
    with pytest.raises(ev.Cannot, match="2 readings"):
        clock_of(recording(*events, action(ns(8.0), "read-clock")), "patient")


# ---- exports ---------------------------------------------------------------------------------


def test_the_last_export_is_the_one_that_was_asked_for_last():
    first, second = export(ns(2.0), entry(1, 0, "alarm", "a", 1)), export(ns(4.0))
    assert last_export(recording(*first, *second), "patient").entries == ()
    assert [len(e.entries) for e in exports(recording(*first, *second), "patient")] == [1, 0]


def test_what_was_not_asked_for_or_may_still_come_is_open_and_what_never_came_is_none():
    with pytest.raises(ev.Cannot, match="not read out"):
        last_export(recording(), "patient")
    with pytest.raises(ev.Cannot, match="ends before"):
        last_export(recording(action(SCHEDULE.end_ns - 1, "export-log")), "patient")
    assert last_export(recording(action(ns(2.0), "export-log")), "patient") is None


@pytest.mark.parametrize("damage", ["entries", "check"])
def test_an_export_that_cannot_be_read_is_open(damage):
    asked, given = export(ns(2.0))
    value = {k: v for k, v in given.value.items() if k != damage}
    with pytest.raises(ev.Cannot, match="cannot be read"):
        exports(recording(asked, replace(given, value=value)), "patient")


# ---- matching --------------------------------------------------------------------------------

SIGN_IN = {"action": "sign-in", "name": "nurse"}
TOLERANCE = Tolerance(ns(0.5), 1000)


@settings(max_examples=60, deadline=None)
@given(some.integers(1, 7), some.data())
def test_each_event_needs_an_entry_of_its_own(count, data):
    """As many missing as entries were taken away; as many false as were added far off."""
    times = [1.0 + second for second in range(count)]
    shift = data.draw(some.floats(-0.4, 0.4))
    kept = data.draw(some.lists(some.booleans(), min_size=len(times), max_size=len(times)))
    logged = [t + shift for t, keep in zip(times, kept, strict=True) if keep]
    extra = data.draw(some.integers(0, 2))
    logged += [20.0 + n for n in range(extra)]
    found = _reconciled(times, logged)
    assert len(found.missing) == kept.count(False)
    assert len(found.false) == extra
    assert found.offered["operator"] == len(times)


def _reconciled(times, logged):
    events = [action(ns(t), "sign-in:nurse", "doctor") for t in times]
    entries = [entry(n, ns(t), "operator", "operator", SIGN_IN) for n, t in enumerate(logged, 1)]
    asked, given = export(ns(9.9), *entries)
    made = recording(*events, replace(asked, side="doctor"), replace(given, side="doctor"))
    return reconcile(made, "doctor", last_export(made, "doctor"), TOLERANCE, ns(9.9))


@pytest.mark.parametrize(
    ("by_s", "right"), [(0.49, True), (-0.49, True), (0.51, False), (-0.51, False)]
)
def test_an_entry_beyond_the_declared_time_error_is_none(by_s, right):
    found = _reconciled([3.0], [3.0 + by_s])
    assert (len(found.missing), len(found.false)) == ((0, 0) if right else (1, 1))


def test_an_entry_just_at_the_allowed_error_is_neither_right_nor_wrong():
    tight = Tolerance(ns(0.5), ns(0.05))
    assert tight.unsure(ns(0.47))
    assert tight.unsure(ns(0.53))
    assert not tight.unsure(ns(0.4))
    assert Tolerance(None, 1000).unsure(2000)
    assert not Tolerance(None, 1000).unsure(500)
