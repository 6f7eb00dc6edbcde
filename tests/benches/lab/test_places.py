"""A place of labgrid around a run. The other end is a stand-in for ``labgrid-client``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.benches.lab.checking import check_laboratory
from bench.benches.lab.file import load_bench_file
from bench.benches.lab.laboratory import Laboratory
from bench.benches.lab.places import Place, WantedPlace
from bench.errors import InputError
from instruments import safety
from instruments.visa.errors import Busy, InstrumentError
from instruments.visa.transcript import Transcript
from tests.support.labgrid_stand_in import put

STAND_IN = Path(__file__).parents[2] / "support" / "labgrid_stand_in.py"
SUPPLY = """title = "Place"
[labgrid]
place = "bench-1"
client = "{client}"
[instruments.supply]
kind = "keysight-e36312a"
address = "simulated"
manufacturer = "Keysight*"
model = "E36312A"
write_termination = "\\n"
read_termination = "\\n"
connect = "5s"
reply = "5s"
output = 2
limits = {{ voltage_v = [0, 12], current_a = [0, 1] }}
"""


class Labgrid:
    """What the stand-in keeps."""

    def __init__(self, folder: Path) -> None:
        self.file, self.folder = folder / "labgrid.json", folder / "notes"
        self.client = str(folder / "labgrid-client")
        Path(self.client).write_text(f'#!/bin/sh\nexec {sys.executable} -S {STAND_IN} "$@"\n')
        os.chmod(self.client, 0o755)
        self.put(places={"bench-1": "", "bench-10": ""}, user="root", calls=[])

    def put(self, **changes) -> None:
        known = json.loads(self.file.read_text()) if self.file.exists() else {}
        put(self.file, known | changes)

    def holds(self, holder: str) -> None:
        self.put(places={"bench-1": holder})

    @property
    def holder(self) -> str:
        return json.loads(self.file.read_text())["places"]["bench-1"]

    @property
    def calls(self) -> list[str]:
        return [" ".join(call) for call in json.loads(self.file.read_text())["calls"]]

    def place(self, transcript=None, **changes) -> Place:
        wanted = WantedPlace(**{"place": "bench-1", "client": self.client, **changes})
        return Place(wanted, transcript or Transcript(), folder=self.folder)


@pytest.fixture
def labgrid(tmp_path, monkeypatch) -> Labgrid:
    found = Labgrid(tmp_path)
    monkeypatch.setenv("STAND_IN", str(found.file))
    return found


def test_a_place_is_held_inside_and_given_back_on_every_way_out(labgrid) -> None:
    transcript, before = Transcript(), safety.entered()
    with labgrid.place(transcript):
        assert labgrid.holder == "vm/root"
        assert safety.entered() == before + 1, "what ends by force waits"
    assert (labgrid.holder, safety.entered()) == ("", before)
    with pytest.raises(ZeroDivisionError), labgrid.place():
        raise ZeroDivisionError
    assert labgrid.holder == ""
    said = [entry["data"] for entry in transcript.entries]
    assert said == [
        "-p bench-1 acquire -> 0: acquired place bench-1",
        "-p bench-1 release -> 0: released place bench-1",
    ]


def test_a_laboratory_has_its_place_while_its_instruments_are_taken(labgrid, tmp_path) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(SUPPLY.format(client=labgrid.client))
    file, locks = load_bench_file(path), tmp_path / "locks"
    with Laboratory(file, Transcript(), lock_folder=locks):
        assert labgrid.holder == "vm/root"
        with pytest.raises(Busy):
            Laboratory(file, Transcript(), lock_folder=locks).__enter__()
    assert labgrid.holder == ""
    found, _ = check_laboratory(file, lock_folder=locks)
    assert [f.status for f in found.findings if f.what == "labgrid place"] == ["ok"]
    labgrid.holds("vm/other")
    found, _ = check_laboratory(file, lock_folder=locks)
    (missing,) = [f.figure for f in found.findings if f.status == "missing"]
    assert "Place bench-1 is already acquired by vm/other" in missing
    assert labgrid.holder == "vm/other"


def test_what_somebody_else_or_oneself_holds_is_refused(labgrid) -> None:
    for holder, said in (("vm/other", "acquired by vm/other"), ("vm/root", "You have already")):
        labgrid.holds(holder)
        with pytest.raises(Busy, match=said):
            labgrid.place().__enter__()
        assert labgrid.holder == holder, "it is not ours to give back"


def test_two_runs_of_one_user_do_not_share_a_place(labgrid) -> None:
    with labgrid.place():
        with pytest.raises(Busy, match="in use by process"):
            labgrid.place().__enter__()
        assert labgrid.holder == "vm/root"


def test_what_a_killed_run_held_is_taken_over_and_given_back(labgrid) -> None:
    code = (
        "import sys; from pathlib import Path; from instruments.visa.transcript import Transcript\n"
        "from bench.benches.lab.places import Place, WantedPlace\n"
        f"Place(WantedPlace('bench-1', client={labgrid.client!r}), Transcript(),"
        f" folder=Path({str(labgrid.folder)!r})).__enter__()\n"
        "import os; os.kill(os.getpid(), 9)"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, timeout=60)
    assert done.returncode == -9
    assert labgrid.holder == "vm/root"
    transcript = Transcript()
    with labgrid.place(transcript):
        assert labgrid.holder == "vm/root"
    assert labgrid.holder == ""
    assert any("taken over" in entry["data"] for entry in transcript.entries)
    labgrid.holds("vm/root")  # by hand: the note is gone
    with pytest.raises(Busy):
        labgrid.place().__enter__()


def test_a_place_that_was_taken_away_meanwhile_is_told(labgrid) -> None:
    for holder in ("", "vm/other"):
        labgrid.holds("")
        place = labgrid.place()
        place.__enter__()
        labgrid.holds(holder)
        with pytest.raises(InstrumentError, match="somebody took the place away meanwhile"):
            place.__exit__(None, None, None)
        assert labgrid.holder == holder


def test_a_place_that_is_waited_for(labgrid) -> None:
    labgrid.holds("vm/other")
    threading.Timer(0.3, lambda: labgrid.holds("")).start()
    with labgrid.place(wait_s=20.0):
        assert labgrid.holder == "vm/root"
    assert labgrid.calls == [
        "reserve --shell name=bench-1", "wait 77BJUO4U84", "acquire bench-1", "release bench-1",
        "cancel-reservation 77BJUO4U84",
    ]  # fmt: skip
    labgrid.holds("vm/other")
    with pytest.raises(Busy, match=r"bench-1 was not free within 0.3 s"):
        labgrid.place(wait_s=0.3).__enter__()
    assert labgrid.calls[-1] == "cancel-reservation 77BJUO4U84"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also where the tests run in a background that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("when", ["acquire", "release", "wait"])
def test_an_interruption_leaves_nothing_behind(labgrid, when) -> None:
    labgrid.put(slow_s={when: 0.5})
    if when == "wait":
        labgrid.holds("vm/other")

    def interrupt() -> None:
        until = time.monotonic() + 20
        while not any(call.startswith(when) for call in labgrid.calls):
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), labgrid.place(wait_s=20.0 if when == "wait" else 0.0):
        pass
    assert labgrid.holder == ("vm/other" if when == "wait" else "")
    assert not list(labgrid.folder.glob("*.held"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"client": "no-such-labgrid-client"}, "labgrid.client = 'no-such.*is not installed"),
        ({"coordinator": "127.0.0.1:29999"}, "labgrid.place.*Could not connect to coordinator"),
        ({"place": "none"}, "place pattern none matches nothing"),
        ({"place": "ench-10"}, "there is only bench-10; give its whole name"),
    ],
)
def test_what_labgrid_does_not_give(labgrid, changes, said) -> None:
    with pytest.raises(InputError, match=said):
        labgrid.place(**changes).__enter__()
    assert labgrid.holder == ""
    assert not list(labgrid.folder.glob("*.held"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('place = "bench-*"', "labgrid.place = 'bench-\\*': is no name of a place"),
        ('place = "a"\nwait = "2d"', "labgrid.wait = '2d'"),
        ('place = "a"\ntoken = "x"', "labgrid.token: unknown key"),
    ],
)
def test_what_a_file_cannot_ask_of_labgrid(tmp_path, table, said) -> None:
    path = tmp_path / "lab.toml"
    text = SUPPLY.format(client="labgrid-client")
    path.write_text(text.replace('place = "bench-1"\nclient = "labgrid-client"', table))
    with pytest.raises(InputError, match=said):
        load_bench_file(path)
