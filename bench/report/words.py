"""Figures as text for people. Shared by the HTML report, the terminal, JUnit and Allure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

from bench.requirements.model import Requirement
from bench.units import ratio_digits, show

NONE = "—"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_COMPARATORS = {"<=": "≤", ">=": "≥", "==": "="}
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "m": ((1.0, "m"), (1e-3, "mm"), (1e-6, "µm")),
}


def plain(value: Any) -> str:
    """Text on one line without control characters: what a device says cannot drive a terminal."""
    return _CONTROL.sub(" ", "" if value is None else str(value)).strip()


def xml_text(value: Any) -> str:
    """Text without the characters that XML 1.0 forbids."""
    return _NOT_XML.sub("\ufffd", "" if value is None else str(value))


def number(value: Any) -> float | None:
    """A real number, or ``None`` for everything that is not one (also text, bool and NaN)."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    figure = float(value)
    return None if math.isnan(figure) else figure


def quantity(value: Any, unit: str) -> str:
    """One figure with its unit; ``never`` for an infinite time, a dash for none."""
    figure = number(value)
    if figure is None:
        return NONE
    if math.isinf(figure):
        return "never" if unit == "s" else "∞"
    if _ratio(unit):
        return _power(figure, ratio_digits(figure))
    if unit in _SCALES:
        scale, name = _scale(figure, unit)
        return f"{figure / scale:.4g} {name}"
    return show(figure, unit)


def with_uncertainty(value: Any, uncertainty: Any, unit: str) -> str:
    """``2.310 ± 0.042 ms``: U to two digits, the value to the same place (JCGM 100:2008, 7.2.6)."""
    figure, half = number(value), number(uncertainty)
    if figure is None or half is None or math.isinf(figure) or math.isinf(half) or half < 0:
        return quantity(value, unit)
    if half == 0:  # known to be zero, as on a virtual clock: not the same as unknown
        return f"{quantity(value, unit)} ± 0"
    scale, name = _scale(max(abs(figure), half), unit)
    figure, half = figure / scale, half / scale
    exponent = math.floor(math.log10(half))
    tail = f" {name}" if name else ""
    if exponent < -4:
        largest = max(abs(figure), half)
        power = math.floor(math.log10(largest))
        digits = max(0, min(6, power - exponent + 1))
        ten = 10.0**power
        mark = f" × 10{str(power).translate(_SUPERSCRIPT)}" if power else ""
        body = f"{figure / ten:.{digits}f} ± {half / ten:.{digits}f}"
        return f"({body}){mark}{tail}" if mark else f"{body}{tail}"
    digits = max(0, 1 - exponent)
    return f"{figure:.{digits}f} ± {half:.{digits}f}{tail}"


def limit_text(verdict: Mapping[str, Any], requirement: Requirement | None) -> str:
    """The limit with its comparator: ``< 10 ms``; a range where the requirement gives one."""
    unit = str(verdict.get("unit") or "")
    comparator = str(verdict.get("comparator") or "")
    limit = verdict.get("limit")
    if comparator == "in":
        if requirement is not None and requirement.low is not None and requirement.high is not None:
            return span(requirement.low, requirement.high, unit)
        return f"range, {quantity(limit, unit)}"
    if number(limit) is None:
        return NONE
    return f"{_COMPARATORS.get(comparator, comparator)} {quantity(limit, unit)}".strip()


def power_of_ten(value: float) -> str:
    """``10⁻³`` for a tick of a logarithmic axis; plain 1 for one."""
    power = round(math.log10(value)) if value > 0 else 0
    return f"10{str(power).translate(_SUPERSCRIPT)}" if power else "1"


def span(low: Any, high: Any, unit: str) -> str:
    """A range, its unit said once where both ends have the same: ``3 … 30 ms``."""
    first, last = quantity(low, unit), quantity(high, unit)
    figure, _, name = first.rpartition(" ")
    return f"{figure if figure and last.endswith(f' {name}') else first} … {last}"


def percent(value: Any) -> str:
    """A ratio as a percentage, for confidence levels."""
    figure = number(value)
    return NONE if figure is None else f"{100 * figure:.4g}\u00a0%"


def count(value: Any) -> str:
    """A whole number with thin spaces between thousands."""
    figure = number(value)
    return NONE if figure is None else f"{figure:,.0f}".replace(",", "\u202f")


def anything(value: Any, name: str = "") -> str:
    """JSON-able data on one line; names that end in a unit (``delay_s``) are shown in it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(k)} {anything(v, str(k))}" for k, v in value.items()) or NONE
    if isinstance(value, (list, tuple)):
        return ", ".join(anything(v, name) for v in value) or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return quantity(value, _unit_of(name)) if isinstance(value, float) else str(value)
    return plain(value) or NONE


def _unit_of(name: str) -> str:
    for suffix, unit in (("_s", "s"), ("_bps", "bit/s"), ("_m", "m")):
        if name.endswith(suffix):
            return unit
    return ""


def _label(name: Any) -> str:
    text = plain(name)
    for suffix in ("_s", "_bps", "_m"):
        text = text.removesuffix(suffix)
    return text.replace("_", " ")


def _ratio(unit: str) -> bool:
    return unit in ("", "1", "ratio")


def _scale(figure: float, unit: str) -> tuple[float, str]:
    if unit not in _SCALES:
        return 1.0, "" if _ratio(unit) else unit
    scales = _SCALES[unit]
    if figure == 0:
        return 1.0, unit
    return next((pair for pair in scales if abs(figure) >= pair[0]), scales[-1])


def _power(figure: float, digits: int) -> str:
    if figure == 0 or abs(figure) >= 1e-2:
        return f"{figure:.{digits}g}"
    mantissa, _, exponent = f"{figure:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
