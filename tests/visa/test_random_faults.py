"""Whatever goes wrong on the wire: an answer is right, or there is none."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instruments.visa.errors import InstrumentError
from instruments.visa.readings import number
from instruments.visa.transcript import Transcript, check_entries
from tests.support.scripted import Drop, Half, Late, Peer, Script, session

SHORT_S = 0.03
FAULTS = ("none", "none", "silent", "late", "half", "drop", "twice", "no-result", "error")


class Faulty:
    """Answers ``Qn?`` with n, or as its fault says."""

    def __init__(self, faults: list[str]) -> None:
        self.script = Script()
        self.late: dict[int, Late] = {}
        for n, fault in enumerate(faults):
            self.script.table[f"Q{n}?"] = str(n)
            late = Late(str(n))
            answer = {
                "silent": None,
                "late": late,
                "half": Half("1"),
                "drop": Drop(),
                "twice": f"{n}\n{n}",
                "no-result": "9.9E37",
            }
            if fault in answer:
                self.script.once[f"Q{n}?"] = [answer[fault]]
            if fault == "late":
                self.late[n] = late
            if fault == "error":
                self.script.errors_after[f"Q{n}?"] = '-230,"Data corrupt or stale"'


@given(st.lists(st.sampled_from(FAULTS), min_size=3, max_size=8), st.booleans())
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_number_is_always_the_answer_to_its_question(tmp_path, faults, one_step) -> None:
    faulty = Faulty(faults)
    transcript = Transcript()
    quiet = ("silent", "late", "half", "drop")
    valid: dict[int, float] = {}

    def ask(n: int) -> None:
        within_s = SHORT_S if faults[n] in quiet else None
        reading = live.read(f"Q{n}?", f"Q{n}", "1", number, within_s)
        if n in faulty.late:
            faulty.late[n].when.set()
        if reading.valid:
            valid[n] = reading.number()

    def ask_alone(n: int) -> None:
        try:
            ask(n)
        except InstrumentError:
            assert faults[n] in ("twice", "error")
            valid.pop(n, None)

    with Peer(faulty.script) as peer, session(peer, tmp_path, transcript) as live:
        if one_step:
            try:
                with live.step("all"):
                    for n in range(len(faults)):
                        ask(n)
            except InstrumentError:
                valid.clear()
                assert {"twice", "error"} & set(faults)
        else:
            for n in range(len(faults)):
                ask_alone(n)
    assert all(value == n for n, value in valid.items())
    good = {n for n, fault in enumerate(faults) if fault == "none"}
    if not one_step:
        assert set(valid) == good
    elif not {"twice", "error"} & set(faults):
        tainted_from = next((n for n, fault in enumerate(faults) if fault in quiet), len(faults))
        assert set(valid) == {n for n in good if n < tainted_from}
    check_entries(transcript.entries)
