"""Records that a device keeps, their backup, and what is there after a restore.

A record is made regularly (an entry of the examination, with its SHA-256). The backup is copied
regularly to another store; a restore brings back what the last copy holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bench.devices.ports import Port
from bench.units import ns

FAIL, RESTORE = "fail-storage", "restore-backup"


@dataclass(frozen=True, slots=True)
class BackupTraits:
    """How a device's backup deviates.

    ``period_s``: between two copies instead of the profile's; 0 for that. ``restore_after_s``:
    longer than its rate takes. ``corrupts``: one restored record is not what it was. ``restores``:
    false brings nothing back and says that it is done.
    """

    period_s: float = 0.0
    restore_after_s: float = 0.0
    corrupts: bool = False
    restores: bool = True


class RecordStore:
    """Makes records, copies them, loses and restores them.

    The bench sees each record as it is made (``record``), and the archive as its display lists it
    (``archive``) whenever that changes otherwise.

    Args:
        limits: ``record_period_s``, ``backup_period_s``, ``restore_rate`` (records per s).
    """

    def __init__(self, limits: Mapping[str, float], traits: BackupTraits, port: Port) -> None:
        self._port, self._traits = port, traits
        self._record_ns = ns(limits["record_period_s"])
        self._backup_ns = ns(traits.period_s or limits["backup_period_s"])
        self._restore_rate = limits["restore_rate"]
        self._records: dict[str, str] = {}
        self._backup: dict[str, str] = {}
        self._failed = False
        self._number = 0

    def start(self, now_ns: int) -> None:
        """Begin to record and to copy."""
        self._port.at(now_ns + self._record_ns, self._record)
        self._port.at(now_ns + self._backup_ns, self._copy)

    def operate(self, now_ns: int, action: str) -> None:
        """``fail-storage`` empties the store; ``restore-backup`` orders the restore."""
        if action == FAIL:
            self._failed = True
            self._records.clear()
            self._port.log(now_ns, "storage-failed", {})
            self._show(now_ns)
        elif action == RESTORE:
            self._port.log(now_ns, "restore-ordered", {"records": len(self._backup)})
            takes_s = len(self._backup) / self._restore_rate + self._traits.restore_after_s
            self._port.at(now_ns + ns(takes_s), self._restored)

    def _record(self, now_ns: int) -> None:
        self._port.at(now_ns + self._record_ns, self._record)
        if self._failed:
            return
        name = f"r{self._number:04d}"
        self._number += 1
        self._records[name] = hashlib.sha256(f"{name} at {now_ns}".encode()).hexdigest()[:16]
        self._port.contact(now_ns, "record", {"id": name, "sha256": self._records[name]})

    def _copy(self, now_ns: int) -> None:
        self._port.at(now_ns + self._backup_ns, self._copy)
        if not self._failed:
            self._backup = dict(self._records)
            self._port.log(now_ns, "backup", {"records": len(self._backup)})

    def _restored(self, now_ns: int) -> None:
        self._failed = False
        if self._traits.restores:
            self._records = dict(self._backup)
            if self._traits.corrupts and self._records:
                name = next(iter(self._records))
                self._records[name] = self._records[name][::-1]
        self._port.log(now_ns, "restored", {"records": len(self._records)})
        self._show(now_ns)

    def _show(self, now_ns: int) -> None:
        self._port.signal(now_ns, "archive", {"records": dict(self._records)})
