"""How ``bench emulate`` shows what happens: JSON lines, a redrawn table, or plain lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bench.report.words import plain
from bench.units import show_duration

HEARTBEAT_S = 10.0
"""Without a terminal, counters come at most this often."""

WAYS = ("left-to-right", "right-to-left")
Record = Mapping[str, Any]


class JsonLines:
    """One JSON object per line, flushed at once; nothing else on standard output."""

    wants_counters = False

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: object) -> None:
        pass

    def tell(self, record: Record) -> None:
        """Write it."""
        print(json.dumps(record), file=self._out, flush=True)


class Display:
    """A table of live counters on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._line_at = time.monotonic() + HEARTBEAT_S
        self._before: tuple[float, dict[str, int]] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def wants_counters(self) -> bool:
        """Whether there is a place for them now."""
        return self._live is not None or time.monotonic() >= self._line_at

    def tell(self, record: Record) -> None:
        """Show it."""
        {"ready": self._ready, "change": self._change, "counters": self._counters,
         "draining": self._draining, "end": self._end}[record["event"]](record)  # fmt: skip

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(plain(text), style=style), soft_wrap=True)

    def _ready(self, record: Record) -> None:
        until = "until Ctrl-C" if record["ends"] is None else f"for {record['ends']:.4g} s"
        what = record["scenario"] or record["profile"]
        self._say(
            f"{record['left']} <-> {record['right']} joined by {record['backend']} {until}"
            f"{f', {what}' if what else ''}, seed {record['seed']}",
            "bold",
        )
        self._say(f"control: {record['control']}")
        for note in record["notes"]:
            self._say(f"note: {note}", "yellow")

    def _change(self, record: Record) -> None:
        if record["scheduled"] == 0:
            return
        effective = record["effective"]
        met = "no packet yet" if effective is None else f"first packet {effective:.6f} s"
        self._say(f"{record['scheduled']:.6f} s {record['direction']}: changed, {met}")

    def _counters(self, record: Record) -> None:
        if self._live is not None:
            self._live.update(self._table(record), refresh=True)
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + HEARTBEAT_S
            for way in WAYS:
                self._say(f"{record['time']:.0f} s {way}: {_line(record[way])}")

    def _draining(self, record: Record) -> None:
        self._say(
            f"{record['waiting']} packets are still under way, for {record['within']:.3g} s at "
            "most; Ctrl-C drops them",
            "yellow",
        )

    def _end(self, record: Record) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._say(f"{record['reason']} after {record['time']:.1f} s; interfaces as before")
        for way in WAYS:
            counted = record[way]
            self._say(f"{way}: {_line(counted)}")
            for warning in warnings(counted):
                self._say(f"warning: {way}: {warning}", "yellow")
        for note in record["notes"]:
            self._say(f"note: {note}")

    def _table(self, record: Record) -> Table:
        table = Table(title=f"{record['time']:.0f} s", title_justify="left")
        for head in ("direction", "impairment", "in", "out", "packets/s", "lost", "dropped"):
            table.add_column(
                head, justify="left" if head in ("direction", "impairment") else "right"
            )
        table.add_column("waiting", justify="right")
        table.add_column("late p99", justify="right")
        rates = self._rates(record)
        for way in WAYS:
            counted = record[way]
            fates = counted["fates"]
            late = counted["lateness"]
            table.add_row(
                way,
                plain(counted["impairment"]),
                str(counted["rx"]),
                str(counted["tx"]),
                f"{rates[way]:.0f}",
                str(fates.get("lost", 0)),
                str(sum(fates.values()) - fates.get("lost", 0)),
                str(counted["in_flight"]),
                "—" if late is None else show_duration(late["p99_s"]),
            )
        return table

    def _rates(self, record: Record) -> dict[str, float]:
        now = record["time"], {way: record[way]["rx"] for way in WAYS}
        before, self._before = self._before, now
        if before is None or now[0] <= before[0]:
            return dict.fromkeys(WAYS, 0.0)
        return {way: (now[1][way] - before[1][way]) / (now[0] - before[0]) for way in WAYS}


def _line(counted: Record) -> str:
    fates = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in counted["fates"].items() if count
    )
    late = counted["lateness"]
    p99 = f", late by {show_duration(late['p99_s'])} (p99)" if late and late["n"] else ""
    return f"{counted['rx']} in, {counted['tx']} out{f', {fates}' if fates else ''}{p99}"


def warnings(counted: Record) -> list[str]:
    """What makes the emulation doubtful, one line each."""
    found = []
    if counted["unfinished_checksums"]:
        found.append(
            f"{counted['unfinished_checksums']} packets came with their checksum unfinished and "
            "will be refused; at the sender: ethtool -K IFACE tx off"
        )
    if counted["emulator_drops"]:
        found.append(f"the emulator itself dropped {counted['emulator_drops']} packets")
    if counted["beyond_envelope"]:
        found.append(str(counted["beyond_envelope"]))
    return found
