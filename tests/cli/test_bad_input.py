"""Bad input: one clear line, exit 2, no traceback, nothing half-made."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

PROFILE = Path(__file__).parents[2] / "bench" / "devices" / "data" / "telesurgery-robot.toml"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--device=nope"], ["--device", "nope", "telesurgery-robot"]),
        (["--device=nope.toml"], ["nope.toml", "no such file"]),
        (["--device=nope.py:robot"], ["nope.py", "no such file"]),
        (["--bench=lunar"], ["--bench", "lunar", "virtual"]),
        (["--option=video-4d"], ["--option", "video-4d", "video-3d"]),
        (["--defect=gremlins"], ["--defect", "gremlins", "silent-outage"]),
        (["--defect=late-alarm=3"], ["late-alarm", "unit"]),
        (["--defect=silent-outage=3s"], ["silent-outage", "no size"]),
        (["--only=MON2"], ["--only", "MON2", "MON-2"]),
        (["--seed=seven"], ["--seed", "seven", "whole number"]),
        (["--seed=-1"], ["--seed", "-1", "whole number"]),
        (["--seed=\N{SUPERSCRIPT TWO}"], ["--seed", "whole number"]),
        (["--seed=4294967296"], ["--seed", "whole number"]),
        (["--certify"], ["--certify", "simulated"]),
        (["--certify", "--allow-inconclusive"], ["--allow-inconclusive", "--certify"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_option_that_cannot_be_used(bench, kit, words, parts):
    done = bench.run(*words)
    kit.one_line(done, *parts)
    assert done.out == ""
    assert not done.results.exists()


def test_unknown_plan(bench, kit):
    kit.one_line(bench.run(plan="surgery"), "surgery", "therapy")
    kit.one_line(bench.run(plan="./nowhere/test_x.py"), "nowhere", "therapy")


def test_plan_without_a_test(bench, kit, tmp_path):
    done = bench.run(plan=tmp_path)
    kit.one_line(done, str(tmp_path), "no test")
    assert not done.results.exists()


def test_plan_that_cannot_be_read(bench, kit, tmp_path):
    (tmp_path / "test_broken.py").write_text("import no_such_module_anywhere\n")
    kit.one_line(bench.run(plan=tmp_path), "test_broken.py", "no_such_module_anywhere")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('command_age = "15ms"', 'command_age = "-15ms"', ["limits.command_age", "-15ms"]),
        ('command_age = "15ms"', 'command_age = "15"', ["limits.command_age", "'15'"]),
        ('command_age = "15ms"', "command_age = 15", ["limits.command_age", "15"]),
        ('command_age = "15ms"', 'comand_age = "15ms"', ["limits.comand_age", "unknown key"]),
        ('name = "control"', 'name = "control"\ncolour = "red"', ["streams[control].colour"]),
        ("[limits]", "[limits", ["is not TOML"]),
        ('machine = "remote-robot"', 'machine = "loom"', ["device.machine", "loom"]),
        ('machine = "remote-robot"', "", ["device.machine", "lab bench"]),
    ],
)  # fmt: skip
def test_device_file_that_cannot_be_used(bench, kit, tmp_path, old, new, parts):
    text = re.sub(r"(?m)^carriage = .*\n", "", PROFILE.read_text())
    assert old in text
    file = tmp_path / "robot.toml"
    file.write_text(text.replace(old, new, 1))
    done = bench.run("--device", file)
    kit.one_line(done, *parts)
    assert not done.results.exists()


def test_device_file_that_is_not_text(bench, kit, tmp_path):
    file = tmp_path / "robot.toml"
    file.write_bytes(b"\xff\xfe\x00")
    kit.one_line(bench.run("--device", file), str(file), "cannot be read")


def test_device_code_that_cannot_be_loaded(bench, kit, tmp_path):
    file = tmp_path / "robot.py"
    file.write_text("raise RuntimeError('broken on purpose')\n")
    kit.one_line(bench.run("--device", f"{file}:robot"), str(file), "broken on purpose")


@pytest.mark.parametrize("kind", ["a file", "below a file", "/proc"])
def test_results_folder_that_cannot_be_written(bench, kit, tmp_path, kind):
    (tmp_path / "file").write_text("x")
    results = {
        "a file": tmp_path / "file",
        "below a file": tmp_path / "file" / "results",
        "/proc": Path("/proc/x"),
    }[kind]
    if kind == "/proc" and not Path("/proc/self").exists():
        pytest.skip("NOT TESTED: no /proc here")
    kit.one_line(bench.run(results=results), str(results), "cannot be written", "--results")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("command", ["verify", "judge", "report"])
def test_commands_on_what_is_no_run(bench, kit, tmp_path, command):
    kit.one_line(bench.call(command, tmp_path), str(tmp_path), "not a run folder")
    kit.one_line(bench.call(command, tmp_path / "nothing"), "not a run folder")


def test_judging_a_damaged_run(bench, kit, small_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(small_run.run, run)
    packets = next(run.glob("sessions/local-stop*/packets.parquet"))
    packets.write_bytes(packets.read_bytes()[:-100])
    kit.one_line(bench.call("judge", run), "packets.parquet")
    (run / "run.json").write_text("{")
    kit.one_line(bench.call("judge", run), "run.json", "not JSON")


# A tiny disk, in a mount namespace of its own that ends with the process.
TINY_DISK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
def must(result):
    assert result == 0, os.strerror(ctypes.get_errno())
must(libc.unshare(CLONE_NEWNS))
must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
must(libc.mount(b"tmpfs", {disk!r}, b"tmpfs", 0, b"size={size}"))
{more}
"""


def tiny_disk(disk: Path, size: str, more: str = "") -> str:
    """Text that gives a process a disk of that size at ``disk``."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: mounting a tiny disk needs root")
    return TINY_DISK.format(disk=os.fsencode(disk), size=size, more=more)


def test_no_space_at_the_start(bench, kit, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    # Leaves room for folders, none for run.json.
    fill = f"open({str(disk / 'full')!r}, 'wb').write(bytes(15 * 4096))"
    look = "import atexit, shutil"
    setup = tiny_disk(disk, "64k", f"{fill}\n{look}")
    done = bench.run(results=disk / "results", setup=setup)
    kit.one_line(done, str(disk), "cannot be written", "--results")
    assert list(disk.iterdir()) == [], "the mount stayed in its own namespace"


COPY_AT_THE_END = """
import os, shutil
end = os._exit
def copy_and_end(code):
    shutil.copytree({disk!r}, {copy!r})
    end(code)
os._exit = copy_and_end
"""


FILL_BEFORE_THE_REPORTS = """
import bench.report.write
write = bench.report.write.write_reports
def write_on_a_full_disk(path, *known):
    with open({disk!r} + "/full", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return write(path, *known)
bench.report.write.write_reports = write_on_a_full_disk
"""


@pytest.mark.parametrize("when", ["in a session", "before the reports"])
def test_disk_that_fills_up(bench, kit, tmp_path, when):
    disk, copy = tmp_path / "disk", tmp_path / "copy"
    disk.mkdir()
    more = COPY_AT_THE_END.format(disk=str(disk), copy=str(copy))
    size = "600k"
    if when == "before the reports":
        size = "16m"
        more += FILL_BEFORE_THE_REPORTS.format(disk=str(disk))
    done = bench.run("--only=LOC-1", results=disk, setup=tiny_disk(disk, size, more))
    assert done.code == 2
    said = [line for line in done.err.splitlines() if line.startswith("bench: ")]
    assert len(said) == 1, done.err
    assert "cannot be written (No space left on device)" in said[0]
    assert "Traceback" not in done.err
    run = next(path for path in copy.iterdir() if path.is_dir())
    assert kit.read(run / "run.json")["completion"] == "incomplete"
    assert (run / "verdicts.json").exists() == (when == "before the reports")
    verified = bench.call("verify", run)
    assert verified.code == 1
    assert "sealed" in verified.out
    judged = bench.call("judge", run, "--json")
    assert judged.code == (0 if when == "before the reports" else 3), judged.err
    assert bench.call("report", run).code == 0
