"""User-Mode Linux, whose kernel has netem, for benchmarks: a script in it, and its answer.

Debian's packages user-mode-linux and kmod; the same boot as the tests'.
"""

from __future__ import annotations

import glob
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_BOOT = ROOT / "tests" / "instruments" / "uml_boot.py"


def in_uml(script: str, within_s: float = 300.0) -> dict[str, Any]:
    """What a Python script prints there behind ``NETEM-RESULT`` within that time, as JSON.

    Raises:
        SystemExit: it does not boot here, or gives no result; says why.
    """
    spec = importlib.util.spec_from_file_location("uml_boot", _BOOT)
    assert spec is not None
    assert spec.loader is not None
    uml_boot = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(uml_boot)
    with tempfile.TemporaryDirectory() as folder:
        guest = Path(folder) / "guest.py"
        guest.write_text(script)
        try:
            found, console = uml_boot.guest_result(
                lambda: Path(tempfile.mkdtemp(dir=folder)), guest, within_s
            )
        except uml_boot.Unavailable as error:
            raise SystemExit(str(error)) from None
    if "failed" in found:
        raise SystemExit(f"{found['failed']}\n{console[-2000:]}")
    return dict(found)


def insert(*modules: str) -> None:
    """Load kernel modules of the guest, like ``net/sched/sch_netem``; those built in are passed."""
    (kernel,) = glob.glob("/usr/lib/uml/modules/*/kernel")
    for module in modules:
        file = Path(f"{kernel}/{module}.ko")
        if file.exists():
            subprocess.run(["insmod", file], check=True)
