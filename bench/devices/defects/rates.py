"""Defects of what the streams carry."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect

DEFECTS = (
    Defect(
        "thin-ecg",
        "sends two thirds of its electrocardiogram",
        ("000-t2-ecg-rate",),
        lambda t, _: replace(t, pace={**t.pace, "ecg": 1.5}),
    ),
)
