"""What every network emulator offers to a bench, and what it reports afterwards.

An emulator is started with one :class:`LinkPlan` per link, all of them in the current network
namespace, and the instant that counts as session time zero. It follows the plans by itself and
gives an :class:`EmulatorReport` when it is stopped. Everything in a report is plain data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from bench.network.impairment import Direction, Impairment

Changes = tuple[tuple[int, Impairment], ...]
"""``(t_ns, impairment)`` in ascending time, ns from session time zero."""


class EmulatorError(RuntimeError):
    """The emulator could not do its work: the bench's own fault, never the device's."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One link between two interfaces of the current network namespace.

    What arrives on ``patient_ifname`` leaves on ``doctor_ifname`` (direction ``to-doctor``) and
    the other way round. ``seed`` is the session's seed.
    """

    link: str
    patient_ifname: str
    doctor_ifname: str
    to_patient: Changes
    to_doctor: Changes
    seed: int

    def changes(self, direction: Direction) -> Changes:
        """The changes of one direction."""
        return self.to_patient if direction == "to-patient" else self.to_doctor

    def ends(self, direction: Direction) -> tuple[str, str]:
        """The interfaces where packets of one direction arrive and leave."""
        if direction == "to-patient":
            return self.doctor_ifname, self.patient_ifname
        return self.patient_ifname, self.doctor_ifname


@dataclass(frozen=True, slots=True)
class Lateness:
    """How long after its due time a packet left: ``n`` packets, quantiles in seconds.

    ``histogram`` holds ``(upper edge in s, count)``, ascending, without empty buckets, eight
    buckets an octave. Quantiles are upper edges of 1 µs buckets (of octaves above 8 ms).
    """

    n: int
    p50_s: float | None
    p99_s: float | None
    p999_s: float | None
    max_s: float | None
    histogram: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """When one change was meant, commanded and in effect; ns of session time.

    ``commanded_ns``: when it was handed over (netem), or its schedule was in force (userspace:
    the scheduled time, since packets are compared with it by arrival stamp, or later where the
    command came after packets had been decided); None if it never was. ``confirmed_ns``: when
    the kernel had confirmed it (netem). ``effective_ns``: arrival of the first packet that got
    it; None if no packet did, or the emulator cannot know. ``read_back``: whether the state read
    back afterwards was the one sent; None if not read.
    """

    t_ns: int
    commanded_ns: int | None = None
    confirmed_ns: int | None = None
    effective_ns: int | None = None
    read_back: bool | None = None


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """What one link direction did, in packets.

    ``rx`` were read, ``before_start`` of them before session time zero (passed on untouched),
    ``accepted`` were given a due time and ``fates`` counts the others (lost, queue_drop, down,
    too_long).
    ``copies`` of the accepted were made besides, ``damaged`` of them got bit errors (``withheld``
    of these were not passed on), ``skipped`` the delay (reordering). ``in_flight`` were still
    waiting at the end, ``undecided`` waited for the end of a hold that was not known yet,
    ``unread`` had arrived and were not yet read.
    ``kernel_drops``, ``tx_errors`` and ``oversize`` are the emulator's own failures.
    ``unfinished_checksums`` counts packets that came with checksum offload still open (switch
    offloads off at the sending interface). ``beyond_envelope`` says why the traffic was more than
    the emulator can delay faithfully; empty where it was not, or where it cannot know.
    """

    link: str
    direction: Direction
    rx: int
    tx: int
    accepted: int
    fates: Mapping[str, int]
    before_start: int = 0
    in_flight: int = 0
    unread: int = 0
    kernel_drops: int = 0
    tx_errors: int = 0
    oversize: int = 0
    unfinished_checksums: int = 0
    lateness: Lateness | None = None
    changes: tuple[ChangeReport, ...] = ()
    clock_steps: int = 0
    clock_largest_step_s: float = 0.0
    cpu_s: float = 0.0
    scheduler: str = ""
    copies: int = 0
    damaged: int = 0
    skipped: int = 0
    undecided: int = 0
    withheld: int = 0
    beyond_envelope: str = ""

    @property
    def emulator_drops(self) -> int:
        """Packets that vanished without the law having decided so."""
        return self.kernel_drops + self.tx_errors + self.oversize

    @property
    def balanced(self) -> bool:
        """Whether every packet that was read is accounted for."""
        read = self.before_start + self.accepted + sum(self.fates.values()) + self.oversize
        left = self.tx + self.tx_errors + self.in_flight
        due = self.before_start + self.accepted + self.copies - self.withheld
        return read + self.undecided == self.rx and left == due


@dataclass(frozen=True, slots=True)
class EmulatorReport:
    """The report of a stopped emulator: ``backend`` is ``userspace`` or ``netem``."""

    backend: str
    directions: tuple[DirectionReport, ...]
    notes: tuple[str, ...] = field(default=())

    def direction(self, link: str, direction: Direction) -> DirectionReport:
        """The report of one link direction.

        Raises:
            KeyError: there is no such link direction.
        """
        for report in self.directions:
            if (report.link, report.direction) == (link, direction):
                return report
        raise KeyError((link, direction))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON-able data; keys are always present, null where empty."""
        plain = asdict(self)
        for entry, report in zip(plain["directions"], self.directions, strict=True):
            entry["emulator_drops"] = report.emulator_drops
        return plain


def direction_report(data: Mapping[str, Any]) -> DirectionReport:
    """A direction's report from the JSON data that a forwarder wrote."""
    values = {key: value for key, value in data.items() if key != "emulator_drops"}
    lateness = values.get("lateness")
    if lateness is not None:
        histogram = tuple((edge, count) for edge, count in lateness["histogram"])
        values["lateness"] = Lateness(**{**lateness, "histogram": histogram})
    values["changes"] = tuple(ChangeReport(**change) for change in values["changes"])
    return DirectionReport(**values)


class Patience(Protocol):
    """Who waits for an emulator to drain, and may give up."""

    def fileno(self) -> int:
        """For select: readable once what still waits is to be dropped."""

    def draining(self, waiting: int, within_s: float) -> None:
        """So many packets wait, and have so long to leave."""


class Emulator(Protocol):
    """Impairs the links between interfaces of the current network namespace."""

    def start(self, plans: Sequence[LinkPlan], t0_monotonic_ns: int) -> None:
        """Follow ``plans``; returns when packets are passed on.

        Args:
            plans: one per link.
            t0_monotonic_ns: session time zero on CLOCK_MONOTONIC, normally a little ahead.

        Raises:
            InputError: a plan holds what this emulator would distort.
            EmulatorError: the emulator cannot run here.
        """

    def change(
        self, link: str, direction: Direction, impairment: Impairment, at_ns: int | None = None
    ) -> int:
        """Add a change while running.

        Args:
            at_ns: when, ns of session time; None for as soon as it surely meets no packet that
                has already been decided.

        Returns:
            The time it is scheduled for; its :class:`ChangeReport` carries it as ``t_ns``.

        Raises:
            InputError: this emulator would distort it, or ``at_ns`` lies before a known change.
            EmulatorError: the emulator does not answer.
        """

    def snapshot(self) -> EmulatorReport:
        """What has been counted so far; changes that are still to come have no times.

        Raises:
            EmulatorError: the emulator does not answer.
        """

    def stop(self, drain: bool = False, patience: Patience | None = None) -> EmulatorReport:
        """Stop passing packets and undo what was set up.

        Args:
            drain: first let go, in order, all that waits (at once, or where that cannot be when
                it is due), so that nothing is dropped that a clean link would have carried.
            patience: is told where that takes time, and may end it.

        Raises:
            EmulatorError: a part of the emulator died or does not answer.
        """
