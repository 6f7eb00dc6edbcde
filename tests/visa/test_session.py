"""Sessions: identity, error queue, opening anew, locks, transcript, playing back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import InputError
from instruments.visa.errors import (
    BadAnswer,
    Broken,
    Busy,
    DeadlinePassed,
    Desynchronised,
    NotApplied,
    NotAResult,
    ReplayDiffers,
    Reported,
    Tainted,
    Unreachable,
    WrongIdentity,
)
from instruments.visa.locks import ResourceLock
from instruments.visa.plan import Plan
from instruments.visa.readings import Reading, Taint, number
from instruments.visa.replay import Playback
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript, check_entries, read_transcript
from tests.support.scripted import Drop, Half, Peer, Script, resource, session

SHORT_S = 0.06


def is_text(wanted: str):
    return lambda text: "" if text == wanted else f"is not {wanted}"


# ---- identity and error queue ----------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Identity("Acme", "Model 2"), "model is 'Model 1', not 'Model 2'"),
        (Identity("Acme", "Model *", "S124"), "serial is 'S123'"),
    ],
)
def test_another_instrument_is_refused(tmp_path, wanted, message) -> None:
    script = Script()
    with (
        Peer(script) as peer,
        pytest.raises(WrongIdentity, match=message),
        session(peer, tmp_path, identity=wanted),
    ):
        pytest.fail("opened")
    assert script.lines == ["*IDN?"]


def test_errors_are_raised_before_and_after_a_step(tmp_path) -> None:
    script = Script()
    with Peer(script) as peer, session(peer, tmp_path) as live:
        script.errors += ['-410,"Query INTERRUPTED"', '-350,"Queue overflow"']
        with pytest.raises(Reported, match=r"before POW 1: -410.*-350"):
            live.command("POW 1")
        assert "POW 1" not in script.lines
        live.command("POW 1")
        assert script.lines[-3:] == ["SYST:ERR?", "POW 1", "SYST:ERR?"]


def test_old_errors_do_not_keep_a_session_from_opening(tmp_path) -> None:
    transcript = Transcript()
    script = Script(errors=['-410,"Query INTERRUPTED"'])
    with Peer(script) as peer, session(peer, tmp_path, transcript) as live:
        assert live.found == ('-410,"Query INTERRUPTED"',)
        live.command("OUTP 0")
    assert any("-410" in e["data"] for e in transcript.entries if e["kind"] == "note")


def test_a_queue_without_end_is_an_error(tmp_path) -> None:
    script = Script(table={"SYST:ERR?": '-100,"Command error"'})
    with (
        Peer(script) as peer,
        pytest.raises(Reported, match="does not become empty"),
        session(peer, tmp_path),
    ):
        pytest.fail("opened")


def test_an_answer_too_many_is_seen_at_the_end_of_the_step(tmp_path) -> None:
    script = Script(table={"POW?": "-10\n-11"}, state={"FREQ": "1"})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        with pytest.raises(Desynchronised):
            live.query("POW?")
        assert live.taints
        assert live.query("FREQ?") == "1"


def test_an_answer_too_many_is_not_the_answer_of_one_that_is_missing(tmp_path) -> None:
    script = Script(once={"POW?": ["-10\n-11"], "FREQ?": [None]}, table={"FREQ?": "5"})
    with Peer(script) as peer, session(peer, tmp_path) as live, live.step("both"):
        assert live.read("POW?", "level", "dBm", number).number() == -10
        missing = live.read("FREQ?", "frequency", "Hz", number, SHORT_S)
    assert "came unasked" in missing.reason
    assert missing.value is None


# ---- opened anew -----------------------------------------------------------


def declare_power(live: Session) -> None:
    def apply() -> None:
        live.command("POW -10")
        live.confirm("POW?", is_text("-10"), "-10")

    apply()
    live.declare("power", apply)
    live.declare("output", lambda: live.command("OUTP 0"), first=True)


def test_declared_state_is_set_again_safe_things_first(tmp_path) -> None:
    script = Script(once={"FREQ?": [None]})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        declare_power(live)
        script.state["POW"] = "99"  # it lost its state
        seen = len(script.lines)
        with pytest.raises(DeadlinePassed):
            live.query("FREQ?", SHORT_S)
        again = [line for line in script.lines[seen:] if line != "SYST:ERR?"]
        assert again == ["FREQ?", "*IDN?", "OUTP 0", "POW -10", "POW?"]
        assert live.declared == ("output", "power")
        assert script.state["POW"] == "-10"


def test_state_that_cannot_be_set_again_breaks_the_session(tmp_path) -> None:
    script = Script(once={"FREQ?": [None]})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        declare_power(live)
        script.frozen.add("POW")
        script.state["POW"] = "99"
        with pytest.raises(Broken, match="could not be made anew"):
            live.query("FREQ?", SHORT_S)
        with pytest.raises(Broken):
            live.command("OUTP 0")
        script.frozen.clear()
        live.revive()
        assert live.query("POW?") == "-10"


def test_another_identity_after_a_timeout_breaks_the_session(tmp_path) -> None:
    script = Script(once={"FREQ?": [None]})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        script.table["*IDN?"] = "Acme,Model 1,S999,1.0"
        with pytest.raises(Broken, match="S999"):
            live.query("FREQ?", SHORT_S)


def test_another_one_of_the_same_model_breaks_the_session_too(tmp_path) -> None:
    script = Script(once={"FREQ?": [None]})
    with Peer(script) as peer, session(peer, tmp_path, identity=Identity("Acme", "*")) as live:
        script.table["*IDN?"] = "Acme,Model 1,S999,1.0"
        with pytest.raises(
            Broken, match=r"another instrument answers: it is .*S999.* it was .*S123"
        ):
            live.query("FREQ?", SHORT_S)
        assert live.identity.serial == "S123"


def test_a_port_that_refuses_after_a_drop_breaks_the_session(tmp_path) -> None:
    script = Script(table={"FREQ?": Drop()})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        peer.refuse()
        with pytest.raises(Broken, match="cannot connect"):
            live.read("FREQ?", "frequency", "Hz", number, SHORT_S)


def test_an_interrupted_transaction_is_never_gone_on_with(tmp_path) -> None:
    with Peer(Script(state={"POW": "-10"})) as peer, session(peer, tmp_path) as live:

        def stop(within_s: float) -> bytes:
            raise KeyboardInterrupt

        live._line._wire.receive = stop
        with pytest.raises(KeyboardInterrupt):
            live.query("POW?")
        with pytest.raises(Broken, match="interrupted"):
            live.query("POW?")
        live.revive()
        assert live.query("POW?") == "-10"


def test_half_an_answer_is_kept_and_is_no_number(tmp_path) -> None:
    transcript = Transcript()
    script = Script(table={"POW?": Half("-1")})
    with Peer(script) as peer, session(peer, tmp_path, transcript) as live:
        reading = live.read("POW?", "level", "dBm", number, SHORT_S)
    assert "half" in reading.reason
    assert [e["data"] for e in transcript.entries if e["kind"] == "timeout"] == ["-1"]


def test_a_poll_ends(tmp_path) -> None:
    waits: list[float] = []
    script = Script(once={"STAT?": ["OFF", "ON,PEND"]}, table={"STAT?": "ON,ADJ"})
    with Peer(script) as peer, session(peer, tmp_path, sleep=waits.append) as live:
        live.poll("STAT?", is_text("ON,ADJ"), "ON,ADJ", 0.5, 2.0)
        assert waits == [0.5, 0.5]
        script.table["STAT?"] = "OFF"
        with pytest.raises(NotApplied, match="not ON,ADJ after 2 s"):
            live.poll("STAT?", is_text("ON,ADJ"), "ON,ADJ", 0.5, 2.0)
        assert len(waits) == 6


def test_a_tainted_reading_never_gives_its_value() -> None:
    reading = Reading("scope", "delay", 0.1, "s")
    assert reading.number() == 0.1
    tainted = reading.tainted_by((Taint("scope", 1, "delay", "no answer within 1 s"),))
    assert not tainted.valid
    with pytest.raises(Tainted, match="no answer"):
        tainted.number()


@pytest.mark.parametrize("text", ["", "1,2", "1 V", "0x10", "one", "1e400"])
def test_what_is_no_number(text) -> None:
    with pytest.raises((BadAnswer, NotAResult)):
        number(text, "scope")


@given(st.floats(-9.8e37, 9.8e37))
def test_numbers_are_read_exactly(value) -> None:
    assert number(repr(value), "scope") == value


# ---- configuration ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"read_termination": ""}, "read_termination"),
        ({"write_termination": ";"}, "write_termination"),
        ({"reply_s": 0.0}, "reply_s"),
        ({"connect_s": float("inf")}, "connect_s"),
        ({"reply_s": float("nan")}, "reply_s"),
        ({"identity": Identity("Acme", "")}, "identity"),
    ],
)
def test_terminators_deadlines_and_identity_are_mandatory(changes, field) -> None:
    given = {
        "role": "generator",
        "address": "TCPIP::192.0.2.1::5025::SOCKET",
        "identity": Identity("Acme", "Model 1"),
        "write_termination": "\n",
        "read_termination": "\n",
        "connect_s": 1.0,
        "reply_s": 1.0,
    }
    Resource(**given)
    with pytest.raises(InputError, match=field):
        Resource(**(given | changes))
    for missing in ("write_termination", "read_termination", "connect_s", "reply_s"):
        with pytest.raises(TypeError):
            Resource(**{key: value for key, value in given.items() if key != missing})


def test_an_unknown_library_or_address_is_unreachable(tmp_path) -> None:
    with Peer(Script()) as peer:
        for changes in ({"library": "@nosuch"}, {"address": "NOBUS::1"}):
            with (
                pytest.raises(Unreachable),
                Session(resource(peer, **changes), Transcript(), lock_folder=tmp_path),
            ):
                pytest.fail("opened")


# ---- one owner -------------------------------------------------------------


def test_two_sessions_of_one_process_exclude_each_other(tmp_path) -> None:
    with Peer(Script()) as peer, session(peer, tmp_path):
        with pytest.raises(Busy, match="in use by process"), session(peer, tmp_path):
            pytest.fail("opened twice")
        with session(peer, tmp_path, physical="another"):
            pass
    with Peer(Script()) as peer, session(peer, tmp_path):
        pass


def test_the_ways_to_one_instrument_share_its_lock() -> None:
    def name(address: str, **more) -> str:
        identity = Identity("Acme", "Model 1")
        return Resource("x", address, identity, "\n", "\n", 1, 1, **more).lock_name

    ways = [
        "TCPIP::192.0.2.1::5025::SOCKET",
        "TCPIP0::192.0.2.1::hislip0::INSTR",
        "tcpip::192.0.2.1::inst0::INSTR",
        "http://192.0.2.1",
    ]
    assert len({name(way) for way in ways}) == 1
    assert name("GPIB0::7::INSTR", physical="smw") == name(ways[0], physical="smw")
    assert name("TCPIP::127.0.0.1::5::SOCKET") != name("TCPIP::127.0.0.1::6::SOCKET")


def test_the_links_to_a_serial_device_share_its_lock(tmp_path) -> None:
    """As the ports of a modem and of a contact box do: their lock is named alike."""
    device, link = tmp_path / "ttyUSB0", tmp_path / "by-id-Acme"
    device.touch()
    link.symlink_to(device)

    def name(address: str) -> str:
        return Resource("x", address, Identity("Acme", "Model 1"), "\n", "\n", 1, 1).lock_name

    names = {name(f"ASRL{path}::INSTR") for path in (device, link)} | {name(f"asrl{link}")}
    assert names == {str(Path(link).resolve())}
    assert name("ASRL3::INSTR") == "asrl3::instr"


HOLDER = """
import sys, time
from pathlib import Path
from instruments.visa.locks import ResourceLock
with ResourceLock("generator", "smw", folder=Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_processes_exclude_each_other_and_a_killed_one_lets_go(tmp_path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        with (
            pytest.raises(Busy, match=f"process {child.pid}"),
            ResourceLock("generator", "smw", folder=tmp_path),
        ):
            pytest.fail("taken twice")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    with ResourceLock("generator", "smw", folder=tmp_path):
        pass


# ---- transcript and playing back -------------------------------------------


def some_work(live: Session) -> list[object]:
    with live.step("work"):
        live.command("POW -10")
        live.confirm("POW?", is_text("-10"), "-10")
    declare_power(live)
    reading = live.read("FREQ?", "frequency", "Hz", number, SHORT_S)
    return [reading, live.read("FREQ?", "frequency", "Hz", number), live.taints]


def sent_lines(text: str) -> list[str]:
    """Messages as the peer's script has them: the questions for errors on lines of their own."""
    text = text.replace(";:SYST:ERR?", "\nSYST:ERR?").replace("SYST:ERR?;:", "SYST:ERR?\n")
    return text.splitlines()


def test_a_run_is_played_back_to_the_same_transcript(tmp_path) -> None:
    path = tmp_path / "transcript.jsonl"
    script = Script(once={"FREQ?": [Half("12")]}, table={"FREQ?": "5"})
    with Peer(script) as peer, Transcript(path) as transcript:
        with session(peer, tmp_path, transcript) as live:
            then = some_work(live)
        where = resource(peer)

    entries = read_transcript(path)
    assert [e.kind for e in entries].count("open") == 2
    assert sent_lines(b"".join(e.raw for e in entries if e.kind == "tx").decode()) == script.lines
    playback = Playback(entries)
    again = playback.transcript()
    with Session(where, again, connector=playback.connect, lock_folder=tmp_path) as live:
        now = some_work(live)
    assert now == then
    assert playback.left == 0
    assert check_entries(again.entries) == entries


def test_playing_back_something_else_is_an_error(tmp_path) -> None:
    transcript = Transcript()
    with Peer(Script(state={"POW": "-10"})) as peer:
        with session(peer, tmp_path, transcript) as live:
            live.query("POW?")
        where = resource(peer)
    playback = Playback(check_entries(transcript.entries))
    with (
        Session(
            where, playback.transcript(), connector=playback.connect, lock_folder=tmp_path
        ) as live,
        pytest.raises(ReplayDiffers, match=r"FREQ\?"),
    ):
        live.query("FREQ?")


def test_the_transcript_is_lossless_flushed_and_chained(tmp_path) -> None:
    path = tmp_path / "transcript.jsonl"
    transcript = Transcript(path)
    every_byte = bytes(range(256))
    transcript.add("a", "tx", every_byte)
    transcript.add("b", "note", "20 µs → “late”")
    entries = read_transcript(path)  # not closed: flushed
    assert entries[0].raw == every_byte
    assert entries[1].data == "20 µs → “late”"
    assert abs(entries[0].utc_ns - time.time_ns()) < 60e9
    transcript.close()
    with pytest.raises(InputError, match="already"):
        Transcript(path)


def broken(lines: list[str]) -> list[list[str]]:
    changed = json.loads(lines[1]) | {"data": "x"}
    return [
        [lines[0], json.dumps(changed), lines[2]],
        [lines[0], lines[2]],
        [lines[1], lines[0], lines[2]],
        [lines[0], "{", lines[2]],
        [lines[0], json.dumps({"n": 1}), lines[2]],
    ]


def test_a_changed_transcript_is_refused(tmp_path) -> None:
    path = tmp_path / "transcript.jsonl"
    with Transcript(path) as transcript:
        for kind in ("open", "tx", "rx"):
            transcript.add("a", kind, b"1")
    lines = path.read_text().splitlines()
    for bad in broken(lines):
        path.write_text("\n".join(bad) + "\n")
        with pytest.raises(InputError, match="line"):
            read_transcript(path)
    path.write_text("\n".join(lines) + "\n" + lines[0][:20])
    assert len(read_transcript(path)) == 3


# ---- plan ------------------------------------------------------------------


@pytest.mark.parametrize("turns", [0, 1])
def test_what_a_setting_reports_is_raised_though_it_reads_back_right(tmp_path, turns) -> None:
    script = Script(errors_after={"POW -10": '-310,"System error"'})
    with Peer(script) as peer, session(peer, tmp_path) as live:

        def set_level(level: str, wanted: str) -> None:
            with live.step("level"):
                live.command(f"POW {level}")
                live.confirm("POW?", is_text(wanted), wanted)

        for _ in range(turns):  # one question for errors behind, or two
            set_level("-20", "-20")
        with pytest.raises(Reported, match="after level: -310"):
            set_level("-10", "-10")
        with pytest.raises(NotApplied, match="answers '-10'") as caught:
            set_level("-10", "-9")
        assert "-310" in caught.value.__notes__[0]
        set_level("-20", "-20")
        script.errors.append('-240,"Hardware error"')
        with pytest.raises(Reported, match="before level: -240"):
            set_level("-20", "-20")


def test_a_plan_prints_what_a_session_sends(tmp_path) -> None:
    def work(channel) -> None:
        with channel.step("level"):
            channel.command("POW -10")
            channel.confirm("POW?", is_text("-10"), "-10")
        channel.read("FREQ?", "frequency", "Hz", number)
        channel.poll("STAT?", is_text("1"), "1", 0.5, 2)

    plan = Plan("generator")
    work(plan)
    script = Script(table={"FREQ?": "1", "STAT?": "1"})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        seen = len(script.lines)
        work(live)
    planned = [line.removeprefix("generator: ").partition(" -> ")[0] for line in plan.lines]
    assert sent_lines("\n".join(planned)) == script.lines[seen:]
    assert plan.lines[2] == 'generator: POW?;:SYST:ERR? -> -10;0,"No error"'
    assert plan.lines[3].startswith("generator: SYST:ERR?;:FREQ?"), "asked once after the level"
