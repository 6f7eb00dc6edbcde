"""Boots User-Mode Linux on the host's own files and runs a script in it.

No privileges. The root is the host's, read-only; a tmpfs lies over ``/run``, the one folder that
a script writes to.
"""

import contextlib
import ctypes
import errno
import fcntl
import glob
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
WITHIN_S = 300.0

# Newer processors have more registers than this kernel can restore; it then panics with this.
TOO_MANY_REGISTERS = "ptrace set fp regs failed"
LIBRARIES_WITHOUT_AVX = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,"
    "-AVX512DQ,-AVX512ER,-AVX512PF,-FMA,-XSAVEC,-AVX_Fast_Unaligned_Load,-ERMS",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "AVX,F16C,FMA3,AVX2,X86_V3,X86_V4,AVX512F,AVX512CD,AVX512_SKX,"
    "AVX512_CLX,AVX512_CNL,AVX512_ICL,AVX512_SPR,AVX512_KNL,AVX512_KNM",
}


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


def prepare(old_registers_only):
    """In the process that becomes the kernel: it goes before whatever else runs here, if it may."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
    if old_registers_only:
        hide_extended_registers()


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """One such kernel goes before whatever else runs here; two would leave nothing to others."""
    with open(Path(tempfile.gettempdir()) / f"telemed-bench-uml-{os.getuid()}", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def boot(folder, old_registers_only, guest=None, within_s=WITHIN_S):
    """Boot, run the guest script (``uml_guest.py``), power off; the console's text."""
    guest = guest or HERE / "uml_guest.py"
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
        "mount -t tmpfs run /run\n"
        f"{quoted} '{os.readlink('/proc/self/exe')}' -B -W ignore '{guest}' 2>&1\n"
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
        preexec_fn=lambda: prepare(old_registers_only),
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        out += b"\n(killed after its time was up)"
    finally:
        os.close(keyboard)
        os.close(held)
    return out.decode(errors="replace")


class Unavailable(Exception):
    """What keeps it from booting here."""


def guest_result(folders, guest=None, within_s=WITHIN_S):
    """The answer of a guest script (``uml_guest.py``), and the console's text before it.

    ``folders()`` makes a folder for a boot. The script prints ``NETEM-RESULT`` and JSON.

    Raises:
        Unavailable: it does not boot here.
    """
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise Unavailable("User-Mode Linux runs on x86-64 Linux only")
    for command, package in (("linux.uml", "user-mode-linux"), ("insmod", "kmod")):
        if shutil.which(command, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
            raise Unavailable(f"no {command} here: apt-get install {package}")
    if not glob.glob("/usr/lib/uml/modules/*/kernel/net/sched/sch_netem.ko"):
        raise Unavailable("the User-Mode Linux package brings no netem module")
    with one_at_a_time():
        console = boot(folders(), False, guest, within_s)
        if TOO_MANY_REGISTERS in console:
            console = boot(folders(), True, guest, within_s)
    if "NETEM-BOOTED" not in console:
        raise Unavailable(f"User-Mode Linux does not boot here: {console[-1000:]}")
    # With its brace: a traceback of the script shows the word too.
    before, found, rest = console.partition("NETEM-RESULT {")
    if not found:
        return {"failed": "the check gave no result"}, console
    return json.loads("{" + rest.splitlines()[0]), before
