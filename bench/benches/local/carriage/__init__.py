"""What carries a stream of a simulated device over real sockets, by the profile's ``carriage``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from bench.benches.local.carriage.base import Carriage, Place
from bench.benches.local.carriage.datagram import Datagram
from bench.benches.local.carriage.dicom import Dicom
from bench.benches.local.carriage.dtls import Dtls
from bench.benches.local.carriage.mllp import open_mllp
from bench.benches.local.carriage.rtp import Rtp

OPENERS: Mapping[str, Callable[[Place], Carriage]] = {
    "datagram": Datagram,
    "dicom": Dicom,
    "dtls": Dtls,
    "mllp": open_mllp,
    "rtp": Rtp,
}
"""By name, as in :data:`bench.devices.carriages.CARRIAGES`."""

_LIBRARIES = {"dicom": "bench.benches.local.carriage.dicom_peer"}


def load(carriages: Iterable[str]) -> bool:
    """Load what carriages need that takes long: before the processes of a session are forked.

    Returns:
        Whether any takes long to open, too: it has processes of its own.
    """
    slow = set(carriages) & _LIBRARIES.keys()
    for name in slow:
        import_module(_LIBRARIES[name])
    return bool(slow)


__all__ = ["OPENERS", "Carriage", "Place", "load"]
