"""Attackers beside the path of a device between physical interfaces: SEC-7, copies, refusals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.guest import played
from tests.support.host_time import NotShown, shown

GUEST = Path(__file__).with_name("attack_guest.py")
NOISE = (
    "is known within", "host too busy", "the emulator was late", "was not seen to move",
    "foreign packets per s arrived", "remote commands arrived", "at the session's start",
    "the box was silent for",
)  # fmt: skip
"""What a host that stalls has to answer for: once more."""
LAGS_MS = (0, 20, 400)
"""How long after a packet its copies come; the device's link has no delay of its own here."""


def found_with(folder, *defects) -> dict:
    """What the guest found, where the host kept time."""

    def attempt() -> dict:
        found = played(GUEST, folder, *defects, noise=NOISE)
        problems = [*found["problems"], *found.get("copied_problems", ())]
        if problems:
            said = " ".join(problems)
            assert any(reason in said for reason in NOISE), said
            raise NotShown(said)
        if found["counters"]["attacker/refused"]:  # after a stall it may not make up for all of it
            raise NotShown("the attack process was late")
        return found

    return shown(attempt)


@pytest.mark.usefixtures("local_host")
def test_a_flood_and_copies_reach_a_device_at_the_far_ends_beside_its_own_packets(tmp_path) -> None:
    found = found_with(tmp_path)
    # SEC-7: the stop works in a flood towards the device, as its contacts show.
    assert 0 < found["value"] < 1.5
    assert found["details"]["flood_per_s"] > 1500
    assert found["flood"] == [["attack-begins", None], ["flood-ends", 4000]]
    assert found["counters"]["attacker/made"] == 4000
    assert any("are on the tap third-party" in note for note in found["notes"])
    # Copies and packets made up arrive, in both directions; the device's own are as they were.
    watched, control = found["watched"], found["control"]
    acts = Counter(map(tuple, found["acts"]))
    assert acts == {
        ("replay", watched, "to-patient"): 40, ("inject", watched, "to-patient"): 30,
        ("replay", control, "to-doctor"): 9,
    }  # fmt: skip
    assert found["copied_counters"]["attacker/made"] == sum(acts.values())
    arrived = Counter(map(tuple, found["foreign"]))
    assert sum(arrived[0, link, watched] for link in (0, 1)) >= 40 + 30 // 3
    assert sum(arrived[1, link, control] for link in (0, 1)) == 9
    assert arrived[1, 1, control] == 2, "every fourth copy comes on the other link"
    (sent, once), (got, got_once) = found["own"]["doctor"], found["own"]["patient"]
    assert (sent, got) == (once, got_once), "no copy passes for one of the device's own"
    assert abs(sent - got) <= 2
    lags = Counter(min(LAGS_MS, key=lambda lag: abs(lag - late)) for late in found["late_ms"])
    assert set(lags) == set(LAGS_MS)
    # What cannot be made is told.
    assert (
        "2 packets of attackers to be made of a flow of which nothing had passed"
        in (found["copied_notes"])
    )
    assert "no attack flip on a real device" in found["refused"]["tampering"]
    assert "takes an address in the device's network" in found["refused"]["intrusion"]
    assert "its packets are not UDP" in found["refused"]["tcp"]


@pytest.mark.usefixtures("local_host")
def test_a_device_that_moves_on_in_a_flood_is_found_out(tmp_path) -> None:
    found = found_with(tmp_path, "ignores-local-stop")
    assert found["value"] == float("inf")
    assert found["details"]["flood_per_s"] > 1000
