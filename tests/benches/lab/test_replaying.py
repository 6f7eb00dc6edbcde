"""Sessions in a laboratory whose instruments fail, carried out again from the transcript."""

from __future__ import annotations

import errno
import json
from contextlib import suppress

import pytest

from bench.benches.base import BenchError, Nowhere
from bench.benches.lab.bench import LabBench
from bench.benches.lab.chapters import FILE, Chapters
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.replaying import replay
from bench.devices.registry import find_device
from bench.errors import InputError
from bench.network.library.coexistence import one_exposure
from bench.network.radio.exposure import Exposure
from bench.sessions.recording import Session
from instruments.visa.transcript import check_entries, read_transcript
from tests.support.bench_files import written

ROBOT = find_device("tele-ultrasound-robot")
assert ROBOT.radio is not None
LTE = Exposure("lte20", 3.5e9, -78.0, 18e6)
SCENARIO = one_exposure(ROBOT.radio, LTE, 0.5, 0.5)
PATHS = "[[simulated.paths]]"
QUICK = ('reply = "5s"', 'reply = "300ms"')


def run_twice(file, folder):
    """Two sessions in one laboratory, its transcript kept; whether each came to its end."""
    ended = []
    with LabBench(file) as bench:
        bench.keep_in(folder)
        for seed in (7, 8):
            with suppress(BenchError):
                bench.run(Session("coexistence", ROBOT, SCENARIO, seed), Nowhere())
                ended.append(seed)
    return ended


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ('generator = ["late@FREQ?x1"]', {"DeadlinePassed"}),
        ('generator = ["drop@FREQ?x1"]', {"LinkLost", "DeadlinePassed"}),
        ('generator = ["half@FREQ?x1"]', {"DeadlinePassed"}),
        ('analyser = ["no-result@TRAC?x1"]', {"NotAResult"}),
        ('generator = ["drift=-3@POW?x1"]', {"Unverified"}),
        ('attenuator = ["mute@ATT?x1"]', set()),
    ],
)
def test_what_failed_fails_again_in_the_same_way(tmp_path, fault, raised) -> None:
    file = written(tmp_path, QUICK, QUICK, QUICK, (PATHS, f"[simulated.faults]\n{fault}\n{PATHS}"))
    try:
        ended = run_twice(file, tmp_path)
    except BenchError:  # it was struck while it was taken
        pytest.skip("the laboratory could not be taken")
    entries = read_transcript(tmp_path / FILE)
    notes = [json.loads(entry.data) for entry in entries if entry.role == "laboratory"]
    kinds = {note["raised"] for note in notes if "raised" in note}
    assert not raised or raised & kinds
    again = replay(load_bench_file(file), tmp_path / FILE)
    assert again.differences == ()
    assert again.ends == ""
    assert sum(again.messages.values()) == sum(entry.kind == "tx" for entry in entries)
    assert again.actions == sum("came" in note or "raised" in note for note in notes) > 5
    assert len(again.sessions) == 2
    assert 8 in ended


def test_a_chapter_is_a_transcript_of_its_own_and_the_whole_is_one_too(tmp_path) -> None:
    chapters = Chapters()
    chapters.add("a", "tx", b"1")
    chapters.keep_in(tmp_path)
    chapters.add("a", "rx", b"2")
    first = chapters.cut()
    chapters.add("b", "tx", b"3")
    second = chapters.cut()
    assert [one["data"] for one in first] == ["1", "2"]
    assert [one.data for one in check_entries(second)] == ["3"]
    assert [entry.data for entry in read_transcript(tmp_path / FILE)] == ["1", "2", "3"]
    assert [one["t_ns"] for one in (*first, *second)] == [e["t_ns"] for e in chapters.entries]
    other = Chapters()
    other.add("a", "tx", b"4")
    other.keep_in(tmp_path)
    assert read_transcript(tmp_path / "transcript-2.jsonl")[0].data == "4"


class Full:
    """A file on a full disk: half a line goes into it."""

    def write(self, line: bytes) -> int:
        return len(line) // 2

    def close(self) -> None:
        pass


def test_a_full_disk_does_not_stand_in_the_way_of_the_instruments(tmp_path) -> None:
    chapters = Chapters()
    chapters.keep_in(tmp_path)
    chapters.add("a", "tx", b"1")
    chapters._file = Full()
    chapters.add("a", "tx", b"RF off")  # raises nothing
    chapters.add("a", "rx", b"2")
    with pytest.raises(OSError, match="space") as caught:
        chapters.cut()
    assert caught.value.errno == errno.ENOSPC
    assert len(chapters.entries) == 3


def test_a_transcript_that_tells_nothing_is_refused(tmp_path) -> None:
    chapters = Chapters()
    chapters.keep_in(tmp_path)
    chapters.add("generator", "open")
    with pytest.raises(InputError, match="does not tell what was done"):
        replay(load_bench_file(written(tmp_path)), tmp_path / FILE)
