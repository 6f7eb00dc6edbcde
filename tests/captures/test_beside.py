"""A second process does its part, and leaves nothing behind however it or the first one ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bench.captures import beside
from bench.captures.beside import Beside, Ended, Undone, both, hands, shares

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="second processes are Linux's only")


def open_files():
    """What is open, and which children there are."""
    files = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            files[name] = os.readlink(f"/proc/self/fd/{name}")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return {target for target in files.values() if "memfd" in target}, children


@pytest.fixture(autouse=True)
def _nothing_is_left():
    before = open_files()
    yield
    assert open_files() == before


def test_arrays_and_all_else_come_back_whole():
    large = np.arange(100_000)

    def work():
        return {"large": large * 2, "small": large[:5], "none": large[:0], "step": large[::7]}, "x"

    with Beside(work) as other:
        found, text = other.result()
    assert text == "x"
    np.testing.assert_array_equal(found["large"], large * 2)
    np.testing.assert_array_equal(found["small"], large[:5])
    np.testing.assert_array_equal(found["step"], large[::7])
    assert len(found["none"]) == 0
    found["large"][0] = 7
    found["small"][0] = 7
    del found


def test_small_arrays_do_not_keep_the_memory_of_large_ones():
    with Beside(lambda: (np.zeros(1_000_000), np.zeros(3))) as other:
        large, small = other.result()
    assert open_files()[0]
    del large
    assert not open_files()[0]
    assert len(small) == 3


def test_it_is_another_process_that_works():
    mine, theirs = both(os.getpid, os.getpid, 2)
    assert mine == os.getpid() != theirs
    assert both(os.getpid, os.getpid, 1) == (os.getpid(), os.getpid())


def test_what_the_work_raises_is_raised_here():
    def wrong():
        raise ValueError("wrong")

    with Beside(wrong) as other, pytest.raises(Undone):
        other.result()
    with pytest.raises(ValueError, match="wrong"):
        both(lambda: 1, wrong, 2)


def test_work_whose_outcome_cannot_be_sent_is_done_here():
    number, made = both(lambda: 1, lambda: lambda: 2, 2)
    assert (number, made()) == (1, 2)


def test_a_killed_process_is_said_to_be():
    def killed():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(Ended, match=r"ended from outside \(signal 9\).*memory"):
        both(lambda: 1, killed, 2)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_it_ends_with_the_block(error, tmp_path):
    def forever():
        (tmp_path / "began").write_text(str(os.getpid()))
        time.sleep(60)

    def mine():
        while not (tmp_path / "began").exists() or not (tmp_path / "began").read_text():
            time.sleep(0.01)
        raise error

    with pytest.raises(error):
        both(mine, forever, 2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "began").read_text()), 0)


def test_ctrl_c_is_the_first_process_to_act_on(tmp_path):
    """The terminal tells both."""

    def theirs():
        os.kill(os.getpid(), signal.SIGINT)
        return 3

    assert both(lambda: 1, theirs, 2) == (1, 3)


def test_it_ends_when_the_first_process_is_killed(tmp_path):
    program = f"""
import os, pathlib, time
from bench.captures.beside import Beside
def forever():
    pathlib.Path({str(tmp_path / "child")!r}).write_text(str(os.getpid()))
    time.sleep(60)
with Beside(forever) as other:
    other.result()
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    until = time.monotonic() + 30
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    child = int((tmp_path / "child").read_text())
    parent.kill()
    parent.wait()
    while running(child):
        assert time.monotonic() < until
        time.sleep(0.02)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("missing", ["fork", "memfd_create"])
def test_where_no_process_can_be_made_all_is_done_here(monkeypatch, missing):
    def refused(*_):
        raise OSError("no more")

    monkeypatch.setattr(os, missing, refused)
    assert both(os.getpid, os.getpid, 2) == (os.getpid(), os.getpid())


def test_ended_children_may_be_ignored():
    """As a parent of this process may have asked for."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert both(lambda: 1, lambda: 2, 2) == (1, 2)
        with pytest.raises(ZeroDivisionError):
            both(lambda: 1, lambda: 1 // 0, 2)
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_shares_are_even_and_in_order():
    assert shares([]) == ([], [])
    assert shares([5]) == ([0], [])
    assert shares([1, 5, 2, 2]) == ([1], [0, 2, 3])
    assert shares([4, 4, 4], ahead=8) == ([2], [0, 1])


@pytest.fixture
def large(tmp_path, monkeypatch):
    """Two files that are worth two processes, and a process alone with two processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    paths = tmp_path / "a", tmp_path / "b"
    for path in paths:
        with path.open("wb") as file:
            file.truncate(beside._LEAST_BYTES // 2)
    return paths


def test_two_hands_for_large_files(large):
    assert hands(*large) == 2


def test_one_hand_where_two_would_not_help_or_not_be_safe(large, monkeypatch, tmp_path):
    assert hands(large[0]) == 1  # small
    assert hands(large[0], tmp_path / "none") == 1
    assert hands(large[0], tmp_path) == 1
    with monkeypatch.context() as other:
        other.setattr(os, "sched_getaffinity", lambda _: {0})
        assert hands(*large) == 1
    with monkeypatch.context() as other:
        other.setattr(threading, "active_count", lambda: 2)
        assert hands(*large) == 1
    with monkeypatch.context() as other:
        other.setattr(sys, "platform", "darwin")
        assert hands(*large) == 1
