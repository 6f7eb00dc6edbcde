"""The audit log of one side of a device: what is written down, by which clock, and how it is read.

The live channel (:meth:`~bench.devices.ports.Port.log`) gives the device's words as they come.
Every one of them is also stored, with the alarms that sound and the controls that are worked; a
stream of commands is stored as one summary a second. ``export-log`` gives out what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bench.devices.audit_store import AuditStore
from bench.devices.ports import Message, Port, Send
from bench.devices.reports import TECHNICAL
from bench.units import NS_PER_S, ns


class Kind(StrEnum):
    """What an entry is about."""

    OPERATOR = "operator"
    COMMAND = "command"
    PROCEDURE = "procedure"
    ALARM = "alarm"
    CONNECTION = "connection"
    ANOMALY = "anomaly"
    ATTACK = "attack"
    DEVICE = "device"


ATTACK = "attack"
EXECUTED, SUMMARY = "commands-executed", "connection-summary"
EXPORT, CLOCK, POWER_ON, FULL, RESUMED = (
    "audit-export", "clock", "power-on", "log-full", "log-resumed",
)  # fmt: skip
"""Names of entries and events that are the log's own."""

KINDS: Mapping[str, Kind] = {
    "operator": Kind.OPERATOR,
    "procedure": Kind.PROCEDURE,
    "alarm-signal": Kind.ALARM,
    "rearm": Kind.COMMAND,
    "stop-button": Kind.COMMAND,
    "rearm-rejected": Kind.COMMAND,
    EXECUTED: Kind.COMMAND,
    "connection": Kind.CONNECTION,
    "session": Kind.CONNECTION,
    "link-state": Kind.CONNECTION,
    "link-switch": Kind.CONNECTION,
    SUMMARY: Kind.CONNECTION,
    "alarm-condition": Kind.ANOMALY,
    "commands-dropped": Kind.ANOMALY,
    "refused": Kind.ATTACK,
}
"""Name of an entry to its kind; names that begin with ``attack`` are attacks, all others the
device's own affairs."""

CONTACTS = frozenset({"rearm", "stop-button"})
"""Contacts that somebody works: they are stored as commands."""

PROCEDURES = {"procedure-start": "start", "procedure-end": "end"}
SIGNS = ("sign-in", "sign-out")


@dataclass(frozen=True, slots=True)
class AuditTraits:
    """How a device keeps its log. SI.

    ``clock_offset_s``, ``clock_drift``: its clock at the start, and how much faster it runs (s per
    s). ``omits``: kinds or names that are not stored. ``late_s``: entries are stamped so much
    later. ``clinical``: alarms of the patient are stored. ``figure_factor``: on recorded figures.
    ``forges``: stores somebody who never signed in. ``phantoms``: alarms that are stored and never
    sound. ``sync_after_s``: from an entry to its being safely stored. ``export_omits``: kinds that
    the export leaves out. ``shows_full``, ``checks``: a full medium, an edit are shown. The others
    are :class:`~bench.devices.audit_store.AuditStore`'s.
    """

    clock_offset_s: float = 0.02
    clock_drift: float = 2e-5
    omits: frozenset[str] = frozenset()
    late_s: float = 0.0
    clinical: bool = True
    figure_factor: float = 1.0
    forges: bool = False
    phantoms: frozenset[str] = frozenset()
    sync_after_s: float = 0.0
    volatile: bool = False
    capacity: int = 4096
    shows_full: bool = True
    overwrites: bool = False
    checks: bool = True
    anchored: bool = True
    export_omits: frozenset[str] = frozenset()

    def medium(self) -> AuditStore:
        """An empty medium for such a log."""
        return AuditStore(
            self.capacity,
            anchored=self.anchored,
            overwrites=self.overwrites,
            volatile=self.volatile,
        )


class AuditedPort:
    """A port that also lets the log know what leaves the device."""

    def __init__(self, port: Port, audit: Audit) -> None:
        self.at = port.at
        self.send: Send = port.send
        self.send_burst = port.send_burst
        self._port = port
        self._audit = audit

    def follow(self, now_ns: int, link: int) -> None:
        """Send to another address."""
        self._port.follow(now_ns, link)

    def actuate(self, now_ns: int, message: Message) -> None:
        """The drive executes a command."""
        self._port.actuate(now_ns, message)
        self._audit.executed(now_ns, message[1])

    def contact(self, now_ns: int, name: str, value: Any) -> None:
        """A contact or encoder outside the device changes."""
        self._port.contact(now_ns, name, value)
        if name in CONTACTS:
            self._audit.write(now_ns, name, value)

    def signal(self, now_ns: int, name: str, value: Any) -> None:
        """A light or sound of the device changes."""
        if name != "alarm-signal":
            self._port.signal(now_ns, name, value)
            return
        if value["alarm"] not in self._audit.traits.phantoms:
            self._port.signal(now_ns, name, value)
        self._audit.write(now_ns, name, value)

    def log(self, now_ns: int, name: str, value: Any) -> None:
        """The device writes an entry to its own audit log."""
        self._port.log(now_ns, name, value)
        self._audit.write(now_ns, name, value)


class Audit:
    """The log of one side.

    Args:
        traits: how it is kept.
        port: of the bench; :attr:`port` is the one that the side uses instead.
        on_full: called ``(now_ns, full)`` when the medium is full, and when it is no longer.
        store: the medium, with what it kept over a power cut; an empty one where ``None``.
    """

    def __init__(
        self,
        traits: AuditTraits,
        port: Port,
        *,
        on_full: Callable[[int, bool], None],
        store: AuditStore | None = None,
    ) -> None:
        self.traits = traits
        self.port = AuditedPort(port, self)
        self.store = traits.medium() if store is None else store
        self._live = port
        self._on_full = on_full
        self._full = False
        self._refused = 0
        self._sync_waits = False
        self._executed = [0, 0, 0]
        self._since_ns = 0
        self._counts: dict[str, int] = {}
        self._actions: Mapping[str, Callable[[int, str], None]] = {
            "read-clock": self._read_clock,
            "export-log": self._export,
            "edit-log": lambda _, how: self.store.edit(how),
            "restore-log": lambda _, __: self.store.restore(),
            "power-cut": self._power_cut,
            "disk-full": lambda _, __: self.store.fill(),
            "disk-free": self._free,
        }

    def start(self, now_ns: int) -> None:
        """Power on; a medium that holds entries kept them over a power cut."""
        if len(self.store):
            self._restart(now_ns)

    def clock_ns(self, now_ns: int) -> int:
        """The device's own clock."""
        traits = self.traits
        return now_ns + ns(traits.clock_offset_s) + round(now_ns * traits.clock_drift)

    def operate(self, now_ns: int, action: str) -> None:
        """What the bench or an operator does; other actions are none of the log's.

        ``sign-in:NAME``, ``sign-out:NAME``, ``procedure-start:NAME``, ``procedure-end:NAME``,
        ``read-clock``, ``export-log``, ``edit-log:HOW``, ``restore-log``, ``power-cut``,
        ``disk-full``, ``disk-free``.
        """
        what, _, name = action.partition(":")
        if what in SIGNS:
            self.port.log(now_ns, "operator", {"action": what, "name": name})
        elif what in PROCEDURES:
            self._procedure(now_ns, PROCEDURES[what], name)
        elif what in self._actions:
            self._actions[what](now_ns, name)

    def write(self, now_ns: int, name: str, content: Any) -> None:
        """Store an entry."""
        self._count(name, content)
        kind = KINDS.get(name, Kind.ATTACK if name.startswith(ATTACK) else Kind.DEVICE)
        if {kind, name} & self.traits.omits or not (
            self.traits.clinical or _technical(kind, content)
        ):
            return
        if name == "alarm-condition" and isinstance(content["value"], float):
            content = {**content, "value": content["value"] * self.traits.figure_factor}
        clock_ns = self.clock_ns(now_ns) + ns(self.traits.late_s)
        if self.store.append(clock_ns, kind, name, content):
            self._synchronise(now_ns)
            return
        self._refused += 1
        if not self._full and self.traits.shows_full:
            self._full = True
            self._live.log(now_ns, FULL, {})
            self.store.append(clock_ns, Kind.DEVICE, FULL, {}, last=True)
            self._synchronise(now_ns)
            self._on_full(now_ns, True)

    def executed(self, now_ns: int, seq: int) -> None:
        """A command was executed."""
        tally = self._executed
        if tally[2] == 0:
            tally[0] = seq
            self.port.at(now_ns + NS_PER_S, self._summarise)
        tally[1] = seq
        tally[2] += 1

    def _summarise(self, now_ns: int) -> None:
        first, last, count = self._executed
        if count:
            self._executed = [0, 0, 0]
            self.write(now_ns, EXECUTED, {"first": first, "last": last, "count": count})

    def _synchronise(self, now_ns: int) -> None:
        if self.traits.sync_after_s <= 0:
            self.store.sync()
        elif not self._sync_waits:
            self._sync_waits = True
            self.port.at(now_ns + ns(self.traits.sync_after_s), self._sync_due)

    def _sync_due(self, now_ns: int) -> None:
        self._sync_waits = False
        self.store.sync()

    def _procedure(self, now_ns: int, edge: str, name: str) -> None:
        if edge == "start":
            self._since_ns, self._counts = self.clock_ns(now_ns), {}
        self.port.log(now_ns, "procedure", {"action": edge, "name": name})
        if edge == "start" and self.traits.forges:
            self.write(now_ns, "operator", {"action": "sign-in", "name": "unknown"})
        if edge == "end":
            self.port.log(now_ns, SUMMARY, {"since_ns": self._since_ns, **self._summary()})

    def _count(self, name: str, content: Any) -> None:
        """For the connection's summary: what happened since the procedure began."""
        if name == "alarm-condition":
            name = content["alarm"] if content["on"] else ""
        elif name == "connection":
            name = "" if content["up"] else "interruption"
        self._counts[name] = self._counts.get(name, 0) + 1

    def _summary(self) -> dict[str, int]:
        wanted = {
            "switches": "link-switch", "interruptions": "interruption", "delays": "network-delay",
            "losses": "network-loss", "silences": "network-interrupted",
        }  # fmt: skip
        return {what: self._counts.get(name, 0) for what, name in wanted.items()}

    def _read_clock(self, now_ns: int, _: str) -> None:
        self._live.log(now_ns, CLOCK, {"clock_ns": self.clock_ns(now_ns)})

    def _export(self, now_ns: int, _: str) -> None:
        self._summarise(now_ns)
        self.store.sync()
        entries = [
            e.as_json() for e in self.store.entries if e.kind not in self.traits.export_omits
        ]
        check = self.store.check() if self.traits.checks else ""
        found = {"entries": entries, "check": check, "full": self._full, "refused": self._refused}
        self._live.log(now_ns, EXPORT, found)

    def _power_cut(self, now_ns: int, _: str) -> None:
        """The log's part of the device loses its power and starts again at once."""
        self._executed = [0, 0, 0]
        self._restart(now_ns)

    def _restart(self, now_ns: int) -> None:
        """Begin again on what the medium kept."""
        self.store.power_cut()
        self.port.log(now_ns, POWER_ON, {"entries": len(self.store)})

    def _free(self, now_ns: int, _: str) -> None:
        self.store.free()
        if self._full:
            self._full = False
            self.port.log(now_ns, RESUMED, {"refused": self._refused})
            self._on_full(now_ns, False)


def _technical(kind: Kind, content: Any) -> bool:
    """Whether an entry is no alarm of the patient."""
    return kind is not Kind.ALARM or content["alarm"] in TECHNICAL
