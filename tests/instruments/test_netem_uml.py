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
import sysconfig
import time
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
WITHIN_S = 120.0
MS = 1_000_000

# Newer processors have more registers than this kernel can restore; it then panics with this.
TOO_MANY_REGISTERS = "ptrace set fp regs failed"
LIBRARIES_WITHOUT_AVX = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=" + ",".join(
        f"-{name}"
        for name in (
            "AVX AVX2 AVX512F AVX512VL AVX512BW AVX512CD AVX512DQ AVX512ER AVX512PF FMA "
            "XSAVEC AVX_Fast_Unaligned_Load ERMS"
        ).split()
    ),
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
    paths = [str(HERE.parent.parent), sysconfig.get_paths()["purelib"]]
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
        f"{quoted} '{sys.executable}' -B -W ignore '{HERE}/uml_guest.py' 2>&1\n"
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


def test_print(result):
    r = dict(result)
    f = r.pop("flow")
    l = r.pop("limited")
    print(json.dumps(r, indent=1))
    print(f["report"], f["left"], f["sent"], len(f["rows"]))
    print(l)
