"""Between physical interfaces: a device that the bench does not play, and its alarms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guest import played

GUEST = Path(__file__).with_name("nic_guest.py")

LATE = "the emulator was late"


@pytest.mark.usefixtures("local_host")
def test_a_device_at_the_far_ends_of_two_links(tmp_path) -> None:
    """Lateness is this host's affair; the delays are measured all the same."""
    found = played(GUEST, tmp_path)
    assert "the device moves, and nobody has armed it" in found["unarmed"]
    assert "were not connected for the whole session" in found["unconnected"]
    assert found["bench"] == ["lab", "userspace"]
    assert not [problem for problem in found["problems"] if LATE not in problem]
    assert not found["stimulus"], "20 ms were asked for, and achieved on both links"
    assert {way[0] for way in found["delays"]} == {"0", "1"}
    for count, median_s in found["delays"].values():
        assert count > 20
        assert median_s == pytest.approx(0.02, abs=0.002)
    assert [alarm[1:] for alarm in found["alarms"]] == [
        ["patient", True, {"alarm": "network-delay", "priority": "medium", "on": True}]
    ]
    assert sum(found["before_start"]) > 100, "the links were joined before the session"
    assert found["sent"] > 500
    assert not found["missing"], "links are handed over whole, and what was held back then arrives"
    if not [note for note in found["notes"] if "handed over late" in note]:
        assert not found["twice"]
