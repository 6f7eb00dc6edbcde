"""What pyvisa-py does over a socket, as a simulator's fault, up to the verdict of a judged run.

The facts are those of docs/instruments.md; tests/visa/test_facts.py shows each at the session.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace

import pytest

from bench.benches.lab.file import BenchFile
from benchmarks import coexistence_faults as proof
from instruments.simulators.faults import read_fault
from instruments.visa.wires import VisaWire

SHORT_S = 0.3

FAULTS = {
    "a refused port": ("analyser", "refuse", "analyser: cannot connect"),
    "a late answer": ("generator", "late@FREQ?x1", "FREQ.*: no answer within 0.3 s"),
    "a closed peer": ("generator", "drop@FREQ?x1", "FREQ.*: no answer within 0.3 s"),
    "a closed peer that does not come back": ("generator", "refuse@FREQ?", "cannot connect"),
    "an error in the queue": ("generator", "error=-222@POWx1", "level_dbm = .*: -222"),
    "an error in the queue of a question": ("analyser", "error=-230@TRAC?x1", "trace: -230"),
    "half an answer": ("generator", "half@FREQ?x1", r"FREQ.*: .*\(half of one came\)"),
    "half an answer of the analyser": ("analyser", "half@FREQ:CENT?x1", "half of one came"),
    "no answer": ("generator", "mute@FREQ?x1", "FREQ.*: no answer within 0.3 s"),
    "no answer of the attenuator": ("attenuator", "mute@ATT?", "ATT.: no answer within 0.3 s"),
    "another instrument": ("generator", "identity@*IDN?", "another instrument answers"),
    "no result": ("analyser", "no-result@TRAC?x1", "no result"),
    "a level that none can be": ("analyser", "no-result=1e9@TRAC?x2", "no level in dBm"),
    "a refusal in text": ("attenuator", "error@SETATT", "attenuator: answers '-310 Error'"),
}
"""What happens, as instrument and fault, and what the verdict's reason must tell of it."""


def laboratory(role: str, *faults: str) -> BenchFile:
    """The shipped one with short deadlines, one of its instruments with faults."""
    file = proof.laboratory()
    instruments = {
        name: replace(one, resource=replace(one.resource, reply_s=SHORT_S))
        for name, one in file.instruments.items()
    }
    made = tuple(read_fault(text) for text in faults)
    described = {**file.described, role: replace(file.described[role], faults=made)}
    return replace(file, described=described, instruments=instruments)


def verdict(file: BenchFile) -> tuple[str, str]:
    return proof.judged(proof.device_under_test(), file, 1)


def test_without_a_fault_the_verdict_is_a_number() -> None:
    said, reason = verdict(laboratory("generator"))
    assert said == "PASS"
    assert "count" in reason


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_ends_in_error_or_inconclusive_with_its_cause(name) -> None:
    role, fault, cause = FAULTS[name]
    said, reason = verdict(laboratory(role, fault))
    assert said in ("ERROR", "INCONCLUSIVE")
    assert re.search(cause, reason), reason


def test_a_broken_pipe_ends_in_error(monkeypatch) -> None:
    """Two commands behind one that the peer hung up on; each has time to get there."""
    send, refused = VisaWire.send, []

    def slow(wire: VisaWire, data: bytes) -> None:
        try:
            send(wire, data)
        except Exception as error:
            refused.append(str(error.__cause__))
            raise
        if b"?" not in data:
            time.sleep(0.02)

    monkeypatch.setattr(VisaWire, "send", slow)
    said, reason = verdict(laboratory("analyser", "drop@CALC:UNIT:POWx1"))
    assert said == "ERROR"
    assert "the connection is gone" in reason
    assert re.search("pipe|reset", refused[0])
