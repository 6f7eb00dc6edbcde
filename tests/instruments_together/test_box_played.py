"""A contact box's driver on a transcript of the box: the same messages, and the same record."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import asdict

import pytest
import serial

from instruments.contacts.box import TAKEN, ContactBox
from instruments.contacts.played import PlayedBox
from instruments.contacts.protocol import opened, sealed
from instruments.visa.errors import InstrumentError, ReplayDiffers, Unreachable
from instruments.visa.replay import Playback
from instruments.visa.transcript import Transcript, check_entries, rechained
from tests.instruments_together.test_contacts import (
    BUTTON,
    ENCODER,
    INPUTS,
    LAMP,
    OURS,
    OUTPUTS,
    box,
)
from tests.support.host_time import NotShown, shown


class Live:
    """What happens to the box while it is asked, in its time."""

    def __init__(self, sim, harm) -> None:
        self.sim, self.harm = sim, lambda: harm(sim)

    def pass_s(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        level = 0
        while time.monotonic() < until:
            level = 1 - level
            for number in (BUTTON, LAMP, ENCODER):
                self.sim.drive(number, level)
            time.sleep(0.003)


class Again:
    """Nothing happens, and no time passes."""

    def harm(self) -> None:
        pass

    def pass_s(self, seconds: float) -> None:
        pass


def asked(driver, around) -> list[object]:
    """The same is asked of a box; what came of it, errors too."""
    came: list[object] = []

    def ask(work) -> None:
        try:
            came.append(work())
        except ReplayDiffers:
            raise
        except InstrumentError as error:
            came.append((type(error).__name__, str(error)))

    with driver:
        driver.make_safe()
        for _ in range(40):  # some of these fall into a comparison of the clocks
            around.pass_s(0.01)
            ask(driver.record)
        ask(lambda: driver.set("stop", 0))
        driver.forget()
        around.harm()
        ask(lambda: driver.set("takeover", 1))
        ask(driver.look)
        around.pass_s(0.6)
        ask(driver.levels)
        ask(driver.record)
        ask(driver.make_safe)
        ask(driver.make_safe)
        around.pass_s(0.25)
        ask(driver.record)
    return came


def played(entries, reply_s: float = 5.0):
    """What comes of the same on a transcript, and the playback."""
    playback = Playback(entries, noted={"box"})
    driver = PlayedBox(playback, "box", "none", OURS, INPUTS, OUTPUTS, reply_s, Transcript())
    return asked(driver, Again()), playback


def recorded(folder, *faults: str, harm=lambda sim: None, broken=False):
    """What came of it, and the transcript; once more where a host that stalls has broken it."""

    def attempt():
        with pytest.MonkeyPatch.context() as patch:
            if not broken:
                patch.setattr("instruments.contacts.box._SILENT_S", 5.0)
            with box(folder, *faults, reply_s=0.5 if broken else 5.0) as (driver, sim):
                came = asked(driver, Live(sim, harm))
                entries = check_entries(driver._transcript.entries)
        if not broken and any("was silent" in e.data for e in entries if e.kind == "note"):
            raise NotShown("the box was silent")
        return came, entries

    return shown(attempt)


def nothing(sim) -> None:
    pass


@pytest.mark.parametrize(
    ("faults", "harm", "broken"),
    [
        ((), nothing, False),
        (("mute@GETx1",), nothing, True),
        (("half@GETx1",), nothing, True),
        (("late=300ms@GETx1",), nothing, True),
        (("delay=2s@GETx1",), nothing, True),
        (("no-result@GETx1",), nothing, True),
        ((), lambda sim: setattr(sim, "silent", True), True),
        ((), lambda sim: setattr(sim, "dropped", 3), True),
        ((), lambda sim: setattr(sim, "_number", 7_000), True),
        ((), lambda sim: sim.stuck.add(1), False),
        ((), lambda sim: sim.inject(1, "not now"), False),
    ],
    ids=[
        "good", "mute", "half", "late", "delayed", "no answer", "silent", "edges lost",
        "lines lost", "stuck", "refuses",
    ],
)  # fmt: skip
def test_the_same_comes_of_the_same(tmp_path, faults, harm, broken) -> None:
    came, entries = recorded(tmp_path, *faults, harm=harm, broken=broken)
    again, playback = played(entries, 0.5 if broken else 5.0)
    assert again == came
    assert playback.left == 0
    sent = [entry for entry in entries if entry.kind == "tx"]
    assert playback.played == {"box": len(sent)}
    assert sum(b"PING" in entry.raw for entry in sent) >= 1
    assert came[39].edges["encoder"], "the record holds what happened"
    assert any(isinstance(one, tuple) and one[0] == "Broken" for one in came) is broken


# ---- what threads make of it ----------------------------------------------------------------


class Port:
    """A serial port; the box behind it says nothing by itself, and can keep its answers back.

    ``asked``: is set when a comparison of the clocks waits; ``go``: answers may come.
    """

    def __init__(self) -> None:
        self._said: queue.Queue[bytes] = queue.Queue()
        self._number = 0
        self.gone, self.refuses = False, False
        self.asked, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.in_waiting = 0

    def __call__(self, *_, **__):
        if self.refuses:
            raise serial.SerialException("nobody is there")
        self.gone = False
        return self

    def write(self, raw: bytes) -> None:
        if self.gone:
            raise serial.SerialException("gone")
        request, word, *rest = opened(raw).split()
        if word == "PING":
            self.asked.set()
            self.go.wait(5)
        answer = {"ID": "telemed-bench contact-box-1 1 1", "GET": "0 0"}.get(word, rest[-1:])
        answer = answer if isinstance(answer, str) else " ".join(answer)
        self.say(f"OK {request} {answer}".strip())

    def say(self, text: str) -> None:
        t_us = time.monotonic_ns() // 1000 % (1 << 32)
        self._said.put(sealed(f"{self._number} {t_us} {text}"))
        self._number += 1

    def read(self, size: int) -> bytes:
        if self.gone:
            raise serial.SerialException("gone")
        try:
            return self._said.get(timeout=0.01)
        except queue.Empty:
            return b""

    def reset_input_buffer(self) -> None:
        pass

    def close(self) -> None:
        pass


def through(port, folder):
    transcript = Transcript()
    args = ("box", str(folder / "port"), OURS, INPUTS, OUTPUTS, 5.0, transcript)
    return ContactBox(*args, lock_folder=folder, opener=port), transcript


def again(transcript):
    """A driver on what was recorded, and the playback."""
    playback = Playback(check_entries(transcript.entries), noted={"box"})
    return PlayedBox(playback, "box", "none", OURS, INPUTS, OUTPUTS, 5.0, Transcript()), playback


def test_a_record_that_is_taken_while_the_clocks_are_compared_lacks_that_comparison(
    tmp_path,
) -> None:
    port = Port()
    driver, transcript = through(port, tmp_path)

    def taken(live, wait, go):
        wait()
        found = [live.record()]
        live.forget()
        go()
        return [*found, live.look()[1], live.record()]

    with driver as live:
        port.go.clear()
        assert port.asked.wait(5)
        came = taken(live, lambda: port.say("H 1 0"), port.go.set)
    kinds = [(entry["kind"], entry["data"]) for entry in transcript.entries]
    at = kinds.index(("note", TAKEN))
    assert [kind for kind, _ in kinds[:at] if kind == "tx"] == ["tx", "tx"], "asked, not answered"
    assert (len(came[0].pairs), len(came[2].pairs)) == (1, 3)
    played_box, playback = again(transcript)
    with played_box as live:
        assert taken(live, lambda: None, lambda: None) == came
    assert playback.left == 0


def test_a_box_that_broke_unasked_is_opened_anew_at_once(tmp_path) -> None:
    port = Port()
    driver, transcript = through(port, tmp_path)

    def left(live, harm):
        live.set("stop", 0)
        harm()
        live.make_safe()
        return live.look()

    def harmed() -> None:
        port.say("H 1 1")
        time.sleep(0.2)

    with driver as live:
        came = left(live, harmed)
    assert [entry["kind"] for entry in transcript.entries].count("open") == 2
    played_box, playback = again(transcript)
    with played_box as live:
        assert left(live, lambda: None) == came
    assert playback.left == 0


def test_what_waits_to_be_read_is_no_silence_of_the_box(tmp_path) -> None:
    port = Port()
    driver, _ = through(port, tmp_path)
    with driver as live:
        read, port.in_waiting = port.read, 10
        port.read = lambda size: (time.sleep(0.01), b"")[1]  # others have the processor
        time.sleep(0.6)
        port.read = read
        time.sleep(0.1)
        port.in_waiting = 0
        live.set("stop", 1)
        assert live.record().fault == ""


def test_a_port_that_went_and_could_not_be_opened_at_once(tmp_path) -> None:
    port = Port()
    driver, transcript = through(port, tmp_path)

    def lost(live, gone, back):
        gone()
        came = []
        for work in (live.record, lambda: live.set("stop", 1), live.make_safe):
            try:
                came.append(work())
            except Unreachable as error:
                came.append(("Unreachable", error.problem.partition(" (")[2]))
            except InstrumentError as error:
                came.append((type(error).__name__, str(error)))
        back()
        live.make_safe()
        return [*came, live.look()]

    def went() -> None:
        port.gone = port.refuses = True
        time.sleep(0.1)

    with driver as live:
        came = lost(live, went, lambda: setattr(port, "refuses", False))
    assert came[0].fault == "the port is gone"
    assert came[1:3] == [("Broken", "box: the port is gone"), ("Unreachable", "nobody is there)")]
    played_box, playback = again(transcript)
    with played_box as live:
        assert lost(live, lambda: None, lambda: None) == came
    assert playback.left == 0


# ---- what differs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("good"))


def altered(entries, change):
    """The transcript with lines of the box changed, each whole in itself, and chained anew."""
    found, left = [], b""
    for entry in entries:
        fields = asdict(entry)
        if entry.kind == "rx":
            *lines, left = (left + entry.raw).split(b"\n")
            fields["data"] = b"".join(sealed(change(opened(line))) for line in lines).decode()
        found.append(fields)
    said = ["".join(one["data"] for one in some if one["kind"] == "rx") for some in (
        found, [asdict(entry) for entry in entries])]  # fmt: skip
    assert said[0] != said[1]
    return check_entries(rechained(found))


def once(word: str, place: int, text: str, skip: int):
    """Changes one word of one line of a kind."""
    seen = 0

    def change(line: str) -> str:
        nonlocal seen
        words = line.split(" ")
        seen += words[2] == word
        if words[2] == word and seen == skip:
            words[place] = text or str((int(words[place]) + 7) % (1 << 32))
        return " ".join(words)

    return change


def test_an_edge_at_another_time_is_another_record(good) -> None:
    came, entries = good
    again, playback = played(altered(entries, once("E", 1, "", 5)))
    assert playback.difference is None
    unlike = [n for n, (now, then) in enumerate(zip(again, came, strict=True)) if now != then]
    assert unlike
    first = unlike[0]
    assert again[first].edges != came[first].edges
    assert again[first].beats == came[first].beats


def test_a_comparison_of_the_clocks_that_was_another_is_another_record(good) -> None:
    came, entries = good
    again, playback = played(altered(entries, once("OK", 1, "", 3)))
    assert playback.difference is None
    assert [again[0].pairs[n] == came[0].pairs[n] for n in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("change", "then", "doing"),
    [
        (once("E", 0, "9999", 5), "rx", r"lines were lost between \d+ and 9999"),
        (once("H", 4, "2", 2), "rx", "has lost 2 edges since it was switched on"),
        (once("OK", 3, "999", 4), "rx", "says b'"),
    ],
    ids=["a line less", "lost edges", "another's answer"],
)
def test_what_would_have_broken_it_is_a_difference(good, change, then, doing) -> None:
    playback = Playback(altered(good[1], change), noted={"box"})
    driver = PlayedBox(playback, "box", "none", OURS, INPUTS, OUTPUTS, 0.5, Transcript())
    with pytest.raises(ReplayDiffers, match=doing):
        asked(driver, Again())
    assert playback.difference.role == "box"
    assert playback.difference.sent is None


def test_another_level_than_was_set_then_is_a_difference_in_what_is_sent(good) -> None:
    playback = Playback(good[1], noted={"box"})
    other = {**OUTPUTS, "stop": type(OUTPUTS["stop"])(0, safe=0)}
    driver = PlayedBox(playback, "box", "none", OURS, INPUTS, other, 0.5, Transcript())
    with pytest.raises(ReplayDiffers, match=r"sends b'2 SET 0 0\*.*the transcript has b'2 SET 0 1"):
        asked(driver, Again())
    assert playback.difference.sent.startswith(b"2 SET 0 0")


def test_a_driver_that_asks_for_something_else_differs(good) -> None:
    playback = Playback(good[1], noted={"box"})
    driver = PlayedBox(playback, "box", "none", OURS, INPUTS, OUTPUTS, 0.5, Transcript())
    driver.__enter__()
    driver.set("stop", 1)
    with pytest.raises(ReplayDiffers, match="has b'3 SET 1 0"):
        driver.look()
    for work in (driver.record, driver.make_safe, lambda: driver.__exit__(None, None, None)):
        with pytest.raises(ReplayDiffers, match="has b'3 SET 1 0"):
            work()
