"""The netem emulator on a real kernel that has netem: Debian's User-Mode Linux.

The host's kernel may have no netem, so one is booted for this (``linux.uml``, no privileges)
on the host's own files, read-only.
"""

import ctypes
import errno
import glob
import json
import os
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
WITHIN_S = 120.0
MS = 1_000_000

# Newer processors have more registers than this kernel can restore; it then panics with this.
TOO_MANY_REGISTERS = "ptrace set fp regs failed"
LIBRARIES_WITHOUT_AVX = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,"
    "-AVX512DQ,-AVX512ER,-AVX512PF,-FMA,-XSAVEC,-AVX_Fast_Unaligned_Load,-ERMS",
    "OPENBLAS_CORETYPE": "Nehalem",
}


def unavailable(reason):
    if "netem-uml" in os.environ.get("TELEMED_BENCH_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def hide_extended_registers():
    """Make the kernel save only the old registers, as it does on processors without the new.

    A system call filter answers its question for the extended ones with "no such device".
    """
    load, equal, give = 0x20, 0x15, 0x06
    program = [
        (load, 0, 0, 4), (equal, 0, 7, 0xC000003E),  # x86-64
        (load, 0, 0, 0), (equal, 0, 5, 101),  # ptrace
        (load, 0, 0, 16), (equal, 0, 3, 0x4204),  # PTRACE_GETREGSET
        (load, 0, 0, 32), (equal, 0, 1, 0x202),  # NT_X86_XSTATE
        (give, 0, 0, 0x00050000 | errno.ENODEV),
        (give, 0, 0, 0x7FFF0000),
    ]  # fmt: skip
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0):  # PR_SET_SECCOMP, filter
        raise OSError("no system call filters here")


def boot(folder, old_registers_only):
    """Boot, run the guest script, power off; the console's text."""
    script = folder / "init.sh"
    paths = [str(HERE.parent.parent), *filter(None, sys.path)]
    settings = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": ":".join(paths),
    }
    quoted = " ".join(f"{name}='{value}'" for name, value in settings.items())
    script.write_text(
        "#!/bin/sh\n"
        "echo NETEM-BOOTED\n"
        "mount -t proc proc /proc\n"
        "mount -t sysfs sys /sys\n"
        f"{quoted} '{os.readlink('/proc/self/exe')}' -B -W ignore '{HERE}/uml_guest.py' 2>&1\n"
        "echo o > /proc/sysrq-trigger\n"
        "sleep 10\n"
    )
    script.chmod(0o755)
    extra = LIBRARIES_WITHOUT_AVX if old_registers_only else {}
    keyboard, held = os.pipe()  # a console whose input has ended hangs up
    process = subprocess.Popen(
        [
            "linux.uml", "mem=512M", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
            "con=null", "con0=fd:0,fd:1", f"uml_dir={folder}", f"init={script}",
            *(f"{name}={value}" for name, value in extra.items()),
        ],
        stdin=keyboard, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=hide_extended_registers if old_registers_only else None,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=WITHIN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        out += b"\n(killed after its time was up)"
    finally:
        os.close(keyboard)
        os.close(held)
    return out.decode(errors="replace")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        unavailable("User-Mode Linux runs on x86-64 Linux only")
    for command, package in (("linux.uml", "user-mode-linux"), ("insmod", "kmod")):
        if shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            unavailable(f"no {command} here: apt-get install {package}")
    if not glob.glob("/usr/lib/uml/modules/*/kernel/net/sched/sch_netem.ko"):
        unavailable("the User-Mode Linux package brings no netem module")
    began = time.monotonic()
    console = boot(tmp_path_factory.mktemp("uml"), old_registers_only=False)
    if TOO_MANY_REGISTERS in console:
        console = boot(tmp_path_factory.mktemp("uml"), old_registers_only=True)
    lines = [line for line in console.splitlines() if line.startswith("NETEM-RESULT ")]
    if "NETEM-BOOTED" not in console:
        unavailable(f"User-Mode Linux does not boot here: {console[-1000:]}")
    if not lines:
        pytest.fail(f"the check gave no result: {console[-3000:]}")
    answer = json.loads(lines[0].partition(" ")[2])
    if "failed" in answer:
        pytest.fail(f"{answer['failed']}\n{console.partition('NETEM-RESULT')[0][-2000:]}")
    answer["took_s"] = time.monotonic() - began
    return answer


def phase(result, start_ms, end_ms):
    """What was sent between two times: (numbers sent, {number: delay ns}, numbers as received).

    Ten milliseconds at both edges are left out: a change takes effect a little after its time.
    """
    first, last = (start_ms + 10) // 2, (end_ms - 10) // 2
    rows = [row for row in result["flow"]["rows"] if first <= row[0] < last]
    for number, made, _ in rows:
        assert made >= number * 2 * MS
    rows = [row for row in rows if row[1] < (end_ms - 5) * MS]
    return range(first, last), {row[0]: row[2] for row in rows}, [row[0] for row in rows]


def test_probe_sees_netem_come(result):
    assert result["before"] == [False, "cannot add netem: this kernel does not have it"]
    found, means, _, reason = result["after"]
    assert (found, means, reason) == (True, "matchall", "")


def test_interfaces_are_joined_by_what_the_kernel_has(result):
    assert [join["means"] for join in result["joins"]] == ["u32", "matchall"]
    assert all(join["there"] and join["back"] and join["leaks"] == 0 for join in result["joins"])


def test_the_kernel_holds_the_same_bytes_as_after_the_tc_program(result):
    for row in result["tc"]["rows"]:
        assert row["ours"] == row["theirs"], row["tc"]
        assert row["read_back"], row["tc"]
    assert "rate 100Gbit" in result["tc"]["shown"]


def test_the_flow_ran_as_planned(result):
    for flow, count in ((result["flow"], 2500), (result["limited"], 22)):
        assert flow["sent"] == count
        assert flow["start_late_ns"] < 0  # else the machine was too busy to say anything


def test_every_change_is_commanded_in_time_and_read_back(result):
    (to_doctor,) = (
        entry
        for entry in result["flow"]["report"]["directions"]
        if entry["direction"] == "to-doctor"
    )
    assert len(to_doctor["changes"]) == 6
    for change in to_doctor["changes"]:
        assert change["t_ns"] <= change["commanded_ns"] < change["t_ns"] + 50 * MS
        assert change["commanded_ns"] < change["confirmed_ns"]
        assert change["read_back"] is True


def test_packets_are_accounted_for(result):
    flow = result["flow"]
    to_doctor = flow["report"]["directions"][1]
    fates = to_doctor["fates"]
    # Address resolution adds a packet or two to those of the flow.
    assert 2500 <= to_doctor["rx"] <= 2503
    assert to_doctor["rx"] - to_doctor["tx"] == sum(fates.values()) == 2500 - len(flow["rows"])
    assert fates["queue_drop"] <= 2
    assert 140 <= fates["down"] <= 155


def test_normal_jitter_with_loss_keeps_the_order(result):
    """20 ms ± 1 ms, 10 % of 740: six standard deviations of the loss are 6.6 %."""
    sent, delays, order = phase(result, 300, 1800)
    assert order == sorted(order)
    assert 0.034 < 1 - len(delays) / len(sent) < 0.166
    values = sorted(delays.values())
    assert values[0] >= 16 * MS  # the table ends at four standard deviations
    assert 19.5 * MS < statistics.median(values) < 22 * MS
    assert 0.5 * MS < values[len(values) * 84 // 100] - values[len(values) // 2] < 2.5 * MS


def test_order_is_given_up_only_where_allowed(result):
    """At 2 ms gaps two normal delays of σ 1 ms change places in 8 % of 340 pairs."""
    _, delays, order = phase(result, 1800, 2500)
    assert sum(a > b for a, b in pairwise(order)) >= 5
    assert len(delays) >= 330


def test_uniform_jitter_stays_within_its_bounds(result):
    sent, delays, order = phase(result, 2500, 3000)
    values = sorted(delays.values())
    assert len(values) == len(sent)
    assert order == sorted(order)
    assert 8 * MS <= values[0] < 9 * MS
    assert 11 * MS < values[len(values) * 95 // 100] < 14 * MS


def test_a_link_that_is_down_drops_everything(result):
    _, delays, _ = phase(result, 3000, 3300)
    assert delays == {}


def test_gilbert_elliott_loses_in_bursts(result):
    """Stationary loss 16.7 %; about 31 bursts, of which 56 % are three or longer."""
    sent, delays, _ = phase(result, 3300, 4800)
    lost = [number not in delays for number in sent]
    assert 0.02 < sum(lost) / len(lost) < 0.35
    assert any(all(lost[i : i + 3]) for i in range(len(lost)))
    values = sorted(delays.values())
    assert values[0] >= 5 * MS
    assert values[len(values) // 2] < 7 * MS


def test_a_rate_serialises_and_bounds_its_queue(result):
    """20 frames at once onto 1 Mbit/s: 8.528 ms each, seven places."""
    rows = [row for row in result["limited"]["rows"] if row[0] >= 2]
    assert 7 <= len(rows) <= 9
    arrivals = [made + delay for _, made, delay in rows]
    gaps = [b - a for a, b in pairwise(arrivals)]
    assert all(6 * MS < gap < 12 * MS for gap in gaps)
    assert result["limited"]["report"]["directions"][1]["fates"]["queue_drop"] == 20 - len(rows)


def test_nothing_is_left_behind(result):
    for flow in (result["flow"], result["limited"]):
        assert "netem" not in flow["left"]
        assert "ingress" not in flow["left"]
