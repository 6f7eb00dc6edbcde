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
from itertools import pairwise
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
WITHIN_S = 180.0
MS = 1_000_000
LIMITED_WORST_NS = 50 * MS  # lateness that passes as keeping time (uml_guest.py)
WAKING_NS = 10 * MS  # what half of the packets, and more, surely keep then

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
    return answer


def kept(flow):
    """The flow, during one of whose tries the guest kept time."""
    if not flow["kept_time"]:
        median, worst = (late / MS for late in flow["late_ns"])
        found = f"the sender was late by {median:.1f} ms, at worst {worst:.1f} ms"
        pytest.fail(f"the host did not keep time in {flow['tries']} tries: {found}")
    return flow


def phase(result, name):
    """A phase of the flow: (numbers sent, {number: delay ns}, numbers as received).

    A delay is at most the true one: from before sending to the kernel's stamp at arrival.
    """
    flow = kept(result["flow"])
    sent = range(*flow["phases"][name])
    made = {number: made for number, _, made, _ in flow["sent"]}
    rows = [row for row in flow["rows"] if row[0] in sent]
    return sent, {number: arrived - made[number] for number, arrived in rows}, [n for n, _ in rows]


def to_doctor(flow):
    """The emulator's report of the direction that the flow goes."""
    (report,) = (r for r in kept(flow)["report"]["directions"] if r["direction"] == "to-doctor")
    return report


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


def test_every_packet_met_one_state(result):
    """Changes are commanded in time, never early, read back; nobody sent around them.

    In time is 50 ms, and what the sender, which looks at the clock every 10 ms, was late there.
    """
    flow = result["flow"]
    changes = to_doctor(flow)["changes"]
    assert [change["t_ns"] for change in changes] == flow["changes"]
    assert len(changes) == 7
    sent = {number: (made, gone) for number, _, made, gone in flow["sent"]}
    for change, (first, end) in zip(changes, flow["phases"].values(), strict=True):
        t_ns = change["t_ns"]
        late = max(late for at, late in flow["ticks"] if t_ns <= at < t_ns + 100 * MS)
        assert t_ns <= change["commanded_ns"] < t_ns + 50 * MS + late
        assert change["commanded_ns"] < change["confirmed_ns"] < sent[first][0]
        assert change["read_back"] is True
        assert all(sent[end - 1][1] < later for later in flow["changes"] if later > sent[first][0])


def test_packets_are_accounted_for(result):
    """Each phase's losses are in the fate of its state, to the packet."""
    flow, report = result["flow"], to_doctor(result["flow"])
    lost = {}
    for name in flow["phases"]:
        sent, delays, order = phase(result, name)
        assert len(order) == len(delays)
        lost[name] = len(sent) - len(delays)
    assert report["rx"] == len(flow["sent"]) == 930
    assert report["tx"] == len(flow["rows"])
    assert report["in_flight"] == report["emulator_drops"] == 0
    assert report["fates"] == {
        "lost": lost["jitter"] + lost["bursts"],
        "queue_drop": 0,
        "down": lost["down"],
    }
    assert {name for name, count in lost.items() if count} == {"jitter", "down", "bursts"}


def test_a_clean_state_delays_nothing(result):
    for name in ("before", "after"):
        _, delays, order = phase(result, name)
        assert order == sorted(order)
        assert min(delays.values()) >= 0
        assert statistics.median(delays.values()) < 10 * MS


def test_normal_jitter_with_loss_keeps_the_order(result):
    """50 ms ± 5 ms, 25 % of 200: six standard deviations of the loss are 18.4 %."""
    sent, delays, order = phase(result, "jitter")
    assert order == sorted(order)
    assert 0.066 < 1 - len(delays) / len(sent) < 0.434
    values = sorted(delays.values())
    assert values[0] >= 30 * MS  # the table ends at four standard deviations
    assert 47.5 * MS < statistics.median(values) < 60 * MS
    assert 2.5 * MS < values[len(values) * 84 // 100] - values[len(values) // 2] < 12.5 * MS


def test_order_is_given_up_only_where_allowed(result):
    """At gaps of 5 ms, normal delays of σ 5 ms change places in 24 % of 199 pairs."""
    _, delays, order = phase(result, "overtaking")
    assert sum(a > b for a, b in pairwise(order)) >= 5
    assert len(delays) == 200
    assert min(delays.values()) >= 30 * MS


def test_uniform_jitter_stays_within_its_bounds(result):
    """Of 60 delays even over 40 … 60 ms, none in either outer quarter: P = 2 · 0.75⁶⁰ < 1e-7."""
    sent, delays, order = phase(result, "uniform")
    values = sorted(delays.values())
    assert len(values) == len(sent)
    assert order == sorted(order)
    assert 40 * MS <= values[0] < 45 * MS + WAKING_NS
    assert values[-1] > 55 * MS
    assert values[len(values) * 80 // 100] < 60 * MS + WAKING_NS


def test_a_link_that_is_down_drops_everything(result):
    sent, delays, _ = phase(result, "down")
    assert len(sent) == 30
    assert delays == {}


def test_gilbert_elliott_loses_in_bursts(result):
    """Stationary loss 28.6 %, standard deviation 4.9 %; after a loss 75 % (σ 4.1 %).

    Independent losses of the same number would follow a loss in 28.6 %.
    """
    sent, delays, _ = phase(result, "bursts")
    lost = [number not in delays for number in sent]
    assert 0.05 < sum(lost) / len(lost) < 0.6
    after_a_loss = [after for before, after in pairwise(lost) if before]
    assert sum(after_a_loss) > 0.5 * len(after_a_loss)
    values = sorted(delays.values())
    assert values[0] >= 20 * MS
    assert values[len(values) // 2] < 20 * MS + WAKING_NS


def test_a_rate_serialises_and_bounds_its_queue(result):
    """20 frames at once onto 0.2 Mbit/s: 42.64 ms each, seven places."""
    flow, report = result["limited"], to_doctor(result["limited"])
    frame_ns = 42_640_000
    first, last = flow["sent"][0][2], flow["sent"][-1][3]
    left_meanwhile = (last - first) // frame_ns  # none, where the burst was quick
    assert 7 <= len(flow["rows"]) <= 7 + left_meanwhile
    numbers = [number for number, _ in flow["rows"]]
    assert numbers == sorted(numbers)
    assert numbers[:7] == list(range(7))
    due = [first + place * frame_ns for place in range(1, 8)]
    late = [arrived - at for (_, arrived), at in zip(flow["rows"], due, strict=False)]
    assert min(late) >= -1000  # netem reckons a packet's time in whole ticks of 64 ns
    assert max(late) < last - first + 2 * LIMITED_WORST_NS
    assert report["fates"] == {"lost": 0, "queue_drop": 20 - len(numbers), "down": 0}
    assert report["rx"] == 20


def test_nothing_is_left_behind(result):
    for flow in (result["flow"], result["limited"]):
        assert "netem" not in flow["left"]
        assert "ingress" not in flow["left"]
