"""What a killed run may leave on the host, and how the next one finds and removes it.

The benches keep their state in processes and anonymous namespaces, which end with the run. Only
temporary folders can stay behind; their name says whose they are.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from instruments.emulators.journal import process_start

_NAME = re.compile(r"telemed-bench-(\d+)-(\d+)")


def scratch_folder(base: Path | None = None) -> Path:
    """Make the temporary folder of this process (once); :func:`clean_leftovers` knows it.

    Raises:
        OSError: it cannot be made.
    """
    pid = os.getpid()
    base = base or Path(tempfile.gettempdir())
    folder = base / f"telemed-bench-{pid}-{process_start(pid) or 0}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def clean_leftovers(base: Path | None = None) -> list[str]:
    """Remove the temporary folders of runs whose process is gone, and only those.

    Returns:
        The paths that were removed.
    """
    removed = []
    for folder in sorted((base or Path(tempfile.gettempdir())).glob("telemed-bench-*")):
        match = _NAME.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir():
            continue
        pid, started = int(match[1]), int(match[2])
        if process_start(pid) == started or folder.stat().st_uid != os.geteuid():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            removed.append(str(folder))
    return removed
