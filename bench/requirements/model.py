"""The requirement: one documented threshold or behaviour, with its source and its readings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Comparator = Literal["<", "<=", ">", ">=", "in", "=="]
Kind = Literal["requirement", "measured", "capability", "sizing", "declaration", "behaviour"]
ReferencePoints = Literal[
    "interface-interface", "app-app", "glass-glass", "stop-motion", "fault-signal", "none"
]

Conversion = Literal[
    "as-written", "superscript", "percent", "month-30d", "year-365d", "binary", "bytes",
    "complement", "tolerance", "nominal", "in-words",
]  # fmt: skip
"""How a figure follows from the text that carries it.

``as-written``: number and unit as printed, decimal prefixes, misprinted units as their note says.
``superscript``: ``10-3`` lost its raised exponent. ``percent``: a percentage without its sign.
``month-30d``, ``year-365d``: calendar units as so many days. ``binary``: prefixes of 1024.
``bytes``: bytes where the text has bits, or the reverse. ``complement``: one less the ratio.
``tolerance``: a figure plus and minus 5 %. ``nominal``: a figure of the thing that the text
names, from its standard. ``in-words``: an order of magnitude in words.
"""

NEARER_THAN: dict[str, tuple[str, ...]] = {
    "app-app": ("interface-interface",),
    "glass-glass": ("interface-interface", "app-app"),
    "stop-motion": ("interface-interface", "app-app"),
}
"""Reference points between which a measured value must never pass a farther requirement."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure stands.

    ``file``: the document's three digits. ``text``: the table cell or the shortest fragment that
    carries the figure. ``sha256`` of the whole document.
    """

    file: str
    document: str
    place: str
    text: str
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read an ambiguous figure. Exactly one of a requirement's readings is default.

    ``reference_points``: where this reading measures; ``None`` for the requirement's own.
    ``conversion``: how the figure follows from the text.
    """

    low: float | None
    high: float | None
    comparator: Comparator
    metric: str
    default: bool
    reason: str
    reference_points: ReferencePoints | None = None
    conversion: Conversion = "as-written"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One entry of the catalogue.

    ``metric`` names a metric of ``bench.measure`` (``delay-p99``, ``ipdv-p99``, ``loss``,
    ``rate``) or, for behaviours, what is timed or counted. ``low``/``high`` are the default
    reading's SI values; a single figure stands in ``low``. For a behaviour, ``declared`` names
    the keys of the device's declarations that give the limit (``D:x``; the first is the limit of
    ``metric``, the others are compulsory too; ``alarm.within_s`` is that of the alarm that the
    injected fault must raise), and ``rule`` the decision rule (``safety`` for safety assertions).
    ``also``: further places that the entry or one of its readings rests on. ``conflicts``: ids of
    entries that say otherwise of the same thing. ``mission``: ids of the behaviours whose tests
    show a figure that is no KPI of a stream.
    """

    id: str
    source: Source
    title: str
    reading: str
    device_class: str
    stream: str
    metric: str
    direction: str
    reference_points: ReferencePoints
    comparator: Comparator
    low: float | None
    high: float | None
    unit: str
    kind: Kind
    readings: tuple[Reading, ...] = ()
    note: str = ""
    declared: tuple[str, ...] = ()
    rule: str = ""
    also: tuple[Source, ...] = ()
    conflicts: tuple[str, ...] = ()
    mission: tuple[str, ...] = ()

    @property
    def limit(self) -> float | None:
        """The single figure, or the end of the range that the comparator refers to."""
        return self.high if self.high is not None and self.low is None else self.low


@dataclass(frozen=True, slots=True)
class Statement:
    """One documented sentence on what a device must do or have, without a figure of its own.

    ``mission``: ids of the behaviours (requirements of kind ``behaviour`` or ``declaration``)
    whose tests answer it.
    """

    id: str
    source: Source
    reading: str
    device_class: str
    kind: Literal["behaviour", "declaration"]
    mission: tuple[str, ...]
    note: str = ""
    conflicts: tuple[str, ...] = ()
