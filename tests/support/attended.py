"""A real device's laboratory without its network: box and supply simulated at addresses.

What carries the packets is a stand-in that lets the time pass; everything else is the lab bench.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.benches.base import Nowhere
from bench.benches.lab.bench import LabBench
from bench.benches.lab.chapters import FILE
from bench.benches.virtual import VirtualBench
from bench.sessions.recording import Recording
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.transcript import Entry, check_entries, read_transcript, rechained
from tests.benches.lab import test_powering
from tests.benches.lab.test_handling import Device
from tests.benches.local.contact_guest import WIRED

PATIENT = {
    "instruments.contacts.box._SILENT_S": 5.0,
    "instruments.contacts.witness.MOST_SILENCE_US": 5_000_000,
    "instruments.contacts.timing.LARGEST_GAP_US": 20_000_000,
    "bench.benches.lab.contacts.MOST_DOUBT_S": 5.0,
    "bench.benches.lab.powering.MOST_DOUBT_S": 5.0,
    "bench.benches.lab.powering.UP_S": 10.0,
}
"""What a host that stalls is given more of: of that others tell, not who replays."""

LINKS = '[links.primary]\nleft = { name = "a" }\nright = { name = "b" }\n'


class Packets:
    """Carries no packet: a session is the time that it takes, and what hands do in it."""

    name, backend, t0_ns = "lab", "userspace", 0

    def run(self, session, sink, hands=None) -> Recording:
        """Whatever ``hands`` does is done in this time."""
        self.t0_ns, schedule = time.monotonic_ns(), session.schedule()
        if hands is not None:
            hands.begin(self.t0_ns, lambda *_: None)
        time.sleep(schedule.end_ns / 1e9)
        if hands is not None:
            hands.end()
        return self.recording(session, schedule)

    def recording(self, session, schedule) -> Recording:
        """Of what was seen: nothing."""
        packets: Any = None
        return Recording(
            session.id, session.scenario.name, self.name, self.backend, session.device, schedule,
            packets, (),
        )  # fmt: skip


class VirtualPackets(Packets):
    """The packets are those of the virtual bench; nothing else is seen of the device."""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def recording(self, session, schedule) -> Recording:
        """Of what the virtual bench makes of it."""
        made = VirtualBench().run(session, Nowhere())
        return replace(made, bench=self.name, events=())


class Attended(LabBench):
    """The lab bench, its packets carried by a stand-in; no interface is taken."""

    def __init__(self, file, packets: Packets | None = None) -> None:
        super().__init__(file)
        self._packets = packets or Packets()

    def _join(self, stack) -> None:
        """There is no network."""


@contextmanager
def attended(folder: Path, *changes: tuple[str, str]) -> Iterator[tuple[Path, Lab, Device]]:
    """A bench file with a box and a supply at addresses; what serves them, and their device."""
    described = {"box": Described("contact-box"), "supply": Described("power-supply")}
    with RunningLab(Lab(described)) as lab:
        port = lab.resources["box"].removeprefix("ASRL").removesuffix("::INSTR")
        now = datetime.datetime.now(datetime.UTC).isoformat()
        text = test_powering.FILE.format(address=lab.resources["supply"], leave_on="false")
        text += WIRED.format(links=LINKS, now=now, port=port)
        for old, new in (("[roles]", '[roles]\ncontacts = "box"'), *changes):
            assert old in text, old
            text = text.replace(old, new, 1)
        path = folder / "lab.toml"
        path.write_text(text, encoding="utf-8")
        device = Device(lab.lab.instruments["box"])
        try:
            yield path, lab.lab, device
        finally:
            device.end()


# ---- transcripts, altered ---------------------------------------------------------------------


def altered(folder: Path, into: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """A transcript whose entries a function has changed, its chain made anew.

    Args:
        folder: that has it.
        into: where the other one is written.
        change: changes the list, or returns another one.
    """
    entries = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    entries = change(entries) or entries
    for number, entry in enumerate(entries):
        entry["n"] = number
    chained = rechained(entries)
    check_entries(chained)
    into.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(entry, separators=(",", ":"), sort_keys=True) for entry in chained)
    (into / FILE).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    return into / FILE


def entries_of(folder: Path) -> tuple[Entry, ...]:
    """The entries of a folder's transcript."""
    return read_transcript(folder / FILE)


def notes(entries) -> list[Mapping[str, Any]]:
    """What the laboratory told."""
    return [json.loads(entry.data) for entry in entries if entry.role == "laboratory"]
