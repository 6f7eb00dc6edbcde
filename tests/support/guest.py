"""A program of the tests that plays in namespaces of its own and prints what it found, as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.host_time import NotShown


def played(guest: Path, folder: Path, *words: str, noise: Sequence[str] = ()) -> dict[str, Any]:
    """What it found; it gets an empty folder below ``folder``, and the words.

    Args:
        guest: the program.
        folder: where its folder is made.
        words: handed to it.
        noise: parts of what it says where the host was too busy.

    Raises:
        NotShown: it ended in an error that is the host's affair.
    """
    done = subprocess.run(
        [sys.executable, str(guest), tempfile.mkdtemp(dir=folder), *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)},
    )
    if done.returncode == 0:
        return dict(json.loads(done.stdout))
    said = done.stderr.strip()
    if any(reason in said for reason in noise):
        raise NotShown(said.splitlines()[-1])
    pytest.fail(said)
