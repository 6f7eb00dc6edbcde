"""Defects of the quality of the network: jitter, and the check before an operation."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect

DEFECTS = (
    Defect(
        "ignores-jitter-limit",
        "goes on moving beyond its jitter limit",
        ("LIM-3",),
        lambda t, _: replace(t, quality=replace(t.quality, holds_on_jitter=False)),
    ),
    Defect(
        "starts-on-a-bad-link",
        "starts an operation on a bad link without a warning",
        ("OPS-1",),
        lambda t, _: replace(t, quality=replace(t.quality, checks_before_start=False)),
    ),
)
