"""Recorded links: read strictly, replayed as they are, with where they came from."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.network.impairment import DIRECTIONS, Delay, GilbertElliott, Impairment, bernoulli
from bench.network.laws import QUEUE_DROP, DirectionLaw
from bench.network.replay import replay
from bench.network.scenario import Scenario, Segment, Step, both, compile_scenario
from bench.network.traces import OPPORTUNITY_BYTES, Row, read_trace, windows

BASE = Impairment(delay=Delay(0.02, "normal", 0.001), rate_bps=100e6, loss=GilbertElliott(0.01, 1))
ON = ("primary",)
MS = 1_000_000
BITS = 8 * OPPORTUNITY_BYTES
CSV = """# source: a drive test
# device: x
time_s,rate_mbit,delay_ms,loss_%
0,10,20,0
1,5,30.5,0
2.5,0,40,1
3,20,20,0
"""


def trace_of(text, tmp_path, form="csv", **how):
    path = tmp_path / f"cell.{form}"
    path.write_text(text)
    return read_trace(path, form, **how)


def mahimahi(times, tmp_path, **how):
    return trace_of("".join(f"{t}\n" for t in times), tmp_path, "mahimahi", **how)


def played(trace, base=BASE, **how):
    segments, note = replay(trace, ON, **how)
    steps = (
        Step("settle", "hold", "within", (Segment("settle", 1.0, {"primary": both(base)}),)),
        Step("trace", "trace", "beyond", segments, note=note),
        Step("rest", "hold", "within", (Segment("rest", 1.0),)),
    )
    return compile_scenario(Scenario("p", "p", steps, links=("primary",)), 1)


def states(schedule, direction="to-patient"):
    return [(t - 1000 * MS, i) for t, i in schedule.of("primary", direction) if t >= 1000 * MS]


# CSV


def test_rows_are_read_with_their_units(tmp_path):
    trace = trace_of(CSV, tmp_path)
    assert trace.rows == (
        Row(0, 10e6, 0.020, 0),
        Row(1, 5e6, 0.0305, 0),
        Row(2.5, 0, 0.040, 0.01),
        Row(3, 20e6, 0.020, 0),
    )
    assert trace.length_s == 3.5
    assert (trace.resolution_s, trace.coarsest_s) == (1.0, 1.5)


@pytest.mark.parametrize(
    ("header", "line", "row"),
    [
        ("time_ms,rate_kbit", "0,250", Row(0, 250e3)),
        ("time_s,rate_bps", "0,1e6", Row(0, 1e6)),
        ("rate_mbit/s,time_us", "1.5,0", Row(0, 1.5e6)),
        ("time_s,delay_us", "0,1500", Row(0, None, 0.0015)),
        ("time,delay", "0s,20ms", Row(0, None, 0.020)),
        ("Time_s, Loss", "0,1%", Row(0, None, None, 0.01)),
        ("time_s,loss_percent", "0,2.5", Row(0, None, None, 0.025)),
        ("time_s,loss_ratio", "0,0.5", Row(0, None, None, 0.5)),
    ],
)
def test_any_subset_and_unit(header, line, row, tmp_path):
    assert trace_of(f"{header}\n{line}\n", tmp_path).rows == (row,)


def test_provenance_and_resolution_stay_with_it(tmp_path):
    trace = trace_of(CSV, tmp_path)
    digest = hashlib.sha256(CSV.encode()).hexdigest()
    assert (trace.name, trace.sha256, trace.sources) == ("cell.csv", digest, ("a drive test",))
    _, note = replay(trace, ON)
    for words in ("cell.csv", digest, "a drive test", "resolution 1 s (up to 1.5 s)"):
        assert words in note
    assert "says nothing about shorter events" in note
    _, note = replay(trace_of("time_s,loss\n0,0\n1,0\n", tmp_path), ON)
    assert "source not stated in the file" in note


def test_a_row_holds_until_the_next_and_nothing_lies_between(tmp_path):
    schedule = played(trace_of(CSV, tmp_path))
    kept = BASE.with_(loss=None)

    def at(mean_s, rate_bps, **more):
        delay = Delay(mean_s, "normal", 0.001)
        return kept.with_(delay=delay, rate_bps=rate_bps, **more)

    expected = [
        (0, at(0.020, 10e6)),
        (1000 * MS, at(0.0305, 5e6)),
        (2500 * MS, at(0.040, 100e6, hold=True, loss=bernoulli(0.01))),
        (3000 * MS, at(0.020, 20e6)),
        (3500 * MS, BASE),  # the link is again what it was
    ]
    assert states(schedule) == expected
    assert states(schedule, "to-doctor") == expected
    assert schedule.window("trace").end_ns == 4500 * MS


def test_each_phase_has_one_loss(tmp_path):
    phases = played(trace_of(CSV, tmp_path)).window("trace").phases
    assert [(a - 1000 * MS, b - 1000 * MS) for _, a, b in phases] == [
        (0, 2500 * MS),
        (2500 * MS, 3000 * MS),
        (3000 * MS, 3500 * MS),
    ]


def test_one_direction_alone(tmp_path):
    schedule = played(trace_of(CSV, tmp_path), directions=("to-doctor",))
    assert states(schedule) == []
    assert len(states(schedule, "to-doctor")) == 5


def test_columns_that_are_not_there_leave_the_link_alone(tmp_path):
    schedule = played(trace_of("time_s,delay_ms\n0,5\n1,6\n", tmp_path))
    for t_ns, state in states(schedule):
        assert (state.rate_bps, state.loss) == (BASE.rate_bps, BASE.loss)
        assert state.delay.mean_s == {0: 0.005, 1000 * MS: 0.006, 2000 * MS: 0.02}[t_ns]


def test_a_first_row_that_is_not_at_zero_is_the_start_and_said(tmp_path):
    text = "time_s,loss\n1700000000.5,0\n1700000001.5,0.1\n"
    trace = trace_of(text, tmp_path)
    assert [row.t_s for row in trace.rows] == [0, 1]
    assert "its first row, at 1700000000.5 s, is the start" in replay(trace, ON)[1]


def test_wraps_only_where_said(tmp_path):
    trace = trace_of(CSV, tmp_path)
    with pytest.raises(InputError, match=r"lasts 3\.5 s, the step 8 s; .*wrap = true"):
        replay(trace, ON, length_s=8)
    schedule = played(trace, length_s=8, wrap=True)
    found = states(schedule)
    assert [t // MS for t, _ in found] == [
        0, 1000, 2500, 3000, 3500, 4500, 6000, 6500, 7000, 8000,
    ]  # fmt: skip
    assert [s for _, s in found[:4]] == [s for _, s in found[4:8]]
    assert found[-1][1] == BASE
    _, note = replay(trace, ON, length_s=8, wrap=True)
    assert "wrapped: repeated up to 8 s" in note
    assert "wrapped" not in replay(trace, ON, wrap=True)[1]


def test_shorter_steps_cut(tmp_path):
    schedule = played(trace_of(CSV, tmp_path), length_s=2)
    assert [t // MS for t, _ in states(schedule)] == [0, 1000, 2000]
    assert schedule.window("trace").end_ns == 3000 * MS


def test_one_row_needs_a_duration(tmp_path):
    trace = trace_of("time_s,loss\n0,0.5\n", tmp_path)
    with pytest.raises(InputError, match="give the step a duration"):
        replay(trace, ON)
    schedule = played(trace, length_s=2, wrap=True)
    assert [t // MS for t, _ in states(schedule)] == [0, 2000]


def test_linear_is_explicit_labelled_and_passes_through_the_rows(tmp_path):
    trace = trace_of("time_s,delay_ms,rate_mbit\n0,10,10\n1,20,5\n3,20,5\n", tmp_path)
    segments, note = replay(trace, ON, interpolation="linear", increment_s=0.1)
    assert "interpolated linearly in steps of 100 ms: what lies between" in note
    assert "interpolated" not in replay(trace, ON)[1]
    found = dict(states(played(trace, interpolation="linear", increment_s=0.1)))
    for i in range(11):
        state = found[i * 100 * MS]
        assert state.delay.mean_s == pytest.approx(0.010 + 0.001 * i)
        assert state.rate_bps == pytest.approx(10e6 - 0.5e6 * i)
    assert sum(segment.duration_s for segment in segments) == pytest.approx(5.0)


def test_there_is_nothing_linear_about_zero_rate_or_opportunities(tmp_path):
    for trace in (trace_of(CSV, tmp_path), mahimahi([1, 5], tmp_path)):
        with pytest.raises(InputError, match='use interpolation = "hold"'):
            replay(trace, ON, interpolation="linear")


BROKEN_CSV = {
    "empty": ("", None, "holds no rows"),
    "header only": ("time_s,loss\n", None, "holds no rows"),
    "no time": ("rate_bps,loss\n1,0\n", "line 1", "time_s"),
    "time alone": ("time_s\n1\n", "line 1", "is no header"),
    "unknown column": ("time_s,rtt_ms\n0,1\n", "line 1", "unknown column"),
    "unknown unit": ("time_s,rate_furlong\n0,1\n", "line 1: rate_furlong", "unknown unit"),
    "unknown loss": ("time_s,loss_db\n0,1\n", "line 1", "use loss or loss_%"),
    "no unit": ("time,delay_ms\n1,5\n", "line 2: time", "has no unit"),
    "column twice": ("time_s,rate_bps,rate_mbit\n0,1,1\n", "line 1", "comes twice"),
    "missing cell": ("time_s,rate_bps,loss\n0,1\n", "line 2", "2 cells, the header 3"),
    "empty cell": ("time_s,rate_bps,loss\n0,,0\n", "line 2: rate", "not a number"),
    "nan": ("time_s,rate_bps\n0,nan\n", "line 2: rate", "not a number"),
    "negative": ("time_s,delay_ms\n0,-1\n", "line 2: delay", "is negative"),
    "loss above one": ("time_s,loss\n0,1.5\n", "line 2: loss", "outside 0 to 1"),
    "back in time": ("# x\ntime_s,loss\n0,0\n2,0\n1,0\n", "line 5", "not after the row above"),
    "twice the same": ("time_s,loss\n0,0\n0,0\n", "line 3", "not after the row above"),
}


@pytest.mark.parametrize("case", BROKEN_CSV)
def test_a_broken_table_is_named(case, tmp_path):
    text, field, words = BROKEN_CSV[case]
    with pytest.raises(InputError) as caught:
        trace_of(text, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.field == field
    assert words in str(caught.value)


# Mahimahi


def test_one_per_millisecond_is_twelve_megabit(tmp_path):
    trace = mahimahi([1], tmp_path)
    assert trace.length_s == 0.001
    assert OPPORTUNITY_BYTES == 1504
    schedule = played(trace, length_s=1, wrap=True)
    changes = states(schedule)
    assert [t for t, _ in changes] == [0, 1000 * MS]
    assert changes[0][1].rate_bps == pytest.approx(1504 * 8 * 1000)
    assert changes[0][1].framing_bytes == 0  # an opportunity pays no Ethernet framing
    assert changes[-1][1] == BASE


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=60).map(sorted).filter(lambda t: t[-1] > 0),
    st.integers(1, 2000),
    st.sampled_from([0.001, 0.005, 0.05, 0.1, 0.3]),
)
def test_no_opportunity_is_lost_or_made(tmp_path_factory, times, length_ms, window_s):
    """The bits of all windows are those of the opportunities, counted one by one."""
    trace = mahimahi(times, tmp_path_factory.mktemp("t"), window_s=window_s)
    rows = windows(trace, length_ms / 1e3)
    edges = [round(row.t_s * 1e9) for row in rows] + [length_ms * MS]
    assert edges[0] == 0
    for row, start, end in zip(rows, edges, edges[1:], strict=False):
        assert end > start
        expected = 0
        for turn in range(length_ms // times[-1] + 1):
            for t in times:
                at = (turn * times[-1] + t) * MS
                expected += start < at <= end or (at == 0 and start == 0)
        assert row.rate_bps * (end - start) / 1e9 == pytest.approx(expected * BITS, abs=1e-3)


def test_a_window_without_opportunities_holds(tmp_path):
    trace = mahimahi([50, 100, 300], tmp_path)
    found = states(played(trace))
    assert [t // MS for t, _ in found] == [0, 100, 200, 300]
    assert [state.hold for _, state in found] == [False, True, False, False]
    assert [s.rate_bps for _, s in found if not s.hold] == pytest.approx(
        [2 * BITS / 0.1, BITS / 0.1, 100e6]
    )
    assert "rate over each 100 ms" in replay(trace, ON)[1]
    assert "their places in it are not" in replay(trace, ON)[1]
    assert "resolution 100 ms" in replay(trace, ON)[1]


def test_replayed_link_carries_what_the_trace_offers(tmp_path):
    """Full frames offered without end leave at the rate of the trace, window by window."""
    times = [t for t in range(1, 1001) for _ in range(2 if t <= 500 else 6)]
    trace = mahimahi(times, tmp_path)
    base = Impairment(queue_s=0.010)
    schedule = played(trace, base=base)
    law = DirectionLaw(schedule.of("primary", "to-patient"), seed=1, name="primary/to-patient")
    due = [law.offer(1000 * MS + i * MS // 8, OPPORTUNITY_BYTES) for i in range(8000)]
    left = [t - 1000 * MS for t in due if t >= 0]
    assert due.count(QUEUE_DROP) > 0
    for start_ms, end_ms, per_ms in ((100, 400, 2), (600, 900, 6)):
        count = sum(start_ms * MS <= t < end_ms * MS for t in left)
        assert count == pytest.approx(per_ms * (end_ms - start_ms), abs=per_ms * 2)


BROKEN_MAHIMAHI = {
    "empty": ("", "no delivery opportunity"),
    "comments only": ("# x\n", "no delivery opportunity"),
    "only zero": ("0\n0\n", "no delivery opportunity"),
    "fraction": ("1\n1.5\n", "line 2"),
    "word": ("1\nx\n", "one integer per line"),
    "negative": ("-1\n", "no whole millisecond"),
    "back in time": ("5\n3\n", "goes back in time"),
}


@pytest.mark.parametrize("case", BROKEN_MAHIMAHI)
def test_a_broken_mahimahi_trace_is_named(case, tmp_path):
    text, words = BROKEN_MAHIMAHI[case]
    with pytest.raises(InputError, match=words):
        trace_of(text, tmp_path, "mahimahi")


def test_windows_have_a_least_width(tmp_path):
    with pytest.raises(InputError, match="1ms or more"):
        mahimahi([1], tmp_path, window_s=0.0001)
    with pytest.raises(InputError, match="no such file"):
        read_trace(tmp_path / "none.csv", "csv")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_trace(tmp_path / "bad.csv", "csv")


# Both


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 3000), st.floats(0, 1e9), st.floats(0, 0.5), st.sampled_from([0, 0.1])
        ),
        min_size=2,
        max_size=20,
    ),
    st.floats(0.01, 30),
)
def test_a_replay_is_ascending_and_as_long_as_asked(tmp_path_factory, rows, length_s):
    t_ms, lines = 0, ["time_ms,rate_bps,delay_s,loss"]
    for gap_ms, rate_bps, delay_s, loss in rows:
        lines.append(f"{t_ms},{rate_bps!r},{delay_s!r},{loss}")
        t_ms += gap_ms
    trace = trace_of("\n".join(lines), tmp_path_factory.mktemp("t"))
    schedule = played(trace, length_s=length_s, wrap=True)
    window = schedule.window("trace")
    phases = len(window.phases)
    assert abs(window.end_ns - window.start_ns - length_s * 1e9) <= phases + 1
    for direction in DIRECTIONS:
        times = [t for t, _ in schedule.of("primary", direction)]
        assert times == sorted(set(times))
        assert schedule.of("primary", direction)[-1][1] == BASE
    assert all(math.isfinite(t) for t, _ in states(schedule))
