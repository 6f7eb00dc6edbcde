"""A device between physical interfaces, wired to a contact box: LOC-1, and MOB-1 beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guest import played
from tests.support.host_time import NotShown, shown

GUEST = Path(__file__).with_name("contact_guest.py")
NOISE = (
    "is known within", "host too busy", "the emulator was late", "was not seen to move",
    "was silent for",
)  # fmt: skip
"""What a host that stalls has to answer for, the simulated device's standstill too: once more."""


def found_with(folder, *defects) -> dict:
    """What the guest found, where the host kept time."""

    def attempt() -> dict:
        found = played(GUEST, folder, *defects, noise=NOISE)
        problems = [*found["problems"], *found.get("mobile", found)["problems"]]
        if problems:
            said = " ".join(problems)
            assert any(reason in said for reason in NOISE), said
            raise NotShown(said)
        return found

    return shown(attempt)


def values(found, name):
    return [value for _, _, what, value in found["events"] if what == name]


@pytest.mark.usefixtures("local_host")
def test_the_stop_of_a_device_at_the_far_ends_is_pressed_and_its_standstill_seen(tmp_path) -> None:
    found = found_with(tmp_path)
    assert found["events"][0][2:] == ["contacts-wired", ["motion", "stop", "lights"]]
    assert values(found, "motion") == [1, 0, 1]
    assert values(found, "stop-button") == [1, 0]
    assert values(found, "action") == [{"name": "local-stop"}, {"name": "local-release"}]
    assert values(found, "alarm-signal") == []
    assert 0 < found["value"] < 1.5
    assert found["outputs_after"][0] == 1, "whoever leaves leaves the stop pressed"
    assert "nobody observes what LIM-1 rests on" in found["other"][0]
    box = found["instruments"][-1]
    assert (box["role"], box["certifiable"]) == ("box", False)
    again = found["replayed"]
    assert (again["differences"], again["left_out"], again["ends"]) == ([], {}, "")
    assert again["sessions"] == 2
    assert again["box"] > 50
    # Its modem's cell is changed while its packets flow; no link is commanded.
    mobile = found["mobile"]
    assert (mobile["value"], mobile["details"], mobile["problems"]) == (0.0, {"limits": "held"}, [])
    change = mobile["change"]
    assert "cell ABC01" in change["before"]
    assert "cell ABC02" in change["after"]
    assert 0 < change["commanded_s"] < change["seen_s"] < 3.5
    assert mobile["motion"] == [1]


@pytest.mark.usefixtures("local_host")
def test_a_device_that_goes_on_while_its_stop_is_pressed_is_found_out(tmp_path) -> None:
    found = found_with(tmp_path, "ignores-local-stop")
    assert found["value"] == float("inf")
    assert values(found, "motion") == [1]
