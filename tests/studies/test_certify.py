"""Certifying an emulator: the study on made-up emulators, and once on the real one."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

from bench.benches.fidelity.bench import FidelityBench
from bench.benches.fidelity.trial import Seen, Trial
from bench.commands.certify import certify_emulator
from bench.errors import InputError
from bench.measure import fidelity as fid
from bench.network.impairment import Delay, Impairment
from bench.report.fidelity import print_certificate
from bench.sessions.packets import ROW
from bench.studies import certify as study
from bench.studies.certificate import Certificate, Point
from bench.studies.certify import certify, short_proof
from bench.studies.certify_grid import FULL, QUICK, grid, lay, null_cell, seconds_of, trials_of
from instruments.emulators.base import DirectionReport, EmulatorReport
from tests.support.own_time import took_to_end

ROOT = Path(__file__).parents[2]
KEYS = {"backend", "kernel", "null", "rows", "envelope", "uncertainty"}
LATE_NS = 12_000


class MadeUp:
    """In place of the fidelity bench: an emulator that does what the law says, but for ``bend``.

    ``bend(trial, number, due_ns)`` may change each trial's due times; it answers them with what
    else the taps and the emulator then report.
    """

    backend, kernel, privilege = "userspace", "6.0-made-up", "root"
    refused = ""
    trials = 0

    def __init__(self, bend=None):
        self.bend = bend or (lambda trial, number, due_ns: (due_ns, {}))

    def __enter__(self):
        return self

    def __exit__(self, *rest):
        self.left = True

    def refusals(self, impairments):
        return [self.refused if each.hold else "" for each in impairments]

    def run(self, trial):
        self.trials += 1
        seed = trial.seed if self.backend == "userspace" else trial.seed + 1
        decided = fid.decide(trial.changes, seed, trial.name, trial.send_ns, trial.sizes)
        due, said = self.bend(trial, self.trials, decided.due_ns)
        copy = decided.copy_ns
        numbers = np.arange(len(due))
        seen = np.concatenate([numbers[due >= 0], numbers[copy >= 0]])
        at = np.concatenate([due[due >= 0], copy[copy >= 0]]) + LATE_NS
        at += said.pop("late_ns", 0)
        report = DirectionReport(
            "primary", "to-doctor", rx=len(due), tx=len(seen), accepted=len(seen), fates={},
            kernel_drops=said.pop("kernel_drops", 0),
        )  # fmt: skip
        values = {
            "near": rows(trial.send_ns, numbers, trial.sizes),
            "far": rows(at, seen, trial.sizes[seen]),
            "report": EmulatorReport(self.backend, (report,), ("a note",)),
            "tap_drops": 0, "foreign": 0, "clock_step_s": 0.0, "late_start": False,
            "scheduling": "fifo", "stalls_ns": np.empty((0, 2), np.int64),
        }  # fmt: skip
        return Seen(**{**values, **said})


def rows(t_ns, seq, size):
    made = np.zeros(len(t_ns), dtype=ROW)
    made["t_ns"], made["seq"], made["size"] = t_ns, seq, size
    return made


@pytest.fixture
def on(monkeypatch):
    """Certify on a made-up emulator."""

    def use(bench, **values):
        monkeypatch.setattr(study, "FidelityBench", lambda *args, **rest: bench)
        return certify("userspace", quick=True, **values)

    return use


def verdicts(found):
    return {row.name: row.verdict for row in (found.null, *found.rows)}


def test_a_cell_whose_state_came_after_its_first_packet_shows_nothing():
    laid = lay([null_cell(0.1), replace(null_cell(0.1), name="next")])
    place = laid.places[1]
    begin_ns = laid.changes[1][0]
    late = study._too_late(laid, {begin_ns: place.start_ns + 1}, place)
    assert late == "a change was commanded 50 ms late: the host delayed it"
    assert study._too_late(laid, {begin_ns: place.start_ns - 1}, place) == ""
    assert study._too_late(laid, {}, place) == ""


def test_a_host_that_holds_packets_up_into_the_next_cell_shows_nothing():
    assert study._runs_over(fid.quantiles(np.array([0, 49_000_000]))) == ""
    late = study._runs_over(fid.quantiles(np.array([0, 51_000_000])))
    assert late == "the unimpaired path held a packet up for 51 ms"


def test_an_emulator_that_follows_its_law_holds(on):
    told = []
    found = on(MadeUp(), tell=told.append)
    assert set(verdicts(found).values()) == {"holds"}
    assert (found.verdict, found.exit_code) == ("holds", 0)
    assert found.uncertainty()["delay_error_p99_s"] == pytest.approx(12e-6)
    assert found.inside_pps() == {64: 20_000, 1400: 20_000}
    assert found.notes == ("a note",)
    assert any("jitter normal: holds" in line for line in told)


def test_every_key_is_there_and_every_figure_finite(on):
    data = on(MadeUp()).to_json()
    assert set(data) >= KEYS
    keys = {frozenset(row) for row in (data["null"], *data["rows"])}
    assert len(keys) == 1
    json.dumps(data, allow_nan=False)
    names = [row["name"] for row in data["rows"]]
    assert len(names) == len(set(names)) == 16
    kinds = {row["kind"] for row in data["rows"]}
    assert kinds == {"path", "jitter", "loss", "rate", "reordering", "duplication", "step",
                     "outage", "hold"}  # fmt: skip


def late_once(until):
    """Every packet 3 ms late in the first trials."""

    def bend(trial, number, due):
        return due, {"late_ns": 3_000_000 * (number < until)}

    return bend


def test_what_the_host_spoilt_is_looked_at_again(on):
    bench = MadeUp(late_once(2))
    found = on(bench)
    assert found.verdict == "holds"
    tries = {row.name: row.tries for row in (found.null, *found.rows)}
    assert tries["null path"] == 2
    assert set(tries.values()) == {1, 2}


def test_a_host_that_is_always_late_is_inconclusive_and_figures_stay(on):
    found = on(MadeUp(late_once(99)))
    assert (found.verdict, found.exit_code) == ("inconclusive", 3)
    assert found.uncertainty()["delay_error_p50_s"] == pytest.approx(3.012e-3)
    assert "p99 lateness 3.012 ms" in found.envelope[0].reason
    assert [point.asked_pps for point in found.envelope] == [20_000, 20_000]
    assert found.inside_pps() == {64: None, 1400: None}


def test_another_fate_than_the_decided_one_fails(on):
    """And is not looked at again."""

    def bend(trial, number, due):
        lost = np.flatnonzero(due == -1)
        if len(lost):
            due = due.copy()
            due[lost[0]] = trial.send_ns[lost[0]] + 5_000_000
        return due, {}

    bench = MadeUp(bend)
    found = on(bench)
    row = next(row for row in found.rows if row.name == "loss Bernoulli")
    assert (row.verdict, row.tries, row.loss["difference"]) == ("fails", 1, 1)
    assert (found.verdict, found.exit_code) == ("fails", 1)


@pytest.mark.parametrize(
    ("said", "words", "drops"),
    [
        ({"tap_drops": 4}, "4 packets missed by a tap", {"taps": 4}),
        ({"kernel_drops": 3}, "3 packets dropped by the emulator", {"emulator": 3}),
        ({"late_start": True}, "not ready in time", {}),
        ({"clock_step_s": 0.5}, "clock was stepped", {}),
    ],
)
def test_what_spoils_a_trial_is_told_apart(on, said, words, drops):
    def bend(trial, number, due):
        return due, dict(said) if number == 1 else {}

    found = on(MadeUp(bend))
    assert found.verdict == "holds"  # the others, and the second try
    assert found.null.tries == 2
    assert {name: value for name, value in found.drops.items() if value} == drops
    always = on(MadeUp(lambda trial, number, due: (due, dict(said))))
    assert set(verdicts(always).values()) == {"inconclusive"}
    assert words in always.null.reason


def test_an_emulator_that_needs_longer_to_begin_gets_it(on):
    leads = []

    def bend(trial, number, due):
        leads.append(trial.lead_ns)
        return due, {"late_start": trial.lead_ns < 1_000_000_000}

    assert on(MadeUp(bend)).verdict == "holds"
    assert leads[:3] == [400_000_000, 800_000_000, 1_600_000_000]
    assert max(leads) == 1_600_000_000


def test_loss_on_the_way_is_neither_the_emulator_s_nor_the_tap_s(on):
    def bend(trial, number, due):
        return due, {"near": rows(trial.send_ns, np.arange(len(due)), trial.sizes)[:-2]}

    found = on(MadeUp(bend))
    assert set(verdicts(found).values()) == {"inconclusive"}
    assert "near tap did not see 2 packets" in found.null.reason
    far = MadeUp()
    run = far.run

    def less(trial):
        seen = run(trial)
        return replace(seen, far=seen.far[:-1])

    far.run = less
    found = on(far)
    assert found.drops["after_emulator"] > 0
    assert found.drops["emulator"] == found.drops["taps"] == 0
    assert "1 packets lost on the way from the emulator" in found.null.reason


def test_a_packet_right_at_a_change_makes_what_follows_uncertain(on):
    def bend(trial, number, due):
        sent = trial.send_ns.copy()
        edge = next((t for t, state in trial.changes if not state.up), None)
        if edge is not None:
            sent[np.searchsorted(sent, edge) - 1] = edge - 10_000
        return due, {"near": rows(sent, np.arange(len(due)), trial.sizes)}

    found = verdicts(on(MadeUp(bend)))
    assert found["outage"] == found["hold"] == "inconclusive"
    assert found["loss Bernoulli"] == found["step"] == "holds"


def test_a_backend_that_refuses_is_not_blamed(on):
    bench = MadeUp()
    bench.refused = "cannot hold packets"
    found = on(bench)
    row = next(row for row in found.rows if row.name == "hold")
    assert (row.verdict, row.reason) == ("not offered", "cannot hold packets")
    assert found.exit_code == 0


def test_other_draws_than_the_law_s_are_judged_by_distribution(on):
    bench = MadeUp()
    bench.backend = "netem"
    found = on(bench)
    assert (found.backend, found.verdict) == ("netem", "holds")
    row = next(row for row in found.rows if row.name == "loss Gilbert-Elliott")
    assert (row.draws_known, row.loss["difference"]) == (False, None)
    assert row.loss["low"] <= row.loss["observed"] <= row.loss["high"]
    assert set(found.inside_pps().values()) == {20_000}


def test_the_virtual_link_holds_everywhere():
    found = certify("virtual", quick=True)
    assert set(verdicts(found).values()) == {"holds"}
    assert found.envelope == ()
    assert found.uncertainty()["delay_error_max_s"] == 0.0


# ---- the grid


def test_the_grid_s_time_is_bounded():
    for effort, most_s in ((FULL, 240), (QUICK, 25)):
        cells = [null_cell(effort.null_s), *grid(effort)]
        trials = trials_of(cells, effort.trial_s)
        points_s = 2 * len(effort.rates_pps) * (effort.point_s + 1.3)
        assert sum(map(seconds_of, trials)) + points_s < effort.within_s < most_s
        assert [cell for trial in trials for cell in trial] == cells


def test_packets_never_go_at_a_change():
    laid = lay(grid(QUICK))
    for t_ns, _ in laid.changes:
        assert np.abs(laid.send_ns - t_ns).min() >= 100_000
    assert (np.diff(laid.send_ns) > 0).all()
    assert [place.first for place in laid.places][1:] == [place.end for place in laid.places][:-1]
    assert laid.end_ns > laid.send_ns[-1]


def test_each_cell_s_packets_meet_its_state():
    laid = lay(grid(QUICK))
    for place in laid.places:
        met = [state for t_ns, state in laid.changes if t_ns <= laid.send_ns[place.first]]
        assert met[-1] == place.cell.states[0][1]


# ---- the real one


@pytest.fixture(scope="module")
def real():
    """The short proof of the userspace emulator in namespaces of its own."""
    try:
        with FidelityBench("userspace", wait_s=120.0) as bench:
            lease = bench  # held, so that nobody comes between
            begin = time.monotonic()
            found = short_proof("userspace", 5, lease=False)
            took_s = time.monotonic() - begin
            cell = null_cell(0.2)
            laid = lay([cell])
            changes = ((0, Impairment(Delay(0.005))),)
            back = Trial("userspace", "to-patient", changes, laid.send_ns, laid.sizes,
                         laid.end_ns, 5)  # fmt: skip
            return found, took_s, lease.run(back), laid
    except InputError as error:
        reason = error.line()
    if "local" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.mark.real_time
def test_the_short_proof_is_short_and_decides_as_the_law(real):
    """Whatever the host did meanwhile: fates and no early packet; its time is its own bound."""
    found, took_s, _, _ = real
    assert took_s < 20  # 6 s on a host that has time
    assert [row.name for row in found.rows] == ["delay 20 ms", "jitter and loss", "step"]
    assert "fails" not in verdicts(found).values()
    assert found.verdict in ("holds", "inconclusive")
    assert found.envelope == ()


@pytest.mark.real_time
def test_the_other_direction_is_carried_too(real):
    *_, seen, laid = real
    passed = fid.passage(seen.near, seen.far, len(laid.send_ns))
    assert len(seen.near) == len(seen.far) == len(laid.send_ns)
    first, _, times = passed.arrivals()
    assert (times == 1).all()
    assert (first - passed.sent_ns).min() >= 5_000_000
    assert set(passed.size.tolist()) == {200}
    report = seen.report.direction("primary", "to-patient")
    assert report.rx == report.tx == len(laid.send_ns)


# ---- the command


def certificate(verdict_late=False):
    """A certificate out of the virtual link."""
    found = certify("virtual", quick=True)
    late = fid.Quantiles(100, 0.0, 1e-5, 2e-3, 3e-3, 4e-3)
    point = Point(64, 20_000, 20_001.0, late, 0, 0, False, "p99 lateness 2 ms")
    row = replace(found.rows[0], verdict="inconclusive", reason="too late", tries=2)
    if verdict_late:
        return replace(found, rows=(row, *found.rows[1:]), envelope=(point,))
    return found


def call(capsys, **options):
    with pytest.raises(typer.Exit) as ended:
        certify_emulator(**{"backend": "virtual", "quick": True, "seed": "7", "output": None,
                            "as_json": False, **options})  # fmt: skip
    out, err = capsys.readouterr()
    return ended.value.exit_code, out, err


def test_json_on_standard_output_is_json_only(capsys, tmp_path):
    file = tmp_path / "certificate.json"
    code, out, err = call(capsys, as_json=True, output=file)
    assert code == 0
    data = json.loads(out)
    assert set(data) >= KEYS
    assert json.loads(file.read_text()) == data
    assert "jitter normal: holds" in err


def test_people_get_every_row_and_the_verdict_last(capsys):
    code, out, err = call(capsys)
    assert code == 0
    lines = out.splitlines()
    assert sum(": holds" in line for line in lines) == 18
    assert lines[-1].startswith("virtual on kernel")
    assert "Traceback" not in err


def test_a_certificate_that_shows_nothing_ends_with_3(capsys, monkeypatch):
    found = certificate(verdict_late=True)
    monkeypatch.setattr(study, "certify", lambda *args, **rest: found)
    code, out, _ = call(capsys)
    assert code == 3
    assert "delay 0 ms: inconclusive, try 2" in out
    assert "too late" in out
    assert "outside: p99 lateness 2 ms" in out
    assert "below 1 ms at 64 bytes up to: none" in out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"backend": "wirefilter"}, ("--backend = 'wirefilter'", "virtual")),
        ({"seed": "-1"}, ("--seed",)),
        ({"output": Path("/no/such/folder/x.json")}, ("--output", "in no folder")),
        ({"output": ROOT}, ("--output", "is a folder")),
    ],
)
def test_bad_input_ends_with_2_and_one_line(capsys, options, parts):
    code, out, err = call(capsys, **options)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    for part in parts:
        assert part in err


def test_the_worst_row_is_the_verdict():
    found = certificate()
    assert isinstance(found, Certificate)
    order = ("holds", "inconclusive", "fails")
    for worst, code in zip(order, (0, 3, 1), strict=True):
        made = replace(found, rows=tuple(replace(found.rows[0], verdict=v)
                                         for v in order[: order.index(worst) + 1]))  # fmt: skip
        assert (made.verdict, made.exit_code) == (worst, code)


def test_the_table_of_a_terminal_has_the_same_rows():
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    print_certificate(certificate(verdict_late=True).to_json(), console)
    text = console.file.getvalue()
    for word in ("jitter paretonormal", "hold, then release", "inconclusive", "too late"):
        assert word in text


MAIN = """
import sys
from bench import cli
from bench.commands.certify import certify_emulator
cli.app.command(name="certify-under-test")(certify_emulator)
cli.main()
"""


@pytest.mark.real_time
def test_ctrl_c_ends_it_and_all_its_processes(real):
    """Also where SIGINT came in ignored, as for a command in the background."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "certify-under-test", "--backend", "userspace", "--quick"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    try:
        said = ""
        while "null path" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        time.sleep(0.3)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        took_s = took_to_end(process.pid, begin)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert took_s < 10  # 2 s on a host that has time
    assert not _left(process.pid)


def _left(parent, within_s=5.0):
    """Processes that still name ``parent`` on their command line."""
    deadline = time.monotonic() + within_s
    while True:
        there = []
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (OSError, NotADirectoryError):
                continue
            if b"bench.benches.fidelity" in words and str(parent).encode() in words:
                there.append(folder.name)
        if not there or time.monotonic() > deadline:
            return there
        time.sleep(0.05)
