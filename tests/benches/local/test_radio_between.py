"""A real device's radio between the taps, exposed over VISA while its packets cross it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.measure.coexisting import LEVEL_TOLERANCE_DB
from tests.support.guest import played
from tests.support.host_time import NotShown, shown

GUEST = Path(__file__).with_name("radio_guest.py")
NOISE = ("host too busy", "the emulator was late")
COMMANDED_NS = 500_000_000
"""From the command to the generator until its signal is there, at most: simulated, over sockets."""


@pytest.mark.usefixtures("local_host")
def test_an_exposure_takes_the_radio_between_the_taps_and_gives_it_back(tmp_path) -> None:
    def attempt() -> dict:
        found = played(GUEST, tmp_path, noise=NOISE)
        late = [problem for problem in found["problems"] if any(x in problem for x in NOISE)]
        if late or found["needs"]["alone"]:
            raise NotShown("; ".join([*late, *found["needs"]["alone"]]))
        return found

    found = shown(attempt)
    assert found["problems"] == []
    assert "name the interfaces that lead to it, [links.primary.radio]" in found["outside"]
    assert found["bench"] == ["lab", "userspace"]
    assert found["radios"] == ["primary"], "the recording says that a radio was between"
    assert found["stimulus"] == [], "what the radio lost is not held against the emulator"
    assert 0 < found["uncertainty_db"] < LEVEL_TOLERANCE_DB
    assert found["reception"], "a real radio does not tell its reception"
    assert found["commanded"] == [], "nobody told the emulator what the radio receives"
    # What was commanded is when it began and ended; the radio heard it a little later.
    lost = [t for t in found["down_ns"] if t > 0]
    back = [t for t in found["up_ns"] if t > 0]
    assert found["start_ns"] < lost[0] < found["start_ns"] + COMMANDED_NS
    assert found["end_ns"] < back[-1] < found["end_ns"] + COMMANDED_NS
    # The packets of the exposed link are missing at the far taps, both ways, and come again.
    alone, exposed, after = (found["passed"][name] for name in ("alone", "exposed", "after"))
    for way in (0, 1):
        assert exposed[way] < 0.3 * alone[way]
        assert after[way] > exposed[way]
    assert found["needs"]["exposed"]
    assert found["needs"]["after"] == []
