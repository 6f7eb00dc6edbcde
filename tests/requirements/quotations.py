"""Reads the figures out of a quotation again: no part of the loader, nothing of ``bench.units``.

``figures`` finds the numbers of a text with sign and unit; ``derivable`` says which SI values they
give by one stated conversion. All arithmetic is in fractions. Loaded by path.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

DAY = 86400
MONTH, YEAR = 30 * DAY, 365 * DAY

PREFIX = {"": 0, "k": 1, "K": 1, "M": 2, "兆": 2, "G": 3, "吉": 3, "T": 4}
PLAIN: dict[str, dict[str, Fraction]] = {
    "s": {
        "ns": Fraction(1, 10**9),
        **dict.fromkeys(("us", "μs", "微秒"), Fraction(1, 10**6)),
        **dict.fromkeys(("ms", "毫秒"), Fraction(1, 1000)),
        **dict.fromkeys(("s", "秒", "秒钟"), Fraction(1)),
        **dict.fromkeys(("min", "分钟"), Fraction(60)),
        **dict.fromkeys(("h", "小时", "个小时"), Fraction(3600)),
        **dict.fromkeys(("天", "日"), Fraction(DAY)),
        **dict.fromkeys(("周", "星期", "个星期"), Fraction(7 * DAY)),
    },
    "m": {
        **dict.fromkeys(("mm", "毫米"), Fraction(1, 1000)),
        **dict.fromkeys(("cm", "厘米"), Fraction(1, 100)),
        **dict.fromkeys(("m", "米"), Fraction(1)),
        **dict.fromkeys(("km", "Km", "KM", "公里", "千米"), Fraction(1000)),
    },
    "m/s": {
        **dict.fromkeys(("km/h", "Km/h", "公里/小时"), Fraction(1000, 3600)),
        **dict.fromkeys(("m/s", "米/秒"), Fraction(1)),
    },
    "1": {"%": Fraction(1, 100), "‰": Fraction(1, 1000)},
    "1/m2": {
        **dict.fromkeys(("/km2", "每平方公里", "/平方公里", "连接/km2"), Fraction(1, 10**6)),
        "M连接/km2": Fraction(1),
    },
    "Hz": dict.fromkeys(("fps", "帧", "帧/秒"), Fraction(1)),
}
# Suffix behind a prefix: the misprints of the documents among them (kps, Mbs, Mbits/s).
SUFFIXES: dict[str, dict[str, int]] = {
    "bit/s": {
        **dict.fromkeys(("bps", "bit/s", "bits/s", "bs", "ps", "b/s", "比特每秒"), 1),
        **dict.fromkeys(("B/s", "Byte/s"), 8),
    },
    "bit": {
        **dict.fromkeys(("b", "bit", "比特"), 1),
        **dict.fromkeys(("B", "byte", "Byte", "字节"), 8),
    },
    "Hz": dict.fromkeys(("Hz", "赫兹", "赫"), 1),
}
CALENDAR = {"月": ("month-30d", MONTH), "个月": ("month-30d", MONTH), "年": ("year-365d", YEAR)}
# A prefix alone: `10M` of bandwidth or of a file.
BARE = {"bit/s": (1,), "bit": (8, 1), "Hz": (1,)}


class Unit(NamedTuple):
    """What an alias means in one SI unit: ``factor`` × 1000 ** ``power``."""

    si: str
    factor: Fraction
    power: int = 0

    def scale(self, base: int = 1000) -> Fraction:
        return self.factor * base**self.power


def _aliases() -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for si, names in PLAIN.items():
        for name, factor in names.items():
            found.setdefault(name, []).append(Unit(si, factor))
    for prefix, power in PREFIX.items():
        for si, suffixes in SUFFIXES.items():
            for suffix, factor in suffixes.items():
                found.setdefault(prefix + suffix, []).append(Unit(si, Fraction(factor), power))
        if prefix:
            found[prefix] = [Unit(si, Fraction(f), power) for si, fs in BARE.items() for f in fs]
    for name in ("bps", "ps", "bs", "B", "b"):  # without a prefix too short to trust
        if name != "bps":
            found.pop(name, None)
    return found


UNITS = _aliases()
SCALES = {
    "十": 10, "百": 100, "千": 1000, "万": 10**4, "百万": 10**6, "千万": 10**7, "亿": 10**8,
    "千亿": 10**11, "万亿": 10**12,
}  # fmt: skip
DIGITS = dict(zip("零一二三四五六七八九", range(10), strict=True)) | {"两": 2, "双": 2, "单": 1}
MEASURES = tuple("路个台张帧次例名条类种项方套人床级大倍位组部点端排层者步连设参向")

BEFORE = {
    **dict.fromkeys((">>", ">", "大于", "高于", "超过"), ">"),
    **dict.fromkeys(
        ("≥", ">=", "不低于", "不少于", "不少", "不小于", "至少", "至少可以达到"), ">="
    ),
    **dict.fromkeys(("<", "小于", "低于", "少于", "不到", "不足", "近"), "<"),
    **dict.fromkeys(("≤", "<=", "不超过", "不高于", "不大于", "最多"), "<="),
}
AFTER = {
    **dict.fromkeys(("以上", "及以上"), ">="),
    **dict.fromkeys(("以内", "之内", "以下", "及以下"), "<="),
}


def _any(names: Iterable[str]) -> str:
    """Longest first; a Latin name ends where its letters end."""
    ordered = sorted(names, key=len, reverse=True)
    return "|".join(
        re.escape(name) + ("(?![A-Za-z])" if name[-1].isascii() and name[-1].isalpha() else "")
        for name in ordered
    )


_NUMBER = r"(?:\d+(?:,\d{3})+|\d+)(?:\.\d+)?|半|[零一二三四五六七八九两双单十百千]+"
_UNIT = _any([*UNITS, *CALENDAR])
_SCALE = _any(SCALES)
# Names of things, not figures: 4K, 5G, 2D, H.264, R3. An X stands between the sides of a picture.
_NAME = r"(?<![A-WYZa-wyz0-9.])(?!(?:4|8|12|24)[Kk](?![A-Za-z])|[1-6][Gg](?![A-Za-z])|[23]D)"
_FIGURE = re.compile(
    rf"(?P<before>{_any(BEFORE)})?"
    rf"{_NAME}(?P<first>{_NUMBER})(?P<scale1>{_SCALE})?(?:多|余)?(?P<unit1>{_UNIT})?"
    rf"(?:[-~至到]{_NAME}(?P<last>{_NUMBER})(?P<scale2>{_SCALE})?(?P<unit2>{_UNIT})?)?"
    rf"(?P<after>{_any(AFTER)})?"
)
_POWER = re.compile(rf"10(?P<sign>-)?(?P<power>\d{{1,2}})(?!\d)万?(?P<unit>{_UNIT})?")
_PER = re.compile(r"(?:每|/)(秒|分钟|小时|时|天|周)")
_STARS = re.compile("★+")


class Figure(NamedTuple):
    """A number of a text, or both ends of a range; ``unit`` as printed, empty for none."""

    numbers: tuple[Fraction, ...]
    unit: str
    sign: str


def plain(text: str) -> str:
    """Without white space and TeX, in one form of width, digits and dashes."""
    text = unicodedata.normalize("NFKC", "".join(text.split()))
    text = re.sub(r"\\text\{([^}]*)\}", r"\1", text).replace("\\", "").replace("$", "")
    return re.sub("[−–—―]", "-", text)


def number(text: str) -> Fraction:
    """Digits, or a numeral in words up to thousands (``两``, ``十五``, ``半``)."""
    if text == "半":
        return Fraction(1, 2)
    if text[0].isdigit():
        return Fraction(text.replace(",", ""))
    total, digit = 0, None
    for letter in text:
        if letter in DIGITS:
            digit = DIGITS[letter]
        else:
            total, digit = total + (1 if digit is None else digit) * SCALES[letter], None
    return Fraction(total + (digit or 0))


def figures(text: str) -> list[Figure]:
    """Every figure of a text, in order."""
    text = plain(text)
    found = []
    for match in _FIGURE.finditer(text):
        unit = match["unit1"] or match["unit2"] or ""
        rest = text[match.end() :]
        if not unit and re.match(r"(?![xX]\d)[A-Za-z]", rest):
            continue  # 1080P
        if not unit and not match["first"][0].isdigit() and rest[:1] not in MEASURES:
            continue  # 一般, 缺一不可
        unit2 = match["unit2"] or unit
        numbers = [number(match["first"]) * SCALES.get(match["scale1"] or "", 1)]
        if match["last"]:
            last = number(match["last"]) * SCALES.get(match["scale2"] or "", 1)
            if unit != unit2:  # 137Mbps-1.6Gbps: both ends in the first end's unit
                last *= UNITS[unit2][0].scale() / UNITS[unit][0].scale()
            numbers.append(last)
        sign = AFTER.get(match["after"] or "", BEFORE.get(match["before"] or "", ""))
        found.append(Figure(tuple(numbers), unit, sign))
    found += [Figure((Fraction(len(stars[0])),), "", "") for stars in _STARS.finditer(text)]
    return found


def scales(alias: str, si: str, conversion: str) -> Iterator[Fraction]:
    """What one of ``alias`` is in the SI unit ``si``."""
    if alias in CALENDAR:
        name, seconds = CALENDAR[alias]
        if si == "s" and name == conversion:
            yield Fraction(seconds)
        return
    for unit in UNITS.get(alias, ()):
        if unit.si != si:
            continue
        if conversion != "bytes":
            yield unit.scale(1024 if conversion == "binary" else 1000)
        if conversion == "bytes":
            yield unit.scale() / 8 if unit.factor == 8 else unit.scale() * 8


def values(figure: Figure, si: str, conversion: str, heads: Sequence[str]) -> list[Fraction]:
    """The SI values that one figure gives; ``heads``: units that stand elsewhere (a column)."""
    if figure.unit:
        given = list(scales(figure.unit, si, conversion))
        if si == "count":  # 25帧, 30天: a number of frames, of days
            given.append(Fraction(1))
    elif si == "1" and conversion == "percent":
        given = [Fraction(1, 100)]
    elif si in ("1", "count"):
        given = [Fraction(1)]
    else:
        given = [scale for head in heads for scale in scales(head, si, conversion)]
    return [each * scale for each in figure.numbers for scale in given]


def heads(texts: Iterable[str]) -> list[str]:
    """Units that stand in the texts without a number of their own."""
    found = []
    for text in texts:
        without = _FIGURE.sub(" ", plain(text))
        found += [match[0] for match in re.finditer(rf"(?<![A-Za-z/])(?:{_UNIT})", without)]
    return found


def powers(text: str, si: str, heads: Sequence[str]) -> Iterator[Fraction]:
    """Powers of ten that lost their superscript: ``10-3``, ``106``."""
    for match in _POWER.finditer(plain(text)):
        value = Fraction(10) ** (int(match["power"]) * (-1 if match["sign"] else 1))
        for alias in [match["unit"]] if match["unit"] else heads:
            yield from (value * scale for scale in scales(alias, si, "superscript"))
        if si in ("1", "count"):
            yield value


# Words that carry an order of magnitude, with the range they are read as.
WORDS: dict[str, dict[str, tuple[Fraction, ...]]] = {
    "s": {
        "秒级": (Fraction(1), Fraction(10)),
        "毫秒级": (Fraction(1, 1000), Fraction(10, 1000)),
    },
}


def in_words(text: str, si: str) -> Iterator[Fraction]:
    """Orders of magnitude (``秒级``, ``Gbps`` alone), and ``每分钟``, which is one minute."""
    text = plain(text)
    for word, ends in WORDS.get(si, {}).items():
        if re.search(rf"(?<!毫){word}", text):
            yield from ends
    for match in _PER.finditer(text):
        yield from scales({"时": "小时"}.get(match[1], match[1]), si, "as-written")
    for alias in heads([text]):
        if alias.isascii():
            yield from scales(alias, si, "as-written")


def derivable_from(
    figure: Figure, texts: Sequence[str], si: str, conversion: str
) -> list[Fraction]:
    """The SI values that one figure of ``texts`` gives by a conversion of numbers."""
    loose = heads(texts)
    if conversion == "complement":
        hows = ("as-written", "percent")
        return [1 - value for how in hows for value in values(figure, si, how, loose)]
    if conversion == "tolerance":
        ends = (Fraction(95, 100), Fraction(105, 100))
        return [value * end for value in values(figure, si, "as-written", loose) for end in ends]
    if conversion == "in-words":
        return values(figure, si, "as-written", loose)
    return values(figure, si, conversion, loose)


def derivable(texts: Sequence[str], si: str, conversion: str) -> list[Fraction]:
    """The SI values that texts give by one stated conversion; the units of one serve another."""
    if conversion == "superscript":
        return [value for text in texts for value in powers(text, si, heads(texts))]
    every = [figure for text in texts for figure in figures(text)]
    found = [v for figure in every for v in derivable_from(figure, texts, si, conversion)]
    if conversion == "in-words":
        found += [value for text in texts for value in in_words(text, si)]
    return found
