"""What pyvisa-py does over a socket, first bare and then through a session: never a number.

The bare halves say what the session is there for; should one fail after an update of pyvisa-py,
the library behaves better (or otherwise) and docs/instruments.md needs a look.
"""

from __future__ import annotations

import socket
import threading
import time

import pytest
import pyvisa

from instruments.rf.generators import RohdeSchwarzSmw
from instruments.simulators.lab import Described, Lab, RunningLab
from instruments.visa.errors import (
    Broken,
    DeadlinePassed,
    LinkLost,
    NotAResult,
    Reported,
    Tainted,
    Unreachable,
)
from instruments.visa.readings import number
from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript
from tests.support.scripted import Drop, Half, Late, Peer, Script, session

SHORT_S = 0.06


def bare(address: str, end: str | None = "\n", timeout_s: float = SHORT_S):
    opened = pyvisa.ResourceManager("@py").open_resource(address)
    opened.timeout = timeout_s * 1000
    opened.write_termination = "\n"
    if end is not None:
        opened.read_termination = end
    return opened


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def test_1_a_refused_port_opens_without_a_word(tmp_path) -> None:
    address = f"TCPIP::127.0.0.1::{free_port()}::SOCKET"
    opened = bare(address)
    with pytest.raises((ConnectionError, pyvisa.VisaIOError)):
        opened.query("*IDN?")
    opened.close()

    with Peer(Script()) as peer:
        pass
    transcript = Transcript()
    with pytest.raises(Unreachable, match="cannot connect"), session(peer, tmp_path, transcript):
        pytest.fail("opened")
    assert [entry["kind"] for entry in transcript.entries] == ["lost", "note"]


def late_script(late: Late) -> Script:
    return Script(table={"POW?": "-30", "FREQ?": "1000"}, once={"POW?": [late]})


def test_2_a_late_answer_goes_to_the_next_question(tmp_path) -> None:
    late = Late("-20")
    with Peer(late_script(late)) as peer:
        opened = bare(peer.address)
        with pytest.raises(pyvisa.VisaIOError):
            opened.query("POW?")
        late.when.set()
        opened.timeout = 5000
        assert opened.query("FREQ?") == "-20"
        opened.close()

    late = Late("-20")
    with Peer(late_script(late)) as peer, session(peer, tmp_path) as live:
        with live.step("level"):
            level = live.read("POW?", "level", "dBm", number, SHORT_S)
            late.when.set()
            frequency = live.read("FREQ?", "frequency", "Hz", number)
        assert level.value is None
        assert frequency.value == 1000
        for reading in (level, frequency):
            assert "no answer within" in reading.reason
            with pytest.raises(Tainted):
                reading.number()
        assert peer.connections == 2
        assert live.read("POW?", "level", "dBm", number).number() == -30


def test_2_a_plain_query_raises_and_the_step_stays_tainted(tmp_path) -> None:
    late = Late("-20")
    with Peer(late_script(late)) as peer, session(peer, tmp_path) as live:
        with live.step("level"):
            with pytest.raises(DeadlinePassed):
                live.query("POW?", SHORT_S)
            late.when.set()
            with pytest.raises(Tainted):
                live.query("FREQ?")
        assert live.query("FREQ?") == "1000"
        assert [taint.step for taint in live.taints] == ["level"]


def test_3_a_closed_peer_looks_like_a_timeout(tmp_path) -> None:
    with Peer(Script(table={"POW?": Drop()})) as peer:
        opened = bare(peer.address)
        with pytest.raises(pyvisa.VisaIOError) as caught:
            opened.query("POW?")
        assert caught.value.error_code == pyvisa.constants.StatusCode.error_timeout
        opened.close()

    with Peer(Script(table={"POW?": Drop()})) as peer, session(peer, tmp_path) as live:
        reading = live.read("POW?", "level", "dBm", number, SHORT_S)
        assert not reading.valid
        with pytest.raises(Tainted):
            reading.number()
        assert peer.connections == 2


def send(to, *texts: str) -> None:
    """One after the other, so that a peer that drops has dropped before the next."""
    for text in texts:
        (to.command if hasattr(to, "command") else to.write)(text)
        time.sleep(0.02)


def test_4_later_it_is_a_broken_pipe(tmp_path) -> None:
    with Peer(Script(table={"POW?": Drop()})) as peer:
        opened = bare(peer.address)
        with pytest.raises(pyvisa.VisaIOError):
            opened.query("POW?")
        with pytest.raises(OSError, match=r"pipe|reset|Errno"):
            send(opened, "FREQ 1", "FREQ 1", "FREQ 1")
        opened.close()

    script = Script(table={"STOP": Drop()}, state={"FREQ": "1"})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        with pytest.raises((LinkLost, DeadlinePassed)), live.step("set"):
            send(live, "STOP", "FREQ 2", "FREQ 2")
        assert len(live.taints) == 1
        peer.refuse()
        with pytest.raises(Broken), live.step("set"):
            send(live, "STOP", "FREQ 2", "FREQ 2")
        with pytest.raises(Broken):
            live.query("FREQ?")


def echo() -> Script:
    script = Script()
    script.table = {f"Q{n}?": str(n) for n in range(4)}
    return script


def wrong_answers(ask, rounds: int = 200) -> int:
    """Four threads, each asking its own question; how often one got another's answer."""
    wrong = [0] * 4

    def work(n: int) -> None:
        for _ in range(rounds):
            try:
                wrong[n] += ask(f"Q{n}?") != str(n)
            except Exception:
                wrong[n] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(wrong)


def crossed(opened, questions: tuple[str, str]) -> dict[str, str]:
    """Two threads on one connection: the second to ask reads first. What each was given."""
    gate = threading.Barrier(2)
    got: dict[str, str] = {}

    def ask(question: str, first: bool) -> None:
        if first:
            opened.write(question)
        gate.wait(5)
        if not first:
            opened.write(question)
            got[question] = opened.read()
        gate.wait(5)
        if first:
            got[question] = opened.read()

    threads = [
        threading.Thread(target=ask, args=(question, n == 0))
        for n, question in enumerate(questions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_5_threads_get_each_others_answers(tmp_path) -> None:
    with Peer(echo()) as peer:
        opened = bare(peer.address, timeout_s=1)
        assert crossed(opened, ("Q0?", "Q1?")) == {"Q1?": "0", "Q0?": "1"}
        opened.close()

    with Peer(echo()) as peer, session(peer, tmp_path, reply_s=9) as live:
        assert wrong_answers(live.query, 60) == 0
        assert not live.taints


def test_5_threads_on_a_simulated_generator(tmp_path) -> None:
    """The same with the simulator; through a session in whole steps too, setting and read-back."""
    with RunningLab(Lab({"generator": Described("signal-generator")})) as running:
        address = running.resources["generator"]
        opened = bare(address, timeout_s=5)
        opened.write("FREQ 1e9")
        opened.write("POW -30")
        true = {"FREQ?": opened.query("FREQ?"), "POW?": opened.query("POW?")}
        got = crossed(opened, ("FREQ?", "POW?"))
        assert got == {"FREQ?": true["POW?"], "POW?": true["FREQ?"]}
        opened.close()

        who = Identity("Rohde&Schwarz", "SMW200A")
        one = Resource("generator", address, who, "\n", "\n", 5.0, 9.0)
        wrong: list[object] = []
        with Session(one, Transcript(), lock_folder=tmp_path) as live:
            generator = RohdeSchwarzSmw(live)

            def work(n: int) -> None:
                try:
                    for turn in range(15):
                        level_dbm = -100.0 + 20 * n + turn
                        with live.step("level"):
                            generator.level_dbm = level_dbm
                            if generator.level_dbm != level_dbm or generator.frequency_hz != 1e9:
                                wrong.append(level_dbm)
                        if generator.frequency_hz != 1e9:
                            wrong.append("frequency")
                except Exception as error:
                    wrong.append(error)

            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []
            assert not live.taints


def test_6_a_socket_has_no_status_byte(tmp_path) -> None:
    with Peer(Script()) as peer:
        opened = bare(peer.address)
        with pytest.raises((pyvisa.VisaIOError, NotImplementedError, AttributeError)):
            opened.read_stb()
        opened.close()

    # So errors are asked for: what the status byte would have said is raised.
    script = Script(errors_after={"POW 99": '-222,"Data out of range"'})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        with pytest.raises(Reported, match=r"after POW 99: -222"):
            live.command("POW 99")
        assert live.query("*IDN?")


def test_7_without_a_terminator_every_query_times_out(tmp_path) -> None:
    with Peer(Script()) as peer:
        opened = bare(peer.address, end=None)
        with pytest.raises(pyvisa.VisaIOError):
            opened.query("*IDN?")
        opened.close()

    with Peer(Script(table={"*IDN?": Half("Acme,Model 1,S123,1.0")})) as peer:
        transcript = Transcript()
        with (
            pytest.raises(Unreachable, match="half"),
            session(peer, tmp_path, transcript, reply_s=SHORT_S),
        ):
            pytest.fail("opened")
    kinds = {entry["kind"]: entry["data"] for entry in transcript.entries}
    assert kinds["timeout"] == "Acme,Model 1,S123,1.0"


def test_not_a_result_is_no_number(tmp_path) -> None:
    answers = ("9.9E37", "-9.9E37", "9.91E+37", "NAV", "INV", "OFL", "ufl", "NAN", "---")
    for text in answers:
        with pytest.raises(NotAResult):
            number(text, "scope")
    script = Script(table={"MEAS?": "9.9E37"})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        reading = live.read("MEAS?", "delay", "s", number)
        assert reading.value is None
        assert "no result" in reading.reason
        with pytest.raises(NotAResult):
            reading.number()
