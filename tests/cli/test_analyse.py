"""``bench analyse`` as a user meets it: two captures in; bad input in one line, nothing written."""

import importlib.util
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

_FILE = Path(__file__).parents[1] / "studies" / "analyse_kit.py"
_spec = importlib.util.spec_from_file_location("analyse_kit", _FILE)
captures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(captures)
LOSS, DELAY = "000-t2-audio-loss", "000-t2-audio-delay"
THERE = ("--only", "> 10.0.0.2")
ECG = "000-t2-ecg-delay"


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    there, back = captures.stream(lost={9}), captures.back()
    return captures.save(tmp_path_factory.mktemp("pair"), there, back)


@pytest.fixture(scope="module")
def lossy(tmp_path_factory):
    there, back = captures.stream(lost=range(5, 400, 20)), captures.back()
    return captures.save(tmp_path_factory.mktemp("lossy"), there, back)


def test_lines_for_people(bench, pair):
    done = bench.call("analyse", *pair)
    assert done.code == 0, done.err
    assert not done.err
    lines = done.out.splitlines()
    assert lines[0].startswith("left: patient.pcap, 800 packets")
    assert "left-to-right" in lines
    assert "right-to-left" in lines
    stream = next(line for line in lines if "10.0.0.1:1000 >" in line)
    assert "sent 400, lost 1 " in stream
    assert "p99 5 ms" in stream


def test_a_table_on_a_terminal(pair):
    from io import StringIO

    from rich.console import Console

    from bench.report.analyse import print_analysis
    from bench.studies.analyse import Question, analyse

    data = analyse(*pair, Question()).to_json()
    wide = Console(file=StringIO(), force_terminal=True, width=230, color_system=None)
    print_analysis(data, console=wide)
    assert "IPDV p99" in wide.file.getvalue()
    narrow = Console(file=StringIO(), force_terminal=True, width=60, color_system=None)
    print_analysis(data, console=narrow)
    assert "p99 5 ms" in narrow.file.getvalue()  # as lines: no figure is ever cut


def test_json_alone_on_stdout(bench, pair):
    done = bench.call("analyse", *pair, "--json", "--survival", "50ms", "--deadline", "20ms")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [stream["lost"] for stream in found["streams"]] == [1, 0]
    assert found["streams"][0]["on_time"]["ratio"] == 399 / 400
    assert found["streams"][0]["availability"]["survival_s"] == 0.05
    assert found["verdicts"] == []


def test_parquet_and_html(bench, pair, tmp_path):
    table, page = tmp_path / "packets.parquet", tmp_path / "report.html"
    done = bench.call("analyse", *pair, "--parquet", table, "--html", page)
    assert done.code == 0, done.err
    assert str(table) in done.out
    fates = pq.read_table(table)["fate"].to_pylist()
    assert (fates.count("arrived"), fates.count("lost")) == (799, 1)
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "http" not in text.replace("http://www.w3.org", "").replace("http-equiv", "")


def test_verdicts_and_exit_codes(bench, pair, lossy):
    sure = (*THERE, "--clock-uncertainty", "1ms")
    done = bench.call("analyse", *lossy, "--require", LOSS, *sure)
    assert done.code == 1, done.err
    assert "FAIL" in done.out
    back = ("--only", "> 10.0.0.1", "--clock-uncertainty", "1ms")
    done = bench.call("analyse", *pair, "--require", DELAY, *back, "--json")
    assert done.code == 0, done.err
    (verdict,) = json.loads(done.out)["verdicts"]
    assert (verdict["verdict"], verdict["requirement"]) == ("PASS", DELAY)
    words = ("analyse", *pair, "--require", LOSS, *sure)
    assert bench.call(*words).code == 3
    assert bench.call(*words, "--allow-inconclusive").code == 0
    assert bench.call("analyse", *lossy, "--require", LOSS, "--require", DELAY, *sure).code == 1


def test_a_device_and_its_streams(bench, tmp_path):
    there = captures.stream(ports=(7006, 7006), payload=captures.wire("audio-to-doctor"))
    paths = captures.save(tmp_path, there, captures.back())
    done = bench.call(
        "analyse", *paths, "--device", "telesurgery-robot", "--require", LOSS,
        "--only", "audio-to-doctor",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "audio-to-doctor" in done.out


def test_one_capture(bench, pair):
    done = bench.call("analyse", pair[0], "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert list(found["captures"]) == ["left", "right"]
    assert found["captures"]["right"] is None
    assert len(found["streams"]) == 2
    done = bench.call("analyse", pair[0], "--require", LOSS)
    assert done.code == 2
    assert "--require" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "telesurgery"), ("unknown device", "telesurgery-robot")),
        (("--require", "000-t2-audio-los"), ("no such requirement", LOSS)),
        (("--require", "REC-1"), ("REC-1", "behaviour")),
        (("--require", LOSS), ("2 streams", "--only")),
        (("--require", ECG, "--only", "> 10.0.0.1"), ("to-doctor", "patient's side first")),
        (("--only", "nothing"), ("no stream", "10.0.0.1:1000")),
        (("--bin", "1"), ("--bin", "no unit")),
        (("--bin", "0s"), ("--bin", "zero")),
        (("--survival", "-1s"), ("--survival", "negative")),
        (("--clock-offset", "soon"), ("--clock-offset",)),
        (("--clock-uncertainty", "-1ms"), ("--clock-uncertainty", "negative")),
        (("--parquet", "none/x.parquet"), ("--parquet", "no folder")),
        (("--html", "."), ("--html", "folder")),
        (("--html", "x", "--parquet", "x"), ("--html", "another output")),
    ],
)
def test_bad_options_are_one_line(bench, kit, pair, tmp_path, words, said):
    done = bench.call("analyse", *pair, *words, cwd=tmp_path)
    kit.one_line(done, *said)
    assert not done.out
    assert not list(tmp_path.iterdir())


def test_an_output_is_never_an_input(bench, kit, pair):
    before = pair[0].read_bytes()
    for option in ("--parquet", "--html"):
        done = bench.call("analyse", *pair, option, pair[0])
        kit.one_line(done, option, "a capture to read")
    assert pair[0].read_bytes() == before


def bad_files(pair, folder):
    """Name: left, right, and what the one line says."""
    left, right = pair
    late = folder / "late.pcap"
    rows = captures.stream()[0]
    back_then = [(t - (10**10 if n > 200 else 0), frame) for n, (t, frame) in enumerate(rows)]
    made = {
        "empty": b"",
        "text": b"no capture at all, but a text",
        "header": captures.frames.pcap([]),
        "damaged": left.read_bytes()[:24] + b"\xff" * 400,
        "stepped": captures.frames.pcap(back_then),
        "stranger": captures.frames.pcap(captures.stream(hosts=("10.9.0.1", "10.9.0.2"))[1]),
    }
    files = {
        name: captures.frames.save(folder / f"{name}.pcap", data) for name, data in made.items()
    }
    captures.frames.save(late, captures.frames.pcap(captures.stream()[0]))
    right_only = captures.frames.save(
        folder / "later.pcap", captures.frames.pcap(captures.stream()[1])
    )
    return {
        "empty": (files["empty"], right, ("empty.pcap", "is empty")),
        "no capture": (left, files["text"], ("text.pcap", "not a capture")),
        "no packets": (left, files["header"], ("header.pcap", "no packets")),
        "damaged": (files["damaged"], right, ("damaged.pcap", "damaged")),
        "missing": (left, folder / "none.pcap", ("none.pcap", "no such file")),
        "folder": (folder, right, ("cannot be read",)),
        "clock set": (files["stepped"], right, ("stepped.pcap", "time goes back")),
        "no common packets": (left, files["stranger"], ("no packets in common",)),
        "wrong order": (right_only, late, ("other order",)),
        "twice": (left, left, ("twice",)),
        "a copy": (
            left,
            captures.frames.save(folder / "copy.pcap", left.read_bytes()),
            ("instant",),
        ),
    }


KINDS = (
    "empty", "no capture", "no packets", "damaged", "missing", "folder", "clock set",
    "no common packets", "wrong order", "twice", "a copy",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_bad_captures_are_one_line_and_nothing_is_written(bench, kit, pair, tmp_path, kind):
    folder = tmp_path / "captures"
    folder.mkdir()
    left, right, said = bad_files(pair, folder)[kind]
    outputs = tmp_path / "x.parquet", tmp_path / "x.html"
    done = bench.call("analyse", left, right, "--parquet", outputs[0], "--html", outputs[1])
    kit.one_line(done, *said)
    assert not done.out
    assert [each.name for each in tmp_path.iterdir()] == ["captures"]


def test_more_than_two_captures(bench, kit, pair):
    kit.one_line(bench.call("analyse", *pair, pair[0]), "3 captures")


def test_what_was_cut_short_is_used_and_said_but_backs_nothing(bench, pair, tmp_path):
    cut = captures.frames.save(tmp_path / "cut.pcap", pair[1].read_bytes()[:-3])
    done = bench.call("analyse", pair[0], cut, "--require", DELAY, *THERE,
                      "--clock-uncertainty", "1ms")  # fmt: skip
    assert done.code == 3, done.err
    assert "cut.pcap: the last record is cut" in done.out
    assert "ends inside a record" in done.out
