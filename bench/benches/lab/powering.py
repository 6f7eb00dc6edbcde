"""A real device's power through a supply: on before a session, cut by the scenario, read back.

::

    [roles]
    supply = "supply"               # an instrument of kind "keysight-e36312a"; its output feeds it

    [power]
    side = "patient"                # whose power it is
    voltage_v = 12.0
    current_a = 1.0                 # the supply's limit
    dark_v = 0.5                    # below this the device has no power
    boot = "20s"                    # so long after its power came it can be used
    leave_on = false                # true: it keeps its power on every way out

The safe state of a device's supply is off. Where the file says ``leave_on`` it is on, as declared:
a device that must not be without power (a patient's data, a heated part) is left with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.benches.lab.hands import Task
from bench.benches.lab.telling import Host, told
from bench.devices.power import POWER, POWER_CUT
from bench.network.scenario import ScheduledAction, Side
from bench.sessions.recording import Event
from bench.tables import Table
from bench.units import NS_PER_S, duration_s, ns
from instruments.calibration import decibels as plain_number
from instruments.files import Configured
from instruments.power.supplies import E36312A
from instruments.visa.channels import Channel
from instruments.visa.errors import NotApplied, NotWitnessed
from instruments.visa.readings import Reading

SUPPLY = "supply"
"""The event that holds what a supply read back; the bench is its origin."""

UP_S = 2.0
"""Within this an output that was switched on has its voltage."""

LEAST_SHARE = 0.95
"""Of the voltage that was set: less is a supply at its current limit, or a wire that is off."""

MOST_DOUBT_S = 0.5
"""An output whose switching takes longer than this went at no known time."""

_LOOK_S = 0.05
_LONGEST_BOOT_S = 600.0
_DEFAULT_CUT = "1s"


@dataclass(frozen=True, slots=True)
class DevicePower:
    """What feeds one side of a device; see the module. Volts, amperes, seconds."""

    supply: str
    side: Side
    voltage_v: float
    current_a: float
    dark_v: float
    boot_s: float
    leave_on: bool = False


def power_of(table: Table, supply: Configured) -> DevicePower:
    """The ``[power]`` table.

    Raises:
        InputError: a supply that cannot do it, or figures beyond its limits.
    """
    table.only(("side", "voltage_v", "current_a", "dark_v", "boot"), ("leave_on",))
    if not issubclass(supply.kind, E36312A):
        table.fail("side", f"needs a supply, and {supply.role} is none", "see [roles] supply")
    one = supply.make(supply.plan())
    for key, setting in (("voltage_v", E36312A.voltage_v), ("current_a", E36312A.current_a)):
        low, high = setting.range(one)
        value = plain_number(table, key)
        if value <= 0 or not low <= value <= high:
            table.fail(key, "is beyond the supply's limits", f"give {low:g} to {high:g}, above 0")
    voltage_v, dark_v = plain_number(table, "voltage_v"), plain_number(table, "dark_v")
    if not 0 < dark_v <= voltage_v / 2:
        table.fail("dark_v", "is no voltage without power", f"give at most {voltage_v / 2:g}")
    boot_s = table.quantity("boot", "s")
    if boot_s > _LONGEST_BOOT_S:
        table.fail("boot", "is too long", f"give at most {_LONGEST_BOOT_S:g}s")
    side: Side = "patient" if table.choice("side", ("patient", "doctor")) == "patient" else "doctor"
    return DevicePower(
        supply.role, side, voltage_v, plain_number(table, "current_a"), dark_v, boot_s,
        table.flag("leave_on"),
    )  # fmt: skip


class Feed:
    """One supply that feeds a device.

    Args:
        supply: its driver, in a session.
        wired: what the file says.
        host: whose clock it is; it is told what the supply reads.

    Attributes:
        since_ns: when it last came on, monotonic; 0: it was on before.
    """

    family: ClassVar[str] = E36312A.family

    def __init__(self, supply: E36312A, wired: DevicePower, host: Host) -> None:
        self._supply, self.wired, self.host = supply, wired, host
        self.since_ns = 0

    @property
    def channel(self) -> Channel:
        """The supply's."""
        return self._supply.channel

    def make_safe(self) -> None:
        """Off; on, as declared, where that is what the device must be left with. Verified.

        Raises:
            InstrumentError: it is not, or that could not be verified.
        """
        if self.wired.leave_on:
            self.channel.settle()
            self.on()
        else:
            self.off()

    def off(self) -> None:
        """Output off, verified by a query. Raises: InstrumentError."""
        self._supply.make_safe()

    def on(self) -> int:
        """Output on, as declared; measured.

        Returns:
            When, monotonic: not later than it came on; that it was on before: 0.

        Raises:
            NotApplied: it is on with other settings, or its voltage does not come.
            InstrumentError: it failed.
        """
        supply, wired, began_ns = self._supply, self.wired, 0
        if not supply.is_on():
            supply.voltage_v, supply.current_a = wired.voltage_v, wired.current_a
            began_ns = self.since_ns = self.host.now_ns()
            supply.switch_on()
        for name, wanted in (("voltage_v", wired.voltage_v), ("current_a", wired.current_a)):
            found = getattr(supply, name)
            if abs(found - wanted) > 1e-3:
                raise NotApplied(
                    wired.supply, f"is on with {name} {found:g}, and [power] says {wanted:g}"
                )
        until_ns = self.host.now_ns() + ns(UP_S)
        while (volts := self.volts()) < LEAST_SHARE * wired.voltage_v:
            if self.host.now_ns() > until_ns:
                raise NotApplied(
                    wired.supply, f"gives {volts:g} V, and {wired.voltage_v:g} V are set"
                )
            self.host.sleep(_LOOK_S)
        return began_ns

    def volts(self) -> float:
        """Measured, V. Raises: InstrumentError: there is no such number."""
        return self._read("voltage_v", self._supply.voltage())

    def amperes(self) -> float:
        """Measured, A. Raises: InstrumentError: there is no such number."""
        return self._read("current_a", self._supply.current())

    def _read(self, name: str, reading: Reading) -> float:
        value = reading.number()
        self.host.tell({"reads": self.wired.supply, name: value})
        return value

    def booted(self) -> None:
        """Wait until the device has had its power for as long as it takes to start."""
        if self.since_ns:
            self.host.sleep_until(self.since_ns + ns(self.wired.boot_s))


class Power:
    """The supply of a real device, around its sessions.

    Args:
        feed: of a laboratory that is entered.
    """

    seen = (POWER,)

    def __init__(self, feed: Feed) -> None:
        self._feed, self.wired = feed, feed.wired
        self.telling, self.tell = False, feed.host.tell
        self._began: dict[str, float] = {}

    @told
    def ready(self) -> None:
        """Before a session: on, and the device has started.

        Raises:
            InstrumentError: the supply failed, or does not give what is declared.
        """
        self._feed.on()
        self._feed.booted()
        self._began = self._reading()

    @told
    def events(self, t0_ns: int, end_ns: int) -> tuple[Event, ...]:
        """What the supply read back before a session that has just ended, and behind it.

        Raises:
            NotWitnessed: the device is without power, though nobody cut it.
            InstrumentError: the supply failed.
        """
        behind = self._reading()
        if behind["voltage_v"] < LEAST_SHARE * self.wired.voltage_v:
            raise NotWitnessed(self.wired.supply, f"gives {behind['voltage_v']:g} V at the end")
        self._feed.booted()
        return (
            Event(0, self.wired.side, "contact", POWER, 1),
            Event(0, self.wired.side, "bench", SUPPLY, {"on": True, **self._began}),
            Event(end_ns, self.wired.side, "bench", SUPPLY, {"on": True, **behind}),
        )

    def _reading(self) -> dict[str, float]:
        return {"voltage_v": self._feed.volts(), "current_a": self._feed.amperes()}

    # ---- cutting it ----------------------------------------------------------

    def can(self, action: ScheduledAction) -> bool:
        """Whether it is a cut of the power that this supply gives."""
        return action.name.partition(":")[0] == POWER_CUT and action.side == self.wired.side

    def task(self, action: ScheduledAction) -> Task:
        """Cut the power for as long as the action says; the time counts from where it was off."""
        lasts_ns = ns(duration_s(action.name.partition(":")[2] or _DEFAULT_CUT))
        return Task(action.t_ns, lambda t0_ns: self._cut(action, lasts_ns, t0_ns))

    def _cut(
        self, action: ScheduledAction, lasts_ns: int, t0_ns: int
    ) -> tuple[Sequence[Event], Sequence[Task]]:
        """Off: the action when it was commanded, the contact when the supply said so."""
        commanded_ns, off_ns = (t_ns - t0_ns for t_ns in self.cut())
        done = (
            Event(commanded_ns, action.side, "bench", "action", {"name": action.name}),
            Event(off_ns, action.side, "contact", POWER, 0),
        )
        times = {"commanded_s": commanded_ns / NS_PER_S, "confirmed_s": off_ns / NS_PER_S}
        return done, (self._look(off_ns, off_ns + lasts_ns, times),)

    @told
    def cut(self) -> tuple[int, int]:
        """Off; when it was commanded, and when the supply had said so, monotonic, ns.

        Raises:
            NotApplied: in between was too long.
            InstrumentError: the supply failed.
        """
        host = self._feed.host
        commanded_ns = host.now_ns()
        self._feed.off()
        off_ns = host.now_ns()
        if off_ns - commanded_ns > ns(MOST_DOUBT_S):
            took_s = (off_ns - commanded_ns) / NS_PER_S
            raise NotApplied(self.wired.supply, f"took {took_s:.2g} s to go off: when is not known")
        return commanded_ns, off_ns

    def _look(self, due_ns: int, until_ns: int, times: dict[str, float]) -> Task:
        """See the voltage gone; then power again at ``until_ns``."""

        def do(t0_ns: int) -> tuple[Sequence[Event], Sequence[Task]]:
            seen_ns, read = self.dark(t0_ns + until_ns)
            now_ns = seen_ns - t0_ns
            if read is None:
                return (), (self._look(now_ns + ns(_LOOK_S), until_ns, times),)
            value = {"on": False, **read, **times, "dark_s": now_ns / NS_PER_S}
            dark = Event(now_ns, self.wired.side, "bench", SUPPLY, value)
            return (dark,), (Task(until_ns, self._restore),)

        return Task(due_ns, do)

    @told
    def dark(self, until_ns: int) -> tuple[int, dict[str, float] | None]:
        """Look whether the voltage is gone, while the power is cut.

        Args:
            until_ns: when it must be, monotonic.

        Returns:
            When it was looked, ns, and what the supply reads; None: it is not gone yet.

        Raises:
            NotApplied: it never was.
            InstrumentError: the supply failed.
        """
        volts = self._feed.volts()
        now_ns = self._feed.host.now_ns()
        if volts <= self.wired.dark_v:
            return now_ns, {"voltage_v": volts, "current_a": self._feed.amperes()}
        if now_ns >= until_ns:
            raise NotApplied(
                self.wired.supply,
                f"is off, and {volts:g} V are still there: the device is fed by another",
            )
        return now_ns, None

    def _restore(self, t0_ns: int) -> tuple[Sequence[Event], Sequence[Task]]:
        """Power again; the contact when it was commanded: before, there was none."""
        on_ns, seen_ns, read = self.restore(t0_ns)
        commanded_ns, up_ns = on_ns - t0_ns, seen_ns - t0_ns
        value = {
            "on": True,
            **read,
            "commanded_s": commanded_ns / NS_PER_S,
            "up_s": up_ns / NS_PER_S,
        }
        return (
            Event(commanded_ns, self.wired.side, "contact", POWER, 1),
            Event(up_ns, self.wired.side, "bench", SUPPLY, value),
        ), ()

    @told
    def restore(self, t0_ns: int) -> tuple[int, int, dict[str, float]]:
        """Power again.

        Args:
            t0_ns: the session's start, monotonic; it was off then.

        Returns:
            When it was commanded, when its voltage was there, ns; what the supply reads.

        Raises:
            NotApplied: somebody else has switched it on, or as :meth:`Feed.on`.
            InstrumentError: the supply failed.
        """
        on_ns = self._feed.on()
        up_ns = self._feed.host.now_ns()
        if on_ns <= t0_ns:
            raise NotApplied(self.wired.supply, "was on before it was to be: somebody switched it")
        return on_ns, up_ns, self._reading()
