"""Run ids: sortable by time, readable, unique enough for one results folder."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime


def new_run_id(device: str, bench: str) -> str:
    """``20261121T020500Z-telesurgery-robot-local-ab12``."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", device)[:60]
    return f"{now}-{name}-{bench}-{secrets.token_hex(2)}"
