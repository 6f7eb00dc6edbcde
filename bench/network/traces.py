"""Replay of recorded links: Mahimahi packet-delivery traces and CSV tables over time.

A trace is piecewise constant: nothing is put between two rows unless ``linear`` is asked for by
name. Where it came from (file, SHA-256, ``# source:`` lines) and its resolution stay with it, for
a trace of one row per second says nothing about what happened within the second.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn

from bench.errors import InputError
from bench.units import NS_PER_S, QUANTITIES, ns, show_duration

OPPORTUNITY_BYTES = 1504
"""What one line of a Mahimahi trace lets pass (``PACKET_SIZE`` in its ``link_queue.hh``)."""

WINDOW_S = 0.1
"""Default window over which delivery opportunities become a rate."""

_NS_PER_MS = 1_000_000

_COLUMNS: Mapping[str, str] = {"time": "s", "rate": "bit/s", "delay": "s", "loss": "1"}


@dataclass(frozen=True, slots=True)
class Row:
    """From ``t_s`` on; None where the trace does not say. A rate of zero holds what comes."""

    t_s: float
    rate_bps: float | None = None
    delay_s: float | None = None
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded link.

    ``rows`` start at 0 and ascend; the last one holds until ``length_s``. ``resolution_s``: the
    typical (median) distance of two rows, ``coarsest_s`` the largest. ``notes``: what was done to
    it, in words. ``opportunities_ms``: of a Mahimahi trace, as in the file.
    """

    name: str
    form: Literal["mahimahi", "csv"]
    sha256: str
    sources: tuple[str, ...]
    rows: tuple[Row, ...]
    length_s: float
    resolution_s: float
    coarsest_s: float
    notes: tuple[str, ...] = ()
    opportunities_ms: tuple[int, ...] = ()

    def provenance(self) -> str:
        """Where it came from, its resolution and what was done to it; one line."""
        source = "; ".join(self.sources) or "source not stated in the file"
        resolution = show_duration(self.resolution_s)
        if self.coarsest_s > self.resolution_s * 1.001:
            resolution += f" (up to {show_duration(self.coarsest_s)})"
        parts = [
            f"trace {self.name} ({self.form}, {show_duration(self.length_s)}, "
            f"SHA-256 {self.sha256})",
            source,
            f"resolution {resolution}: it says nothing about shorter events",
            *self.notes,
        ]
        return "; ".join(parts)


def read_trace(path: Path, form: str, window_s: float = WINDOW_S) -> Trace:
    """Read a trace.

    Args:
        path: the file.
        form: ``mahimahi`` or ``csv``.
        window_s: of a Mahimahi trace, over which opportunities become a rate.

    Raises:
        InputError: a broken file; names the line, the column, the value and the remedy.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError("no such file", remedy="check the path of the trace", file=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", remedy="give a trace as text in UTF-8", file=path
        ) from error
    comments, lines = _split(text)
    digest = hashlib.sha256(data).hexdigest()
    if form == "mahimahi":
        return _mahimahi(path, digest, comments, lines, window_s)
    return _csv(path, digest, comments, lines)


def _split(text: str) -> tuple[tuple[str, ...], list[tuple[int, str]]]:
    """The ``# source:`` comments, and the numbered lines that are neither comment nor empty."""
    sources, lines = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            word, _, rest = line.lstrip("# ").partition(":")
            if word.strip().lower() == "source" and rest.strip():
                sources.append(rest.strip())
        elif line:
            lines.append((number, line))
    return tuple(sources), lines


# Mahimahi


def _mahimahi(
    path: Path,
    digest: str,
    sources: tuple[str, ...],
    lines: list[tuple[int, str]],
    window_s: float,
) -> Trace:
    """A packet-delivery trace; the period is its last millisecond, as in ``mm-link``."""
    if not 1e-3 <= window_s < math.inf:
        raise InputError(
            "is shorter than the format's millisecond",
            remedy="give 1ms or more",
            file=path,
            field="window",
            value=window_s,
        )
    times: list[int] = []
    for number, line in lines:
        if not line.isascii() or not line.isdigit():
            _bad_line(path, number, line, "is no whole millisecond", "one integer per line")
        if times and int(line) < times[-1]:
            _bad_line(path, number, line, "goes back in time", "sort the lines")
        times.append(int(line))
    if not times or times[-1] == 0:
        raise InputError(
            "has no delivery opportunity after the time 0",
            remedy="give one integer millisecond per line, the last above zero",
            file=path,
        )
    trace = Trace(
        path.name,
        "mahimahi",
        digest,
        sources,
        (),
        times[-1] / 1e3,
        window_s,
        window_s,
        (
            f"{len(times)} opportunities of {OPPORTUNITY_BYTES} bytes as a rate over each "
            f"{show_duration(window_s)}: their number per window is exact, their places in it are "
            "not",
        ),
        tuple(times),
    )
    return replace(trace, rows=windows(trace, trace.length_s))


def windows(trace: Trace, length_s: float) -> tuple[Row, ...]:
    """The rate of each window of a Mahimahi trace, wrapped as far as ``length_s``.

    The opportunity of millisecond ``t`` closes it: it counts in the window that holds
    (t − 1 ms, t], so that the trace ``1`` is 1504 bytes per millisecond from the start on.
    """
    times, period_ms = trace.opportunities_ms, trace.opportunities_ms[-1]
    width_ns, length_ns = ns(trace.resolution_s), ns(length_s)
    counts = [0] * max(1, -(-length_ns // width_ns))
    for turn in range(length_ns // (period_ms * _NS_PER_MS) + 1):
        for t_ms in times:
            at_ns = (turn * period_ms + t_ms) * _NS_PER_MS
            if at_ns > length_ns:
                break
            counts[max(0, -(-at_ns // width_ns) - 1)] += 1
    rows = []
    for index, number in enumerate(counts):
        start_ns = index * width_ns
        lasts_ns = min(length_ns, start_ns + width_ns) - start_ns
        bits = 8 * OPPORTUNITY_BYTES * number
        rows.append(Row(start_ns / NS_PER_S, bits * NS_PER_S / lasts_ns))
    return tuple(rows)


# CSV


def _csv(path: Path, digest: str, sources: tuple[str, ...], lines: list[tuple[int, str]]) -> Trace:
    """A table over time with a header; units stand in it (``rate_mbit``) or in each cell."""
    if len(lines) < 2:
        raise InputError(
            "holds no rows",
            remedy="give a header like time_s,rate_bps,delay_s,loss and rows below it",
            file=path,
        )
    header = _header(path, lines[0])
    rows: list[Row] = []
    for number, line in lines[1:]:
        row = _row(path, number, header, next(csv.reader([line])))
        if rows and row.t_s <= rows[-1].t_s:
            _bad_line(path, number, f"{row.t_s:g} s", "is not after the row above", "sort the rows")
        rows.append(row)
    notes = []
    first_s = rows[0].t_s
    if first_s:
        rows = [replace(row, t_s=row.t_s - first_s) for row in rows]
        notes.append(f"its first row, at {first_s!r} s, is the start")
    gaps = [b.t_s - a.t_s for a, b in itertools.pairwise(rows)]
    length_s = rows[-1].t_s + (gaps[-1] if gaps else 0.0)
    if gaps:
        notes.append("the last row holds as long as the one before")
    if any(row.rate_bps == 0 for row in rows):
        notes.append("a rate of zero holds what comes until there is one again")
    return Trace(
        path.name,
        "csv",
        digest,
        sources,
        tuple(rows),
        length_s,
        statistics.median(gaps) if gaps else math.inf,
        max(gaps, default=math.inf),
        tuple(notes),
    )


def _header(path: Path, line: tuple[int, str]) -> list[tuple[str, str]]:
    """The column and the unit of each cell; the unit is empty where the cells carry it."""
    number, text = line
    found: list[tuple[str, str]] = []
    for cell in next(csv.reader([text])):
        name, _, unit = cell.strip().lower().partition("_")
        if name not in _COLUMNS:
            _bad_line(
                path, number, cell.strip(), "is an unknown column",
                f"use {', '.join(_COLUMNS)}, with a unit like time_s, rate_mbit, delay_ms",
            )  # fmt: skip
        if name in [known for known, _ in found]:
            _bad_line(path, number, cell.strip(), "comes twice", "keep one")
        if name == "loss":
            known = {"": "", "ratio": "", "%": "%", "percent": "%", "pct": "%"}
            if unit not in known:
                _bad_line(path, number, cell.strip(), "has an unknown unit", "use loss or loss_%")
            unit = known[unit]
        elif unit:  # read one of it now, so that a wrong unit is found in the header
            QUANTITIES[_COLUMNS[name]](f"1{unit}", field=f"line {number}: {cell}", file=path)
        found.append((name, unit))
    names = {name for name, _ in found}
    if "time" not in names or len(names) < 2:
        _bad_line(
            path, number, text, "is no header of a trace",
            "name a column time and one of rate, delay, loss, like time_s,delay_ms",
        )  # fmt: skip
    return found


def _row(path: Path, number: int, header: list[tuple[str, str]], cells: Sequence[str]) -> Row:
    if len(cells) != len(header):
        _bad_line(
            path, number, ",".join(cells), f"has {len(cells)} cells, the header {len(header)}",
            "give every cell; a missing value is not guessed",
        )  # fmt: skip
    values = {}
    for (name, unit), cell in zip(header, cells, strict=True):
        values[name] = QUANTITIES[_COLUMNS[name]](
            cell.strip() + unit, field=f"line {number}: {name}", file=path
        )
    return Row(values["time"], values.get("rate"), values.get("delay"), values.get("loss"))


def _bad_line(path: Path, number: int, value: str, problem: str, remedy: str) -> NoReturn:
    raise InputError(problem, remedy=remedy, file=path, field=f"line {number}", value=value)
