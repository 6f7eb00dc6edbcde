"""After SIGKILL: the guardian puts all back; where it is killed too, the next start does."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import random
import signal
import stat
import time
from pathlib import Path

import pytest

from instruments.emulators.custody import Custody, leftovers
from instruments.emulators.journal import (
    Entry,
    Journal,
    Owner,
    entries,
    process_start,
    state_folder,
)

_FILE = Path(__file__).parents[1] / "support" / "ends.py"
_SPEC = importlib.util.spec_from_file_location("ends", _FILE)
ends = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ends)
ENDS, pairs, states, settled, changed = (
    ends.ENDS, ends.pairs, ends.states, ends.settled, ends.changed,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "state"
    place.mkdir(mode=0o700)
    return place


def kill_in_custody(folder, moment, before_kill=lambda pid, guardian: None):
    """A process takes the ends, changes them, and is killed after ``moment`` seconds."""
    read, write = os.pipe()
    owner = os.fork()
    if owner == 0:
        os.close(read)
        with Custody(ENDS, folder=folder, kernel=True) as custody:
            os.write(write, str(custody.guardian_pid).encode())
            ends.leave_behind()
            time.sleep(60)
        os._exit(0)
    os.close(write)
    if moment is None:
        guardian = int(os.read(read, 20))
        while not ends.bridges():
            time.sleep(0.005)
        before_kill(owner, guardian)
    else:
        time.sleep(moment)
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    os.close(read)


@pytest.mark.parametrize("seed", range(3))
def test_after_sigkill_the_guardian_puts_all_back(isolated, folder, seed):
    def check():
        pairs()
        before = states()
        draw = random.Random(seed)
        found = []
        for _ in range(4):
            kill_in_custody(folder, draw.uniform(0.0, 0.4))
            found.append(settled(before, folder))
        return found

    assert isolated(check) == [([], [])] * 4


def test_the_guardian_needs_less_than_a_second(isolated, folder):
    def check():
        pairs()
        before = states()
        kill_in_custody(folder, None)
        began = time.monotonic()
        left = settled(before, folder)
        return left, ends.bridges(), time.monotonic() - began

    left, there, took = isolated(check)
    assert left == ([], [])
    assert there == []
    assert took < 5  # a second on a host that has nothing else to do


def kill_both(owner, guardian):
    os.kill(guardian, signal.SIGKILL)


@pytest.mark.parametrize("how", ["the next custody", "leftovers"])
def test_where_the_guardian_is_killed_too_the_next_start_puts_back(isolated, folder, how):
    def check():
        pairs()
        before = states()
        kill_in_custody(folder, None, kill_both)
        time.sleep(0.3)
        assert states() != before
        assert len(list(folder.iterdir())) == 2
        if how == "leftovers":
            said = leftovers(folder)
        else:
            with Custody(ENDS, folder=folder) as custody:
                said = custody.notes
                assert changed()
                journal = Journal.of_text(next(folder.iterdir()).read_text())
                assert journal.owner == Owner.me()
                assert not journal.former.master
        return said, settled(before, folder), ends.bridges()

    said, left, there = isolated(check)
    assert left == ([], [])
    assert there == []
    assert [line.partition(":")[0] for line in said] in (["fa", "fb"], ["fb", "fa"])


def test_another_namespaces_journal_and_one_of_another_boot(isolated, folder):
    def check():
        pairs()
        kill_in_custody(folder, None, kill_both)
        time.sleep(0.2)
        for number, entry in enumerate(list(entries(folder))):
            data = json.loads(entry.path.read_text())
            if number:
                data["boot"] = "another"
            else:
                data["cookie"] = 1
            entry.path.write_text(json.dumps(data))
        now = states()
        said = leftovers(folder)
        return said, states() == now, len(list(folder.iterdir()))

    assert isolated(check) == ([], True, 1)


def test_a_half_written_journal_means_that_nothing_was_changed(isolated, folder):
    def check():
        pairs()
        with Custody(ENDS, folder=folder):
            texts = {path: path.read_text() for path in folder.iterdir()}
        for path, text in texts.items():
            path.write_text(text[: len(text) // 2])
        before = states()
        said = leftovers(folder)
        return said, states() == before, list(folder.iterdir())

    assert isolated(check) == ([], True, [])


def is_deaf(custody, guardian):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(guardian, number)
    time.sleep(0.1)
    assert os.getsid(guardian) == guardian
    assert not custody.keep_guarded()


def test_the_guardian_is_deaf_in_a_session_of_its_own_and_started_again(isolated, folder):
    def check():
        pairs()
        before = states()
        with Custody(ENDS, folder=folder) as custody:
            first = custody.guardian_pid
            is_deaf(custody, first)
            os.kill(first, signal.SIGKILL)
            deadline = time.monotonic() + 10
            while not custody.keep_guarded():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            second = custody.guardian_pid
            is_deaf(custody, second)
            assert changed()
        return first != second, process_start(second), settled(before, folder)

    assert isolated(check) == (True, None, ([], []))


def test_the_state_folder_is_this_users_alone(tmp_path, monkeypatch):
    place = tmp_path / "mine"
    monkeypatch.setenv("TELEMED_BENCH_STATE", str(place))
    assert state_folder() == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    place.chmod(0o750)
    with pytest.raises(PermissionError, match="0700"):
        state_folder()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEMED_BENCH_STATE", "relative")
    assert state_folder() == tmp_path / "relative"
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    monkeypatch.setenv("TELEMED_BENCH_STATE", str(link))
    with pytest.raises(PermissionError, match="0700"):
        state_folder()


def test_a_process_number_alone_is_not_its_process():
    me = Owner.me()
    assert me.alive
    assert not Owner(me.pid, me.start + 1).alive


def test_a_lock_is_held_by_one_and_its_file_goes_with_it(tmp_path):
    path = tmp_path / "1-2.json"
    first, second = Entry(path), Entry(path)
    assert first.lock()
    assert not second.lock(0.05)
    first.close(remove=True)
    assert not path.exists()
    assert not second.lock(make=False)
    assert second.lock()
    second.close(remove=True)


def test_a_file_that_is_removed_while_one_waits_for_it_is_no_lock(tmp_path, monkeypatch):
    path = tmp_path / "1-2.json"
    real, calls = fcntl.flock, []

    def remove_first(fd, how):
        if not calls:
            path.unlink()
        calls.append(fd)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    entry, other = Entry(path), Entry(path)
    assert entry.lock(1.0)
    assert len(calls) == 2
    assert path.exists()
    assert not other.lock()
    entry.close(remove=True)
