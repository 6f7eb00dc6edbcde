"""The HTML report: whole, self-contained, escaped, and honest about what is missing."""

import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bench.judge.verdict import Outcome
from bench.report.data import WATERMARK, report_data
from bench.report.html import render, write_html
from bench.sessions.packets import ROW, PacketTable
from bench.sessions.recording import Event, Health

VOID = {"meta", "br", "col", "link", "img", "input", "hr"}
LOADS = {"src", "href", "xlink:href", "data", "poster", "srcset", "action"}


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.style = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.style if self.open and self.open[-1] in ("style", "script") else self.words).append(
            data
        )

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def having(self, name):
        return [attrs for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def page(report):
    return Page(render(report))


def test_every_requirement_judged_is_in_the_table_with_its_verdict(report, page):
    rows = page.having("data-requirement")
    assert [row["data-requirement"] for row in rows] == [v["requirement"] for v in report.verdicts]
    classes = {row["data-requirement"]: row["class"] for row in rows}
    assert classes["SW-1"] == "fail"
    assert classes["MOB-1"] == "inconclusive"
    assert classes["LIM-2"] == "error"
    assert len({row["id"] for row in rows}) == len(rows)
    for word in Outcome:
        assert word.value in page.text


def test_a_row_holds_figures_source_reading_and_rivals(page):
    for words in (
        "2.610 ± 0.076 ms",
        "< 10 ms",
        "+7.39 ms",
        "guard band w = U, 95 %",
        "3-10ms , Research report on remote medical devices (CAICT, 2023), table 2, row force",
        "the strictest end for every motion",
        "self-reported",
        "Against the manufacturer's declaration",
        "the gap never ended: no command arrived after the outage began",
    ):
        assert words in page.text


def test_only_a_pass_says_what_its_trials_show(page):
    passed = page.text.count(" shows a success probability of at least 5 % at 95 % confidence")
    assert passed == 6  # of nine behaviours one each is FAIL, ERROR, INCONCLUSIVE


def test_the_watermark_is_on_the_page_and_on_every_printed_page_and_in_every_plot(report, page):
    assert page.text.count(WATERMARK) >= 2 + len(report.recordings)
    style = "".join(page.style)
    assert f'@top-center {{ content: "{WATERMARK}"' in style
    assert re.search(r"\.watermark \{[^}]*position: fixed", style)


def test_a_real_device_carries_no_watermark(report):
    real = [
        dataclasses.replace(r, device=dataclasses.replace(r.device, machine=""))
        for r in report.recordings[:1]
    ]
    data = dataclasses.replace(report, recordings=tuple(real))
    assert WATERMARK not in render(data)


def test_a_device_that_nobody_knows_counts_as_simulated(report):
    assert WATERMARK in render(dataclasses.replace(report, recordings=()))


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attrs in page.tags:
        for name in LOADS & attrs.keys():
            assert attrs[name].startswith("#"), (tag, name, attrs[name])
        assert tag not in ("link", "img", "iframe", "object", "embed")
    style = "".join(page.style)
    assert "@import" not in style
    assert not re.search(r"url\((?!#)", style)
    assert "http" not in page.text


def test_what_was_not_tested_is_listed_with_reason_and_figure(report, page):
    listed = [attrs["data-out-of-scope"] for attrs in page.having("data-out-of-scope")]
    assert listed == [item["requirement"] for item in report.out_of_scope]
    assert "this host's noise floor cannot resolve the limit" in page.text
    assert "floor p99 1.9 ms, limit 2 ms" in page.text


def test_every_session_has_its_plot_and_the_plots_say_what_happened(report, page):
    assert [a["data-session"] for a in page.having("data-session")] == [
        r.session_id for r in report.recordings
    ]
    plots = [a["aria-label"] for tag, a in page.tags if tag == "svg"]
    assert len(plots) == len(report.recordings) + 1  # and the distributions
    for words in (
        "doctor: network-interrupted, high",
        "patient: state (log)",
        "motion (contact)",
        "brake (contact)",
        "bench: local-stop",
        "beyond",
        "patient: link in use (log)",
        "the device acts above 10 ms",
        "share above",
    ):
        assert words in page.text


def test_the_stimulus_that_was_not_achieved_stands_out(page):
    assert "held 142 ms, intended 110 ms" in page.text
    assert "18 of 20 checked states achieved within tolerance" in page.text


def test_head_budget_floor_limits_and_commands(page):
    for words in (
        "simulated by the bench",
        "userspace emulator",
        "content hash",
        "no order data given",
        "noise floor, p99 minus p50",
        "IPDV p99",
        "Radio events are IP-level surrogates: handover (nr-handover)",
        "bench verify results/20250301-101500-therapy-7f3a",
        "bench judge results/20250301-101500-therapy-7f3a",
    ):
        assert words in page.text


def test_ten_sessions_stay_far_below_the_size_limit(report):
    assert len(render(report).encode()) < 3_000_000


def test_the_same_run_gives_the_same_file(report):
    few = dataclasses.replace(report, recordings=report.recordings[1:3])
    assert render(few) == render(dataclasses.replace(few))


def test_a_full_run_shows_every_scenario_and_stays_bounded(report, monkeypatch):
    monkeypatch.setattr("bench.report.sessions.MOST_PLOTS", 3)
    one, two = report.recordings[6:8]
    trials = tuple(dataclasses.replace(one, session_id=f"{one.session_id}-{i}") for i in range(9))
    data = dataclasses.replace(report, recordings=(*trials, two))
    page = Page(render(data))
    assert len(page.having("data-session")) == 10
    plots = [a["aria-label"] for tag, a in page.tags if tag == "svg"]
    assert len(plots) == 3
    assert any(two.session_id in label for label in plots)
    assert "Of the other 7," in page.text


# ---- hostile and missing data ----------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>\"'&$x^2$\x1b[31m</style>{{ 7*7 }}"


def test_hostile_text_stays_text(sample, report):
    verdict = dict(report.verdicts[0])
    verdict |= dict.fromkeys(("requirement", "stream", "reason", "reading", "session"), HOSTILE)
    recording = report.recordings[5]
    profile = recording.device
    streams = tuple(dataclasses.replace(s, name=HOSTILE + s.name) for s in profile.streams)
    alarm = {"alarm": HOSTILE, "priority": HOSTILE, "on": True}
    recording = dataclasses.replace(
        recording,
        session_id=HOSTILE,
        scenario=HOSTILE,
        device=dataclasses.replace(profile, title=HOSTILE, streams=streams),
        events=(*recording.events, Event(1, "patient", "signal", "alarm-signal", alarm)),
        health=Health(notes=(HOSTILE,)),
    )
    item = {"requirement": HOSTILE, "in_scope": False, "reason": HOSTILE, "figure": HOSTILE}
    run = sample.run_record(run=HOSTILE, host=HOSTILE, surprise={HOSTILE: [HOSTILE]})
    data = report_data(
        run,
        verdicts=[verdict],
        scope=[item],
        recordings=[recording],
        stimuli=[[dict.fromkeys(("step", "phase", "intended", "reason"), HOSTILE)]],
    )
    text = render(data)
    page = Page(text)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert sum(tag == "style" for tag, _ in page.tags) == 1 + text.count("<svg ")
    assert "alert(1)" not in "".join(page.style)
    assert "alert(1)" in page.text
    assert "&$x^2$ [31m</style>{{ 7*7 }}haptic-command" in page.text  # a legend, not a formula
    assert "\x1b" not in text


def test_a_killed_run_is_reported_as_far_as_it_came(sample, report):
    run = {"run": "x", "completion": "incomplete", "scope": report.scope}
    page = Page(render(report_data(run, verdicts=report.verdicts[:2])))
    assert "Incomplete run" in page.text
    assert f"{len(report.unanswered) + 20} in scope have no verdict" in page.text
    assert "All" not in page.text.split("Summary")[2][:40]
    assert "In scope, without a verdict" in page.text


def test_an_empty_run_is_reported(report):
    page = Page(render(report_data({})))
    assert "The run is incomplete." in page.text
    assert "No requirement was judged." in page.text
    assert "No session was recorded." in page.text


def test_nothing_reads_as_passed_while_anything_is_open(sample, report):
    passed = [v for v in report.verdicts if v["verdict"] == "PASS"]
    complete = {"completion": "complete"}
    assert "are PASS" in report_data(complete, verdicts=passed).answer()
    for run, verdicts, scope in (
        ({"completion": "incomplete"}, passed, ()),
        (complete, passed, report.scope),
        (complete, [*passed, dict(passed[0], verdict="INCONCLUSIVE")], ()),
        (complete, [*passed, dict(passed[0], verdict="GREAT")], ()),
        (complete, (), ()),
    ):
        data = report_data(run, verdicts=verdicts, scope=scope)
        assert "All" not in data.answer()
        assert "are PASS" not in data.answer()


def test_recordings_without_packets_or_events(report):
    recording = dataclasses.replace(report.recordings[0], packets=PacketTable(np.zeros(0, ROW)))
    bare = dataclasses.replace(recording, events=(), session_id="bare")
    page = Page(render(dataclasses.replace(report, recordings=(recording, bare))))
    assert "no packet was seen at both taps" in page.text
    assert "Nothing was recorded in this session" in page.text
    assert "Stimulus: not checked" in page.text


def test_figures_that_are_missing_are_dashes(report):
    odd = dict.fromkeys(report.verdicts[0]) | {"requirement": "X", "verdict": "ERROR"}
    nan = dict(report.verdicts[0], value=float("nan"), margin=float("nan"), uncertainty=None)
    page = Page(render(report_data({}, verdicts=[odd, nan, {}])))
    assert "nan" not in page.text.lower().replace("covenant", "")
    assert "no reason was recorded" in page.text


def test_the_file_appears_whole_or_not_at_all(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_html(report_data({}), path)
    before = path.read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_html(report, path)
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
