"""What a device says its streams need, held against the documents: looser is not accepted."""

from __future__ import annotations

from collections.abc import Iterable

from bench.devices.profile import DeviceProfile
from bench.requirements.model import Requirement
from bench.units import show


def limits_documented(
    profile: DeviceProfile, documents: Iterable[Requirement]
) -> tuple[Requirement, ...]:
    """The documented limits on delay and loss of the streams of the device's class."""
    return tuple(
        r
        for r in documents
        if r.kind == "requirement"
        and r.device_class == profile.device_class
        and r.metric in ("delay-p99", "loss")
        and r.comparator in ("<", "<=")
        and r.reference_points in ("interface-interface", "none")
        and r.limit is not None
    )


def looser_than_documents(
    profile: DeviceProfile, documents: Iterable[Requirement] | None
) -> tuple[str, ...]:
    """Why the limits that the profile states per stream cannot back a verdict; empty if they can.

    A declaration never loosens a document.
    """
    if documents is None:
        return ("the documents' limits were not at hand",)
    found = []
    for requirement in limits_documented(profile, documents):
        limit, late = requirement.limit, requirement.metric == "delay-p99"
        assert limit is not None
        for stream in profile.active_streams:
            stated = stream.most_delay_s if late else stream.most_loss
            concerned = requirement.stream in stream.kinds and requirement.direction in (
                "both", "none", stream.direction,
            )  # fmt: skip
            if concerned and stated is not None and stated > limit:
                name = "most_delay" if late else "most_loss"
                figure = f"{show(limit, requirement.unit)} in {requirement.id}"
                found.append(f"{name} of {stream.name} is looser than documented ({figure})")
    return tuple(found)
