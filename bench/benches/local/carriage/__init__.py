"""What carries a stream of a simulated device over real sockets, by the profile's ``carriage``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.benches.local.carriage.base import Carriage, Place
from bench.benches.local.carriage.datagram import Datagram

OPENERS: Mapping[str, Callable[[Place], Carriage]] = {
    "datagram": Datagram,
}
"""By name, as in :data:`bench.devices.carriages.CARRIAGES`."""

__all__ = ["OPENERS", "Carriage", "Place"]
