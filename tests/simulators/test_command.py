"""``bench simulate`` as a program uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instruments.simulators.kinds import KINDS
from tests.support.own_time import took_to_end

BENCH = Path(sys.executable).with_name("bench")
EXAMPLE = Path(__file__).parents[2] / "docs" / "lab.example.toml"


def started(*words):
    return subprocess.Popen(
        [BENCH, "simulate", *map(str, words)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip


def ended(process, number):
    """Seconds that it took by its own doing, and its exit code."""
    began = time.monotonic()
    process.send_signal(number)
    took = took_to_end(process.pid, began)
    process.communicate(timeout=20)
    return took, process.returncode


def ask(resource, text):
    _, host, port, _ = resource.split("::")
    with socket.create_connection((host, int(port)), 10) as sock, sock.makefile("rb") as lines:
        sock.sendall(text.encode() + b"\n")
        return lines.readline().decode().strip()


WORLD = """
[emitters.carrier]
frequency = "2.44GHz"
level = "-40dBm"

[[paths]]
from = "carrier"
to = "spectrum-analyser:1"
loss = "3dB"
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_starts_at_its_port_in_a_world_with_a_fault(tmp_path, kind):
    world, port = tmp_path / "world.toml", free_port()
    world.write_text(WORLD)
    where = () if KINDS[kind].terminal else ("--port", port)
    process = started("instrument", kind, *where, "--world", world, "--fault", "mutex1", "--json")
    try:
        ready = json.loads(process.stdout.readline())
        assert (ready["event"], ready["kind"]) == ("ready", kind)
        assert ready["absent"] == ([] if kind == "spectrum-analyser" else ["spectrum-analyser:1"])
        if KINDS[kind].terminal:
            assert re.fullmatch(r"ASRL/dev/.+::INSTR", ready["resource"])
            return
        assert ready["resource"] == f"TCPIP::127.0.0.1::{port}::SOCKET"
        who = "MN?" if KINDS[kind].http else "*IDN?"
        with socket.create_connection(("127.0.0.1", port), 10) as sock, sock.makefile("rb") as got:
            sock.sendall(f"{who}\n".encode())
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                got.readline()
        assert ask(ready["resource"], who), "the fault strikes once"
    finally:
        ended(process, signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_instrument_is_ready_answers_and_ends_in_order(number):
    process = started("instrument", "signal-generator", "--json", "--strict", "--dialect", "mxg")
    try:
        ready = json.loads(process.stdout.readline())
        assert ready["event"] == "ready"
        assert ready["resource"].startswith("TCPIP::127.0.0.1::")
        assert ready["resource"].endswith("::SOCKET")
        assert (ready["kind"], ready["url"], ready["absent"]) == ("signal-generator", None, [])
        assert ask(ready["resource"], "*IDN?").startswith("Keysight Technologies, N5182B")
        assert ask(ready["resource"], "NONSENSE?") == ""  # strict: it closes
        told = json.loads(process.stdout.readline())
        assert (told["event"], told["role"], told["message"]) == (
            "refused", "signal-generator", "NONSENSE?",
        )  # fmt: skip
        took, code = ended(process, number)
    finally:
        process.kill()
    assert code == 130
    assert took < 2


def test_a_laboratory_lists_its_resources_and_is_one_world():
    process = started("lab", EXAMPLE, "--json")
    try:
        ready = json.loads(process.stdout.readline())
        resources = ready["resources"]
        assert set(resources) == {
            "generator", "analyser", "attenuator", "switch", "supply", "scope", "tester", "modem",
        }  # fmt: skip
        assert resources["modem"].startswith("ASRL/dev/")
        assert ready["instruments"]["attenuator"]["url"].startswith("http://127.0.0.1:")
        assert ask(resources["generator"], "FREQ 2.44GHz;:POW -10;:OUTP ON;*OPC?") == "1"
        setting = "FREQ:CENT 2.44GHz;SPAN 1MHz;:INIT:CONT OFF;:INIT;:CALC:MARK:MAX;Y?"
        assert float(ask(resources["analyser"], setting)) == pytest.approx(-13, abs=0.01)
        assert ask(resources["attenuator"], "SETATT=20") == "1"
        assert float(ask(resources["analyser"], setting)) == pytest.approx(-33, abs=0.01)
        _, code = ended(process, signal.SIGTERM)
    finally:
        process.kill()
    assert code == 130


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("instrument", "theremin"), "use signal-generator,"),
        (("instrument", "switch", "--dialect", "x"), "use rc-spdt"),
        (("instrument", "switch", "--port", "70000"), "give 0 (a free one)"),
        (("instrument", "switch", "--fault", "late=3"), "no unit"),
        (("instrument", "modem", "--fault", "refuse"), "a terminal has none"),
        (("instrument", "switch", "--world", "/no/such.toml"), "no such file"),
    ],
)
def test_what_cannot_be_simulated_is_said_in_one_line(words, said):
    process = started(*words)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_said_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = started("instrument", "switch", "--port", taken.getsockname()[1])
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (2, "")
    assert "cannot listen" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('from = "generator"', 'from = "generatr"', "is called generatr:1"),
        ('"switch:A"', '"switch:E"', "is called switch:E"),
        ('kind = "switch"', 'kind = "toggle"', "use one of signal-generator"),
        ('[cells."tester:2"]', '[cells."tester:9"]', "is called tester:9"),
        ("[instruments.scope]", "[instrument.scope]", "unknown key"),
    ],
)
def test_a_laboratory_that_cannot_be_is_refused(tmp_path, old, new, said):
    from bench.errors import InputError
    from bench.studies.simulated_lab import read_lab

    text = EXAMPLE.read_text()
    assert old in text
    file = tmp_path / "lab.toml"
    file.write_text(text.replace(old, new))
    with pytest.raises(InputError) as caught:
        read_lab(file)
    assert said in caught.value.line()
