"""Defects of imaging devices: transfer of image sets, alarms on the move, backup."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bench.devices.backup import BackupTraits
from bench.devices.defects.defect import Defect
from bench.devices.traits import Traits
from bench.devices.transfer import TransferTraits

IMAGING = ("imaging",)
_NETWORK_ALARMS = frozenset({"network-interrupted", "network-delay", "network-loss", "link-lost"})


def _transfer(change: Callable[[TransferTraits, float], TransferTraits]) -> Callable[..., Traits]:
    return lambda t, size: replace(t, transfer=change(t.transfer, size))


def _backup(change: Callable[[BackupTraits, float], BackupTraits]) -> Callable[..., Traits]:
    return lambda t, size: replace(t, backup=change(t.backup, size))


DEFECTS = (
    Defect(
        "restarts-transfer",
        "begins an image set from the start after every interruption",
        ("MOB-2",),
        _transfer(lambda t, _: replace(t, restarts=True)),
        machines=IMAGING,
    ),
    Defect(
        "corrupts-image",
        "damages an image set and does not check its SHA-256",
        ("CON-2", "ENV-1", "LIFE-1", "MOB-2"),
        _transfer(lambda t, _: replace(t, corrupts=True)),
        machines=IMAGING,
    ),
    Defect(
        "slow-transfer",
        "sends image sets at two thirds of its rate",
        ("000-t1-ct-mri-delay",),
        _transfer(lambda t, _: replace(t, pace=1.5)),
        machines=IMAGING,
    ),
    Defect(
        "greedy-transfer",
        "sends image sets at full rate, whatever becomes of the other streams",
        ("CON-2", "ENV-1", "LIFE-1"),
        _transfer(lambda t, _: replace(t, yields=False)),
        machines=IMAGING,
    ),
    Defect(
        "first-path-only",
        "takes the least delay of the first network for that of every later one",
        ("CON-2",),  # ENV-1 too in three seeds of four: at other sites the sets come in time
        _transfer(lambda t, _: replace(t, measures_anew=False)),
        machines=IMAGING,
    ),
    Defect(
        "assumes-low-delay",
        "waits for each chunk of an image set before the next: enough on a near network only",
        ("CON-2", "ENV-1"),
        _transfer(lambda t, _: replace(t, one_at_a_time=True)),
        machines=IMAGING,
    ),
    Defect(
        "silent-on-the-move",
        "no network alarm while the network changes",
        ("MON-2", "MOB-2"),
        lambda t, _: replace(t, muted=t.muted | _NETWORK_ALARMS),
        machines=IMAGING,
    ),
    Defect(
        "rare-backup",
        "backs its records up too seldom: the last ones are not there after a restore",
        ("US-2",),
        _backup(lambda t, size: replace(t, period_s=size)),
        size=3.0,
        timed=True,
        machines=IMAGING,
    ),
    Defect(
        "slow-restore",
        "takes too long to restore a backup",
        ("US-2",),
        _backup(lambda t, size: replace(t, restore_after_s=size)),
        size=6.0,
        timed=True,
        machines=IMAGING,
    ),
    Defect(
        "altered-restore",
        "restores a record that is not what it was",
        ("US-2",),
        _backup(lambda t, _: replace(t, corrupts=True)),
        machines=IMAGING,
    ),
    Defect(
        "empty-restore",
        "says that it restored a backup and brings nothing back",
        ("US-2",),
        _backup(lambda t, _: replace(t, restores=False)),
        machines=IMAGING,
    ),
)
