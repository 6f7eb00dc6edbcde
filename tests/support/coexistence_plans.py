"""A short coexistence plan, and a robot that is quickly tested by it."""

from __future__ import annotations

from pathlib import Path

from bench.devices import registry

KEPT = ("control", "haptic-command", "force-feedback")
PLAN = """
title = "One signal"
environment = "a test"
method = "conducted"
exposed = "2.2s"
confidence = "80%"
[standard]
name = "ANSI C63.27"
edition = "2021"
clause = "-"
[tier]
name = "-"
source = "-"
risk = "-"
[[signals]]
name = "lte20"
offsets = ["0Hz"]
lowest = "-12dB"
highest = "12dB"
step = "6dB"
[[surroundings]]
signal = "lte20"
offset = "0Hz"
present = "50%"
mean = "-62dBm"
deviation = "4dB"
"""


def light_robot(folder: Path) -> Path:
    """The robot with few streams and one declared signal, as a file."""
    text = (
        registry.resources.files("bench.devices") / "data/tele-ultrasound-robot.toml"
    ).read_text()
    head, *streams = text.split("[[streams]]")
    kept = [one for one in streams if any(f'name = "{name}"' in one for name in KEPT)]
    assert len(kept) == len(KEPT)
    head, signal, *_, rest = head.split("[[coexistence.environment]]")
    rest = rest[rest.index("# A simulated device has no reports") :]
    head = "[[coexistence.environment]]".join([head, signal]) + rest
    path = folder / "robot.toml"
    path.write_text("[[streams]]".join([head, *kept]))
    return path
