"""How ``bench probe`` shows what happens: JSON lines, or lines and a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.report.emulate import HEARTBEAT_S, JsonLines
from bench.report.words import plain
from bench.units import show, show_duration

Record = Mapping[str, Any]

_ROWS = (
    ("round trip", ("round_trip",)),
    ("in reflector", ("residence",)),
    ("|IPDV| there", ("forward", "ipdv")),
    ("|IPDV| back", ("backward", "ipdv")),
    ("PDV there", ("forward", "pdv")),
    ("PDV back", ("backward", "pdv")),
    ("there + offset", ("forward", "delay_with_clock_offset")),
    ("back − offset", ("backward", "delay_with_clock_offset")),
    ("sent late by", ("lateness",)),
)
_COLUMNS = ("min", "p50", "p99", "p999", "max", "mean")


class Lines(JsonLines):
    """One JSON object per line; that nothing came back is also said on standard error."""

    def tell(self, record: Record) -> None:
        """Write it."""
        super().tell(record)
        if _unanswered(record):
            _complain(record)


class Display:
    """Lines as it goes, a table at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._line_at = time.monotonic() + HEARTBEAT_S

    def tell(self, record: Record) -> None:
        """Show it."""
        name = f"_{record['event']}_{record.get('role', 'sender')}"
        getattr(self, name)(record)

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(plain(text), style=style), soft_wrap=True)

    def _ready_sender(self, record: Record) -> None:
        how = (
            f"about every {show_duration(record['interval'])}, at random"
            if record["poisson"]
            else (f"every {show_duration(record['interval'])}")
        )
        mode = ", authenticated" if record["authenticated"] else ""
        self._say(
            f"STAMP to {record['host']} ({record['address']}) port {record['port']}: "
            f"{record['count']} packets of {record['size']} bytes, {how}{mode}",
            "bold",
        )

    def _progress_sender(self, record: Record) -> None:
        if time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + HEARTBEAT_S
            self._say(f"{record['time']:.0f} s: {record['sent']} sent, {record['answered']} back")

    def _end_sender(self, record: Record) -> None:
        if _unanswered(record):
            _complain(record)
            return
        self._console.print(self._table(record))
        for line in _sender_lines(record):
            self._say(line)
        for note in record["notes"]:
            self._say(f"note: {note}", "yellow")

    def _table(self, record: Record) -> Table:
        title = "" if record["complete"] else " (incomplete)"
        table = Table(title=f"{record['time']:.1f} s{title}", title_justify="left")
        table.add_column("", no_wrap=True)
        for head in _COLUMNS:
            table.add_column(head.replace("p999", "p99.9"), justify="right")
        for label, path in _ROWS:
            found = record
            for key in path:
                found = found[key]
            table.add_row(label, *(show_duration(found[column]) for column in _COLUMNS))
        return table

    def _ready_reflector(self, record: Record) -> None:
        kind = "stateful" if record["stateful"] else "stateless"
        mode = ", authenticated" if record["authenticated"] else ""
        where = ", ".join(record["addresses"])
        self._say(
            f"reflecting STAMP on {where} port {record['port']}, {kind}{mode}, until Ctrl-C", "bold"
        )

    def _end_reflector(self, record: Record) -> None:
        self._say(
            f"{record['reason']} after {record['time']:.1f} s: {record['received']} received, "
            f"{record['reflected']} sent back"
        )
        for what in ("discarded", "send_failed"):
            for reason, count in record[what].items():
                self._say(f"{what.replace('_', ' ')}: {count} ({reason})", "yellow")
        self._say(
            f"arrival stamps: {_taken(record['stamps']['t2'])}; departure stamps: "
            f"{_taken(record['stamps']['t3'])} (they are in the packet itself)"
        )


def _unanswered(record: Record) -> bool:
    if record["event"] != "end" or record["role"] != "sender":
        return False
    return bool(record["sent"]) and not record["received"]


def _complain(record: Record) -> None:
    print(f"bench: {plain(no_answer(record))}", file=sys.stderr)


def no_answer(record: Record) -> str:
    """The one line of a session without any answer."""
    reasons = {"ECONNREFUSED": "nobody listens on that port", "EHOSTUNREACH": "host unreachable"}
    refused = [reasons.get(name, name) for name in record["refused"]]
    refused += [f"{count} ignored: {why}" for why, count in record["ignored"].items()]
    why = f" ({'; '.join(refused)})" if refused else ""
    return (
        f"no answer to {record['sent']} packets{why}: INCONCLUSIVE; start a reflector there "
        "(bench probe reflect), and let its UDP port through"
    )


def _sender_lines(record: Record) -> list[str]:
    forward, backward = record["forward"], record["backward"]
    lines = [
        "round trip: without the time in the reflector; offset: of the reflector's clock",
        f"{record['sent']} sent, {record['received']} back, {record['lost']} lost "
        f"({show(record['loss'], 'ratio')}; longest run {record['loss_periods']['longest']}, "
        f"{record['late']} too late), {record['in_flight']} in flight",
    ]
    if record["lost"]:
        lines.append(
            f"lost there {_known(forward['lost'])}, back {_known(backward['lost'])}, "
            f"direction not known {record['lost_undecided']}"
        )
    lines.append(
        f"duplicated there {forward['duplicated']}, back {backward['duplicated']}; "
        f"reordered there {forward['reordered']}, back {backward['reordered']}"
    )
    offset = record["clock_offset"]
    if offset is not None:
        lines.append(
            f"the reflector's clock minus ours: {_signed(offset['low'])} to "
            f"{_signed(offset['high'])}"
        )
    stamps = record["stamps"]
    lines.append(
        f"stamps here: departures {_taken(stamps['t1'])}, arrivals {_taken(stamps['t4'])}; "
        "the reflector's: it does not tell"
    )
    return lines


def _known(count: int | None) -> str:
    return "not known" if count is None else str(count)


def _signed(seconds: float) -> str:
    return f"{'−' if seconds < 0 else '+'}{show_duration(abs(seconds))}"


def _taken(places: Mapping[str, int]) -> str:
    return f"{places['kernel']} by the kernel, {places['userspace']} in userspace"
