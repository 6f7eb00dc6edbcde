"""Defects of local control: taking over, handing back, stopping in fact."""

from __future__ import annotations

from dataclasses import replace

from bench.devices.defects.defect import Defect

DEFECTS = (
    Defect(
        "remote-overrides-local",
        "remote commands still move it after the local takeover",
        ("LOC-2",),
        lambda t, _: replace(t, takeover=replace(t.takeover, rejects_remote=False)),
    ),
    Defect(
        "late-takeover",
        "the local takeover acts late",
        ("LOC-2",),
        lambda t, size: replace(t, takeover=replace(t.takeover, after_s=size)),
        size=0.3,
        timed=True,
    ),
    Defect(
        "no-takeover-in-fault",
        "the takeover is refused while the network is abnormal",
        ("LOC-2",),
        lambda t, _: replace(t, takeover=replace(t.takeover, in_fault=False)),
    ),
    Defect(
        "rearms-after-takeover",
        "remote motion is enabled again by the release of the takeover",
        ("LOC-2",),
        lambda t, _: replace(t, takeover=replace(t.takeover, rearms_on_release=True)),
    ),
    Defect(
        "no-stop-after-takeover",
        "the local stop does nothing once there was a takeover",
        ("WC-1",),
        lambda t, _: replace(t, takeover=replace(t.takeover, stops_afterwards=False)),
    ),
    Defect(
        "stopped-while-moving",
        "reports that it stopped at the local stop, and goes on moving",
        ("LOC-1",),
        lambda t, size: replace(t, takeover=replace(t.takeover, coasts_s=size)),
        size=0.075,
        timed=True,
    ),
)
