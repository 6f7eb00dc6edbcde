"""Terminal table and live display: plain lines without a terminal, a bounded display on one."""

import io
import threading

import pytest
from rich.console import Console

from bench.benches.base import Progress
from bench.benches.check import Finding
from bench.report.data import WATERMARK, report_data
from bench.report.live import HEARTBEAT_S, LiveDisplay
from bench.report.terminal import findings_table, print_summary, print_verdicts, verdict_table
from bench.sessions.recording import Event


def console(terminal, width=140):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, color_system=None,
        legacy_windows=False, _environ={"TERM": "xterm"},
    )  # fmt: skip


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def progress(t_s, step="settle", role="within", streams=None, session="s1"):
    return Progress(session, "delay-ramp", step, role, t_s, 9.0, streams or {})


def alarm(t_s, on=True, name="network-delay"):
    value = {"alarm": name, "priority": "medium", "on": on}
    return Event(round(t_s * 1e9), "doctor", "signal", "alarm-signal", value)


# ---- verdicts --------------------------------------------------------------------------------


def test_plain_lines_one_per_verdict_then_scope_then_answer_then_path(report):
    out = console(terminal=False)
    print_verdicts(report, "results/x/report.html", console=out)
    lines = out.file.getvalue().splitlines()
    assert lines[0] == (
        "PASS         KPI-T2-force-delay haptic-command: 2.610 ± 0.076 ms, limit < 10 ms, "
        "margin +7.39 ms, n 36\u202f000: upper bound + U is below the limit"
    )
    assert sum(line.startswith("FAIL ") for line in lines) == 1
    assert [line for line in lines if line.startswith("not tested")][1] == (
        "not tested   KPI-T2-vibration-ipdv force-feedback: this host's noise floor cannot "
        "resolve the limit (floor p99 1.9 ms, limit 2 ms)"
    )
    assert lines[-3].startswith("Of 22 verdicts 1 is FAIL; 1 is ERROR")
    assert lines[-2:] == [WATERMARK, "Report: results/x/report.html"]
    assert "\x1b" not in out.file.getvalue()


@pytest.mark.parametrize("width", [200, 120, 100, 80, 50])
def test_the_table_never_cuts_a_figure_and_the_path_stays_whole(report, width):
    out = console(terminal=True, width=width)
    path = "/a/" + "long/" * 30 + "report.html"
    print_verdicts(report, path, console=out)
    text = out.file.getvalue()
    assert "2.610 ± 0.076 ms" in text
    assert "gap was intended 110 ms and achieved 142 ms" in " ".join(text.split())
    assert text.rstrip().endswith(f"Report: {path}")
    for line in text.splitlines():
        if line.startswith("KPI-T2-force-delay") and "<" in line:
            assert "< 10 ms" in line


def test_columns_give_way_before_figures_do(report):
    heads = {}
    for width in (180, 112, 60):
        out = console(terminal=True, width=width)
        print_verdicts(report, None, console=out)
        heads[width] = out.file.getvalue().splitlines()[0].split()
    assert heads[180][-1] == "reason"
    assert heads[112][:4] == ["requirement", "stream", "verdict", "value"]
    assert "reason" not in heads[112]
    assert heads[60][0] == "PASS"  # too narrow for a table: lines


def test_an_empty_run_prints_its_answer():
    for terminal in (True, False):
        out = console(terminal)
        print_verdicts(report_data({}), None, console=out)
        assert "The run is incomplete." in out.file.getvalue()


def test_what_a_device_says_cannot_drive_the_terminal(report):
    verdict = dict(report.verdicts[0], reason="\x1b[2J[red]x[/red]\x07", verdict="FAIL")
    for terminal in (True, False):
        out = console(terminal)
        print_verdicts(report_data({}, verdicts=[verdict]), None, console=out)
        assert "\x1b[2J" not in out.file.getvalue()
        assert "\x07" not in out.file.getvalue()
        assert "[red]x[/red]" in out.file.getvalue()


def test_summary_and_table_from_the_types_of_the_judge(sample, report):
    judged = sample.verdicts({r.scenario: r.session_id for r in report.recordings})
    for terminal in (True, False):
        out = console(terminal)
        print_summary(judged, report.scope, "r.html", console=out)
        text = out.file.getvalue()
        assert "is FAIL" in text
        assert "incomplete" not in text
        assert text.endswith("Report: r.html\n")
        out = console(terminal)
        verdict_table(judged, report.scope, console=out)
        assert "SW-1" in out.file.getvalue()
        assert "not tested" in out.file.getvalue().lower()
        assert "is FAIL" not in out.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_findings_show_figure_meaning_and_remedy(terminal):
    found = [
        Finding("network namespaces", "ok", "can be made", "local bench"),
        Finding("netem", "missing", "no sch_netem", "local uses userspace", "modprobe sch_netem"),
    ]
    out = console(terminal)
    findings_table(found, console=out)
    lines = [line.rstrip() for line in out.file.getvalue().splitlines()]
    assert lines == [
        "ok        network namespaces: can be made",
        "          local bench",
        "missing   netem: no sch_netem",
        "          local uses userspace",
        "          remedy: modprobe sch_netem",
    ]


# ---- live ------------------------------------------------------------------------------------


def test_plain_live_lines_per_step_and_alarm_and_a_rare_heartbeat():
    clock, out = Clock(), console(terminal=False)
    with LiveDisplay(out, sessions=2, clock=clock) as live:
        live.session_started("s1", "Delay ramp")
        for tenth in range(60):
            clock.now += 0.1
            live.progress(progress(tenth / 10))
        live.progress(progress(6.0, "ramp", "beyond"))
        live.event(alarm(6.2))
        live.event(Event(1, "patient", "contact", "motion", 1))
        clock.now += HEARTBEAT_S
        streams = {"haptic-command": (0.0023, 0.001), "video-2d": (None, 0.0)}
        live.progress(progress(8.0, "ramp", "beyond", streams))
        live.progress(progress(8.1, "ramp", "beyond", streams))
    assert out.file.getvalue().splitlines() == [
        "[   0.0 s] session 1 of 2 s1: Delay ramp",
        "[   0.1 s]   step settle (within), at 0.0 of 9.0 s",
        "[   6.0 s]   step ramp (beyond), at 6.0 of 9.0 s",
        "[   6.0 s]   6.20 s doctor: alarm network-delay (medium)",
        "[  16.0 s]   step ramp (beyond), haptic-command 2.3 ms lost 0.1\u00a0%, "
        "video-2d — lost 0\u00a0%, at 8.0 of 9.0 s",
    ]


def test_the_terminal_is_redrawn_at_most_five_times_a_second():
    clock, out = Clock(), console(terminal=True)
    with LiveDisplay(out, sessions=1, clock=clock) as live:
        live.session_started("s1")
        drawn = []
        for _ in range(100):
            clock.now += 0.01
            before = out.file.tell()
            live.progress(progress(1.0, streams={"haptic-command": (0.0023, 0.02)}))
            drawn.append(out.file.tell() > before)
        assert 4 <= sum(drawn) <= 6
        clock.now += 1
        live.event(alarm(1.0))
    text = out.file.getvalue()
    for words in ("session 1 of 1", "haptic-command", "2.3 ms", "2\u00a0%", "settle", "(within)",
                  "alarm network-delay (medium)"):  # fmt: skip
        assert words in text


def test_ctrl_c_restores_the_terminal_and_starts_no_thread():
    out, before = console(terminal=True), threading.active_count()
    live = LiveDisplay(out)

    def interrupted():
        with live:
            live.progress(progress(1.0))
            assert threading.active_count() == before
            assert "\x1b[?25l" in out.file.getvalue()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert out.file.getvalue().rindex("\x1b[?25h") > out.file.getvalue().rindex("\x1b[?25l")
    live.close()
    live.event(alarm(1.0))  # late news after the end are harmless


def test_a_new_session_is_noticed_from_progress_alone():
    out = console(terminal=False)
    with LiveDisplay(out, clock=Clock()) as live:
        live.progress(progress(0.0))
        live.progress(progress(0.0, session="s2"))
    assert [line.split("] ")[1] for line in out.file.getvalue().splitlines()] == [
        "session 1 s1: delay-ramp",
        "  step settle (within), at 0.0 of 9.0 s",
        "session 2 s2: delay-ramp",
        "  step settle (within), at 0.0 of 9.0 s",
    ]
