"""A device's streams as rules that find them in a capture."""

from __future__ import annotations

from bench.captures.rules import SequenceField, StreamRule
from bench.devices.profile import DeviceProfile
from bench.devices.wire import MAGIC, VERSION

UDP = 17

NUMBER = SequenceField(offset=4, bytes=4, order=">")
"""Where the simulated devices number their messages (:data:`bench.devices.wire.HEADER`)."""


def rules_of(profile: DeviceProfile) -> tuple[StreamRule, ...]:
    """One rule per stream of the profile, whichever options are on.

    A simulated device's packets begin with its wire header, which names the stream and numbers
    its messages. Of a real device only the ports are known.
    """
    return tuple(
        wire_rule(stream.name, stream.port, stream.code)
        if profile.simulated
        else StreamRule(stream.name, UDP, stream.port)
        for stream in profile.streams
    )


def wire_rule(name: str, port: int, code: int) -> StreamRule:
    """One stream of simulated devices' packets (:mod:`bench.devices.wire`)."""
    return StreamRule(name, UDP, port, MAGIC + bytes((VERSION, code)), NUMBER)
