"""The report of two captures: nothing averaged away, nothing from outside unescaped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.pairing import MISSING, Flow
from bench.report import analyse_html
from bench.report.analyse_html import Series, render, write_analysis
from bench.report.analyse_series import PIXELS, drawn

START = 1_700_000_000_000_000_000
MS = 1_000_000


def flow(delays_ms, *, period_ms=1, fates=None, size=100):
    """``fates``: a character per packet: a arrived, l lost, f in flight, x ambiguous."""
    n = len(delays_ms)
    fates = np.array(list(fates or "a" * n))
    sent = START + np.arange(n) * period_ms * MS
    delays_ns = (np.asarray(delays_ms) * MS).astype(np.int64)
    received = np.where(fates == "a", sent + delays_ns, MISSING)
    return Flow(
        sent, received, np.arange(n), np.zeros(n, dtype=np.int64), np.full(n, size),
        in_flight=fates == "f", duplicates=0, unmatched=0, reordered=0, ambiguous=fates == "x",
        earliest_ns=received, latest_ns=received, may_be_lost=fates == "x",
    )  # fmt: skip


@given(
    st.lists(st.floats(0.1, 500), min_size=1, max_size=3000),
    st.integers(1, 40),
)
def test_every_peak_is_drawn(delays_ms, period_ms):
    there = flow(delays_ms, period_ms=period_ms)
    found = drawn("video", "left-to-right", there, 1.0)
    assert len(found.delay.t_s) == PIXELS
    assert np.nanmax(found.delay.high_s) == there.delay_s.max()
    assert np.nanmin(found.delay.low_s) == there.delay_s.min()
    assert found.above_x[-1] == there.delay_s.max()
    assert found.above[0] == 1.0


@given(st.text("alfx", min_size=1, max_size=1500))
def test_the_longest_loss_period_is_drawn(fates):
    there = flow([5.0] * len(fates), fates=fates)
    found = drawn("video", "left-to-right", there, 1.0)
    settled = fates.replace("f", "").replace("x", "")
    runs = [len(run) for run in settled.split("a") if run]
    assert found.period_count == len(runs)
    assert (found.periods.max() if len(found.periods) else 0) == max(runs, default=0)
    assert found.left_out == fates.count("f") + fates.count("x")
    if "a" in settled:  # losses stay above the largest delay
        assert found.above[-1] == pytest.approx((settled.count("l") + 1) / len(settled))


@given(st.integers(2, 5000), st.sampled_from([0.01, 0.1, 1.0, 7.0]))
def test_rates_hold_every_bit_in_whole_bins(n, bin_s):
    there = flow([5.0] * n, fates="".join("l" if k % 7 == 3 else "a" for k in range(n)))
    found = drawn("video", "left-to-right", there, bin_s)
    assert len(found.rate_t) <= PIXELS + 1
    assert found.bin_s / bin_s == pytest.approx(round(found.bin_s / bin_s))
    widths = np.full(len(found.rate_t), found.bin_s)
    widths[-1] = found.span_s - found.bin_s * (len(widths) - 1)
    assert (found.sent_bps * widths).sum() == pytest.approx(800 * n)
    assert (found.got_bps * widths).sum() == pytest.approx(800 * there.arrived.sum())


def data(*names):
    spread = dict.fromkeys(("min", "p50", "p99", "p999", "max", "mean"), 0.005)
    counts = dict.fromkeys(
        ("lost", "duplicated", "reordered", "ambiguous", "unmatched", "in_flight"), 0
    )
    one = {
        "direction": "left-to-right", "links": 1, "sent": 9, "loss": 0.0, "delay": spread,
        "ipdv_p99": None, "rfc3550_jitter": None, "throughput": 1e6, "longest_gap": 0.02,
        "problems": [], **counts,
    }  # fmt: skip
    side = {"file": "a<b>.pcap", "packets": 9, "sha256": "0" * 64}
    clock = {"offset_s": 0.0, "uncertainty_s": None, "origin": "", "drift": None}
    return {
        "captures": {"left": side, "right": side}, "clock": clock, "verdicts": [],
        "streams": [{"stream": name, **one} for name in names], "notes": ["<script>"],
    }  # fmt: skip


def test_what_comes_from_outside_is_escaped_and_all_is_inside_the_file(tmp_path):
    series = Series(1.0)
    series.add("<b>bold</b>", "left-to-right", flow([5.0, 6.0]))
    page = tmp_path / "report.html"
    write_analysis(page, data("<b>bold</b>"), series, {})
    text = page.read_text()
    assert "<b>" not in text
    assert "<script" not in text
    assert "a&lt;b&gt;.pcap" in text
    assert text.count("<svg") == 1
    assert "src=" not in text
    assert "@import" not in text


@pytest.mark.parametrize("fates", ["lll", "fff", "xxx", "a"])
def test_streams_without_arrivals_are_drawn_too(fates):
    series = Series(1.0)
    series.add("quiet", "left-to-right", flow([5.0] * len(fates), fates=fates))
    assert "<svg" in render(data("quiet"), series, {})


def test_the_streams_with_the_most_packets_are_drawn(monkeypatch):
    monkeypatch.setattr(analyse_html, "MOST_PLOTS", 2)
    series = Series(1.0)
    for name, count in (("few", 3), ("most", 9), ("fewest", 2), ("more", 6)):
        series.add(name, "left-to-right", flow([5.0] * count))
    assert [each.name for each in series.of("left-to-right")] == ["most", "more"]
    assert series.left_out == 2
    assert "2 streams with fewer packets" in render(data("few"), series, {})
