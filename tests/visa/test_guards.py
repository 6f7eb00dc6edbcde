"""Questions for errors in one message with a query: taken apart rightly, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instruments.visa.channels import SCPI
from instruments.visa.errors import Desynchronised, Reported
from instruments.visa.guards import Guard, Guarded, entry_code
from instruments.visa.readings import number
from tests.support.scripted import Peer, Script, session

GUARDS = [Guard("SYST:ERR?", first, last) for first in (True, False) for last in (1, 2)]
NONE = '0,"No error"'

entries = st.builds(
    lambda code, text: f'{code},"{text}"',
    st.integers(-499, 499).filter(bool),
    st.text(st.characters(exclude_characters='"\n'), max_size=20),
)
answers = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.text(st.characters(exclude_characters=";\"'\n"), max_size=20),
    st.just("\"a;b\",'c;0,d'"),
).filter(lambda text: entry_code(text) is None)


def said(guard: Guard, answer: str, found: list[str]) -> str:
    parts = [*found[: guard.first], answer, *found[guard.first :]]
    return ";".join(parts)


@given(st.sampled_from(GUARDS), answers, st.data())
@settings(max_examples=50, deadline=None)
def test_an_answer_is_taken_apart_as_it_was_put_together(guard, answer, data) -> None:
    count = guard.first + guard.last
    found = data.draw(st.lists(st.just(NONE) | entries, min_size=count, max_size=count))
    real = [
        tuple(e for e in part if e != NONE) for part in (found[: guard.first], found[guard.first :])
    ]
    assert guard.split(said(guard, answer, found)) == Guarded(real[0], answer, real[1])


@given(st.permutations(GUARDS), answers)
@settings(max_examples=50, deadline=None)
def test_the_answer_to_another_form_is_none(two, answer) -> None:
    asked, slipped = two[:2]
    found = [NONE] * (slipped.first + slipped.last)
    assert asked.split(said(slipped, answer, found)) is None
    assert asked.split(NONE) is None
    assert asked.split(answer) is None


def test_what_a_query_can_carry() -> None:
    assert SCPI.guard("POW?", True, 0).message("POW?") == "SYST:ERR?;:POW?;:SYST:ERR?"
    assert SCPI.guard(":POW?", False, 1).message(":POW?") == ":POW?;:SYST:ERR?;:SYST:ERR?"
    for text in ("*IDN?", "*OPC?", "INIT;*OPC?", "SYST:ERR?", ":SYST:ERR:ALL?", "POW 1"):
        assert SCPI.guard(text, True, 0) is None


def test_a_whole_answer_that_comes_twice_is_not_the_next_ones(tmp_path) -> None:
    class Doubling(Script):
        """Answers everything as it should, and the first measurement once more, a bit later."""

        again = ""

        def __call__(self, line: str):
            answer = super().__call__(line)
            if ":POW?" in line and not self.again:
                self.again = str(answer)
            elif ":FREQ?" in line and self.again:  # what was on its way overtakes this one
                return self.again
            return answer

    script = Doubling(table={"POW?": "-30", "FREQ?": "1000"})
    with Peer(script) as peer, session(peer, tmp_path) as live:
        assert live.read("POW?", "level", "dBm", number).number() == -30
        reading = live.read("FREQ?", "frequency", "Hz", number)
        assert reading.value is None
        assert live.taints


def test_errors_before_and_after_a_lone_query_are_told_apart(tmp_path) -> None:
    script = Script(table={"POW?": "-30"}, errors=['-350,"Queue overflow"', '-310,"System error"'])
    with Peer(script) as peer, session(peer, tmp_path) as live:
        assert len(live.found) == 2
        script.errors = ['-310,"System error"', '-350,"Queue overflow"', '-321,"Out of memory"']
        with pytest.raises(Reported, match=r"before POW\?: -310") as caught:
            live.query("POW?")
        assert len(caught.value.entries) == 3
        assert live.query("POW?") == "-30"
        script.errors_after = {"POW?": '-230,"Data corrupt or stale;no sweep"'}
        with pytest.raises(Reported, match=r"after POW\?: -230"):
            live.read("POW?", "level", "dBm", number)
        assert not live.taints


def test_a_query_that_is_not_understood_says_so(tmp_path) -> None:
    class Strict(Script):
        """After an undefined header the rest of the message is not carried out."""

        def __call__(self, line: str):
            if ":NO?" in line:
                self.errors.append('-113,"Undefined header"')
                return NONE
            return super().__call__(line)

    with Peer(Strict()) as peer, session(peer, tmp_path) as live:
        with pytest.raises(Desynchronised) as caught:
            live.query("NO?")
        assert "-113" in " ".join(caught.value.__notes__)
