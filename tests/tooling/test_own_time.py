"""What a busy host takes from a process is left out of its time, and nothing else."""

import os
import subprocess
import sys
import time

import pytest

from tests.support.own_time import queued_s, took_to_end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: proc is Linux's")

BUSY = "import time\nwhile time.process_time() < {}: pass"
SLEEPY = "import time; time.sleep({})"


def on_one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def running(text):
    return subprocess.Popen([sys.executable, "-c", text], preexec_fn=on_one_core)


@pytest.mark.parametrize("text", [BUSY, SLEEPY])
def test_a_process_that_is_slow_by_itself_takes_as_long(text):
    began = time.monotonic()
    with running(text.format(0.4)) as process:
        assert took_to_end(process.pid, began) > 0.35


def test_what_others_had_of_the_processor_is_left_out():
    began = time.monotonic()
    with running(BUSY.format(30)) as other, running(BUSY.format(0.4)) as process:
        took_s = took_to_end(process.pid, began)
        elapsed_s = time.monotonic() - began
        other.kill()
    assert queued_s(os.getpid()) >= 0
    assert 0.35 < took_s < elapsed_s - 0.15  # half of 0.8 s, as two share a core


def test_one_that_does_not_end_is_said():
    with running(SLEEPY.format(30)) as process:
        with pytest.raises(TimeoutError, match=r"did not end within 0\.05 s"):
            took_to_end(process.pid, time.monotonic(), 0.05)
        process.kill()
