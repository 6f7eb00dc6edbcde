"""A device between physical interfaces loses its power through the supply that feeds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.guest import played
from tests.support.host_time import shown

GUEST = Path(__file__).with_name("power_guest.py")
NOISE = ("host too busy", "to go off: when is not known")
"""What a host that stalls has to answer for: once more."""


@pytest.mark.real_time
@pytest.mark.usefixtures("local_host")
def test_a_device_at_the_far_ends_loses_its_power_and_has_it_again(tmp_path) -> None:
    found = shown(lambda: played(GUEST, tmp_path, noise=NOISE))
    events = found["events"]
    assert [value for *_, name, value in events if name == "contacts-wired"] == [["power"]]
    power = [(t, value) for t, side, origin, name, value in events if name == "power"]
    assert all(e[1:3] == ["patient", "contact"] for e in events if e[3] == "power")
    assert [value for _, value in power] == [1, 0, 1]
    (_, _), (off_s, _), (on_s, _) = power
    assert 0.5 <= off_s < 1.5
    assert on_s - off_s >= 1.0
    read = [value for *_, name, value in events if name == "supply"]
    assert [one["on"] for one in read] == [True, False, True, True]
    assert read[1]["voltage_v"] == 0.0
    assert read[1]["commanded_s"] <= read[1]["confirmed_s"] <= read[1]["dark_s"] < on_s
    assert {"name": "power-cut:1s"} in [value for *_, name, value in events if name == "action"]
    # The device was really without power: it sent before, not meanwhile, and again after it.
    sent = found["sent"]
    assert sum(t < off_s for t in sent) > 10
    assert not [t for t in sent if off_s + 0.1 < t < on_s]
    assert sum(t > on_s for t in sent) > 10
    # Its own alarm adapter was gone as well: no silence counts, nothing is connected.
    names = [name for *_, name, _ in events]
    assert "alarms-connected" not in names
    (told,) = [value for *_, name, value in events if name == "alarms-incomplete"]
    assert "were not connected for the whole session" in told[0]
    assert "nobody observes what PRE-1 rests on" in found["problems"][0]
    assert ["alarms-connected", None] in found["again"], "the next session's silence counts again"
    assert found["after"] == 0.0, "whoever leaves leaves it off"
    assert found["transcript"] > 10
    assert found["replayed"] == {"differences": [], "left_out": {}, "ends": "", "sessions": 2}
    (supply,) = found["instruments"]
    assert (supply["role"], supply["certifiable"]) == ("supply", False)
