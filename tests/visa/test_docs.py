"""The documentation's own code, and a SCPI instrument behind a serial port."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import tty
from pathlib import Path

import pytest

from instruments.visa.resources import Identity, Resource
from instruments.visa.session import Session
from instruments.visa.transcript import Transcript, read_transcript
from tests.support.scripted import Peer, Script

DOCS = Path(__file__).parents[2] / "docs"


def test_a_reader_connects_a_generator_by_editing_one_file(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("TELEMED_BENCH_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "instruments.md").read_text(), re.DOTALL)
    assert len(blocks) == 3
    compile(blocks[2], "instruments.md", "exec")
    state = {":OUTP1": "1", ":SOUR1:POW:OFFS": "0", ":SOUR1:BB:ARB:STAT": "0"}
    script = Script(state=state, table={"*IDN?": "Rohde&Schwarz,SMW200A,101234,5.0"})
    with Peer(script) as peer:
        text = (DOCS / "instruments.example.toml").read_text()
        assert "TCPIP::192.0.2.10::5025::SOCKET" in text
        text = text.replace("TCPIP::192.0.2.10::5025::SOCKET", peer.address)
        Path("instruments.toml").write_text(text)
        Path("instrument.example.toml").write_text((DOCS / "instrument.example.toml").read_text())
        names: dict[str, object] = {}
        exec(blocks[0], names)
        assert script.lines == []
        assert "generator: :SOUR1:POW -60\n" in capsys.readouterr().out
        exec(blocks[1], names)
    assert ":OUTP1 1" in script.lines
    assert script.state[":OUTP1"] == "0"
    assert script.lines[-3:] == [":OUTP1?", "SYST:ERR?", "SYST:ERR?"]
    assert read_transcript(Path("transcript.jsonl"))[0].kind == "open"


@pytest.fixture
def serial_line():
    """A SCPI instrument behind a pseudo-terminal; its port and what it was sent."""
    master, slave = os.openpty()
    tty.setraw(slave)
    script = Script(state={"VOLT": "0"})

    def serve() -> None:
        buffer = b""
        with contextlib.suppress(OSError):
            while data := os.read(master, 4096):
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    answer = script(line.decode())
                    if isinstance(answer, str):
                        os.write(master, answer.encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield os.ttyname(slave), script
    os.close(slave)
    os.close(master)
    thread.join(2)


def test_a_serial_instrument(tmp_path, serial_line) -> None:
    port, script = serial_line
    identity = Identity("Acme", "Model 1")
    where = Resource("supply", f"ASRL{port}::INSTR", identity, "\n", "\n", 2.0, 5.0, baud=115200)
    with Session(where, Transcript(), lock_folder=tmp_path) as live:
        live.command("VOLT 3.3")
        assert live.query("VOLT?") == "3.3"
        script.table["CURR?"] = None
        reading = live.read("CURR?", "current", "A", lambda text, role: float(text), 0.1)
        assert not reading.valid
        assert live.taints
        assert live.query("VOLT?") == "3.3"
