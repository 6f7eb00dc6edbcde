"""A driver as a table: each setting with its command, unit, range, step, read-back and source.

A value out of range or off the step is an error and is not sent: nothing is clamped or rounded.
After a setting was sent it is read back; another value there is an error. A name that the driver
does not have cannot be set.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NoReturn, Self, TypeVar, overload

from bench.errors import InputError
from instruments.visa.channels import SCPI, Channel, Dialect
from instruments.visa.errors import BadAnswer
from instruments.visa.readings import number

_EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is no setting. ``text`` may have ``{fields}``; ``source``: manual, section."""

    text: str
    source: str

    def with_(self, **values: object) -> str:
        """The text with its fields filled in."""
        return self.text.format(**values)


@dataclass(frozen=True, slots=True)
class Verification:
    """A driver seen to work on hardware: model, firmware, date (ISO 8601), who says so."""

    model: str
    firmware: str
    date: str
    by: str


T = TypeVar("T")


class Setting(Generic[T]):
    """One setting of an instrument; see :class:`Number`, :class:`Choice` and :class:`Switch`.

    Args:
        set: the command; ``{value}`` and the instrument's ``{fields}`` are filled in.
        get: the query that reads it back.
        source: manual and section.
        replies: what the instrument answers to ``set``; None where it does not.
        settles_s: how long setting it may take, s; None: as long as any answer.
    """

    name = ""

    def __init__(
        self,
        set: str,
        get: str,
        *,
        source: str,
        replies: str | None = None,
        settles_s: float | None = None,
    ) -> None:
        self.set, self.get, self.source = set, get, source
        self.replies, self.settles_s = replies, settles_s

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instrument: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instrument: Instrument, owner: type) -> T: ...
    def __get__(self, instrument: Instrument | None, owner: type) -> T | Self:
        """Ask the instrument."""
        if instrument is None:
            return self
        return self.read(instrument.channel.query(instrument.filled(self.get)), instrument)

    def __set__(self, instrument: Instrument, value: T) -> None:
        """Check, send, read back, and declare it.

        Raises:
            InputError: the value is not possible; nothing was sent.
            NotApplied: the instrument reads back another.
        """
        self.check(instrument, value)
        instrument.guard(self.name, value)
        self.apply(instrument, value)
        instrument.channel.declare(self.name, lambda: instrument.restore(self, value))

    def apply(self, instrument: Instrument, value: T) -> None:
        """Send and read back."""
        channel, text = instrument.channel, instrument.filled(self.set, self.written(value))
        with channel.step(f"{self.name} = {self.written(value)}"):
            if self.replies is None:
                channel.command(text)
            else:
                wanted = self.replies
                channel.confirm(
                    text, lambda got: "" if got == wanted else "refused", wanted, self.settles_s
                )
            channel.confirm(
                instrument.filled(self.get),
                lambda got: self.differs(got, value, instrument),
                self.written(value),
                self.settles_s,
            )

    def check(self, instrument: Instrument, value: T) -> None:
        """Raises: InputError: not a value of this setting."""
        raise NotImplementedError

    def written(self, value: T) -> str:
        """As the command has it."""
        raise NotImplementedError

    def read(self, text: str, instrument: Instrument) -> T:
        """The value in an answer."""
        raise NotImplementedError

    def differs(self, text: str, value: T, instrument: Instrument) -> str:
        """What is wrong with the answer that reads ``value`` back."""
        got = self.read(text, instrument)
        return "" if got == value else f"{self.name} was set to {value!r}"

    def refuse(self, instrument: Instrument, value: object, problem: str, remedy: str) -> NoReturn:
        """Raises: InputError."""
        field = f"{instrument.channel.role}.{self.name}"
        raise InputError(problem, remedy=remedy, field=field, value=value)


class Number(Setting[float]):
    """A number; its name ends in its unit.

    Args:
        unit: SI unit, dB or dBm; what the instrument is told and tells.
        low, high: the range, both ends included.
        step: its multiples are the only values; None: any.
        tolerance: how far the read-back may be off; None: half a step, or 1e-9 of the value.
    """

    def __init__(
        self,
        set: str,
        get: str,
        *,
        unit: str,
        low: float,
        high: float,
        source: str,
        step: float | None = None,
        tolerance: float | None = None,
        replies: str | None = None,
    ) -> None:
        super().__init__(set, get, source=source, replies=replies)
        self.unit, self.low, self.high, self.step = unit, low, high, step
        self._tolerance = tolerance

    def range(self, instrument: Instrument) -> tuple[float, float]:
        """The range of one instrument: the driver's, or what its configuration narrows it to."""
        return instrument.limits.get(self.name, (self.low, self.high))

    def check(self, instrument: Instrument, value: float) -> None:
        """As :class:`Setting`."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            self.refuse(instrument, value, "is not a number", f"give a number in {self.unit}")
        low, high = self.range(instrument)
        if not low <= value <= high:
            remedy = f"give {low:.15g} to {high:.15g} {self.unit}"
            self.refuse(instrument, value, "is out of range", remedy)
        if self.step and abs(value / self.step - round(value / self.step)) > 1e-6:
            remedy = f"give a multiple of {self.step:g} {self.unit}"
            self.refuse(instrument, value, "is off the step", remedy)

    def written(self, value: float) -> str:
        """As :class:`Setting`."""
        return f"{value:.15g}"

    def read(self, text: str, instrument: Instrument) -> float:
        """As :class:`Setting`; a number that the instrument cannot have is an error, not a value.

        Raises:
            BadAnswer, NotAResult: no number, or out of the driver's range (``-1`` for an error).
        """
        role = instrument.channel.role
        value = number(text, role)
        slack = self._slack(value)
        if not self.low - slack <= value <= self.high + slack:
            raise BadAnswer(role, f"{self.name} cannot be {text!r}: out of its range")
        return value

    def _slack(self, value: float) -> float:
        if self._tolerance is not None:
            return self._tolerance
        return self.step / 2 if self.step else abs(value) * _EXACT

    def differs(self, text: str, value: float, instrument: Instrument) -> str:
        """As :class:`Setting`."""
        off = abs(self.read(text, instrument) - value)
        return (
            "" if off <= self._slack(value) else f"{self.name} was set to {value:.15g} {self.unit}"
        )


class Choice(Setting[str]):
    """One of some words. ``values``: our word to the instrument's, and what it may answer."""

    def __init__(
        self,
        set: str,
        get: str,
        *,
        values: Mapping[str, tuple[str, ...]],
        source: str,
        replies: str | None = None,
        settles_s: float | None = None,
    ) -> None:
        super().__init__(set, get, source=source, replies=replies, settles_s=settles_s)
        self.values = values

    def check(self, instrument: Instrument, value: str) -> None:
        """As :class:`Setting`."""
        if value not in self.values:
            self.refuse(instrument, value, "is unknown", f"use one of {', '.join(self.values)}")

    def written(self, value: str) -> str:
        """As :class:`Setting`."""
        return self.values[value][0]

    def read(self, text: str, instrument: Instrument) -> str:
        """As :class:`Setting`."""
        word = text.strip().strip('"').upper()
        for ours, theirs in self.values.items():
            if word in (one.upper() for one in theirs):
                return ours
        return word


def on_off(
    set: str,
    get: str,
    *,
    source: str,
    replies: str | None = None,
    settles_s: float | None = None,
) -> Choice:
    """A choice of ``on`` and ``off``, written 1 and 0; some instruments answer ON and OFF."""
    values = {"on": ("1", "ON"), "off": ("0", "OFF")}
    return Choice(set, get, values=values, source=source, replies=replies, settles_s=settles_s)


class Instrument:
    """What all drivers are. Settings are class attributes; nothing else can be set.

    Args:
        channel: a session, or a plan.
        limits: narrower ranges of numbers, ``{setting: (low, high)}``, out of the bench file.

    Attributes:
        family, models: what it drives (model patterns as in ``Identity``).
        verified_on: hardware on which it was seen to work; empty: never.
    """

    family: ClassVar[str] = ""
    manufacturer: ClassVar[str] = ""
    models: ClassVar[tuple[str, ...]] = ()
    verified_on: ClassVar[tuple[Verification, ...]] = ()
    dialect: ClassVar[Dialect] = SCPI

    channel: Channel
    limits: Mapping[str, tuple[float, float]]

    def __init__(
        self, channel: Channel, limits: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        """Raises: InputError: a limit of no number, or wider than the driver's."""
        put = object.__setattr__
        put(self, "channel", channel)
        put(self, "limits", dict(limits or {}))
        for name, (low, high) in self.limits.items():
            known = numbers_of(type(self)).get(name)
            field = f"{channel.role}.limits.{name}"
            if known is None:
                names = ", ".join(numbers_of(type(self)))
                raise InputError("is no number of it", remedy=f"use one of {names}", field=field)
            if not known.low <= low <= high <= known.high:
                raise InputError(
                    "is not a range within the driver's",
                    remedy=f"give [low, high] within {known.low:g} to {known.high:g} {known.unit}",
                    field=field,
                    value=[low, high],
                )

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or isinstance(_inherited(type(self), name), Setting):
            object.__setattr__(self, name, value)
            return
        known = sorted(settings_of(type(self)))
        close = difflib.get_close_matches(name, known, 1)
        raise InputError(
            "is no setting of it",
            remedy=f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}",
            field=f"{self.channel.role}.{name}",
            value=value,
        )

    def filled(self, text: str, value: str = "") -> str:
        """A command with the value and the instrument's own fields in it."""
        return text.format(value=value, **self.fields())

    def fields(self) -> Mapping[str, str]:
        """What stands for ``{fields}`` in its commands: a channel, an instance number."""
        return {}

    def guard(self, name: str, value: object) -> None:
        """Refuse a setting that is possible but not allowed now; raises InstrumentError."""

    def restore(self, setting: Setting[T], value: T) -> None:
        """Reach a declared setting again, the session having been made anew."""
        setting.apply(self, value)

    def make_safe(self) -> None:
        """Bring it into its safe state and verify that by queries. Most have none to reach."""


def _inherited(kind: type, name: str) -> object:
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def settings_of(kind: type) -> dict[str, Setting[Any]]:
    """All settings of a driver, by name."""
    found = {name: _inherited(kind, name) for base in kind.__mro__ for name in vars(base)}
    return {name: item for name, item in found.items() if isinstance(item, Setting)}


def numbers_of(kind: type) -> dict[str, Number]:
    """Those that are numbers."""
    return {n: item for n, item in settings_of(kind).items() if isinstance(item, Number)}


def commands_of(kind: type) -> dict[str, Command]:
    """All other commands of a driver, by name; those of a tuple by name and number."""
    found = {name: _inherited(kind, name) for base in kind.__mro__ for name in vars(base)}
    listed = {
        f"{name}[{number}]": item
        for name, items in found.items()
        if isinstance(items, tuple)
        for number, item in enumerate(items)
    }
    return {n: item for n, item in {**found, **listed}.items() if isinstance(item, Command)}
