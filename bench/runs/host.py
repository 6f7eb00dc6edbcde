"""What a run was made with: versions, commit, host. Goes into run.json."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("telemed-bench", "numpy", "scipy", "pyarrow", "pyroute2", "pytest", "matplotlib")
_ROOT = Path(__file__).resolve().parents[2]


def describe_host() -> dict[str, Any]:
    """Versions, git commit (where the project runs from a checkout), host, kernel, processor."""
    commit, changed = _commit()
    return {
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}},
        "git_commit": commit,
        "git_changed": changed,
        "host": platform.node(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> tuple[str | None, bool | None]:
    """The commit, and whether tracked files differ from it; ``None`` outside a checkout."""
    if not (_ROOT / ".git").exists():
        return None, None
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return commit or None, None if changes is None else bool(changes)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            # Reading only: no lock is taken in the checkout.
            ["git", "--no-optional-locks", "-C", str(_ROOT), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
