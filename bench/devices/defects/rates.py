"""Defects of what the streams carry."""

from __future__ import annotations

import math
from dataclasses import replace

from bench.devices.defects.defect import Defect
from bench.devices.profile import DeviceProfile
from bench.devices.traits import Traits


def _paced(traits: Traits, stream: str, pace: float) -> Traits:
    """With another period of a stream, over its declared one."""
    return replace(traits, pace={**traits.pace, stream: pace})


def _rate_bps(device: DeviceProfile, name: str) -> float:
    """Of a stream's content; infinite where the device has no such stream."""
    rates = [
        8 * stream.payload_bytes * stream.packets / stream.period_s
        for stream in device.streams
        if stream.name == name
    ]
    return min(rates, default=math.inf)


DEFECTS = (
    Defect(
        "thin-ecg",
        "sends two thirds of its electrocardiogram",
        ("000-t2-ecg-rate",),
        lambda t, _: _paced(t, "ecg", 1.5),
    ),
    Defect(
        "thin-picture",
        "sends two of three frames of its large picture",
        ("000-t1-video-4k-rate",),
        lambda t, _: _paced(t, "video-4k", 1.5),
    ),
    Defect(
        "thin-ultrasound",
        "sends two of three frames of its ultrasound picture",
        ("003-c1-ultrasound-frame-rate-consultation",),
        lambda t, _: _paced(t, "ultrasound", 1.5),
    ),
    Defect(
        "thin-touch",
        "sends two of three values of the force",
        ("000-t2-force-rate",),
        lambda t, _: _paced(t, "force-feedback", 1.5),
        fits=lambda device: _rate_bps(device, "force-feedback") / 1.5 < 128e3,  # of the table
    ),
    Defect(
        "greedy-picture",
        "sends its picture at twice the frame rate",
        ("000-t2-video-2d-rate",),
        lambda t, _: _paced(t, "video-2d", 0.5),
    ),
    Defect(
        "greedy-audio",
        "sends its sound at three times the rate",
        ("000-t1-audio-rate",),
        lambda t, _: _paced(t, "audio-to-doctor", 1 / 3),
    ),
)
