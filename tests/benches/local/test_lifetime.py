"""Nothing of a session outlives its main process; one local bench per host; no privileges."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.benches.local.lease import Lease, holder
from bench.errors import InputError

pytestmark = pytest.mark.usefixtures("local_host")

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent

SCRIPT = """
import dataclasses, sys, time
sys.path[:0] = [{root!r}, {here!r}]
from bench.network.attacks import Attack
from kit import Kit
kit = Kit()
flood = Attack("flood", count=100000, rate_per_s=200.0).action("only", 0.0)
class Sink(kit.sink):
    def event(self, event):
        super().event(event)
        print("running", flush=True)
session = kit.session({duration}, actions={actions})
device = dataclasses.replace(session.device, watched="haptic-command")
session = dataclasses.replace(session, device=device)
with kit.bench() as bench:
    print("privilege", bench.privilege, flush=True)
    recording = kit.run(bench, session, Sink())
    print("rows", len(recording.packets), recording.health.tap_drops, flush=True)
"""


def heed_interrupts() -> None:
    """Whatever started the tests in the background may have had them ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(duration: float, actions: str = "()", **options) -> subprocess.Popen:
    options.setdefault("preexec_fn", heed_interrupts)
    text = SCRIPT.format(root=str(ROOT), here=str(HERE), duration=duration, actions=actions)
    return subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


def wait_for(process: subprocess.Popen, word: str) -> str:
    for line in process.stdout:
        if line.startswith(word):
            return line
    pytest.fail(f"never said {word}: {process.stderr.read()}")


def descendants(pid: int) -> list[int]:
    """All living processes below ``pid``."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found.append(int(child))
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended
            found += descendants(int(child))
    return found


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def namespaces_in_use() -> set[str]:
    """The network namespaces of all processes."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.add(os.readlink(folder / "ns" / "net"))
        except OSError:
            continue
    return found


def all_there(pid: int, processes: int, namespaces: int) -> tuple[list[int], set[str]]:
    """The processes below ``pid``, once there are so many in so many namespaces of their own."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        below, theirs = descendants(pid), set()
        for each in below:
            with contextlib.suppress(OSError):  # one that has just ended
                theirs.add(os.readlink(f"/proc/{each}/ns/net"))
        theirs.discard(os.readlink("/proc/self/ns/net"))
        if len(below) >= processes and len(theirs) == namespaces:
            return below, theirs
        time.sleep(0.02)
    pytest.fail(f"{len(below)} processes in {len(theirs)} namespaces")


def with_attackers(pid: int) -> list[int]:
    """The processes below ``pid``, once the attackers' is among them: just one."""
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        below, commands = descendants(pid), []
        for each in below:
            with contextlib.suppress(OSError):  # one that has just ended
                commands.append(Path(f"/proc/{each}/cmdline").read_bytes())
        if sum(b"instruments.attacks" in command for command in commands) == 1:
            return below
        time.sleep(0.02)
    pytest.fail("no process of attackers")


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_main_process_ends(number):
    process = start(60.0)
    try:
        wait_for(process, "running")
        # host, tap, emulator, two sides, and at least one forwarder per direction of two links
        below, theirs = all_there(process.pid, processes=9, namespaces=3)
        process.send_signal(number)
        assert process.wait(20.0) != 0
        assert gone_within(below, 20.0)
        assert not theirs & namespaces_in_use()
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_left_of_attackers():
    process = start(60.0, "(flood,)")
    try:
        wait_for(process, "running")
        below = with_attackers(process.pid)
        process.kill()
        assert process.wait(20.0) != 0
        assert gone_within(below, 20.0)
    finally:
        process.kill()
        process.communicate()


def test_nothing_is_left_when_the_host_process_is_killed(kit):
    process = start(60.0)
    try:
        wait_for(process, "running")
        below = descendants(process.pid)
        os.kill(below[0], signal.SIGKILL)
        assert gone_within(below, 20.0)
        assert process.wait(20.0) == 1
        assert "the host process of the local bench ended" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_a_second_bench_is_refused_with_the_holder(kit):
    with kit.bench():
        assert holder() == os.getpid()
        with pytest.raises(InputError, match=f"in use by process {os.getpid()}.*; wait for it"):
            kit.bench(wait_s=0.0).__enter__()
    with kit.bench(wait_s=20.0):
        pass


def test_a_lease_waits_for_its_holder():
    name = f"\0telemed-bench-test-{os.getpid()}"
    with Lease(name=name):
        started = time.monotonic()
        with pytest.raises(InputError, match=r"waited 0\.3 s"):
            Lease(0.3, name).__enter__()
        assert 0.3 <= time.monotonic() - started < 10.0
    assert holder(name) is None
    with Lease(name=name):
        pass


def without_privileges() -> dict:
    """How to start a process that must go through a user namespace: as nobody where that user
    can read this interpreter and checkout, else as root without its capabilities."""
    if os.geteuid() != 0:
        return {}
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    try:
        text = f"open({str(HERE / 'kit.py')!r})"
        subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, **nobody)
    except (OSError, subprocess.CalledProcessError):
        return {"preexec_fn": drop_capabilities}
    return nobody


def drop_capabilities() -> None:
    """All but CAP_SETFCAP, which mapping user 0 into a user namespace takes."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(64):
        if capability != 31 and libc.prctl(24, capability, 0, 0, 0):
            return


def test_it_works_without_privileges():
    process = start(0.5, **without_privileges())
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "privilege user namespace" in out
    rows, drops = out.split("rows ")[1].split()
    assert int(rows) > 1000
    assert int(drops) == 0
