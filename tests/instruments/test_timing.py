"""What the scheduler grants, asked in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from instruments.emulators import timing

ASK = """
import ctypes, os
from instruments.emulators import timing

def refuse(*_):
    raise PermissionError

REFUSALS
granted = timing.prefer_timing(1)
found = timing._Attributes()
size = ctypes.sizeof(found)
timing._libc.syscall(READ_CALL, 0, ctypes.byref(found), size, 0)
print(granted, found.policy, found.nice, found.runtime_ns, sep=",")
"""
READ_CALL = {"x86_64": 315, "aarch64": 275}


def granted(*refused: str) -> list[str]:
    """What a process gets where these calls are refused, and what the kernel then says."""
    call = READ_CALL.get(platform.machine())
    if call is None:
        pytest.skip(f"NOT TESTED: no number of sched_getattr for {platform.machine()}")
    refusals = "\n".join(f"os.{name} = refuse" for name in refused)
    script = ASK.replace("REFUSALS", refusals).replace("READ_CALL", str(call))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split(",")


def test_what_is_said_is_what_the_kernel_holds():
    said, policy, nice, _ = granted()
    assert (said, policy) == ("fifo", "1") or (said != "fifo" and policy == "0")
    said, policy, nice, _ = granted("sched_setscheduler")
    assert policy == "0"
    assert (said == "nice") == (nice == "-10")


def test_without_any_privilege_a_short_slice():
    said, policy, nice, runtime_ns = granted("sched_setscheduler", "setpriority")
    assert (policy, nice) == ("0", "0")
    if timing._kernel_at_least(6, 12):
        assert (said, runtime_ns) == ("short slice", "100000")
    else:
        assert said == "normal"


@pytest.mark.parametrize(
    ("release", "new"),
    [("6.12.0", True), ("6.18.44-fc", True), ("7.0-rc1", False), ("7.1", True), ("6.11.9", False),
     ("5.19", False), ("unknown", False)],
)  # fmt: skip
def test_which_kernels_know_it(monkeypatch, release, new):
    monkeypatch.setattr(platform, "release", lambda: release)
    assert timing._kernel_at_least(6, 12) is new
