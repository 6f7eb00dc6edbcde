"""Durations, rates, ratios, sizes and levels: parsing what people write into SI numbers.

Inside the bench every quantity is a plain ``float`` in SI units whose name carries the unit
(``delay_s``, ``rate_bps``, ``power_dbm``), or an ``int`` in nanoseconds (``t_ns``). Text with
units is parsed here and nowhere else. A bare number is refused wherever it could mislead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from bench.errors import InputError

NS_PER_S = 1_000_000_000

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z%µμ/]*2?)\s*$")

_BYTES = re.compile(r"B(ps|/s)?\s*$")

_DURATIONS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_RATES = {
    "bit/s": 1.0,
    "bps": 1.0,
    "bit": 1.0,
    "kbit/s": 1e3,
    "kbps": 1e3,
    "kbit": 1e3,
    "mbit/s": 1e6,
    "mbps": 1e6,
    "mbit": 1e6,
    "gbit/s": 1e9,
    "gbps": 1e9,
    "gbit": 1e9,
}
_LENGTHS = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3}
_SPEEDS = {"m/s": 1.0, "km/h": 1 / 3.6}
_FREQUENCIES = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "fps": 1.0, "/s": 1.0}
_DENSITIES = {"/m2": 1.0, "/km2": 1e-6}
_VOLUMES = {"B": 8.0, "kB": 8e3, "MB": 8e6, "GB": 8e9, "TB": 8e12, "bit": 1.0, "kbit": 1e3}
_VOLUMES |= {"Mbit": 1e6, "Gbit": 1e9}
_COUNTS = {"": 1.0}
_SIZES = {"b": 1, "kb": 1000, "mb": 1_000_000, "kib": 1024, "mib": 1_048_576}


def _split(text: str, field: str, file: object, example: str) -> tuple[float, str]:
    match = _NUMBER.match(text)
    if match is None:
        raise InputError(
            "is not a number with a unit",
            remedy=f"write it like {example}",
            file=file,
            field=field,
            value=text,
        )
    number = float(match.group(1))
    if not math.isfinite(number):
        raise InputError(
            "is not finite", remedy=f"write it like {example}", file=file, field=field, value=text
        )
    return number, match.group(2)


def _scaled(
    text: str, table: dict[str, float], field: str, file: object, example: str, fold: bool
) -> float:
    number, unit = _split(text, field, file, example)
    key = unit.lower() if fold else unit
    if key not in table:
        problem = f"has the unknown unit {unit!r}" if unit else "has no unit"
        raise InputError(
            problem,
            remedy=f"use one of {', '.join(table)}, like {example}",
            file=file,
            field=field,
            value=text,
        )
    if number < 0:
        raise InputError(
            "is negative",
            remedy=f"give zero or more, like {example}",
            file=file,
            field=field,
            value=text,
        )
    scaled = number * table[key]
    if not math.isfinite(scaled):
        raise InputError(
            "is not finite", remedy=f"write it like {example}", file=file, field=field, value=text
        )
    return scaled


def duration_s(text: str, *, field: str = "duration", file: object = None) -> float:
    """Parse ``"20ms"``, ``"1.5 s"``, ``"2h"`` into seconds.

    Raises:
        InputError: not a text, no number, no unit, an unknown unit, negative or not finite.
    """
    return _scaled(_text(text, field, file, "20ms"), _DURATIONS, field, file, "20ms", fold=False)


def rate_bps(text: str, *, field: str = "rate", file: object = None) -> float:
    """Parse ``"100mbit"``, ``"2 Gbit/s"`` into bit/s (decimal prefixes).

    Raises:
        InputError: as :func:`duration_s`.
    """
    written = _text(text, field, file, "100mbit")
    if _BYTES.search(written):
        raise InputError(
            "counts bytes", remedy="write it in bit/s, like 100mbit", file=file, field=field,
            value=text,
        )  # fmt: skip
    return _scaled(written, _RATES, field, file, "100mbit", fold=True)


def size_bytes(text: str, *, field: str = "size", file: object = None) -> int:
    """Parse ``"64kB"``, ``"1MiB"`` into bytes.

    Raises:
        InputError: as :func:`duration_s`.
    """
    table = {unit: float(scale) for unit, scale in _SIZES.items()}
    return round(_scaled(_text(text, field, file, "64kB"), table, field, file, "64kB", fold=True))


def ratio(text: str, *, field: str = "ratio", file: object = None) -> float:
    """Parse ``"0.1%"`` or ``"1e-3"`` into a ratio from 0 to 1.

    Raises:
        InputError: not a text, not a number, another unit than ``%``, outside 0 to 1.
    """
    number, unit = _split(_text(text, field, file, "0.1%"), field, file, "0.1%")
    if unit not in ("", "%"):
        raise InputError(
            f"has the unknown unit {unit!r}",
            remedy="write a ratio like 1e-3 or a percentage like 0.1%",
            file=file,
            field=field,
            value=text,
        )
    value = float(Decimal(repr(number)) / 100) if unit == "%" else number
    if not 0 <= value <= 1:
        raise InputError(
            "is outside 0 to 1",
            remedy="write a ratio like 1e-3 or a percentage like 0.1%",
            file=file,
            field=field,
            value=text,
        )
    return value


def decibels(text: object, unit: str = "dB", *, field: str = "level", file: object = None) -> float:
    """Parse ``"-20dBm"`` or ``"3.5 dB"``: the number, which may be negative.

    Args:
        unit: the one unit that is allowed, ``dB`` or ``dBm``.

    Raises:
        InputError: not a text, no number, another unit, not finite.
    """
    example = f"-20{unit}"
    number, written = _split(_text(text, field, file, example), field, file, example)
    if written != unit:
        problem = f"has the unknown unit {written!r}" if written else "has no unit"
        raise InputError(
            problem, remedy=f"write it like {example}", file=file, field=field, value=text
        )
    return number


def _in(table: dict[str, float], example: str) -> Callable[..., float]:
    def parse(text: str, *, field: str = "quantity", file: object = None) -> float:
        return _scaled(_text(text, field, file, example), table, field, file, example, fold=False)

    return parse


QUANTITIES: Mapping[str, Callable[..., float]] = {
    "s": duration_s,
    "bit/s": rate_bps,
    "1": ratio,
    "m": _in(_LENGTHS, "2.5km"),
    "m/s": _in(_SPEEDS, "120km/h"),
    "Hz": _in(_FREQUENCIES, "60fps"),
    "1/m2": _in(_DENSITIES, "1e6/km2"),
    "bit": _in(_VOLUMES, "300MB"),
    "count": _in(_COUNTS, "5"),
}
"""SI unit to the parser of text in that unit; a volume of data is in bit."""


def _text(text: object, field: str, file: object, example: str) -> str:
    if isinstance(text, str):
        return text
    raise InputError(
        "has no unit",
        remedy=f'write it as text with its unit, like "{example}"',
        file=file,
        field=field,
        value=text,
    )


def ns(seconds: float) -> int:
    """Seconds to integer nanoseconds, rounded to nearest."""
    return round(seconds * NS_PER_S)


def show_duration(seconds: float | None) -> str:
    """A duration for people: ``2.30 ms``, ``1.2 s``; an em dash for none."""
    if seconds is None or math.isnan(seconds):
        return "—"
    if math.isinf(seconds):
        return "∞" if seconds > 0 else "−∞"
    magnitude = abs(seconds)
    if magnitude >= 7200:
        return f"{seconds / 3600:.1f} h"
    if magnitude >= 300:
        return f"{seconds / 60:.1f} min"
    if magnitude >= 1:
        return f"{seconds:.4g} s"
    if magnitude >= 1e-3:
        return f"{seconds * 1e3:.4g} ms"
    if magnitude == 0:
        return "0 s"
    return f"{seconds * 1e6:.3g} µs"


def ratio_digits(value: float) -> int:
    """Significant digits that tell a ratio from 1: three, more for 0.9999."""
    if not 0.9 < value < 1:
        return 3
    return min(15, max(3, 1 - math.floor(math.log10(1 - value))))


def show(value: float | None, unit: str) -> str:
    """A figure with its unit for people; SI in, the customary multiple out."""
    if value is None or math.isnan(value):
        return "—"
    if unit == "s":
        return show_duration(value)
    if unit == "bit/s":
        for scale, name in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
            if abs(value) >= scale:
                return f"{value / scale:.4g} {name}"
        return f"{value:.4g} bit/s"
    if unit in ("", "1", "ratio"):
        return f"{value:.{ratio_digits(value)}g}"
    return f"{value:.4g} {unit}"
